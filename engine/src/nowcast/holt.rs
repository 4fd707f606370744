//! Damped-trend exponential smoothing (Gardner & McKenzie 1985), for ticks that need not be even.
//!
//! Over one step, with what the smoother did not expect `e`: `level += φ·trend + α·e`, `trend = φ·trend + α·β·e`. These are the
//! equations of statsmodels' `Holt(damped_trend=True)`, whose smoothing of the trend is `β`; ticks of another length than a step take
//! the fraction of each that keeps its memory in time.

/// How much a step teaches, and how much of a trend is left after it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Gains {
    /// Of the level, 0..=1.
    pub(crate) level: f64,
    /// Of the trend, as a share of what moves the level, 0..=1.
    pub(crate) trend: f64,
    /// What is left of a trend, in (0, 1).
    pub(crate) damping: f64,
}

impl Gains {
    /// The same memory in time over a tick of so many steps.
    fn over(self, steps: f64) -> Self {
        let gain = |gain: f64| 1.0 - libm::pow(1.0 - gain, steps);
        Self { level: gain(self.level), trend: gain(self.trend), damping: libm::pow(self.damping, steps) }
    }

    /// How far a trend of 1 a step carries in so many steps.
    pub(crate) fn reach(self, steps: f64) -> f64 {
        self.damping * (1.0 - libm::pow(self.damping, steps)) / (1.0 - self.damping)
    }

    /// Standard deviation of the forecast so many steps ahead, for errors of one step that have deviation 1 (Hyndman et al. 2008,
    /// table 6.1: `1 + Σ (α + α·β·reach(j))²`).
    pub(crate) fn deviation(self, steps: f64) -> f64 {
        let (mut variance, mut reach, mut fade) = (1.0, 0.0, 1.0);
        for _ in 1..(libm::ceil(steps) as usize).min(1_000) {
            fade *= self.damping;
            reach += fade;
            let part = self.level * (1.0 + self.trend * reach);
            variance += part * part;
        }
        variance.sqrt()
    }
}

/// Level, and trend in units a step.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Holt {
    pub(crate) level: f64,
    pub(crate) trend: f64,
}

impl Holt {
    /// Expected so many steps ahead.
    pub(crate) fn ahead(self, gains: Gains, steps: f64) -> f64 {
        self.level + self.trend * gains.reach(steps)
    }

    /// Takes in how far a tick, so many steps after the last, was from what was expected of it.
    pub(crate) fn learn(&mut self, gains: Gains, steps: f64, error: f64) {
        let now = gains.over(steps);
        self.level = self.ahead(gains, steps) + now.level * error;
        self.trend = now.damping * self.trend + now.level * now.trend * error / steps;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GAINS: Gains = Gains { level: 0.5, trend: 0.3, damping: 0.9 };

    fn smooth(values: &[f64], first: Holt) -> Holt {
        let mut holt = first;
        for value in values {
            let error = value - holt.ahead(GAINS, 1.0);
            holt.learn(GAINS, 1.0, error);
        }
        holt
    }

    /// statsmodels 0.15.0: `Holt(y, damped_trend=True, initialization_method="known", initial_level=2, initial_trend=0.5)` fitted with
    /// smoothing 0.5 and 0.3, damping 0.9.
    #[test]
    fn as_statsmodels_has_it() {
        let values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0, 5.0, 3.0, 5.0, 8.0];
        let holt = smooth(&values, Holt { level: 2.0, trend: 0.5 });
        assert!((holt.level - 6.242_964_996_106_128).abs() < 1e-12, "{holt:?}");
        assert!((holt.trend - 0.476_238_342_992_843_4).abs() < 1e-12, "{holt:?}");
        let known = [6.671_579_5, 7.057_332_56, 7.404_510_31, 7.716_970_29, 7.998_184_27, 8.251_276_85];
        for (h, known) in known.iter().enumerate() {
            let ahead = holt.ahead(GAINS, (h + 1) as f64);
            assert!((ahead - known).abs() < 1e-8, "{h}: {ahead}");
        }
    }

    /// By hand, three steps ahead: 1 + 0.5²(1 + 0.3·0.9)² + 0.5²(1 + 0.3·1.71)² = 1 + 0.403225 + 0.57229225.
    #[test]
    fn uncertainty_is_what_the_state_space_says() {
        assert!((GAINS.deviation(1.0) - 1.0).abs() < 1e-12);
        assert!((GAINS.deviation(3.0) - (1.975_517_25_f64).sqrt()).abs() < 1e-9, "{}", GAINS.deviation(3.0));
    }

    proptest! {
        /// Half a tick twice forgets as much as a whole one, and far ahead a trend comes to an end.
        #[test]
        fn time_is_what_counts(level in -1e3f64..1e3, trend in -1e2f64..1e2, steps in 0.1f64..20.0) {
            let start = Holt { level, trend };
            let (mut whole, mut halves) = (start, start);
            whole.learn(GAINS, steps, 0.0);
            halves.learn(GAINS, steps / 2.0, 0.0);
            halves.learn(GAINS, steps / 2.0, 0.0);
            prop_assert!((whole.level - halves.level).abs() < 1e-6 && (whole.trend - halves.trend).abs() < 1e-6);
            prop_assert!((start.ahead(GAINS, 1e6) - level - 9.0 * trend).abs() < 1e-6);
        }
    }
}
