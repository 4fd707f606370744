//! The bad-release test on small fleets with drifting load.

use super::bad_release::BadRelease;
use super::baselines::{Cusum, standardised_difference};
use super::evidence::BET_MAX;
use super::panel::normal_score;
use super::{DeviceTick, Group, PoolTick, Tick};
use crate::time::{Instant, Span};

/// Chance for tests: a linear congruential generator.
struct Noise(u64);

impl Noise {
    fn normal(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        super::normal::quantile(((self.0 >> 11) as f64 + 0.5) / (1_u64 << 53) as f64)
    }
}

/// Devices in pools of 20 whose load is a level, a drift that lasts for hours, noise, and what the pool shares.
struct World {
    noise: Noise,
    drifts: Vec<f64>,
    pool_drifts: Vec<f64>,
    variants: u32,
    /// Calm devices go first, and what those away leave goes to the others by their room.
    moves: bool,
}

impl World {
    fn new(devices: usize, seed: u64) -> Self {
        let mut noise = Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1);
        let drifts = (0..devices).map(|_| noise.normal()).collect();
        Self { drifts, pool_drifts: vec![0.0; devices.div_ceil(20)], noise, variants: 1, moves: false }
    }

    /// Drift has a standard deviation of 4 points and a correlation of 0.97 from tick to tick; some devices are four times as noisy.
    fn loads(&mut self) -> Vec<f64> {
        for drift in &mut self.pool_drifts {
            *drift = 0.97 * *drift + 0.243 * self.noise.normal();
        }
        let mut loads = Vec::with_capacity(self.drifts.len());
        for d in 0..self.drifts.len() {
            self.drifts[d] = 0.97 * self.drifts[d] + 0.243 * self.noise.normal();
            let scale = if d % 5 == 0 { 4.0 } else { 1.0 };
            let own = scale * (2.0 * self.drifts[d] + self.noise.normal());
            let level = if !self.moves {
                40.0
            } else if d * 37 % self.drifts.len() * 20 < self.drifts.len() * 9 {
                30.0
            } else {
                60.0
            };
            loads.push((level + 3.0 * self.pool_drifts[d / 20] + own).clamp(0.0, 100.0));
        }
        loads
    }
}

/// A rollout of `ticks` five-minute ticks: 2 % at tick 6, 10 % at tick 40, 40 % at tick 70, the rest but one in ten at tick 100; each
/// device is away for four ticks. `rise` tells the extra load by variant and ticks since the update. Returns the tick of the alarm.
fn rollout(world: &mut World, ticks: usize, mut rise: impl FnMut(u32, usize) -> f64) -> (BadRelease, Option<usize>) {
    let devices = world.drifts.len();
    let mut past: Vec<Vec<f32>> = vec![Vec::new(); devices];
    for _ in 0..300 {
        for (past, load) in past.iter_mut().zip(world.loads()) {
            past.push(load as f32);
        }
    }
    let begins = |d: usize| {
        let place = (d * 37 % devices) as f64 / devices as f64;
        [(0.02, 6), (0.1, 40), (0.4, 70), (0.9, 100)]
            .into_iter()
            .find(|(share, _)| place < *share)
            .map(|(_, tick)| tick)
    };
    let mut pools = vec![PoolTick { weight_total: 20.0, weight_serving: 20.0 }; devices.div_ceil(20)];
    let mut test = BadRelease::new(0.01, 1.0);
    let mut alarm = None;
    for t in 0..ticks {
        let mut loads = world.loads();
        if world.moves {
            let is_away = |d: usize| begins(d).is_some_and(|begin| (begin..begin + 4 + d % 9).contains(&t));
            move_to_the_others(&mut loads, &mut pools, is_away);
        }
        let away = |d: usize| if world.moves { 4 + d % 9 } else { 4 };
        let tick: Vec<DeviceTick> = loads
            .into_iter()
            .enumerate()
            .map(|(d, load)| {
                let variant = d as u32 % world.variants;
                let (group, extra) = match begins(d) {
                    Some(begin) if t >= begin + away(d) => (Group::Treated, rise(variant, t - begin - away(d))),
                    Some(begin) if t >= begin => (Group::Absent, 0.0),
                    _ => (Group::Control, 0.0),
                };
                let load = (group != Group::Absent).then_some((load + extra) as f32);
                DeviceTick { load, point: Some(40.0), pool: d as u32 / 20, variant, group }
            })
            .collect();
        let now = Instant::from_secs(t as i64 * 300);
        test.tick(&Tick { now, devices: &tick, pools: &pools }, &mut |d, out| {
            out.extend_from_slice(&past[d]);
            Span::from_secs(300)
        });
        if alarm.is_none() && test.is_alarm() {
            alarm = Some(t);
        }
    }
    (test, alarm)
}

