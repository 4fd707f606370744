//! What a device must not forget: how far its numbers are used, whom it obeyed, the attempt under way, and what it answered.

use serde::{Deserialize, Serialize};
use slacktide_engine::version::Version;

/// Answers that are kept, so that a command that comes again is answered and not carried out again.
pub const ANSWERS_MAX: usize = 256;
/// Longest reason that is sent, in bytes; the end of a script's output is what tells most.
pub const REASON_BYTES_MAX: usize = 2048;

/// The whole of it. One file; see `disk`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Numbers up to this one may have been used for messages; a new start goes on after it.
    pub reserved: u64,
    /// The highest generation of a plan that was obeyed.
    pub generation: u64,
    /// The highest epoch of a controller that was heard.
    pub epoch: u64,
    /// What is being carried out.
    pub work: Option<Work>,
    /// A rollback that waits until `work` has ended.
    pub next: Option<Work>,
    /// The last commands and what came of them, oldest first.
    pub answers: Vec<Answer>,
}

/// One of the two places a release can be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
}

impl Slot {
    /// Name of its folder.
    pub const fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// One command that is being carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// Its number; it gets exactly one outcome.
    pub command: u64,
    /// The attempt it belongs to.
    pub attempt: u64,
    /// What to do.
    pub kind: Kind,
    /// The release to get to.
    pub version: String,
    /// When to give up: milliseconds since the Unix epoch by this device's clock.
    pub deadline_ms: i64,
    /// The time it was given, milliseconds: no clock that was set back makes it longer.
    pub timeout_ms: u64,
    /// Where it stands.
    pub phase: Phase,
    /// The script of this phase has been started, or was about to be. After a power loss it is not started again.
    pub begun: bool,
    /// Called off.
    pub cancel: bool,
    /// The slot that was active before; none on a device that never had a release from here.
    pub from: Option<Slot>,
    /// The slot the release goes to; set once it is in `draining`.
    pub to: Option<Slot>,
    /// Scripts of the release; set once the package has been checked.
    pub scripts: Option<Scripts>,
    /// Why it goes back.
    pub failure: Option<String>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Kind {
    /// Bring this package onto the device.
    Install {
        /// Its name.
        package: String,
        /// SHA-256 of the archive, hexadecimal, where the controller binds to one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
    },
    /// Go back to the release before.
    Rollback,
}

/// Where an attempt stands. The names are those of the engine's states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Taken on.
    Queued,
    /// Fetching the package and checking it.
    Downloading,
    /// Checked and unpacked beside the slots.
    Downloaded,
    /// Asks the package's own check.
    Precheck,
    /// Hands its load over: out of service, and no way to cancel, from here on.
    Draining,
    /// Runs the installation script.
    Installing,
    /// Makes the new slot the active one.
    Rebooting,
    /// Checks its health.
    Verifying,
    /// The new release stays.
    Committed,
    /// Back to the slot before.
    RollingBack,
}

impl Phase {
    /// All, in the order of their course.
    pub const ALL: [Self; 10] = [
        Self::Queued,
        Self::Downloading,
        Self::Downloaded,
        Self::Precheck,
        Self::Draining,
        Self::Installing,
        Self::Rebooting,
        Self::Verifying,
        Self::Committed,
        Self::RollingBack,
    ];

    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Downloading => "downloading",
            Self::Downloaded => "downloaded",
            Self::Precheck => "precheck",
            Self::Draining => "draining",
            Self::Installing => "installing",
            Self::Rebooting => "rebooting",
            Self::Verifying => "verifying",
            Self::Committed => "committed",
            Self::RollingBack => "rolling_back",
        }
    }
}

/// What a release brings to be run, as paths inside it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scripts {
    /// May this device be updated now?
    pub precheck: Option<Script>,
    /// Moves work away.
    pub drain: Option<Script>,
    /// Installs.
    pub install: Option<Script>,
    /// Does the device do its work on this release? May be run any number of times.
    pub health: Option<Script>,
}

/// A script of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Path inside the release.
    pub path: String,
    /// It is ended after this long, milliseconds.
    pub time_limit_ms: u64,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The command.
    pub command: u64,
    /// What came of it.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
    /// The release the device ran then.
    pub version: String,
    /// When: milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Number of the message that says so.
    pub sequence: u64,
    /// The controller has stored that message.
    pub stored: bool,
}

/// What came of a command, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Done.
    Succeeded,
    /// Tried; the device runs what it ran before.
    Failed,
    /// Not tried.
    Rejected,
    /// Nothing to do.
    AlreadyCurrent,
    /// Called off in time.
    Canceled,
}

/// Are these the same release? `2.4` and `2.4.0` are; what is no version is only the same as itself.
pub fn same_version(a: &str, b: &str) -> bool {
    match (a.parse::<Version>(), b.parse::<Version>()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

impl State {
    /// The answer to a command, if it is remembered.
    pub fn answer(&self, command: u64) -> Option<&Answer> {
        self.answers.iter().find(|a| a.command == command)
    }

    /// Remembers an answer; of those that the controller has stored the oldest go when there are too many.
    pub fn remember(&mut self, answer: Answer) {
        self.answers.retain(|a| a.command != answer.command);
        self.answers.push(answer);
        while self.answers.len() > ANSWERS_MAX {
            let Some(oldest) = self.answers.iter().position(|a| a.stored) else { break };
            self.answers.remove(oldest);
        }
    }
}

impl Work {
    /// Time left at `now_ms`, milliseconds; never more than was given.
    pub fn left_ms(&self, now_ms: i64) -> u64 {
        u64::try_from(self.deadline_ms.saturating_sub(now_ms)).unwrap_or(0).min(self.timeout_ms)
    }

    /// May it still be called off?
    pub fn can_be_cancelled(&self) -> bool {
        matches!(self.kind, Kind::Install { .. }) && self.phase < Phase::Draining
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slacktide_engine::rollout::AttemptState;

    #[test]
    fn phases_have_the_names_of_the_engines_states() {
        for phase in Phase::ALL {
            assert!(AttemptState::ALL.iter().any(|s| s.name() == phase.name()), "{}", phase.name());
        }
    }

    #[test]
    fn answers_are_bounded_and_those_not_stored_stay() {
        let mut state = State::default();
        for command in 0..1000 {
            let answer = Answer {
                command,
                verdict: Verdict::Failed,
                reason: String::new(),
                version: String::new(),
                at_ms: 0,
                sequence: command,
                stored: command != 3,
            };
            state.remember(answer);
        }
        assert_eq!(state.answers.len(), ANSWERS_MAX);
        assert!(state.answer(3).is_some() && state.answer(4).is_none() && state.answer(999).is_some());
    }

    #[test]
    fn a_clock_that_was_set_back_gives_no_more_time() {
        let work = Work {
            command: 1,
            attempt: 1,
            kind: Kind::Rollback,
            version: "1".into(),
            deadline_ms: 10_000,
            timeout_ms: 4_000,
            phase: Phase::Queued,
            begun: false,
            cancel: false,
            from: None,
            to: None,
            scripts: None,
            failure: None,
        };
        assert_eq!((work.left_ms(9_000), work.left_ms(0), work.left_ms(20_000)), (1_000, 4_000, 0));
    }
}
