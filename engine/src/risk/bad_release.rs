//! The bad-release test. DOCS TO COME

use super::blame::Excess;
use super::normal::{log_sum_exp, quantile};
use super::windows::{COARSE, Window, Windows};
use super::{Group, Tick};
use crate::time::{Instant, Span};

/// Most devices watched. In larger fleets every so manieth pool is, with all its members.
const PANEL_MAX: usize = 8_192;
/// Pool-mates not updated that are needed to say what a pool does.
const MATES_MIN: u32 = 3;
/// Devices not updated, over all pools, that are needed as a yardstick.
const YARDSTICK_MIN: usize = 12;
/// Smallest spread of a device, points.
const SPREAD_MIN: f64 = 0.5;
/// Spread of a device without a past, points.
const SPREAD_UNKNOWN: f64 = 3.0;
/// Rises of load that are bet on, in points beyond the tolerated one, and the share of the stake on each.
const RISES: [(f64, f64); 5] = [(1.0, 0.15), (2.0, 0.15), (4.0, 0.2), (8.0, 0.3), (16.0, 0.2)];
/// Largest bet on one device, in units of its normal score.
const BET_MAX: f64 = 2.5;
/// Variance at which the interval of an estimate is tightest, in the units of a ledger's: about five devices.
const INTERVAL_PRIOR: f64 = 0.25;

/// One way to look at a device once: its load some time after its update against its load just before.
#[derive(Debug, Clone, Copy)]
struct Look {
    /// Time since it came back.
    age: Span,
    /// Fine bins since then that count.
    after: i64,
    stake: f64,
}

const LOOKS: [Look; 3] = [
    Look { age: Span::from_secs(300), after: 1, stake: 0.45 },
    Look { age: Span::from_secs(1200), after: 3, stake: 0.2 },
    Look { age: Span::from_secs(3900), after: 12, stake: 0.15 },
];
/// What a device's load is compared with: its mean over the last hour, four hours or day before it left. (In coarse bins?, bins.)
const BEFORE: [(bool, i64); 3] = [(false, 12), (true, 8), (true, 48)];
/// Stake on the slow looks.
const SLOW_STAKE: f64 = 0.2;
/// Coarse bins of a slow look, before and after.
const SLOW_BINS: i64 = 2;
/// What slow looks bet on: points at once, and points an hour.
const SLOW_RISES: [(f64, f64); 4] = [(4.0, 0.0), (0.0, 0.5), (0.0, 1.0), (0.0, 2.0)];
/// Coarse bins from one slow look to the next.
const SLOW_EVERY: i64 = 2;

/// Not looked at yet.
const UNKNOWN: Excess = Excess { points: f64::NAN, deviation: f64::NAN };

/// What is kept of a device.
#[derive(Debug, Clone, Copy)]
struct Watched {
    /// Its place in the fleet.
    device: usize,
    pool: usize,
    variant: usize,
    group: Group,
    /// Mean absolute change from hour to quarter hour, points.
    spread: f64,
    /// When it came to its group.
    since: Instant,
    /// The fine bin that was open then.
    back: i64,
    /// First fine bin as a control.
    control_from: i64,
    /// First fine bin in which it was no control any more.
    left: i64,
    /// Looks taken, one bit each.
    looked: u8,
    /// At its last look; NaN before.
    excess: Excess,
}

/// What one look says of all devices of a variant, or of all.
#[derive(Debug, Clone, Copy, Default)]
struct Ledger {
    log_e: [f64; RISES.len()],
    sums: Sums,
}

/// What an estimate is made of: Σ weight, Σ weight × excess, and the variance of the latter.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    weight: f64,
    weighted: f64,
    variance: f64,
}

impl Sums {
    fn add(&mut self, excess: f64, deviation: f64, shared: f64) {
        let weight = 1.0 / (deviation * deviation + 4.0);
        self.weight += weight;
        self.weighted += weight * excess;
        self.variance += weight * weight * deviation * deviation * shared;
    }

