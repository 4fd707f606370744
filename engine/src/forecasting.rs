//! Forecasts: asked for by the engine, fitted outside it in parallel, handed back as an input and recorded.
//!
//! A driver answers [`crate::Output::Forecast`] by calling [`crate::Engine::fit`] for every key (in any order, on any number of
//! threads: it is a pure function of the engine) and hands the answers back in the order of the keys.

mod seen;

use crate::fleet::Fleet;
use crate::history::slot_number;
use crate::ids::{DeviceIndex, PoolIndex};
use crate::policy::Policy;
use crate::time::{Instant, Span};
use serde::{Deserialize, Serialize};
use slacktide_forecast::global::{Shared, TrainingSeries};
use slacktide_forecast::{
    Band, Champions, ModelErrors, ModelKind, PanelConfig, PanelForecast, PanelRoom, PanelState, SeriesView,
    advance_into,
};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Series that shared models are trained on; of larger fleets every so manieth.
const TRAINING_SERIES_MAX: usize = 512;

/// A round of forecasts is due.
#[derive(Debug, Clone, PartialEq)]
pub struct ForecastRequest {
    /// Which round; an answer to another round is ignored.
    pub round: u64,
    /// What to fit, in the order in which the answers are expected.
    pub keys: Vec<SeriesKey>,
}

/// Room that a fit works in: of no meaning between fits, but no longer allocated then. One a thread.
#[derive(Debug, Default)]
pub struct FitRoom {
    columns: Vec<Vec<f32>>,
    panel: PanelRoom,
}

/// What is forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SeriesKey {
    /// The load of a device: all its metrics and their common peak.
    Device(DeviceIndex),
    /// The demand of a pool.
    Pool(PoolIndex),
    /// The models that all series share: asked for alone, before a round that needs them.
    Shared,
}

/// Values slot by slot: a day and an hour of quarter hours lie in place, longer forecasts are allocated. A fleet is handed two of them a
/// device every hour, and allocating and freeing them cost more than a copy.
pub type SlotValues = SmallVec<[f32; 104]>;

/// Answers to a [`ForecastRequest`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forecasts {
    /// The round they answer.
    pub round: u64,
    /// One per key, in the order of the keys.
    pub fits: Vec<Fit>,
}

/// The forecast of one key and the selection state to go on from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// Expected value per slot after the origin: of a device its demand metric in percent, of a pool its demand in weight units.
    pub points: SlotValues,
    /// Upper quantile: of a device the load score of the window that begins at each slot, of a pool its demand in each slot.
    pub upper: SlotValues,
    /// Of a pool, the highest demand of any season of the history near the same time of it, for each slot after the origin; empty where
    /// plans do not ask, and 0 where nothing is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<f32>,
    /// State of the models' competition.
    pub state: PanelState,
    /// Champion of each series.
    pub champions: Champions,
    /// Champions that changed.
    pub changed: u32,
    /// Forecasts made anew before their time, because reality had left them behind.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub refitted: u32,
    /// Error of each model over the newest known span, averaged over the key's series.
    pub mae: ModelErrors,
    /// Past windows judged by the bound that was in force.
    pub scored: u32,
    /// How many of them stayed under it.
    pub covered: u32,
    /// Trained global models, in the answer to [`SeriesKey::Shared`] only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<Arc<Shared>>,
}

/// The answers in force, as they came: to move two kilobytes a device every hour costs more than to look up where they lie.
#[derive(Debug, Clone, Default)]
struct InForce {
    fits: Vec<Fit>,
    /// By device: its place among them.
    devices: Vec<Option<u32>>,
    /// By pool.
    pools: Vec<Option<u32>>,
}

impl InForce {
    fn device(&self, device: DeviceIndex) -> Option<&Fit> {
        self.fits.get(self.devices.get(device.index()).copied().flatten()? as usize)
    }

    fn pool(&self, pool: PoolIndex) -> Option<&Fit> {
        self.fits.get(self.pools.get(pool.index()).copied().flatten()? as usize)
    }

    /// Puts answers to `keys` in force. Returns those that were.
    fn replace(&mut self, keys: &[SeriesKey], fits: Vec<Fit>, fleet: &Fleet) -> Vec<Fit> {
        self.devices.clear();
        self.devices.resize(fleet.len(), None);
        self.pools.clear();
        self.pools.resize(fleet.pools.len(), None);
        for (place, key) in keys.iter().enumerate() {
            match key {
                SeriesKey::Device(d) => self.devices[d.index()] = Some(place as u32),
                SeriesKey::Pool(p) => self.pools[p.index()] = Some(place as u32),
                SeriesKey::Shared => {}
            }
        }
        std::mem::replace(&mut self.fits, fits)
    }
}

