//! One rollout: its package, its devices, where it stands.

use crate::ids::{AttemptId, DeviceIndex, RolloutId, WaveIndex};
use crate::rollout::{Cause, Package, RolloutState};
use crate::time::{Instant, Span};
use crate::version::Version;

/// Where a device stands in a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The rollout is not for it.
    NotTarget,
    /// Wants the update.
    Waiting,
    /// Has an attempt under way.
    InFlight,
    /// On the release, or on a newer one.
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

/// A device in a rollout.
#[derive(Debug, Clone, Copy)]
pub(super) struct DeviceRun {
    pub(super) stage: Stage,
    pub(super) wave: WaveIndex,
    /// Its turn comes this long after its wave has opened.
    pub(super) after: Span,
    /// What it ran when the rollout began: that, and not what another rollout has made of it since, decided that it belongs.
    pub(super) ran: Option<Version>,
    pub(super) asked: bool,
    pub(super) tries: u32,
    pub(super) retry_at: Option<Instant>,
    pub(super) ever_failed: bool,
    /// The last attempt of this rollout on it.
    pub(super) attempt: Option<AttemptId>,
}

impl DeviceRun {
    const NOT_TARGET: Self = Self {
        stage: Stage::NotTarget,
        wave: WaveIndex(0),
        after: Span::ZERO,
        ran: None,
        asked: false,
        tries: 0,
        retry_at: None,
        ever_failed: false,
        attempt: None,
    };
}

/// A device still to be told to go back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    pub(super) device: DeviceIndex,
    /// Held until then, it is given up.
    pub(super) give_up_at: Instant,
}

/// Devices being taken back.
#[derive(Debug, Clone)]
pub(super) struct Restoring {
    /// Still to be told.
    pub(super) pending: Vec<Pending>,
    /// Every device of the rollout goes back, and the rollout is over afterwards.
    pub(super) whole: bool,
    /// A person wants it over once what is under way is back.
    pub(super) aborted: bool,
    /// How many were held when that was last said.
    pub(super) held_said: usize,
    /// Devices that could not be taken back.
    pub(super) lost: u32,
}

/// One rollout.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) id: RolloutId,
    pub(super) package: Package,
    /// Higher goes first.
    pub(super) priority: u8,
    pub(super) state: RolloutState,
    pub(super) cause: Option<Cause>,
    pub(super) devices: Vec<DeviceRun>,
    counts: [u32; Stage::COUNT],
    pub(super) targets: Vec<DeviceIndex>,
    pub(super) batches: u32,
    pub(super) waves: u16,
    /// When it began.
    pub(super) began: Instant,
    /// When each wave opened, as far as they have.
    pub(super) opened: Vec<Instant>,
    /// Turns of devices that come after their wave has opened, the earliest first, and how many have come.
    turns: Vec<Instant>,
    turns_come: usize,
    /// When the open wave was first done, so that it soaks; `None` before, and again when devices of it were taken back.
    pub(super) done_since: Option<Instant>,
    /// When it was last looked at whether the open wave is done.
    pub(super) looked_at: Option<Instant>,
    pub(super) soak_until: Option<Instant>,
    /// Since when devices of it could go and none was told to; `None` while there are none.
    pub(super) starved_since: Option<Instant>,
    pub(super) resume_at: Option<Instant>,
    pub(super) resumes: u32,
    pub(super) deadline: Option<Instant>,
    pub(super) restoring: Option<Restoring>,
    pub(super) regression: super::regression::Regression,
    /// Holds it against what was signed off, where something was.
    pub(super) guard: Option<crate::envelope::Guard>,
    is_shelved: bool,
}

impl Run {
    pub(super) fn new(
        id: RolloutId,
        package: Package,
        priority: u8,
        devices: usize,
        waves: usize,
        false_alarm_rate: Option<f64>,
    ) -> Self {
        Self {
            id,
            package,
            priority,
            state: RolloutState::Draft,
            cause: None,
            devices: vec![DeviceRun::NOT_TARGET; devices],
            counts: [0; Stage::COUNT],
            targets: Vec::new(),
            batches: 0,
            waves: waves.min(usize::from(u16::MAX)) as u16,
            began: Instant::from_millis(0),
            opened: Vec::new(),
            turns: Vec::new(),
            turns_come: 0,
            done_since: None,
            looked_at: None,
            soak_until: None,
            starved_since: None,
            resume_at: None,
            resumes: 0,
            deadline: None,
            restoring: None,
            regression: super::regression::Regression::new(false_alarm_rate),
            guard: None,
            is_shelved: false,
        }
    }

    pub(super) fn grow(&mut self, devices: usize) {
        if !self.is_shelved {
            self.devices.resize(devices, DeviceRun::NOT_TARGET);
        }
    }

    pub(super) fn device(&mut self, device: DeviceIndex) -> &mut DeviceRun {
        &mut self.devices[device.index()]
    }

    /// Is it to be taken back, and not told so yet?
    pub(super) fn is_to_go_back(&self, device: DeviceIndex) -> bool {
        self.restoring.as_ref().is_some_and(|r| r.pending.iter().any(|pending| pending.device == device))
    }

    /// Where a device stands; not a target when it is unknown.
    pub(super) fn stage(&self, device: DeviceIndex) -> Stage {
        self.devices.get(device.index()).map_or(Stage::NotTarget, |d| d.stage)
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

    /// The last wave that is open; the first before any is.
    pub(super) fn open_wave(&self) -> WaveIndex {
        WaveIndex((self.opened.len() as u16).saturating_sub(1))
    }

    pub(super) fn is_wave_open(&self, wave: WaveIndex) -> bool {
        wave.index() < self.opened.len()
    }

    /// When a device may go at the earliest; `None` while its wave is closed.
    pub(super) fn turn(&self, device: DeviceIndex) -> Option<Instant> {
        let at = self.devices.get(device.index())?;
        self.opened.get(at.wave.index()).map(|opened| *opened + at.after)
    }

    /// Books the turns of a wave that has opened.
    pub(super) fn add_turns(&mut self, wave: WaveIndex) {
        let own = self.targets.iter().filter(|device| {
            let at = &self.devices[device.index()];
            at.wave == wave && at.after > Span::ZERO
        });
        let own: Vec<Instant> = own.filter_map(|device| self.turn(*device)).collect();
        self.turns.drain(..self.turns_come);
        self.turns_come = 0;
        self.turns.extend(own);
        self.turns.sort_unstable();
    }

    /// Has somebody's turn come since the last time this was asked?
    pub(super) fn pass_turns(&mut self, now: Instant) -> bool {
        let come = self.turns.partition_point(|turn| *turn <= now);
        std::mem::replace(&mut self.turns_come, come) < come
    }

    pub(super) fn is_running(&self) -> bool {
        self.state == RolloutState::Running
    }

    /// Has it gone without for longer than the policy's patience?
    pub(super) fn is_starved(&self, now: Instant, patience: Span) -> bool {
        self.starved_since.is_some_and(|since| now.since(since) >= patience)
    }

    /// A rollout that ended long ago keeps its figures and forgets its devices.
    pub(super) fn shelve(&mut self) {
        self.is_shelved = true;
        self.devices = Vec::new();
        self.targets = Vec::new();
        self.turns = Vec::new();
        self.turns_come = 0;
        self.regression = super::regression::Regression::new(None);
    }
}
