//! Why a plan is as it is: a typed reason with its numbers for every device that does not go at once.

use crate::ids::{DeviceIndex, RolloutId, WaveIndex};
use crate::time::{Instant, Span};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the planner says about its plan.
#[must_use = "an unread report helps nobody"]
#[derive(Debug, Clone, PartialEq)]
pub struct PlanReport {
    /// Devices that have a batch.
    pub placed: usize,
    /// Everybody else, in the order of the input.
    pub waiting: Vec<Waiting>,
    /// From the plan's start to the end of its last window; zero for an empty plan.
    pub makespan: Span,
    /// No plan for the same placed devices can be shorter.
    pub lower_bound: Span,
    /// Devices that stand where the parent plan had them; zero without a parent.
    pub kept: usize,
    /// Devices that the parent plan had elsewhere, in the order of the input.
    pub moved: Vec<Moved>,
}

impl PlanReport {
    /// How much longer than the lower bound, in percent of it.
    pub fn gap_percent(&self) -> f64 {
        if self.lower_bound == Span::ZERO {
            return 0.0;
        }
        (self.makespan.as_secs_f64() / self.lower_bound.as_secs_f64() - 1.0) * 100.0
    }

    /// Devices moved, by reason.
    pub fn moved_by_reason(&self) -> BTreeMap<&'static str, u32> {
        let mut counts = BTreeMap::new();
        for moved in &self.moved {
            *counts.entry(moved.why.name()).or_default() += 1;
        }
        counts
    }
}

/// A device that the parent plan had elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Moved {
    /// Which.
    pub device: DeviceIndex,
    /// Where the parent had it start.
    pub from: Instant,
    /// Where it starts now; `None` when it has no place any more (see [`PlanReport::waiting`]).
    pub to: Option<Instant>,
    /// Why it did not stay.
    pub why: MoveReason,
}

/// Why a device did not stay where the parent plan had it. The numbers are those the rule was judged by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "moved_by", rename_all = "kebab-case")]
pub enum MoveReason {
    /// Its start has passed.
    Missed,
    /// It may not go now.
    MayNotGo {
        /// Why.
        on: WaitingOn,
    },
    /// Its window is not open any more.
    WindowClosed,
    /// It has become too busy for its window.
    DeviceLoad {
        /// Its load score there.
        score: f64,
        /// Highest score allowed.
        max: f64,
    },
    /// Its pool cannot spare it there any more.
    PoolCapacity {
        /// The slot that lacks the most.
        at: Instant,
        /// Its weight.
        weight: f64,
        /// The weight its pool can spare then, less what others of the plan take.
        spare: f64,
    },
    /// As many members of its pool are out then as may be.
    PoolOutMax {
        /// How many may be.
        max: u32,
    },
    /// As many devices of its region are out then as may be.
    RegionOutMax {
        /// How many may be.
        max: u32,
    },
    /// The link of its region is taken.
    LinkBusy {
        /// The slot in which it lacks the most.
        at: Instant,
        /// What it would download in that slot, bytes.
        needed_bytes: f64,
        /// What the link share has free then, less what others of the plan take.
        spare_bytes: f64,
    },
    /// Its batch is full without it.
    BatchFull,
    /// Another rollout has come to stand before its own, and all were planned anew.
    Outranked,
    /// It gains at least [`super::PlanLimits::earlier_min`] slots.
    Earlier {
        /// What it gains.
        by: Span,
    },
    /// The whole plan becomes shorter by at least [`super::PlanLimits::shorter_min`] slots.
    ShorterPlan {
        /// What the plan gains.
        by: Span,
    },
}

impl MoveReason {
    /// The reason's short name, as in the journal.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Missed => "missed",
            Self::MayNotGo { .. } => "may-not-go",
            Self::WindowClosed => "window-closed",
            Self::DeviceLoad { .. } => "device-load",
            Self::PoolCapacity { .. } => "pool-capacity",
            Self::PoolOutMax { .. } => "pool-out-max",
            Self::RegionOutMax { .. } => "region-out-max",
            Self::LinkBusy { .. } => "link-busy",
            Self::BatchFull => "batch-full",
            Self::Outranked => "outranked",
            Self::Earlier { .. } => "earlier",
            Self::ShorterPlan { .. } => "shorter-plan",
        }
    }

    /// Could it not stay, whatever there was to gain?
    pub const fn is_forced(&self) -> bool {
        !matches!(self, Self::Earlier { .. } | Self::ShorterPlan { .. })
    }
}

/// A device without a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting {
    /// Which.
    pub device: DeviceIndex,
    /// Why.
    pub on: WaitingOn,
    /// Earliest time at which it could go, as far as can be said.
    pub earliest: Option<Instant>,
}

