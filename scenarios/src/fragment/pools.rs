//! Pools of devices and how their load moves.

use super::read::{DAY, Read, Reader};
use super::{LoadFragment, PoolFragment};
use crate::scenario::{Flash, LoadFamily, PoolGroup, Ramp};
use slacktide_engine::document::Whole;
use slacktide_engine::time::Span;
use std::collections::BTreeMap;

impl Reader<'_> {
    pub(super) fn pool(&self, i: usize, given: PoolFragment) -> Read<PoolGroup> {
        let path = |field: &str| format!("pools[{i}].{field}");
        let one = |name: &str| BTreeMap::from([(name.to_owned(), 1.0)]);
        let regions = given.regions.unwrap_or_else(|| vec!["eu".to_owned()]);
        if regions.is_empty() {
            return Err(self.0.error(&path("regions"), "[]", "there must be at least one region"));
        }
        let count = |field: &str, value: Option<Whole>, default: u32| {
            self.whole(&path(field), value, default, 1, 1_000_000).map(|count| count as usize)
        };
        Ok(PoolGroup {
            name: given.name.unwrap_or_else(|| format!("pool{}", i + 1)),
            share: self.number(&path("share"), given.share, 1.0, 1e-9, 1e9)?,
            pool_size: count("pool_size", given.pool_size, 10)?,
            function: given.function.unwrap_or_else(|| "web".to_owned()),
            regions,
            sites_per_region: count("sites_per_region", given.sites_per_region, 2)?,
            versions: self.shares(&path("versions"), given.versions.unwrap_or_else(|| one("1.0")), |text| {
                text.parse().map_err(|e: slacktide_engine::version::BadVersion| e.to_string())
            })?,
            variants: self
                .shares(&path("variants"), given.variants.unwrap_or_else(|| one("a")), |text| Ok(text.to_owned()))?,
            weight: self.pair(&path("weight"), given.weight, 1e-6, 1e9)?,
            requirement: self.pair(&path("requirement"), given.requirement, 0.0, 1e9)?,
            load: self.load(&path("load"), &given.load.unwrap_or_default())?,
        })
    }

    /// Devices and pools are called after their group: two groups of one name would be two devices of one name.
    pub(super) fn groups_differ(&self, groups: &[PoolGroup]) -> Read<()> {
        let mut seen = BTreeMap::new();
        for (i, group) in groups.iter().enumerate() {
            if let Some(before) = seen.insert(group.name.as_str(), i) {
                let problem = format!(
                    "is the name of pools[{before}] already: devices are called after their group, so each needs its own"
                );
                return Err(self.0.error(&format!("pools[{i}].name"), &group.name, problem));
            }
        }
        Ok(())
    }

    pub(super) fn load(&self, at: &str, given: &LoadFragment) -> Read<LoadFamily> {
        let field = |name: &str, value: Option<f64>, default: f64, min: f64, max: f64| {
            self.number(&format!("{at}.{name}"), value, default, min, max)
        };
        Ok(LoadFamily {
            base_percent: field("base_percent", given.base_percent, 25.0, 0.0, 100.0)?,
            daily_amplitude_percent: field("daily_amplitude_percent", given.daily_amplitude_percent, 30.0, 0.0, 100.0)?,
            daily_peak_hour: field("daily_peak_hour", given.daily_peak_hour, 20.0, 0.0, 24.0)?,
            daily_sharpness: field("daily_sharpness", given.daily_sharpness, 1.0, 0.1, 20.0)?,
            weekend_factor: field("weekend_factor", given.weekend_factor, 0.9, 0.0, 5.0)?,
            trend_percent_per_day: field("trend_percent_per_day", given.trend_percent_per_day, 0.0, -20.0, 20.0)?,
            noise_percent: field("noise_percent", given.noise_percent, 4.0, 0.0, 50.0)?,
            noise_correlation: field("noise_correlation", given.noise_correlation, 0.7, 0.0, 0.999)?,
            pool_noise_percent: field("pool_noise_percent", given.pool_noise_percent, 1.5, 0.0, 50.0)?,
            device_spread_percent: field("device_spread_percent", given.device_spread_percent, 4.0, 0.0, 50.0)?,
            burst_rate_per_day: field("burst_rate_per_day", given.burst_rate_per_day, 0.5, 0.0, 100.0)?,
            burst_percent: field("burst_percent", given.burst_percent, 15.0, 0.0, 100.0)?,
            burst_duration: self.span(
                &format!("{at}.burst_duration"),
                given.burst_duration.as_ref(),
                Span::from_secs(900),
                Span::from_secs(60),
                DAY,
            )?,
            memory_percent: field("memory_percent", given.memory_percent, 45.0, 0.0, 100.0)?,
            network_factor: field("network_factor", given.network_factor, 0.6, 0.0, 10.0)?,
            disk_percent: field("disk_percent", given.disk_percent, 15.0, 0.0, 100.0)?,
            shape: self.shape(at, given)?,
            ramp: self.ramp(at, given)?,
            flash: self.flash(at, given)?,
            month_end: self.month_end(at, given)?,
            shift: self.shift(at, given)?,
            weekday_factors: self.weekday_factors(at, given)?,
        })
    }

    fn flash(&self, at: &str, given: &LoadFragment) -> Read<Option<Flash>> {
        let percent = self.number(&format!("{at}.flash_percent"), given.flash_percent, 0.0, 0.0, 100.0)?;
        let minutes = |n: u64| Span::from_secs(n * 60);
        let span = |name: &str, given: Option<&String>, default: Span, min: Span, max: Span| {
            self.span(&format!("{at}.{name}"), given, default, min, max)
        };
        let flash = Flash {
            percent,
            after: span("flash_after", given.flash_after.as_ref(), minutes(120), Span::ZERO, DAY.times(30))?,
            rise: span("flash_rise", given.flash_rise.as_ref(), minutes(5), Span::ZERO, DAY)?,
            half_life: span("flash_half_life", given.flash_half_life.as_ref(), minutes(30), minutes(1), DAY.times(7))?,
        };
        Ok((percent > 0.0).then_some(flash))
    }

    fn month_end(&self, at: &str, given: &LoadFragment) -> Read<Option<(f64, u32)>> {
        let percent = self.number(&format!("{at}.month_end_percent"), given.month_end_percent, 0.0, -100.0, 100.0)?;
        let days = self.whole(&format!("{at}.month_end_days"), given.month_end_days, 3, 1, 28)?;
        Ok((percent != 0.0).then_some((percent, days)))
    }

    fn shift(&self, at: &str, given: &LoadFragment) -> Read<Option<(f64, Span)>> {
        let percent = self.number(&format!("{at}.shift_percent"), given.shift_percent, 0.0, -100.0, 100.0)?;
        let path = format!("{at}.shift_after");
        let after = self.span(&path, given.shift_after.as_ref(), DAY.times(5), Span::ZERO, DAY.times(120))?;
        Ok((percent != 0.0).then_some((percent, after)))
    }

    fn weekday_factors(&self, at: &str, given: &LoadFragment) -> Read<[f64; 7]> {
        let factors = given.weekday_factors.unwrap_or([1.0; 7]);
        for (i, factor) in factors.into_iter().enumerate() {
            self.0.in_range(&format!("{at}.weekday_factors[{i}]"), factor, 0.0, 5.0)?;
        }
        Ok(factors)
    }

    pub(super) fn ramp(&self, at: &str, given: &LoadFragment) -> Read<Option<Ramp>> {
        let percent = self.number(&format!("{at}.ramp_percent"), given.ramp_percent, 0.0, 0.0, 100.0)?;
        let hour = Span::from_secs(3600);
        let span = |name: &str, given: Option<&String>, default: Span, max: Span| {
            self.span(&format!("{at}.{name}"), given, default, Span::ZERO, max)
        };
        let ramp = Ramp {
            percent,
            after: span("ramp_after", given.ramp_after.as_ref(), hour, DAY.times(30))?,
            duration: span("ramp_duration", given.ramp_duration.as_ref(), hour, DAY)?,
            hold: span("ramp_hold", given.ramp_hold.as_ref(), hour.times(2), DAY.times(30))?,
        };
        Ok((percent > 0.0).then_some(ramp))
    }
}
