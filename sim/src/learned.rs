//! Load of families that have a [`Shape`]: curves of any form, fast and slow noise under one marginal distribution, devices of several
//! kinds, bursts of several heights, and metrics that follow the first.
//!
//! Noise of a device is `s · k · M((a·fast + b·slow + c·pool) / s)`: three first-order autoregressions of standard normal size, of the
//! device, the device and its pool; `s² = a² + b² + c²`; `k` the factor of its kind; `M` the marginal table. Correlations over time and
//! between devices are thus made apart from the distribution, as in a Gaussian copula.

use crate::rng::{Purpose, Stream};
use crate::setup::Setup;
use slacktide_engine::input::DeviceFacts;
use slacktide_engine::time::Instant;
use slacktide_scenarios::LoadFamily;
use slacktide_scenarios::shape::{Follower, Kind, Marginal, Shape, profile_at};
use std::collections::BTreeMap;

/// All devices of such families.
#[derive(Debug)]
pub(crate) struct Learned {
    families: Vec<Option<Family>>,
    devices: Vec<Device>,
    pools: Vec<Pool>,
    start: Instant,
    rollout_at: Instant,
    ticks_per_day: f64,
    /// Load that all devices of a family and kind share at a tick, by family.
    shared: Vec<Vec<f64>>,
}

/// A family made ready.
#[derive(Debug)]
struct Family {
    plain: LoadFamily,
    shape: Shape,
    followers: [Follower; 3],
    kinds: Vec<Kind>,
    bursts: Bursts,
}

/// Weights of the parts of noise, and their size together.
#[derive(Debug, Clone, Copy)]
struct Mixture {
    weights: [f64; 3],
    size: f64,
}

impl Mixture {
    fn new(weights: [f64; 3]) -> Self {
        Self { weights, size: weights.iter().map(|w| w * w).sum::<f64>().sqrt() }
    }

    /// Noise in percent, before the factor of the kind.
    fn at(&self, parts: [f64; 3], marginal: Option<&Marginal>) -> f64 {
        if self.size == 0.0 {
            return 0.0;
        }
        let sum: f64 = self.weights.iter().zip(parts).map(|(w, part)| w * part).sum();
        marginal.map_or(sum, |table| self.size * table.at(sum / self.size))
    }
}

/// First-order autoregression of standard normal size.
#[derive(Debug, Clone, Copy)]
struct Memory {
    phi: f64,
    fresh: f64,
    now: f64,
}

impl Memory {
    /// Begins where it would be after any time.
    fn new(phi: f64, stream: &mut Stream) -> Self {
        Self { phi, fresh: (1.0 - phi * phi).sqrt(), now: normal(stream) }
    }

    fn step(&mut self, stream: &mut Stream) -> f64 {
        self.now = self.phi * self.now + self.fresh * normal(stream);
        self.now
    }
}

fn normal(stream: &mut Stream) -> f64 {
    f64::from(stream.normal())
}

#[derive(Debug)]
struct Device {
    position: usize,
    family: usize,
    pool: usize,
    kind: usize,
    stream: Stream,
    noise: Mixture,
    fast: Memory,
    slow: Memory,
    level: f64,
    bursts: Bursting,
    others: [Other; 3],
}

/// Bursts in ticks.
#[derive(Debug, Clone, Copy)]
struct Bursts {
    rate: f64,
    height: f64,
    sigma: f64,
    length: f64,
}

/// The burst that is going on, if any.
#[derive(Debug, Clone, Copy, Default)]
struct Bursting {
    left: u32,
    height: f64,
}

impl Bursting {
    /// Points at the next tick; bursts begin at `factor` times their rate.
    fn step(&mut self, bursts: Bursts, factor: f64, stream: &mut Stream) -> f64 {
        if self.left > 0 {
            self.left -= 1;
        } else if bursts.rate > 0.0 && stream.uniform() < bursts.rate * factor {
            let ticks = -bursts.length * libm::log(1.0 - stream.uniform());
            self.left = ticks.ceil().clamp(1.0, 1e6) as u32;
            self.height = bursts.height * libm::exp(bursts.sigma * normal(stream));
        }
        if self.left > 0 { self.height } else { 0.0 }
    }
}

/// State of a metric that follows the first.
#[derive(Debug)]
struct Other {
    stream: Stream,
    fast: Memory,
    slow: Memory,
    level: f64,
    curve_factor: f64,
    noise_factor: f64,
    bursts: Bursting,
}

#[derive(Debug)]
struct Pool {
    stream: Stream,
    noise: Memory,
}