    /// The interval is that of Robbins' normal mixture: it holds at all times at once where the variance is right.
    fn estimate(&self, rate: f64) -> Option<Estimate> {
        if self.weight <= 0.0 {
            return None;
        }
        let (points, v) = (self.weighted / self.weight, self.variance + INTERVAL_PRIOR);
        let half = (v * libm::log(v / (INTERVAL_PRIOR * rate * rate))).sqrt() / self.weight;
        let standard_error = self.variance.sqrt() / self.weight;
        Some(Estimate { points, standard_error, interval: [points - half, points + half] })
    }
}

impl Ledger {
    fn log_e(&self) -> f64 {
        log_sum_exp(self.log_e.iter().zip(RISES).map(|(log_e, (_, stake))| log_e + libm::log(stake)))
    }
}

/// Members of a pool that took a look lately, and when.
#[derive(Debug, Clone, Copy, Default)]
struct Recent {
    members: f64,
    at: i64,
}

/// An estimate with an interval that holds at all times at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Points.
    pub points: f64,
    /// Standard error, points.
    pub standard_error: f64,
    /// Interval, points, at the level 1 − false-alarm rate.
    pub interval: [f64; 2],
}

/// What is known at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// Logarithm of the e-value.
    pub log_e: f64,
    /// What it is held against: the logarithm of one over the false-alarm rate.
    pub log_threshold: f64,
    /// The variant that says most, where not all devices together do.
    pub variant: Option<u32>,
    /// By how much updated devices carry more than their pool-mates, at the look that says most.
    pub rise: Option<Estimate>,
    /// Updated devices that took it.
    pub devices: u32,
    /// Pools they are in.
    pub pools: u32,
    /// How long the test has watched.
    pub watched: Span,
}

/// The test of one rollout.
#[derive(Debug, Clone)]
pub struct BadRelease {
    rate: f64,
    tolerance: f64,
    began: Option<Instant>,
    seen: usize,
    watched: Vec<Watched>,
    windows: Windows,
    /// All devices, then variant by variant.
    ledgers: Vec<[Ledger; LOOKS.len()]>,
    recent: Vec<[Recent; LOOKS.len()]>,
    /// Logarithm of the sum of the slow looks' e-values, each by its share.
    slow: f64,
    slow_looks: f64,
    slow_sums: Sums,
    scratch: Scratch,
}

/// Room that is used again at every tick.
#[derive(Debug, Clone, Default)]
struct Scratch {
    entrants: Vec<(i64, usize)>,
    /// By pool: Σ change and count of its controls.
    pools: Vec<(f64, u32)>,
    changes: Vec<(usize, f64)>,
    scores: Vec<f64>,
    sizes: Vec<f64>,
}

impl BadRelease {
    /// A test with a promised rate of false alarms and a rise of load, in points, that a release may bring.
    pub fn new(rate: f64, tolerance: f64) -> Self {
        Self {
            rate,
            tolerance,
            began: None,
            seen: 0,
            watched: Vec::new(),
            windows: Windows::default(),
            ledgers: Vec::new(),
            recent: Vec::new(),
            slow: f64::NEG_INFINITY,
            slow_looks: 0.0,
            slow_sums: Sums::default(),
            scratch: Scratch::default(),
        }
    }

    /// Takes a tick in. `past` writes the load of a device before now into a vector, oldest first, and says how long its steps are.
    pub fn tick(&mut self, tick: &Tick<'_>, past: &mut dyn FnMut(usize, &mut Vec<f32>) -> Span) {
        self.enrol(tick, past);
        self.began.get_or_insert(tick.now);
        let closes = self.windows.closes(tick.now);
        for w in 0..self.watched.len() {
            let Some(now) = tick.devices.get(self.watched[w].device) else { continue };
            let watched = &mut self.watched[w];
            if now.group != watched.group {
                watched.change(tick.now, now.group, self.windows.closed());
                self.windows.restart(w);
            }
            if now.group != Group::Absent {
                self.windows.push(w, now.load);
            }
        }
        if !closes {
            return;
        }
        let closes_coarse = self.windows.close();
        for look in 0..LOOKS.len() {
            self.look(look, tick.now);
        }
        if closes_coarse && self.windows.closed().div_euclid(COARSE) % SLOW_EVERY == 0 {
            self.look_slowly(tick.now);
        }
    }

