//! What we believe of each device, and how old the belief is.

use crate::history::{DemandHistory, History, Sample, slot_number};
use crate::ids::{DeviceId, DeviceIndex, PoolId, PoolIndex, RegionId, RegionIndex};
use crate::input::{DeviceFacts, TelemetryBatch};
use crate::policy::Policy;
use crate::time::{Instant, Span};
use std::collections::{BTreeMap, BTreeSet};

/// Devices without any telemetry for this long are taken to be out of service, whatever the policy says of freshness.
pub const SILENT_AFTER: Span = Span::from_secs(900);

/// All devices, in the order of enrolment.
#[derive(Debug, Clone)]
pub struct Fleet {
    metrics: Vec<String>,
    metric_weights: Vec<f32>,
    demand_metric: usize,
    slot: Span,
    by_id: BTreeMap<DeviceId, DeviceIndex>,
    pool_by_id: BTreeMap<PoolId, PoolIndex>,
    region_by_id: BTreeMap<RegionId, RegionIndex>,
    /// Facts, by device.
    pub facts: Vec<DeviceFacts>,
    /// Pool, by device.
    pub pool_of: Vec<PoolIndex>,
    /// Region, by device.
    pub region_of: Vec<RegionIndex>,
    /// Weight, by device: as in its facts, close together for sums over pools.
    pub weight: Vec<f64>,
    /// Criticality score 0–100, by device.
    pub criticality: Vec<f64>,
    /// Left the fleet, by device.
    pub removed: Vec<bool>,
    /// Taken out of service by us, by device.
    pub out: Vec<bool>,
    /// Newest telemetry, by device.
    pub last_at: Vec<Option<Instant>>,
    /// Marked silent since the newest telemetry came.
    unknown: BTreeSet<DeviceIndex>,
    /// Newest values, by metric, then device; NaN where never known.
    pub last: Vec<Vec<f32>>,
    slot_peak: Vec<Vec<f32>>,
    slot_disturbed: Vec<bool>,
    /// Room: who reported at the tick that is being taken in.
    reported: Vec<u32>,
    /// Room: weight in service and demand of each device at that tick.
    shares: Vec<(f64, f64)>,
    open_slot: Option<i64>,
    /// The pools.
    pub pools: Vec<Pool>,
    /// The regions.
    pub regions: Vec<Region>,
    /// Slot peaks of every device.
    pub history: History,
    history_slots: usize,
}

/// A service whose members share one demand.
#[derive(Debug, Clone)]
pub struct Pool {
    /// Its name.
    pub id: PoolId,
    /// Its members, removed ones left out.
    pub members: Vec<DeviceIndex>,
    /// Σ weight of the members.
    pub weight_total: f64,
    /// Σ weight of the members in service at the last tick.
    pub weight_serving: f64,
    /// Demand at the last tick, in weight units: Σ weight × load / 100 over the members in service.
    pub demand: f64,
    /// Slot peaks of the demand.
    pub history: DemandHistory,
    slot_peak: f32,
}

impl Pool {
    /// What of the load of a member in service is its own: what others handed over is taken out again before it is learned from.
    fn own_share(&self) -> f32 {
        if self.weight_total > 0.0 { (self.weight_serving / self.weight_total).clamp(0.0, 1.0) as f32 } else { 1.0 }
    }
}

/// A part of the world with its own limit.
#[derive(Debug, Clone)]
pub struct Region {
    /// Its name.
    pub id: RegionId,
    /// Devices in it, removed ones left out.
    pub members: u32,
}

/// What a fleet does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FleetError {
    /// Twice the same name.
    #[error("device `{0}` is enrolled already")]
    Known(DeviceId),
    /// A size that is no size.
    #[error(
        "device `{0}`: weight must be a finite number above 0, requirement one not below 0, criticality in 0..=100"
    )]
    BadNumbers(DeviceId),
    /// More devices than a fleet may have.
    #[error("a fleet holds at most {max} devices", max = Fleet::DEVICES_MAX)]
    TooMany,
    /// A device index nobody has.
    #[error("no device has index {0}")]
    Unknown(DeviceIndex),
    /// Columns that do not fit the fleet.
    #[error("telemetry has {columns} columns of {rows} rows where {metrics} of {devices} were expected")]
    Shape {
        /// Columns given.
        columns: usize,
        /// Rows of the first that does not fit.
        rows: usize,
        /// Metrics of the engine.
        metrics: usize,
        /// Devices reporting.
        devices: usize,
    },
}

