//! The watch while a rollout is under way: at every tick of telemetry, now and over the lookahead.

use super::Engine;
use super::run::{Run, Stage};
use crate::ids::PoolIndex;
use crate::journal::Entry;
use crate::journal::entry::{ReleaseEvidence, Verdict, VerdictEntry};
use crate::rollout::{Cause, RolloutState};
use crate::score;
use crate::time::Instant;

/// Fewer devices heard than this share of the fleet: too little is known to go on.
const HEARD_SHARE_MIN: f64 = 0.5;
/// Enough is known again from this share on.
const HEARD_SHARE_RESUME: f64 = 0.8;

/// The tightest pool of the fleet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tightest {
    pub(super) pool: PoolIndex,
    /// Demand over the weight in service, percent.
    pub(super) percent: f64,
}

impl Engine {
    /// Judges the fleet after a tick of telemetry.
    pub(super) fn watch(&mut self) {
        let Some(run) = &self.run else { return };
        if !run.state.is_active() {
            return;
        }
        self.watch_freshness();
        self.watch_release();
        self.watch_capacity();
    }

    fn judge(&mut self, verdict: Verdict, cause: Cause, value: f64, threshold: f64, evidence: String) {
        let entry = VerdictEntry { verdict, cause, value, threshold, evidence: evidence.clone(), release: None };
        self.record(Entry::Verdict(Box::new(entry)));
        if verdict == Verdict::Bad {
            self.stop_for(cause, &evidence);
        }
    }

    fn judge_release(&mut self, value: f64, threshold: f64, evidence: String, release: ReleaseEvidence) {
        let (verdict, cause) = (Verdict::Bad, Cause::BadRelease);
        let entry =
            VerdictEntry { verdict, cause, value, threshold, evidence: evidence.clone(), release: Some(release) };
        self.record(Entry::Verdict(Box::new(entry)));
        self.stop_for(cause, &evidence);
    }

    fn watch_freshness(&mut self) {
        let Some(run) = &self.run else { return };
        let expected = |d: &usize| !self.fleet.out[*d];
        let present: Vec<usize> = self.fleet.present().map(crate::ids::DeviceIndex::index).filter(expected).collect();
        if present.is_empty() {
            return;
        }
        let heard = present.iter().filter(|d| self.fleet.is_heard(**d, self.now)).count();
        let share = heard as f64 / present.len() as f64;
        if run.state == RolloutState::Running && share < HEARD_SHARE_MIN {
            let evidence = format!("{heard} of {} devices are heard; nothing can be said of the rest", present.len());
            self.judge(
                Verdict::Inconclusive,
                Cause::StaleTelemetry,
                share * 100.0,
                HEARD_SHARE_MIN * 100.0,
                evidence.clone(),
            );
            self.stop_for(Cause::StaleTelemetry, &evidence);
        } else if run.state == RolloutState::Paused
            && run.cause == Some(Cause::StaleTelemetry)
            && share >= HEARD_SHARE_RESUME
        {
            self.resume("telemetry is back");
        }
    }

    /// The capacity floor and the pool rule, now and forecast.
    fn watch_capacity(&mut self) {
        let Some(run) = &self.run else { return };
        if run.state != RolloutState::Running || !run.is_anything_in_flight() {
            // With nobody out there is nobody to bring back.
            return;
        }
        if self.policy.monitor.watch_pools && self.watch_pools() {
            return;
        }
        self.watch_floor();
    }

    fn watch_pools(&mut self) -> bool {
        let critical = self.policy.monitor.critical_load_percent;
        let Some(run) = &self.run else { return false };
        let touched = self.pools_in_flight(run);
        let is_watched =
            |p: &usize| touched[*p] && self.fleet.pools[*p].members.len() as u32 >= self.policy.plan.pool_members_min;
        let watched: Vec<usize> = (0..touched.len()).filter(is_watched).collect();
        for p in &watched {
            let percent = self.pool_percent_now(*p);
            if percent > critical {
                let name = &self.fleet.pools[*p].id;
                let evidence =
                    format!("pool {name} uses {percent:.0} % of its members in service (critical: {critical:.0} %)");
                self.judge(Verdict::Bad, Cause::CapacityFloor, percent, critical, evidence);
                return true;
            }
        }
        for p in watched {
            if let Some((at, percent)) = self.pool_breach_ahead(p, critical) {
                let name = &self.fleet.pools[p].id;
                let ahead = at.since(self.now);
                let evidence = format!(
                    "pool {name} is forecast to use {percent:.0} % of its members in {ahead} (critical: {critical:.0} %)"
                );
                self.judge(Verdict::Bad, Cause::ForecastBreach, percent, critical, evidence);
                return true;
            }
        }
        false
    }

