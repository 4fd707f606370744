//! What every device would carry if nobody were out: synthetic families, or recorded machines.

mod recorded;
mod synthetic;

pub(crate) use recorded::recorded_days;

use crate::setup::{LoadSource, Setup};
use recorded::Recorded;
use slacktide_engine::input::DeviceFacts;
use slacktide_engine::time::Instant;
use std::sync::Arc;
use synthetic::Synthetic;

/// Own load of every device, tick by tick. Ticks must be asked for in order.
#[derive(Debug)]
pub(crate) enum Load {
    Synthetic(Box<Synthetic>),
    Recorded(Recorded),
}

impl Load {
    pub(crate) fn new(setup: &Setup, facts: &[DeviceFacts], group_of: &[usize], seed: u64) -> Self {
        match &setup.load {
            LoadSource::Synthetic => Self::Synthetic(Box::new(Synthetic::new(setup, facts, group_of, seed))),
            LoadSource::Recorded { recording, pool_peak_percent, .. } => {
                Self::Recorded(Recorded::new(setup, Arc::clone(recording), *pool_peak_percent, facts, seed))
            }
        }
    }

    /// Writes the own load at a tick into `out`, one column a metric. Values may exceed 100 where load was rescaled.
    pub(crate) fn fill(&mut self, tick: u64, at: Instant, out: &mut [Vec<f32>]) {
        match self {
            Self::Synthetic(synthetic) => synthetic.fill(at, out),
            Self::Recorded(recorded) => recorded.fill(tick, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slacktide_engine::time::Span;

    /// Own load of a calm fleet of one device at some hours of a run.
    fn loads(load: &str, hours: &[u64]) -> Vec<f32> {
        let calm = "noise_percent = 0\npool_noise_percent = 0\ndevice_spread_percent = 0\nburst_rate_per_day = 0\n";
        let text = format!(
            "devices = 1\nhistory = \"24h\"\n[[pools]]\npool_size = 1\n[pools.load]\nbase_percent = 20\n{calm}{load}"
        );
        let scenario = slacktide_scenarios::Scenario::from_toml("t", &text).unwrap();
        let setup = Setup::new(scenario.clone(), scenario.policy().unwrap());
        let (facts, group_of) = setup.devices(1);
        let mut load = Load::new(&setup, &facts, &group_of, 1);
        let mut columns = vec![vec![0.0; 1]; 4];
        hours
            .iter()
            .map(|hour| {
                load.fill(*hour, scenario.start + Span::from_secs(3600 * hour), &mut columns);
                columns[0][0]
            })
            .collect()
    }

    /// The world begins on a Monday; its rollout a day later.
    #[test]
    fn shifts_flashes_and_weekdays_move_the_load() {
        let flat = "daily_amplitude_percent = 0\n";
        assert_eq!(
            loads(&format!("{flat}shift_percent = 15\nshift_after = \"48h\"\n"), &[47, 48, 200]),
            [20.0, 35.0, 35.0]
        );
        let flash =
            format!("{flat}flash_percent = 40\nflash_after = \"2h\"\nflash_half_life = \"1h\"\nflash_rise = \"0s\"\n");
        assert_eq!(loads(&flash, &[25, 26, 27, 28]), [20.0, 60.0, 40.0, 30.0]);
        let week = "daily_amplitude_percent = 40\ndaily_peak_hour = 12\nweekend_factor = 0.5\nweekday_factors = [1, 0.5, 1, 1, 1, 1, 0]\n";
        assert_eq!(loads(week, &[12, 36, 60, 132, 156]), [60.0, 40.0, 60.0, 40.0, 20.0]);
        let month = format!("{flat}month_end_percent = -10\nmonth_end_days = 2\n");
        // 2024-03-04 and 26 days later the 30th.
        assert_eq!(loads(&month, &[0, 25 * 24, 26 * 24, 27 * 24, 28 * 24]), [20.0, 20.0, 10.0, 10.0, 20.0]);
    }
}
