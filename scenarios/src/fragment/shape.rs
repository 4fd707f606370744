//! The fields of a load that was learned: curves, slow and skewed noise, kinds of devices, other metrics.

use super::read::{DAY, Read, Reader};
use super::{FollowerFragment, KindFragment, LoadFragment};
use crate::shape::{Follower, Kind, Marginal, Shape};
use slacktide_engine::time::Span;

/// Correlations from tick to tick go to just under 1: at ticks of 5 minutes, a memory of a year.
const CORRELATION_MAX: f64 = 0.999_99;
/// Parts of a day a profile may have: from day and night to five minutes.
const PROFILE_COUNTS: std::ops::RangeInclusive<usize> = 2..=288;
const KINDS_MAX: usize = 1000;

impl Reader<'_> {
    /// The shape, where any of its fields is given: without one, load is made as the plain fields alone say.
    pub(super) fn shape(&self, at: &str, given: &LoadFragment) -> Read<Option<Shape>> {
        let plain = LoadFragment {
            profile: None,
            week: None,
            floor_percent: None,
            slow_noise_percent: None,
            slow_noise_correlation: None,
            pool_noise_correlation: None,
            marginal: None,
            burst_sigma: None,
            kinds: None,
            memory: None,
            network: None,
            disk: None,
            ..given.clone()
        };
        if plain == *given {
            return Ok(None);
        }
        let number = |name: &str, value: Option<f64>, default: f64, min: f64, max: f64| {
            self.number(&format!("{at}.{name}"), value, default, min, max)
        };
        let kinds = given.kinds.as_deref().unwrap_or_default();
        if kinds.len() > KINDS_MAX {
            return Err(self.0.error(&format!("{at}.kinds"), kinds.len(), format!("there may be at most {KINDS_MAX}")));
        }
        let kinds = kinds.iter().enumerate().map(|(i, kind)| self.kind(&format!("{at}.kinds[{i}]"), kind));
        let follower = |name: &str, given: Option<&FollowerFragment>| {
            given.map(|g| self.follower(&format!("{at}.{name}"), g)).transpose()
        };
        Ok(Some(Shape {
            profile: self.profile(&format!("{at}.profile"), given.profile.as_ref(), 0.0)?,
            week: given.week.map(|week| self.week(&format!("{at}.week"), week)).transpose()?,
            floor_percent: number("floor_percent", given.floor_percent, 1.0, 0.0, 100.0)?,
            slow_noise_percent: number("slow_noise_percent", given.slow_noise_percent, 0.0, 0.0, 50.0)?,
            slow_noise_correlation: number(
                "slow_noise_correlation",
                given.slow_noise_correlation,
                0.995,
                0.0,
                CORRELATION_MAX,
            )?,
            pool_noise_correlation: number(
                "pool_noise_correlation",
                given.pool_noise_correlation,
                0.9,
                0.0,
                CORRELATION_MAX,
            )?,
            marginal: self.marginal(&format!("{at}.marginal"), given.marginal.as_ref())?,
            burst_sigma: number("burst_sigma", given.burst_sigma, 0.0, 0.0, 3.0)?,
            kinds: kinds.collect::<Read<_>>()?,
            others: [
                follower("memory", given.memory.as_ref())?,
                follower("network", given.network.as_ref())?,
                follower("disk", given.disk.as_ref())?,
            ],
        }))
    }

    fn kind(&self, at: &str, given: &KindFragment) -> Read<Kind> {
        let number = |name: &str, value: Option<f64>, default: f64, min: f64, max: f64| {
            self.number(&format!("{at}.{name}"), value, default, min, max)
        };
        Ok(Kind {
            level_percent: number("level_percent", given.level_percent, 0.0, -100.0, 100.0)?,
            daily_factor: number("daily_factor", given.daily_factor, 1.0, 0.0, 100.0)?,
            shift_hours: number("shift_hours", given.shift_hours, 0.0, -24.0, 24.0)?,
            noise_factor: number("noise_factor", given.noise_factor, 1.0, 0.0, 100.0)?,
            burst_factor: number("burst_factor", given.burst_factor, 1.0, 0.0, 1000.0)?,
            slow_share: given
                .slow_share
                .map(|share| self.0.in_range(&format!("{at}.slow_share"), share, 0.0, 1.0))
                .transpose()?,
            others: [
                self.other_of_kind(&format!("{at}.memory"), given.memory)?,
                self.other_of_kind(&format!("{at}.network"), given.network)?,
                self.other_of_kind(&format!("{at}.disk"), given.disk)?,
            ],
        })
    }

    fn other_of_kind(&self, path: &str, given: Option<[f64; 3]>) -> Read<Option<[f64; 3]>> {
        let Some(values) = given else { return Ok(None) };
        for (i, (value, min)) in values.into_iter().zip([-100.0, 0.0, 0.0]).enumerate() {
            self.0.in_range(&format!("{path}[{i}]"), value, min, 100.0)?;
        }
        Ok(Some(values))
    }

    fn follower(&self, at: &str, given: &FollowerFragment) -> Read<Follower> {
        let number = |name: &str, value: Option<f64>, default: f64, min: f64, max: f64| {
            self.number(&format!("{at}.{name}"), value, default, min, max)
        };
        Ok(Follower {
            level_percent: number("level_percent", given.level_percent, 0.0, -1000.0, 1000.0)?,
            spread_percent: number("spread_percent", given.spread_percent, 0.0, 0.0, 100.0)?,
            cpu_factor: number("cpu_factor", given.cpu_factor, 0.0, -10.0, 10.0)?,
            profile: self.profile(&format!("{at}.profile"), given.profile.as_ref(), -100.0)?,
            noise_percent: number("noise_percent", given.noise_percent, 0.0, 0.0, 100.0)?,
            noise_correlation: number("noise_correlation", given.noise_correlation, 0.0, 0.0, CORRELATION_MAX)?,
            slow_noise_percent: number("slow_noise_percent", given.slow_noise_percent, 0.0, 0.0, 100.0)?,
            slow_noise_correlation: number(
                "slow_noise_correlation",
                given.slow_noise_correlation,
                0.995,
                0.0,
                CORRELATION_MAX,
            )?,
            marginal: self.marginal(&format!("{at}.marginal"), given.marginal.as_ref())?,
            burst_rate_per_day: number("burst_rate_per_day", given.burst_rate_per_day, 0.0, 0.0, 100.0)?,
            burst_percent: number("burst_percent", given.burst_percent, 15.0, 0.0, 100.0)?,
            burst_sigma: number("burst_sigma", given.burst_sigma, 0.0, 0.0, 3.0)?,
            burst_duration: self.span(
                &format!("{at}.burst_duration"),
                given.burst_duration.as_ref(),
                Span::from_secs(900),
                Span::from_secs(60),
                DAY,
            )?,
        })
    }

    fn profile(&self, path: &str, given: Option<&Vec<f64>>, min: f64) -> Read<Option<Vec<f64>>> {
        let Some(values) = given else { return Ok(None) };
        if !PROFILE_COUNTS.contains(&values.len()) {
            let problem = format!(
                "must hold {} to {} values, evenly over the day from midnight UTC, such as 24",
                PROFILE_COUNTS.start(),
                PROFILE_COUNTS.end()
            );
            return Err(self.0.error(path, format!("{} values", values.len()), problem));
        }
        values
            .iter()
            .enumerate()
            .try_for_each(|(i, v)| self.0.in_range(&format!("{path}[{i}]"), *v, min, 100.0).map(|_| ()))?;
        Ok(Some(values.clone()))
    }

    fn week(&self, path: &str, week: [f64; 7]) -> Read<[f64; 7]> {
        week.iter()
            .enumerate()
            .try_for_each(|(i, v)| self.0.in_range(&format!("{path}[{i}]"), *v, 0.0, 5.0).map(|_| ()))?;
        Ok(week)
    }

    fn marginal(&self, path: &str, given: Option<&Vec<f64>>) -> Read<Option<Marginal>> {
        let Some(values) = given else { return Ok(None) };
        values
            .iter()
            .enumerate()
            .try_for_each(|(i, v)| self.0.in_range(&format!("{path}[{i}]"), *v, -100.0, 100.0).map(|_| ()))?;
        let counts = Marginal::COUNTS;
        let problem = format!(
            "must hold {} to {} values that do not fall: the noise in its standard deviations where a normal one would be, evenly, -3 to 3",
            counts.start(),
            counts.end()
        );
        Marginal::new(values.clone())
            .map(Some)
            .ok_or_else(|| self.0.error(path, format!("{} values", values.len()), problem))
    }
}

