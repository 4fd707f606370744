//! What the devices of a pool have in common beyond the time of day.

use super::noise::{Passed, SharedFit, lags};

/// Less than this share of the variance is chance.
const SHARE_MIN: f64 = 0.01;
const SHARE_MAX: f64 = 0.95;

/// Mean product of the residuals (mean 0, variance 1) of two different devices of a pool, `lag` steps apart; `None` where no two are known together.
pub(super) fn cross(pools: &[Vec<&Vec<f64>>], lag: usize) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0.0);
    for members in pools {
        let steps = members.iter().map(|m| m.len()).min().unwrap_or(0);
        for t in 0..steps.saturating_sub(lag) {
            let (mut now, mut then, mut both, mut n_now, mut n_then, mut n_both) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
            for member in members {
                let (a, b) = (member[t], member[t + lag]);
                if a.is_finite() {
                    (now, n_now) = (now + a, n_now + 1.0);
                }
                if b.is_finite() {
                    (then, n_then) = (then + b, n_then + 1.0);
                }
                if a.is_finite() && b.is_finite() {
                    (both, n_both) = (both + a * b, n_both + 1.0);
                }
            }
            sum += now * then - both;
            count += n_now * n_then - n_both;
        }
    }
    (count > 0.0).then(|| sum / count)
}

/// The part of the noise that members of a pool share, from their residuals (mean 0, variance 1).
pub(super) fn shared(pools: &[Vec<&Vec<f64>>], passed: &Passed) -> SharedFit {
    let none = SharedFit { share: 0.0, phi: 0.0 };
    let steps = pools.iter().flatten().map(|m| m.len()).max().unwrap_or(0);
    let Some(share) = cross(pools, 0).filter(|share| *share >= SHARE_MIN) else { return none };
    let seen: Vec<(usize, f64)> = lags(steps).filter_map(|lag| Some((lag, cross(pools, lag)? / share))).collect();
    let error = |phi: f64| seen.iter().map(|(lag, value)| (phi.powf(*lag as f64) - value).powi(2)).sum::<f64>();
    let candidates = (0..60).map(|i| 0.3 * 1.15_f64.powi(i)).take_while(|t| *t <= (steps as f64 / 5.0).max(0.3));
    let phi = std::iter::once(0.0)
        .chain(candidates.map(|t| (-1.0 / t).exp()))
        .min_by(|a, b| error(*a).total_cmp(&error(*b)))
        .unwrap_or(0.0);
    SharedFit { share: passed.before(share).min(SHARE_MAX), phi }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_is_found_with_its_memory_and_nothing_where_nothing_is() {
        let mut state = 9_u64;
        let mut draw = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) as f64 / f64::from(1_u32 << 31) * 2.0 - 1.0) * 3.0_f64.sqrt()
        };
        let mut common = 0.0;
        let mut members = vec![Vec::new(); 8];
        let mut apart = vec![Vec::new(); 8];
        for _ in 0..3000 {
            common = 0.9 * common + 0.19_f64.sqrt() * draw();
            members.iter_mut().for_each(|m| m.push(0.3_f64.sqrt() * common + 0.7_f64.sqrt() * draw()));
            apart.iter_mut().for_each(|m| m.push(draw()));
        }
        let fit = shared(&[members.iter().collect()], &Passed::new(None));
        assert!((fit.share - 0.3).abs() < 0.05 && (fit.phi - 0.9).abs() < 0.04, "{fit:?}");
        assert_eq!(shared(&[apart.iter().collect()], &Passed::new(None)).share, 0.0);
        assert_eq!(shared(&[], &Passed::new(None)).share, 0.0);
    }
}
