//! What comes of commands: progress, outcomes, silence.

use super::Engine;
use super::ledger::{Attempt, CommandFor, Issued};
use super::run::{Pending, Stage};
use crate::ids::{AttemptId, CommandId, DeviceIndex};
use crate::input::CommandResult;
use crate::journal::Entry;
use crate::journal::entry::SettledAttempt;
use crate::rollout::{AttemptEvent, AttemptState};
use crate::version::Version;

impl Engine {
    /// A device says where it is.
    pub(super) fn take_progress(&mut self, id: AttemptId, state: AttemptState) {
        let Some(known) = self.ledger.attempt(id) else {
            self.ignore(format!("progress of attempt {id}, which does not exist"));
            return;
        };
        // Late and repeated progress is ordinary on real networks; it is dropped in silence.
        if let Some(next) = known.state.after(AttemptEvent::Reach(state)) {
            let device = known.device;
            self.ledger.set_state(id, next);
            self.fleet.out[device.index()] = next.is_out();
            self.fleet.mark_heard(device, self.now);
        } else if known.state == AttemptState::TimedOut && state.is_out() && self.ledger.holder(known.device).is_none()
        {
            // Given up, and out all the same.
            self.fleet.mark_silent(known.device);
        }
    }

    /// What came of a command.
    pub(super) fn take_outcome(&mut self, command: CommandId, result: CommandResult) {
        #[cfg(feature = "planted-faults")]
        if self.has(crate::planted::Fault::LostOutcome) && command.0 % 5 == 4 {
            return;
        }
        let Some(issued) = self.ledger.command(command).copied() else {
            self.ignore(format!("outcome of command {command}, which does not exist"));
            return;
        };
        if !issued.open {
            self.take_late_outcome(command, issued, &result);
            return;
        }
        self.ledger.answered(command);
        self.settle(issued, &result);
    }

    fn settle(&mut self, issued: Issued, result: &CommandResult) {
        let Some(attempt) = self.ledger.attempt(issued.attempt).copied() else { return };
        if *result == CommandResult::TimedOut {
            if attempt.state.is_out() {
                // Given up, and perhaps out all the same: its load before it went is no sign that it serves.
                self.fleet.mark_silent(attempt.device);
                self.replan("a device was given up");
            }
        } else if !matches!(result, CommandResult::Rejected { .. }) {
            // Who refuses may be busy with what was given up before: that is no sign that it serves.
            self.fleet.mark_heard(attempt.device, self.now);
        }
        if issued.what == CommandFor::Install && attempt.state == AttemptState::RollingBack {
            // Taken back while it was installing: the rollback's own outcome will say how that ended. Until then it runs the new release.
            if *result == CommandResult::Succeeded {
                self.is_on_after_all(issued.attempt, &attempt);
            }
            return;
        }
        let event = match (issued.what, result) {
            (_, CommandResult::Succeeded) => AttemptEvent::Succeed,
            (_, CommandResult::Failed { .. }) => AttemptEvent::Fail,
            (_, CommandResult::Rejected { .. }) => AttemptEvent::Reject,
            (_, CommandResult::AlreadyCurrent) => AttemptEvent::AlreadyCurrent,
            (_, CommandResult::Canceled) => AttemptEvent::Cancel,
            (_, CommandResult::TimedOut) => AttemptEvent::TimeOut,
        };
        // A contradiction (a device that rejects what it already installs) counts as a failure: the device is not where we thought.
        let next = attempt.state.after(event).or_else(|| attempt.state.after(AttemptEvent::Fail));
        let Some(next) = next else {
            if *result == CommandResult::TimedOut {
                // An install whose device was taken back meanwhile: its silence is no news.
                return;
            }
            self.ignore(format!("{result:?} for attempt {} that is {}", issued.attempt, attempt.state));
            return;
        };
        self.end_attempt(issued.attempt, next);
    }

