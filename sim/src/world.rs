//! Who serves what: demand belongs to a pool, and moves to the others when a member is out.
//!
//! A load balancer keeps every member at or under the overload limit as long as the pool has room: what a member that is out, or over
//! its limit, cannot serve goes to the others in proportion to their headroom. When there is no room left, everybody in service is
//! overloaded alike; what would push a device over 100 % is not served.

use crate::condition::{Conditions, Service};
use slacktide_engine::input::DeviceFacts;
use slacktide_engine::time::{Instant, Span};
use slacktide_engine::version::Version;
use slacktide_scenarios::{BadReleaseKind, Scenario};
use std::collections::BTreeMap;
use std::ops::Range;

/// What one world cost so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) overload_device_minutes: f64,
    pub(crate) demand: f64,
    pub(crate) unserved: f64,
}

/// The devices as they are.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) facts: Vec<DeviceFacts>,
    pub(crate) conditions: Conditions,
    pools: Vec<Members>,
    pool_of: Vec<usize>,
    /// As in the facts, close together: every tick sums them over every pool.
    weight: Vec<f64>,
    /// Demand of each pool at the last tick, weight units.
    demand: Vec<f64>,
    limit: f32,
    bad: Vec<bool>,
    bad_kind: Option<(BadReleaseKind, Version)>,
    cost_cpu: f32,
    pub(crate) actual: Cost,
    pub(crate) without: Cost,
    pub(crate) breaches: Breaches,
    /// Faults by kind.
    pub(crate) befallen: BTreeMap<&'static str, u64>,
}

/// Pools that need more of their members in service than is critical, while the rollout has some of their devices out.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Breaches {
    pub(crate) critical_percent: f64,
    pub(crate) first: Option<Instant>,
    pub(crate) pool_minutes: f64,
}

#[derive(Clone, Copy)]
struct Served {
    overloaded: bool,
    in_service: usize,
    /// Of those in service.
    weight: f64,
    demand: f64,
    /// What members that are out or over their limit cannot serve.
    excess: f64,
    unserved: f64,
    /// Share of headroom that is taken, and what is added beyond.
    share: f32,
    beyond: f32,
}

impl World {
    pub(crate) fn new(scenario: &Scenario, facts: Vec<DeviceFacts>) -> Self {
        let mut pools: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (d, fact) in facts.iter().enumerate() {
            pools.entry(fact.pool.to_string()).or_default().push(d);
        }
        let bad = |fact: &DeviceFacts| {
            scenario
                .failures
                .bad_release
                .as_ref()
                .is_some_and(|b| b.variants.is_empty() || b.variants.contains(&fact.variant))
        };
        Self {
            conditions: Conditions::new(facts.iter().map(|fact| fact.version)),
            demand: vec![0.0; pools.len()],
            pool_of: pool_of(&pools, facts.len()),
            pools: pools.into_values().map(Members::new).collect(),
            weight: facts.iter().map(|fact| fact.weight).collect(),
            limit: scenario.overload_limit_percent as f32,
            bad: facts.iter().map(bad).collect(),
            bad_kind: scenario.failures.bad_release.as_ref().map(|b| (b.kind, b.version)),
            cost_cpu: scenario.updates.cost_cpu_percent as f32,
            actual: Cost::default(),
            without: Cost::default(),
            breaches: Breaches::default(),
            befallen: BTreeMap::new(),
            facts,
        }
    }

    /// Counts faults of one kind.
    pub(crate) fn befall(&mut self, kind: &'static str, times: u64) {
        if times > 0 {
            *self.befallen.entry(kind).or_default() += times;
        }
    }

    /// What is wrong with a release on this device, if anything.
    pub(crate) fn is_bad_on(&self, device: usize, release: Version) -> Option<BadReleaseKind> {
        self.bad_kind.filter(|(_, bad)| self.bad[device] && *bad == release).map(|(kind, _)| kind)
    }

    /// Turns own load into what devices carry (in place), and adds a tick to the books of this world and of the same world without the
    /// rollout. Devices that are out or crashed report nothing (NaN).
    pub(crate) fn serve(&mut self, now: Instant, tick: Span, book: bool, columns: &mut [Vec<f32>]) {
        let minutes = tick.as_secs_f64() / 60.0;
        self.conditions.settle(self.bad_kind.is_some());
        for p in 0..self.pools.len() {
            let pool = std::mem::take(&mut self.pools[p]);
            let is_quiet = self.is_quiet(&pool);
            let (served, without) = if is_quiet {
                // Where the rollout touches nobody, both worlds are the same.
                let served = self.weigh_all(&pool, &columns[0]);
                (served, served)
            } else {
                self.serve_around(&pool, now, minutes, book, columns)
            };
            self.demand[p] = served.demand / 100.0;
            if book {
                add(&mut self.without, &without, minutes);
                add(&mut self.actual, &served, minutes);
            }
            // With nothing to hand over everybody keeps their own.
            if served.excess > 0.0 {
                self.share_out(&pool, &served, columns);
            }
            if !is_quiet {
                self.silence(&pool, columns);
            }
            self.pools[p] = pool;
        }
    }

