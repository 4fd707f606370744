//! Is the release worse than what it replaces? Updated devices against those of the same pool that are not updated yet.
//!
//! At every tick each device has a residual: its load less the forecast for it, the forecast scaled by the share of its
//! pool that is out (load has moved). Less the mean residual of the not yet updated members of its pool that is its
//! *relative* residual: what the whole pool does cancels out. Less its habit from before the pool's first update it is its
//! *excess*; habits of a pool are frozen at that moment for updated and other devices alike.
//!
//! The devices not yet updated are the yardstick: their excesses say how far devices drift by themselves, in this fleet and
//! by now. In units of that spread, less the tolerated rise and an allowance for the choice of calm devices, each updated
//! device counts, clipped to ±2; their sum over its standard deviation (which includes the noise of the pool means they
//! share) is the statistic. While the release is no worse than tolerated, updated devices are exchangeable with the others,
//! and the sub-Gaussian tail `exp(−z²/2)` bounds each look; the looks of a whole rollout and its variants share the
//! promised rate of false alarms (Bonferroni), so one may look at every tick. Devices drift slowly, so neighbouring looks
//! say nearly the same and the bound is wide; it holds however they depend on each other.

use super::run::{Run, Stage};
use crate::fleet::Fleet;
use crate::forecasting::Forecasting;
use crate::time::Instant;
use std::collections::BTreeMap;

/// Looks that share the false-alarm rate: two weeks of five-minute ticks.
const LOOKS_MAX: f64 = 4096.0;
/// Weight of the newest tick in the habit of a device.
const HABIT: f64 = 0.05;
/// Ticks a habit needs before its device counts, on either side. Few make a noisy habit, and the yardstick is as noisy.
const HABIT_TICKS_MIN: u32 = 3;
/// Weight of the newest tick in an excess: about a quarter of an hour of five-minute ticks.
const SMOOTHING: f64 = 0.3;
/// Ticks after its update before a device counts: it comes back from a restart.
const SETTLING_TICKS: u32 = 3;
/// Devices of a pool not yet updated that are needed to say what the pool does.
const MATES_MIN: u32 = 3;
/// Devices not yet updated, over all pools, that are needed to know the spread.
const YARDSTICK_MIN: u32 = 12;
/// A rise within this share of the spread is no rise: devices that go first were chosen for their calm forecast, and the calmest
/// forecast is a little too low (regression to the mean), however many devices say so.
const SELECTION_SPREADS: f64 = 0.5;
/// No device counts for more than this many spreads, so that it takes seven devices at least to raise an alarm.
const CLIP: f64 = 2.0;
/// Smallest spread, in points.
const SPREAD_MIN: f64 = 0.5;

/// What the test keeps of a device.
#[derive(Debug, Clone, Copy, Default)]
struct Habit {
    ticks: u32,
    mean: f64,
    /// Smoothed excess, and the ticks it rests on.
    excess: f64,
    excess_ticks: u32,
    updated: bool,
}

impl Habit {
    fn learn(&mut self, relative: f64) {
        self.ticks += 1;
        // A plain mean at first, so that the habit does not hang on its first tick.
        self.mean += (relative - self.mean) * HABIT.max(1.0 / f64::from(self.ticks));
    }

    fn drift(&mut self, relative: f64, updated: bool) {
        if updated && !self.updated {
            // What it did before the update says nothing about the release.
            self.excess_ticks = 0;
            self.updated = true;
        }
        self.excess_ticks += 1;
        let weight = SMOOTHING.max(1.0 / f64::from(self.excess_ticks));
        self.excess += (relative - self.mean - self.excess) * weight;
    }
}

/// The test of one rollout.
#[derive(Debug, Clone, Default)]
pub(super) struct Regression {
    false_alarm_rate: Option<f64>,
    habits: Vec<Habit>,
}

/// What the test looks at.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) now: Instant,
    pub(super) fleet: &'a Fleet,
    pub(super) forecasting: &'a Forecasting,
    pub(super) run: &'a Run,
    /// Devices changed or held by other rollouts under way; empty for none.
    pub(super) touched: &'a [bool],
    pub(super) tolerance: f64,
}

/// The evidence passed its threshold.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Alarm {
    pub(super) evidence: f64,
    pub(super) threshold: f64,
    pub(super) words: String,
}

/// One pool at one tick.
#[derive(Debug, Clone, Copy, Default)]
struct PoolTick {
    mates: u32,
    residuals: f64,
    has_updated: bool,
}

/// Updated devices of one variant at one tick.
#[derive(Debug, Default)]
struct Treated {
    excess: f64,
    score: f64,
    devices: u32,
    by_pool: BTreeMap<usize, u32>,
}

impl Regression {
    pub(super) fn new(devices: usize, false_alarm_rate: Option<f64>) -> Self {
        let habits = if false_alarm_rate.is_some() { vec![Habit::default(); devices] } else { Vec::new() };
        Self { false_alarm_rate, habits }
    }

    pub(super) fn grow(&mut self, devices: usize) {
        if self.false_alarm_rate.is_some() {
            self.habits.resize(devices, Habit::default());
        }
    }

