//! Load of synthetic families.

use crate::learned::Learned;
use crate::rng::{Purpose, Stream};
use crate::setup::Setup;
use slacktide_engine::input::DeviceFacts;
use slacktide_engine::time::{Instant, Span};
use slacktide_scenarios::{Flash, LoadFamily};
use std::collections::BTreeMap;
use std::ops::Range;

/// What a family gives each of its devices at every tick, made ready: the loop over the devices is the hottest of a simulated world.
#[derive(Debug, Clone, Copy)]
struct Traits {
    noise_correlation: f32,
    /// Size of fresh noise, so that the sum keeps its size.
    noise_fresh: f32,
    noise_percent: f32,
    pool_noise_percent: f32,
    /// A burst begins where 53 random bits are below it.
    burst_below: u64,
    burst_ticks: f64,
    burst_percent: f32,
    memory_percent: f32,
    network_factor: f32,
    disk_percent: f32,
}

impl Traits {
    fn new(family: &LoadFamily, ticks_per_day: f64) -> Self {
        let phi = family.noise_correlation as f32;
        Self {
            noise_correlation: phi,
            noise_fresh: (1.0 - phi * phi).sqrt(),
            noise_percent: family.noise_percent as f32,
            pool_noise_percent: family.pool_noise_percent as f32,
            burst_below: Stream::below_share(family.burst_rate_per_day / ticks_per_day),
            burst_ticks: family.burst_duration.as_secs_f64() / 86_400.0 * ticks_per_day,
            burst_percent: family.burst_percent as f32,
            memory_percent: family.memory_percent as f32,
            network_factor: family.network_factor as f32,
            disk_percent: family.disk_percent as f32,
        }
    }
}

/// Devices whose chance is drawn before their load is added up: draws go one by one, sums side by side.
const ABREAST: usize = 64;

/// What chance brings to some devices at a tick.
#[derive(Debug)]
struct Drawn {
    fresh: [f32; ABREAST],
    other: [f32; ABREAST],
    burst_points: [f32; ABREAST],
    pool_points: [f32; ABREAST],
}

/// Devices one after another that are of one family.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    family: usize,
    begin: usize,
    end: usize,
}

/// Synthetic load: see [`LoadFamily`].
#[derive(Debug)]
pub(crate) struct Synthetic {
    families: Vec<LoadFamily>,
    /// By family; none of those with a shape.
    traits: Vec<Option<Traits>>,
    stretches: Vec<Stretch>,
    // By device.
    streams: Vec<Stream>,
    noise: Vec<f32>,
    slow: Vec<f32>,
    level: Vec<f32>,
    burst_left: Vec<u32>,
    pool_of: Vec<u32>,
    // By pool.
    pool_noise: Vec<f32>,
    pool_streams: Vec<Stream>,
    start: Instant,
    rollout_at: Instant,
    /// Devices of families with a shape.
    learned: Option<Learned>,
}

impl Synthetic {
    pub(super) fn new(setup: &Setup, facts: &[DeviceFacts], group_of: &[usize], seed: u64) -> Self {
        let families: Vec<LoadFamily> = setup.scenario.pools.iter().map(|g| g.load.clone()).collect();
        let ticks_per_day = 86_400.0 / setup.scenario.tick.as_secs_f64();
        let mut pools: BTreeMap<&str, u32> = BTreeMap::new();
        let mut pool_of = Vec::with_capacity(facts.len());
        for fact in facts {
            let next = pools.len() as u32;
            pool_of.push(*pools.entry(fact.pool.as_str()).or_insert(next));
        }
        let level = |d: usize| {
            let spread = families[group_of[d]].device_spread_percent as f32;
            Stream::new(seed, Purpose::Level, d as u64).normal().clamp(-2.5, 2.5) * spread
        };
        Self {
            traits: families.iter().map(|f| f.shape.is_none().then(|| Traits::new(f, ticks_per_day))).collect(),
            stretches: stretches(group_of),
            streams: (0..facts.len()).map(|d| Stream::new(seed, Purpose::Noise, d as u64)).collect(),
            noise: vec![0.0; facts.len()],
            slow: vec![0.0; facts.len()],
            level: (0..facts.len()).map(level).collect(),
            burst_left: vec![0; facts.len()],
            families,
            pool_of,
            pool_noise: vec![0.0; pools.len()],
            pool_streams: (0..pools.len()).map(|p| Stream::new(seed, Purpose::PoolNoise, p as u64)).collect(),
            start: setup.scenario.start,
            rollout_at: setup.scenario.start + setup.scenario.history,
            learned: Learned::new(setup, facts, group_of, seed),
        }
    }