/// Why a device is not updating now. The numbers are those the rule was judged by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "waiting_on", rename_all = "kebab-case")]
pub enum WaitingOn {
    /// Has a place in the plan.
    Planned {
        /// When.
        start: Instant,
    },
    /// The package does not suit its version or variant.
    NotCompatible {
        /// The device's version.
        version: String,
        /// What the package asks for.
        required: String,
    },
    /// The filter's capacity term does not hold now.
    CapacityFilter {
        /// The device's capacity score now.
        capacity: f64,
    },
    /// Has not asked yet.
    NotRequested,
    /// Never reported.
    NoTelemetry,
    /// Its newest report is too old.
    StaleTelemetry {
        /// Age of the newest report.
        age: Span,
        /// Oldest age allowed.
        max: Span,
    },
    /// Its wave has not opened.
    WaveNotOpen {
        /// Its wave.
        wave: WaveIndex,
        /// The last wave that is open.
        open: WaveIndex,
    },
    /// Its wave is open; the devices of the wave go one after the other, and it is not its turn.
    NotItsTurn {
        /// When its turn comes.
        turn: Instant,
    },
    /// The rate leaves no slot of the horizon free.
    RateLimit {
        /// Devices that may still go in the first slot.
        per_slot: u32,
    },
    /// It alone is more than a batch may hold.
    OversizeRequirement {
        /// What it needs, points.
        requirement: f64,
        /// What a batch may hold, points.
        max: f64,
    },
    /// Its capacity score alone is more than a batch may hold, in every open window.
    OversizeCapacity {
        /// Its lowest capacity score over the horizon.
        capacity: f64,
        /// What a batch may hold.
        max: f64,
    },
    /// Every open batch of the horizon is full.
    BatchesFull,
    /// Its pool cannot spare it within the horizon.
    PoolCapacity {
        /// Its weight.
        weight: f64,
        /// The most weight its pool can spare in any open slot of the horizon, less what is already out.
        spare: f64,
    },
    /// As many members of its pool are out as may be.
    PoolOutMax {
        /// How many may be.
        max: u32,
    },
    /// As many devices of its region are out as may be.
    RegionOutMax {
        /// How many may be.
        max: u32,
    },
    /// The link of its region is taken by other downloads for the whole horizon, or too slow for its own.
    LinkBusy {
        /// What it downloads, bytes.
        download_bytes: f64,
        /// What updates may download over the link in a slot, bytes.
        per_slot_bytes: f64,
        /// The most the link has free, from any open slot on, in as many slots as the download takes.
        spare_bytes: f64,
    },
    /// No open window in the horizon is long enough for it.
    WindowClosed {
        /// How long it needs.
        need: Span,
    },
    /// Its calm windows are taken or closed, the rest are too busy.
    DeviceLoad {
        /// Its lowest load score over the open windows of the horizon.
        score: f64,
        /// Highest score allowed.
        max: f64,
    },
    /// Failed before; tries again later.
    RetryPause {
        /// Tries so far.
        attempts: u32,
    },
    /// Another rollout has it out, or is taking it back.
    OtherRollout {
        /// Which.
        rollout: RolloutId,
    },
    /// The rollout is paused.
    RolloutPaused,
    /// Asked; the next plan will say.
    NextPlan,
}

impl WaitingOn {
    /// The reason's short name, as in the journal.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Planned { .. } => "planned",
            Self::NotCompatible { .. } => "not-compatible",
            Self::CapacityFilter { .. } => "capacity-filter",
            Self::NotRequested => "not-requested",
            Self::NoTelemetry => "no-telemetry",
            Self::StaleTelemetry { .. } => "stale-telemetry",
            Self::WaveNotOpen { .. } => "wave-not-open",
            Self::NotItsTurn { .. } => "not-its-turn",
            Self::RateLimit { .. } => "rate-limit",
            Self::OversizeRequirement { .. } => "oversize-requirement",
            Self::OversizeCapacity { .. } => "oversize-capacity",
            Self::BatchesFull => "batches-full",
            Self::PoolCapacity { .. } => "pool-capacity",
            Self::PoolOutMax { .. } => "pool-out-max",
            Self::RegionOutMax { .. } => "region-out-max",
            Self::LinkBusy { .. } => "link-busy",
            Self::WindowClosed { .. } => "window-closed",
            Self::DeviceLoad { .. } => "device-load",
            Self::RetryPause { .. } => "retry-pause",
            Self::OtherRollout { .. } => "other-rollout",
            Self::RolloutPaused => "rollout-paused",
            Self::NextPlan => "next-plan",
        }
    }
}
