//! Promises about the course of a rollout: who gives commands and in what order, what becomes of answers, on what a plan rests, and that
//! every pause ends. Reckoned from what the driver hands in and what leaves the engine.

use slacktide_engine::ids::{AttemptId, CommandId, PlanNumber, RolloutId};
use slacktide_engine::input::CommandResult;
use slacktide_engine::journal::entry::Entry;
use slacktide_engine::policy::{Basis, Policy};
use slacktide_engine::rollout::{AttemptState, Cause, RolloutState};
use slacktide_engine::time::{Instant, Span};
use slacktide_scenarios::Scenario;
use std::collections::{BTreeMap, BTreeSet};

/// What has been seen of the course.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    states: BTreeMap<RolloutId, Stand>,
    targets: BTreeMap<RolloutId, u32>,
    /// Commands that a record has named.
    recorded: std::ops::Range<u64>,
    generation: PlanNumber,
    /// When forecasts last came into force; time without a controller does not count.
    forecast_at: Option<Instant>,
    /// The batch under way: its moment, devices, requirement.
    batch: Option<(Instant, u32, f64)>,
    commands: BTreeMap<u64, AttemptId>,
    /// By attempt: its last command, and what the device said to it.
    answers: BTreeMap<AttemptId, (u64, Option<CommandResult>)>,
    /// Attempts that were told to go back.
    going_back: BTreeSet<AttemptId>,
    down_since: Option<Instant>,
    /// Time without a controller so far.
    down: Span,
}

/// Where a rollout stands.
#[derive(Debug, Clone, Copy)]
struct Stand {
    state: RolloutState,
    since: Instant,
    cause: Option<Cause>,
    down_before: Span,
}

/// One install command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    pub(crate) command: CommandId,
    pub(crate) attempt: AttemptId,
    pub(crate) generation: PlanNumber,
    pub(crate) rollout: RolloutId,
    pub(crate) requirement: f64,
}

impl Promises {
    /// A device is told to install. Says what that breaks.
    pub(crate) fn install(&mut self, now: Instant, told: Told, policy: &Policy) -> Option<String> {
        let Told { command, attempt, generation, rollout, requirement } = told;
        self.ordered(command, attempt);
        let state = self.states.get(&rollout).map(|stand| stand.state);
        if state != Some(RolloutState::Running) {
            let state = state.map_or("unknown", RolloutState::name);
            return Some(format!("{now}: command {command} is of rollout {rollout}, which is {state}"));
        }
        if !self.recorded.contains(&command.0) {
            return Some(format!("{now}: command {command} left before any record of it"));
        }
        if generation < self.generation {
            return Some(format!("{now}: generation {generation} came after {}", self.generation));
        }
        self.generation = generation;
        self.on_fresh_forecasts(now, policy).or_else(|| self.within_batch(now, requirement, policy))
    }

    /// A device is told to go back.
    pub(crate) fn rollback(&mut self, command: CommandId, attempt: AttemptId) {
        self.ordered(command, attempt);
        self.going_back.insert(attempt);
    }

    fn ordered(&mut self, command: CommandId, attempt: AttemptId) {
        self.commands.insert(command.0, attempt);
        self.answers.insert(attempt, (command.0, None));
    }

    /// Nobody goes by a forecast that should have been replaced by a newer one.
    fn on_fresh_forecasts(&self, now: Instant, policy: &Policy) -> Option<String> {
        if policy.plan.basis != Basis::Forecast {
            return None;
        }
        let age = self.forecast_at.map(|at| now.since(at));
        if age.is_some_and(|age| age <= policy.forecast.every + policy.plan.slot) {
            return None;
        }
        let age = age.map_or_else(|| "missing".to_owned(), |age| format!("{age} old"));
        Some(format!(
            "{now}: a device was told to install by a forecast that is {age}, {} apart",
            policy.forecast.every
        ))
    }

