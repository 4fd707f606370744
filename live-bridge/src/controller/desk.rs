//! What people ask of the engine's thread: rollouts, the andon switch, a look.

use super::driver::Driver;
use crate::wire::{FleetStatus, RolloutStatus};
use slacktide_engine::Input;
use slacktide_engine::ids::RolloutId;
use slacktide_engine::input::OperatorAction;
use slacktide_engine::journal::Entry;
use slacktide_engine::rollout::{Package, RolloutEvent, RolloutState};
use slacktide_engine::time::Instant;
use std::collections::BTreeMap;
use tonic::Status;

/// Longest reason of a stop, in characters.
const REASON_MAX: usize = 500;
const STOPPED: &str = "stopped";
const CREATOR: &str = "creator.";

/// A wish.
#[derive(Debug)]
pub(super) enum Ask {
    Create { package: Box<Package>, priority: u8, sign_off: String },
    Approve(RolloutId),
    Start { rollout: RolloutId, sign_off: String },
    Pause(RolloutId),
    Resume(RolloutId),
    Abort(RolloutId),
    Stop { reason: String },
    Release,
    Look { with_devices: bool },
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Answer {
    Rollout(RolloutStatus),
    Fleet(Box<FleetStatus>),
}

/// What is kept about people beside the engine.
#[derive(Debug, Default)]
pub(super) struct Desk {
    two_persons: bool,
    stopped: Option<String>,
    creators: BTreeMap<RolloutId, String>,
}

impl Desk {
    /// From what the store remembers.
    pub(super) fn new(two_persons: bool, meta: &BTreeMap<String, String>) -> Self {
        let creator =
            |(key, name): (&String, &String)| Some((RolloutId(key.strip_prefix(CREATOR)?.parse().ok()?), name.clone()));
        Self { two_persons, stopped: meta.get(STOPPED).cloned(), creators: meta.iter().filter_map(creator).collect() }
    }

    /// Who created a rollout.
    pub(super) fn creator(&self, rollout: RolloutId) -> Option<&str> {
        self.creators.get(&rollout).map(String::as_str)
    }

    pub(super) fn stopped(&self) -> Option<&str> {
        self.stopped.as_deref()
    }
}

impl Driver {
    /// Does what a person asks, or says why not.
    pub(super) fn answer(&mut self, now: Instant, ask: Ask, by: &str) -> Result<Answer, Status> {
        match ask {
            Ask::Create { package, priority, sign_off } => self.create(now, *package, priority, &sign_off, by),
            Ask::Approve(rollout) => {
                if self.desk.two_persons && self.desk.creators.get(&rollout).is_some_and(|creator| creator == by) {
                    self.metrics.refused("two-persons");
                    let why = format!("{by} created rollout {rollout}, so somebody else must approve it");
                    return Err(Status::permission_denied(why));
                }
                self.act(now, rollout, RolloutEvent::Approve, OperatorAction::Approve { rollout }, by)
            }
            Ask::Start { rollout, sign_off } => {
                self.refuse_while_stopped("start")?;
                self.may_start(now, rollout, &sign_off, by)?;
                self.act(now, rollout, RolloutEvent::Start, OperatorAction::Start { rollout }, by)
            }
            Ask::Pause(rollout) => self.act(now, rollout, RolloutEvent::Pause, OperatorAction::Pause { rollout }, by),
            Ask::Resume(rollout) => {
                self.refuse_while_stopped("resume")?;
                self.act(now, rollout, RolloutEvent::Resume, OperatorAction::Resume { rollout }, by)
            }
            Ask::Abort(rollout) => self.act(now, rollout, RolloutEvent::Abort, OperatorAction::Abort { rollout }, by),
            Ask::Stop { reason } => {
                let reason: String = reason.chars().take(REASON_MAX).collect();
                let reason = if reason.is_empty() { format!("by {by}") } else { format!("{reason} (by {by})") };
                tracing::warn!(by, reason, "everything is stopped");
                self.meta.push((STOPPED.to_owned(), Some(reason.clone())));
                self.desk.stopped = Some(reason);
                self.hold_the_stop(now);
                Ok(self.fleet_status(now, false))
            }
            Ask::Release => {
                tracing::warn!(by, "the stop is released; rollouts stay paused until they are resumed");
                self.meta.push((STOPPED.to_owned(), None));
                self.desk.stopped = None;
                Ok(self.fleet_status(now, false))
            }
            Ask::Look { with_devices } => Ok(self.fleet_status(now, with_devices)),
        }
    }

