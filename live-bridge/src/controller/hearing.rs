//! From a device's words to the engine's inputs.

use super::driver::Driver;
use crate::wire::{DeviceMessage, Outcome, Progress, device_message::Body, outcome};
use slacktide_engine::ids::{AttemptId, CommandId, DeviceId, DeviceIndex};
use slacktide_engine::input::{CommandResult, Input};
use slacktide_engine::rollout::AttemptState;
use slacktide_engine::time::Instant;

/// Longest words of a device that go into the journal, in characters.
const WORDS_MAX: usize = 500;

impl Driver {
    /// Deals with one stored message, unless that was done before. Devices that ask are gathered in `asking`.
    pub(super) fn hear_one(
        &mut self,
        now: Instant,
        name: &str,
        message: &DeviceMessage,
        asking: &mut Vec<DeviceIndex>,
    ) {
        if self.moved.of(name).covers(message) {
            return;
        }
        let device = self.engine.fleet().find(&DeviceId::from(name));
        match (&message.body, device) {
            (Some(Body::Report(report)), Some(device)) => {
                if !self.fold.take(device, report) {
                    self.metrics.refused("implausible-load");
                }
                self.moved.report(name, message.sequence);
                return;
            }
            (Some(Body::Request(_)), Some(device)) => asking.push(device),
            (Some(Body::Progress(progress)), Some(device)) => {
                self.ask_for(now, asking);
                self.progress(now, device, progress);
            }
            (Some(Body::Outcome(outcome)), Some(device)) => {
                self.ask_for(now, asking);
                self.outcome(now, device, outcome);
            }
            _ => self.metrics.refused("device-not-enrolled"),
        }
        self.moved.event(name, message.sequence);
    }

    fn progress(&mut self, now: Instant, device: DeviceIndex, progress: &Progress) {
        let attempt = AttemptId(progress.attempt);
        if self.board.holder(attempt) != Some(device) {
            self.metrics.refused("foreign-attempt");
            tracing::warn!(
                device = self.name(device),
                attempt = attempt.0,
                "progress of an attempt that is not its own"
            );
            return;
        }
        match AttemptState::ALL.into_iter().find(|state| state.name() == progress.state) {
            Some(state) => self.hand_in(now, Input::Progress { attempt, state }),
            None => self.metrics.refused("unknown-state"),
        }
    }

    fn outcome(&mut self, now: Instant, device: DeviceIndex, outcome: &Outcome) {
        if self.board.owner(outcome.command) != Some(device) {
            self.metrics.refused("foreign-command");
            tracing::warn!(
                device = self.name(device),
                command = outcome.command,
                "outcome of a command that is not its own"
            );
            return;
        }
        let reason = || outcome.reason.chars().take(WORDS_MAX).collect();
        let result = match outcome.result() {
            outcome::Result::Succeeded => CommandResult::Succeeded,
            outcome::Result::Failed => CommandResult::Failed { reason: reason() },
            outcome::Result::Rejected => CommandResult::Rejected { reason: reason() },
            outcome::Result::AlreadyCurrent => CommandResult::AlreadyCurrent,
            outcome::Result::Canceled => CommandResult::Canceled,
            outcome::Result::Unspecified => {
                self.metrics.refused("unknown-result");
                return;
            }
        };
        self.hand_in(now, Input::Outcome { command: CommandId(outcome.command), result });
    }
}
