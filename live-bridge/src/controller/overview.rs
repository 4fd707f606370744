//! Everything at a glance, for the dashboard: never longer than a person can look at, however large the fleet.

use super::board::{told, told_sign_off};
use super::driver::Driver;
use super::intercom::Verb;
use super::map::{Map, draw};
use super::news::Decision;
use serde::Serialize;
use slacktide_engine::ids::{DeviceIndex, PoolIndex, RolloutId};
use slacktide_engine::journal::entry::StateCounts;
use slacktide_engine::rollout::{RolloutEvent, RolloutState};
use slacktide_engine::time::Instant;
use slacktide_engine::{DevicePlace, Place};
use std::collections::BTreeMap;
use std::time::Duration;

/// Rollouts that are over and still shown.
const ENDED_MAX: usize = 5;
/// Pools in the table; of more, the tightest.
const POOLS_MAX: usize = 100;
/// Devices named with a reason.
const EXAMPLES_MAX: usize = 5;

/// All of it.
#[derive(Debug, Serialize)]
pub(crate) struct Overview {
    pub(crate) schema: &'static str,
    pub(crate) at_ms: i64,
    pub(crate) policy: String,
    pub(crate) stopped: Option<String>,
    pub(crate) devices: DevicesView,
    pub(crate) rollouts: Vec<RolloutView>,
    pub(crate) rollouts_left_off: usize,
    /// Use of a pool at which rollouts stop, percent.
    pub(crate) critical_percent: f64,
    pub(crate) pools: Vec<PoolView>,
    pub(crate) pools_left_off: usize,
    #[serde(skip)]
    pub(crate) map: Map,
    #[serde(skip)]
    pub(crate) decisions: Vec<Decision>,
    /// How long the engine's thread was kept from its work by this look.
    #[serde(skip)]
    pub(crate) took: Duration,
}

