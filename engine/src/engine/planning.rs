//! When a plan is made, for all rollouts together, and from a checked plan to the one in force. What it is made from: [`super::believed`].

use super::Engine;
use super::ledger::Attempt;
use super::run::Stage;
use super::standing::Candidate;
use crate::ids::{DeviceIndex, PlanNumber, PoolIndex, RolloutId};
use crate::journal::Entry;
use crate::journal::entry::{BatchFacts, MoveFacts, PlanEntry};
use crate::output::CommandKind;
use crate::plan::outlook::{self, DryPlan};
use crate::plan::{Moved, Plan, PlanInput, PlanRegion, PlanReport, Waiting, WaitingOn, check, planner, stay};
use crate::policy::Basis;
use crate::rollout::{Cause, Hop, RolloutState};
use crate::time::{Instant, Span};
use std::collections::BTreeMap;

/// Known durations before their quantile is believed more than the policy's first guess.
const DURATIONS_MIN: usize = 20;

/// The plan in force, for all rollouts together, and what the next one needs to know.
#[derive(Debug, Clone, Default)]
pub(super) struct Planning {
    pub(super) plan: Option<Plan>,
    pub(super) number: PlanNumber,
    /// Plans made, refused ones too.
    made: u64,
    /// Why a new one is wanted.
    wanted: Option<&'static str>,
    pub(super) planned_slot: Option<Instant>,
    /// Slots a device is out, as the plan in force reckons.
    planned_window: usize,
    /// What each candidate of the plan goes for, by device.
    chosen: BTreeMap<DeviceIndex, (RolloutId, Hop)>,
    /// The rollouts in the order they were served in.
    standing: Vec<RolloutId>,
    /// Who could go and has no place in the plan, and why; by device. What bars the others may change before the next plan.
    unplaced: Vec<Waiting>,
    /// How long updates took, shortest first.
    durations: Vec<Span>,
}

impl Planning {
    /// How many known durations are kept to learn from.
    const DURATIONS_MAX: usize = 4096;

    pub(super) fn learn_duration(&mut self, took: Span) {
        if self.durations.len() < Self::DURATIONS_MAX {
            // Kept in order: the quantile is asked for by every fit.
            let at = self.durations.partition_point(|known| *known <= took);
            self.durations.insert(at, took);
        }
    }

    /// Why the plan in force has no place for a device.
    pub(super) fn unplaced(&self, device: DeviceIndex) -> Option<&Waiting> {
        self.unplaced.binary_search_by_key(&device, |waiting| waiting.device).ok().map(|at| &self.unplaced[at])
    }

    /// When the devices of the plan go.
    pub(super) fn starts(&self) -> BTreeMap<DeviceIndex, Instant> {
        let batches = self.plan.iter().flat_map(|plan| &plan.batches);
        batches.flat_map(|batch| batch.devices.iter().map(|device| (*device, batch.start))).collect()
    }

    /// What a device of the plan goes for.
    pub(super) fn chosen(&self, device: DeviceIndex) -> Option<(RolloutId, Hop)> {
        self.chosen.get(&device).copied()
    }

    /// No rollout is left that could go on: the plan goes, what was learned of durations stays.
    pub(super) fn clear(&mut self) {
        *self = Self {
            number: self.number,
            made: self.made,
            durations: std::mem::take(&mut self.durations),
            ..Self::default()
        };
    }
}

impl Engine {
    /// Asks for a new plan at the next slot.
    pub(super) fn replan(&mut self, reason: &'static str) {
        if !self.live().is_empty() {
            self.planning.wanted.get_or_insert(reason);
        }
    }

    /// Takes the devices of one rollout out of the plan in force.
    pub(super) fn leave_plan(&mut self, rollout: RolloutId) {
        let Planning { plan, chosen, wanted, .. } = &mut self.planning;
        if let Some(plan) = plan {
            let leaves = |device: &DeviceIndex| chosen.get(device).is_some_and(|(of, _)| *of == rollout);
            plan.batches.iter_mut().for_each(|batch| batch.devices.retain(|device| !leaves(device)));
            plan.batches.retain(|batch| !batch.devices.is_empty());
        }
        chosen.retain(|_, (of, _)| *of != rollout);
        // What it leaves free is for the others.
        wanted.get_or_insert("a rollout stopped");
    }