/// Expected loads of all devices, slot by slot: the watch reads one slot of many devices at every tick.
#[derive(Debug, Clone, Default)]
struct Points {
    devices: usize,
    /// Slot-major; NaN where nothing is expected.
    values: Vec<f32>,
}

impl Points {
    /// Devices written together, so that lines of memory are written whole.
    const BLOCK: usize = 16;

    /// Makes room for a round.
    fn reset(&mut self, devices: usize, slots: usize) {
        self.devices = devices;
        self.values.clear();
        self.values.resize(devices * slots, f32::NAN);
    }

    /// Takes in the points of all devices among the answers; past their end the last value holds.
    fn set(&mut self, keys: &[SeriesKey], fits: &[Fit]) {
        if self.devices == 0 {
            return;
        }
        for (keys, fits) in keys.chunks(Self::BLOCK).zip(fits.chunks(Self::BLOCK)) {
            for (slot, row) in self.values.chunks_exact_mut(self.devices).enumerate() {
                for (key, fit) in keys.iter().zip(fits) {
                    if let (SeriesKey::Device(device), Some(value)) = (key, value_at(&fit.points, slot)) {
                        row[device.index()] = value;
                    }
                }
            }
        }
    }

    fn get(&self, device: usize, slot: usize) -> Option<f32> {
        let slots = self.values.len().checked_div(self.devices)?;
        let row = slot.min(slots.checked_sub(1)?) * self.devices;
        self.values.get(row + device).copied().filter(|_| device < self.devices).filter(|v| v.is_finite())
    }
}

/// Answers that are no longer in force: room for the next, and no part of what an engine is. So they are not printed, for a state that is
/// made again from a journal is compared as it prints itself, and not copied.
#[derive(Default)]
struct Spent(Vec<Fit>);

impl std::fmt::Debug for Spent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Spent")
    }
}

impl Clone for Spent {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// Forecasts in force, and when new ones are due.
#[derive(Debug, Clone)]
pub struct Forecasting {
    slot: Span,
    horizon: usize,
    /// First slot the forecasts in force speak of; `None` before the first round.
    first_slot: Option<i64>,
    current: InForce,
    spent: Spent,
    points: Points,
    shared: Option<Arc<Shared>>,
    round: u64,
    asked: Option<Asked>,
    next_at: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Asked {
    first_slot: i64,
    keys: Vec<SeriesKey>,
}

impl Forecasting {
    /// Nothing forecast yet.
    pub fn new(policy: &Policy) -> Self {
        // Beyond the planning horizon a plan made just before the next round still needs values.
        let reach = policy.plan.horizon + policy.forecast.every + policy.plan.slot;
        Self {
            slot: policy.plan.slot,
            horizon: reach.steps_up(policy.plan.slot),
            first_slot: None,
            current: InForce::default(),
            spent: Spent::default(),
            points: Points::default(),
            shared: None,
            round: 0,
            asked: None,
            next_at: None,
        }
    }

    /// Slots a forecast reaches.
    pub const fn horizon(&self) -> usize {
        self.horizon
    }

    /// Does anything in this policy look at forecasts?
    pub fn is_wanted(policy: &Policy) -> bool {
        policy.plan.basis == crate::policy::Basis::Forecast || policy.monitor.false_alarm_rate.is_some()
    }

    /// When the next round is due; `None` while one is being fitted, or none is wanted.
    pub const fn next_at(&self) -> Option<Instant> {
        self.next_at
    }

    /// Rounds are due from now on.
    pub const fn begin(&mut self, now: Instant) {
        if self.next_at.is_none() && self.asked.is_none() {
            self.next_at = Some(now);
        }
    }

    /// No more rounds.
    pub fn end(&mut self) {
        self.next_at = None;
        self.asked = None;
    }

    /// Takes answers for read.
    #[cfg(feature = "planted-faults")]
    pub(crate) fn drop_answers(&mut self, now: Instant, every: Span) {
        self.asked = None;
        self.next_at = Some((now + every).floor_to(self.slot));
    }

    /// Are forecasts in force?
    pub const fn is_ready(&self) -> bool {
        self.first_slot.is_some()
    }

    /// Which forecasts are in force: the number of the first slot they speak of.
    pub const fn in_force(&self) -> Option<i64> {
        self.first_slot
    }