impl Learned {
    /// The devices of families with a shape; `None` where no family has one.
    pub(crate) fn new(setup: &Setup, facts: &[DeviceFacts], group_of: &[usize], seed: u64) -> Option<Self> {
        let groups = &setup.scenario.pools;
        let ticks_per_day = 86_400.0 / setup.scenario.tick.as_secs_f64();
        let families: Vec<Option<Family>> = groups.iter().map(|g| Family::new(&g.load, ticks_per_day)).collect();
        if families.iter().all(Option::is_none) {
            return None;
        }
        let mut pool_numbers: BTreeMap<&str, usize> = BTreeMap::new();
        let mut pools = Vec::new();
        let mut seen = vec![0; groups.len()];
        let mut devices = Vec::new();
        for (d, fact) in facts.iter().enumerate() {
            let Some(family) = &families[group_of[d]] else { continue };
            let pool = *pool_numbers.entry(fact.pool.as_str()).or_insert_with(|| {
                let mut stream = Stream::new(seed, Purpose::LearnedPool, pools.len() as u64);
                let noise = Memory::new(family.shape.pool_noise_correlation, &mut stream);
                pools.push(Pool { stream, noise });
                pools.len() - 1
            });
            devices.push(family.device(d, group_of[d], pool, seen[group_of[d]], seed));
            seen[group_of[d]] += 1;
        }
        Some(Self {
            shared: families.iter().map(|f| vec![0.0; f.as_ref().map_or(0, |f| f.kinds.len())]).collect(),
            families,
            devices,
            pools,
            start: setup.scenario.start,
            rollout_at: setup.scenario.start + setup.scenario.history,
            ticks_per_day,
        })
    }

    /// Writes the load of its devices at a tick.
    pub(crate) fn fill(&mut self, at: Instant, out: &mut [Vec<f32>]) {
        let seconds = at.as_millis() as f64 / 1000.0;
        let hour = (seconds / 3600.0).rem_euclid(24.0);
        let days = at.since(self.start).as_secs_f64() / 86_400.0;
        for (family, shared) in self.families.iter().zip(&mut self.shared) {
            let Some(family) = family else { continue };
            let ramp = family.plain.ramp.filter(|_| at >= self.rollout_at);
            let ramp = ramp.map_or(0.0, |ramp| ramp.points(at.since(self.rollout_at)));
            let level = family.plain.base_percent + family.plain.trend_percent_per_day * days + ramp;
            let week = family.week_factor(seconds);
            for (value, kind) in shared.iter_mut().zip(&family.kinds) {
                *value = level + kind.daily_factor * week * family.curve(hour - kind.shift_hours);
            }
        }
        for pool in &mut self.pools {
            pool.noise.step(&mut pool.stream);
        }
        let [cpu, others @ ..] = out else { return };
        for device in &mut self.devices {
            let Some(family) = &self.families[device.family] else { continue };
            let pool = self.pools[device.pool].noise.now;
            let load = device.load(family, self.shared[device.family][device.kind], pool);
            cpu[device.position] = load as f32;
            for ((other, follower), column) in device.others.iter_mut().zip(&family.followers).zip(others.iter_mut()) {
                column[device.position] = other.load(follower, load, hour, self.ticks_per_day) as f32;
            }
        }
    }
}

impl Family {
    fn new(plain: &LoadFamily, ticks_per_day: f64) -> Option<Self> {
        let shape = plain.shape.clone()?;
        let follower = |level_percent, cpu_factor, noise_percent, slow_noise_percent| Follower {
            level_percent,
            spread_percent: 0.0,
            cpu_factor,
            profile: None,
            noise_percent,
            noise_correlation: 0.0,
            slow_noise_percent,
            slow_noise_correlation: 0.995,
            marginal: None,
            burst_rate_per_day: 0.0,
            burst_percent: 0.0,
            burst_sigma: 0.0,
            burst_duration: plain.burst_duration,
        };
        // What the plain fields make of them, bursts of the disk left out.
        let defaults = [
            follower(plain.memory_percent, 0.05, 0.0, 3.0),
            follower(0.0, plain.network_factor, 2.0, 0.0),
            follower(plain.disk_percent, 0.0, 2.0, 0.0),
        ];
        let mut given = shape.others.clone().into_iter();
        let followers = defaults.map(|default| given.next().flatten().unwrap_or(default));
        Some(Self {
            followers,
            kinds: if shape.kinds.is_empty() { vec![Kind::PLAIN] } else { shape.kinds.clone() },
            bursts: Bursts {
                rate: plain.burst_rate_per_day / ticks_per_day,
                height: plain.burst_percent,
                sigma: shape.burst_sigma,
                length: plain.burst_duration.as_secs_f64() / 86_400.0 * ticks_per_day,
            },
            plain: plain.clone(),
            shape,
        })
    }

