//! From what is believed to a [`PlanInput`], and from a checked plan to the one in force.

use super::Engine;
use super::run::{Run, Stage};
use crate::filter::Attributes;
use crate::ids::{DeviceIndex, PlanNumber, PoolIndex, RegionIndex, WaveIndex};
use crate::input::DeviceFacts;
use crate::journal::Entry;
use crate::journal::entry::{BatchFacts, PlanEntry};
use crate::output::CommandKind;
use crate::plan::outlook::{DryPlan, LaterWave};
use crate::plan::{
    Plan, PlanDevice, PlanInput, PlanLimits, PlanPool, PlanRegion, PlanReport, WaitingOn, check, outlook, planner, stay,
};
use crate::policy::Basis;
use crate::policy::priority::priority;
use crate::rollout::{AttemptState, RolloutState};
use crate::score;
use crate::time::{Instant, Span};
use crate::window::Zone;
use std::collections::BTreeMap;

/// Known durations before their quantile is believed more than the policy's first guess.
const DURATIONS_MIN: usize = 20;

/// The attributes a filter may ask for.
pub(super) fn attributes(facts: &DeviceFacts) -> Attributes<'_> {
    Attributes {
        version: &facts.version,
        variant: &facts.variant,
        function: &facts.function,
        pool: facts.pool.as_str(),
        region: facts.region.as_str(),
        site: facts.site.as_str(),
        id: facts.id.as_str(),
    }
}

impl Engine {
    /// Asks for a new plan at the next slot.
    pub(super) fn replan(&mut self, reason: &'static str) {
        if let Some(run) = &mut self.run {
            run.replan.get_or_insert(reason);
        }
    }

    /// Is a batch due in the slot that counts on devices being back that are still out? They began within a slot, or take longer than
    /// the quantile that was planned with.
    pub(super) fn is_behind(&self, slot_start: Instant) -> bool {
        let Some(run) = &self.run else { return false };
        let is_due = run.plan.as_ref().is_some_and(|p| p.batches.first().is_some_and(|b| b.start <= slot_start));
        let slot = self.policy.plan.slot;
        is_due && run.in_flight().any(|(_, a)| a.begun.floor_to(slot) + a.until.since(a.begun) <= slot_start)
    }

