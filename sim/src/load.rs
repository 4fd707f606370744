//! What every device would carry if nobody were out: synthetic families, or recorded machines.

use crate::learned::Learned;
use crate::rng::{Purpose, Stream};
use crate::setup::{LoadSource, Setup};
use rand_distr::{Distribution, StandardNormal};
use slacktide_engine::input::DeviceFacts;
use slacktide_engine::time::{Instant, Span};
use slacktide_scenarios::recorded::Recording;
use slacktide_scenarios::{Flash, LoadFamily};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Own load of every device, tick by tick. Ticks must be asked for in order.
#[derive(Debug)]
pub(crate) enum Load {
    Synthetic(Synthetic),
    Recorded(Recorded),
}

impl Load {
    pub(crate) fn new(setup: &Setup, facts: &[DeviceFacts], group_of: &[usize], seed: u64) -> Self {
        match &setup.load {
            LoadSource::Synthetic => Self::Synthetic(Synthetic::new(setup, facts, group_of, seed)),
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

fn normal(stream: &mut Stream) -> f32 {
    StandardNormal.sample(stream)
}

#[derive(Debug)]
struct DeviceState {
    stream: Stream,
    noise: f32,
    slow: f32,
    level: f32,
    burst_left: u32,
}

/// Synthetic load: see [`LoadFamily`].
#[derive(Debug)]
pub(crate) struct Synthetic {
    families: Vec<LoadFamily>,
    family_of: Vec<u32>,
    devices: Vec<DeviceState>,
    pool_of: Vec<u32>,
    pool_noise: Vec<f32>,
    pool_streams: Vec<Stream>,
    start: Instant,
    rollout_at: Instant,
    ticks_per_day: f64,
    /// Devices of families with a shape.
    learned: Option<Learned>,
}

impl Synthetic {
    fn new(setup: &Setup, facts: &[DeviceFacts], group_of: &[usize], seed: u64) -> Self {
        let families: Vec<LoadFamily> = setup.scenario.pools.iter().map(|g| g.load.clone()).collect();
        let mut pools: BTreeMap<&str, u32> = BTreeMap::new();
        let mut pool_of = Vec::with_capacity(facts.len());
        let mut devices = Vec::with_capacity(facts.len());
        for (d, fact) in facts.iter().enumerate() {
            let next = pools.len() as u32;
            pool_of.push(*pools.entry(fact.pool.as_str()).or_insert(next));
            let spread = families[group_of[d]].device_spread_percent as f32;
            let level = normal(&mut Stream::new(seed, Purpose::Level, d as u64)).clamp(-2.5, 2.5) * spread;
            devices.push(DeviceState {
                stream: Stream::new(seed, Purpose::Noise, d as u64),
                noise: 0.0,
                slow: 0.0,
                level,
                burst_left: 0,
            });
        }
        Self {
            family_of: group_of.iter().map(|g| *g as u32).collect(),
            families,
            devices,
            pool_of,
            pool_noise: vec![0.0; pools.len()],
            pool_streams: (0..pools.len()).map(|p| Stream::new(seed, Purpose::PoolNoise, p as u64)).collect(),
            start: setup.scenario.start,
            rollout_at: setup.scenario.start + setup.scenario.history,
            ticks_per_day: 86_400.0 / setup.scenario.tick.as_secs_f64(),
            learned: Learned::new(setup, facts, group_of, seed),
        }
    }

    fn fill(&mut self, at: Instant, out: &mut [Vec<f32>]) {
        for (noise, stream) in self.pool_noise.iter_mut().zip(&mut self.pool_streams) {
            // Slow enough to be a mood of the hour, not of the minute.
            *noise = 0.9 * *noise + 0.435_89 * normal(stream);
        }
        let curves: Vec<f32> = self.families.iter().map(|f| self.common(f, at)).collect();
        let [cpu, memory, network, disk] = out else { return };
        for (d, device) in self.devices.iter_mut().enumerate() {
            let family = &self.families[self.family_of[d] as usize];
            if family.shape.is_some() {
                continue;
            }
            let phi = family.noise_correlation as f32;
            device.noise = phi * device.noise + (1.0 - phi * phi).sqrt() * normal(&mut device.stream);
            let other = normal(&mut device.stream);
            device.slow = 0.995 * device.slow + 0.0999 * other;
            if device.burst_left > 0 {
                device.burst_left -= 1;
            } else if device.stream.uniform() < family.burst_rate_per_day / self.ticks_per_day {
                let ticks = family.burst_duration.as_secs_f64() / 86_400.0 * self.ticks_per_day;
                device.burst_left = (-ticks * libm::log(1.0 - device.stream.uniform())).ceil().clamp(1.0, 1e6) as u32;
            }
            let burst = if device.burst_left > 0 { family.burst_percent as f32 } else { 0.0 };
            let pool = self.pool_noise[self.pool_of[d] as usize] * family.pool_noise_percent as f32;
            let load = curves[self.family_of[d] as usize]
                + device.level
                + pool
                + family.noise_percent as f32 * device.noise
                + burst;
            let load = load.clamp(1.0, 100.0);
            cpu[d] = load;
            memory[d] = (family.memory_percent as f32 + 3.0 * device.slow + 0.05 * load).clamp(0.0, 100.0);
            network[d] = (family.network_factor as f32 * load + 2.0 * other).clamp(0.0, 100.0);
            disk[d] = (family.disk_percent as f32 + 2.0 * other + 0.4 * burst).clamp(0.0, 100.0);
        }
        if let Some(learned) = &mut self.learned {
            learned.fill(at, out);
        }
    }

    /// What all devices of a family share: base, daily curve, trend, and the rise that history does not know.
    fn common(&self, family: &LoadFamily, at: Instant) -> f32 {
        let seconds = at.as_millis() as f64 / 1000.0;
        let hour = (seconds / 3600.0).rem_euclid(24.0);
        let phase = (hour - family.daily_peak_hour) / 24.0 * std::f64::consts::TAU;
        let curve = libm::pow((1.0 + libm::cos(phase)) / 2.0, family.daily_sharpness);
        // 1970-01-01 was a Thursday.
        let weekday = (seconds / 86_400.0).floor().rem_euclid(7.0);
        let factor = if weekday == 2.0 || weekday == 3.0 { family.weekend_factor } else { 1.0 };
        // Factors begin with Monday.
        let factor = factor * family.weekday_factors[(weekday as usize + 3) % 7];
        let trend = family.trend_percent_per_day * at.since(self.start).as_secs_f64() / 86_400.0;
        let ramp =
            family.ramp.filter(|_| at >= self.rollout_at).map_or(0.0, |ramp| ramp.points(at.since(self.rollout_at)));
        let flash = family.flash.filter(|_| at >= self.rollout_at);
        let flash = flash.map_or(0.0, |flash| flash_points(&flash, at.since(self.rollout_at)));
        let month_end =
            family.month_end.map_or(0.0, |(points, days)| if is_month_end(at, days) { points } else { 0.0 });
        let shift = family.shift.map_or(0.0, |(points, after)| if at >= self.start + after { points } else { 0.0 });
        let rises = ramp + flash + month_end + shift;
        (family.base_percent + family.daily_amplitude_percent * curve * factor + trend + rises) as f32
    }
}

/// Points of a flash crowd this long after the rollout was announced.
fn flash_points(flash: &Flash, since: Span) -> f64 {
    let (t, rise) = (since.as_secs_f64() - flash.after.as_secs_f64(), flash.rise.as_secs_f64());
    if t < 0.0 {
        0.0
    } else if t < rise {
        flash.percent * t / rise
    } else {
        flash.percent * libm::exp2(-(t - rise) / flash.half_life.as_secs_f64())
    }
}

/// Is it one of the last `days` days of a month, UTC?
fn is_month_end(at: Instant, days: u32) -> bool {
    let day = at.as_secs().div_euclid(86_400);
    month_of(day) != month_of(day + i64::from(days))
}

/// Month, 1 to 12, of a day counted from 1970-01-01 (Hinnant, *chrono-compatible low-level date algorithms*, `civil_from_days`).
const fn month_of(day: i64) -> i64 {
    let day_of_era = (day + 719_468).rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    if from_march < 10 { from_march + 3 } else { from_march - 9 }
}

/// Days (in steps from the recording's first midnight) on which at least half of some machine's samples are known.
pub(crate) fn recorded_days(recording: &Recording) -> Vec<usize> {
    let (offset, per_day) = day_grid(recording);
    let days = (offset + recording.steps).div_ceil(per_day);
    (0..days).filter(|day| (0..recording.devices.len()).any(|m| known_on(recording, m, *day))).collect()
}

/// Steps between the midnight before the first sample and that sample, and steps in a day.
fn day_grid(recording: &Recording) -> (usize, usize) {
    let per_day = (86_400 / recording.period_s).max(1) as usize;
    ((recording.start_s.rem_euclid(86_400) / recording.period_s) as usize, per_day)
}

fn known_on(recording: &Recording, machine: usize, day: usize) -> bool {
    let (offset, per_day) = day_grid(recording);
    let series = recording.series(0, machine);
    let begin = (day * per_day).saturating_sub(offset).min(series.len());
    let end = ((day + 1) * per_day).saturating_sub(offset).min(series.len());
    series[begin..end].iter().filter(|v| v.is_finite()).count() * 2 >= per_day
}

/// Recorded load: each device follows a machine, its days shifted; days that machine lacks are another's.
#[derive(Debug)]
pub(crate) struct Recorded {
    recording: Arc<Recording>,
    /// By device, then day of the run: machine and recorded day.
    tapes: Vec<Vec<(u32, u32)>>,
    scale: Vec<f32>,
    last: Vec<Vec<f32>>,
    per_day: usize,
    offset: usize,
}

impl Recorded {
    fn new(setup: &Setup, recording: Arc<Recording>, peak: Option<f64>, facts: &[DeviceFacts], seed: u64) -> Self {
        let (offset, per_day) = day_grid(&recording);
        let days = recorded_days(&recording);
        let machines = recording.devices.len();
        let on_day: Vec<Vec<u32>> = days
            .iter()
            .map(|day| (0..machines).filter(|m| known_on(&recording, *m, *day)).map(|m| m as u32).collect())
            .collect();
        let run_days =
            ((setup.scenario.history + setup.scenario.until_max).as_secs_f64() / 86_400.0).ceil() as usize + 1;
        let tape = |d: usize| {
            let mut stream = Stream::new(seed, Purpose::Tape, d as u64);
            let first = (d + stream.below(machines)) % machines;
            let shift = stream.below(days.len());
            let mut machine = first as u32;
            let day_of = |k: usize, stream: &mut Stream| {
                let recorded = (k + shift) % days.len();
                // Once round, another machine goes on: a world that repeats itself would flatter every forecast.
                if k > 0 && k.is_multiple_of(days.len()) || !on_day[recorded].contains(&machine) {
                    machine = on_day[recorded][stream.below(on_day[recorded].len())];
                }
                (machine, days[recorded] as u32)
            };
            let mut day_of = day_of;
            (0..run_days).map(|k| day_of(k, &mut stream)).collect()
        };
        let mut recorded = Self {
            tapes: (0..facts.len()).map(tape).collect(),
            scale: vec![1.0; facts.len()],
            last: vec![vec![0.0; facts.len()]; recording.metrics.len()],
            recording,
            per_day,
            offset,
        };
        if let Some(peak) = peak {
            recorded.rescale(facts, peak, (run_days * per_day) as u64);
        }
        recorded
    }

    fn fill(&mut self, tick: u64, out: &mut [Vec<f32>]) {
        let (day, step) = ((tick as usize) / self.per_day, (tick as usize) % self.per_day);
        for (metric, column) in out.iter_mut().enumerate() {
            for (d, value) in column.iter_mut().enumerate() {
                let tape = &self.tapes[d];
                let (machine, recorded_day) = tape[day % tape.len()];
                let at = (recorded_day as usize * self.per_day + step).checked_sub(self.offset);
                let read = at
                    .filter(|at| *at < self.recording.steps)
                    .map(|at| self.recording.series(metric, machine as usize)[at]);
                let last = &mut self.last[metric][d];
                if let Some(known) = read.filter(|v| v.is_finite()) {
                    *last = if metric == 0 { known * self.scale[d] } else { known };
                }
                *value = *last;
            }
        }
    }

    /// Scales the first metric of every pool by what it would carry over the whole run.
    fn rescale(&mut self, facts: &[DeviceFacts], peak: f64, ticks: u64) {
        let mut pools: BTreeMap<&str, (Vec<usize>, Vec<f64>)> = BTreeMap::new();
        for (d, fact) in facts.iter().enumerate() {
            pools.entry(fact.pool.as_str()).or_default().0.push(d);
        }
        let mut columns = vec![vec![0.0; facts.len()]; self.recording.metrics.len()];
        for tick in 0..ticks {
            self.fill(tick, &mut columns);
            for (members, demand) in pools.values_mut() {
                demand.push(members.iter().map(|d| facts[*d].weight * f64::from(columns[0][*d]) / 100.0).sum());
            }
        }
        for (members, demand) in pools.values_mut() {
            demand.sort_by(f64::total_cmp);
            let p99 = demand[(demand.len() * 99 / 100).min(demand.len() - 1)];
            let capacity: f64 = members.iter().map(|d| facts[*d].weight).sum();
            if p99 > 0.0 {
                let factor = (peak / 100.0 * capacity / p99) as f32;
                members.iter().for_each(|d| self.scale[*d] = factor);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flash_crowd_comes_at_once_and_goes_by_halves() {
        let minutes = |n: u64| Span::from_secs(n * 60);
        let flash = Flash { percent: 40.0, after: minutes(60), rise: minutes(10), half_life: minutes(30) };
        let at = |n: u64| flash_points(&flash, minutes(n));
        assert_eq!([at(59), at(60), at(65), at(70), at(100), at(130)], [0.0, 0.0, 20.0, 40.0, 20.0, 10.0]);
    }

    #[test]
    fn months_end_when_the_calendar_says() {
        let at = |text: &str| Instant::from_secs(slacktide_scenarios::recorded::moment(text).unwrap());
        for (time, last_three) in [
            ("2024-02-26T23:59:59Z", false),
            ("2024-02-27T00:00:00Z", true),
            ("2024-02-29T23:59:59Z", true),
            ("2024-03-01T00:00:00Z", false),
            ("2023-02-26T00:00:00Z", true),
            ("2024-12-28T23:00:00Z", false),
            ("2024-12-31T12:00:00Z", true),
            ("1969-12-31T12:00:00Z", true),
        ] {
            assert_eq!(is_month_end(at(time), 3), last_three, "{time}");
        }
    }

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
