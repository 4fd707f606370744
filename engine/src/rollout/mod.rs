//! A rollout and its attempts: the states, and one table of all edges each.

mod attempt;
pub mod file;
mod package;

pub use attempt::{AttemptEvent, AttemptState};
pub use package::{Hop, LeftOut, Package, Stone};

use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutState {
    /// Being put together.
    Draft,
    /// Needs a person's consent.
    WaitingForApproval,
    /// Has it.
    Ready,
    /// Begins by itself at its time.
    Scheduled,
    /// Batches go out.
    Running,
    /// Nothing new goes out; the cause is in the journal.
    Paused,
    /// Told to stop for good; what is in flight comes home.
    Aborting,
    /// Devices are being taken back.
    RollingBack,
    /// End: every device it could reach is on the release.
    Finished,
    /// End: taken back.
    RolledBack,
    /// End: stopped with devices left as they are.
    Stopped,
}

/// What moves a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutEvent {
    /// The draft is complete.
    Submit,
    /// A person consents.
    Approve,
    /// A start time is set.
    Schedule,
    /// It begins.
    Start,
    /// Hold.
    Pause,
    /// Go on.
    Resume,
    /// Stop for good.
    Abort,
    /// Take devices back.
    RollBack,
    /// Taking back is over and the rollout may go on later.
    Restored,
    /// Taking back is over and so is the rollout.
    TakenBack,
    /// Nothing is left to do.
    Finish,
    /// Over, with devices left as they are.
    Stop,
}

impl RolloutState {
    /// Every state, in the order of the type.
    pub const ALL: [Self; 11] = [
        Self::Draft,
        Self::WaitingForApproval,
        Self::Ready,
        Self::Scheduled,
        Self::Running,
        Self::Paused,
        Self::Aborting,
        Self::RollingBack,
        Self::Finished,
        Self::RolledBack,
        Self::Stopped,
    ];

    /// All edges there are; what is not here is refused.
    pub const EDGES: [(Self, RolloutEvent, Self); 24] = [
        (Self::Draft, RolloutEvent::Submit, Self::WaitingForApproval),
        (Self::Draft, RolloutEvent::Abort, Self::Stopped),
        (Self::WaitingForApproval, RolloutEvent::Approve, Self::Ready),
        (Self::WaitingForApproval, RolloutEvent::Abort, Self::Stopped),
        (Self::Ready, RolloutEvent::Schedule, Self::Scheduled),
        (Self::Ready, RolloutEvent::Start, Self::Running),
        (Self::Ready, RolloutEvent::Abort, Self::Stopped),
        (Self::Scheduled, RolloutEvent::Start, Self::Running),
        (Self::Scheduled, RolloutEvent::Abort, Self::Stopped),
        (Self::Running, RolloutEvent::Pause, Self::Paused),
        (Self::Running, RolloutEvent::Abort, Self::Aborting),
        (Self::Running, RolloutEvent::RollBack, Self::RollingBack),
        (Self::Running, RolloutEvent::Finish, Self::Finished),
        (Self::Running, RolloutEvent::Stop, Self::Stopped),
        (Self::Paused, RolloutEvent::Resume, Self::Running),
        (Self::Paused, RolloutEvent::Abort, Self::Aborting),
        (Self::Paused, RolloutEvent::RollBack, Self::RollingBack),
        (Self::Paused, RolloutEvent::Stop, Self::Stopped),
        (Self::Aborting, RolloutEvent::RollBack, Self::RollingBack),
        (Self::Aborting, RolloutEvent::Stop, Self::Stopped),
        (Self::RollingBack, RolloutEvent::Abort, Self::RollingBack),
        (Self::RollingBack, RolloutEvent::Restored, Self::Paused),
        (Self::RollingBack, RolloutEvent::TakenBack, Self::RolledBack),
        (Self::RollingBack, RolloutEvent::Stop, Self::Stopped),
    ];

    /// Where `event` leads from here; `None` when there is no such edge.
    pub fn after(self, event: RolloutEvent) -> Option<Self> {
        Self::EDGES.iter().find(|(from, by, _)| *from == self && *by == event).map(|(_, _, to)| *to)
    }