    /// Asks for a round when one is due.
    pub fn ask(&mut self, now: Instant, fleet: &Fleet, policy: &Policy) -> Option<ForecastRequest> {
        if self.asked.is_some() || self.next_at.is_none_or(|at| at > now) {
            return None;
        }
        let first_slot = slot_number(now, self.slot);
        let season = policy.forecast.season.steps_up(self.slot);
        let shares = policy.forecast.models.iter().any(|m| m.is_global());
        let keys = if shares && self.shared.as_ref().is_none_or(|s| s.is_due(first_slot, season)) {
            vec![SeriesKey::Shared]
        } else {
            let devices = fleet.present().map(SeriesKey::Device);
            let pools = (0..fleet.pools.len()).map(|p| SeriesKey::Pool(PoolIndex(p as u32)));
            devices.chain(pools).collect()
        };
        self.round += 1;
        self.asked = Some(Asked { first_slot, keys: keys.clone() });
        self.next_at = None;
        Some(ForecastRequest { round: self.round, keys })
    }

    /// Fits one key into `fit`, whatever that was: a pure function of what the engine holds.
    pub fn fit(
        &self,
        key: SeriesKey,
        (fleet, policy): (&Fleet, &Policy),
        window: usize,
        room: &mut FitRoom,
        fit: &mut Fit,
    ) {
        let config = self.config(key, fleet, policy, window);
        match key {
            SeriesKey::Device(device) => self.fit_device(device, fleet, &config, room, fit),
            SeriesKey::Pool(pool) => {
                let within = policy.plan.demand_seen_within.map(|within| within.steps_up(self.slot));
                self.fit_pool(pool, fleet, (&config, within), room, fit);
            }
            SeriesKey::Shared => *fit = self.train(fleet, policy, config.season),
        }
    }

    /// Trains the models that all series share on the devices' metrics and the pools' demand.
    fn train(&self, fleet: &Fleet, policy: &Policy, season: usize) -> Fit {
        let first = fleet.history.newest().unwrap_or(0) - fleet.history.len() as i64 + 1;
        let stride = (fleet.len() * fleet.metrics().len()).div_ceil(TRAINING_SERIES_MAX).max(1);
        let mut columns: Vec<(Vec<f32>, i64)> = Vec::new();
        for index in (0..fleet.len() * fleet.metrics().len()).step_by(stride) {
            let mut column = Vec::new();
            fleet.history.read(index / fleet.metrics().len(), index % fleet.metrics().len(), 1.0, &mut column);
            columns.push((column, first));
        }
        for pool in &fleet.pools {
            let mut column = Vec::new();
            pool.history.read(&mut column);
            let first = pool.history.newest().unwrap_or(0) - column.len() as i64 + 1;
            columns.push((column, first));
        }
        let known = columns.iter().filter(|(column, _)| column.iter().any(|v| v.is_finite()));
        let series: Vec<TrainingSeries<'_>> =
            known.map(|(values, first_step)| TrainingSeries { values, first_step: *first_step }).collect();
        let before = self.shared.as_deref();
        let shared =
            Shared::train(&policy.forecast.models, before, &series, &[season], self.horizon, policy.forecast.seed);
        Fit { shared: Some(Arc::new(shared)), ..Fit::default() }
    }

    fn config(&self, key: SeriesKey, fleet: &Fleet, policy: &Policy, window: usize) -> PanelConfig {
        let series = fleet.len() * fleet.metrics().len() + fleet.pools.len();
        let dear_allowed = match key {
            SeriesKey::Device(_) | SeriesKey::Shared => series <= policy.forecast.dear_series_max,
            SeriesKey::Pool(_) => fleet.pools.len() <= policy.forecast.dear_series_max,
        };
        // Global models cost a device little, combinations are made of what costs nothing.
        let all_dear = policy.forecast.models.iter().all(|m| m.is_costly());
        let fast = |m: ModelKind| if dear_allowed { m } else { m.fast() };
        let season = policy.forecast.season.steps_up(self.slot);
        let models =
            policy.forecast.models.iter().copied().filter(|m| dear_allowed || all_dear || !m.is_costly()).map(fast);
        let (level, band, cap) = match key {
            SeriesKey::Device(_) | SeriesKey::Shared => (policy.scores.load_quantile, Band::WindowPeak, Some(100.0)),
            SeriesKey::Pool(_) => (policy.plan.demand_quantile, Band::Simultaneous, None),
        };
        PanelConfig {
            models: models.collect(),
            season,
            // Few series can afford a fit every few hours, a fleet one a day.
            refit_every: if dear_allowed { (season / 8).max(1) } else { season },
            horizon: self.horizon,
            window,
            level: level as f32,
            band,
            cap,
            shared: self.shared.clone(),
            ..PanelConfig::default()
        }
    }

