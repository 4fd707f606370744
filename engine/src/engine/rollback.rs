//! Taking devices back: a plan under the same budgets, for a rollback takes a device out too.
//!
//! Lowest remaining capacity first. A device that is down already costs its pool nothing and goes at once. What its pool or region
//! cannot spare now is held and tried again at every tick, and said to be held; after `rollback.hold_max` it is given up. Maintenance
//! windows do not bind: what must be taken back does not wait for the night.

use super::Engine;
use super::budget::Budget;
use super::ledger::CommandFor;
use super::run::{Restoring, Run, Stage};
use crate::ids::{DeviceIndex, RolloutId};
use crate::journal::Entry;
use crate::journal::entry::HeldDevices;
use crate::output::CommandKind;
use crate::policy::RollbackScope;
use crate::rollout::{AttemptEvent, AttemptState, Cause, HoldReason, RolloutEvent, RolloutState};
use std::collections::BTreeMap;

impl Engine {
    /// Stops a rollout for `cause` and takes back what the policy says.
    pub(super) fn stop_for(&mut self, rollout: RolloutId, cause: Cause, detail: &str) {
        let rules = self.policy.rollback;
        let scope = match cause {
            Cause::CapacityFloor | Cause::ForecastBreach => rules.on_capacity,
            Cause::BadRelease => rules.on_bad_release,
            Cause::FailureThreshold => rules.on_failures,
            Cause::Operator
            | Cause::WindowClosed
            | Cause::StaleTelemetry
            | Cause::RolloutTimeout
            | Cause::RollbackIncomplete => RollbackScope::None,
        };
        if !self.transit(rollout, RolloutEvent::Pause, Some(cause), detail) {
            return;
        }
        self.leave_plan(rollout);
        if matches!(cause, Cause::CapacityFloor | Cause::ForecastBreach) {
            self.set_resume(rollout);
        }
        if scope == RollbackScope::None {
            return;
        }
        let canceled = self.cancel_unbegun(rollout);
        let what = match scope {
            RollbackScope::All => "every device of the rollout is taken back",
            _ => "the current batch is taken back",
        };
        self.transit(rollout, RolloutEvent::RollBack, Some(cause), what);
        let pending = self.to_take_back(rollout, scope);
        let give_up_at = Some(self.now + rules.hold_max);
        if let Some(run) = self.run_mut(rollout) {
            let whole = scope == RollbackScope::All;
            run.restoring = Some(Restoring { pending, whole, give_up_at, held_said: 0, lost: 0 });
        }
        self.take_back(rollout, &canceled);
    }

    fn set_resume(&mut self, rollout: RolloutId) {
        let rules = self.policy.rollback;
        let now = self.now;
        let Some(run) = self.run_mut(rollout) else { return };
        if run.resumes < rules.resumes_max {
            run.resumes += 1;
            run.resume_at = rules.resume_after.map(|after| now + after);
        }
    }

    /// Attempts that have their device out; with [`RollbackScope::All`] also every device that runs what this rollout brought, and those
    /// that fell silent on the way to it. In the order they go back: lowest remaining capacity first.
    fn to_take_back(&self, rollout: RolloutId, scope: RollbackScope) -> Vec<DeviceIndex> {
        let Some(run) = self.run(rollout) else { return Vec::new() };
        let wanted = |device: &DeviceIndex| match self.ledger.holder(*device) {
            Some((_, attempt)) => attempt.rollout == rollout && attempt.state.is_out(),
            None => scope == RollbackScope::All && self.may_run(*device, run),
        };
        let mut chosen: Vec<(f64, DeviceIndex)> = run
            .targets
            .iter()
            .copied()
            .filter(wanted)
            // A device that is down has nothing left.
            .map(|d| (if self.fleet.out[d.index()] { 0.0 } else { self.capacity_now(d) }, d))
            .collect();
        chosen.sort_by(|(a, i), (b, j)| a.total_cmp(b).then(i.cmp(j)));
        chosen.into_iter().map(|(_, device)| device).collect()
    }

    /// Does a device run what a rollout brought, or may it, for all that is known? Its last attempt succeeded, or was never heard of again.
    fn may_run(&self, device: DeviceIndex, run: &Run) -> bool {
        let brought = self.ledger.brought(device).is_some_and(|(_, attempt)| attempt.rollout == run.id);
        let last = run.devices[device.index()].attempt.and_then(|id| self.ledger.attempt(id));
        brought || last.is_some_and(|attempt| attempt.state == AttemptState::TimedOut)
    }

    /// Goes on with the rollbacks under way, and ends those that are done.
    pub(super) fn advance_rollback(&mut self) {
        for id in self.live() {
            if self.run(id).is_some_and(|run| run.state == RolloutState::RollingBack) {
                self.take_back(id, &[]);
                self.give_up(id);
                self.end_rollback(id);
            }
        }
    }

