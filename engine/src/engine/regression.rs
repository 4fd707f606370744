//! Is the release worse than what it replaces? The engine's side of [`crate::risk`]: who counts as updated, and who as a yardstick.

use super::Engine;
use super::run::{Run, Stage};
use crate::fleet::Fleet;
use crate::forecasting::Forecasting;
use crate::ids::DeviceIndex;
use crate::risk::bad_release::BadRelease;
use crate::risk::{DeviceTick, Evidence, Group, PoolTick, Tick};
use crate::time::{Instant, Span};
use std::collections::BTreeMap;

/// The test of one rollout, and room that is used again at every tick.
#[derive(Debug, Clone, Default)]
pub(super) struct Regression {
    false_alarm_rate: Option<f64>,
    test: Option<BadRelease>,
    variants: Variants,
    devices: Vec<DeviceTick>,
    pools: Vec<PoolTick>,
}

/// The variants of the fleet, numbered as they are met.
#[derive(Debug, Clone, Default)]
struct Variants {
    numbers: BTreeMap<String, u32>,
    of: Vec<u32>,
}

impl Variants {
    fn grow(&mut self, fleet: &Fleet) {
        for facts in &fleet.facts[self.of.len().min(fleet.len())..] {
            let next = self.numbers.len() as u32;
            let number = match self.numbers.get(&facts.variant) {
                Some(number) => *number,
                None => *self.numbers.entry(facts.variant.clone()).or_insert(next),
            };
            self.of.push(number);
        }
    }
}

/// What the test looks at.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) now: Instant,
    pub(super) fleet: &'a Fleet,
    pub(super) run: &'a Run,
    pub(super) tolerance: f64,
    /// Length of a slot of the fleet's history.
    pub(super) slot: Span,
}

/// The evidence passed its threshold.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Alarm {
    pub(super) evidence: Evidence,
    pub(super) words: String,
}

impl Regression {
    pub(super) fn new(_devices: usize, false_alarm_rate: Option<f64>) -> Self {
        Self { false_alarm_rate, ..Self::default() }
    }

    /// Devices were enrolled: the next tick finds them by itself.
    pub(super) const fn grow(&self, _devices: usize) {}

    /// Takes one tick in. Returns an alarm when the evidence is past its threshold.
    pub(super) fn tick(&mut self, view: &View<'_>) -> Option<Alarm> {
        let rate = self.false_alarm_rate?;
        self.variants.grow(view.fleet);
        read(view.now, view.fleet, None, view.run, &self.variants, (&mut self.devices, &mut self.pools));
        let test = self.test.get_or_insert_with(|| BadRelease::new(rate, view.tolerance));
        let metric = view.fleet.demand_metric();
        test.tick(&Tick { now: view.now, devices: &self.devices, pools: &self.pools }, &mut |device, past| {
            view.fleet.history.read(device, metric, 1.0, past);
            view.slot
        });
        let evidence = test.is_alarm().then(|| test.evidence(view.now))?;
        Some(Alarm { words: self.words(&evidence, view.tolerance), evidence })
    }

    fn words(&self, evidence: &Evidence, tolerance: f64) -> String {
        let named = evidence.variant.and_then(|v| self.variants.numbers.iter().find(|(_, number)| **number == v));
        let variant = named.map_or_else(String::new, |(name, _)| format!(" of variant `{name}`"));
        let rise = evidence.rise.map_or_else(String::new, |rise| {
            format!(
                " carry {:.1} points more load than their pool-mates ({:.1} to {:.1} at any time; {tolerance:.1} are tolerated)",
                rise.points, rise.interval[0], rise.interval[1]
            )
        });
        format!(
            "{} updated devices{variant} in {} pools{rise}: log evidence {:.1} against {:.1}",
            evidence.devices, evidence.pools, evidence.log_e, evidence.log_threshold
        )
    }
}

impl Engine {
    /// What a comparison of updated devices with others looks at now, written into `devices` and `pools`; `false` when no rollout is under
    /// way. For studies of tests that are not the engine's own.
    pub fn risk_tick(&self, devices: &mut Vec<DeviceTick>, pools: &mut Vec<PoolTick>) -> bool {
        let Some(run) = self.run.as_ref().filter(|run| run.state.is_active()) else { return false };
        let mut variants = Variants::default();
        variants.grow(&self.fleet);
        read(self.now, &self.fleet, Some(&self.forecasting), run, &variants, (devices, pools));
        true
    }
}

/// Writes down where every device stands.
fn read(
    now: Instant,
    fleet: &Fleet,
    forecasting: Option<&Forecasting>,
    run: &Run,
    variants: &Variants,
    (devices, pools): (&mut Vec<DeviceTick>, &mut Vec<PoolTick>),
) {
    let load = &fleet.last[fleet.demand_metric()];
    let device = |d: usize| {
        let reports = fleet.is_serving(d, now) && fleet.last_at[d] == Some(now) && load[d].is_finite();
        DeviceTick {
            load: reports.then_some(load[d]),
            point: forecasting.and_then(|f| f.load_point(DeviceIndex(d as u32), now)),
            pool: fleet.pool_of[d].0,
            variant: variants.of[d],
            group: match run.devices.get(d).map_or(Stage::NotTarget, |device| device.stage) {
                Stage::NotTarget | Stage::Waiting => Group::Control,
                Stage::Updated => Group::Treated,
                Stage::InFlight | Stage::RollingBack | Stage::RolledBack | Stage::Failed => Group::Absent,
            },
        }
    };
    devices.clear();
    devices.extend((0..fleet.len()).map(device));
    let pool = |p: &crate::fleet::Pool| PoolTick { weight_total: p.weight_total, weight_serving: p.weight_serving };
    pools.clear();
    pools.extend(fleet.pools.iter().map(pool));
}