#[derive(Debug, Serialize)]
pub(crate) struct DevicesView {
    pub(crate) total: usize,
    pub(crate) connected: usize,
    /// Of the fleet file, never heard of.
    pub(crate) absent: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct RolloutView {
    pub(crate) number: u32,
    pub(crate) package: String,
    pub(crate) version: String,
    pub(crate) state: &'static str,
    pub(crate) is_over: bool,
    pub(crate) cause: Option<&'static str>,
    pub(crate) detail: String,
    pub(crate) since_ms: Option<i64>,
    pub(crate) created_by: Option<String>,
    /// Who signed off what was simulated, and until when that is good.
    pub(crate) signed_off: Option<String>,
    pub(crate) counts: StateCounts,
    pub(crate) next_batch: Option<NextBatch>,
    pub(crate) waiting: Vec<WaitingView>,
    /// What may be done to it now, by whoever may.
    pub(crate) actions: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
pub(crate) struct NextBatch {
    pub(crate) at_ms: i64,
    pub(crate) devices: u32,
}

/// Devices that wait for one reason.
#[derive(Debug, Serialize)]
pub(crate) struct WaitingView {
    pub(crate) reason: &'static str,
    pub(crate) devices: usize,
    /// Earliest time at which it may change for the first of them.
    pub(crate) earliest_ms: Option<i64>,
    pub(crate) examples: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct PoolView {
    pub(crate) name: String,
    pub(crate) members: usize,
    /// Taken out of service by a rollout.
    pub(crate) out: usize,
    /// Not heard of.
    pub(crate) silent: usize,
    pub(crate) weight_total: f64,
    pub(crate) weight_serving: f64,
    /// Demand as a share of the weight in service.
    pub(crate) use_percent: f64,
    /// The most that is expected over the lookahead.
    pub(crate) ahead_percent: Option<f64>,
}

impl Driver {
    /// A look at everything.
    pub(super) fn overview(&self, now: Instant) -> Overview {
        let began = std::time::Instant::now();
        let mut places: Vec<Option<DevicePlace>> = vec![None; self.engine.fleet().len()];
        self.engine.places().for_each(|one| {
            let at = one.device.index();
            places[at] = Some(one);
        });
        let (rollouts, rollouts_left_off) = self.rollouts(now, &places);
        let (pools, pools_left_off) = self.pools(now);
        let map = draw(&self.engine, &self.registry, &self.board, &places, now);
        let devices = DevicesView {
            total: self.registry.devices().len(),
            connected: self.registry.connected(),
            absent: self.registry.absent(&self.engine),
        };
        Overview {
            schema: "slacktide/dashboard/1",
            at_ms: now.as_millis(),
            policy: self.engine.policy().name.clone(),
            stopped: self.desk.stopped().map(str::to_owned),
            devices,
            rollouts,
            rollouts_left_off,
            critical_percent: self.engine.policy().monitor.critical_load_percent,
            pools,
            pools_left_off,
            map,
            decisions: self.board.news.lines().cloned().collect(),
            took: began.elapsed(),
        }
    }

    /// Those under way, then those that are over; in each the newest first.
    fn rollouts(&self, now: Instant, places: &[Option<DevicePlace>]) -> (Vec<RolloutView>, usize) {
        let mut waiting = self.waiting(places);
        let (over, under_way): (Vec<_>, Vec<_>) = self.engine.rollouts().partition(|(_, state)| state.is_end());
        let left_off = over.len().saturating_sub(ENDED_MAX);
        let shown = under_way.into_iter().rev().chain(over.into_iter().rev().take(ENDED_MAX));
        let view = |(id, state)| self.rollout(now, id, state, waiting.remove(&id).unwrap_or_default());
        (shown.filter_map(view).collect(), left_off)
    }

    fn rollout(
        &self,
        now: Instant,
        id: RolloutId,
        state: RolloutState,
        waiting: Vec<WaitingView>,
    ) -> Option<RolloutView> {
        let package = self.board.package(id)?;
        let turn = self.board.news.turn(id);
        let next = self.board.next_batch(state, now);
        Some(RolloutView {
            number: id.0,
            package: package.name.clone(),
            version: package.version.to_string(),
            state: state.name(),
            is_over: state.is_end(),
            cause: self.engine.pause_cause(id).map(|cause| cause.name()),
            detail: turn.map(|turn| turn.detail.clone()).unwrap_or_default(),
            since_ms: turn.map(|turn| turn.at.as_millis()),
            created_by: self.desk.creator(id).map(str::to_owned),
            signed_off: self.board.sign_off(id).map(told_sign_off),
            counts: self.engine.state_counts(id),
            next_batch: next.map(|(at, devices)| NextBatch { at_ms: at.as_millis(), devices }),
            waiting,
            actions: actions(state, self.desk.stopped().is_some()),
        })
    }

    /// Who waits for what, by rollout; the most frequent reason first.
    fn waiting(&self, places: &[Option<DevicePlace>]) -> BTreeMap<RolloutId, Vec<WaitingView>> {
        let mut waiting: BTreeMap<RolloutId, BTreeMap<&'static str, WaitingView>> = BTreeMap::new();
        for one in places.iter().flatten().filter(|one| one.place == Place::Waiting) {
            let (Some(rollout), Some((on, earliest))) = (one.rollout, &one.waits) else { continue };
            let name = on.name();
            let view = waiting.entry(rollout).or_default().entry(name).or_insert_with(|| WaitingView {
                reason: name,
                devices: 0,
                earliest_ms: None,
                examples: Vec::new(),
            });
            view.devices += 1;
            let earliest = earliest.map(Instant::as_millis);
            view.earliest_ms = view.earliest_ms.into_iter().chain(earliest).min();
            if view.examples.len() < EXAMPLES_MAX {
                view.examples.push(format!("{}: {}", self.name(one.device), told(on)));
            }
        }
        let sorted = waiting.into_iter().map(|(rollout, views)| {
            let mut views: Vec<WaitingView> = views.into_values().collect();
            views.sort_by_key(|view| std::cmp::Reverse(view.devices));
            (rollout, views)
        });
        sorted.collect()
    }

    /// By name; where there are too many, the tightest.
    fn pools(&self, now: Instant) -> (Vec<PoolView>, usize) {
        let pools = &self.engine.fleet().pools;
        let mut shown: Vec<usize> = (0..pools.len()).filter(|p| !pools[*p].members.is_empty()).collect();
        let tightness = |p: &usize| {
            let pool = &pools[*p];
            if pool.weight_serving > 0.0 { pool.demand / pool.weight_serving } else { f64::INFINITY }
        };
        let left_off = shown.len().saturating_sub(POOLS_MAX);
        if left_off > 0 {
            shown.sort_by(|a, b| tightness(b).total_cmp(&tightness(a)));
            shown.truncate(POOLS_MAX);
        }
        let mut views: Vec<PoolView> = shown.into_iter().map(|p| self.pool(now, p)).collect();
        views.sort_by(|a, b| a.name.cmp(&b.name));
        (views, left_off)
    }

    fn pool(&self, now: Instant, p: usize) -> PoolView {
        let fleet = self.engine.fleet();
        let pool = &fleet.pools[p];
        let is_out = |device: &&DeviceIndex| fleet.out[device.index()];
        let is_silent = |device: &&DeviceIndex| !fleet.out[device.index()] && !fleet.is_heard(device.index(), now);
        let (use_percent, ahead_percent) = self.engine.pool_use(PoolIndex(p as u32));
        PoolView {
            name: pool.id.to_string(),
            members: pool.members.len(),
            out: pool.members.iter().filter(is_out).count(),
            silent: pool.members.iter().filter(is_silent).count(),
            weight_total: rounded(pool.weight_total),
            weight_serving: rounded(pool.weight_serving),
            use_percent: rounded(use_percent),
            ahead_percent: ahead_percent.map(rounded),
        }
    }
}

/// To a tenth: more is noise to a reader, and a change to a program.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn actions(state: RolloutState, is_stopped: bool) -> Vec<&'static str> {
    let event = |verb: &Verb| match verb {
        Verb::Approve => RolloutEvent::Approve,
        Verb::Start => RolloutEvent::Start,
        Verb::Pause => RolloutEvent::Pause,
        Verb::Resume => RolloutEvent::Resume,
        Verb::Abort => RolloutEvent::Abort,
    };
    let is_held = |verb: &Verb| is_stopped && matches!(verb, Verb::Start | Verb::Resume);
    let mut verbs = Verb::ALL.to_vec();
    verbs.retain(|verb| state.after(event(verb)).is_some() && !is_held(verb));
    verbs.into_iter().map(Verb::name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_done_follows_the_state_and_the_stop() {
        assert_eq!(actions(RolloutState::Running, false), ["pause", "abort"]);
        assert_eq!(actions(RolloutState::Paused, false), ["resume", "abort"]);
        assert_eq!(actions(RolloutState::Paused, true), ["abort"]);
        assert_eq!(actions(RolloutState::WaitingForApproval, true), ["approve", "abort"]);
        assert!(actions(RolloutState::Finished, false).is_empty());
    }
}
