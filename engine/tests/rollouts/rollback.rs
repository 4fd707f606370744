//! What a rollback may never do, by the telemetry that was fed and not by the engine's books.

use crate::rig::{Does, Rig, Script, Told, fleet, package};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use slacktide_engine::ids::{DeviceId, DeviceIndex};
use slacktide_engine::input::{DeviceFacts, Input};
use slacktide_engine::journal::Entry;
use slacktide_engine::policy::Policy;
use slacktide_engine::rollout::{AttemptState, RolloutState};
use slacktide_engine::time::{Instant, Span};
use std::collections::BTreeMap;

/// What pools and regions have in service, summed anew from what was told to and said by devices.
#[derive(Debug)]
pub(crate) struct Room {
    /// Off where devices come back without a word, so that what is in service is anybody's guess.
    pub(crate) strict: bool,
    policy: Policy,
    facts: Vec<DeviceFacts>,
    present: Vec<bool>,
    told: Vec<bool>,
    out: Vec<bool>,
    heard: Vec<Option<Instant>>,
    loads: Vec<f32>,
    demand: BTreeMap<String, f64>,
}

impl Room {
    pub(crate) fn new(policy: &Policy, facts: &[DeviceFacts]) -> Self {
        let n = facts.len();
        Self {
            strict: false,
            policy: policy.clone(),
            facts: facts.to_vec(),
            present: vec![true; n],
            told: vec![false; n],
            out: vec![false; n],
            heard: vec![None; n],
            loads: vec![f32::NAN; n],
            demand: BTreeMap::new(),
        }
    }

    fn index(&self, device: &str) -> usize {
        self.facts.iter().position(|facts| facts.id.as_str() == device).unwrap()
    }

    pub(crate) fn input(&mut self, at: Instant, input: &Input) {
        match input {
            Input::Statement { device, .. } => {
                if let Some(heard) = self.heard.get_mut(device.index()) {
                    *heard = Some(at);
                }
            }
            Input::Removed { devices } => {
                devices.iter().for_each(|d| {
                    if let Some(present) = self.present.get_mut(d.index()) {
                        *present = false
                    }
                });
            }
            Input::Telemetry(batch) if batch.devices.is_none() && batch.columns.len() == 1 => {
                self.demand.clear();
                for (d, value) in batch.columns[0].iter().enumerate().filter(|(_, value)| value.is_finite()) {
                    self.heard[d] = Some(at);
                    self.loads[d] = *value;
                    let demand = self.demand.entry(self.facts[d].pool.to_string()).or_default();
                    *demand += self.facts[d].weight * f64::from(*value) / 100.0;
                }
            }
            _ => {}
        }
    }

    pub(crate) fn command(&mut self, device: DeviceIndex) {
        self.told[device.index()] = true;
    }

    pub(crate) fn progress(&mut self, at: Instant, device: &str, state: AttemptState) {
        let d = self.index(device);
        self.heard[d] = Some(at);
        // A device may name the states of its course only.
        self.out[d] |= state.is_out() && state != AttemptState::RollingBack;
    }

    pub(crate) fn said(&mut self, at: Instant, device: &str) {
        let d = self.index(device);
        self.heard[d] = Some(at);
    }

    pub(crate) fn settled(&mut self, device: &str) {
        let d = self.index(device);
        self.told[d] = false;
        self.out[d] = false;
    }

    pub(crate) fn is_out(&self, device: &str) -> bool {
        self.out[self.index(device)]
    }

    /// Members and their weight, how many of them are out, and the weight in service once `leaving` are out too.
    fn set(&self, at: Instant, leaving: &[usize], is_member: impl Fn(&DeviceFacts) -> bool) -> (u32, u32, f64, f64) {
        let (mut members, mut out, mut serving, mut total) = (0, 0, 0.0, 0.0);
        for (d, facts) in self.facts.iter().enumerate().filter(|(d, facts)| self.present[*d] && is_member(facts)) {
            let heard = self.heard[d].is_some_and(|heard| at.since(heard) <= Span::from_secs(900));
            let serves = heard && !self.told[d] && !leaving.contains(&d);
            members += 1;
            out += u32::from(!serves);
            serving += if serves { facts.weight } else { 0.0 };
            total += facts.weight;
        }
        (members, out, serving, total)
    }

    /// An order: whoever still serves leaves a pool and a region that keep their rules without it.
    pub(crate) fn rollback(&self, at: Instant, devices: &[DeviceId], remaining: &[f64]) {
        if !self.strict {
            return;
        }
        let leaving: Vec<usize> = devices.iter().map(|id| self.index(id.as_str())).collect();
        for (d, remaining) in leaving.iter().zip(remaining) {
            let expected = if self.out[*d] { 0.0 } else { 100.0 - f64::from(self.loads[*d]) };
            assert!((expected - remaining).abs() < 1e-3, "{at}: device {d} has {expected} left, not {remaining}");
        }
        let rules = &self.policy.plan;
        for d in leaving.iter().filter(|d| !self.out[**d]) {
            let facts = &self.facts[*d];
            let (members, out, serving, total) = self.set(at, &leaving, |other| other.pool == facts.pool);
            let demand = self.demand.get(facts.pool.as_str()).copied().unwrap_or(0.0);
            let needed = (demand + rules.pool_reserve_percent / 100.0 * total) / (rules.load_limit_percent / 100.0);
            let breaks = members >= rules.pool_members_min && needed > serving + 1e-6;
            assert!(!breaks, "{at}: {} serves {serving:.2} of {needed:.2} once {leaving:?} go back", facts.pool);
            let full = rules.pool_out_max.of(members).is_some_and(|max| out > max);
            assert!(!full, "{at}: {out} of {members} of {} are out once {leaving:?} go back", facts.pool);
            let (members, out, ..) = self.set(at, &leaving, |other| other.region == facts.region);
            let full = rules.region_out_max.of(members).is_some_and(|max| out > max);
            assert!(!full, "{at}: {out} of {members} of {} are out once {leaving:?} go back", facts.region);
        }
    }
}

