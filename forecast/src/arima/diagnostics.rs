//! Is anything left in the residuals?

/// Autocorrelations at lags 1..=`lags`.
pub fn autocorrelations(values: &[f64], lags: usize) -> Vec<f64> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let centred: Vec<f64> = values.iter().map(|v| v - mean).collect();
    let variance: f64 = centred.iter().map(|v| v * v).sum();
    let at = |lag: usize| centred.iter().skip(lag).zip(&centred).map(|(a, b)| a * b).sum::<f64>();
    (1..=lags).map(|lag| if variance > 0.0 { at(lag) / variance } else { 0.0 }).collect()
}

/// Ljung & Box 1978: the statistic over `lags` lags and the probability of one as high if the values were white, with as many degrees
/// of freedom as lags less `estimated` parameters. `None` without degrees of freedom or with too few values.
pub fn ljung_box(values: &[f64], lags: usize, estimated: usize) -> Option<(f64, f64)> {
    let freedom = lags.checked_sub(estimated).filter(|f| *f > 0)?;
    if values.len() <= lags + 1 {
        return None;
    }
    let n = values.len() as f64;
    let terms = autocorrelations(values, lags).into_iter().enumerate().map(|(i, r)| r * r / (n - 1.0 - i as f64));
    let statistic = n * (n + 2.0) * terms.sum::<f64>();
    Some((statistic, crate::special::chi_squared_upper(statistic, freedom as f64)))
}
