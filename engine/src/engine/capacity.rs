//! Capacity, now and ahead: what pools and updated devices have left, and what is done when it runs short.

use super::Engine;
use super::run::{Run, Stage};
use crate::ids::{DeviceIndex, PoolIndex, RolloutId};
use crate::journal::entry::Verdict;
use crate::policy::Basis;
use crate::rollout::Cause;
use crate::score;
use crate::time::{Instant, Span};

/// Deviations that plans keep free over a demand that climbs away from its forecast.
const PLAN_DEVIATIONS: f64 = 2.0;

/// The tightest pool of the fleet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tightest {
    pub(super) pool: PoolIndex,
    /// Demand over the weight in service, percent.
    pub(super) percent: f64,
}

impl Engine {
    /// Corrects the forecast by this tick of telemetry.
    pub(super) fn nowcast_tick(&mut self) {
        if !self.policy.monitor.nowcast {
            return;
        }
        let updated = self.updated_capacity(None, None).zip(self.updated_capacity(None, Some(self.now)));
        self.nowcast.tick(self.now, &self.fleet, &self.forecasting, updated);
    }

    /// Demand that plans must reckon with in the slot of `at` by what is seen now, in weight units.
    pub(super) fn nowcast_upper(&self, pool: PoolIndex, at: Instant) -> Option<f64> {
        let ahead = self.nowcast.demand(&self.forecasting, pool, at)?;
        Some(ahead.value + if ahead.climbs { PLAN_DEVIATIONS * ahead.deviation } else { 0.0 })
    }

    /// A batch that is due now was planned for a demand that meanwhile has left its bounds: plan anew before it goes.
    pub(super) fn watch_plan(&mut self) {
        let rules = &self.policy.plan;
        let Some(plan) = self.planning.plan.as_ref().filter(|_| rules.basis == Basis::Forecast) else { return };
        let slots = self.window_slots();
        let is_left = |pool: &PoolIndex| {
            (0..slots).map(|s| self.now + rules.slot.times(s)).any(|at| {
                let upper = self.forecasting.demand_upper(*pool, at);
                let planned =
                    upper.map(|upper| self.forecasting.demand_seen(*pool, at).map_or(upper, |seen| seen.max(upper)));
                planned.zip(self.nowcast_upper(*pool, at)).is_some_and(|(planned, now)| now > f64::from(planned))
            })
        };
        let due = plan.batches.iter().take_while(|batch| batch.start <= self.now).flat_map(|batch| &batch.devices);
        let mut last = None;
        let mut pools =
            due.map(|device| self.fleet.pool_of[device.index()]).filter(|pool| last.replace(*pool) != Some(*pool));
        if pools.any(|pool| is_left(&pool)) {
            self.replan("demand has left its forecast");
        }
    }

    /// The pool rule, now and forecast, for every pool that has devices out. The rollouts that are out in a pool that lacks capacity stop
    /// one after the other, the last in standing first, until what comes back is enough.
    pub(super) fn watch_pools(&mut self) {
        let critical = self.policy.monitor.critical_load_percent;
        let touched = self.pools_in_flight();
        let is_watched =
            |p: &usize| touched[*p] && self.fleet.pools[*p].members.len() as u32 >= self.policy.plan.pool_members_min;
        let watched: Vec<usize> = (0..touched.len()).filter(is_watched).collect();
        for p in &watched {
            let percent = self.pool_percent_now(*p);
            if percent > critical {
                let name = &self.fleet.pools[*p].id;
                let evidence =
                    format!("pool {name} uses {percent:.0} % of its members in service (critical: {critical:.0} %)");
                self.relieve(*p, self.now, Cause::CapacityFloor, percent, &evidence);
            }
        }
        for p in watched {
            if let Some((at, percent)) = self.pool_breach_ahead(p, critical) {
                let name = &self.fleet.pools[p].id;
                let ahead = at.since(self.now);
                let evidence = format!(
                    "pool {name} is expected to use {percent:.0} % of its members in {ahead} (critical: {critical:.0} %)"
                );
                self.relieve(p, at, Cause::ForecastBreach, percent, &evidence);
            }
        }
    }

