//! Tail probabilities of the usual distributions.
//!
//! Series and continued fractions after Abramowitz & Stegun 1964 (6.5.29, 6.5.31, 26.5.8) with the evaluation of Lentz 1976.

/// Relative accuracy at which a series is cut, and the terms it may take.
const CUT: f64 = 1e-14;
const TERMS_MAX: usize = 500;

/// P(X > x) of a chi-squared variable with `freedom` degrees of freedom.
pub fn chi_squared_upper(x: f64, freedom: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    let (a, z) = (freedom / 2.0, x / 2.0);
    let scale = libm::exp(a * libm::log(z) - z - libm::lgamma(a));
    if z < a + 1.0 {
        let (mut term, mut sum) = (1.0 / a, 1.0 / a);
        for k in 1..TERMS_MAX {
            term *= z / (a + k as f64);
            sum += term;
            if term < sum * CUT {
                break;
            }
        }
        return (1.0 - sum * scale).clamp(0.0, 1.0);
    }
    let fraction = lentz(|k| {
        let n = k as f64;
        (if k == 1 { 1.0 } else { -(n - 1.0) * (n - 1.0 - a) }, z + 2.0 * n - 1.0 - a)
    });
    (scale * fraction).clamp(0.0, 1.0)
}

/// P(|T| > |t|) of Student's t with `freedom` degrees of freedom.
pub fn student_two_sided(t: f64, freedom: f64) -> f64 {
    incomplete_beta(freedom / (freedom + t * t), freedom / 2.0, 0.5)
}

/// t with P(T ≤ t) = `level` of Student's t with `freedom` degrees of freedom, 0 < level < 1, by bisection on [`student_two_sided`] to a
/// relative 1e-12.
pub fn student_quantile(level: f64, freedom: f64) -> f64 {
    if level < 0.5 {
        return -student_quantile(1.0 - level, freedom);
    }
    let tail = 2.0 * (1.0 - level);
    let (mut low, mut high) = (0.0, 1.0);
    while student_two_sided(high, freedom) > tail && high < 1e12 {
        high *= 2.0;
    }
    while high - low > 1e-12 * high {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if student_two_sided(middle, freedom) > tail { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// P(Z ≤ z) of a standard normal variable.
pub fn normal_lower(z: f64) -> f64 {
    0.5 * libm::erfc(-z / std::f64::consts::SQRT_2)
}

/// z with P(Z ≤ z) = `level`, 0 < level < 1, by bisection on [`normal_lower`] to 1e-12.
pub fn normal_quantile(level: f64) -> f64 {
    let (mut low, mut high) = (-40.0, 40.0);
    while high - low > 1e-12 {
        let middle = 0.5 * (low + high);
        if normal_lower(middle) < level {
            low = middle
        } else {
            high = middle
        }
        if 0.5 * (low + high) == middle {
            break;
        }
    }
    0.5 * (low + high)
}

/// The regularised incomplete beta function I_x(a, b), 0 ≤ x ≤ 1.
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    let scale = libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b) + a * libm::log(x) + b * libm::log1p(-x);
    let fraction = lentz(|k| {
        if k == 1 {
            return (1.0, 1.0);
        }
        let m = ((k - 1) / 2) as f64;
        let numerator = if k % 2 == 1 {
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
        } else {
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
        };
        (numerator, 1.0)
    });
    (libm::exp(scale) * fraction / a).clamp(0.0, 1.0)
}

/// The continued fraction a₁ / (b₁ + a₂ / (b₂ + …)); `term(k)` gives (aₖ, bₖ).
fn lentz(term: impl Fn(usize) -> (f64, f64)) -> f64 {
    const TINY: f64 = 1e-300;
    let away = |v: f64| if v.abs() < TINY { TINY } else { v };
    let (mut value, mut c, mut d) = (TINY, TINY, 0.0);
    for k in 1..TERMS_MAX {
        let (a, b) = term(k);
        d = 1.0 / away(b + a * d);
        c = away(b + a / c);
        value *= c * d;
        if (c * d - 1.0).abs() < CUT {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scipy 1.17.1: stats.chi2.sf, stats.t.sf · 2, stats.t.ppf, stats.norm.cdf, stats.norm.ppf.
    #[test]
    fn known_answers() {
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
        close(chi_squared_upper(3.841_458_820_694_124, 1.0), 0.05);
        close(chi_squared_upper(2.0, 7.0), 0.959_840_368_730_101_6);
        close(chi_squared_upper(30.0, 10.0), 0.000_856_641_210_775_301);
        close(student_two_sided(2.0, 10.0), 0.073_388_034_770_740_42);
        close(student_two_sided(-0.3, 3.0), 0.783_763_292_039_919);
        close(student_quantile(0.95, 5.0), 2.015_048_372_669_157);
        close(student_quantile(0.99, 3.0), 4.540_702_858_568_133);
        close(student_quantile(0.025, 9.0), -2.262_157_162_740_992);
        close(normal_lower(-1.959_963_984_540_054), 0.025);
        close(normal_quantile(0.9), 1.281_551_565_544_600_4);
    }
}