    /// When the next slot begins in which something may go.
    pub(super) fn next_slot_at(&self) -> Option<Instant> {
        let slot = self.policy.plan.slot;
        // Whoever waits may go at any slot, once conditions change.
        let mut running = self.rollouts.iter().filter(|run| run.is_running());
        let due = running.any(|run| self.planning.wanted.is_some() || run.count(Stage::Waiting) > 0);
        due.then(|| self.now.floor_to(slot) + slot)
    }

    /// Is a batch due in the slot that counts on devices being back that are still out? They began within a slot, or take longer than
    /// the quantile that was planned with, or updates have been seen to take longer since.
    pub(super) fn is_behind(&self, slot_start: Instant) -> bool {
        let is_due =
            self.planning.plan.as_ref().is_some_and(|p| p.batches.first().is_some_and(|b| b.start <= slot_start));
        let slot = self.policy.plan.slot;
        let is_late = |a: &Attempt| a.begun.floor_to(slot) + a.until.since(a.begun) <= slot_start;
        is_due && (self.window_slots() > self.planning.planned_window || self.ledger.open().any(|(_, a)| is_late(a)))
    }

    /// Slots a device is out, at an upper quantile: the policy's guess until enough durations are known.
    pub(super) fn window_slots(&self) -> usize {
        let rules = &self.policy.plan;
        let known = Some(&self.planning.durations).filter(|known| known.len() >= DURATIONS_MIN);
        let duration = known.map_or(rules.duration_expected, |known| {
            let rank = (rules.duration_quantile * known.len() as f64).ceil() as usize;
            known[rank.clamp(1, known.len()) - 1]
        });
        duration.steps_up(rules.slot).max(1)
    }

    /// Load score 0–100 of the window that starts at `at`, by what the policy believes; full when nothing is known.
    pub(super) fn load_score_at(&self, device: DeviceIndex, at: Instant) -> f64 {
        let now = || self.fleet.load_now(device.index());
        match self.policy.plan.basis {
            Basis::Forecast => self.forecasting.load_score(device, at).map(f64::from).or_else(now).unwrap_or(100.0),
            Basis::Current => now().unwrap_or(100.0),
            Basis::Ignore => 0.0,
        }
    }

    /// Load score 0–100 of a device's window that would begin now.
    pub fn load_score_now(&self, device: DeviceIndex) -> f64 {
        self.load_score_at(device, self.now)
    }

    /// Upper demand of a pool in the slot of `at`, in weight units, by what the policy believes.
    pub(super) fn demand_at(&self, pool: PoolIndex, at: Instant) -> f64 {
        let facts = &self.fleet.pools[pool.index()];
        match self.policy.plan.basis {
            Basis::Forecast => {
                let upper = self.forecasting.demand_upper(pool, at).map_or(facts.demand, f64::from);
                self.nowcast_upper(pool, at).map_or(upper, |now| upper.max(now))
            }
            Basis::Current => facts.demand,
            Basis::Ignore => 0.0,
        }
    }

    /// What a plan takes the demand of a pool in the slot of `at` to be, in weight units: the bound of the forecast, and no less than its
    /// history saw at that time of day.
    pub(super) fn demand_planned(&self, pool: PoolIndex, at: Instant) -> f64 {
        let demand = self.demand_at(pool, at);
        let seen = || self.forecasting.demand_seen(pool, at).map_or(demand, f64::from);
        if self.policy.plan.basis == Basis::Forecast { demand.max(seen()) } else { demand }
    }

