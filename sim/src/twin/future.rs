//! Load to come, made of load that was: the profile of the day plus stretches of what was left of it, joined so that nothing jumps.
//!
//! A moving block bootstrap (Künsch, *The jackknife and the bootstrap for general stationary observations*, Annals of Statistics 17, 1989) of all
//! devices together, so that what belongs together stays together; days are drawn anew for the profile of each run, for it is an
//! estimate from few of them. Where two stretches meet, their difference dies away as fast as the pool forgets.

use crate::rng::{Purpose, Stream};
use crate::whatif::{OwnLoad, OwnLoads, Recorded};
use slacktide_engine::time::{Instant, Span};
use std::collections::BTreeMap;

const DAY_MS: i64 = 86_400_000;
/// Older load is left out.
const DAYS_MAX: usize = 7;
/// A stretch: long enough to hold an evening's mood, short enough that there are many.
const STRETCH: Span = Span::from_secs(3 * 3600);
/// Half the width over which the profile of a day is smoothed.
const SMOOTH: Span = Span::from_secs(15 * 60);
/// Stretches are drawn from this much earlier or later in the day at most, for nights are calmer than evenings.
const ASIDE: Span = Span::from_secs(3 * 3600);

/// By metric, then device.
type Columns = Vec<Vec<f32>>;

/// What the recording says of load, once for all runs.
#[derive(Debug)]
pub(super) struct Past {
    period: Span,
    /// Positions in a day.
    phases: usize,
    own: Vec<(Instant, Columns)>,
    /// Smoothed, by tick.
    smooth: Vec<Columns>,
    /// By phase, over all days; `None` where the recording has no such time of day.
    profile: Vec<Option<Columns>>,
    /// Ticks by phase.
    by_phase: Vec<Vec<usize>>,
    /// What residuals of a mean of few days must be stretched by to vary as much as those of the true mean.
    stretch: f32,
    /// How much of a difference is left after one tick, by pool; and the pool of each device.
    memory: Vec<f32>,
    pool_of: Vec<usize>,
}

impl Past {
    pub(super) fn new(recorded: &Recorded) -> Self {
        let own = OwnLoad::new(recorded);
        let period = own.period();
        let phases = (DAY_MS as u64 / period.as_millis().max(1)).max(1) as usize;
        let newest = own.ticks().len().saturating_sub(phases * DAYS_MAX);
        let own: Vec<(Instant, Columns)> = own.ticks()[newest..].to_vec();
        let mut by_phase = vec![Vec::new(); phases];
        for (j, (at, _)) in own.iter().enumerate() {
            by_phase[phase(*at, period, phases)].push(j);
        }
        let reach = SMOOTH.steps_down(period);
        let smooth: Vec<Columns> = (0..own.len())
            .map(|j| mean(own[j.saturating_sub(reach)..(j + reach + 1).min(own.len())].iter().map(|(_, c)| (c, 1.0))))
            .collect();
        let profile = by_phase
            .iter()
            .map(|ticks| (!ticks.is_empty()).then(|| mean(ticks.iter().map(|j| (&smooth[*j], 1.0)))))
            .collect();
        let days = by_phase.iter().map(Vec::len).max().unwrap_or(1).max(1) as f32;
        let stretch = if days > 1.0 { (days / (days - 1.0)).sqrt() } else { 1.0 };
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        let pool_of: Vec<usize> = recorded
            .facts
            .iter()
            .map(|facts| {
                let next = names.len();
                *names.entry(facts.pool.as_str()).or_insert(next)
            })
            .collect();
        let pools = names.len();
        let mut past =
            Self { period, phases, own, smooth, profile, by_phase, stretch, memory: vec![0.0; pools], pool_of };
        past.memory = past.memories(pools);
        past
    }

    /// Residual of a metric and device at a tick.
    fn residual(&self, j: usize, metric: usize, d: usize) -> f32 {
        let (at, columns) = &self.own[j];
        let expected = self.profile[phase(*at, self.period, self.phases)].as_ref().map_or(f32::NAN, |p| p[metric][d]);
        let residual = (columns[metric][d] - expected) * self.stretch;
        if residual.is_finite() { residual } else { 0.0 }
    }

    /// Correlation of a pool's mean residual with the one a tick before.
    fn memories(&self, pools: usize) -> Vec<f32> {
        let mut members = vec![0_u32; pools];
        self.pool_of.iter().for_each(|p| members[*p] += 1);
        let means: Vec<Vec<f64>> = (0..self.own.len())
            .map(|j| {
                let mut sums = vec![0.0; pools];
                for (d, p) in self.pool_of.iter().enumerate() {
                    sums[*p] += f64::from(self.residual(j, 0, d)) / f64::from(members[*p]);
                }
                sums
            })
            .collect();
        let of = |p: usize| {
            let all: f64 = means.iter().map(|m| m[p] * m[p]).sum();
            let next: f64 = means.windows(2).map(|pair| pair[0][p] * pair[1][p]).sum();
            if all > 0.0 { (next / all).clamp(0.0, 0.999) as f32 } else { 0.0 }
        };
        (0..pools).map(of).collect()
    }
}

