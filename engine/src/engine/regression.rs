//! Is the release worse than what it replaces? Updated devices against those of the same pool that are not updated yet.
//!
//! At every tick each device has a residual: its load less the forecast for it, the forecast scaled by the share of its pool that
//! is out (load has moved). Its *excess* is the residual less the mean residual of the not yet updated members of its pool, less
//! the habit of that difference before the update: what the whole pool does cancels out, and so does a device's own bias. Devices
//! of a pool are correlated, so the pool is the unit: a tick gives one number per variant, the mean over pools of the mean excess
//! of their updated members, less the tolerated rise.
//!
//! That number is whitened (first-order autoregression, the coefficient learned from devices not yet updated), clipped to ±1 in
//! units of its own scale, and bet upon: the evidence is the mean over stakes λ of `Π (1 + λ·x)`. While the release is no worse
//! than tolerated, the expectation of each factor is at most 1, so the evidence is a test supermartingale and exceeds `1/α` with
//! probability at most α at *any* time of the rollout, however often one looks (Ville 1939; Waudby-Smith & Ramdas 2024,
//! "Estimating means of bounded random variables by betting"). α is divided by the number of variants.

use super::run::{Run, Stage};
use crate::fleet::Fleet;
use crate::forecasting::Forecasting;
use crate::time::Instant;
use std::collections::BTreeMap;

/// Stakes that are played side by side.
const STAKES: [f64; 5] = [0.1, 0.25, 0.45, 0.65, 0.85];
/// Weight of the newest tick in the habit of a device.
const HABIT: f64 = 0.05;
/// Ticks a habit needs before the device counts, on either side.
const HABIT_TICKS_MIN: u32 = 12;
/// Never believe that two ticks of the same excess are less alike than this.
const WHITENING_MIN: f64 = 0.5;
/// …nor more, or a lasting rise would vanish.
const WHITENING_MAX: f64 = 0.9;
/// Smallest scale of the clipped number, in points.
const SCALE_MIN: f64 = 0.5;

/// What the test keeps of a device.
#[derive(Debug, Clone, Copy, Default)]
struct Habit {
    ticks: u32,
    mean: f64,
    /// Newest deviation from the habit.
    last: f64,
}

/// The bet on one variant.
#[derive(Debug, Clone)]
struct Bet {
    wealth: [f64; STAKES.len()],
    last: Option<f64>,
}

impl Default for Bet {
    fn default() -> Self {
        Self { wealth: [1.0; STAKES.len()], last: None }
    }
}

impl Bet {
    fn play(&mut self, x: f64) {
        for (wealth, stake) in self.wealth.iter_mut().zip(STAKES) {
            // Bounded on both sides, so that no run of ticks can overflow or end the game.
            *wealth = (*wealth * (1.0 + stake * x)).clamp(1e-12, 1e12);
        }
    }

    fn evidence(&self) -> f64 {
        self.wealth.iter().sum::<f64>() / STAKES.len() as f64
    }
}

/// The test of one rollout.
#[derive(Debug, Clone, Default)]
pub(super) struct Regression {
    false_alarm_rate: Option<f64>,
    habits: Vec<Habit>,
    /// Σ of products and squares of successive deviations of devices not yet updated, decayed.
    lagged: f64,
    squared: f64,
    bets: BTreeMap<String, Bet>,
}

/// What the test looks at.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) now: Instant,
    pub(super) fleet: &'a Fleet,
    pub(super) forecasting: &'a Forecasting,
    pub(super) run: &'a Run,
    pub(super) tolerance: f64,
}

/// The evidence passed its threshold.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Alarm {
    pub(super) evidence: f64,
    pub(super) threshold: f64,
    pub(super) words: String,
}

/// Means of one pool at one tick.
#[derive(Debug, Clone, Copy, Default)]
struct PoolMean {
    sum: f64,
    count: u32,
}