    /// Begins to watch devices that were not there before.
    fn enrol(&mut self, tick: &Tick<'_>, past: &mut dyn FnMut(usize, &mut Vec<f32>) -> Span) {
        let stride = tick.devices.len().div_ceil(PANEL_MAX).max(1);
        let mut load = Vec::new();
        for (d, device) in tick.devices.iter().enumerate().skip(self.seen) {
            if (device.pool as usize).is_multiple_of(stride) && self.watched.len() < PANEL_MAX {
                load.clear();
                let step = past(d, &mut load);
                self.windows.add(&load, step);
                self.watched.push(Watched {
                    device: d,
                    pool: device.pool as usize,
                    variant: device.variant as usize,
                    group: Group::Control,
                    spread: spread(&load, step),
                    since: tick.now,
                    back: i64::MIN,
                    control_from: i64::MIN,
                    left: i64::MIN,
                    looked: 0,
                    excess: UNKNOWN,
                });
                let variants = device.variant as usize + 2;
                if self.ledgers.len() < variants {
                    self.ledgers.resize(variants, [Ledger::default(); LOOKS.len()]);
                }
            }
        }
        self.seen = tick.devices.len();
        if self.recent.len() < tick.pools.len() {
            self.recent.resize(tick.pools.len(), [Recent::default(); LOOKS.len()]);
            self.scratch.pools.resize(tick.pools.len(), (0.0, 0));
        }
    }

    /// Devices that have come to the age of a look take it, those together that left at the same time.
    fn look(&mut self, look: usize, now: Instant) {
        let mut entrants = std::mem::take(&mut self.scratch.entrants);
        entrants.clear();
        for (w, watched) in self.watched.iter_mut().enumerate() {
            if watched.group == Group::Treated
                && watched.looked & (1 << look) == 0
                && now.since(watched.since) >= LOOKS[look].age
            {
                watched.looked |= 1 << look;
                if watched.left > i64::MIN && watched.pool < self.recent.len() {
                    entrants.push((watched.left, w));
                }
            }
        }
        entrants.sort_unstable();
        let mut begin = 0;
        while begin < entrants.len() {
            let left = entrants[begin].0;
            let end = begin + entrants[begin..].partition_point(|(l, _)| *l == left);
            self.judge(look, left, &entrants[begin..end]);
            begin = end;
        }
        self.scratch.entrants = entrants;
    }

    /// Change of a device's load from one window to another.
    fn change(&self, w: usize, before: Window, after: Window) -> Option<f64> {
        Some(self.windows.mean(w, after)? - self.windows.mean(w, before)?)
    }

    fn judge(&mut self, look: usize, left: i64, entrants: &[(i64, usize)]) {
        let after = Window { is_coarse: false, end: self.windows.closed(), bins: LOOKS[look].after };
        let mut scratch = std::mem::take(&mut self.scratch);
        if let Some((before, unit)) = self.measure_best(left, after, &mut scratch) {
            self.enter(look, entrants, before, after, unit, &scratch);
        }
        self.scratch = scratch;
    }

    /// Measures by the window before `left` that leaves the devices not updated the least spread.
    fn measure_best(&self, left: i64, after: Window, scratch: &mut Scratch) -> Option<(Window, f64)> {
        let window = |(is_coarse, bins): (bool, i64)| {
            let end = if is_coarse { left.div_euclid(COARSE) } else { left };
            Window { is_coarse, end, bins }
        };
        let mut best: Option<(Window, f64)> = None;
        for before in BEFORE.map(window) {
            if let Some(unit) = self.measure(before, after, left, scratch)
                && best.is_none_or(|(_, least)| unit < least)
            {
                best = Some((before, unit));
            }
        }
        let (before, _) = best?;
        Some((before, self.measure(before, after, left, scratch)?))
    }