    fn within_batch(&mut self, now: Instant, requirement: f64, policy: &Policy) -> Option<String> {
        let (mut devices, mut sum) = (0, 0.0);
        if let Some((at, count, before)) = self.batch.filter(|(at, ..)| *at == now) {
            debug_assert_eq!(at, now);
            (devices, sum) = (count, before);
        }
        (devices, sum) = (devices + 1, sum + requirement);
        self.batch = Some((now, devices, sum));
        let rules = &policy.plan;
        let running = self.states.iter().filter(|(_, stand)| stand.state == RolloutState::Running);
        let targets = running.filter_map(|(rollout, _)| self.targets.get(rollout)).max().copied().unwrap_or(0);
        if rules.batch_devices_max.of(targets).is_some_and(|max| devices > max) {
            return Some(format!("{now}: a batch has {devices} devices of {targets}"));
        }
        let is_heavy = rules.batch_requirement_max.is_some_and(|max| sum > max * (1.0 + 1e-9) + 1e-9);
        is_heavy.then(|| format!("{now}: a batch requires {sum} points"))
    }

    /// A device has answered a command, and the engine hears it.
    pub(crate) fn answered(&mut self, command: u64, result: &CommandResult) {
        let Some(attempt) = self.commands.get(&command) else { return };
        if let Some((last, answer)) = self.answers.get_mut(attempt)
            && *last == command
        {
            *answer = Some(result.clone());
        }
    }

    /// The engine says how an attempt has ended: silence is no answer where there was one.
    pub(crate) fn settled(&self, now: Instant, attempt: AttemptId, end: AttemptState) -> Option<String> {
        let (command, answer) = self.answers.get(&attempt)?;
        let answer = answer.as_ref()?;
        let is_lost = end == AttemptState::TimedOut
            || end == AttemptState::RollbackFailed
                && *answer == CommandResult::Succeeded
                && self.going_back.contains(&attempt);
        is_lost.then(|| {
            format!("{now}: the answer to command {command} was lost: it was {answer:?}, the engine says {end}")
        })
    }

    /// A record leaves the engine.
    pub(crate) fn record(
        &mut self,
        now: Instant,
        entry: &Entry,
        policy: &Policy,
        scenario: &Scenario,
    ) -> Option<String> {
        match entry {
            Entry::Fleet { rollout, targets, .. } => {
                self.targets.insert(*rollout, *targets);
            }
            Entry::Batch { first_command, devices, .. } => {
                self.recorded = first_command.0..first_command.0 + devices.len() as u64;
            }
            Entry::Forecast(_) => self.forecast_at = Some(now),
            Entry::Rollout { rollout, to, cause, .. } => {
                let broken = self.long_pause(now, *rollout, policy, scenario);
                self.states.insert(*rollout, Stand { state: *to, since: now, cause: *cause, down_before: self.down });
                return broken;
            }
            _ => {}
        }
        None
    }

    /// Was a rollout paused for longer than the policy and the person in the loop let it be? Telemetry that is missing may be missing for ever.
    fn long_pause(&self, now: Instant, rollout: RolloutId, policy: &Policy, scenario: &Scenario) -> Option<String> {
        let stand = self.states.get(&rollout)?;
        if stand.state != RolloutState::Paused || stand.cause == Some(Cause::StaleTelemetry) {
            return None;
        }
        let person = scenario.operator.resumes_after.unwrap_or(Span::from_secs(3600));
        let down = self.down.saturating_sub(stand.down_before);
        let most = person.max(policy.rollback.resume_after.unwrap_or(Span::ZERO)) + policy.plan.slot + down;
        let paused = now.since(stand.since);
        (paused > most)
            .then(|| format!("{now}: rollout {rollout} was paused for {paused}; {most} should have been enough"))
    }

    /// The controller dies.
    pub(crate) const fn dies(&mut self, now: Instant) {
        self.down_since = Some(now);
    }

    /// It is back.
    pub(crate) fn is_back(&mut self, now: Instant) {
        let down = self.down_since.take().map_or(Span::ZERO, |since| now.since(since));
        self.down = self.down + down;
        self.forecast_at = self.forecast_at.map(|at| at + down);
    }
}