    fn end_rollback(&mut self, rollout: RolloutId) {
        let Some(run) = self.run_mut(rollout) else { return };
        let Some(restoring) = &run.restoring else { return };
        if !restoring.pending.is_empty() || run.is_anything_in_flight() {
            return;
        }
        let (whole, lost, cause) = (restoring.whole, restoring.lost, run.cause);
        run.restoring = None;
        let back = run.count(Stage::RolledBack);
        if !whole {
            // Devices of a batch that was taken back for want of capacity may go again later.
            self.release_rolled_back(rollout);
            let detail = match lost {
                0 => "the batch is back; the rollout is paused".to_owned(),
                n => format!("the batch is back but for {n} devices that could not be; the rollout is paused"),
            };
            self.transit(rollout, RolloutEvent::Restored, cause, detail);
        } else if lost == 0 {
            self.transit(rollout, RolloutEvent::TakenBack, cause, format!("{back} devices taken back"));
        } else {
            let detail = format!("{back} devices taken back, {lost} could not be and need a person");
            self.transit(rollout, RolloutEvent::Stop, Some(Cause::RollbackIncomplete), detail);
        }
    }

    fn release_rolled_back(&mut self, rollout: RolloutId) {
        let Some(run) = self.run_mut(rollout) else { return };
        for device in run.targets.clone() {
            if run.stage(device) == Stage::RolledBack {
                run.set_stage(device, Stage::Waiting);
                let at = run.device(device);
                at.tries = at.tries.saturating_sub(1);
            }
        }
    }

    /// Tells as many pending devices to go back as their pools and regions can spare, and says how many are held, and by what.
    fn take_back(&mut self, rollout: RolloutId, canceled: &[DeviceIndex]) {
        let Some(restoring) = self.run(rollout).and_then(|run| run.restoring.as_ref()) else { return };
        let mut budget = Budget::new(self);
        let (mut go, mut held) = (Vec::new(), Vec::new());
        let mut reasons: BTreeMap<&'static str, (u32, HoldReason)> = BTreeMap::new();
        for device in &restoring.pending {
            match budget.take(self, *device) {
                Ok(()) => go.push(*device),
                Err(reason) => {
                    held.push(*device);
                    reasons.entry(reason.name()).or_insert((0, reason)).0 += 1;
                }
            }
        }
        let is_news = held.len() > restoring.held_said;
        if go.is_empty() && canceled.is_empty() && !is_news {
            return;
        }
        let canceled = canceled.iter().map(|d| self.fleet.facts[d.index()].id.clone()).collect();
        let devices: Vec<_> = go.iter().map(|d| self.fleet.facts[d.index()].id.clone()).collect();
        let remaining =
            go.iter().map(|d| if self.fleet.out[d.index()] { 0.0 } else { self.capacity_now(*d) }).collect();
        let deferred = held.len() as u32;
        if let Some(restoring) = self.run_mut(rollout).and_then(|run| run.restoring.as_mut()) {
            restoring.held_said = held.len();
            restoring.pending = held;
        }
        let first_command = self.ledger.next_command();
        let told = self.begin_rollbacks(rollout, &go);
        let held = reasons.into_values().map(|(devices, reason)| HeldDevices { devices, reason }).collect();
        self.record(Entry::Rollback { rollout, devices, remaining, canceled, deferred, held, first_command });
        for (device, kind) in told {
            self.fleet.out[device.index()] = true;
            self.command(device, kind);
        }
    }

    fn begin_rollbacks(&mut self, rollout: RolloutId, devices: &[DeviceIndex]) -> Vec<(DeviceIndex, CommandKind)> {
        let timeout = self.now + self.rollback_timeout();
        let generation = self.planning.number;
        let mut told = Vec::with_capacity(devices.len());
        for device in devices {
            let last = self.run(rollout).and_then(|run| run.devices[device.index()].attempt);
            let Some((id, attempt)) = last.and_then(|id| Some((id, *self.ledger.attempt(id)?))) else { continue };
            if let Some(next) = attempt.state.after(AttemptEvent::RollBack) {
                self.ledger.set_state(id, next);
            }
            let command = self.ledger.issue(id, CommandFor::Rollback, timeout);
            let Some(run) = self.run_mut(rollout) else { continue };
            run.set_stage(*device, Stage::RollingBack);
            told.push((*device, CommandKind::Rollback { command, attempt: id, generation, version: attempt.from }));
        }
        told
    }

    /// Devices held for longer than the policy allows are given up, each with its typed end.
    fn give_up(&mut self, rollout: RolloutId) {
        let now = self.now;
        let Some(run) = self.run_mut(rollout) else { return };
        let is_due = |restoring: &&mut Restoring| restoring.give_up_at.is_some_and(|at| at <= now);
        let Some(restoring) = run.restoring.as_mut().filter(is_due) else { return };
        restoring.give_up_at = None;
        let given_up = std::mem::take(&mut restoring.pending);
        for device in given_up {
            let Some(run) = self.run(rollout) else { return };
            let Some(id) = run.devices[device.index()].attempt else { continue };
            if let Some(next) = self.ledger.attempt(id).and_then(|a| a.state.after(AttemptEvent::RollBack)) {
                self.ledger.set_state(id, next);
            }
            self.end_attempt(id, AttemptState::RollbackFailed);
        }
    }
}