    fn is_quiet(&self, pool: &Members) -> bool {
        let services = self.conditions.services();
        let is_in = |service: &Service| *service == Service::In;
        match &pool.span {
            Some(span) => services[span.clone()].iter().all(is_in),
            None => pool.devices.iter().all(|d| is_in(&services[*d])),
        }
    }

    /// What a pool with everybody in service has to carry.
    fn weigh_all(&self, pool: &Members, own: &[f32]) -> Served {
        match &pool.span {
            Some(span) => {
                let members = self.weight[span.clone()].iter().zip(&own[span.clone()]);
                self.weigh(members.map(|(weight, load)| (*weight, *load, false)))
            }
            None => self.weigh(pool.devices.iter().map(|d| (self.weight[*d], own[*d], false))),
        }
    }

    /// What a pool has to carry with some members out or with what the rollout adds to them, and what it would have to without.
    fn serve_around(
        &mut self,
        pool: &Members,
        now: Instant,
        minutes: f64,
        book: bool,
        columns: &mut [Vec<f32>],
    ) -> (Served, Served) {
        let services = self.conditions.services();
        let own = &mut columns[0];
        let member = |own: &[f32], d: usize, is_out: bool| (self.weight[d], own[d], is_out);
        let crashed = |d: usize| services[d] == Service::Crashed;
        let without = self.weigh(pool.devices.iter().map(|d| member(own, *d, crashed(*d))));
        for d in &pool.devices {
            own[*d] += self.extra(*d, now);
        }
        let served = self.weigh(pool.devices.iter().map(|d| member(own, *d, services[*d].is_away())));
        let is_out = pool.devices.iter().any(|d| self.conditions[*d].out);
        if book && is_out && served.demand > self.breaches.critical_percent * served.weight {
            self.breaches.first.get_or_insert(now);
            self.breaches.pool_minutes += minutes;
        }
        (served, without)
    }

    /// What members that are out or over their limit cannot serve goes to the others.
    fn share_out(&self, pool: &Members, served: &Served, columns: &mut [Vec<f32>]) {
        let (demand_column, others) = columns.split_at_mut(1);
        let own = &mut demand_column[0];
        for d in &pool.devices {
            let before = own[*d];
            let capped = before.min(self.limit);
            own[*d] = (capped + served.share * (self.limit - capped) + served.beyond).min(100.0);
            // Traffic follows the work.
            if others.len() == 3 && before > 0.0 {
                others[1][*d] = (others[1][*d] * own[*d] / before).clamp(0.0, 100.0);
            }
        }
    }

    fn silence(&self, pool: &Members, columns: &mut [Vec<f32>]) {
        for d in pool.devices.iter().filter(|d| self.conditions.services()[**d].is_away()) {
            columns.iter_mut().for_each(|column| column[*d] = f32::NAN);
        }
    }

    /// Demand at the last tick of the pool that a device belongs to, in weight units, and the members of the pool.
    pub(crate) fn pool_demand(&self, device: usize) -> (f64, &[usize]) {
        let pool = self.pool_of[device];
        (self.demand[pool], &self.pools[pool].devices)
    }

    /// Load that the update or the release adds.
    fn extra(&self, d: usize, now: Instant) -> f32 {
        let condition = &self.conditions[d];
        let updating = if condition.updating { self.cost_cpu } else { 0.0 };
        let regression = match (condition.new_since, self.is_bad_on(d, condition.runs)) {
            (Some(since), Some(BadReleaseKind::Regression { cpu_points, ramp })) => {
                let share = if ramp == Span::ZERO {
                    1.0
                } else {
                    (now.since(since).as_secs_f64() / ramp.as_secs_f64()).min(1.0)
                };
                (cpu_points * share) as f32
            }
            (_, Some(BadReleaseKind::Leak { cpu_points_per_hour, .. })) => self.leaked(d, cpu_points_per_hour, now),
            _ => 0.0,
        };
        updating + regression
    }

    /// Points that a slow leak has taken since the device started, at most 100.
    fn leaked(&self, d: usize, points_per_hour: f64, now: Instant) -> f32 {
        let since = self.conditions[d].fresh_since;
        since.map_or(0.0, |since| (points_per_hour * now.since(since).as_secs_f64() / 3600.0).min(100.0) as f32)
    }

    /// Memory that a bad release leaks, added to what devices use. Work does not move it.
    pub(crate) fn leak(&self, now: Instant, memory: &mut [f32]) {
        let Some((BadReleaseKind::Leak { memory_points_per_hour, .. }, _)) = self.bad_kind else { return };
        for (d, used) in memory.iter_mut().enumerate() {
            if self.is_bad_on(d, self.conditions[d].runs).is_some() {
                *used = (*used + self.leaked(d, memory_points_per_hour, now)).min(100.0);
            }
        }
    }