    /// Is this the end?
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Finished | Self::RolledBack | Self::Stopped)
    }

    /// Did it end otherwise than by bringing its release?
    pub const fn is_unhappy_end(self) -> bool {
        matches!(self, Self::RolledBack | Self::Stopped)
    }

    /// May devices be touched because of this rollout?
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Aborting | Self::RollingBack)
    }

    /// Its name, as in the journal.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::WaitingForApproval => "waiting_for_approval",
            Self::Ready => "ready",
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Aborting => "aborting",
            Self::RollingBack => "rolling_back",
            Self::Finished => "finished",
            Self::RolledBack => "rolled_back",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for RolloutState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a rollout was paused or stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A person said so.
    Operator,
    /// Too many failed installs.
    FailureThreshold,
    /// Capacity is below its critical threshold now.
    CapacityFloor,
    /// Capacity will be below its critical threshold within the lookahead.
    ForecastBreach,
    /// Updated devices do worse than their pool-mates.
    BadRelease,
    /// No maintenance window is open and none will be.
    WindowClosed,
    /// Too little is known of the fleet now.
    StaleTelemetry,
    /// The rollout's time is up.
    RolloutTimeout,
    /// Devices could not be taken back and need a person.
    RollbackIncomplete,
    /// It has left what was simulated and signed.
    Divergence,
}

impl Cause {
    /// Its name, as in the journal.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::FailureThreshold => "failure-threshold",
            Self::CapacityFloor => "capacity-floor",
            Self::ForecastBreach => "forecast-breach",
            Self::BadRelease => "bad-release",
            Self::WindowClosed => "window-closed",
            Self::StaleTelemetry => "stale-telemetry",
            Self::RolloutTimeout => "rollout-timeout",
            Self::RollbackIncomplete => "rollback-incomplete",
            Self::Divergence => "divergence",
        }
    }
}

/// Why a device is not taken back yet. The numbers are those the rule was judged by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "held_by", rename_all = "kebab-case")]
pub enum HoldReason {
    /// Its pool cannot spare it now.
    PoolCapacity {
        /// Its weight.
        weight: f64,
        /// What its pool can spare for as long as a device is out.
        spare: f64,
    },
    /// As many members of its pool are out as may be.
    PoolOutMax,
    /// As many devices of its region are out as may be.
    RegionOutMax,
    /// Too little is heard of its pool to say what it can spare.
    StaleTelemetry,
    /// Another rollout has an attempt on it under way; what comes of that decides whether it goes back at all.
    OtherRollout,
}

impl HoldReason {
    /// Its short name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::PoolCapacity { .. } => "pool-capacity",
            Self::PoolOutMax => "pool-out-max",
            Self::RegionOutMax => "region-out-max",
            Self::StaleTelemetry => "stale-telemetry",
            Self::OtherRollout => "other-rollout",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_reached_and_every_state_but_an_end_is_left() {
        for state in RolloutState::ALL {
            let reached = RolloutState::EDGES.iter().any(|(from, _, to)| *to == state && *from != state);
            let left = RolloutState::EDGES.iter().any(|(from, _, _)| *from == state);
            assert_eq!(reached, state != RolloutState::Draft, "{state} reached");
            assert_eq!(left, !state.is_end(), "{state} left");
        }
    }

    #[test]
    fn no_two_edges_disagree() {
        for (i, (from, by, _)) in RolloutState::EDGES.iter().enumerate() {
            assert!(!RolloutState::EDGES[i + 1..].iter().any(|(f, b, _)| f == from && b == by), "{from} {by:?}");
        }
    }

    #[test]
    fn every_state_leads_to_an_end() {
        let mut ends: Vec<RolloutState> = RolloutState::ALL.into_iter().filter(|s| s.is_end()).collect();
        loop {
            let more = RolloutState::EDGES.iter().find(|(from, _, to)| ends.contains(to) && !ends.contains(from));
            let Some((from, _, _)) = more else { break };
            ends.push(*from);
        }
        assert_eq!(ends.len(), RolloutState::ALL.len());
    }
}