    pub(super) fn fill(&mut self, at: Instant, out: &mut [Vec<f32>]) {
        for (noise, stream) in self.pool_noise.iter_mut().zip(&mut self.pool_streams) {
            // Slow enough to be a mood of the hour, not of the minute.
            *noise = 0.9 * *noise + 0.435_89 * stream.normal();
        }
        let zero = [0.0; ABREAST];
        let mut drawn = Drawn { fresh: zero, other: zero, burst_points: zero, pool_points: zero };
        for s in 0..self.stretches.len() {
            let Stretch { family, begin, end } = self.stretches[s];
            let Some(traits) = self.traits[family] else { continue };
            let curve = self.common(&self.families[family], at);
            for begin in (begin..end).step_by(ABREAST) {
                let range = begin..end.min(begin + ABREAST);
                self.draw(&traits, range.clone(), &mut drawn);
                self.add_up(&traits, curve, range, &drawn, out);
            }
        }
        if let Some(learned) = &mut self.learned {
            learned.fill(at, out);
        }
    }

    fn draw(&mut self, traits: &Traits, range: Range<usize>, drawn: &mut Drawn) {
        let streams = self.streams[range.clone()].iter_mut();
        let states = streams.zip(&mut self.burst_left[range.clone()]).zip(&self.pool_of[range]);
        let draws =
            drawn.fresh.iter_mut().zip(&mut drawn.other).zip(&mut drawn.burst_points).zip(&mut drawn.pool_points);
        for (((stream, burst_left), pool), (((fresh, other), burst_points), pool_points)) in states.zip(draws) {
            *fresh = stream.normal();
            *other = stream.normal();
            if *burst_left > 0 {
                *burst_left -= 1;
            } else if stream.is_below(traits.burst_below) {
                let ticks = -traits.burst_ticks * libm::log(1.0 - stream.uniform());
                *burst_left = ticks.ceil().clamp(1.0, 1e6) as u32;
            }
            *burst_points = if *burst_left > 0 { traits.burst_percent } else { 0.0 };
            *pool_points = self.pool_noise[*pool as usize] * traits.pool_noise_percent;
        }
    }

    /// The processor adds up several devices at once: every list is cut to the same length first.
    fn add_up(&mut self, traits: &Traits, curve: f32, range: Range<usize>, drawn: &Drawn, out: &mut [Vec<f32>]) {
        let [cpu, memory, network, disk] = out else { return };
        let count = range.len().min(ABREAST);
        let (cpu, memory) = (&mut cpu[range.clone()][..count], &mut memory[range.clone()][..count]);
        let (network, disk) = (&mut network[range.clone()][..count], &mut disk[range.clone()][..count]);
        let (noise, slow) = (&mut self.noise[range.clone()][..count], &mut self.slow[range.clone()][..count]);
        let level = &self.level[range][..count];
        for d in 0..count {
            let (other, burst) = (drawn.other[d], drawn.burst_points[d]);
            noise[d] = traits.noise_correlation * noise[d] + traits.noise_fresh * drawn.fresh[d];
            slow[d] = 0.995 * slow[d] + 0.0999 * other;
            let load = curve + level[d] + drawn.pool_points[d] + traits.noise_percent * noise[d] + burst;
            let load = load.clamp(1.0, 100.0);
            cpu[d] = load;
            memory[d] = (traits.memory_percent + 3.0 * slow[d] + 0.05 * load).clamp(0.0, 100.0);
            network[d] = (traits.network_factor * load + 2.0 * other).clamp(0.0, 100.0);
            disk[d] = (traits.disk_percent + 2.0 * other + 0.4 * burst).clamp(0.0, 100.0);
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

/// Devices of one family that follow one another.
fn stretches(group_of: &[usize]) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for (d, family) in group_of.iter().enumerate() {
        match stretches.last_mut() {
            Some(last) if last.family == *family => last.end = d + 1,
            _ => stretches.push(Stretch { family: *family, begin: d, end: d + 1 }),
        }
    }
    stretches
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
}
