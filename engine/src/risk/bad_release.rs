//! Is a release worse than what it replaces? A sequential test that may be looked at after every tick.
//!
//! **What is compared.** Each updated device is looked at three times, 5, 20 and 65 minutes after it is first seen back: its mean load over
//! the last 5, 15 or 60 minutes less its own mean just before it left is its *change*; less the mean change, over the very same minutes,
//! of the pool-mates not updated, it is its *excess*. Changes are taken less what the load before makes of them, by least squares over the
//! devices not updated, within pools (analysis of covariance): load that moves goes to calm members more than to busy ones. Of three lengths of "just before" (an hour, four, a day) the one is taken by which
//! the devices not updated differ least at that moment. Less the tolerated rise, and in units of how restless the device was in the past,
//! it is ranked among the same figures of all devices not updated: they are the yardstick, measured by the same minutes. The rank
//! becomes a normal score, so that no outlier, however far off, counts for more than its rank. Every hour `slow` looks at all
//! updated devices at once, for what grows. Forecasts take no part: those made after the update have learnt what it did.
//!
//! **What is bet.** A rise of δ points would shift the score of a device by about `μ = δ / its spread` (at most 2.5). `exp(μ g − μ²/2)` of a
//! normal score g is an e-value: its mean is at most 1 where the device is no worse than those it is ranked among. E-values of devices
//! that enter one after another are multiplied, for five rises δ at once, for each look, for all devices and for each variant; the test
//! watches their weighted mean. Calm devices weigh more by themselves, for δ is in points. The slow looks' share is a weighted sum.
//!
//! **What is proven.** Let every factor have mean at most 1 given everything before it. Then each product is a supermartingale, so is
//! their mean, and the running sum of the slow looks is at most the conditional mean of its total; by Ville's inequality the evidence ever
//! reaches `1/α` with a probability of at most α, whenever and however often one looks. For one device among exchangeable ones the mean of a
//! factor is at most 1 by its rank alone, whatever the distribution (checked for all ranks in the tests).
//!
//! **What is assumed.** Given the past, an updated device is exchangeable with the devices not updated in its score: who goes when is
//! decided by criticality, chance and forecasts, not by what load does afterwards. Devices do not enter one at a time: those of a pool
//! share the noise of its mean, all share the yardstick. Each bet is charged for that as if scores were normal: `1/m` for m
//! pool-mates, `2k/m` more for k members that entered by overlapping minutes, `T²/(M+1)` for bets of sum T against M controls. Clones that
//! move in step without being in one pool are beyond that. That these charges are enough is **measured** (`docs/decisions/0002`).
//!
//! **What is estimated.** [`Evidence::rise`] is the weighted mean excess at the look that says most, with Robbins' normal-mixture interval: it
//! holds at all times at once if excesses are normal with the spread of the yardstick, an approximation (as in Lindon and others, KDD
//! 2022, arXiv 2205.14762).

use super::blame::Excess;
use super::evidence::{BET_MAX, Evidence, Ledger, RISES};
use super::normal::log_sum_exp;
use super::panel::{Panel, Watched, Yardstick, normal_score};
use super::slow::SlowLooks;
use super::windows::Window;
use super::{Group, Tick};
use crate::time::{Instant, Span};

/// Stake on the slow looks; the others' are in [`LOOKS`], and all add up to 1.
const SLOW_STAKE: f64 = 0.2;

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
    Look { age: Span::from_secs(300), after: 1, stake: 0.5 },
    Look { age: Span::from_secs(1200), after: 3, stake: 0.15 },
    Look { age: Span::from_secs(3900), after: 12, stake: 0.15 },
];
/// Members of a pool that took a look lately, and when the last did.
#[derive(Debug, Clone, Copy, Default)]
struct Recent {
    members: f64,
    at: i64,
}

impl Recent {
    /// One more enters. Returns its share in the noise of the pool's mean, in units of what one device without others would have.
    fn enter(&mut self, after: Window) -> f64 {
        self.members *= libm::exp(-((after.end - self.at) as f64) / after.bins as f64);
        self.at = after.end;
        let share = 1.0 + 2.0 * self.members;
        self.members += 1.0;
        share
    }
}

/// The test of one rollout.
#[derive(Debug, Clone)]
pub struct BadRelease {
    rate: f64,
    tolerance: f64,
    began: Option<Instant>,
    panel: Panel,
    yardstick: Yardstick,
    /// All devices, then variant by variant.
    ledgers: Vec<[Ledger; LOOKS.len()]>,
    /// By pool.
    recent: Vec<[Recent; LOOKS.len()]>,
    slow: SlowLooks,
}