    /// An attempt reaches an end: the device's version and its place in the rollout follow.
    pub(super) fn end_attempt(&mut self, id: AttemptId, end: AttemptState) {
        let Some(attempt) = self.ledger.attempt(id).copied() else { return };
        let (device, d) = (attempt.device, attempt.device.index());
        self.ledger.close(id, end);
        // Given up while another rollout has it out, it stays out.
        self.fleet.out[d] = self.ledger.holder(device).is_some_and(|(_, other)| other.state.is_out());
        match end {
            AttemptState::Succeeded => {
                self.fleet.facts[d].version = attempt.to;
                self.ledger.set_brought(device, Some(id));
            }
            AttemptState::AlreadyCurrent => {
                self.fleet.facts[d].version = attempt.to.max(attempt.from);
                // An earlier try had come to its end after all, unheard: it is this rollout that brought what the device runs.
                if let Some(silent) = self.ledger.silent(attempt.rollout, device)
                    && attempt.from < attempt.to
                {
                    self.ledger.set_brought(device, Some(silent));
                }
            }
            AttemptState::RolledBack => {
                self.fleet.facts[d].version = attempt.from;
                self.ledger.set_brought(device, attempt.replaced);
            }
            _ => {}
        }
        if end == AttemptState::Succeeded {
            self.planning.learn_duration(self.now.since(attempt.begun));
            self.count_succeeded();
        }
        self.place(id, end);
        self.record_settled(id, &attempt, end);
        self.version_changed(device, Some(attempt.rollout));
        if matches!(end, AttemptState::Failed | AttemptState::TimedOut | AttemptState::RollbackFailed) {
            self.watch_failures(attempt.rollout);
        }
    }

    fn record_settled(&mut self, id: AttemptId, attempt: &Attempt, end: AttemptState) {
        let device = self.fleet.facts[attempt.device.index()].id.clone();
        let took = self.now.since(attempt.begun);
        let settled = SettledAttempt { attempt: id, device, end, took, to: Some(attempt.to) };
        self.record(Entry::Settled { rollout: attempt.rollout, attempts: vec![settled] });
    }

    /// Where a device stands in its rollout once an attempt has ended.
    fn place(&mut self, id: AttemptId, end: AttemptState) {
        let (now, rules) = (self.now, self.policy.attempts);
        let Some(attempt) = self.ledger.attempt(id).copied() else { return };
        let device = attempt.device;
        let version = self.fleet.facts[device.index()].version;
        let hold_max = self.policy.rollback.hold_max;
        let brought = self.ledger.brought(device).is_some_and(|(_, other)| other.rollout == attempt.rollout);
        let Some(run) = self.run_mut(attempt.rollout) else { return };
        let tries = run.device(device).tries;
        let stage = match end {
            AttemptState::Succeeded | AttemptState::AlreadyCurrent if version >= run.package.version => Stage::Updated,
            AttemptState::Succeeded | AttemptState::AlreadyCurrent => {
                // A stepping stone: the next hop is another try from the start.
                run.device(device).tries = 0;
                Stage::Waiting
            }
            AttemptState::RolledBack => Stage::RolledBack,
            AttemptState::Failed | AttemptState::TimedOut | AttemptState::Rejected if tries < rules.attempts_max => {
                run.device(device).retry_at = Some(now + rules.retry_pause);
                Stage::Waiting
            }
            AttemptState::Canceled => {
                run.device(device).tries = tries.saturating_sub(1);
                Stage::Waiting
            }
            _ => Stage::Failed,
        };
        let failed = matches!(end, AttemptState::Failed | AttemptState::TimedOut | AttemptState::RollbackFailed);
        run.device(device).ever_failed |= failed;
        run.set_stage(device, stage);
        if let Some(restoring) = &mut run.restoring {
            restoring.lost += u32::from(end == AttemptState::RollbackFailed);
            // Its cancellation came too late, or was not heard; or it is still on a stepping stone that the rollout brought: it is, or may
            // be, on what is being taken back.
            let is_more = matches!(end, AttemptState::Succeeded | AttemptState::TimedOut)
                || brought && end != AttemptState::RollbackFailed;
            if restoring.whole && is_more {
                restoring.pending.push(Pending { device, give_up_at: now + hold_max });
            }
        }
        if stage == Stage::Waiting {
            self.replan("an attempt ended without an update");
        }
    }