#[derive(Debug, Clone)]
struct World {
    members: Vec<(f64, f32)>,
    pool_size: usize,
    limits: (u32, u32, u32, u32),
    scopes: (bool, bool),
    fails: u32,
    cannot_go_back: u32,
    late: u32,
    surge: (u64, u64, f32),
    two_waves: bool,
}

fn any_world() -> impl Strategy<Value = World> {
    let member = (0.5_f64..3.0, 5.0_f32..55.0);
    let limits = (15_u32..70, 20_u32..101, 70_u32..96, 0_u32..20);
    let surge = (10_u64..240, 10_u64..600, 1.0_f32..2.5);
    let masks = (any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>());
    (proptest::collection::vec(member, 4..24), 1_usize..8, limits, any::<(bool, bool)>(), masks, surge, any::<bool>())
        .prop_map(|(members, pool_size, limits, scopes, (a, b, c, d), surge, two_waves)| World {
            members,
            pool_size,
            limits,
            scopes,
            // Some fail, few cannot go back.
            fails: a & b,
            cannot_go_back: a & c & d,
            late: b & d,
            surge,
            two_waves,
        })
}

fn rig_of(world: &World) -> Rig {
    let (pool_out, region_out, load_limit, reserve) = world.limits;
    let scope = |all| if all { "all" } else { "batch" };
    let waves = if world.two_waves {
        "[[waves]]\nshare_percent = 40\nsoak = \"10m\"\n[[waves]]\nshare_percent = 100\n"
    } else {
        ""
    };
    let text = format!(
        "[plan]\npool_out_max = \"{pool_out}%\"\nregion_out_max = \"{region_out}%\"\nload_limit_percent = {load_limit}\n\
         pool_reserve_percent = {reserve}\n{waves}[monitor]\nfailure_percent_max = 20\nfailure_count_min = 2\n\
         [attempts]\nattempts_max = 1\n\
         [rollback]\non_capacity = \"{}\"\non_failures = \"{}\"\nresumes_max = 2\nhold_max = \"6h\"\n",
        scope(world.scopes.0),
        scope(world.scopes.1),
    );
    let mut facts = fleet(world.members.len(), world.pool_size);
    for (d, (facts, (weight, _))) in facts.iter_mut().zip(&world.members).enumerate() {
        facts.weight = *weight;
        facts.region = if d % 3 == 0 { "us" } else { "eu" }.into();
    }
    let mut rig = Rig::new(&crate::rig::policy(&text), facts);
    rig.audit.room.strict = true;
    let (loads, (from, long, height)) = (world.members.clone(), world.surge);
    let begin = rig.now;
    rig.load = Box::new(move |d, at| {
        let minute = at.since(begin).as_millis() / 60_000;
        let surge = if (from..from + long).contains(&minute) { height } else { 1.0 };
        (loads[d].1 * surge).min(100.0)
    });
    let world = world.clone();
    rig.play = Box::new(move |d, told, _| {
        let in_mask = |mask: u32| mask >> d & 1 == 1;
        let does = match told {
            Told::Install(_) if in_mask(world.fails) => Does::Fail,
            Told::Rollback if in_mask(world.cannot_go_back) => Does::Fail,
            _ => Does::Succeed,
        };
        Script { does, staging_s: 60 + 40 * d as u64, out_s: 300 + 60 * d as u64, heeds_cancel: !in_mask(world.late) }
    });
    rig
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever the fleet, its limits, its load and its failures: every order keeps every rule (see [`Room::rollback`]), and all ends.
    #[test]
    fn a_rollback_breaks_no_rule_and_ends(world in any_world()) {
        let mut rig = rig_of(&world);
        rig.run_for(Span::from_secs(600));
        let rollout = rig.start(package("2.0"), 0);
        let end = rig.until_end(rollout);
        if end == RolloutState::RolledBack {
            let left = rig.devices.iter().filter(|device| device.runs != device.facts.version).count();
            prop_assert_eq!(left, 0, "devices are on the release that was taken back\n{}", rig.told());
        }
    }
}

/// The worlds above would prove nothing if they had no orders that had to be held back, and none that went at once.
#[test]
fn the_worlds_have_rollbacks_of_every_kind() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut serving, mut down, mut held, mut canceled, mut ends) = (0, 0, BTreeMap::new(), 0, BTreeMap::new());
    for _ in 0..150 {
        let world = any_world().new_tree(&mut runner).unwrap().current();
        let mut rig = rig_of(&world);
        rig.run_for(Span::from_secs(600));
        let rollout = rig.start(package("2.0"), 0);
        *ends.entry(rig.until_end(rollout)).or_insert(0) += 1;
        for (_, entry) in &rig.journal {
            let Entry::Rollback { remaining, held: why, canceled: off, .. } = entry else { continue };
            down += remaining.iter().filter(|left| **left == 0.0).count();
            serving += remaining.iter().filter(|left| **left > 0.0).count();
            canceled += off.len();
            why.iter().for_each(|held_by| *held.entry(held_by.reason.name()).or_insert(0) += held_by.devices);
        }
    }
    let seen = format!("{serving} serving, {down} down, {canceled} cancelled, held {held:?}, ends {ends:?}");
    assert!(serving > 30 && down > 30 && canceled > 10, "{seen}");
    assert!(["pool-capacity", "pool-out-max", "region-out-max"].iter().all(|why| held.contains_key(why)), "{seen}");
    assert!(ends.len() >= 3, "{seen}");
}