/// What those away would have carried goes to their pool-mates, by the room each has below 90 %.
fn move_to_the_others(loads: &mut [f64], pools: &mut [PoolTick], is_away: impl Fn(usize) -> bool) {
    for (p, pool) in pools.iter_mut().enumerate() {
        let members = p * 20..(p * 20 + 20).min(loads.len());
        let left: f64 = members.clone().filter(|d| is_away(*d)).map(|d| loads[d]).sum();
        let room: f64 = members.clone().filter(|d| !is_away(*d)).map(|d| (90.0 - loads[d]).max(0.0)).sum();
        let there = members.clone().filter(|d| !is_away(*d)).count();
        members.filter(|d| !is_away(*d)).for_each(|d| loads[d] += (left / room).min(1.0) * (90.0 - loads[d]).max(0.0));
        pool.weight_serving = there as f64;
    }
}

/// With two fifths of a pool away calm members take over more than busy ones: that is no fault of the release they have.
#[test]
fn load_that_moves_to_whoever_has_room_is_no_evidence() {
    let alarms = (0..60).filter(|seed| {
        let mut world = World::new(200, *seed);
        world.moves = true;
        rollout(&mut world, 130, |_, _| 0.0).1.is_some()
    });
    let alarms = alarms.count();
    assert!(alarms <= 3, "{alarms} of 60");
    let found = (0..20).filter(|seed| {
        let mut world = World::new(200, *seed);
        world.moves = true;
        rollout(&mut world, 130, |_, _| 10.0).1.is_some()
    });
    assert!(found.count() >= 18);
}

#[test]
fn drifting_devices_raise_no_more_false_alarms_than_promised() {
    let alarms = (0..150).filter(|seed| rollout(&mut World::new(200, *seed), 130, |_, _| 0.0).1.is_some()).count();
    // With a true rate of 1 %, five or more of 150 have a probability below 2 %.
    assert!(alarms <= 4, "{alarms} of 150");
}

#[test]
fn a_rise_within_tolerance_is_let_through() {
    let alarms = (0..40).filter(|seed| rollout(&mut World::new(200, *seed), 130, |_, _| 0.8).1.is_some()).count();
    assert!(alarms <= 2, "{alarms} of 40");
}

#[test]
fn a_rise_is_found_while_only_canaries_have_it_and_its_size_is_in_the_interval() {
    let (mut early, mut covered) = (0, 0);
    for seed in 0..20 {
        let (test, alarm) = rollout(&mut World::new(400, seed), 40, |_, _| 10.0);
        // The eight canaries are back at tick 10.
        early += usize::from(alarm.is_some_and(|t| t <= 13));
        let evidence = test.evidence(Instant::from_secs(40 * 300));
        let rise = evidence.rise.unwrap();
        covered += usize::from(rise.interval[0] <= 10.0 && 10.0 <= rise.interval[1]);
        assert_eq!((evidence.devices, test.excesses().count()), (8, 8));
        assert!(
            rise.interval[0] > 0.0 && rise.standard_error > 0.0 && evidence.pools > 1 && evidence.watched > Span::ZERO
        );
    }
    assert!(early >= 17 && covered >= 19, "{early} early, {covered} covered");
}

