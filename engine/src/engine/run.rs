//! The rollout under way: its devices, attempts and commands.

use crate::ids::{AttemptId, CommandId, DeviceIndex, PlanNumber, WaveIndex};
use crate::plan::Plan;
use crate::rollout::{AttemptState, Cause, Package, RolloutState};
use crate::time::{Instant, Span};
use std::collections::VecDeque;

/// Where a device stands in the rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The rollout is not for it.
    NotTarget,
    /// Wants the update.
    Waiting,
    /// Has an attempt under way.
    InFlight,
    /// On the release.
    Updated,
    /// Being taken back.
    RollingBack,
    /// Taken back.
    RolledBack,
    /// Ended without the release.
    Failed,
}

impl Stage {
    const COUNT: usize = 7;
}

/// A device in the rollout.
#[derive(Debug, Clone, Copy)]
pub(super) struct DeviceRun {
    pub(super) stage: Stage,
    pub(super) wave: WaveIndex,
    pub(super) asked: bool,
    pub(super) tries: u32,
    pub(super) retry_at: Option<Instant>,
    pub(super) ever_failed: bool,
    pub(super) attempt: Option<AttemptId>,
}

impl DeviceRun {
    const NOT_TARGET: Self = Self {
        stage: Stage::NotTarget,
        wave: WaveIndex(0),
        asked: false,
        tries: 0,
        retry_at: None,
        ever_failed: false,
        attempt: None,
    };
}

/// One try on one device.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    pub(super) device: DeviceIndex,
    pub(super) state: AttemptState,
    pub(super) install: CommandId,
    pub(super) begun: Instant,
    /// When the device should be back, at an upper quantile.
    pub(super) until: Instant,
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

/// Devices being taken back.
#[derive(Debug, Clone)]
pub(super) struct Restoring {
    /// Still to be told, lowest remaining capacity first.
    pub(super) pending: Vec<DeviceIndex>,
    /// The rollout is over afterwards.
    pub(super) then_over: bool,
}

/// The rollout under way.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) package: Package,
    pub(super) state: RolloutState,
    pub(super) cause: Option<Cause>,
    pub(super) devices: Vec<DeviceRun>,
    counts: [u32; Stage::COUNT],
    pub(super) targets: Vec<DeviceIndex>,
    pub(super) attempts: Vec<Attempt>,
    pub(super) commands: Vec<Issued>,
    pub(super) timeouts: VecDeque<(Instant, CommandId)>,
    pub(super) batches: u32,
    pub(super) waves: u16,
    pub(super) open_wave: WaveIndex,
    pub(super) last_settled: Instant,
    pub(super) soak_until: Option<Instant>,
    pub(super) plan: Option<Plan>,
    pub(super) plan_number: PlanNumber,
    pub(super) replan: Option<&'static str>,
    pub(super) planned_slot: Option<Instant>,
    pub(super) resume_at: Option<Instant>,
    pub(super) resumes: u32,
    pub(super) deadline: Option<Instant>,
    pub(super) restoring: Option<Restoring>,
    /// Shortest first.
    pub(super) durations: Vec<Span>,
    pub(super) regression: super::regression::Regression,
}

impl Run {
    /// How many known durations are kept to learn from.
    const DURATIONS_MAX: usize = 4096;

    pub(super) fn new(package: Package, devices: usize, waves: usize, false_alarm_rate: Option<f64>) -> Self {
        Self {
            package,
            state: RolloutState::Draft,
            cause: None,
            devices: vec![DeviceRun::NOT_TARGET; devices],
            counts: [0; Stage::COUNT],
            targets: Vec::new(),
            attempts: Vec::new(),
            commands: Vec::new(),
            timeouts: VecDeque::new(),
            batches: 0,
            waves: waves.min(usize::from(u16::MAX)) as u16,
            open_wave: WaveIndex(0),
            last_settled: Instant::from_millis(0),
            soak_until: None,
            plan: None,
            plan_number: PlanNumber(0),
            replan: None,
            planned_slot: None,
            resume_at: None,
            resumes: 0,
            deadline: None,
            restoring: None,
            durations: Vec::new(),
            regression: super::regression::Regression::new(devices, false_alarm_rate),
        }
    }

    pub(super) fn grow(&mut self, devices: usize) {
        self.devices.resize(devices, DeviceRun::NOT_TARGET);
        self.regression.grow(devices);
    }

    pub(super) fn device(&mut self, device: DeviceIndex) -> &mut DeviceRun {
        &mut self.devices[device.index()]
    }

    /// The attempt under way on a device.
    pub(super) fn attempt_of(&self, device: DeviceIndex) -> Option<(AttemptId, &Attempt)> {
        let id = self.devices.get(device.index())?.attempt?;
        Some((id, &self.attempts[id.index()]))
    }

    /// Attempts that have not ended, in the order they began.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = (AttemptId, &Attempt)> {
        let of = |device: &DeviceIndex| {
            let run = &self.devices[device.index()];
            run.attempt.filter(|_| matches!(run.stage, Stage::InFlight | Stage::RollingBack))
        };
        self.targets.iter().filter_map(of).map(|id| (id, &self.attempts[id.index()]))
    }

    /// Moves a device to another stage; the only place that does.
    pub(super) fn set_stage(&mut self, device: DeviceIndex, stage: Stage) {
        let before = std::mem::replace(&mut self.devices[device.index()].stage, stage);
        self.counts[before as usize] = self.counts[before as usize].saturating_sub(1);
        self.counts[stage as usize] += 1;
    }

    /// Devices in a stage ([`Stage::NotTarget`] is not counted).
    pub(super) const fn count(&self, stage: Stage) -> u32 {
        self.counts[stage as usize]
    }

    pub(super) const fn is_anything_in_flight(&self) -> bool {
        self.count(Stage::InFlight) + self.count(Stage::RollingBack) > 0
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.timeouts.iter().find(|(_, id)| self.commands[id.index()].open).map(|(at, _)| *at)
    }

    /// When the next slot begins in which something may go.
    pub(super) fn next_slot_at(&self, now: Instant, slot: Span) -> Option<Instant> {
        // Whoever waits may go at any slot, once conditions change.
        let due = self.state == RolloutState::Running && (self.replan.is_some() || self.count(Stage::Waiting) > 0);
        due.then(|| now.floor_to(slot) + slot)
    }

    pub(super) fn learn_duration(&mut self, took: Span) {
        if self.durations.len() < Self::DURATIONS_MAX {
            // Kept in order: the quantile is asked for by every fit.
            let at = self.durations.partition_point(|known| *known <= took);
            self.durations.insert(at, took);
        }
    }
}