#[cfg(test)]
mod tests {
    use crate::Scenario;

    fn read(load: &str) -> Result<Scenario, String> {
        Scenario::from_toml("s.toml", &format!("[[pools]]\n[pools.load]\n{load}\n")).map_err(|e| e.to_string())
    }

    #[test]
    fn a_load_without_these_fields_has_no_shape_and_each_field_gives_it_one() {
        assert_eq!(read("noise_percent = 3").unwrap().pools[0].load.shape, None);
        let shape = read("profile = [0, 20]\nkinds = [{ level_percent = 3 }]\ndisk = { level_percent = 5 }").unwrap();
        let shape = shape.pools[0].load.shape.clone().unwrap();
        assert_eq!((shape.profile.as_deref(), shape.floor_percent), (Some([0.0, 20.0].as_slice()), 1.0));
        assert_eq!((shape.kinds[0].level_percent, shape.kinds[0].noise_factor), (3.0, 1.0));
        assert!(shape.others[0].is_none() && shape.others[2].as_ref().unwrap().level_percent == 5.0);
        assert!(read("week = [1, 1, 1, 1, 1, 1, 1]").unwrap().pools[0].load.shape.is_some());
    }

    #[test]
    fn every_mistake_is_named() {
        let said = |load: &str| read(load).unwrap_err();
        assert!(said("profile = [1]").contains("`pools[0].load.profile`: value `1 values`: must hold 2 to 288 values"));
        assert!(
            said("profile = [1, -2]").contains("`pools[0].load.profile[1]`: value `-2`: must be a number in 0..=100")
        );
        assert!(said("marginal = [0, 2, 1]").contains("values that do not fall"));
        assert!(said("week = [1, 1, 1, 1, 1, 1, 9]").contains("week[6]`: value `9`: must be a number in 0..=5"));
        assert!(said("slow_noise_correlation = 1").contains("0..=0.99999"));
        assert!(said("kinds = [{ noise_factor = -1 }]").contains("kinds[0].noise_factor`: value `-1`"));
        assert!(said("kinds = [{ memory = [0, -1, 1] }]").contains("kinds[0].memory[1]`: value `-1`"));
        assert!(said("kinds = [{ slow_share = 2 }]").contains("kinds[0].slow_share`: value `2`"));
        assert!(said("memory = { burst_duration = \"3x\" }").contains("memory.burst_duration`"));
        assert!(said("floor_percnt = 1").contains("did you mean `floor_percent`?"));
    }
}
