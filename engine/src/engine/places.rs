//! Where every device stands and what it waits for, for people who look on. Changes nothing.

use super::Engine;
use super::run::{Run, Stage};
use super::standing::{Bar, Candidate};
use crate::ids::{DeviceIndex, RolloutId};
use crate::plan::WaitingOn;
use crate::rollout::{AttemptState, RolloutState};
use crate::time::Instant;
use std::collections::BTreeMap;

/// Where a device stands, over all rollouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// No rollout wants anything of it.
    Idle,
    /// A rollout that is not over wants it.
    Waiting,
    /// Told to go, still serving.
    Staging,
    /// Out of service for the update.
    Out,
    /// Has what the last rollout that was for it brings.
    Updated,
    /// Being taken back, or to be.
    RollingBack,
    /// Taken back.
    RolledBack,
    /// Ended without the release.
    Failed,
}

/// A device and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct DevicePlace {
    /// Which.
    pub device: DeviceIndex,
    /// Where.
    pub place: Place,
    /// The rollout that put it there.
    pub rollout: Option<RolloutId>,
    /// What a device that waits waits for, as the plan in force has it, and the earliest time at which that may change.
    pub waits: Option<(WaitingOn, Option<Instant>)>,
}

/// What is the same for every device that is asked for.
struct Around<'a> {
    running: Vec<RolloutId>,
    paused: Vec<RolloutId>,
    /// Rollouts that remember their devices, the newest first.
    newest: Vec<&'a Run>,
    starts: BTreeMap<DeviceIndex, Instant>,
    next_slot: Instant,
}

impl Engine {
    /// Every device of the fleet, in the order of enrolment. An attempt under way says more than a wish, a wish more than what is over.
    pub fn places(&self) -> impl Iterator<Item = DevicePlace> + '_ {
        let slot = self.policy.plan.slot;
        let around = Around {
            running: self.standing(),
            paused: self.standing_of(|run| run.state == RolloutState::Paused),
            newest: self.rollouts.iter().rev().filter(|run| !run.targets.is_empty()).collect(),
            starts: self.planning.starts(),
            next_slot: self.now.floor_to(slot) + slot,
        };
        self.fleet.present().map(move |device| self.place_of(device, &around))
    }

    fn place_of(&self, device: DeviceIndex, around: &Around<'_>) -> DevicePlace {
        let at = |place, rollout| DevicePlace { device, place, rollout, waits: None };
        if let Some((_, attempt)) = self.ledger.holder(device) {
            let place = match attempt.state {
                AttemptState::RollingBack => Place::RollingBack,
                state if state.is_out() => Place::Out,
                _ => Place::Staging,
            };
            return at(place, Some(attempt.rollout));
        }
        let Some(run) = around.newest.iter().find(|run| run.stage(device) != Stage::NotTarget) else {
            return at(Place::Idle, None);
        };
        if let Some((rollout, waits)) = self.waits(device, around) {
            return DevicePlace { device, place: Place::Waiting, rollout: Some(rollout), waits: Some(waits) };
        }
        let place = match run.stage(device) {
            Stage::Waiting if !run.state.is_end() => Place::Waiting,
            Stage::NotTarget | Stage::Waiting => return at(Place::Idle, None),
            Stage::InFlight => Place::Out,
            Stage::Updated => Place::Updated,
            Stage::RollingBack => Place::RollingBack,
            Stage::RolledBack => Place::RolledBack,
            Stage::Failed => Place::Failed,
        };
        at(place, Some(run.id))
    }

    fn waits(&self, device: DeviceIndex, around: &Around<'_>) -> Option<(RolloutId, Bar)> {
        let capacity = self.capacity_now(device);
        let Some(Candidate { rollout, barred, .. }) = self.candidate(device, &around.running, capacity) else {
            let paused = self.candidate(device, &around.paused, capacity)?;
            return Some((paused.rollout, (WaitingOn::RolloutPaused, None)));
        };
        let planned = around.starts.get(&device).map(|start| (WaitingOn::Planned { start: *start }, Some(*start)));
        let unplaced = || self.planning.unplaced(device).map(|waiting| (waiting.on.clone(), waiting.earliest));
        let waits = planned.or(barred).or_else(unplaced);
        Some((rollout, waits.unwrap_or((WaitingOn::NextPlan, Some(around.next_slot)))))
    }
}