    /// Measures devices not updated by the same windows: the yardstick. Returns the unit of their scores; `None` where they are too few.
    fn measure(&self, before: Window, after: Window, from: i64, scratch: &mut Scratch) -> Option<f64> {
        scratch.pools.fill((0.0, 0));
        scratch.changes.clear();
        for (w, watched) in self.watched.iter().enumerate() {
            if watched.group == Group::Control
                && watched.control_from <= from - 12
                && watched.pool < scratch.pools.len()
                && let Some(change) = self.change(w, before, after)
            {
                let (sum, count) = &mut scratch.pools[watched.pool];
                *sum += change;
                *count += 1;
                scratch.changes.push((w, change));
            }
        }
        scratch.scores.clear();
        for (w, change) in &scratch.changes {
            let (sum, count) = scratch.pools[self.watched[*w].pool];
            if count > MATES_MIN {
                let relative = change - (sum - change) / f64::from(count - 1);
                scratch.scores.push(relative / self.watched[*w].spread);
            }
        }
        if scratch.scores.len() < YARDSTICK_MIN {
            return None;
        }
        scratch.scores.sort_unstable_by(f64::total_cmp);
        scratch.sizes.clear();
        scratch.sizes.extend(scratch.scores.iter().map(|z| z.abs()));
        let middle = scratch.sizes.len() * 68 / 100;
        let (_, unit, _) = scratch.sizes.select_nth_unstable_by(middle, f64::total_cmp);
        Some(unit.max(0.1))
    }

    /// All updated devices at once, each by how long ago it was updated.
    fn look_slowly(&mut self, now: Instant) {
        let closed = self.windows.closed().div_euclid(COARSE);
        let after = Window { is_coarse: true, end: closed, bins: SLOW_BINS };
        let mut entrants: Vec<(i64, usize)> = Vec::new();
        for (w, watched) in self.watched.iter().enumerate() {
            let is_back = watched.back < (closed - SLOW_BINS) * COARSE;
            if watched.group == Group::Treated && watched.left > i64::MIN && is_back && watched.pool < self.recent.len()
            {
                entrants.push((watched.left.div_euclid(COARSE), w));
            }
        }
        entrants.sort_unstable();
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut sums = [(0.0, 0.0, 0.0); SLOW_RISES.len()];
        let mut estimate = Sums::default();
        let mut by_pool = vec![[0.0; SLOW_RISES.len()]; self.recent.len()];
        let mut mates = vec![u32::MAX; self.recent.len()];
        let (mut begin, mut controls_min, mut devices) = (0, f64::INFINITY, 0);
        while begin < entrants.len() {
            let left = entrants[begin].0;
            let end = begin + entrants[begin..].partition_point(|(l, _)| *l == left);
            if let Some((before, unit)) = self.measure_best(left * COARSE, after, &mut scratch) {
                controls_min = scratch.scores.len() as f64;
                for (_, w) in &entrants[begin..end] {
                    let watched = &self.watched[*w];
                    let (sum, count) = scratch.pools[watched.pool];
                    if count < MATES_MIN {
                        continue;
                    }
                    let Some(change) = self.change(*w, before, after) else { continue };
                    let relative = change - sum / f64::from(count);
                    let score = normal_score(&scratch.scores, (relative - self.tolerance) / watched.spread);
                    let hours = now.since(watched.since).as_secs_f64() / 3600.0;
                    mates[watched.pool] = mates[watched.pool].min(count);
                    devices += 1;
                    estimate.add(relative, watched.spread * unit, 1.0 + 1.0 / f64::from(count));
                    for (k, (points, rate)) in SLOW_RISES.iter().enumerate() {
                        let bet = ((points + rate * hours) / (watched.spread * unit)).min(BET_MAX);
                        sums[k].0 += bet * score;
                        sums[k].1 += bet * bet;
                        sums[k].2 += bet;
                        by_pool[watched.pool][k] += bet;
                    }
                }
            }
            begin = end;
        }
        self.scratch = scratch;
        if devices == 0 {
            return;
        }
        for (bets, mates) in by_pool.iter().zip(&mates) {
            if *mates != u32::MAX {
                for (sum, bet) in sums.iter_mut().zip(bets) {
                    sum.1 += bet * bet / f64::from(*mates);
                }
            }
        }
        self.slow_sums = estimate;
        self.slow_looks += 1.0;
        let share = 1.0 / (self.slow_looks * (self.slow_looks + 1.0));
        let log_e = sums.map(|(gain, square, total)| gain - (square + total * total / (controls_min + 1.0)) / 2.0);
        let log_e = log_sum_exp(log_e.into_iter()) - libm::log(SLOW_RISES.len() as f64);
        self.slow = log_sum_exp([self.slow, log_e + libm::log(share)].into_iter());
    }

