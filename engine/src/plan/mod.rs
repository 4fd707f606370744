//! A plan: which device goes when, decided by one pure function and judged by an independent one.
//!
//! [`planner::plan`] places devices, [`stay::replan`] changes a plan as little as new forecasts allow, [`check::check`] judges the result
//! from the same [`PlanInput`] and shares no code with them. A plan is immutable, numbered, and names its parent.

mod board; // a plan under construction
mod bound; // how short it could be at best
pub mod check;
pub mod outlook; // when everybody will go
pub mod planner;
pub mod report;
mod room; // what is left of every limit
mod shorten; // the search for a shorter one
pub mod stay;
mod tidy; // priority, after a search
mod why; // reasons of those who wait

use crate::ids::{DeviceId, DeviceIndex, PlanNumber, PoolIndex, RegionIndex, WaveIndex};
use crate::time::{Instant, Span};
pub use report::{MoveReason, Moved, PlanReport, Waiting, WaitingOn};

/// Everything the planner may know. Slots are numbered from 0, the one that begins at `start`.
#[derive(Debug, Clone)]
pub struct PlanInput {
    /// The decision instant; also the beginning of slot 0.
    pub start: Instant,
    /// Length of a slot.
    pub slot: Span,
    /// Slots in the horizon (1 to [`PlanInput::SLOTS_MAX`]).
    pub slots: usize,
    /// Candidates, in any order; each [`PlanDevice::index`] at most once.
    pub devices: Vec<PlanDevice>,
    /// Load score 0–100 of the window that starts at each slot: `devices.len() × slots`, row by row, in the order of
    /// `devices`. The window is the device's own `out_slots` long.
    pub load_scores: Vec<f32>,
    /// The pools the candidates belong to.
    pub pools: Vec<PlanPool>,
    /// The regions the candidates stand in.
    pub regions: Vec<PlanRegion>,
    /// The rules of the policy.
    pub limits: PlanLimits,
}

impl PlanInput {
    /// A week of quarter hours.
    pub const SLOTS_MAX: usize = 672;
}

/// A device that wants the update.
#[derive(Debug, Clone)]
pub struct PlanDevice {
    /// Its place in the engine's tables.
    pub index: DeviceIndex,
    /// Its name; breaks ties.
    pub id: DeviceId,
    /// Position in [`PlanInput::pools`].
    pub pool: PoolIndex,
    /// Position in [`PlanInput::regions`].
    pub region: RegionIndex,
    /// Size in the pool's capacity units, > 0.
    pub weight: f64,
    /// Resource requirement of its update in points, ≥ 0.
    pub requirement: f64,
    /// Standing of its rollout: 0 goes first, before wave and priority.
    pub rank: u32,
    /// Higher goes first (see `policy::priority`).
    pub priority: f64,
    /// The wave of its rollout that it belongs to; waves come before priority. Whether that wave is open is for the caller to say: a
    /// device of a closed one is `barred`.
    pub wave: WaveIndex,
    /// How many slots it is out, at an upper quantile of its duration (≥ 1).
    pub out_slots: usize,
    /// What it downloads from the start of its window, bytes ≥ 0. The download runs at the whole free rate of its region's link share: it
    /// takes all of the share in every slot but its last, and there what is left of it. It must end within the horizon.
    pub download_bytes: f64,
    /// Age of its newest telemetry; `None` when it never reported.
    pub telemetry_age: Option<Span>,
    /// A reason found before planning why it may not go now (filter, version path, retry pause…), with the
    /// earliest time at which that may change.
    pub barred: Option<(WaitingOn, Option<Instant>)>,
    /// True when the device is already down: taking it costs its pool nothing.
    pub already_out: bool,
}

/// A service whose members share one demand.
#[derive(Debug, Clone)]
pub struct PlanPool {
    /// Its name, for reasons.
    pub name: String,
    /// Σ weight of all members, the ones out included.
    pub weight_total: f64,
    /// Number of members.
    pub members: u32,
    /// Per slot: upper quantile of the pool's demand, in weight units (length = `slots`). All zero where the policy
    /// ignores demand.
    pub demand_upper: Vec<f64>,
    /// Per slot: weight already promised to be out (in flight, crashed, earlier batches).
    pub out_weight: Vec<f64>,
    /// Per slot: members already promised to be out.
    pub out_count: Vec<u32>,
    /// Most members out at once.
    pub out_count_max: Option<u32>,
}