/// Is what was heard last younger than [`SILENT_AFTER`]?
fn is_recent(last: Option<Instant>, now: Instant) -> bool {
    last.is_some_and(|at| now.since(at) <= SILENT_AFTER)
}

impl Fleet {
    /// Most devices of one engine.
    pub const DEVICES_MAX: usize = 4_000_000;

    /// No device yet; `metrics` names the columns of all telemetry to come.
    pub fn new(metrics: &[String], policy: &Policy) -> Self {
        let weight_of = |name: &String| {
            policy.scores.metric_weights.iter().find(|(n, _)| n == name).map_or(1.0, |(_, w)| *w as f32)
        };
        let history_slots = policy.forecast.history.steps_up(policy.plan.slot);
        Self {
            metrics: metrics.to_vec(),
            metric_weights: metrics.iter().map(weight_of).collect(),
            demand_metric: metrics.iter().position(|m| *m == policy.scores.demand_metric).unwrap_or(0),
            slot: policy.plan.slot,
            by_id: BTreeMap::new(),
            pool_by_id: BTreeMap::new(),
            region_by_id: BTreeMap::new(),
            facts: Vec::new(),
            pool_of: Vec::new(),
            region_of: Vec::new(),
            criticality: Vec::new(),
            removed: Vec::new(),
            out: Vec::new(),
            last_at: Vec::new(),
            unknown: BTreeSet::new(),
            last: vec![Vec::new(); metrics.len()],
            slot_peak: vec![Vec::new(); metrics.len()],
            slot_disturbed: Vec::new(),
            reported: Vec::new(),
            shares: Vec::new(),
            weight: Vec::new(),
            open_slot: None,
            pools: Vec::new(),
            regions: Vec::new(),
            history: History::new(history_slots, metrics.len()),
            history_slots,
        }
    }

    /// Devices ever enrolled, removed ones too.
    pub fn len(&self) -> usize {
        self.facts.len()
    }

    /// Is there no device?
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    /// The metrics, in column order.
    pub fn metrics(&self) -> &[String] {
        &self.metrics
    }

    /// Weight of each metric in the load score.
    pub fn metric_weights(&self) -> &[f32] {
        &self.metric_weights
    }

    /// Column of the metric that moves when a device goes out.
    pub const fn demand_metric(&self) -> usize {
        self.demand_metric
    }

    /// Positions of the regions, in the order of their names.
    pub fn regions_by_name(&self) -> Vec<usize> {
        self.region_by_id.values().map(|region| region.index()).collect()
    }

    /// The device of this name.
    pub fn find(&self, id: &DeviceId) -> Option<DeviceIndex> {
        self.by_id.get(id).copied()
    }