    fn pools_in_flight(&self, run: &Run) -> Vec<bool> {
        let mut touched = vec![false; self.fleet.pools.len()];
        for (_, attempt) in run.in_flight() {
            touched[self.fleet.pool_of[attempt.device.index()].index()] = true;
        }
        touched
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

    /// First slot of the lookahead in which the expected demand passes `critical` percent of what will be in service.
    fn pool_breach_ahead(&self, pool: usize, critical: f64) -> Option<(Instant, f64)> {
        self.pool_ahead(pool).find(|(_, percent)| *percent > critical)
    }

    /// Expected demand over the weight in service for each slot of the lookahead, percent. The plan already kept room for the upper
    /// quantile; a stop is for what is to be expected, not for every wide interval.
    fn pool_ahead(&self, pool: usize) -> impl Iterator<Item = (Instant, f64)> + '_ {
        let slot = self.policy.plan.slot;
        let index = PoolIndex(pool as u32);
        let steps = self.policy.monitor.lookahead.steps_up(slot);
        (1..=steps).filter_map(move |step| {
            let at = self.now + slot.times(step);
            let demand = f64::from(self.forecasting.demand_point(index, at)?);
            let serving = self.weight_serving_at(pool, at);
            Some((at, if serving > 0.0 { demand / serving * 100.0 } else { 100.0 }))
        })
    }

    /// Σ weight of the members that will be in service at `at`: attempts come back when they should.
    fn weight_serving_at(&self, pool: usize, at: Instant) -> f64 {
        let Some(run) = &self.run else { return self.fleet.pools[pool].weight_serving };
        let weight = |device: &crate::ids::DeviceIndex| {
            let d = device.index();
            let in_flight = matches!(run.devices[d].stage, Stage::InFlight | Stage::RollingBack);
            let serves = if in_flight {
                run.attempt_of(*device).is_some_and(|(_, attempt)| attempt.until <= at && attempt.until > self.now)
            } else {
                self.fleet.is_heard(d, self.now)
            };
            if serves { self.fleet.facts[d].weight } else { 0.0 }
        };
        self.fleet.pools[pool].members.iter().map(weight).sum()
    }

    fn watch_floor(&mut self) {
        let Some(floor) = self.policy.monitor.capacity_floor else { return };
        let Some(run) = &self.run else { return };
        if run.count(Stage::Updated) < self.policy.monitor.floor_devices_min {
            return;
        }
        if let Some(now) = self.updated_capacity(None).filter(|now| *now < floor) {
            let evidence = format!("aggregate capacity of the updated devices is {now:.1} (floor: {floor:.1})");
            self.judge(Verdict::Bad, Cause::CapacityFloor, now, floor, evidence);
            return;
        }
        if let Some(ahead) = self.updated_capacity_ahead().filter(|ahead| *ahead < floor) {
            let evidence = format!(
                "aggregate capacity of the updated devices is forecast to fall to {ahead:.1} (floor: {floor:.1})"
            );
            self.judge(Verdict::Bad, Cause::ForecastBreach, ahead, floor, evidence);
        }
    }

    /// Aggregate capacity score of the updated devices now, or as expected at a moment ahead.
    pub(super) fn updated_capacity(&self, ahead: Option<Instant>) -> Option<f64> {
        let run = self.run.as_ref()?;
        let updated = run.targets.iter().filter(|d| run.devices[d.index()].stage == Stage::Updated);
        let demand_metric = self.fleet.demand_metric();
        let capacity = |device: &crate::ids::DeviceIndex| {
            let load = match ahead {
                None => self.fleet.last[demand_metric][device.index()],
                Some(at) => self.forecasting.load_point(*device, at)?,
            };
            load.is_finite().then(|| (self.fleet.facts[device.index()].weight, score::capacity(f64::from(load))))
        };
        score::aggregate(updated.filter_map(capacity))
    }

    /// The lowest of it over the lookahead.
    pub(super) fn updated_capacity_ahead(&self) -> Option<f64> {
        let slot = self.policy.plan.slot;
        let steps = self.policy.monitor.lookahead.steps_up(slot);
        (1..=steps).filter_map(|step| self.updated_capacity(Some(self.now + slot.times(step)))).reduce(f64::min)
    }

    /// Devices, not attempts: too many that ever failed, of those that came to an end.
    pub(super) fn watch_failures(&mut self) {
        let Some(run) = &self.run else { return };
        if run.state != RolloutState::Running {
            return;
        }
        let failed = run.targets.iter().filter(|d| run.devices[d.index()].ever_failed).count();
        let rules = &self.policy.monitor;
        let settled = run
            .targets
            .iter()
            .map(|d| &run.devices[d.index()])
            .filter(|d| d.ever_failed || matches!(d.stage, Stage::Updated | Stage::Failed | Stage::RolledBack))
            .count();
        let percent = failed as f64 / settled.max(1) as f64 * 100.0;
        let max = rules.failure_percent_max;
        if failed as u32 >= rules.failure_count_min && percent > max {
            let evidence = format!("{failed} of {settled} devices failed ({percent:.1} %, at most {max:.1} % may)");
            self.judge(Verdict::Bad, Cause::FailureThreshold, percent, max, evidence);
        }
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

    /// Updated devices against their pool-mates; see [`super::regression`].
    fn watch_release(&mut self) {
        let Some(run) = &mut self.run else { return };
        let tolerance = self.policy.monitor.regression_tolerance_points;
        let mut regression = std::mem::take(&mut run.regression);
        let alarm = regression.tick(&super::regression::View {
            now: self.now,
            fleet: &self.fleet,
            run,
            tolerance,
            slot: self.policy.plan.slot,
        });
        run.regression = regression;
        let running = run.state == RolloutState::Running;
        if let Some(alarm) = alarm.filter(|_| running) {
            let release = ReleaseEvidence::from(&alarm.evidence);
            self.judge_release(alarm.evidence.log_e, alarm.evidence.log_threshold, alarm.words, release);
        }
    }
}