    /// Work that a device takes and does not do, percent of it.
    pub(crate) fn lose_work(&mut self, device: usize, percent: f64) {
        self.actual.unserved += self.weight[device] * percent;
    }

    /// Members as weight, load, and whether they are out.
    fn weigh(&self, members: impl Iterator<Item = (f64, f32, bool)>) -> Served {
        let (mut weight, mut headroom, mut excess, mut demand) = (0.0_f64, 0.0_f64, 0.0_f64, 0.0_f64);
        let mut in_service = 0;
        let limit = f64::from(self.limit);
        for (w, load, is_out) in members {
            let load = f64::from(load);
            demand += w * load;
            if is_out {
                excess += w * load;
            } else {
                in_service += 1;
                weight += w;
                headroom += w * (limit - load).max(0.0);
                excess += w * (load - limit).max(0.0);
            }
        }
        let overloaded = excess > headroom + 1e-6 && in_service > 0;
        let share = if headroom > 0.0 { (excess / headroom).min(1.0) as f32 } else { 1.0 };
        let beyond = if overloaded { ((excess - headroom) / weight) as f32 } else { 0.0 };
        let unserved =
            if in_service == 0 { demand } else { (f64::from(beyond + self.limit) - 100.0).max(0.0) * weight };
        Served { overloaded, in_service, weight, demand, excess, unserved, share, beyond }
    }
}

/// The members of a pool.
#[derive(Debug, Default)]
struct Members {
    devices: Vec<usize>,
    /// Where they follow one another, as in every world that is not read from a file: their numbers then lie side by side.
    span: Option<Range<usize>>,
}

impl Members {
    fn new(devices: Vec<usize>) -> Self {
        let follow = devices.windows(2).all(|pair| pair[1] == pair[0] + 1);
        let span = devices.first().filter(|_| follow).map(|first| *first..first + devices.len());
        Self { devices, span }
    }
}

fn pool_of(pools: &BTreeMap<String, Vec<usize>>, devices: usize) -> Vec<usize> {
    let mut of = vec![0; devices];
    for (p, members) in pools.values().enumerate() {
        members.iter().for_each(|d| of[*d] = p);
    }
    of
}

fn add(cost: &mut Cost, served: &Served, minutes: f64) {
    if served.overloaded {
        cost.overload_device_minutes += served.in_service as f64 * minutes;
    }
    cost.demand += served.demand;
    cost.unserved += served.unserved;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn world(devices: usize) -> World {
        let scenario =
            Scenario::from_toml("t", &format!("devices = {devices}\n[[pools]]\npool_size = {devices}\n")).unwrap();
        let facts = crate::Setup::new(scenario.clone(), scenario.policy().unwrap()).devices(1).0;
        World::new(&scenario, facts)
    }

    proptest! {
        /// Nothing is lost and nothing is made: what is carried and what is not served is the demand.
        #[test]
        fn demand_is_conserved(loads in proptest::collection::vec((0.0f32..140.0, any::<bool>()), 2..12)) {
            let mut world = world(loads.len());
            let mut columns = vec![loads.iter().map(|(l, _)| *l).collect::<Vec<f32>>()];
            for (d, (_, out)) in loads.iter().enumerate() {
                world.conditions[d].out = *out;
            }
            let demand: f64 = loads.iter().map(|(l, _)| f64::from(*l)).sum();
            world.serve(Instant::from_secs(0), Span::from_secs(300), true, &mut columns);
            let carried: f64 = columns[0].iter().filter(|v| v.is_finite()).map(|v| f64::from(*v)).sum();
            prop_assert!((carried + world.actual.unserved - demand).abs() < 0.05, "{carried} + {} != {demand}", world.actual.unserved);
            let over = columns[0].iter().any(|v| *v > 90.01);
            prop_assert_eq!(over, world.actual.overload_device_minutes > 0.0);
        }
    }

    #[test]
    fn nobody_is_overloaded_while_the_pool_has_room() {
        let mut world = world(3);
        world.conditions[0].out = true;
        let mut columns = vec![vec![60.0, 85.0, 30.0]];
        world.serve(Instant::from_secs(0), Span::from_secs(300), true, &mut columns);
        assert_eq!(world.actual.overload_device_minutes, 0.0);
        assert!(columns[0][0].is_nan() && columns[0][1] <= 90.0 && columns[0][2] > 80.0);
        let mut columns = vec![vec![90.0, 90.0, 50.0]];
        world.serve(Instant::from_secs(0), Span::from_secs(300), true, &mut columns);
        assert_eq!(world.actual.overload_device_minutes, 10.0);
        assert_eq!(world.without.overload_device_minutes, 0.0);
    }
}