    /// Answers devices that ask.
    pub(super) fn take_requests(&mut self, devices: &[DeviceIndex]) {
        let next_slot = self.now.floor_to(self.policy.plan.slot) + self.policy.plan.slot;
        let mut starts = self.planning.starts();
        starts.retain(|_, start| *start > self.now);
        for device in devices {
            let stages = self.rollouts.iter().filter(|run| !run.state.is_end()).map(|run| run.stage(*device));
            let stages: Vec<Stage> = stages.filter(|stage| *stage != Stage::NotTarget).collect();
            if stages.is_empty() {
                self.ignore(format!("device {device} asks for an update and no rollout is for it"));
            } else if stages.contains(&Stage::Waiting) {
                let (reason, earliest) = self.answer_waiting(*device, starts.get(device).copied(), next_slot);
                self.command(*device, CommandKind::NotNow { reason, earliest });
            }
            // An attempt under way or over is an answer already.
        }
    }

    fn answer_waiting(
        &mut self,
        device: DeviceIndex,
        planned: Option<Instant>,
        next_slot: Instant,
    ) -> (WaitingOn, Option<Instant>) {
        let mut first = false;
        for run in self.rollouts.iter_mut().filter(|run| !run.state.is_end()) {
            if run.stage(device) == Stage::Waiting {
                first |= !std::mem::replace(&mut run.device(device).asked, true);
            }
        }
        if first {
            self.replan("devices asked");
        }
        if let Some(start) = planned {
            return (WaitingOn::Planned { start }, Some(start));
        }
        let capacity = self.capacity_now(device);
        match self.candidate(device, &self.standing(), capacity) {
            None => (WaitingOn::RolloutPaused, None),
            Some(Candidate { barred: Some(bar), .. }) => bar,
            Some(_) => (WaitingOn::NextPlan, Some(next_slot)),
        }
    }

    /// Makes a plan when a slot has begun and something has changed since the last.
    pub(super) fn plan_when_due(&mut self) {
        let slot_start = self.now.floor_to(self.policy.plan.slot);
        let standing = self.standing();
        let waits = |id: &RolloutId| self.run(*id).is_some_and(|run| run.count(Stage::Waiting) > 0);
        let fresh_basis = self.policy.plan.basis != Basis::Forecast && standing.iter().any(waits);
        let starved = || (standing != self.planning.standing).then_some("another rollout comes first");
        let behind = || self.is_behind(slot_start).then_some("devices are out longer than planned");
        let wanted = self.planning.wanted.or_else(|| fresh_basis.then_some("a slot began"));
        let Some(reason) = wanted.or_else(starved).or_else(behind) else { return };
        let waits_for_forecast = self.policy.plan.basis == Basis::Forecast && !self.forecasting.is_ready();
        if standing.is_empty() || self.planning.planned_slot == Some(slot_start) || waits_for_forecast {
            return;
        }
        // A plan begins with its slot; one that is well under way would be planned into the past.
        if self.now.since(slot_start) >= Span::from_millis(self.policy.plan.slot.as_millis() / 3) {
            return;
        }
        let (input, chosen) = self.plan_input(slot_start, &standing);
        if !input.devices.is_empty() && input.regions.iter().all(PlanRegion::is_closed_for_good) {
            for id in standing {
                self.stop_for(id, Cause::WindowClosed, "no maintenance window opens within eight days");
            }
            return;
        }
        self.note_starving(&input, &chosen, &standing);
        self.planning.made += 1;
        let number = PlanNumber(self.planning.made);
        // Where a rollout has passed others, what was planned in the old order says nothing.
        let kept: Vec<RolloutId> = self.planning.standing.iter().copied().filter(|id| standing.contains(id)).collect();
        let (plan, report) = match &self.planning.plan {
            Some(parent) if standing.starts_with(&kept) => stay::replan(&input, number, parent),
            Some(parent) => stay::plan_anew(&input, number, parent),
            None => planner::plan(&input, number, None),
        };
        let violations = check::check(&plan, &input);
        self.planning.planned_slot = Some(slot_start);
        self.planning.planned_window = self.window_slots();
        if !violations.is_empty() {
            let violations = violations.iter().map(ToString::to_string).collect();
            self.record(Entry::PlanRefused { number, violations });
            return;
        }
        let mut entry = plan_entry(&plan, &report, reason, self.closed_waves(&standing));
        entry.moves = self.moves(&report);
        let quiet = plan.batches.is_empty() && self.planning.plan.as_ref().is_some_and(|p| p.batches.is_empty());
        let is_free = |waiting: &Waiting| {
            let found = input.devices.binary_search_by_key(&waiting.device, |device| device.index);
            found.is_ok_and(|at| input.devices[at].barred.is_none())
        };
        self.planning = Planning {
            plan: Some(plan),
            number,
            wanted: None,
            chosen,
            standing,
            unplaced: report.waiting.into_iter().filter(is_free).collect(),
            ..std::mem::take(&mut self.planning)
        };
        if !quiet {
            self.record(Entry::Plan(Box::new(entry)));
        }
    }