    /// All devices still in the fleet.
    pub fn present(&self) -> impl Iterator<Item = DeviceIndex> + '_ {
        (0..self.len()).filter(|d| !self.removed[*d]).map(|d| DeviceIndex(d as u32))
    }

    /// Adds one device. Call [`Self::seal`] after the last of a group.
    ///
    /// # Errors
    /// A name that is taken, numbers out of range, or a full fleet; nothing is changed then.
    pub fn enroll(&mut self, facts: DeviceFacts, policy: &Policy) -> Result<DeviceIndex, FleetError> {
        let sound = facts.weight.is_finite()
            && facts.weight > 0.0
            && facts.requirement.is_finite()
            && facts.requirement >= 0.0
            && facts.criticality.is_none_or(|c| (0.0..=100.0).contains(&c));
        if !sound {
            return Err(FleetError::BadNumbers(facts.id));
        }
        if self.by_id.contains_key(&facts.id) {
            return Err(FleetError::Known(facts.id));
        }
        if self.len() >= Self::DEVICES_MAX {
            return Err(FleetError::TooMany);
        }
        let index = DeviceIndex(self.len() as u32);
        let pool = self.pool_index(&facts.pool);
        let region = self.region_index(&facts.region);
        self.pools[pool.index()].members.push(index);
        self.pools[pool.index()].weight_total += facts.weight;
        self.regions[region.index()].members += 1;
        self.by_id.insert(facts.id.clone(), index);
        self.criticality.push(crate::score::criticality(&facts, &policy.scores));
        self.pool_of.push(pool);
        self.region_of.push(region);
        self.removed.push(false);
        self.out.push(false);
        self.last_at.push(None);
        self.slot_disturbed.push(false);
        self.weight.push(facts.weight);
        for column in self.last.iter_mut().chain(&mut self.slot_peak) {
            column.push(f32::NAN);
        }
        self.facts.push(facts);
        Ok(index)
    }

    /// Makes room in the history for all enrolled devices.
    pub fn seal(&mut self) {
        self.history.grow(self.len());
    }

    fn pool_index(&mut self, id: &PoolId) -> PoolIndex {
        if let Some(index) = self.pool_by_id.get(id) {
            return *index;
        }
        let index = PoolIndex(self.pools.len() as u32);
        self.pool_by_id.insert(id.clone(), index);
        self.pools.push(Pool {
            id: id.clone(),
            members: Vec::new(),
            weight_total: 0.0,
            weight_serving: 0.0,
            demand: 0.0,
            history: DemandHistory::new(self.history_slots),
            slot_peak: f32::NAN,
        });
        index
    }

    fn region_index(&mut self, id: &RegionId) -> RegionIndex {
        if let Some(index) = self.region_by_id.get(id) {
            return *index;
        }
        let index = RegionIndex(self.regions.len() as u32);
        self.region_by_id.insert(id.clone(), index);
        self.regions.push(Region { id: id.clone(), members: 0 });
        index
    }

    /// A device leaves for good. Returns false when it is unknown or gone already.
    pub fn remove(&mut self, device: DeviceIndex) -> bool {
        let d = device.index();
        if self.removed.get(d) != Some(&false) {
            return false;
        }
        self.removed[d] = true;
        let pool = &mut self.pools[self.pool_of[d].index()];
        pool.members.retain(|m| *m != device);
        pool.weight_total -= self.facts[d].weight;
        self.regions[self.region_of[d].index()].members -= 1;
        self.by_id.remove(&self.facts[d].id);
        true
    }

    /// Is its newest telemetry younger than [`SILENT_AFTER`]?
    pub fn is_heard(&self, device: usize, now: Instant) -> bool {
        is_recent(self.last_at[device], now)
    }

    /// A device spoke otherwise than by telemetry.
    pub fn mark_heard(&mut self, device: DeviceIndex, now: Instant) {
        if let Some(at) = self.last_at.get_mut(device.index()) {
            *at = Some(now);
            self.unknown.remove(&device);
        }
    }

    /// Nobody knows whether a device serves, until it is heard of again.
    pub fn mark_silent(&mut self, device: DeviceIndex) {
        if let Some(at) = self.last_at.get_mut(device.index()) {
            *at = None;
            self.unknown.insert(device);
        }
    }

    /// Was it marked silent, and has no telemetry come since that could say whether it serves?
    pub fn is_unknown(&self, device: DeviceIndex) -> bool {
        self.unknown.contains(&device)
    }

    /// In service: in the fleet, not taken out by us, and heard.
    pub fn is_serving(&self, device: usize, now: Instant) -> bool {
        !self.removed[device] && !self.out[device] && self.is_heard(device, now)
    }

    /// Weighted load of a device now: the highest of its metrics, each times its weight; `None` when nothing is known.
    pub fn load_now(&self, device: usize) -> Option<f64> {
        let mut load = None;
        for (column, weight) in self.last.iter().zip(&self.metric_weights) {
            let value = column[device] * weight;
            if value.is_finite() && load.is_none_or(|l| value > l) {
                load = Some(value);
            }
        }
        load.map(f64::from)
    }

    /// Takes one tick of telemetry in; closes the slot before when a new one begins. Returns true when a slot was closed.
    ///
    /// # Errors
    /// Columns of the wrong shape, or an unknown device; nothing is taken in then.
    pub fn take(&mut self, at: Instant, batch: &TelemetryBatch) -> Result<bool, FleetError> {
        let devices = batch.devices.as_ref().map_or(self.len(), Vec::len);
        let shape =
            |rows| FleetError::Shape { columns: batch.columns.len(), rows, metrics: self.metrics.len(), devices };
        if batch.columns.len() != self.metrics.len() {
            return Err(shape(batch.columns.first().map_or(0, Vec::len)));
        }
        if let Some(column) = batch.columns.iter().find(|c| c.len() != devices) {
            return Err(shape(column.len()));
        }
        if let Some(unknown) = batch.devices.iter().flatten().find(|d| d.index() >= self.len()) {
            return Err(FleetError::Unknown(*unknown));
        }
        let closed = self.turn_slot(at);
        self.unknown.clear();
        match &batch.devices {
            None => self.take_all(at, &batch.columns),
            Some(list) => self.take_some(at, list, &batch.columns),
        }
        self.sum_pools(at);
        Ok(closed)
    }

    fn take_all(&mut self, at: Instant, columns: &[Vec<f32>]) {
        // Without branches and one array after the other: the processor does several devices at once.
        let is_load = |value: f32| (0.0..=100.0).contains(&value);
        self.reported.clear();
        self.reported.resize(self.facts.len(), 0);
        for (metric, column) in columns.iter().enumerate() {
            for (last, value) in self.last[metric].iter_mut().zip(column) {
                *last = if is_load(*value) { *value } else { *last };
            }
            for (peak, value) in self.slot_peak[metric].iter_mut().zip(column) {
                // A peak that is not a number yet is not higher.
                let stays = *peak >= *value || !is_load(*value);
                *peak = if stays { *peak } else { *value };
            }
            for (reported, value) in self.reported.iter_mut().zip(column) {
                *reported |= u32::from(is_load(*value));
            }
        }
        for (last_at, reported) in self.last_at.iter_mut().zip(&self.reported) {
            if *reported != 0 {
                *last_at = Some(at);
            }
        }
    }

    fn take_some(&mut self, at: Instant, list: &[DeviceIndex], columns: &[Vec<f32>]) {
        for (metric, column) in columns.iter().enumerate() {
            for (device, value) in list.iter().zip(column) {
                if (0.0..=100.0).contains(value) {
                    let d = device.index();
                    self.last[metric][d] = *value;
                    let peak = &mut self.slot_peak[metric][d];
                    *peak = if *peak >= *value { *peak } else { *value };
                    self.last_at[d] = Some(at);
                }
            }
        }
    }

    /// Demand and weight in service of every pool, summed in the order of enrolment.
    fn sum_pools(&mut self, at: Instant) {
        self.weigh(at);
        let Self { pools, shares, slot_disturbed, .. } = self;
        for pool in pools {
            let (mut serving, mut demand) = (0.0, 0.0);
            for member in &pool.members {
                let (weight, load) = shares[member.index()];
                serving += weight;
                demand += load;
            }
            let disturbed = serving < pool.weight_total - 1e-9;
            if disturbed {
                pool.members.iter().for_each(|member| slot_disturbed[member.index()] = true);
            }
            pool.demand = demand;
            pool.weight_serving = serving;
            let demand = demand as f32;
            if serving > 0.0 {
                pool.slot_peak = if pool.slot_peak >= demand { pool.slot_peak } else { demand };
            }
        }
    }

    /// What each device brings to its pool: weight in service, and demand in weight units.
    fn weigh(&mut self, at: Instant) {
        let mut shares = std::mem::take(&mut self.shares);
        let loads = &self.last[self.demand_metric];
        let heard = self.last_at.iter().map(|last| is_recent(*last, at));
        let absent = self.removed.iter().zip(&self.out).map(|(removed, out)| *removed || *out);
        let devices = heard.zip(absent).zip(&self.weight).zip(loads);
        shares.clear();
        shares.extend(devices.map(|(((heard, absent), weight), load)| {
            let weight = if heard && !absent { *weight } else { 0.0 };
            (weight, if load.is_finite() { weight * f64::from(*load) / 100.0 } else { 0.0 })
        }));
        self.shares = shares;
    }

    /// Closes the open slot when `at` lies in a later one.
    fn turn_slot(&mut self, at: Instant) -> bool {
        let number = slot_number(at, self.slot);
        match self.open_slot {
            None => {
                self.open_slot = Some(number);
                false
            }
            Some(open) if number > open => {
                self.close_slot(open);
                self.open_slot = Some(number);
                true
            }
            Some(_) => false,
        }
    }

    fn close_slot(&mut self, number: i64) {
        let Self { history, slot_peak, slot_disturbed, pools, pool_of, demand_metric, .. } = self;
        history.push_slot(number, |d, metric| {
            let (peak, disturbed) = (slot_peak[metric][d], slot_disturbed[d]);
            let corrects = disturbed && metric == *demand_metric;
            let value = if corrects { peak * pools[pool_of[d].index()].own_share() } else { peak };
            Sample { value, disturbed }
        });
        for column in &mut self.slot_peak {
            column.fill(f32::NAN);
        }
        self.slot_disturbed.fill(false);
        for pool in &mut self.pools {
            pool.history.push(number, pool.slot_peak);
            pool.slot_peak = f32::NAN;
        }
    }

    /// Weighted mean load of the devices in service, 0–100; 0 when none is.
    pub fn mean_load(&self) -> f64 {
        let (demand, weight) = self.pools.iter().fold((0.0, 0.0), |(d, w), p| (d + p.demand, w + p.weight_serving));
        if weight > 0.0 { demand / weight * 100.0 } else { 0.0 }
    }
}