    /// Stops running rollouts with devices out in a pool until what they give back relieves it.
    fn relieve(&mut self, pool: usize, at: Instant, cause: Cause, percent: f64, evidence: &str) {
        let critical = self.policy.monitor.critical_load_percent;
        let serving = self.weight_serving_at(pool, at);
        // What the pool needs to serve at the critical line, from what it lacks now.
        let mut lacks = (percent / critical - 1.0) * serving;
        for id in self.standing().into_iter().rev() {
            let returned: f64 = self
                .ledger
                .open_of(id)
                .filter(|(_, attempt)| self.fleet.pool_of[attempt.device.index()].index() == pool)
                .map(|(_, attempt)| self.fleet.weight[attempt.device.index()])
                .sum();
            if returned <= 0.0 || lacks <= 0.0 {
                continue;
            }
            lacks -= returned;
            self.judge(id, Verdict::Bad, cause, (percent, critical), evidence.to_owned());
        }
    }

    fn pools_in_flight(&self) -> Vec<bool> {
        let mut touched = vec![false; self.fleet.pools.len()];
        for (_, attempt) in self.ledger.open() {
            touched[self.fleet.pool_of[attempt.device.index()].index()] = true;
        }
        touched
    }

    /// How much of a pool's weight in service its demand takes, percent: now, and the most that is expected over the lookahead.
    pub fn pool_use(&self, pool: PoolIndex) -> (f64, Option<f64>) {
        let ahead = self.pool_ahead(pool.index()).map(|(_, percent)| percent).reduce(f64::max);
        (self.pool_percent_now(pool.index()), ahead)
    }

    /// Demand over the weight in service, percent.
    pub(super) fn pool_percent_now(&self, pool: usize) -> f64 {
        let pool = &self.fleet.pools[pool];
        if pool.weight_serving > 0.0 {
            pool.demand / pool.weight_serving * 100.0
        } else if pool.demand > 0.0 {
            100.0
        } else {
            0.0
        }
    }

    /// First moment of the lookahead at which the expected demand passes `critical` percent of what will be in service. Doubt is in the
    /// nowcast itself, which corrects by no more than noise leaves unexplained: a margin on top of it came too late (decision 5).
    fn pool_breach_ahead(&self, pool: usize, critical: f64) -> Option<(Instant, f64)> {
        self.pool_ahead(pool).find(|(_, percent)| *percent > critical)
    }