    fn fit_device(&self, device: DeviceIndex, fleet: &Fleet, config: &PanelConfig, room: &mut FitRoom, fit: &mut Fit) {
        let newest = fleet.history.newest().unwrap_or(0);
        let first = newest - fleet.history.len() as i64 + 1;
        let metrics = fleet.metrics().len();
        let FitRoom { columns, panel } = room;
        columns.resize_with(metrics, Vec::new);
        fleet.history.read_row(device.index(), fleet.metric_weights(), columns);
        // A metric that never reported says nothing about the peak.
        let kept: SmallVec<[usize; 8]> = (0..metrics).filter(|m| columns[*m].iter().any(|v| v.is_finite())).collect();
        let kept = if kept.is_empty() { SmallVec::from_elem(fleet.demand_metric(), 1) } else { kept };
        let views: SmallVec<[SeriesView<'_>; 8]> = kept.iter().map(|m| SeriesView::new(&columns[*m])).collect();
        let empty = PanelState::default();
        let state = self.current.device(device).map_or(&empty, |fit| &fit.state);
        let forecast = advance_into(config, state, &views, first, panel, &mut fit.state);
        let demand = kept.iter().position(|m| *m == fleet.demand_metric()).unwrap_or(0);
        let weight = fleet.metric_weights()[kept[demand]];
        fit.fill(forecast, demand, panel);
        if weight > 0.0 && weight != 1.0 {
            // Points are wanted in percent, not weighted.
            fit.points.iter_mut().for_each(|p| *p /= weight);
        }
    }

    fn fit_pool(
        &self,
        pool: PoolIndex,
        fleet: &Fleet,
        (config, within): (&PanelConfig, Option<usize>),
        room: &mut FitRoom,
        fit: &mut Fit,
    ) {
        let Some(facts) = fleet.pools.get(pool.index()) else {
            *fit = Fit::default();
            return;
        };
        let FitRoom { columns, panel } = room;
        columns.resize_with(columns.len().max(1), Vec::new);
        let values = &mut columns[0];
        facts.history.read(values);
        let first = facts.history.newest().unwrap_or(0) - values.len() as i64 + 1;
        let empty = PanelState::default();
        let state = self.current.pool(pool).map_or(&empty, |fit| &fit.state);
        let forecast = advance_into(config, state, &[SeriesView::new(values)], first, panel, &mut fit.state);
        fit.fill(forecast, 0, panel);
        if let Some(within) = within {
            seen::seen_near(values, (config.season, within), self.horizon, &mut fit.seen);
        }
    }

    /// Room for the next answers: those before the last. In a large fleet it is what a round would otherwise have the system clear.
    pub fn spent(&mut self) -> Vec<Fit> {
        std::mem::take(&mut self.spent.0)
    }

    /// Puts answers in force. Returns their summary, or why they were refused.
    ///
    /// # Errors
    /// Answers nobody asked for, or of the wrong number.
    pub fn take(
        &mut self,
        now: Instant,
        fleet: &Fleet,
        every: Span,
        answers: Forecasts,
    ) -> Result<RoundSummary, String> {
        let Some(asked) = &self.asked else {
            return Err(format!("forecasts of round {} were not asked for", answers.round));
        };
        if answers.round != self.round || answers.fits.len() != asked.keys.len() {
            return Err(format!(
                "forecasts of round {} with {} answers where round {} with {} was asked for",
                answers.round,
                answers.fits.len(),
                self.round,
                asked.keys.len()
            ));
        }
        let asked = self.asked.take().unwrap_or_else(|| Asked { first_slot: 0, keys: Vec::new() });
        if asked.keys == [SeriesKey::Shared] {
            self.shared = answers.fits.into_iter().next().and_then(|fit| fit.shared);
            let notes = self.shared.as_ref().map(|s| s.notes.clone()).unwrap_or_default();
            // What was trained is wanted at once.
            self.next_at = Some(now);
            return Ok(RoundSummary { notes, only_trained: true, ..RoundSummary::default() });
        }
        let mut summary = RoundSummary::default();
        asked.keys.iter().zip(&answers.fits).for_each(|(key, fit)| summary.add(*key, fit));
        self.points.reset(fleet.len(), self.horizon);
        self.points.set(&asked.keys, &answers.fits);
        self.spent.0 = self.current.replace(&asked.keys, answers.fits, fleet);
        self.first_slot = Some(asked.first_slot);
        self.next_at = Some((now + every).floor_to(self.slot));
        Ok(summary)
    }

    /// Position in the forecast of the slot `at` lies in.
    fn position(&self, at: Instant) -> Option<usize> {
        Some((slot_number(at, self.slot) - self.first_slot?).max(0) as usize)
    }

    /// Load score of the window that begins with the slot of `at`.
    pub fn load_score(&self, device: DeviceIndex, at: Instant) -> Option<f32> {
        value_at(&self.current.device(device)?.upper, self.position(at)?)
    }

    /// Expected load of a device in the slot of `at`.
    pub fn load_point(&self, device: DeviceIndex, at: Instant) -> Option<f32> {
        self.points.get(device.index(), self.position(at)?)
    }

    /// Upper quantile of a pool's demand in the slot of `at`, in weight units.
    pub fn demand_upper(&self, pool: PoolIndex, at: Instant) -> Option<f32> {
        value_at(&self.current.pool(pool)?.upper, self.position(at)?)
    }

    /// Highest demand of a pool that its history saw near the time of day of `at`, in weight units; `None` where plans do not ask.
    pub fn demand_seen(&self, pool: PoolIndex, at: Instant) -> Option<f32> {
        value_at(&self.current.pool(pool)?.seen, self.position(at)?)
    }

    /// Expected demand of a pool in the slot of `at`, in weight units.
    pub fn demand_point(&self, pool: PoolIndex, at: Instant) -> Option<f32> {
        value_at(&self.current.pool(pool)?.points, self.position(at)?)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Past the end the last value holds.
fn value_at(values: &[f32], position: usize) -> Option<f32> {
    values.get(position).or_else(|| values.last()).copied()
}

impl Fit {
    /// Takes in everything but the state. Of the points a copy of the one series that is wanted; the room keeps all.
    fn fill(&mut self, mut forecast: PanelForecast, series: usize, room: &mut PanelRoom) {
        let points = forecast.points.get(series).map_or(&[][..], Vec::as_slice);
        for (own, new) in [(&mut self.points, points), (&mut self.upper, &forecast.upper)] {
            own.clear();
            own.extend_from_slice(new);
        }
        self.seen.clear();
        room.reuse(std::mem::take(&mut forecast.points), std::mem::take(&mut forecast.upper));
        self.champions = forecast.champions;
        self.changed = forecast.champions_changed;
        self.refitted = forecast.refitted;
        self.mae = forecast.last_mae;
        self.scored = forecast.windows_scored;
        self.covered = forecast.windows_covered;
        self.shared = None;
    }
}

/// What a round looked like.
#[derive(Debug, Clone, Default)]
pub struct RoundSummary {
    /// Models were trained, and nothing was forecast.
    pub only_trained: bool,
    /// Series forecast.
    pub series: u32,
    /// Series by champion.
    pub champions: BTreeMap<ModelKind, u32>,
    /// Champions that changed.
    pub changed: u32,
    /// Forecasts made anew before their time.
    pub refitted: u32,
    /// What training said of models that are missing.
    pub notes: Vec<String>,
    mae: BTreeMap<ModelKind, (f64, u32)>,
    peak: (u64, u64),
    demand: (u64, u64),
}

impl RoundSummary {
    fn add(&mut self, key: SeriesKey, fit: &Fit) {
        self.series += fit.champions.len() as u32;
        self.changed += fit.changed;
        self.refitted += fit.refitted;
        for champion in &fit.champions {
            *self.champions.entry(*champion).or_default() += 1;
        }
        let coverage = match key {
            SeriesKey::Device(_) => {
                for (model, mae) in fit.mae.iter().filter(|(_, mae)| mae.is_finite()) {
                    let entry = self.mae.entry(*model).or_default();
                    *entry = (entry.0 + f64::from(*mae), entry.1 + 1);
                }
                &mut self.peak
            }
            SeriesKey::Pool(_) => &mut self.demand,
            SeriesKey::Shared => return,
        };
        *coverage = (coverage.0 + u64::from(fit.scored), coverage.1 + u64::from(fit.covered));
    }

    /// Mean absolute error by model over the devices, in points.
    pub fn mae_points(&self) -> BTreeMap<String, f64> {
        self.mae.iter().map(|(model, (sum, n))| (model.to_string(), sum / f64::from(*n))).collect()
    }

    /// Share of past windows whose peak stayed under its score, percent.
    pub fn peak_coverage_percent(&self) -> Option<f64> {
        percent(self.peak)
    }

    /// Share of past windows whose demand stayed under its bound, percent.
    pub fn demand_coverage_percent(&self) -> Option<f64> {
        percent(self.demand)
    }
}

fn percent((scored, covered): (u64, u64)) -> Option<f64> {
    (scored > 0).then(|| covered as f64 / scored as f64 * 100.0)
}
