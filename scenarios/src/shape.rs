//! Load that was learned from recordings, or is described as closely: any daily curve, slow and skewed noise, devices of several kinds.

use slacktide_engine::time::Span;

/// What a [`crate::LoadFamily`] has beyond the plain fields; the plain ones mean what they always mean.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Points over the base, evenly over the day (UTC) from midnight; `None`: the cosine of the plain fields.
    pub profile: Option<Vec<f64>>,
    /// Factor of the daily curve, Monday first; `None`: the weekend factor of the plain fields.
    pub week: Option<[f64; 7]>,
    /// Least load of a device, percent.
    pub floor_percent: f64,
    /// Standard deviation of the slow noise of a device, points.
    pub slow_noise_percent: f64,
    /// Its correlation from tick to tick.
    pub slow_noise_correlation: f64,
    /// Correlation of the pool's noise from tick to tick.
    pub pool_noise_correlation: f64,
    /// The distribution of all noise together, in its standard deviations, where a normal one would be −3 … 3; `None`: normal.
    pub marginal: Option<Marginal>,
    /// Standard deviation of the logarithm of a burst's height; 0: all alike.
    pub burst_sigma: f64,
    /// Kinds of devices, each as frequent as the others; empty: all alike but for their levels.
    pub kinds: Vec<Kind>,
    /// Memory, network and disk, where they do not follow the plain fields.
    pub others: [Option<Follower>; 3],
}

/// One kind of devices within a family.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kind {
    /// Points added to the base.
    pub level_percent: f64,
    /// Factor of the daily curve.
    pub daily_factor: f64,
    /// The daily curve comes so many hours later.
    pub shift_hours: f64,
    /// Factor of all noise.
    pub noise_factor: f64,
    /// Factor of the rate of bursts.
    pub burst_factor: f64,
    /// Share of slow noise in the noise it does not share with its pool, 0 to 1; `None`: that of the family.
    pub slow_share: Option<f64>,
    /// Memory, network and disk of such a device: points added to the level, factor of the curve, factor of the noise.
    pub others: [Option<[f64; 3]>; 3],
}

impl Kind {
    /// A device as the family describes it.
    pub const PLAIN: Self = Self {
        level_percent: 0.0,
        daily_factor: 1.0,
        shift_hours: 0.0,
        noise_factor: 1.0,
        burst_factor: 1.0,
        slow_share: None,
        others: [None; 3],
    };
}

/// A metric beside the first: `level + factor × first metric + curve + noise`, in percent.
#[derive(Debug, Clone, PartialEq)]
pub struct Follower {
    /// Level.
    pub level_percent: f64,
    /// Standard deviation of the devices' own levels.
    pub spread_percent: f64,
    /// Points for a point of the first metric.
    pub cpu_factor: f64,
    /// Points evenly over the day (UTC) from midnight; `None`: no curve of its own.
    pub profile: Option<Vec<f64>>,
    /// Standard deviation of the noise.
    pub noise_percent: f64,
    /// Its correlation from tick to tick.
    pub noise_correlation: f64,
    /// Standard deviation of the slow noise.
    pub slow_noise_percent: f64,
    /// Its correlation from tick to tick.
    pub slow_noise_correlation: f64,
    /// The distribution of both together; `None`: normal.
    pub marginal: Option<Marginal>,
    /// Bursts a day and device.
    pub burst_rate_per_day: f64,
    /// Median height of a burst, points.
    pub burst_percent: f64,
    /// Standard deviation of the logarithm of that.
    pub burst_sigma: f64,
    /// Mean length of a burst.
    pub burst_duration: Span,
}

/// A monotone transform of a standard normal variable: values at evenly spaced places of it from [`Marginal::Z_MIN`] to −`Z_MIN`.
#[derive(Debug, Clone, PartialEq)]
pub struct Marginal(Vec<f64>);

impl Marginal {
    /// The lowest place of the table; what lies beyond either end is the value there.
    pub const Z_MIN: f64 = -3.0;
    /// Fewest and most values.
    pub const COUNTS: std::ops::RangeInclusive<usize> = 3..=61;

    /// From values that do not fall; `None` for any other, and for too few or too many.
    pub fn new(values: Vec<f64>) -> Option<Self> {
        let rises = values.windows(2).all(|pair| pair[0] <= pair[1]) && values.iter().all(|v| v.is_finite());
        (rises && Self::COUNTS.contains(&values.len())).then_some(Self(values))
    }

    /// The value at a place of the standard normal variable.
    pub fn at(&self, z: f64) -> f64 {
        let last = self.0.len() - 1;
        let place = ((z - Self::Z_MIN) / (-2.0 * Self::Z_MIN) * last as f64).clamp(0.0, last as f64);
        let low = (place as usize).min(last - 1);
        let share = place - low as f64;
        self.0[low] * (1.0 - share) + self.0[low + 1] * share
    }

    /// The values.
    pub fn values(&self) -> &[f64] {
        &self.0
    }
}

/// The value of an evenly spaced daily curve, `hour` in hours from midnight UTC (any number); straight lines between the middles of its
/// parts, round midnight too.
pub fn profile_at(profile: &[f64], hour: f64) -> f64 {
    let count = profile.len();
    let place = (hour / 24.0 * count as f64 - 0.5).rem_euclid(count as f64);
    let low = (place as usize).min(count - 1);
    let share = place - low as f64;
    profile[low] * (1.0 - share) + profile[(low + 1) % count] * share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marginal_is_a_rising_table_and_flat_beyond_its_ends() {
        let table = Marginal::new(vec![-1.0, 0.0, 4.0]).unwrap();
        assert_eq!([-9.0, -3.0, -1.5, 0.0, 1.5, 3.0, 9.0].map(|z| table.at(z)), [-1.0, -1.0, -0.5, 0.0, 2.0, 4.0, 4.0]);
        assert!(Marginal::new(vec![0.0, 1.0]).is_none() && Marginal::new(vec![0.0, 2.0, 1.0]).is_none());
        assert!(Marginal::new(vec![0.0, 1.0, f64::NAN]).is_none());
    }

    #[test]
    fn a_profile_goes_round_midnight() {
        let profile = [0.0, 10.0, 20.0, 10.0];
        assert_eq!(
            [3.0, 9.0, 15.0, 21.0, 24.0, 27.0, -3.0].map(|h| profile_at(&profile, h)),
            [0.0, 10.0, 20.0, 10.0, 5.0, 0.0, 10.0]
        );
    }
}
