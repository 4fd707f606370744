//! Attempts and commands of all rollouts, who holds which device, and whose release it runs.

use crate::ids::{AttemptId, CommandId, DeviceIndex, RolloutId};
use crate::rollout::AttemptState;
use crate::time::Instant;
use crate::version::Version;
use std::collections::{BTreeSet, VecDeque};

/// One try on one device.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    pub(super) rollout: RolloutId,
    pub(super) device: DeviceIndex,
    pub(super) state: AttemptState,
    pub(super) install: CommandId,
    pub(super) begun: Instant,
    /// When the device should be back, at an upper quantile.
    pub(super) until: Instant,
    /// What it ran before, and goes back to.
    pub(super) from: Version,
    /// What is installed: the package's version, or a stepping stone's.
    pub(super) to: Version,
    /// Download size of it.
    pub(super) size_bytes: u64,
    /// The attempt that had brought `from`, if a rollout did.
    pub(super) replaced: Option<AttemptId>,
}

/// What a command asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CommandFor {
    Install,
    Rollback,
}

/// A command that waits for its one outcome, or has had it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Issued {
    pub(super) attempt: AttemptId,
    pub(super) what: CommandFor,
    pub(super) open: bool,
}

/// The books.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    attempts: Vec<Attempt>,
    commands: Vec<Issued>,
    timeouts: VecDeque<(Instant, CommandId)>,
    /// Attempts under way: installs, and devices being taken back.
    open: BTreeSet<AttemptId>,
    /// By device: the open attempt on it.
    holder: Vec<Option<AttemptId>>,
    /// By device: the attempt that brought what it runs now; `None` where no rollout has changed it.
    brought: Vec<Option<AttemptId>>,
}

impl Ledger {
    pub(super) fn grow(&mut self, devices: usize) {
        self.holder.resize(devices, None);
        self.brought.resize(devices, None);
    }

    pub(super) const fn next_command(&self) -> CommandId {
        CommandId(self.commands.len() as u64)
    }

    pub(super) const fn next_attempt(&self) -> AttemptId {
        AttemptId(self.attempts.len() as u64)
    }

    /// Books a new attempt with its install command, which is the next to be given.
    pub(super) fn begin(&mut self, attempt: Attempt, timeout: Instant) {
        let id = self.next_attempt();
        self.attempts.push(attempt);
        self.issue(id, CommandFor::Install, timeout);
    }

    /// Books a command on an attempt; a rollback opens its attempt again.
    pub(super) fn issue(&mut self, attempt: AttemptId, what: CommandFor, timeout: Instant) -> CommandId {
        let command = self.next_command();
        self.commands.push(Issued { attempt, what, open: true });
        self.timeouts.push_back((timeout, command));
        if let Some(device) = self.attempts.get(attempt.index()).map(|a| a.device) {
            self.open.insert(attempt);
            self.holder[device.index()] = Some(attempt);
        }
        command
    }

    pub(super) fn attempt(&self, id: AttemptId) -> Option<&Attempt> {
        self.attempts.get(id.index())
    }

    pub(super) fn set_state(&mut self, id: AttemptId, state: AttemptState) {
        if let Some(attempt) = self.attempts.get_mut(id.index()) {
            attempt.state = state;
        }
    }

    pub(super) fn command(&self, id: CommandId) -> Option<&Issued> {
        self.commands.get(id.index())
    }

    /// A command has had its outcome.
    pub(super) fn answered(&mut self, id: CommandId) {
        if let Some(command) = self.commands.get_mut(id.index()) {
            command.open = false;
        }
    }

    /// Nothing more is under way for an attempt.
    pub(super) fn close(&mut self, id: AttemptId, state: AttemptState) {
        self.set_state(id, state);
        self.open.remove(&id);
        if let Some(device) = self.attempts.get(id.index()).map(|a| a.device)
            && self.holder[device.index()] == Some(id)
        {
            self.holder[device.index()] = None;
        }
    }

    /// Nobody waits for outcomes of an attempt any more.
    pub(super) fn forget(&mut self, id: AttemptId) {
        self.commands.iter_mut().filter(|c| c.attempt == id).for_each(|c| c.open = false);
    }

    /// The open attempt on a device.
    pub(super) fn holder(&self, device: DeviceIndex) -> Option<(AttemptId, &Attempt)> {
        let id = self.holder.get(device.index()).copied().flatten()?;
        Some((id, &self.attempts[id.index()]))
    }

    /// The attempt that brought what a device runs now.
    pub(super) fn brought(&self, device: DeviceIndex) -> Option<(AttemptId, &Attempt)> {
        let id = self.brought.get(device.index()).copied().flatten()?;
        Some((id, &self.attempts[id.index()]))
    }

    /// The newest attempt of a rollout on a device that was never heard of again.
    pub(super) fn silent(&self, rollout: RolloutId, device: DeviceIndex) -> Option<AttemptId> {
        let is_it = |a: &Attempt| a.rollout == rollout && a.device == device && a.state == AttemptState::TimedOut;
        self.attempts.iter().rposition(is_it).map(|position| AttemptId(position as u64))
    }

    pub(super) fn set_brought(&mut self, device: DeviceIndex, by: Option<AttemptId>) {
        self.brought[device.index()] = by;
    }

    /// Attempts under way, in the order they began.
    pub(super) fn open(&self) -> impl Iterator<Item = (AttemptId, &Attempt)> {
        self.open.iter().map(|id| (*id, &self.attempts[id.index()]))
    }

    /// Those of one rollout.
    pub(super) fn open_of(&self, rollout: RolloutId) -> impl Iterator<Item = (AttemptId, &Attempt)> {
        self.open().filter(move |(_, attempt)| attempt.rollout == rollout)
    }

    /// When the first command without an outcome times out.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.timeouts.iter().find(|(_, id)| self.commands[id.index()].open).map(|(at, _)| *at)
    }

    /// Takes the next command without an outcome whose time is up.
    pub(super) fn expire(&mut self, now: Instant) -> Option<CommandId> {
        while let Some((at, command)) = self.timeouts.front().copied() {
            if self.commands[command.index()].open && at > now {
                return None;
            }
            self.timeouts.pop_front();
            if self.commands[command.index()].open {
                return Some(command);
            }
        }
        None
    }
}
