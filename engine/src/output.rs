//! What the engine says. Drain [`crate::Engine::poll_output`] until it says [`Output::Wake`].

use crate::ids::{AttemptId, CommandId, DeviceIndex, PlanNumber, RolloutId};
use crate::journal::Entry;
use crate::plan::WaitingOn;
use crate::time::Instant;
use crate::version::Version;

/// One output. A record of a decision always comes before the command it decided.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// For the journal; live it is durable before anything after it is carried out.
    Record(Box<Entry>),
    /// For a device.
    Command(Command),
    /// The driver fits these in parallel with [`crate::Engine::fit`] and hands back [`crate::Input::Forecasts`].
    Forecast(crate::forecasting::ForecastRequest),
    /// Nothing more to say until then. Always the last of a drain.
    Wake {
        /// When; `None` when nothing is due.
        at: Option<Instant>,
        /// Why.
        reason: WakeReason,
    },
}

/// Why the engine wants to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WakeReason {
    /// Nothing is due: waits for inputs.
    Idle,
    /// A slot begins: batches may be due.
    Slot,
    /// Forecasts are due.
    Forecast,
    /// A command has been silent too long.
    Timeout,
    /// A wave may open.
    Soak,
    /// A pause ends by itself.
    Resume,
}

/// Told to a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// To whom.
    pub device: DeviceIndex,
    /// What.
    pub kind: CommandKind,
}

/// Kinds of command. Those with a [`CommandId`] get exactly one outcome; the others are answers and get none.
#[derive(Debug, Clone, PartialEq)]
pub enum CommandKind {
    /// There is an update: ask when you can.
    Announce,
    /// Update now.
    Install {
        /// Gets one outcome.
        command: CommandId,
        /// The attempt.
        attempt: AttemptId,
        /// The plan it comes from; a device refuses a generation lower than the highest it has seen.
        generation: PlanNumber,
        /// The rollout whose package it is.
        rollout: RolloutId,
        /// What to install: the package's version, or that of one of its stepping stones.
        version: Version,
    },
    /// Go back to the release before.
    Rollback {
        /// Gets one outcome.
        command: CommandId,
        /// The attempt to take back.
        attempt: AttemptId,
        /// As for installs.
        generation: PlanNumber,
        /// What to go back to: what it ran before the attempt.
        version: Version,
    },
    /// Do not begin, if you have not taken yourself out yet. Its word is the outcome of the install it cancels.
    Cancel {
        /// The install to cancel.
        command: CommandId,
    },
    /// Not now.
    NotNow {
        /// Why.
        reason: WaitingOn,
        /// When to expect an offer, as far as can be said.
        earliest: Option<Instant>,
    },
}