impl Regression {
    pub(super) fn new(devices: usize, false_alarm_rate: Option<f64>) -> Self {
        let habits = if false_alarm_rate.is_some() { vec![Habit::default(); devices] } else { Vec::new() };
        Self { false_alarm_rate, habits, ..Self::default() }
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
        let mates = mates(view, &residuals);
        let mut treated: BTreeMap<&str, BTreeMap<usize, PoolMean>> = BTreeMap::new();
        let (mut lagged, mut squared) = (0.0, 0.0);
        for (d, residual) in residuals.iter().enumerate() {
            let pool = view.fleet.pool_of[d].index();
            let Some(residual) = residual else { continue };
            if mates[pool].count == 0 {
                continue;
            }
            let relative = residual - mates[pool].sum / f64::from(mates[pool].count);
            let habit = &mut self.habits[d];
            match view.run.devices[d].stage {
                Stage::NotTarget | Stage::Waiting => {
                    let deviation = relative - habit.mean;
                    if habit.ticks >= HABIT_TICKS_MIN {
                        lagged += deviation * habit.last;
                        squared += deviation * deviation;
                    }
                    habit.last = deviation;
                    habit.ticks += 1;
                    // A plain mean at first, so that the habit does not hang on its first tick.
                    habit.mean += deviation * HABIT.max(1.0 / f64::from(habit.ticks));
                }
                Stage::Updated if habit.ticks >= HABIT_TICKS_MIN => {
                    let by_pool = treated.entry(view.fleet.facts[d].variant.as_str()).or_default();
                    let mean = by_pool.entry(pool).or_default();
                    mean.sum += relative - habit.mean;
                    mean.count += 1;
                }
                _ => {}
            }
        }
        self.lagged = self.lagged * 0.95 + lagged;
        self.squared = self.squared * 0.95 + squared;
        let control_ticks = self.habits.len().max(1) as f64 * 20.0;
        let whitening = (self.lagged / self.squared.max(1e-9)).clamp(WHITENING_MIN, WHITENING_MAX);
        let deviation = (self.squared / control_ticks).sqrt();
        self.bet(&treated, whitening, deviation, view.tolerance, rate)
    }

    fn bet(
        &mut self,
        treated: &BTreeMap<&str, BTreeMap<usize, PoolMean>>,
        whitening: f64,
        deviation: f64,
        tolerance: f64,
        rate: f64,
    ) -> Option<Alarm> {
        let variants = treated.len().max(self.bets.len()).max(1);
        let threshold = variants as f64 / rate;
        let mut alarm = None;
        for (variant, pools) in treated {
            let devices: u32 = pools.values().map(|p| p.count).sum();
            let rise = pools.values().map(|p| p.sum / f64::from(p.count)).sum::<f64>() / pools.len() as f64;
            let bet = self.bets.entry((*variant).to_owned()).or_default();
            let over = rise - tolerance;
            if let Some(last) = bet.last.replace(over) {
                let scale = (2.0 * deviation * (1.0 - whitening * whitening).sqrt() / (pools.len() as f64).sqrt())
                    .max(SCALE_MIN);
                bet.play(((over - whitening * last) / scale).clamp(-1.0, 1.0));
            }
            let evidence = bet.evidence();
            if evidence > threshold && alarm.is_none() {
                let words = format!(
                    "{devices} updated devices of variant `{variant}` in {} pools carry {rise:.1} points more load than their pool-mates \
                     ({tolerance:.1} are tolerated); evidence {evidence:.0} against {threshold:.0}",
                    pools.len()
                );
                alarm = Some(Alarm { evidence, threshold, words });
            }
        }
        alarm
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

/// Mean residual of the members not yet updated, by pool.
fn mates(view: &View<'_>, residuals: &[Option<f64>]) -> Vec<PoolMean> {
    let mut mates = vec![PoolMean::default(); view.fleet.pools.len()];
    for (d, residual) in residuals.iter().enumerate() {
        if let (Some(residual), Stage::NotTarget | Stage::Waiting) = (residual, view.run.devices[d].stage) {
            let mate = &mut mates[view.fleet.pool_of[d].index()];
            mate.sum += residual;
            mate.count += 1;
        }
    }
    mates
}