    fn enter(
        &mut self,
        look: usize,
        entrants: &[(i64, usize)],
        before: Window,
        after: Window,
        unit: f64,
        scratch: &Scratch,
    ) {
        let controls = scratch.scores.len() as f64;
        let mut totals = vec![[0.0; RISES.len()]; self.ledgers.len()];
        for (_, w) in entrants {
            let watched = self.watched[*w];
            let (sum, mates) = scratch.pools[watched.pool];
            if mates < MATES_MIN {
                continue;
            }
            let Some(change) = self.change(*w, before, after) else { continue };
            let relative = change - sum / f64::from(mates);
            let z = (relative - self.tolerance) / watched.spread;
            let score = normal_score(&scratch.scores, z);
            let recent = &mut self.recent[watched.pool][look];
            let closed = after.end;
            recent.members *= libm::exp(-((closed - recent.at) as f64) / after.bins as f64);
            recent.at = closed;
            let shared = 1.0 + (1.0 + 2.0 * recent.members) / f64::from(mates);
            recent.members += 1.0;
            let deviation = watched.spread * unit;
            self.watched[*w].excess = Excess { points: relative, deviation };
            for which in [0, watched.variant + 1] {
                let ledger = &mut self.ledgers[which][look];
                for ((rise, _), (log_e, total)) in RISES.iter().zip(ledger.log_e.iter_mut().zip(&mut totals[which])) {
                    let bet = (rise / deviation).min(BET_MAX);
                    *log_e += bet * score - bet * bet * shared / 2.0;
                    *total += bet;
                }
                ledger.sums.add(relative, deviation, shared);
            }
        }
        for (ledgers, totals) in self.ledgers.iter_mut().zip(totals) {
            for (log_e, total) in ledgers[look].log_e.iter_mut().zip(totals) {
                *log_e -= total * total / (controls + 1.0) / 2.0;
            }
        }
    }

    /// Logarithm of the e-value now.
    pub fn log_e(&self) -> f64 {
        let variants = self.ledgers.len().saturating_sub(1);
        let term = move |(which, ledgers): (usize, &[Ledger; LOOKS.len()])| {
            let stake = match (variants, which) {
                (0 | 1, 0) => 1.0,
                (0 | 1, _) => 0.0,
                (_, 0) => 0.5,
                (n, _) => 0.5 / n as f64,
            };
            let log_stake = libm::log(stake);
            let ledgers = *ledgers;
            (0..LOOKS.len() * RISES.len()).map(move |k| {
                let (look, rise) = (k / RISES.len(), k % RISES.len());
                log_stake + libm::log(LOOKS[look].stake * RISES[rise].1) + ledgers[look].log_e[rise]
            })
        };
        let slow = libm::log(SLOW_STAKE) + self.slow;
        log_sum_exp(self.ledgers.iter().enumerate().flat_map(term).chain(std::iter::once(slow)))
    }

