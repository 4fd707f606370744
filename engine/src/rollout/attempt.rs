//! One try to bring one device to one release.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Where an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptState {
    /// Has a place in a batch that is about to go.
    Queued,
    /// The command has left the engine.
    Dispatched,
    /// Fetching the package, still in service.
    Downloading,
    /// Has it and has verified it.
    Downloaded,
    /// Checks whether it may.
    Precheck,
    /// Hands its load over: out of service from here on.
    Draining,
    /// Runs the installation script.
    Installing,
    /// Restarts.
    Rebooting,
    /// Checks its health.
    Verifying,
    /// The new release is made lasting.
    Committed,
    /// Goes back to the release before.
    RollingBack,
    /// End: on the new release.
    Succeeded,
    /// End: tried and failed, on the old release.
    Failed,
    /// End: no word in time; what it runs is not known.
    TimedOut,
    /// End: the device would not.
    Rejected,
    /// End: called off before it took the device out.
    Canceled,
    /// End: nothing to do.
    AlreadyCurrent,
    /// End: the device left the fleet.
    Removed,
    /// End: taken back.
    RolledBack,
    /// End: could not be taken back; needs a person.
    RollbackFailed,
}

/// What moves an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AttemptEvent {
    /// The engine sends the command.
    Dispatch,
    /// The device says where it is.
    Reach(AttemptState),
    /// Done.
    Succeed,
    /// Tried and failed.
    Fail,
    /// Would not.
    Reject,
    /// Called off.
    Cancel,
    /// Nothing to do.
    AlreadyCurrent,
    /// Silence.
    TimeOut,
    /// The device left.
    Remove,
    /// The engine takes it back.
    RollBack,
}

/// The course of an attempt in which every device goes forward; a later state may be reported without the ones between,
/// since reports get lost.
const COURSE: [AttemptState; 9] = [
    AttemptState::Dispatched,
    AttemptState::Downloading,
    AttemptState::Downloaded,
    AttemptState::Precheck,
    AttemptState::Draining,
    AttemptState::Installing,
    AttemptState::Rebooting,
    AttemptState::Verifying,
    AttemptState::Committed,
];

impl AttemptState {
    /// Every state, in the order of the type.
    pub const ALL: [Self; 20] = [
        Self::Queued,
        Self::Dispatched,
        Self::Downloading,
        Self::Downloaded,
        Self::Precheck,
        Self::Draining,
        Self::Installing,
        Self::Rebooting,
        Self::Verifying,
        Self::Committed,
        Self::RollingBack,
        Self::Succeeded,
        Self::Failed,
        Self::TimedOut,
        Self::Rejected,
        Self::Canceled,
        Self::AlreadyCurrent,
        Self::Removed,
        Self::RolledBack,
        Self::RollbackFailed,
    ];

    /// Where `event` leads from here; `None` when there is no such edge: a late, repeated or contradictory report.
    ///
    /// The whole table: forward along the course (steps may be skipped); from anywhere on it to the ends a device can name;
    /// rollback from success, from silence, from a failure (a device may run the release it failed at) and from the course; nothing out of
    /// an end otherwise.
    pub fn after(self, event: AttemptEvent) -> Option<Self> {
        use AttemptEvent as E;
        let step = COURSE.iter().position(|s| *s == self);
        match (self, event) {
            (Self::Queued, E::Dispatch) => Some(Self::Dispatched),
            (Self::Queued, E::Cancel) => Some(Self::Canceled),
            (_, E::Reach(to)) => {
                let target = COURSE.iter().position(|s| *s == to)?;
                (target > step?).then_some(to)
            }
            (_, E::Succeed) if step.is_some() => Some(Self::Succeeded),
            (_, E::Fail) if step.is_some() => Some(Self::Failed),
            (_, E::Reject) if step.is_some() && !self.is_out() => Some(Self::Rejected),
            (_, E::Cancel) if step.is_some() && !self.is_out() => Some(Self::Canceled),
            (Self::Dispatched | Self::Downloading | Self::Downloaded | Self::Precheck, E::AlreadyCurrent) => {
                Some(Self::AlreadyCurrent)
            }
            (_, E::TimeOut) if step.is_some() => Some(Self::TimedOut),
            (_, E::RollBack) if step.is_some() => Some(Self::RollingBack),
            (Self::Succeeded | Self::TimedOut | Self::Failed, E::RollBack) => Some(Self::RollingBack),
            (Self::RollingBack, E::Succeed | E::AlreadyCurrent) => Some(Self::RolledBack),
            (Self::RollingBack, E::Fail | E::Reject | E::TimeOut | E::Cancel) => Some(Self::RollbackFailed),
            (_, E::Remove) if !self.is_end() => Some(Self::Removed),
            _ => None,
        }
    }

