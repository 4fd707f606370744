//! Perfect foresight: what a forecast that is never wrong would be worth.
//!
//! The oracle answers the engine's questions with what every device and pool will carry if nobody is out, read from the world itself under
//! the same seed. It knows nothing of what the rollout will do to that load, and nothing of failures.

use crate::load::Load;
use crate::setup::Setup;
use slacktide_engine::Engine;
use slacktide_engine::forecasting::{Fit, SeriesKey, SlotValues};
use slacktide_engine::history::slot_number;
use slacktide_engine::input::DeviceFacts;
use slacktide_engine::time::{Instant, Span};
use std::collections::BTreeMap;

/// Slot peaks of everything that will happen.
#[derive(Debug)]
pub(crate) struct Oracle {
    first_slot: i64,
    slots: usize,
    slot: Span,
    metrics: usize,
    /// By device, metric, slot; percent.
    peaks: Vec<f32>,
    /// By pool in the order of first mention, then slot; weight units.
    demand: Vec<Vec<f32>>,
}

impl Oracle {
    /// Looks at the whole run of a seed.
    pub(crate) fn new(setup: &Setup, facts: &[DeviceFacts], group_of: &[usize], seed: u64) -> Self {
        let (scenario, slot) = (&setup.scenario, setup.policy.plan.slot);
        let mut load = Load::new(setup, facts, group_of, seed);
        let metrics = setup.metrics().len();
        // Beyond the world's end a last forecast still looks ahead.
        let span = scenario.history + scenario.until_max + setup.policy.plan.horizon.times(2);
        let ticks = span.steps_up(scenario.tick) as u64;
        let first_slot = slot_number(scenario.start, slot);
        let slots = (slot_number(scenario.start + span, slot) - first_slot + 1) as usize;
        let mut pools: BTreeMap<&str, usize> = BTreeMap::new();
        let mut order = 0..;
        let pool_of: Vec<usize> =
            facts.iter().map(|f| *pools.entry(f.pool.as_str()).or_insert_with(|| order.next().unwrap_or(0))).collect();
        let mut oracle = Self {
            first_slot,
            slots,
            slot,
            metrics,
            peaks: vec![0.0; facts.len() * metrics * slots],
            demand: vec![vec![0.0; slots]; pools.len()],
        };
        let mut columns = vec![vec![0.0; facts.len()]; metrics];
        let mut now = vec![0.0_f64; pools.len()];
        for tick in 0..ticks {
            let at = scenario.start + scenario.tick.times(tick as usize);
            load.fill(tick, at, &mut columns);
            let position = (slot_number(at, slot) - first_slot) as usize;
            now.fill(0.0);
            for d in 0..facts.len() {
                for (metric, column) in columns.iter().enumerate() {
                    let peak = &mut oracle.peaks[(d * metrics + metric) * slots + position];
                    *peak = peak.max(column[d].clamp(0.0, 100.0));
                }
                now[pool_of[d]] += facts[d].weight * f64::from(columns[0][d]) / 100.0;
            }
            for (demand, now) in oracle.demand.iter_mut().zip(&now) {
                demand[position] = demand[position].max(*now as f32);
            }
        }
        oracle
    }

    /// The answer to one key.
    pub(crate) fn fit(&self, engine: &Engine, key: SeriesKey, now: Instant) -> Fit {
        let (horizon, window) = engine.forecast_steps();
        let first = (slot_number(now, self.slot) - self.first_slot).max(0) as usize;
        let at = |series: &[f32], step: usize| series[(first + step).min(self.slots - 1)];
        let (points, upper) = match key {
            SeriesKey::Device(device) => {
                let weights = engine.fleet().metric_weights();
                let series = |metric: usize| {
                    let begin = (device.index() * self.metrics + metric) * self.slots;
                    &self.peaks[begin..begin + self.slots]
                };
                let highest = |step: usize| {
                    (0..self.metrics).map(|m| at(series(m), step) * weights[m]).fold(0.0, f32::max).min(100.0)
                };
                let demand = series(engine.fleet().demand_metric());
                let window_peak = |h: usize| (h..h + window).map(highest).fold(0.0, f32::max);
                ((0..horizon).map(|h| at(demand, h)).collect(), (0..horizon).map(window_peak).collect())
            }
            SeriesKey::Pool(pool) => {
                let demand: SlotValues = (0..horizon).map(|h| at(&self.demand[pool.index()], h)).collect();
                (demand.clone(), demand)
            }
            SeriesKey::Shared => (SlotValues::new(), SlotValues::new()),
        };
        Fit { points, upper, ..Fit::default() }
    }
}
