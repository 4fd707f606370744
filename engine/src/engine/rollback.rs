//! Taking devices back, lowest remaining capacity first and under the same budgets, for a rollback takes a device out too.
//!
//! A device that is down already costs its pool nothing and goes at once. What its pool cannot spare now is held and tried again at
//! every tick; the record says how many are held.

use super::Engine;
use super::run::{CommandFor, Issued, Restoring, Run, Stage};
use crate::ids::{CommandId, DeviceIndex};
use crate::journal::Entry;
use crate::output::CommandKind;
use crate::policy::{Basis, RollbackScope};
use crate::rollout::{AttemptEvent, Cause, RolloutEvent, RolloutState};
use crate::score;

impl Engine {
    /// Stops the rollout for `cause` and takes back what the policy says.
    pub(super) fn stop_for(&mut self, cause: Cause, detail: &str) {
        let rules = self.policy.rollback;
        let scope = match cause {
            Cause::CapacityFloor | Cause::ForecastBreach => rules.on_capacity,
            Cause::BadRelease => rules.on_bad_release,
            Cause::FailureThreshold => rules.on_failures,
            Cause::Operator | Cause::WindowClosed | Cause::StaleTelemetry | Cause::RolloutTimeout => {
                RollbackScope::None
            }
        };
        if !self.transit(RolloutEvent::Pause, Some(cause), detail) {
            return;
        }
        self.drop_plan();
        if matches!(cause, Cause::CapacityFloor | Cause::ForecastBreach) {
            self.set_resume();
        }
        if scope == RollbackScope::None {
            return;
        }
        let canceled = self.cancel_unbegun();
        let what = match scope {
            RollbackScope::All => "every device of the rollout is taken back",
            _ => "the current batch is taken back",
        };
        self.transit(RolloutEvent::RollBack, Some(cause), what);
        let pending = self.to_take_back(scope);
        if let Some(run) = &mut self.run {
            run.restoring = Some(Restoring { pending, then_over: scope == RollbackScope::All });
        }
        self.take_back(&canceled);
    }

    fn set_resume(&mut self) {
        let Some(run) = &mut self.run else { return };
        if run.resumes < self.policy.rollback.resumes_max {
            run.resumes += 1;
            run.resume_at = self.policy.rollback.resume_after.map(|after| self.now + after);
        }
    }

    /// Attempts that have their device out, and with [`RollbackScope::All`] every updated device, in the order they go back.
    fn to_take_back(&self, scope: RollbackScope) -> Vec<DeviceIndex> {
        let Some(run) = &self.run else { return Vec::new() };
        let wanted = |device: &DeviceIndex| match run.devices[device.index()].stage {
            Stage::InFlight => run.attempt_of(*device).is_some_and(|(_, attempt)| attempt.state.is_out()),
            Stage::Updated => scope == RollbackScope::All && run.devices[device.index()].attempt.is_some(),
            _ => false,
        };
        let mut chosen: Vec<DeviceIndex> = run.targets.iter().copied().filter(wanted).collect();
        let remaining = |device: DeviceIndex| {
            // A device that is down has nothing left.
            if self.fleet.out[device.index()] { 0.0 } else { score::capacity(self.load_score_at(device, self.now)) }
        };
        chosen.sort_by(|a, b| remaining(*a).total_cmp(&remaining(*b)).then(a.cmp(b)));
        chosen
    }

    /// Goes on with a rollback under way, and ends it.
    pub(super) fn advance_rollback(&mut self) {
        let Some(run) = &self.run else { return };
        if run.state != RolloutState::RollingBack {
            return;
        }
        self.take_back(&[]);
        let Some(run) = &mut self.run else { return };
        let Some(restoring) = &run.restoring else { return };
        if !restoring.pending.is_empty() || run.is_anything_in_flight() {
            return;
        }
        let (over, cause) = (restoring.then_over, run.cause);
        run.restoring = None;
        let (back, failed) = (run.count(Stage::RolledBack), run.count(Stage::Failed));
        if over {
            let detail = format!("{back} devices taken back, {failed} could not be");
            self.transit(RolloutEvent::TakenBack, cause, detail);
        } else {
            // Devices of a batch that was taken back for want of capacity may go again later.
            self.release_rolled_back();
            self.transit(RolloutEvent::Restored, cause, "the batch is back; the rollout is paused");
        }
    }

