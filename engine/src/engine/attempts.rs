//! What comes of commands: progress, outcomes, silence.

use super::Engine;
use super::run::{CommandFor, Issued, Stage};
use crate::ids::{AttemptId, CommandId, DeviceIndex};
use crate::input::CommandResult;
use crate::journal::Entry;
use crate::journal::entry::SettledAttempt;
use crate::rollout::{AttemptEvent, AttemptState};

impl Engine {
    /// A device says where it is.
    pub(super) fn take_progress(&mut self, attempt: AttemptId, state: AttemptState) {
        let Some(run) = &mut self.run else { return };
        let Some(known) = run.attempts.get_mut(attempt.index()) else {
            self.ignore(format!("progress of attempt {attempt}, which does not exist"));
            return;
        };
        // Late and repeated progress is ordinary on real networks; it is dropped in silence.
        if let Some(next) = known.state.after(AttemptEvent::Reach(state)) {
            known.state = next;
            let device = known.device;
            self.fleet.out[device.index()] = next.is_out();
            self.fleet.mark_heard(device, self.now);
        }
    }

    /// What came of a command.
    pub(super) fn take_outcome(&mut self, command: CommandId, result: CommandResult) {
        let Some(run) = &mut self.run else { return };
        let Some(issued) = run.commands.get_mut(command.index()) else {
            self.ignore(format!("outcome of command {command}, which does not exist"));
            return;
        };
        if !issued.open {
            let attempt = issued.attempt;
            self.take_late_outcome(command, attempt, &result);
            return;
        }
        issued.open = false;
        let issued = *issued;
        self.settle(issued, &result);
    }

    fn settle(&mut self, issued: Issued, result: &CommandResult) {
        let Some(run) = &mut self.run else { return };
        let attempt = run.attempts[issued.attempt.index()];
        let device = attempt.device;
        if *result != CommandResult::TimedOut {
            self.fleet.mark_heard(device, self.now);
        }
        if issued.what == CommandFor::Install && attempt.state == AttemptState::RollingBack {
            // Taken back while it was installing: the rollback's own outcome will say how that ended.
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
            self.ignore(format!("{result:?} for attempt {} that is {}", issued.attempt, attempt.state));
            return;
        };
        self.end_attempt(issued.attempt, next);
    }

    /// An attempt reaches an end: the device's place in the rollout follows.
    fn end_attempt(&mut self, id: AttemptId, end: AttemptState) {
        let now = self.now;
        let rules = self.policy.attempts;
        let Some(run) = &mut self.run else { return };
        let attempt = &mut run.attempts[id.index()];
        attempt.state = end;
        let (device, took) = (attempt.device, now.since(attempt.begun));
        self.fleet.out[device.index()] = false;
        run.last_settled = now;
        let tries = run.device(device).tries;
        let stage = match end {
            AttemptState::Succeeded | AttemptState::AlreadyCurrent => {
                self.fleet.facts[device.index()].version = run.package.version.clone();
                Stage::Updated
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
        if end == AttemptState::Succeeded {
            run.learn_duration(took);
        }
        let bad = matches!(end, AttemptState::Failed | AttemptState::TimedOut | AttemptState::RollbackFailed);
        run.device(device).ever_failed |= bad;
        run.set_stage(device, stage);
        if stage == Stage::Waiting {
            run.replan.get_or_insert("an attempt ended without an update");
        }
        let device_id = self.fleet.facts[device.index()].id.clone();
        self.record(Entry::Settled { attempts: vec![SettledAttempt { attempt: id, device: device_id, end, took }] });
        if bad {
            self.watch_failures();
        }
    }

    /// A word after the end. Only one thing can be learned from it: a device thought lost is on the release after all.
    fn take_late_outcome(&mut self, command: CommandId, id: AttemptId, result: &CommandResult) {
        let Some(run) = &mut self.run else { return };
        let attempt = run.attempts[id.index()];
        let device = attempt.device;
        let idle = matches!(run.device(device).stage, Stage::Waiting | Stage::Failed)
            && run.device(device).attempt == Some(id);
        if attempt.state == AttemptState::TimedOut && *result == CommandResult::Succeeded && idle {
            self.fleet.facts[device.index()].version = run.package.version.clone();
            run.set_stage(device, Stage::Updated);
            self.fleet.mark_heard(device, self.now);
            self.ignore(format!("late success of command {command}: device {device} is on the release after all"));
            return;
        }
        self.ignore(format!("{result:?} for command {command}, whose attempt is {} already", attempt.state));
    }

    /// Silence becomes an outcome.
    pub(super) fn expire_commands(&mut self) {
        loop {
            let Some(run) = &mut self.run else { return };
            let Some((at, command)) = run.timeouts.front().copied() else { return };
            let issued = run.commands[command.index()];
            if issued.open && at > self.now {
                return;
            }
            run.timeouts.pop_front();
            if issued.open {
                run.commands[command.index()].open = false;
                self.settle(issued, &CommandResult::TimedOut);
            }
        }
    }

    /// A device left the fleet: whatever it was doing is over.
    pub(super) fn attempt_removed(&mut self, device: DeviceIndex) {
        let Some(run) = &mut self.run else { return };
        let open: Vec<AttemptId> = run.attempt_of(device).map(|(id, _)| id).into_iter().collect();
        for id in open {
            if run.attempts[id.index()].state.is_end() {
                continue;
            }
            for command in run.commands.iter_mut().filter(|c| c.attempt == id) {
                command.open = false;
            }
            run.attempts[id.index()].state = AttemptState::Removed;
        }
        if run.device(device).stage != Stage::NotTarget {
            run.set_stage(device, Stage::Failed);
        }
        self.fleet.out[device.index()] = false;
    }
}