    /// Expected demand over the weight in service at moments of the lookahead, percent. The plan already kept room for the upper
    /// quantile; a stop is for what is to be expected, not for every wide interval.
    fn pool_ahead(&self, pool: usize) -> impl Iterator<Item = (Instant, f64)> + '_ {
        let index = PoolIndex(pool as u32);
        let nowcast = self.policy.monitor.nowcast;
        // A third of a slot is a tick in most fleets: who comes back within a slot may be missed before.
        let step = Span::from_millis(self.policy.plan.slot.as_millis() / if nowcast { 3 } else { 1 });
        let steps = self.policy.monitor.lookahead.steps_up(step);
        (1..=steps).filter_map(move |n| {
            let at = self.now + step.times(n);
            let demand = match self.nowcast.demand(&self.forecasting, index, at) {
                Some(ahead) => ahead.value,
                None => f64::from(self.forecasting.demand_point(index, at)?),
            };
            let serving = self.weight_serving_at(pool, at);
            Some((at, if serving > 0.0 { demand / serving * 100.0 } else { 100.0 }))
        })
    }

    /// Σ weight of the members that will be in service at `at`: attempts come back when they should.
    fn weight_serving_at(&self, pool: usize, at: Instant) -> f64 {
        let weight = |device: &DeviceIndex| {
            let d = device.index();
            let serves = match self.ledger.holder(*device) {
                Some((_, attempt)) => attempt.until <= at && attempt.until > self.now,
                None => self.fleet.is_heard(d, self.now),
            };
            if serves { self.fleet.weight[d] } else { 0.0 }
        };
        self.fleet.pools[pool].members.iter().map(weight).sum()
    }

    /// The capacity floor of a rollout's updated devices, now and forecast. With nobody out there is nobody to bring back.
    pub(super) fn watch_floor(&mut self, rollout: RolloutId) {
        let Some(floor) = self.policy.monitor.capacity_floor else { return };
        let Some(run) = self.run(rollout) else { return };
        let is_watched = run.is_running() && run.is_anything_in_flight();
        if !is_watched || run.count(Stage::Updated) < self.policy.monitor.floor_devices_min {
            return;
        }
        if let Some(now) = self.updated_capacity(Some(rollout), None).filter(|now| *now < floor) {
            let evidence = format!("aggregate capacity of the updated devices is {now:.1} (floor: {floor:.1})");
            self.judge(rollout, Verdict::Bad, Cause::CapacityFloor, (now, floor), evidence);
            return;
        }
        if let Some(ahead) = self.updated_capacity_ahead(Some(rollout)).filter(|ahead| *ahead < floor) {
            let evidence = format!(
                "aggregate capacity of the updated devices is forecast to fall to {ahead:.1} (floor: {floor:.1})"
            );
            self.judge(rollout, Verdict::Bad, Cause::ForecastBreach, (ahead, floor), evidence);
        }
    }

    /// By pool: the load of a member over its own, given who will be out at a moment. Load of members that are out moves to the others.
    fn moved_at(&self, at: Instant) -> Vec<f64> {
        let moved = |(p, pool): (usize, &crate::fleet::Pool)| {
            let serving = if at <= self.now { pool.weight_serving } else { self.weight_serving_at(p, at) };
            if serving > 0.0 { pool.weight_total / serving } else { 1.0 }
        };
        self.fleet.pools.iter().enumerate().map(moved).collect()
    }

    /// Aggregate capacity score of the devices a rollout has updated (`None`: of all active rollouts), now or as expected at a moment ahead,
    /// given who will be out then.
    pub(super) fn updated_capacity(&self, rollout: Option<RolloutId>, ahead: Option<Instant>) -> Option<f64> {
        let of = |run: &&Run| rollout.map_or_else(|| run.state.is_active(), |id| run.id == id);
        // Asked at every tick, also when no rollout has updated anybody: then no device need be looked at.
        let runs: Vec<&Run> = self.rollouts.iter().filter(of).filter(|run| run.count(Stage::Updated) > 0).collect();
        if runs.is_empty() {
            return None;
        }
        let updated = |device: &DeviceIndex| runs.iter().any(|run| run.stage(*device) == Stage::Updated);
        let demand_metric = self.fleet.demand_metric();
        let moved = ahead.map(|at| self.moved_at(at)).unwrap_or_default();
        let capacity = |device: DeviceIndex| {
            let d = device.index();
            let load = match ahead {
                None => f64::from(self.fleet.last[demand_metric][d]),
                Some(at) => f64::from(self.forecasting.load_point(device, at)?) * moved[self.fleet.pool_of[d].index()],
            };
            load.is_finite().then(|| (self.fleet.weight[d], score::capacity(load)))
        };
        score::aggregate(self.fleet.present().filter(updated).filter_map(capacity))
    }

    /// The lowest of it over the lookahead.
    pub(super) fn updated_capacity_ahead(&self, rollout: Option<RolloutId>) -> Option<f64> {
        let slot = self.policy.plan.slot;
        let steps = self.policy.monitor.lookahead.steps_up(slot);
        let expected = |step| {
            let at = self.now + slot.times(step);
            let correction = self.nowcast.updated(at).map_or(0.0, |ahead| ahead.value);
            Some((self.updated_capacity(rollout, Some(at))? + correction).clamp(0.0, 100.0))
        };
        (1..=steps).filter_map(expected).reduce(f64::min)
    }

    /// The pool with the highest use now, and the highest use forecast for it over the lookahead.
    pub(super) fn tightest(&self) -> (Tightest, Option<f64>) {
        let mut tightest = Tightest { pool: PoolIndex(0), percent: 0.0 };
        for p in 0..self.fleet.pools.len() {
            let percent = self.pool_percent_now(p);
            if percent > tightest.percent {
                tightest = Tightest { pool: PoolIndex(p as u32), percent };
            }
        }
        let ahead = if self.fleet.pools.is_empty() {
            None
        } else {
            self.pool_ahead(tightest.pool.index()).map(|(_, percent)| percent).reduce(f64::max)
        };
        (tightest, ahead)
    }
}