    /// Slots a device is out, at an upper quantile: the policy's guess until enough durations are known.
    pub(super) fn window_slots(&self) -> usize {
        let rules = &self.policy.plan;
        let known = self.run.as_ref().map(|run| &run.durations).filter(|known| known.len() >= DURATIONS_MIN);
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
            Basis::Forecast => self.forecasting.demand_upper(pool, at).map_or(facts.demand, f64::from),
            Basis::Current => facts.demand,
            Basis::Ignore => 0.0,
        }
    }

    /// Answers devices that ask.
    pub(super) fn take_requests(&mut self, devices: &[DeviceIndex]) {
        let next_slot = self.now.floor_to(self.policy.plan.slot) + self.policy.plan.slot;
        for device in devices {
            let known = self.run.as_ref().and_then(|run| run.devices.get(device.index())).map(|d| d.stage);
            let (reason, earliest) = match known {
                None | Some(Stage::NotTarget) => {
                    self.ignore(format!("device {device} asks for an update and no rollout is for it"));
                    continue;
                }
                Some(Stage::Waiting) => self.answer_waiting(*device, next_slot),
                // An attempt under way or over is an answer already.
                Some(_) => continue,
            };
            self.command(*device, CommandKind::NotNow { reason, earliest });
        }
    }

    fn answer_waiting(&mut self, device: DeviceIndex, next_slot: Instant) -> (WaitingOn, Option<Instant>) {
        let Some(run) = &mut self.run else { return (WaitingOn::NextPlan, None) };
        let at = run.device(device);
        let first = !std::mem::replace(&mut at.asked, true);
        let wave = at.wave;
        if first {
            run.replan.get_or_insert("devices asked");
        }
        let planned =
            run.plan.iter().flat_map(|plan| &plan.batches).find(|b| b.devices.contains(&device) && b.start > self.now);
        match (run.state, planned) {
            (RolloutState::Running, Some(batch)) => (WaitingOn::Planned { start: batch.start }, Some(batch.start)),
            (RolloutState::Running, None) if wave > run.open_wave => {
                (WaitingOn::WaveNotOpen { wave, open: run.open_wave }, None)
            }
            (RolloutState::Running, None) => (WaitingOn::NextPlan, Some(next_slot)),
            _ => (WaitingOn::RolloutPaused, None),
        }
    }

    /// Makes a plan when a slot has begun and something has changed since the last.
    pub(super) fn plan_when_due(&mut self) {
        let slot_start = self.now.floor_to(self.policy.plan.slot);
        let Some(run) = &self.run else { return };
        let fresh_basis = self.policy.plan.basis != Basis::Forecast && run.count(Stage::Waiting) > 0;
        let behind = || self.is_behind(slot_start).then_some("devices are out longer than planned");
        let Some(reason) = run.replan.or_else(|| fresh_basis.then_some("a slot began")).or_else(behind) else { return };
        let waits_for_forecast = self.policy.plan.basis == Basis::Forecast && !self.forecasting.is_ready();
        if run.state != RolloutState::Running || run.planned_slot == Some(slot_start) || waits_for_forecast {
            return;
        }
        // A plan begins with its slot; one that is well under way would be planned into the past.
        if self.now.since(slot_start) >= Span::from_millis(self.policy.plan.slot.as_millis() / 3) {
            return;
        }
        let input = self.plan_input(slot_start);
        self.plans_made += 1;
        let number = PlanNumber(self.plans_made);
        let (plan, report) = match self.run.as_ref().and_then(|run| run.plan.as_ref()) {
            Some(parent) => stay::replan(&input, number, parent),
            None => planner::plan(&input, number, None),
        };
        let violations = check::check(&plan, &input);
        let Some(run) = &mut self.run else { return };
        run.planned_slot = Some(slot_start);
        if !violations.is_empty() {
            let violations = violations.iter().map(ToString::to_string).collect();
            self.record(Entry::PlanRefused { number, violations });
            return;
        }
        run.replan = None;
        run.plan_number = number;
        let later_waves = run.count(Stage::Waiting).saturating_sub(input.devices.len() as u32);
        let entry = plan_entry(&plan, &report, reason, later_waves);
        let quiet = plan.batches.is_empty() && run.plan.as_ref().is_some_and(|p| p.batches.is_empty());
        run.plan = Some(plan);
        if !quiet {
            self.record(Entry::Plan(Box::new(entry)));
        }
    }

    /// The plan in force, less the batches that have gone.
    pub fn plan_in_force(&self) -> Option<&Plan> {
        self.run.as_ref()?.plan.as_ref()
    }

    /// Makes a plan from what is believed now and puts it in force for nobody; `None` before a rollout has begun. It begins with the slot
    /// under way.
    pub fn dry_plan(&self) -> Option<DryPlan> {
        let run = self.run.as_ref().filter(|run| !run.targets.is_empty())?;
        let input = self.plan_input(self.now.floor_to(self.policy.plan.slot));
        let (plan, report) = planner::plan(&input, PlanNumber(self.plans_made + 1), None);
        let violations = check::check(&plan, &input);
        let later = self.later_waves(run, &input);
        let outlook = outlook::outlook(&input, &plan, &report, &later);
        let devices = later.into_iter().flat_map(|wave| wave.devices);
        let candidates = input.devices.iter().cloned().chain(devices).collect();
        Some(DryPlan { input, plan, report, violations, outlook, candidates })
    }

    /// Those who wait for their waves, wave by wave.
    fn later_waves(&self, run: &Run, input: &PlanInput) -> Vec<LaterWave> {
        let wave = |number: u16| {
            let (wave, open) = (WaveIndex(number), run.open_wave);
            let soak = self.policy.waves.get(usize::from(number) - 1).map_or(Span::ZERO, |before| before.soak);
            let mut later = LaterWave { soak, ..LaterWave::default() };
            for device in &run.targets {
                let at = &run.devices[device.index()];
                if at.stage == Stage::Waiting && at.wave == wave {
                    let mut candidate = self.candidate(*device, run, input);
                    candidate.barred = candidate.barred.or(Some((WaitingOn::WaveNotOpen { wave, open }, None)));
                    later.devices.push(candidate);
                    later.load_scores.extend(self.window_scores(*device, input));
                }
            }
            later
        };
        (run.open_wave.0 + 1..run.waves).map(wave).collect()
    }

    fn window_scores(&self, device: DeviceIndex, input: &PlanInput) -> impl Iterator<Item = f32> {
        (0..input.slots).map(move |s| self.load_score_at(device, input.start + input.slot.times(s)) as f32)
    }

    fn candidate(&self, device: DeviceIndex, run: &Run, input: &PlanInput) -> PlanDevice {
        let mut candidate = self.plan_device(device, run, self.window_slots());
        // A window is no shorter than its download; one that the horizon cannot hold is the planner's to refuse.
        let download = input.regions[candidate.region.index()].download_slots(candidate.download_bytes);
        candidate.out_slots = candidate.out_slots.max(if download <= input.slots { download } else { 1 });
        candidate
    }

    fn plan_input(&self, start: Instant) -> PlanInput {
        let rules = &self.policy.plan;
        let slots = rules.horizon.steps_down(rules.slot).clamp(1, PlanInput::SLOTS_MAX);
        let mut input = PlanInput {
            start,
            slot: rules.slot,
            slots,
            devices: Vec::new(),
            load_scores: Vec::new(),
            pools: self.plan_pools(start, slots),
            regions: self.plan_regions(start, slots),
            limits: self.plan_limits(),
        };
        let Some(run) = &self.run else { return input };
        for device in &run.targets {
            let at = &run.devices[device.index()];
            if at.stage == Stage::Waiting && at.wave <= run.open_wave {
                let candidate = self.candidate(*device, run, &input);
                input.devices.push(candidate);
                let scores: Vec<f32> = self.window_scores(*device, &input).collect();
                input.load_scores.extend(scores);
            }
        }
        self.promise_in_flight(&mut input, run);
        input
    }

    fn plan_device(&self, device: DeviceIndex, run: &Run, out_slots: usize) -> PlanDevice {
        let d = device.index();
        let facts = &self.fleet.facts[d];
        let at = &run.devices[d];
        let load = self.load_score_at(device, self.now);
        PlanDevice {
            index: device,
            id: facts.id.clone(),
            pool: self.fleet.pool_of[d],
            region: self.fleet.region_of[d],
            weight: facts.weight,
            requirement: facts.requirement,
            rank: 0,
            priority: priority(&self.policy.priority, self.fleet.criticality[d], load),
            wave: at.wave,
            out_slots,
            download_bytes: run.package.size_bytes as f64,
            telemetry_age: self.fleet.last_at[d].map(|at| self.now.since(at)),
            barred: self.barred(device, run, score::capacity(load)),
            already_out: !self.fleet.is_heard(d, self.now),
        }
    }

    fn barred(&self, device: DeviceIndex, run: &Run, capacity: f64) -> Option<(WaitingOn, Option<Instant>)> {
        let at = &run.devices[device.index()];
        if !at.asked {
            return Some((WaitingOn::NotRequested, None));
        }
        if let Some(retry_at) = at.retry_at.filter(|retry_at| *retry_at > self.now) {
            return Some((WaitingOn::RetryPause { attempts: at.tries }, Some(retry_at)));
        }
        let matches = run.package.target.matches(&attributes(&self.fleet.facts[device.index()]), capacity);
        (!matches).then_some((WaitingOn::CapacityFilter { capacity }, None))
    }

    fn plan_limits(&self) -> PlanLimits {
        let rules = &self.policy.plan;
        let targets = self.run.as_ref().map_or(0, |run| run.targets.len()) as u32;
        PlanLimits {
            batch_requirement_max: rules.batch_requirement_max,
            batch_capacity_max: rules.batch_capacity_max,
            batch_devices_max: rules.batch_devices_max.of(targets),
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

    fn plan_regions(&self, start: Instant, slots: usize) -> Vec<PlanRegion> {
        let (rules, calendar) = (&self.policy.plan, &self.policy.calendar);
        // Regions of one zone open together.
        let mut by_zone: BTreeMap<String, (Vec<bool>, Option<Instant>)> = BTreeMap::new();
        let mut region = |region: &crate::fleet::Region| {
            let own = self.policy.region(region.id.as_str());
            let zone = own.zone.as_ref().filter(|_| calendar.is_local());
            let hours = || (calendar.slots_open(zone, start, rules.slot, slots), calendar.next_open(zone, start));
            let name = zone.map_or("", Zone::name).to_owned();
            let (slot_open, next_open) = by_zone.entry(name).or_insert_with(hours).clone();
            PlanRegion {
                name: region.id.to_string(),
                slot_open,
                next_open,
                download_bytes_max: own.link_bytes(rules.slot),
                downloading_bytes: vec![0.0; slots],
                out_count: vec![0; slots],
                out_count_max: own.out_max.unwrap_or(rules.region_out_max).of(region.members),
            }
        };
        self.fleet.regions.iter().map(&mut region).collect()
    }

    /// Books everybody who is out already: attempts until they should be back (one slot more when they are late), silent devices for
    /// the whole horizon, since nobody knows when they return.
    fn promise_in_flight(&self, input: &mut PlanInput, run: &Run) {
        for (_, attempt) in run.in_flight() {
            let until = attempt.until.max(input.start + input.slot);
            self.promise(input, attempt.device, until.since(input.start).steps_up(input.slot));
            if matches!(attempt.state, AttemptState::Queued | AttemptState::Dispatched | AttemptState::Downloading) {
                let passed = input.start.since(attempt.begun.floor_to(input.slot)).steps_down(input.slot);
                let region = &mut input.regions[self.fleet.region_of[attempt.device.index()].index()];
                region.promise_download(run.package.size_bytes as f64, passed);
            }
        }
        for device in self.fleet.present() {
            let in_flight = matches!(run.devices[device.index()].stage, Stage::InFlight | Stage::RollingBack);
            if !in_flight && !self.fleet.is_heard(device.index(), self.now) {
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