    /// Makes a plan from what is believed now and puts it in force for nobody; `None` where no rollout is running or paused. It begins with the slot
    /// under way.
    pub fn dry_plan(&self) -> Option<DryPlan> {
        let standing = self.standing_of(|run| matches!(run.state, RolloutState::Running | RolloutState::Paused));
        if standing.is_empty() {
            return None;
        }
        let (input, _) = self.plan_input(self.now.floor_to(self.policy.plan.slot), &standing);
        let (plan, report) = planner::plan(&input, PlanNumber(self.planning.made + 1), None);
        let violations = check::check(&plan, &input);
        let later = self.later_waves(&standing, &input);
        let outlook = outlook::outlook(&input, &plan, &report, &later);
        let devices = later.into_iter().flat_map(|wave| wave.devices);
        let candidates = input.devices.iter().cloned().chain(devices).collect();
        Some(DryPlan { input, plan, report, violations, outlook, candidates })
    }

    fn moves(&self, report: &PlanReport) -> Vec<MoveFacts> {
        let facts = |moved: &Moved| MoveFacts {
            device: self.fleet.facts[moved.device.index()].id.clone(),
            from: moved.from,
            to: moved.to,
            why: moved.why.clone(),
        };
        report.moved.iter().map(facts).collect()
    }

    /// From when on a rollout has gone without: devices of it could go, were there room.
    fn note_starving(
        &mut self,
        input: &PlanInput,
        chosen: &BTreeMap<DeviceIndex, (RolloutId, Hop)>,
        standing: &[RolloutId],
    ) {
        let able: std::collections::BTreeSet<RolloutId> = input
            .devices
            .iter()
            .filter(|device| device.barred.is_none())
            .filter_map(|device| chosen.get(&device.index).map(|(rollout, _)| *rollout))
            .collect();
        let now = self.now;
        for id in standing {
            if let Some(run) = self.run_mut(*id) {
                run.starved_since = if able.contains(id) { run.starved_since.or(Some(now)) } else { None };
            }
        }
    }
}

fn plan_entry(plan: &Plan, report: &PlanReport, reason: &str, later_waves: u32) -> PlanEntry {
    let mut waiting: BTreeMap<String, u32> = BTreeMap::new();
    for device in &report.waiting {
        *waiting.entry(device.on.name().to_owned()).or_default() += 1;
    }
    if later_waves > 0 {
        *waiting.entry("wave-not-open".to_owned()).or_default() += later_waves;
    }
    let facts = |batch: &crate::plan::Batch| BatchFacts {
        start: batch.start,
        devices: batch.devices.len() as u32,
        requirement: batch.requirement,
        capacity: batch.capacity,
    };
    PlanEntry {
        number: plan.number,
        parent: plan.parent,
        reason: reason.to_owned(),
        batches: plan.batches.iter().map(facts).collect(),
        waiting,
        moves: Vec::new(),
        moved: report.moved_by_reason().into_iter().map(|(name, n)| (name.to_owned(), n)).collect(),
        makespan: report.makespan,
        lower_bound: report.lower_bound,
    }
}