    fn release_rolled_back(&mut self) {
        let Some(run) = &mut self.run else { return };
        for device in run.targets.clone() {
            if run.devices[device.index()].stage == Stage::RolledBack {
                run.set_stage(device, Stage::Waiting);
                let at = run.device(device);
                at.tries = at.tries.saturating_sub(1);
            }
        }
    }

    /// Tells as many pending devices to go back as their pools can spare.
    fn take_back(&mut self, canceled: &[DeviceIndex]) {
        let Some(run) = &self.run else { return };
        let Some(restoring) = &run.restoring else { return };
        let mut budget = Budget::new(self, run);
        let (go, held): (Vec<_>, Vec<_>) =
            restoring.pending.iter().copied().partition(|device| budget.takes(self, *device));
        if go.is_empty() && canceled.is_empty() {
            return;
        }
        let canceled = canceled.iter().map(|d| self.fleet.facts[d.index()].id.clone()).collect();
        let devices = go.iter().map(|d| self.fleet.facts[d.index()].id.clone()).collect();
        let timeout = self.now + self.rollback_timeout();
        let Some(run) = &mut self.run else { return };
        let first_command = CommandId(run.commands.len() as u64);
        let deferred = held.len() as u32;
        let generation = run.plan_number;
        if let Some(restoring) = &mut run.restoring {
            restoring.pending = held;
        }
        let mut told = Vec::new();
        for device in go {
            let Some((attempt, known)) = run.attempt_of(device) else { continue };
            let next = known.state.after(AttemptEvent::RollBack);
            let command = CommandId(run.commands.len() as u64);
            if let Some(next) = next {
                run.attempts[attempt.index()].state = next;
            }
            run.commands.push(Issued { attempt, what: CommandFor::Rollback, open: true });
            run.timeouts.push_back((timeout, command));
            run.set_stage(device, Stage::RollingBack);
            told.push((device, CommandKind::Rollback { command, attempt, generation }));
        }
        self.record(Entry::Rollback { devices, canceled, deferred, first_command });
        for (device, kind) in told {
            self.fleet.out[device.index()] = true;
            self.command(device, kind);
        }
    }
}

/// What every pool can spare at this moment.
struct Budget {
    spare: Vec<f64>,
    count: Vec<Option<u32>>,
}

impl Budget {
    fn new(engine: &Engine, run: &Run) -> Self {
        let rules = &engine.policy.plan;
        let mut serving: Vec<f64> = vec![0.0; engine.fleet.pools.len()];
        let mut out: Vec<u32> = vec![0; engine.fleet.pools.len()];
        for device in engine.fleet.present() {
            let d = device.index();
            let pool = engine.fleet.pool_of[d].index();
            if engine.fleet.is_serving(d, engine.now) && run.devices[d].stage != Stage::InFlight {
                serving[pool] += engine.fleet.facts[d].weight;
            } else {
                out[pool] += 1;
            }
        }
        let window_end = engine.now + rules.slot.times(engine.window_slots());
        let spare = |(p, pool): (usize, &crate::fleet::Pool)| {
            if rules.basis == Basis::Ignore || (pool.members.len() as u32) < rules.pool_members_min {
                return f64::INFINITY;
            }
            let index = crate::ids::PoolIndex(p as u32);
            let now = engine.demand_at(index, engine.now).max(pool.demand);
            let demand = now.max(engine.demand_at(index, window_end));
            serving[p]
                - (demand + rules.pool_reserve_percent / 100.0 * pool.weight_total) / (rules.load_limit_percent / 100.0)
        };
        let count = |(pool, out): (&crate::fleet::Pool, &u32)| {
            let members = pool.members.len() as u32;
            rules.pool_out_max.of(members).map(|max| max.saturating_sub(*out))
        };
        Self {
            spare: engine.fleet.pools.iter().enumerate().map(spare).collect(),
            count: engine.fleet.pools.iter().zip(&out).map(count).collect(),
        }
    }

    /// Books the device if its pool can spare it.
    fn takes(&mut self, engine: &Engine, device: DeviceIndex) -> bool {
        let d = device.index();
        if !engine.fleet.is_serving(d, engine.now) {
            return true;
        }
        let pool = engine.fleet.pool_of[d].index();
        let weight = engine.fleet.facts[d].weight;
        if self.spare[pool] < weight || self.count[pool] == Some(0) {
            return false;
        }
        self.spare[pool] -= weight;
        self.count[pool] = self.count[pool].map(|n| n - 1);
        true
    }
}