    fn fleet_status(&self, now: Instant, with_devices: bool) -> Answer {
        let stopped = self.desk.stopped();
        Answer::Fleet(Box::new(self.board.status(&self.engine, &self.registry, stopped, now, with_devices)))
    }

    fn refuse_while_stopped(&self, verb: &str) -> Result<(), Status> {
        let Some(reason) = self.desk.stopped() else { return Ok(()) };
        self.metrics.refused("stopped");
        Err(Status::failed_precondition(format!(
            "everything is stopped: {reason}; release the stop before anything may {verb}"
        )))
    }

    /// While everything is stopped nothing runs, whatever the policy would resume by itself.
    pub(super) fn hold_the_stop(&mut self, now: Instant) {
        if self.desk.stopped.is_none() {
            return;
        }
        let running: Vec<RolloutId> = self
            .engine
            .rollouts()
            .filter(|(_, state)| *state == RolloutState::Running)
            .map(|(rollout, _)| rollout)
            .collect();
        for rollout in running {
            self.hand_in(now, Input::Operator(OperatorAction::Pause { rollout }));
        }
    }

    fn create(
        &mut self,
        now: Instant,
        package: Package,
        priority: u8,
        sign_off: &str,
        by: &str,
    ) -> Result<Answer, Status> {
        self.is_for_somebody(&package)?;
        let sign_off = if sign_off.is_empty() { None } else { Some(self.check_sign_off(now, &package, sign_off)?) };
        let before = self.engine.rollouts().count();
        let (name, version) = (package.name.clone(), package.version);
        let first = self.lines.len();
        self.hand_in(now, Input::Operator(OperatorAction::Create { package, priority }));
        let rollout = RolloutId(before as u32);
        if self.engine.rollout_state(rollout).is_none() {
            return Err(Status::failed_precondition(self.ignored_since(first)));
        }
        tracing::info!(by, rollout = rollout.0, package = name, version = %version, "rollout created");
        self.meta.push((format!("{CREATOR}{rollout}"), Some(by.to_owned())));
        self.desk.creators.insert(rollout, by.to_owned());
        if let Some(sign_off) = sign_off {
            self.hand_in(now, Input::Operator(OperatorAction::SignOff { rollout, sign_off }));
        }
        self.rollout_status(now, rollout)
    }

    fn act(
        &mut self,
        now: Instant,
        rollout: RolloutId,
        event: RolloutEvent,
        action: OperatorAction,
        by: &str,
    ) -> Result<Answer, Status> {
        let Some(state) = self.engine.rollout_state(rollout) else {
            return Err(Status::not_found(format!("there is no rollout {rollout}")));
        };
        if state.after(event).is_none() {
            let verb = format!("{event:?}").to_lowercase();
            return Err(Status::failed_precondition(format!("rollout {rollout} is {state}: it cannot {verb}")));
        }
        tracing::info!(by, rollout = rollout.0, ?event, "a person decides");
        let first = self.lines.len();
        self.hand_in(now, Input::Operator(action));
        if self.was_ignored_since(first) {
            return Err(Status::failed_precondition(self.ignored_since(first)));
        }
        self.rollout_status(now, rollout)
    }

    fn rollout_status(&self, now: Instant, rollout: RolloutId) -> Result<Answer, Status> {
        let status = self.board.rollout(&self.engine, rollout, now);
        status.map(Answer::Rollout).ok_or_else(|| Status::not_found(format!("there is no rollout {rollout}")))
    }

    fn ignored(&self, first: usize) -> Option<String> {
        let entries = self.lines.iter().skip(first);
        entries.filter_map(|(_, line)| serde_json::from_str(line).ok()).find_map(
            |line: slacktide_engine::journal::Line| match line.entry {
                Entry::Ignored { reason } => Some(reason),
                _ => None,
            },
        )
    }

    fn was_ignored_since(&self, first: usize) -> bool {
        self.ignored(first).is_some()
    }

    fn ignored_since(&self, first: usize) -> String {
        self.ignored(first).unwrap_or_else(|| "the engine refuses it".to_owned())
    }
}