impl BadRelease {
    /// A test with a promised rate of false alarms and a rise of load, in points, that a release may bring.
    pub fn new(rate: f64, tolerance: f64) -> Self {
        Self {
            rate,
            tolerance,
            began: None,
            panel: Panel::default(),
            yardstick: Yardstick::default(),
            ledgers: Vec::new(),
            recent: Vec::new(),
            slow: SlowLooks::new(),
        }
    }

    /// Takes a tick in. `past` writes the load of a device before now into a vector, oldest first, and says how long its steps are.
    pub fn tick(&mut self, tick: &Tick<'_>, past: &mut dyn FnMut(usize, &mut Vec<f32>) -> Span) {
        self.panel.enrol(tick, past);
        self.ledgers.resize(self.panel.variants() + 1, [Ledger::default(); LOOKS.len()]);
        self.recent.resize(self.panel.pools(), [Recent::default(); LOOKS.len()]);
        self.began.get_or_insert(tick.now);
        let (closes, closes_coarse) = self.panel.record(tick);
        if closes {
            for look in 0..LOOKS.len() {
                self.look(look, tick.now);
            }
        }
        if closes_coarse {
            self.slow.look(tick.now, self.tolerance, &self.panel, &mut self.yardstick);
        }
    }

    /// Devices that have come to the age of a look take it, those together that left at the same time.
    fn look(&mut self, look: usize, now: Instant) {
        let mut entrants: Vec<(i64, usize)> = Vec::new();
        for (w, watched) in self.panel.watched.iter_mut().enumerate() {
            let is_due = watched.looked & (1 << look) == 0 && now.since(watched.since) >= LOOKS[look].age;
            if watched.group == Group::Treated && is_due {
                watched.looked |= 1 << look;
                if watched.left > i64::MIN {
                    entrants.push((watched.left, w));
                }
            }
        }
        entrants.sort_unstable();
        let mut yardstick = std::mem::take(&mut self.yardstick);
        let after = Window { is_coarse: false, end: self.panel.windows.closed(), bins: LOOKS[look].after };
        for group in entrants.chunk_by(|a, b| a.0 == b.0) {
            if let Some((before, unit)) = self.panel.measure_best(group[0].0, after, &mut yardstick) {
                self.enter(look, group, before, after, unit, &yardstick);
            }
        }
        self.yardstick = yardstick;
    }

    /// Devices that left at the same time bring their evidence.
    fn enter(
        &mut self,
        look: usize,
        group: &[(i64, usize)],
        before: Window,
        after: Window,
        unit: f64,
        yardstick: &Yardstick,
    ) {
        let controls = yardstick.best.scores.len() as f64;
        let mut totals = vec![[0.0; RISES.len()]; self.ledgers.len()];
        for (_, w) in group {
            let Some((excess, mates)) = self.panel.excess(*w, before, after, yardstick) else { continue };
            let watched = &mut self.panel.watched[*w];
            let score = normal_score(&yardstick.best.scores, (excess - self.tolerance) / watched.spread);
            let shared = 1.0 + self.recent[watched.pool][look].enter(after) / f64::from(mates);
            let deviation = watched.spread * unit;
            watched.excess = Excess { points: excess, deviation };
            for which in [0, watched.variant + 1] {
                let ledger = &mut self.ledgers[which][look];
                for ((rise, _), (log_e, total)) in RISES.iter().zip(ledger.log_e.iter_mut().zip(&mut totals[which])) {
                    let bet = (rise / deviation).min(BET_MAX);
                    *log_e += bet * score - bet * bet * shared / 2.0;
                    *total += bet;
                }
                ledger.sums.add(excess, deviation, shared);
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
        let slow = libm::log(SLOW_STAKE) + self.slow.log_e;
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
        let slow = (0, LOOKS.len(), self.slow.log_e + libm::log(SLOW_STAKE));
        let loudest = |a: &(usize, usize, f64), b: &(usize, usize, f64)| a.2.total_cmp(&b.2);
        let (which, look, _) = candidates.chain([slow]).max_by(loudest).unwrap_or(slow);
        let variant = which.checked_sub(1).filter(|_| self.ledgers.len() > 2);
        let counts = |w: &&Watched| {
            let looked = if look < LOOKS.len() { w.looked & (1 << look) != 0 } else { w.looked != 0 };
            w.group == Group::Treated && looked && variant.is_none_or(|v| v == w.variant)
        };
        let mut pools: Vec<usize> = self.panel.watched.iter().filter(counts).map(|w| w.pool).collect();
        let devices = pools.len() as u32;
        pools.sort_unstable();
        pools.dedup();
        let sums =
            if look < LOOKS.len() { self.ledgers.get(which).map(|l| l[look].sums) } else { Some(self.slow.sums) };
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
        self.panel.watched.iter().filter(known).map(|w| (w.device, w.excess))
    }
}
