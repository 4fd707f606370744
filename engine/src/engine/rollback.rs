//! Taking devices back: a plan under the same budgets, for a rollback takes a device out too.
//!
//! Lowest remaining capacity first. A device that is down already costs its pool nothing and goes at once. What its pool or region
//! cannot spare now is held and tried again at every tick, and said to be held; after `rollback.hold_max` it is given up. Maintenance
//! windows do not bind: what must be taken back does not wait for the night.

use super::Engine;
use super::budget::Budget;
use super::course::devices;
use super::ledger::{Attempt, CommandFor};
use super::run::{Pending, Restoring, Run, Stage};
use crate::ids::{AttemptId, CommandId, DeviceIndex, RolloutId};
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
            | Cause::RollbackIncomplete
            | Cause::Divergence => RollbackScope::None,
        };
        if cause == Cause::FailureThreshold && self.policy.monitor.failures_abort {
            self.abort(rollout, cause, detail);
            return;
        }
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
        let canceled = self.unbegun(rollout);
        let what = match scope {
            RollbackScope::All => "every device of the rollout is taken back",
            _ => "the current batch is taken back",
        };
        self.transit(rollout, RolloutEvent::RollBack, Some(cause), what);
        let give_up_at = self.now + rules.hold_max;
        let chosen = self.to_take_back(rollout, scope);
        let pending = chosen.into_iter().map(|device| Pending { device, give_up_at }).collect();
        if let Some(run) = self.run_mut(rollout) {
            let whole = scope == RollbackScope::All;
            run.restoring = Some(Restoring { pending, whole, aborted: false, held_said: 0, lost: 0 });
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
    /// that fell silent on the way to it.
    fn to_take_back(&self, rollout: RolloutId, scope: RollbackScope) -> Vec<DeviceIndex> {
        let Some(run) = self.run(rollout) else { return Vec::new() };
        let wanted = |device: &DeviceIndex| match self.ledger.holder(*device) {
            Some((_, attempt)) if attempt.rollout == rollout => attempt.state.is_out(),
            _ => scope == RollbackScope::All && self.to_undo(*device, run).is_some(),
        };
        let targets = run.targets.iter().copied().filter(|device| !self.fleet.removed[device.index()]);
        targets.filter(wanted).collect()
    }

    /// The attempt to undo on a device: its open one; else the one that brought what it runs, where that was this rollout; else the last,
    /// where that was never heard of again and may have brought it, for all that is known.
    fn to_undo(&self, device: DeviceIndex, run: &Run) -> Option<AttemptId> {
        let own = |(id, attempt): (AttemptId, &Attempt)| (attempt.rollout == run.id).then_some(id);
        if let Some(open) = self.ledger.holder(device).and_then(own) {
            return Some(open);
        }
        let brought = self.ledger.brought(device).map(|(id, _)| id);
        let last = run.devices.get(device.index()).and_then(|at| at.attempt);
        let is_silent = |id: &AttemptId| {
            brought.is_none_or(|brought| brought < *id)
                && self.ledger.attempt(*id).is_some_and(|attempt| attempt.state == AttemptState::TimedOut)
        };
        last.filter(is_silent).or_else(|| self.ledger.brought(device).and_then(own))
    }

    /// Goes on with the rollbacks under way, and ends those that are done.
    pub(super) fn advance_rollback(&mut self) {
        for id in self.live() {
            if self.run(id).is_some_and(|run| run.state == RolloutState::RollingBack) {
                self.drop_overtaken(id);
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
        let (whole, aborted, lost, cause) = (restoring.whole, restoring.aborted, restoring.lost, run.cause);
        run.restoring = None;
        let back = run.count(Stage::RolledBack);
        if aborted && !whole {
            let cause = if lost == 0 { cause } else { Some(Cause::RollbackIncomplete) };
            let detail = match lost {
                0 => "the batch is back; the rollout was aborted meanwhile".to_owned(),
                n => format!(
                    "the batch is back but for {} that could not be and need a person; the rollout was aborted meanwhile",
                    devices(n)
                ),
            };
            self.transit(rollout, RolloutEvent::Stop, cause, detail);
        } else if !whole {
            // Devices of a batch that was taken back for want of capacity may go again later.
            self.release_rolled_back(rollout);
            let detail = match lost {
                0 => "the batch is back; the rollout is paused".to_owned(),
                n => format!("the batch is back but for {} that could not be; the rollout is paused", devices(n)),
            };
            self.transit(rollout, RolloutEvent::Restored, cause, detail);
        } else if lost == 0 {
            self.transit(rollout, RolloutEvent::TakenBack, cause, format!("{} taken back", devices(back)));
        } else {
            let detail = format!("{} taken back, {lost} could not be and need a person", devices(back));
            self.transit(rollout, RolloutEvent::Stop, Some(Cause::RollbackIncomplete), detail);
        }
    }

    fn release_rolled_back(&mut self, rollout: RolloutId) {
        let Some(run) = self.run_mut(rollout) else { return };
        for device in run.targets.clone() {
            if run.stage(device) == Stage::RolledBack {
                run.done_since = None;
                run.set_stage(device, Stage::Waiting);
                let at = run.device(device);
                at.tries = at.tries.saturating_sub(1);
            }
        }
    }

    /// Devices that another rollout has brought to something newer meanwhile have nothing to go back from.
    fn drop_overtaken(&mut self, rollout: RolloutId) {
        let Some(run) = self.run(rollout) else { return };
        let Some(restoring) = &run.restoring else { return };
        let stays =
            |pending: &Pending| self.to_undo(pending.device, run).is_some() || self.is_others(rollout, pending.device);
        let pending: Vec<Pending> = restoring.pending.iter().copied().filter(stays).collect();
        if let Some(restoring) = self.run_mut(rollout).and_then(|run| run.restoring.as_mut()) {
            restoring.pending = pending;
        }
    }

    fn is_others(&self, rollout: RolloutId, device: DeviceIndex) -> bool {
        self.ledger.holder(device).is_some_and(|(_, attempt)| attempt.rollout != rollout)
    }

    /// What a device has left; one that is down has nothing.
    fn remaining(&self, device: DeviceIndex) -> f64 {
        if self.fleet.out[device.index()] { 0.0 } else { self.capacity_now(device) }
    }

    /// Tells as many pending devices to go back as their pools and regions can spare, lowest remaining capacity first, and says how many
    /// are held, and by what.
    fn take_back(&mut self, rollout: RolloutId, canceled: &[(DeviceIndex, CommandId)]) {
        let Some(restoring) = self.run(rollout).and_then(|run| run.restoring.as_ref()) else { return };
        if restoring.pending.is_empty() && canceled.is_empty() {
            return;
        }
        let mut queue: Vec<(f64, Pending)> =
            restoring.pending.iter().map(|pending| (self.remaining(pending.device), *pending)).collect();
        queue.sort_by(|(a, p), (b, q)| a.total_cmp(b).then(p.device.cmp(&q.device)));
        let mut budget = Budget::new(self);
        let (mut go, mut held) = (Vec::new(), Vec::new());
        let mut reasons: BTreeMap<&'static str, (u32, HoldReason)> = BTreeMap::new();
        for (remaining, pending) in queue {
            let is_others = self.is_others(rollout, pending.device);
            let room = if is_others { Err(HoldReason::OtherRollout) } else { budget.take(self, pending.device) };
            match room {
                Ok(()) => go.push((remaining, pending.device)),
                Err(reason) => {
                    held.push(pending);
                    reasons.entry(reason.name()).or_insert((0, reason)).0 += 1;
                }
            }
        }
        let is_news = held.len() > restoring.held_said;
        if go.is_empty() && canceled.is_empty() && !is_news {
            return;
        }
        let name = |d: DeviceIndex| self.fleet.facts[d.index()].id.clone();
        let off = canceled.iter().map(|(device, _)| name(*device)).collect();
        let devices: Vec<_> = go.iter().map(|(_, device)| name(*device)).collect();
        let (remaining, go): (Vec<f64>, Vec<DeviceIndex>) = go.into_iter().unzip();
        let deferred = held.len() as u32;
        if let Some(restoring) = self.run_mut(rollout).and_then(|run| run.restoring.as_mut()) {
            restoring.held_said = held.len();
            restoring.pending = held;
        }
        let first_command = self.ledger.next_command();
        let told = self.begin_rollbacks(rollout, &go);
        let held = reasons.into_values().map(|(devices, reason)| HeldDevices { devices, reason }).collect();
        self.record(Entry::Rollback { rollout, devices, remaining, canceled: off, deferred, held, first_command });
        self.cancel(canceled);
        if !told.is_empty() {
            // A plan that was made before counts on their places: a second hop back may begin between it and a batch of another rollout.
            self.replan("devices go back");
        }
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
            let Some((id, attempt)) = self.undone(rollout, *device) else { continue };
            let command = self.ledger.issue(id, CommandFor::Rollback, timeout);
            let Some(run) = self.run_mut(rollout) else { continue };
            run.set_stage(*device, Stage::RollingBack);
            told.push((*device, CommandKind::Rollback { command, attempt: id, generation, version: attempt.from }));
        }
        told
    }

    /// Marks the attempt to undo on a device as going back.
    fn undone(&mut self, rollout: RolloutId, device: DeviceIndex) -> Option<(AttemptId, Attempt)> {
        let id = self.to_undo(device, self.run(rollout)?)?;
        let attempt = *self.ledger.attempt(id)?;
        self.ledger.set_state(id, attempt.state.after(AttemptEvent::RollBack)?);
        Some((id, attempt))
    }

    /// Devices held for longer than the policy allows are given up, each with its typed end.
    fn give_up(&mut self, rollout: RolloutId) {
        let now = self.now;
        let Some(restoring) = self.run_mut(rollout).and_then(|run| run.restoring.as_mut()) else { return };
        let (given_up, pending): (Vec<Pending>, Vec<Pending>) =
            restoring.pending.iter().partition(|pending| pending.give_up_at <= now);
        restoring.pending = pending;
        for pending in given_up {
            if let Some((id, _)) = self.undone(rollout, pending.device) {
                self.end_attempt(id, AttemptState::RollbackFailed);
            }
        }
    }
}
