//! From what is believed to a [`PlanInput`], and from a checked plan to the one in force.

use super::Engine;
use super::run::{Run, Stage};
use super::standing::Candidate;
use crate::ids::{DeviceIndex, PlanNumber, PoolIndex, RegionIndex, RolloutId, WaveIndex};
use crate::journal::Entry;
use crate::journal::entry::{BatchFacts, PlanEntry};
use crate::output::CommandKind;
use crate::plan::{
    Plan, PlanDevice, PlanInput, PlanLimits, PlanPool, PlanRegion, PlanReport, WaitingOn, check, planner, stay,
};
use crate::policy::Basis;
use crate::policy::priority::priority;
use crate::rollout::Hop;
use crate::score;
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
    /// What each candidate of the plan goes for, by device.
    chosen: BTreeMap<DeviceIndex, (RolloutId, Hop)>,
    /// The rollouts in the order they were served in.
    standing: Vec<RolloutId>,
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
    /// the quantile that was planned with.
    pub(super) fn is_behind(&self, slot_start: Instant) -> bool {
        let is_due =
            self.planning.plan.as_ref().is_some_and(|p| p.batches.first().is_some_and(|b| b.start <= slot_start));
        let slot = self.policy.plan.slot;
        is_due && self.ledger.open().any(|(_, a)| a.begun.floor_to(slot) + a.until.since(a.begun) <= slot_start)
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

    /// Upper demand of a pool in the slot of `at`, in weight units, by what the policy believes.
    pub(super) fn demand_at(&self, pool: PoolIndex, at: Instant) -> f64 {
        let facts = &self.fleet.pools[pool.index()];
        match self.policy.plan.basis {
            Basis::Forecast => self.forecasting.demand_upper(pool, at).map_or(facts.demand, f64::from),
            Basis::Current => facts.demand,
            Basis::Ignore => 0.0,
        }
    }

    /// Answers devices that ask.
    pub(super) fn take_requests(&mut self, devices: &[DeviceIndex]) {
        let next_slot = self.now.floor_to(self.policy.plan.slot) + self.policy.plan.slot;
        let starts: BTreeMap<DeviceIndex, Instant> = self
            .planning
            .plan
            .iter()
            .flat_map(|plan| &plan.batches)
            .filter(|batch| batch.start > self.now)
            .flat_map(|batch| batch.devices.iter().map(|device| (*device, batch.start)))
            .collect();
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
        self.note_starving(&input, &chosen, &standing);
        self.planning.made += 1;
        let number = PlanNumber(self.planning.made);
        // Where a rollout has passed others, what was planned in the old order says nothing.
        let kept: Vec<RolloutId> = self.planning.standing.iter().copied().filter(|id| standing.contains(id)).collect();
        let parent = self.planning.plan.as_ref().filter(|_| standing.starts_with(&kept));
        let (plan, report) = match parent {
            Some(parent) => stay::replan(&input, number, parent),
            None => planner::plan(&input, number, None),
        };
        let violations = check::check(&plan, &input);
        self.planning.planned_slot = Some(slot_start);
        if !violations.is_empty() {
            let violations = violations.iter().map(ToString::to_string).collect();
            self.record(Entry::PlanRefused { number, violations });
            return;
        }
        let entry = plan_entry(&plan, &report, reason, self.closed_waves(&standing));
        let quiet = plan.batches.is_empty() && self.planning.plan.as_ref().is_some_and(|p| p.batches.is_empty());
        self.planning =
            Planning { plan: Some(plan), number, wanted: None, chosen, standing, ..std::mem::take(&mut self.planning) };
        if !quiet {
            self.record(Entry::Plan(Box::new(entry)));
        }
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

    /// Devices that wait for a later wave to open.
    fn closed_waves(&self, standing: &[RolloutId]) -> u32 {
        let closed = |run: &Run| {
            let waits = |d: &&DeviceIndex| {
                let at = &run.devices[d.index()];
                at.stage == Stage::Waiting && at.wave > run.open_wave
            };
            run.targets.iter().filter(waits).count() as u32
        };
        standing.iter().filter_map(|id| self.run(*id)).map(closed).sum()
    }

    /// Everything the planner may know: each device once, for the first rollout that wants it.
    fn plan_input(
        &self,
        start: Instant,
        standing: &[RolloutId],
    ) -> (PlanInput, BTreeMap<DeviceIndex, (RolloutId, Hop)>) {
        let rules = &self.policy.plan;
        let slots = rules.horizon.steps_down(rules.slot).clamp(1, PlanInput::SLOTS_MAX);
        let out_slots = self.window_slots();
        let mut chosen = BTreeMap::new();
        let mut input = PlanInput {
            start,
            slot: rules.slot,
            slots,
            devices: Vec::new(),
            load_scores: Vec::new(),
            pools: self.plan_pools(start, slots),
            regions: self.plan_regions(slots),
            slot_open: self.policy.calendar.slots_open(start, rules.slot, slots),
            next_open: self.policy.calendar.next_open(start),
            open_wave: WaveIndex(u16::MAX),
            limits: self.plan_limits(standing),
        };
        for device in self.fleet.present() {
            let load = self.load_score_at(device, self.now);
            let Some(candidate) = self.candidate(device, standing, score::capacity(load)) else { continue };
            if matches!(candidate.barred, Some((WaitingOn::WaveNotOpen { .. }, _))) {
                continue;
            }
            if let Some(hop) = candidate.hop {
                chosen.insert(device, (candidate.rollout, hop));
            }
            input.devices.push(self.plan_device(device, candidate, standing, load, out_slots));
            let scores = (0..slots).map(|s| self.load_score_at(device, start + rules.slot.times(s)) as f32);
            input.load_scores.extend(scores);
        }
        self.promise_in_flight(&mut input);
        (input, chosen)
    }

    fn plan_device(
        &self,
        device: DeviceIndex,
        candidate: Candidate,
        standing: &[RolloutId],
        load: f64,
        out_slots: usize,
    ) -> PlanDevice {
        let d = device.index();
        let facts = &self.fleet.facts[d];
        let rank = standing.iter().position(|id| *id == candidate.rollout).unwrap_or(standing.len());
        let wave = self.run(candidate.rollout).map_or(WaveIndex(0), |run| run.devices[d].wave);
        PlanDevice {
            index: device,
            id: facts.id.clone(),
            pool: self.fleet.pool_of[d],
            region: self.fleet.region_of[d],
            weight: facts.weight,
            requirement: facts.requirement,
            priority: priority(&self.policy.priority, self.fleet.criticality[d], load),
            wave: WaveIndex(rank as u16 * 1000 + wave.0),
            out_slots,
            telemetry_age: self.fleet.last_at[d].map(|at| self.now.since(at)),
            barred: candidate.barred,
            already_out: !self.fleet.is_heard(d, self.now),
        }
    }

    fn plan_limits(&self, standing: &[RolloutId]) -> PlanLimits {
        let rules = &self.policy.plan;
        let targets = standing.iter().filter_map(|id| self.run(*id)).map(|run| run.targets.len()).max();
        PlanLimits {
            batch_requirement_max: rules.batch_requirement_max,
            batch_capacity_max: rules.batch_capacity_max,
            batch_devices_max: rules.batch_devices_max.of(targets.unwrap_or(0) as u32),
            load_limit: rules.load_limit_percent / 100.0,
            pool_reserve: rules.pool_reserve_percent / 100.0,
            pool_rule: rules.basis != Basis::Ignore,
            pool_members_min: rules.pool_members_min,
            device_load_max: rules.device_load_max.filter(|_| rules.basis != Basis::Ignore),
            telemetry_age_max: rules.telemetry_age_max,
            spread_regions: true,
        }
    }

    fn plan_pools(&self, start: Instant, slots: usize) -> Vec<PlanPool> {
        let rules = &self.policy.plan;
        let pool = |(index, pool): (usize, &crate::fleet::Pool)| {
            let members = pool.members.len() as u32;
            let at = |s| self.demand_at(PoolIndex(index as u32), start + rules.slot.times(s)).max(0.0);
            PlanPool {
                name: pool.id.to_string(),
                weight_total: pool.weight_total,
                members,
                demand_upper: (0..slots).map(at).collect(),
                out_weight: vec![0.0; slots],
                out_count: vec![0; slots],
                out_count_max: rules.pool_out_max.of(members),
            }
        };
        self.fleet.pools.iter().enumerate().map(pool).collect()
    }

    fn plan_regions(&self, slots: usize) -> Vec<PlanRegion> {
        let region = |region: &crate::fleet::Region| PlanRegion {
            name: region.id.to_string(),
            out_count: vec![0; slots],
            out_count_max: self.policy.plan.region_out_max.of(region.members),
        };
        self.fleet.regions.iter().map(region).collect()
    }

    /// Books everybody who is out already: attempts until they should be back (one slot more when they are late), silent devices for
    /// the whole horizon, since nobody knows when they return.
    fn promise_in_flight(&self, input: &mut PlanInput) {
        for (_, attempt) in self.ledger.open() {
            let until = attempt.until.max(input.start + input.slot);
            self.promise(input, attempt.device, until.since(input.start).steps_up(input.slot));
        }
        for device in self.fleet.present() {
            if self.ledger.holder(device).is_none() && !self.fleet.is_heard(device.index(), self.now) {
                self.promise(input, device, input.slots);
            }
        }
    }

    fn promise(&self, input: &mut PlanInput, device: DeviceIndex, slots: usize) {
        let d = device.index();
        let weight = self.fleet.facts[d].weight;
        let PoolIndex(pool) = self.fleet.pool_of[d];
        let RegionIndex(region) = self.fleet.region_of[d];
        let (pool, region) = (&mut input.pools[pool as usize], &mut input.regions[region as usize]);
        for slot in 0..slots.min(input.slots) {
            pool.out_weight[slot] += weight;
            pool.out_count[slot] += 1;
            region.out_count[slot] += 1;
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
        moved: report.moved_by_reason().into_iter().map(|(name, n)| (name.to_owned(), n)).collect(),
        makespan: report.makespan,
        lower_bound: report.lower_bound,
    }
}