    /// The `n`-th device of the group.
    fn device(&self, position: usize, family: usize, pool: usize, n: usize, seed: u64) -> Device {
        let mut level = Stream::new(seed, Purpose::Level, position as u64);
        let spread = if self.shape.kinds.is_empty() { self.plain.device_spread_percent } else { 0.0 };
        let mut stream = Stream::new(seed, Purpose::Learned, position as u64);
        // Kinds come in turn, with a step that mixes them, so that a fleet of any size has as many of each, and so has nearly every pool.
        let first = Stream::new(seed, Purpose::LearnedKind, family as u64).below(self.kinds.len());
        let kind = (first + n * mixing_step(self.kinds.len())) % self.kinds.len();
        let other = |metric: u64| {
            let follower = &self.followers[metric as usize];
            let mut stream = Stream::new(seed, Purpose::LearnedOther, position as u64 * 3 + metric);
            let drawn = normal(&mut stream).clamp(-2.5, 2.5) * follower.spread_percent;
            let [level, curve_factor, noise_factor] =
                self.kinds[kind].others[metric as usize].unwrap_or([drawn, 1.0, 1.0]);
            Other {
                level,
                curve_factor,
                noise_factor,
                bursts: Bursting::default(),
                fast: Memory::new(follower.noise_correlation, &mut stream),
                slow: Memory::new(follower.slow_noise_correlation, &mut stream),
                stream,
            }
        };
        Device {
            position,
            family,
            pool,
            kind,
            noise: self.noise(self.kinds[kind].slow_share),
            fast: Memory::new(self.plain.noise_correlation, &mut stream),
            slow: Memory::new(self.shape.slow_noise_correlation, &mut stream),
            stream,
            level: normal(&mut level).clamp(-2.5, 2.5) * spread,
            bursts: Bursting::default(),
            others: [0, 1, 2].map(other),
        }
    }

    /// The noise of a device with such a share of slow noise in what it does not share.
    fn noise(&self, slow_share: Option<f64>) -> Mixture {
        let (fast, slow) = (self.plain.noise_percent, self.shape.slow_noise_percent);
        let own = fast * fast + slow * slow;
        let [fast, slow] =
            slow_share.map_or([fast, slow], |share| [(own * (1.0 - share)).sqrt(), (own * share).sqrt()]);
        Mixture::new([fast, slow, self.plain.pool_noise_percent])
    }

    /// Points of the daily curve over the base.
    fn curve(&self, hour: f64) -> f64 {
        if let Some(profile) = &self.shape.profile {
            return profile_at(profile, hour);
        }
        let phase = (hour - self.plain.daily_peak_hour) / 24.0 * std::f64::consts::TAU;
        self.plain.daily_amplitude_percent * libm::pow((1.0 + libm::cos(phase)) / 2.0, self.plain.daily_sharpness)
    }

    fn week_factor(&self, seconds: f64) -> f64 {
        // 1970-01-01 was a Thursday; Monday is 0.
        let weekday = ((seconds / 86_400.0).floor() + 3.0).rem_euclid(7.0) as usize;
        let weekend = if weekday >= 5 { self.plain.weekend_factor } else { 1.0 };
        self.shape.week.map_or(weekend, |week| week[weekday])
    }
}

impl Device {
    fn load(&mut self, family: &Family, shared: f64, pool: f64) -> f64 {
        let kind = &family.kinds[self.kind];
        let parts = [self.fast.step(&mut self.stream), self.slow.step(&mut self.stream), pool];
        let noise = kind.noise_factor * self.noise.at(parts, family.shape.marginal.as_ref());
        let burst = self.bursts.step(family.bursts, kind.burst_factor, &mut self.stream);
        (shared + self.level + kind.level_percent + noise + burst).clamp(family.shape.floor_percent, 100.0)
    }
}

impl Other {
    fn load(&mut self, follower: &Follower, load: f64, hour: f64, ticks_per_day: f64) -> f64 {
        let mixture = Mixture::new([follower.noise_percent, follower.slow_noise_percent, 0.0]);
        let parts = [self.fast.step(&mut self.stream), self.slow.step(&mut self.stream), 0.0];
        let curve = follower.profile.as_deref().map_or(0.0, |profile| profile_at(profile, hour));
        let noise = self.noise_factor * mixture.at(parts, follower.marginal.as_ref());
        let bursts = Bursts {
            rate: follower.burst_rate_per_day / ticks_per_day,
            height: follower.burst_percent,
            sigma: follower.burst_sigma,
            length: follower.burst_duration.as_secs_f64() / 86_400.0 * ticks_per_day,
        };
        let burst = self.bursts.step(bursts, 1.0, &mut self.stream);
        let own = follower.level_percent + self.level + self.curve_factor * curve + noise + burst;
        (own + follower.cpu_factor * load).clamp(0.0, 100.0)
    }
}

/// A step through `count` kinds that meets all of them, near the golden section of their number.
fn mixing_step(count: usize) -> usize {
    let gcd = |mut a: usize, mut b: usize| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let golden = (count as f64 * 0.618) as usize;
    (golden.max(1)..=count).find(|step| gcd(*step, count) == 1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_met_once_in_a_round() {
        for count in 1..60 {
            let step = mixing_step(count);
            let mut met: Vec<usize> = (0..count).map(|n| n * step % count).collect();
            met.sort_unstable();
            assert_eq!(met, (0..count).collect::<Vec<_>>(), "{count}");
        }
    }

    #[test]
    fn noise_has_the_size_and_the_form_it_is_given() {
        let mixture = Mixture::new([3.0, 4.0, 0.0]);
        assert_eq!(mixture.at([1.0, 1.0, 9.0], None), 7.0);
        let table = Marginal::new(vec![-1.0, 0.0, 4.0]).unwrap();
        assert_eq!(mixture.at([5.0, 0.0, 0.0], Some(&table)), 20.0);
        assert_eq!(Mixture::new([0.0; 3]).at([1.0; 3], Some(&table)), 0.0);
    }
}