#[test]
fn a_rise_on_one_variant_of_three_is_found() {
    let found = (0..20).filter(|seed| {
        let mut world = World::new(400, *seed);
        world.variants = 3;
        rollout(&mut world, 120, |variant, _| if variant == 1 { 6.0 } else { 0.0 }).1.is_some()
    });
    assert!(found.count() >= 18);
}

#[test]
fn a_leak_is_found_in_the_course_of_hours() {
    let found = (0..20).filter(|seed| {
        let mut world = World::new(400, *seed);
        rollout(&mut world, 130, |_, ticks| ticks as f64 / 12.0).1.is_some()
    });
    assert!(found.count() >= 15);
}

#[test]
fn the_same_ticks_give_the_same_evidence() {
    let log_e = || rollout(&mut World::new(100, 3), 60, |_, _| 2.0).0.log_e().to_bits();
    assert_eq!(log_e(), log_e());
}

/// Few pool-mates, strange numbers, an empty fleet: nothing is said, nothing breaks.
#[test]
fn what_cannot_be_compared_is_no_evidence() {
    let mut test = BadRelease::new(0.01, 1.0);
    let device = |load| DeviceTick { load, point: None, pool: 7, variant: 3, group: Group::Treated };
    for t in 0..30 {
        let devices = [device(Some(f32::NAN)), device(None), device(Some(1e30))];
        let tick = Tick { now: Instant::from_secs(t * 300), devices: &devices, pools: &[] };
        test.tick(&tick, &mut |_, _| Span::ZERO);
        assert_eq!(standardised_difference(&tick), None);
    }
    assert!(!test.is_alarm() && test.evidence(Instant::from_secs(9000)).rise.is_none());
    let mut empty = BadRelease::new(0.01, 1.0);
    empty.tick(&Tick { now: Instant::from_secs(0), devices: &[], pools: &[] }, &mut |_, _| Span::ZERO);
    assert!(!empty.is_alarm());
}

/// Over the ranks a device may have among controls, a bet gains no more on average than it is charged.
#[test]
fn a_bet_on_a_rank_is_fair_for_any_number_of_controls() {
    for controls in [12, 13, 30, 100, 1000] {
        let sorted: Vec<f64> = (0..controls).map(f64::from).collect();
        for step in 1..=25 {
            let bet = BET_MAX * f64::from(step) / 25.0;
            let gains = (0..=controls).map(|rank| libm::exp(bet * normal_score(&sorted, f64::from(rank) - 0.5)));
            let mean = gains.sum::<f64>() / f64::from(controls + 1);
            assert!(mean <= libm::exp(bet * bet / 2.0), "{controls} controls, bet {bet}: {mean}");
        }
    }
}

#[test]
fn the_simpler_tests_see_a_large_rise() {
    let device = |load: f32, group| DeviceTick { load: Some(load), point: Some(40.0), pool: 0, variant: 0, group };
    let mut devices: Vec<DeviceTick> = (0..12).map(|d| device(39.0 + (d % 3) as f32, Group::Control)).collect();
    devices.extend((0..4).map(|_| device(50.0, Group::Treated)));
    let pools = [PoolTick { weight_total: 16.0, weight_serving: 16.0 }];
    let difference =
        standardised_difference(&Tick { now: Instant::from_secs(0), devices: &devices, pools: &pools }).unwrap();
    // 10 points over √(0.727 × (1/4 + 1/12)): variance 8/11.
    assert!((difference - 10.0 / (8.0 / 11.0 / 3.0_f64).sqrt()).abs() < 1e-9, "{difference}");
    let mut cusum = Cusum::default();
    assert_eq!([cusum.tick(2.0), cusum.tick(-5.0), cusum.tick(1.5)], [1.5, 0.0, 1.0]);
}
