//! From what is believed to a [`PlanInput`].

use super::Engine;
use super::run::{Run, Stage};
use super::standing::Candidate;
use crate::ids::{DeviceIndex, PoolIndex, RegionIndex, RolloutId, WaveIndex};
use crate::plan::outlook::LaterWave;
use crate::plan::{PlanDevice, PlanInput, PlanLimits, PlanPool, PlanRegion, WaitingOn};
use crate::policy::Basis;
use crate::policy::priority::priority;
use crate::rollout::{AttemptState, Hop};
use crate::score;
use crate::time::{Instant, Span};
use crate::window::Zone;
use std::collections::BTreeMap;

impl Engine {
    /// Devices that wait for a later wave to open.
    pub(super) fn closed_waves(&self, standing: &[RolloutId]) -> u32 {
        let closed = |run: &Run| {
            let waits = |d: &&DeviceIndex| {
                let at = &run.devices[d.index()];
                at.stage == Stage::Waiting && !run.is_wave_open(at.wave)
            };
            run.targets.iter().filter(waits).count() as u32
        };
        standing.iter().filter_map(|id| self.run(*id)).map(closed).sum()
    }

    /// Everything the planner may know: each device once, for the first rollout that wants it. Whose wave is closed is left out.
    pub(super) fn plan_input(
        &self,
        start: Instant,
        standing: &[RolloutId],
    ) -> (PlanInput, BTreeMap<DeviceIndex, (RolloutId, Hop)>) {
        let rules = &self.policy.plan;
        let slots = rules.horizon.steps_down(rules.slot).clamp(1, PlanInput::SLOTS_MAX);
        let mut chosen = BTreeMap::new();
        let mut input = PlanInput {
            start,
            slot: rules.slot,
            slots,
            devices: Vec::new(),
            load_scores: Vec::new(),
            pools: self.plan_pools(start, slots),
            regions: self.plan_regions(start, slots),
            limits: self.plan_limits(standing, start, slots),
        };
        for device in self.fleet.present() {
            let load = self.load_score_at(device, self.now);
            let Some(candidate) = self.candidate(device, standing, score::capacity(load)) else { continue };
            if matches!(candidate.barred, Some((WaitingOn::WaveNotOpen { .. }, _))) {
                continue;
            }
            if let Some(hop) = candidate.hop {
                chosen.insert(device, (candidate.rollout, hop));
            }
            let planned = self.plan_device(device, candidate, standing, load, &input);
            input.devices.push(planned);
            let scores: Vec<f32> = self.window_scores(device, &input).collect();
            input.load_scores.extend(scores);
        }
        self.promise_in_flight(&mut input);
        (input, chosen)
    }

    /// Those who wait for their waves, wave by wave and rollout by rollout.
    pub(super) fn later_waves(&self, standing: &[RolloutId], input: &PlanInput) -> Vec<LaterWave> {
        let mut later = Vec::new();
        for run in standing.iter().filter_map(|id| self.run(*id)) {
            for number in run.opened.len() as u16..run.waves {
                let before = usize::from(number).checked_sub(1).and_then(|before| self.policy.waves.get(before));
                let soak = before.map_or(Span::ZERO, |before| before.soak);
                let opens_at = self.wave_opens_at(run, WaveIndex(number));
                let mut wave = LaterWave { soak, opens_at, ..LaterWave::default() };
                for device in &run.targets {
                    let at = &run.devices[device.index()];
                    if at.stage == Stage::Waiting && at.wave == WaveIndex(number) {
                        self.push_later(run, *device, standing, input, &mut wave);
                    }
                }
                later.push(wave);
            }
        }
        later
    }

    fn push_later(
        &self,
        run: &Run,
        device: DeviceIndex,
        standing: &[RolloutId],
        input: &PlanInput,
        wave: &mut LaterWave,
    ) {
        let load = self.load_score_at(device, self.now);
        // A device that goes for another rollout first has its place there.
        let own = self.candidate(device, standing, score::capacity(load)).filter(|own| own.rollout == run.id);
        if let Some(candidate) = own {
            wave.turns.push(run.devices[device.index()].after);
            wave.devices.push(self.plan_device(device, candidate, standing, load, input));
            wave.load_scores.extend(self.window_scores(device, input));
        }
    }

    fn window_scores(&self, device: DeviceIndex, input: &PlanInput) -> impl Iterator<Item = f32> {
        (0..input.slots).map(move |s| self.load_score_at(device, input.start + input.slot.times(s)) as f32)
    }

    fn plan_device(
        &self,
        device: DeviceIndex,
        candidate: Candidate,
        standing: &[RolloutId],
        load: f64,
        input: &PlanInput,
    ) -> PlanDevice {
        let d = device.index();
        let facts = &self.fleet.facts[d];
        let rank = standing.iter().position(|id| *id == candidate.rollout).unwrap_or(standing.len());
        let wave = self.run(candidate.rollout).map_or(WaveIndex(0), |run| run.devices[d].wave);
        let region = self.fleet.region_of[d];
        let download_bytes = candidate.hop.map_or(0.0, |hop| hop.size_bytes as f64);
        // A window is no shorter than its download; one that the horizon cannot hold is the planner's to refuse.
        let download = input.regions[region.index()].download_slots(download_bytes);
        let out_slots = self.window_slots().max(if download <= input.slots { download } else { 1 });
        PlanDevice {
            index: device,
            id: facts.id.clone(),
            pool: self.fleet.pool_of[d],
            region,
            weight: facts.weight,
            requirement: facts.requirement,
            rank: rank as u32,
            priority: priority(&self.policy.priority, self.fleet.criticality[d], load),
            wave,
            out_slots,
            download_bytes,
            telemetry_age: self.fleet.last_at[d].map(|at| self.now.since(at)),
            barred: candidate.barred,
            // Who is silent may serve all the same: the controller may have been away.
            already_out: false,
        }
    }