    /// The evidence now. Costs a pass over the devices watched.
    pub fn evidence(&self, now: Instant) -> Evidence {
        let candidates = self.ledgers.iter().enumerate().flat_map(|(which, ledgers)| {
            ledgers
                .iter()
                .enumerate()
                .map(move |(look, ledger)| (which, look, ledger.log_e() + libm::log(LOOKS[look].stake)))
        });
        let slow = (0, LOOKS.len(), self.slow + libm::log(SLOW_STAKE));
        let loudest = |a: &(usize, usize, f64), b: &(usize, usize, f64)| a.2.total_cmp(&b.2);
        let (which, look, _) = candidates.chain([slow]).max_by(loudest).unwrap_or(slow);
        let variant = which.checked_sub(1).filter(|_| self.ledgers.len() > 2);
        let counts = |w: &&Watched| {
            let looked = if look < LOOKS.len() { w.looked & (1 << look) != 0 } else { w.looked != 0 };
            w.group == Group::Treated && looked && variant.is_none_or(|v| v == w.variant)
        };
        let mut pools: Vec<usize> = self.watched.iter().filter(counts).map(|w| w.pool).collect();
        let devices = pools.len() as u32;
        pools.sort_unstable();
        pools.dedup();
        let sums =
            if look < LOOKS.len() { self.ledgers.get(which).map(|l| l[look].sums) } else { Some(self.slow_sums) };
        Evidence {
            log_e: self.log_e(),
            log_threshold: -libm::log(self.rate),
            variant: variant.map(|v| v as u32),
            rise: sums.and_then(|sums| sums.estimate(self.rate)),
            devices,
            pools: pools.len() as u32,
            watched: self.began.map_or(Span::ZERO, |began| now.since(began)),
        }
    }

    /// Is the release worse than tolerated, as far as is known?
    pub fn is_alarm(&self) -> bool {
        self.log_e() >= -libm::log(self.rate)
    }

    /// The excess of every updated device at its last look, by its place in the fleet: what [`super::blame`] asks for.
    pub fn excesses(&self) -> impl Iterator<Item = (usize, Excess)> + '_ {
        let known = |w: &&Watched| w.group == Group::Treated && w.excess.points.is_finite();
        self.watched.iter().filter(known).map(|w| (w.device, w.excess))
    }

    /// Look by look: e-value of all devices together, for studies.
    pub fn log_e_by_look(&self) -> [f64; LOOKS.len() + 1] {
        let mut by_look = [self.slow; LOOKS.len() + 1];
        if let Some(all) = self.ledgers.first() {
            for (log_e, ledger) in by_look.iter_mut().zip(all) {
                *log_e = ledger.log_e();
            }
        }
        by_look
    }
}

impl Watched {
    fn change(&mut self, now: Instant, group: Group, bin: i64) {
        self.since = now;
        self.back = bin;
        match (self.group, group) {
            (_, Group::Control) => self.control_from = bin + 1,
            (Group::Control, _) => self.left = bin,
            _ => {}
        }
        self.group = group;
        if group == Group::Absent {
            self.looked = 0;
            self.excess = UNKNOWN;
        }
    }
}

/// The normal score of a figure by its rank among sorted scores.
fn normal_score(scores: &[f64], z: f64) -> f64 {
    let below = scores.partition_point(|s| *s < z);
    let upto = scores.partition_point(|s| *s <= z);
    let under = (below + upto) as f64 / 2.0;
    quantile((under + 0.5) / (scores.len() as f64 + 1.0))
}

/// Mean absolute difference of a device's load from its mean over the four steps before, points.
fn spread(past: &[f32], _step: Span) -> f64 {
    let differences = past.windows(5).filter_map(|w| {
        let before = (w[0] + w[1] + w[2] + w[3]) / 4.0;
        let difference = f64::from((w[4] - before).abs());
        difference.is_finite().then_some(difference)
    });
    let (sum, count) = differences.fold((0.0, 0_u32), |(sum, count), d| (sum + d, count + 1));
    if count < 12 { SPREAD_UNKNOWN } else { (sum / f64::from(count)).max(SPREAD_MIN) }
}
