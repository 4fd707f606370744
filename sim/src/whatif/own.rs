//! Own load: what each device would have carried had nobody been out, tick by tick.

use super::model::OwnLoads;
use super::recorded::Recorded;
use slacktide_engine::time::{Instant, Span};
use std::collections::BTreeMap;

const DAY_MS: i64 = 86_400_000;

#[derive(Debug)]
pub(crate) struct OwnLoad {
    ticks: Vec<(Instant, Vec<Vec<f32>>)>,
    /// Time between ticks.
    pub(crate) period: Span,
}

impl OwnLoad {
    /// Load that members took over from those that were out is taken off them again, and given back to the others: each gets the mean of
    /// its pool, scaled by how it stood to it while it served.
    pub(crate) fn new(recorded: &Recorded) -> Self {
        let mut pools: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (d, facts) in recorded.facts.iter().enumerate() {
            pools.entry(facts.pool.as_str()).or_default().push(d);
        }
        let mut ticks = recorded.ticks.clone();
        for members in pools.values() {
            let ratio = ratios(recorded, members);
            for (t, (_, columns)) in ticks.iter_mut().enumerate() {
                for (metric, column) in columns.iter_mut().enumerate() {
                    // Only the first metric moves with the work; see the world the simulator makes.
                    restore(recorded, members, &ratio[metric], t, metric == 0, column);
                }
            }
        }
        Self { period: period(&ticks), ticks }
    }

    /// Tick by tick, by metric, then device.
    pub(crate) fn ticks(&self) -> &[(Instant, Vec<Vec<f32>>)] {
        &self.ticks
    }
}

impl OwnLoads for OwnLoad {
    fn period(&self) -> Span {
        self.period
    }

    /// As recorded, and beyond the recording as at the same time of the day before.
    fn at(&mut self, at: Instant) -> Option<Vec<Vec<f32>>> {
        let mut at = at;
        let last = self.ticks.last()?.0;
        let first = self.ticks.first()?.0;
        while at > last && Instant::from_millis(at.as_millis() - DAY_MS) >= first {
            at = Instant::from_millis(at.as_millis() - DAY_MS);
        }
        let after = self.ticks.partition_point(|(when, _)| *when <= at);
        self.ticks.get(after.checked_sub(1)?).map(|(_, columns)| columns.clone())
    }
}

/// The shortest time between two ticks.
fn period(ticks: &[(Instant, Vec<Vec<f32>>)]) -> Span {
    let between = ticks.windows(2).map(|pair| pair[1].0.since(pair[0].0));
    between.filter(|span| *span > Span::ZERO).min().unwrap_or(Span::from_secs(300))
}

fn serves(recorded: &Recorded, t: usize, d: usize) -> bool {
    !recorded.out[t].get(d).copied().unwrap_or(false)
}

/// By metric and member: its mean load over that of the pool's serving members.
fn ratios(recorded: &Recorded, members: &[usize]) -> Vec<Vec<f32>> {
    let metrics = recorded.header.metrics.len();
    let mut sums = vec![vec![(0.0_f64, 0.0_f64); members.len()]; metrics];
    for (t, (_, columns)) in recorded.ticks.iter().enumerate() {
        for (metric, column) in columns.iter().enumerate() {
            let Some(mean) = mean(recorded, members, t, column) else { continue };
            for (m, d) in members.iter().enumerate() {
                if let Some(value) = column.get(*d).filter(|v| v.is_finite() && serves(recorded, t, *d)) {
                    sums[metric][m].0 += f64::from(*value);
                    sums[metric][m].1 += mean;
                }
            }
        }
    }
    let ratio = |(own, pool): &(f64, f64)| if *pool > 0.0 { (own / pool) as f32 } else { 1.0 };
    sums.iter().map(|row| row.iter().map(ratio).collect()).collect()
}

fn mean(recorded: &Recorded, members: &[usize], t: usize, column: &[f32]) -> Option<f64> {
    let (mut sum, mut weight) = (0.0, 0.0);
    for d in members.iter().filter(|d| serves(recorded, t, **d)) {
        if let Some(value) = column.get(*d).filter(|v| v.is_finite()) {
            sum += f64::from(*value) * recorded.facts[*d].weight;
            weight += recorded.facts[*d].weight;
        }
    }
    (weight > 0.0).then(|| sum / weight)
}

fn restore(recorded: &Recorded, members: &[usize], ratio: &[f32], t: usize, moves: bool, column: &mut Vec<f32>) {
    column.resize(recorded.facts.len(), f32::NAN);
    let Some(mean) = mean(recorded, members, t, column) else { return };
    let weight = |serving: bool| -> f64 {
        let counted = members.iter().filter(|d| !serving || serves(recorded, t, **d));
        counted.map(|d| recorded.facts[*d].weight).sum()
    };
    let (all, serving) = (weight(false), weight(true));
    let own = if moves && all > 0.0 { serving / all } else { 1.0 };
    for (m, d) in members.iter().enumerate() {
        column[*d] = if serves(recorded, t, *d) {
            column[*d] * own as f32
        } else {
            ((mean * own) as f32 * ratio[m]).clamp(0.0, 100.0)
        };
    }
}