    fn plan_limits(&self, standing: &[RolloutId], start: Instant, slots: usize) -> PlanLimits {
        let rules = &self.policy.plan;
        let targets = standing.iter().filter_map(|id| self.run(*id)).map(|run| run.targets.len()).max();
        PlanLimits {
            batch_requirement_max: rules.batch_requirement_max,
            batch_capacity_max: rules.batch_capacity_max,
            batch_devices_max: rules.batch_devices_max.of(targets.unwrap_or(0) as u32),
            starts_max: self.starts_max(start, slots),
            load_limit: rules.load_limit_percent / 100.0,
            pool_reserve: rules.pool_reserve_percent / 100.0,
            pool_rule: rules.basis != Basis::Ignore,
            pool_members_min: rules.pool_members_min,
            device_load_tolerance: rules.device_load_tolerance_points,
            device_load_max: rules.device_load_max.filter(|_| rules.basis != Basis::Ignore),
            telemetry_age_max: rules.telemetry_age_max,
            spread_regions: true,
        }
    }

    fn plan_pools(&self, start: Instant, slots: usize) -> Vec<PlanPool> {
        let rules = &self.policy.plan;
        let pool = |(index, pool): (usize, &crate::fleet::Pool)| {
            let members = pool.members.len() as u32;
            let at = |s| self.demand_planned(PoolIndex(index as u32), start + rules.slot.times(s)).max(0.0);
            PlanPool {
                name: pool.id.to_string(),
                weight_total: pool.weight_total,
                members,
                demand_upper: (0..slots).map(at).collect(),
                out_weight: vec![0.0; slots],
                out_count: vec![0; slots],
                out_count_max: rules.pool_out_max.of(members),
            }
        };
        #[cfg(feature = "planted-faults")]
        let pool = |one| {
            let mut pool: PlanPool = pool(one);
            if self.has(crate::planted::Fault::BudgetOffByOne) {
                pool.out_count_max = pool.out_count_max.map(|max| max + 1);
            }
            pool
        };
        self.fleet.pools.iter().enumerate().map(pool).collect()
    }

    fn plan_regions(&self, start: Instant, slots: usize) -> Vec<PlanRegion> {
        let (rules, calendar) = (&self.policy.plan, &self.policy.calendar);
        // Regions of one zone open together.
        let mut by_zone: BTreeMap<String, (Vec<bool>, Option<Instant>)> = BTreeMap::new();
        let mut region = |region: &crate::fleet::Region| {
            let own = self.policy.region(region.id.as_str());
            let zone = own.zone.as_ref().filter(|_| calendar.is_local());
            let hours = || (calendar.slots_open(zone, start, rules.slot, slots), calendar.next_open(zone, start));
            let name = zone.map_or("", Zone::name).to_owned();
            let (slot_open, next_open) = by_zone.entry(name).or_insert_with(hours).clone();
            #[cfg(feature = "planted-faults")]
            let slot_open = if self.has(crate::planted::Fault::IgnoredWindow) { vec![true; slots] } else { slot_open };
            PlanRegion {
                name: region.id.to_string(),
                slot_open,
                next_open,
                download_bytes_max: own.link_bytes(rules.slot),
                downloading_bytes: vec![0.0; slots],
                out_count: vec![0; slots],
                out_count_max: own.out_max.unwrap_or(rules.region_out_max).of(region.members),
            }
        };
        self.fleet.regions.iter().map(&mut region).collect()
    }

    /// Books everybody who is out already: attempts until they should be back (one slot more when they are late), silent devices for
    /// the whole horizon, since nobody knows when they return.
    fn promise_in_flight(&self, input: &mut PlanInput) {
        for (_, attempt) in self.ledger.open() {
            let until = attempt.until.max(input.start + input.slot);
            self.promise(input, attempt.device, until.since(input.start).steps_up(input.slot));
            if matches!(attempt.state, AttemptState::Queued | AttemptState::Dispatched | AttemptState::Downloading) {
                let passed = input.start.since(attempt.begun.floor_to(input.slot)).steps_down(input.slot);
                let region = &mut input.regions[self.fleet.region_of[attempt.device.index()].index()];
                region.promise_download(attempt.size_bytes as f64, passed);
            }
        }
        for device in self.fleet.present() {
            if self.ledger.holder(device).is_none() && !self.fleet.is_heard(device.index(), self.now) {
                self.promise(input, device, input.slots);
            }
        }
    }

    fn promise(&self, input: &mut PlanInput, device: DeviceIndex, slots: usize) {
        let d = device.index();
        let weight = self.fleet.weight[d];
        let PoolIndex(pool) = self.fleet.pool_of[d];
        let RegionIndex(region) = self.fleet.region_of[d];
        let (pool, region) = (&mut input.pools[pool as usize], &mut input.regions[region as usize]);
        for slot in 0..slots.min(input.slots) {
            pool.out_weight[slot] += weight;
            pool.out_count[slot] += 1;
            region.out_count[slot] += 1;
        }
    }
}