/// A region with its own limits, clock and link.
#[derive(Debug, Clone)]
pub struct PlanRegion {
    /// Its name, for reasons.
    pub name: String,
    /// Per slot: may its devices be out in it? (maintenance windows less blackouts, by its own clock; length `slots`)
    pub slot_open: Vec<bool>,
    /// First moment after the horizon's start at which a window opens, when slot 0 is closed.
    pub next_open: Option<Instant>,
    /// What updates may download over its link in one slot, bytes > 0; `None` is unlimited.
    pub download_bytes_max: Option<f64>,
    /// Per slot: bytes already promised to downloads (length `slots`).
    pub downloading_bytes: Vec<f64>,
    /// Per slot: members already promised to be out.
    pub out_count: Vec<u32>,
    /// Most members out at once.
    pub out_count_max: Option<u32>,
}

impl PlanRegion {
    /// Is no slot open, and none for as far as can be seen?
    pub fn is_closed_for_good(&self) -> bool {
        self.next_open.is_none() && !self.slot_open.contains(&true)
    }

    /// Slots that a download over the region's link takes, one at least; 1 where there is no limit.
    pub fn download_slots(&self, bytes: f64) -> usize {
        self.download_bytes_max.map_or(1, |max| room::download_slots(bytes / max))
    }

    /// Promises the link to a download that began `passed` slots before the horizon and is not done: what is left of it by plan, or, of a
    /// late one, as much as its last slot was to carry.
    pub fn promise_download(&mut self, bytes: f64, passed: usize) {
        let Some(max) = self.download_bytes_max else { return };
        let first = passed.min(self.download_slots(bytes) - 1);
        for (i, promised) in self.downloading_bytes.iter_mut().enumerate() {
            let part = room::download_part(bytes / max, first + i) * max;
            if part <= 0.0 {
                break;
            }
            *promised += part;
        }
    }
}

/// The planner's share of a policy.
#[derive(Debug, Clone)]
pub struct PlanLimits {
    /// Σ resource requirement of one batch; `None` is unlimited.
    pub batch_requirement_max: Option<f64>,
    /// Σ capacity score of one batch; `None` is unlimited.
    pub batch_capacity_max: Option<f64>,
    /// Devices in one batch; `None` is unlimited.
    pub batch_devices_max: Option<u32>,
    /// Most devices that may start in each slot, where a rate is kept (length `slots`); `None` without one.
    pub starts_max: Option<Vec<u32>>,
    /// Share of a pool's available weight that its demand may use, 0..=1.
    pub load_limit: f64,
    /// Weight kept free in every pool, as a share of its total weight, 0..1.
    pub pool_reserve: f64,
    /// Does the pool rule (demand against the weight left) apply at all?
    pub pool_rule: bool,
    /// Pools with fewer members are exempt from the pool rule: there is nobody to take their load.
    pub pool_members_min: u32,
    /// Highest load score of a device in its window; `None` switches the rule off. A device that never gets so calm
    /// goes in the calmest windows of its horizon: those within [`Self::device_load_tolerance`] of its lowest score.
    pub device_load_max: Option<f64>,
    /// How far above its lowest score a never-calm device may go, points.
    pub device_load_tolerance: f64,
    /// Devices with older telemetry are not planned; `None` switches the rule off.
    pub telemetry_age_max: Option<Span>,
    /// Spread a batch over regions where that costs nothing.
    pub spread_regions: bool,
}

impl PlanLimits {
    /// Slots that a device planned for a slot must gain before it moves up though it could stay: a quarter of its wait, at least one.
    /// Far ahead, stability counts for more; close at hand, room that would go unused does.
    pub const fn earlier_min(slot: usize) -> usize {
        let share = slot.div_ceil(4);
        if share > 1 { share } else { 1 }
    }

    /// Slots by which a plan of `end` slots must become shorter before devices that could stay are moved for it: 5 %, at least two.
    pub const fn shorter_min(end: usize) -> usize {
        let share = end.div_ceil(20);
        if share > 2 { share } else { 2 }
    }
}

/// Who goes when. Immutable once made.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Grows by one with each plan of the engine.
    pub number: PlanNumber,
    /// The plan this one replaced.
    pub parent: Option<PlanNumber>,
    /// When it was decided.
    pub made_at: Instant,
    /// Earliest first; never an empty batch; at most one batch a slot.
    pub batches: Vec<Batch>,
}

/// Devices commanded at one decision instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// When its devices are told to go.
    pub start: Instant,
    /// The slot it starts in, counted from the plan's first.
    pub slot: usize,
    /// Its devices, in the order they were placed (positions in the engine's tables).
    pub devices: Vec<DeviceIndex>,
    /// Σ resource requirement, points.
    pub requirement: f64,
    /// Σ capacity score of the devices' own windows.
    pub capacity: f64,
}
