//! What a full journal holds: who was there, what was said, how long updates took.

use super::{Decision, WhatIfError};
use slacktide_engine::ids::{AttemptId, CommandId};
use slacktide_engine::input::{CommandResult, DeviceFacts, Input, TelemetryBatch};
use slacktide_engine::journal::JournalMode;
use slacktide_engine::journal::entry::{Entry, Header, Line};
use slacktide_engine::rollout::AttemptState;
use slacktide_engine::time::{Instant, Span};
use std::collections::BTreeMap;

/// How one recorded update went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Course {
    /// From the command until the device was out of service.
    pub(crate) serving: Span,
    /// From then until its word.
    pub(crate) out: Span,
    pub(crate) succeeded: bool,
}

#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) header: Header,
    pub(crate) start: Instant,
    pub(crate) end: Instant,
    pub(crate) facts: Vec<DeviceFacts>,
    pub(crate) decisions: Vec<(Instant, Decision)>,
    /// Telemetry in order; a device that did not report is NaN.
    pub(crate) ticks: Vec<(Instant, Vec<Vec<f32>>)>,
    /// Who was out of service for an update at each tick.
    pub(crate) out: Vec<Vec<bool>>,
    pub(crate) courses: Vec<Course>,
    pub(crate) rollbacks: Vec<Span>,
    /// When each attempt began, and on whom.
    pub(crate) attempts: BTreeMap<AttemptId, (Instant, usize)>,
    /// The attempt of each command.
    pub(crate) commands: BTreeMap<CommandId, AttemptId>,
    /// What had not ended when the recording did.
    pub(crate) open: Open,
}

impl Recorded {
    pub(crate) fn read(lines: &[Line]) -> Result<Self, WhatIfError> {
        let Some(Entry::Header(header)) = lines.first().map(|line| &line.entry) else {
            return Err(WhatIfError::NoHeader);
        };
        if header.mode != JournalMode::Full {
            return Err(WhatIfError::DecisionsOnly);
        }
        let mut recorded = Self {
            header: (**header).clone(),
            start: lines[0].at,
            end: lines[lines.len() - 1].at,
            facts: Vec::new(),
            decisions: Vec::new(),
            ticks: Vec::new(),
            out: Vec::new(),
            courses: Vec::new(),
            rollbacks: Vec::new(),
            attempts: BTreeMap::new(),
            commands: BTreeMap::new(),
            open: Open::default(),
        };
        let mut open = Open::default();
        for line in lines {
            recorded.decisions.extend(Decision::of(&line.entry).map(|decision| (line.at, decision)));
            match &line.entry {
                Entry::Input { input } => recorded.take(line.at, input, &mut open),
                Entry::Batch { devices, first_command, first_attempt, .. } => {
                    for (i, device) in devices.iter().enumerate() {
                        let Some(d) = recorded.facts.iter().position(|facts| facts.id == *device) else { continue };
                        let attempt = AttemptId(first_attempt.0 + i as u64);
                        let command = CommandId(first_command.0 + i as u64);
                        recorded.attempts.insert(attempt, (line.at, d));
                        recorded.commands.insert(command, attempt);
                        open.commands.insert(command, (attempt, false, line.at));
                    }
                }
                Entry::Rollback { devices, first_command, .. } => {
                    for (i, device) in devices.iter().enumerate() {
                        let last = recorded.attempts.iter().rev().find(|(_, (_, d))| recorded.facts[*d].id == *device);
                        if let Some((attempt, (_, d))) = last {
                            let command = CommandId(first_command.0 + i as u64);
                            open.out.insert(*d, true);
                            open.commands.insert(command, (*attempt, true, line.at));
                            let attempt = *attempt;
                            recorded.commands.insert(command, attempt);
                        }
                    }
                }
                _ => {}
            }
        }
        recorded.open = open;
        if recorded.ticks.is_empty() {
            return Err(WhatIfError::Lacks("telemetry"));
        }
        Ok(recorded)
    }

    fn take(&mut self, at: Instant, input: &Input, open: &mut Open) {
        match input {
            Input::Enrolled { devices } => self.facts.extend(devices.iter().cloned()),
            Input::Telemetry(batch) => {
                self.ticks.push((at, self.columns(batch)));
                let out = (0..self.facts.len()).map(|d| open.out.get(&d) == Some(&true));
                self.out.push(out.collect());
            }
            Input::Progress { attempt, state } => {
                if let Some((_, d)) = self.attempts.get(attempt) {
                    open.out.insert(*d, state.is_out());
                }
                if *state == AttemptState::Draining {
                    open.drained.insert(*attempt, at);
                }
            }
            Input::Outcome { command, result } => {
                let Some((attempt, is_rollback, told)) = open.commands.remove(command) else { return };
                if let Some((_, d)) = self.attempts.get(&attempt) {
                    open.out.insert(*d, false);
                }
                self.learn(at, attempt, is_rollback, told, result, open);
            }
            _ => {}
        }
    }

    fn learn(
        &mut self,
        at: Instant,
        attempt: AttemptId,
        is_rollback: bool,
        told: Instant,
        result: &CommandResult,
        open: &Open,
    ) {
        let drained = open.drained.get(&attempt).copied();
        match (is_rollback, result) {
            (true, CommandResult::Succeeded) => self.rollbacks.push(at.since(told)),
            (false, CommandResult::Succeeded | CommandResult::Failed { .. }) => {
                if let Some(drained) = drained {
                    let succeeded = *result == CommandResult::Succeeded;
                    self.courses.push(Course { serving: drained.since(told), out: at.since(drained), succeeded });
                }
            }
            _ => {}
        }
    }

    /// A batch as whole columns.
    fn columns(&self, batch: &TelemetryBatch) -> Vec<Vec<f32>> {
        let Some(devices) = &batch.devices else { return batch.columns.clone() };
        let spread = |column: &Vec<f32>| {
            let mut whole = vec![f32::NAN; self.facts.len()];
            for (device, value) in devices.iter().zip(column) {
                if let Some(place) = whole.get_mut(device.index()) {
                    *place = *value;
                }
            }
            whole
        };
        batch.columns.iter().map(spread).collect()
    }
}

/// What is under way while a journal is read.
#[derive(Debug, Default)]
pub(crate) struct Open {
    drained: BTreeMap<AttemptId, Instant>,
    /// By command: its attempt, whether it is a rollback, and when it was told.
    pub(crate) commands: BTreeMap<CommandId, (AttemptId, bool, Instant)>,
    out: BTreeMap<usize, bool>,
}