    /// Is this an end? ([`Self::Succeeded`], [`Self::TimedOut`] and [`Self::Failed`] can still be taken back.)
    pub const fn is_end(self) -> bool {
        matches!(
            self,
            Self::Succeeded
                | Self::Failed
                | Self::TimedOut
                | Self::Rejected
                | Self::Canceled
                | Self::AlreadyCurrent
                | Self::Removed
                | Self::RolledBack
                | Self::RollbackFailed
        )
    }

    /// Is the device out of service?
    pub const fn is_out(self) -> bool {
        matches!(
            self,
            Self::Draining | Self::Installing | Self::Rebooting | Self::Verifying | Self::Committed | Self::RollingBack
        )
    }

    /// Its name, as in the journal.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Dispatched => "dispatched",
            Self::Downloading => "downloading",
            Self::Downloaded => "downloaded",
            Self::Precheck => "precheck",
            Self::Draining => "draining",
            Self::Installing => "installing",
            Self::Rebooting => "rebooting",
            Self::Verifying => "verifying",
            Self::Committed => "committed",
            Self::RollingBack => "rolling_back",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Rejected => "rejected",
            Self::Canceled => "canceled",
            Self::AlreadyCurrent => "already_current",
            Self::Removed => "removed",
            Self::RolledBack => "rolled_back",
            Self::RollbackFailed => "rollback_failed",
        }
    }
}

impl fmt::Display for AttemptState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events() -> Vec<AttemptEvent> {
        use AttemptEvent as E;
        let mut all = vec![
            E::Dispatch,
            E::Succeed,
            E::Fail,
            E::Reject,
            E::Cancel,
            E::AlreadyCurrent,
            E::TimeOut,
            E::Remove,
            E::RollBack,
        ];
        all.extend(AttemptState::ALL.map(E::Reach));
        all
    }

    #[test]
    fn ends_stay_ends_but_for_rollback() {
        for state in AttemptState::ALL.into_iter().filter(|s| s.is_end()) {
            for event in events() {
                let after = state.after(event);
                let may = event == AttemptEvent::RollBack
                    && matches!(state, AttemptState::Succeeded | AttemptState::TimedOut | AttemptState::Failed);
                assert_eq!(after, may.then_some(AttemptState::RollingBack), "{state} {event:?}");
            }
        }
    }

    #[test]
    fn the_course_only_goes_forward_and_a_repeat_is_no_edge() {
        for (i, from) in COURSE.iter().enumerate() {
            for (j, to) in COURSE.iter().enumerate() {
                assert_eq!(from.after(AttemptEvent::Reach(*to)), (j > i).then_some(*to));
            }
        }
    }

    #[test]
    fn nothing_that_took_the_device_out_can_be_cancelled_or_rejected() {
        for state in AttemptState::ALL.into_iter().filter(|s| s.is_out() && *s != AttemptState::RollingBack) {
            assert_eq!(state.after(AttemptEvent::Cancel), None, "{state}");
            assert_eq!(state.after(AttemptEvent::Reject), None, "{state}");
        }
    }

    #[test]
    fn every_state_that_is_not_an_end_reaches_one_by_silence_or_removal() {
        for state in AttemptState::ALL.into_iter().filter(|s| !s.is_end()) {
            let removed = state.after(AttemptEvent::Remove);
            assert_eq!(removed, Some(AttemptState::Removed), "{state}");
            if state != AttemptState::Queued {
                assert!(state.after(AttemptEvent::TimeOut).is_some_and(AttemptState::is_end), "{state}");
            }
        }
    }
}