    /// A word after the end. Only one thing can be learned from it: what a device thought lost runs after all.
    fn take_late_outcome(&mut self, command: CommandId, issued: Issued, result: &CommandResult) {
        let Some(attempt) = self.ledger.attempt(issued.attempt).copied() else { return };
        let (device, d) = (attempt.device, attempt.device.index());
        let is_last = self.run(attempt.rollout).is_some_and(|run| {
            matches!(run.stage(device), Stage::Waiting | Stage::Failed)
                && run.devices[d].attempt == Some(issued.attempt)
        });
        // Nor has another rollout brought it to something newer since.
        let overtaken = self.ledger.brought(device).is_some_and(|(newest, _)| newest > issued.attempt);
        let idle = is_last && !overtaken && self.ledger.holder(device).is_none() && !self.fleet.removed[d];
        match (issued.what, attempt.state, result) {
            (CommandFor::Install, AttemptState::TimedOut, CommandResult::Succeeded)
                if idle && self.fleet.facts[d].version < attempt.to =>
            {
                self.is_on_after_all(issued.attempt, &attempt);
                if let Some(run) = self.run_mut(attempt.rollout)
                    && attempt.to >= run.package.version
                {
                    run.set_stage(device, Stage::Updated);
                }
                self.say_it_is_on(command, &attempt);
            }
            (CommandFor::Install, AttemptState::RollbackFailed, CommandResult::Succeeded)
                if idle && self.fleet.facts[d].version < attempt.to =>
            {
                self.is_on_after_all(issued.attempt, &attempt);
                self.say_it_is_on(command, &attempt);
            }
            (CommandFor::Install, AttemptState::RollingBack, CommandResult::Succeeded) => {
                self.is_on_after_all(issued.attempt, &attempt);
                self.ignore(format!("late success of command {command}: device {device} is going back already"));
            }
            (CommandFor::Rollback, AttemptState::RollbackFailed, CommandResult::Succeeded) if idle => {
                self.fleet.facts[d].version = attempt.from;
                self.ledger.set_brought(device, attempt.replaced);
                self.fleet.mark_heard(device, self.now);
                self.version_changed(device, Some(attempt.rollout));
                self.ignore(format!("late success of command {command}: device {device} is back on {}", attempt.from));
            }
            _ => self.ignore(format!("{result:?} for command {command}, whose attempt is {} already", attempt.state)),
        }
    }

    /// An install that was given up, or is being taken back, did come to its end: should the way back fail, that is what the device runs.
    fn is_on_after_all(&mut self, id: AttemptId, attempt: &Attempt) {
        self.fleet.facts[attempt.device.index()].version = attempt.to;
        self.ledger.set_brought(attempt.device, Some(id));
    }

    fn say_it_is_on(&mut self, command: CommandId, attempt: &Attempt) {
        self.fleet.mark_heard(attempt.device, self.now);
        self.version_changed(attempt.device, Some(attempt.rollout));
        let (device, to) = (attempt.device, attempt.to);
        self.ignore(format!("late success of command {command}: device {device} is on {to} after all"));
    }

    /// A device states what it runs. Where that is not what is believed (an outcome was lost, somebody installed by hand), it is right.
    pub(super) fn take_statement(&mut self, device: DeviceIndex, version: Version) {
        let d = device.index();
        if self.fleet.removed.get(d) != Some(&false) {
            self.ignore(format!("statement of device {device}, which is not in the fleet"));
            return;
        }
        self.fleet.mark_heard(device, self.now);
        let believed = self.fleet.facts[d].version;
        if self.ledger.holder(device).is_some() || believed == version {
            return;
        }
        self.fleet.facts[d].version = version;
        // What was called off or refused has brought nobody anywhere: somebody else has.
        let can_have = |attempt: &Attempt| attempt.state.after(AttemptEvent::RollBack).is_some();
        let leads_there =
            |id: &AttemptId| self.ledger.attempt(*id).is_some_and(|attempt| attempt.to == version && can_have(attempt));
        let tried = self.rollouts.iter().filter_map(|run| run.devices.get(d)?.attempt);
        let brought = tried.filter(leads_there).max();
        self.ledger.set_brought(device, brought);
        // Who was counted as failed has the release after all.
        for run in self.rollouts.iter_mut().filter(|run| !run.state.is_end()) {
            if run.stage(device) == Stage::Failed && version >= run.package.version {
                run.set_stage(device, Stage::Updated);
            }
        }
        self.version_changed(device, None);
        let id = self.fleet.facts[d].id.clone();
        self.record(Entry::Stated { device: id, believed, runs: version });
    }

    /// Silence becomes an outcome.
    pub(super) fn expire_commands(&mut self) {
        while let Some(command) = self.ledger.expire(self.now) {
            let Some(issued) = self.ledger.command(command).copied() else { return };
            self.ledger.answered(command);
            self.settle(issued, &CommandResult::TimedOut);
        }
    }

    /// A device left the fleet: whatever it was doing is over.
    pub(super) fn attempt_removed(&mut self, device: DeviceIndex) {
        if let Some((id, attempt)) = self.ledger.holder(device) {
            let attempt = *attempt;
            self.ledger.forget(id);
            self.ledger.close(id, AttemptState::Removed);
            self.record_settled(id, &attempt, AttemptState::Removed);
        }
        for run in self.rollouts.iter_mut().filter(|run| !run.state.is_end()) {
            if run.stage(device) != Stage::NotTarget {
                run.set_stage(device, Stage::Failed);
            }
            if let Some(restoring) = &mut run.restoring {
                restoring.pending.retain(|pending| pending.device != device);
            }
        }
        self.fleet.out[device.index()] = false;
    }
}