    /// Takes one tick in. Returns an alarm when the evidence is past its threshold.
    pub(super) fn tick(&mut self, view: &View<'_>) -> Option<Alarm> {
        let rate = self.false_alarm_rate?;
        if !view.forecasting.is_ready() {
            return None;
        }
        let residuals = residuals(view);
        let pools = pools(view, &residuals);
        let (mut squares, mut others) = (0.0, 0_u32);
        for (d, residual) in residuals.iter().enumerate() {
            let pool = pools[view.fleet.pool_of[d].index()];
            let Some(residual) = residual.filter(|_| pool.mates >= MATES_MIN) else { continue };
            let relative = residual - pool.residuals / f64::from(pool.mates);
            let habit = &mut self.habits[d];
            let stage = view.run.devices[d].stage;
            let waits = matches!(stage, Stage::NotTarget | Stage::Waiting);
            if waits && !pool.has_updated {
                habit.learn(relative);
            } else if waits || stage == Stage::Updated {
                habit.drift(relative, stage == Stage::Updated);
                if waits && habit.ticks >= HABIT_TICKS_MIN {
                    squares += habit.excess * habit.excess;
                    others += 1;
                }
            }
        }
        if others < YARDSTICK_MIN {
            return None;
        }
        let spread = (squares / f64::from(others)).sqrt().max(SPREAD_MIN);
        self.judge(view, &residuals, &pools, spread, rate)
    }

    fn judge(
        &self,
        view: &View<'_>,
        residuals: &[Option<f64>],
        pools: &[PoolTick],
        spread: f64,
        rate: f64,
    ) -> Option<Alarm> {
        let mut variants: BTreeMap<&str, Treated> = BTreeMap::new();
        for (d, habit) in self.habits.iter().enumerate() {
            let pool = view.fleet.pool_of[d].index();
            let counts = view.run.devices[d].stage == Stage::Updated
                && residuals[d].is_some()
                && pools[pool].mates >= MATES_MIN
                && habit.ticks >= HABIT_TICKS_MIN
                && habit.excess_ticks >= SETTLING_TICKS;
            if counts {
                let treated = variants.entry(view.fleet.facts[d].variant.as_str()).or_default();
                treated.excess += habit.excess;
                treated.score += ((habit.excess - view.tolerance) / spread - SELECTION_SPREADS).clamp(-CLIP, CLIP);
                treated.devices += 1;
                *treated.by_pool.entry(pool).or_default() += 1;
            }
        }
        let looks = LOOKS_MAX * variants.len().max(1) as f64;
        let threshold = (2.0 * libm::log(looks / rate)).sqrt();
        let alarm = |(variant, treated): (&&str, &Treated)| {
            // Updated members of a pool share the noise of its mean.
            let shared = |(pool, n): (&usize, &u32)| {
                f64::from(*n) + f64::from(*n) * f64::from(*n) / f64::from(pools[*pool].mates)
            };
            let evidence = treated.score / treated.by_pool.iter().map(shared).sum::<f64>().sqrt();
            (evidence > threshold).then(|| Alarm {
                evidence,
                threshold,
                words: format!(
                    "{} updated devices of variant `{variant}` in {} pools carry {:.1} points more load than their pool-mates \
                     ({:.1} are tolerated; devices drift by {spread:.1} by themselves): evidence {evidence:.1} against {threshold:.1}",
                    treated.devices,
                    treated.by_pool.len(),
                    treated.excess / f64::from(treated.devices),
                    view.tolerance,
                ),
            })
        };
        variants.iter().find_map(alarm)
    }
}

/// Load less the forecast for it, by device; `None` for devices not in service or without a forecast.
fn residuals(view: &View<'_>) -> Vec<Option<f64>> {
    let metric = view.fleet.demand_metric();
    let moved: Vec<f64> = view
        .fleet
        .pools
        .iter()
        .map(|pool| if pool.weight_serving > 0.0 { pool.weight_total / pool.weight_serving } else { 1.0 })
        .collect();
    let residual = |d: usize| {
        if view.touched.get(d) == Some(&true) {
            return None;
        }
        if !view.fleet.is_serving(d, view.now) || view.fleet.last_at[d] != Some(view.now) {
            return None;
        }
        let point = view.forecasting.load_point(crate::ids::DeviceIndex(d as u32), view.now)?;
        let load = view.fleet.last[metric][d];
        let residual = f64::from(load) - f64::from(point) * moved[view.fleet.pool_of[d].index()];
        residual.is_finite().then_some(residual)
    };
    (0..view.fleet.len()).map(residual).collect()
}

/// Mates not yet updated, and whether any member is updated, by pool.
fn pools(view: &View<'_>, residuals: &[Option<f64>]) -> Vec<PoolTick> {
    let mut pools = vec![PoolTick::default(); view.fleet.pools.len()];
    for (d, residual) in residuals.iter().enumerate() {
        let pool = &mut pools[view.fleet.pool_of[d].index()];
        match (view.run.devices[d].stage, residual) {
            (Stage::NotTarget | Stage::Waiting, Some(residual)) => {
                pool.mates += 1;
                pool.residuals += residual;
            }
            (Stage::Updated, _) => pool.has_updated = true,
            _ => {}
        }
    }
    pools
}
