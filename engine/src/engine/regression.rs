//! Is the release worse than what it replaces? The engine's side of [`crate::risk`]: who counts as updated, and who as a yardstick.

use super::Engine;
use super::run::{Run, Stage};
use crate::document::counted;
use crate::fleet::Fleet;
use crate::forecasting::Forecasting;
use crate::ids::{DeviceIndex, RolloutId};
use crate::journal::Entry;
use crate::journal::entry::{BlameFacts, ReleaseEvidence, Verdict, VerdictEntry};
use crate::risk::bad_release::BadRelease;
use crate::risk::blame::{self, Blame, Excess, blame};
use crate::risk::{DeviceTick, Evidence, Group, PoolTick, Tick};
use crate::rollout::Cause;
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
    /// Devices changed or held by other rollouts under way; empty for none.
    pub(super) touched: &'a [bool],
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
    pub(super) fn new(false_alarm_rate: Option<f64>) -> Self {
        Self { false_alarm_rate, ..Self::default() }
    }

    /// Takes one tick in. Returns an alarm when the evidence is past its threshold.
    pub(super) fn tick(&mut self, view: &View<'_>) -> Option<Alarm> {
        let rate = self.false_alarm_rate?;
        self.variants.grow(view.fleet);
        let who = Who { run: view.run, touched: view.touched };
        read(view.now, view.fleet, None, who, &self.variants, (&mut self.devices, &mut self.pools));
        let test = self.test.get_or_insert_with(|| BadRelease::new(rate, view.tolerance));
        let metric = view.fleet.demand_metric();
        test.tick(&Tick { now: view.now, devices: &self.devices, pools: &self.pools }, &mut |device, past| {
            view.fleet.history.read(device, metric, 1.0, past);
            view.slot
        });
        let evidence = test.is_alarm().then(|| test.evidence(view.now))?;
        Some(Alarm { words: self.words(&evidence, view.tolerance), evidence })
    }

    /// The excess of every device this rollout has updated.
    pub(super) fn excesses(&self) -> Vec<Excess> {
        self.test.iter().flat_map(BadRelease::excesses).map(|(_, excess)| excess).collect()
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
            "{}{variant} in {}{rise}: log evidence {:.1} against {:.1}",
            counted(evidence.devices as usize, "updated device", "updated devices"),
            counted(evidence.pools as usize, "pool", "pools"),
            evidence.log_e,
            evidence.log_threshold
        )
    }
}

impl Engine {
    /// Updated devices against their pool-mates.
    pub(super) fn watch_release(&mut self, rollout: RolloutId) {
        let tolerance = self.policy.monitor.regression_tolerance_points;
        let Some(run) = self.run_mut(rollout).filter(|run| run.state.is_active()) else { return };
        let mut regression = std::mem::take(&mut run.regression);
        let touched = self.touched_by_others(rollout);
        let Some(run) = self.run(rollout) else { return };
        let alarm = regression.tick(&View {
            now: self.now,
            fleet: &self.fleet,
            run,
            touched: &touched,
            tolerance,
            slot: self.policy.plan.slot,
        });
        let running = run.is_running();
        if let Some(run) = self.run_mut(rollout) {
            run.regression = regression;
        }
        let Some(alarm) = alarm.filter(|_| running) else { return };
        let blame = self.blame();
        let mut words = alarm.words;
        if let Some(likely) = blame.iter().max_by(|a, b| a.posterior.total_cmp(&b.posterior)) {
            words.push_str(&format!("; {} with {:.0} %", likely.words(), likely.posterior * 100.0));
        }
        let release = ReleaseEvidence { blame, ..ReleaseEvidence::from(&alarm.evidence) };
        let entry = VerdictEntry {
            rollout,
            verdict: Verdict::Bad,
            cause: Cause::BadRelease,
            value: alarm.evidence.log_e,
            threshold: alarm.evidence.log_threshold,
            evidence: words.clone(),
            release: Some(release),
        };
        self.record(Entry::Verdict(Box::new(entry)));
        self.stop_for(rollout, Cause::BadRelease, &words);
    }

    /// Which of the rollouts under way is worse, where several have updated devices; empty where one alone has.
    fn blame(&self) -> Vec<BlameFacts> {
        let active = self.rollouts.iter().filter(|run| run.state.is_active());
        let seen: Vec<(RolloutId, Vec<Excess>)> = active
            .map(|run| (run.id, run.regression.excesses()))
            .filter(|(_, excesses)| !excesses.is_empty())
            .collect();
        if seen.len() < 2 {
            return Vec::new();
        }
        let excesses: Vec<&[Excess]> = seen.iter().map(|(_, excesses)| excesses.as_slice()).collect();
        let facts = |one: Blame| BlameFacts {
            rollouts: match one.who {
                blame::Who::Alone(r) => vec![seen[r].0],
                blame::Who::All => seen.iter().map(|(id, _)| *id).collect(),
                blame::Who::Nobody => Vec::new(),
            },
            posterior: one.posterior,
            effect_points: one.effect_points,
            standard_error: one.standard_error,
        };
        blame(&excesses).into_iter().map(facts).collect()
    }

    /// Devices that another rollout under way has changed or holds: neither updated by this one nor untouched. Empty where there is none.
    fn touched_by_others(&self, rollout: RolloutId) -> Vec<bool> {
        if self.live().len() < 2 {
            return Vec::new();
        }
        let other = |attempt: &super::ledger::Attempt| {
            attempt.rollout != rollout && self.run(attempt.rollout).is_some_and(|run| !run.state.is_end())
        };
        let touched = |device: DeviceIndex| {
            self.ledger.holder(device).is_some_and(|(_, a)| other(a))
                || self.ledger.brought(device).is_some_and(|(_, a)| other(a))
        };
        (0..self.fleet.len()).map(|d| touched(DeviceIndex(d as u32))).collect()
    }

    /// What a comparison of updated devices with others looks at now, written into `devices` and `pools`; `false` when no rollout is under
    /// way. For studies of tests that are not the engine's own.
    pub fn risk_tick(&self, devices: &mut Vec<DeviceTick>, pools: &mut Vec<PoolTick>) -> bool {
        let Some(run) = self.rollouts.iter().find(|run| run.state.is_active()) else { return false };
        let mut variants = Variants::default();
        variants.grow(&self.fleet);
        let touched = self.touched_by_others(run.id);
        let who = Who { run, touched: &touched };
        read(self.now, &self.fleet, Some(&self.forecasting), who, &variants, (devices, pools));
        true
    }
}

/// Whose devices count as updated, and which say nothing.
#[derive(Clone, Copy)]
struct Who<'a> {
    run: &'a Run,
    touched: &'a [bool],
}

/// Writes down where every device stands.
fn read(
    now: Instant,
    fleet: &Fleet,
    forecasting: Option<&Forecasting>,
    who: Who<'_>,
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
            group: match who.run.stage(DeviceIndex(d as u32)) {
                _ if who.touched.get(d) == Some(&true) => Group::Absent,
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