fn phase(at: Instant, period: Span, phases: usize) -> usize {
    (at.as_millis().rem_euclid(DAY_MS) as u64 / period.as_millis().max(1)) as usize % phases
}

/// Weighted mean of columns; what is missing does not count.
fn mean<'a>(of: impl Iterator<Item = (&'a Columns, f32)>) -> Columns {
    let mut sums: Columns = Vec::new();
    let mut weights: Columns = Vec::new();
    for (columns, weight) in of {
        if sums.is_empty() {
            sums = columns.iter().map(|column| vec![0.0; column.len()]).collect();
            weights.clone_from(&sums);
        }
        for ((sum, weights), column) in sums.iter_mut().zip(&mut weights).zip(columns) {
            for ((sum, total), value) in sum.iter_mut().zip(weights).zip(column) {
                if value.is_finite() {
                    *sum += value * weight;
                    *total += weight;
                }
            }
        }
    }
    for (sum, weights) in sums.iter_mut().zip(&weights) {
        for (sum, weight) in sum.iter_mut().zip(weights) {
            // Nothing known is no number: 0 by 0.
            *sum /= weight;
        }
    }
    sums
}

/// One run's load to come.
#[derive(Debug)]
pub(super) struct Future<'a> {
    past: &'a Past,
    stream: Stream,
    /// Weight of each day in this run's profile, by days before the end.
    days: Vec<f32>,
    /// Tick of the past whose residuals are in force, and how many more of this stretch follow.
    at: usize,
    left: usize,
    /// What is left of the difference where the stretches met, by metric, then device.
    gap: Columns,
}

impl<'a> Future<'a> {
    pub(super) fn new(past: &'a Past, seed: u64) -> Self {
        let mut stream = Stream::new(seed, Purpose::Twin, 0);
        let days = past.own.len().div_ceil(past.phases).max(1);
        let mut weights = vec![0.0; days];
        for _ in 0..days {
            weights[stream.below(days)] += 1.0;
        }
        let gap = past.own.last().map_or_else(Vec::new, |(_, c)| c.iter().map(|c| vec![0.0; c.len()]).collect());
        Self { past, stream, days: weights, at: past.own.len().saturating_sub(1), left: 0, gap }
    }

    /// The next tick of the past to take residuals from.
    fn step(&mut self, phase: usize) {
        let past = self.past;
        if self.left > 0 && self.at + 1 < past.own.len() {
            self.left -= 1;
            self.at += 1;
            self.forget();
            return;
        }
        let before = self.at;
        let aside = ASIDE.steps_down(past.period);
        let drawn = (phase + past.phases + self.stream.below(2 * aside + 1) - aside) % past.phases;
        let ticks = &past.by_phase[drawn];
        // A recording of less than a day lacks times of day.
        let j = ticks.get(self.stream.below(ticks.len())).copied().unwrap_or_else(|| self.stream.below(past.own.len()));
        // What came before the drawn stretch would have had to be what was.
        let from = j.saturating_sub(1);
        for (metric, gap) in self.gap.iter_mut().enumerate() {
            for (d, gap) in gap.iter_mut().enumerate() {
                *gap += past.residual(before, metric, d) - past.residual(from, metric, d);
            }
        }
        self.at = j;
        self.left = STRETCH.steps_down(past.period);
        self.forget();
    }

    fn forget(&mut self) {
        for gap in &mut self.gap {
            for (gap, pool) in gap.iter_mut().zip(&self.past.pool_of) {
                *gap *= self.past.memory[*pool];
            }
        }
    }

    /// This run's profile at a time of day.
    fn profile(&self, phase: usize) -> Option<Columns> {
        let past = self.past;
        // The nearest earlier time of day that is known.
        let known = (0..past.phases).map(|back| (phase + past.phases - back) % past.phases);
        let phase = known.into_iter().find(|p| !past.by_phase[*p].is_empty())?;
        let last = past.own.len() - 1;
        let weighted = past.by_phase[phase].iter().map(|j| (&past.smooth[*j], self.days[(last - j) / past.phases]));
        let total: f32 = weighted.clone().map(|(_, weight)| weight).sum();
        if total > 0.0 { Some(mean(weighted)) } else { past.profile[phase].clone() }
    }
}

impl OwnLoads for Future<'_> {
    fn period(&self) -> Span {
        self.past.period
    }

    fn at(&mut self, at: Instant) -> Option<Columns> {
        let phase = phase(at, self.past.period, self.past.phases);
        self.step(phase);
        let mut columns = self.profile(phase)?;
        for (metric, column) in columns.iter_mut().enumerate() {
            for (d, value) in column.iter_mut().enumerate() {
                *value = (*value + self.past.residual(self.at, metric, d) + self.gap[metric][d]).clamp(0.0, 100.0);
            }
        }
        Some(columns)
    }
}
