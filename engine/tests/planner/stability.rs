//! A plan made again: who could stay stays, and whoever moves is told why.

use crate::fleets::{any_fleet, calm, device, put, region};
use proptest::prelude::*;
use slacktide_engine::ids::{DeviceIndex, PlanNumber};
use slacktide_engine::plan::{
    MoveReason, Plan, PlanInput, PlanLimits, PlanReport, WaitingOn, check::check, planner::plan, stay::replan,
};
use slacktide_engine::time::Span;
use std::collections::BTreeMap;

fn again(input: &PlanInput, parent: &Plan) -> (Plan, PlanReport) {
    let (plan, report) = replan(input, PlanNumber(2), parent);
    assert_eq!(check(&plan, input), vec![]);
    assert_eq!(plan.parent, Some(parent.number));
    (plan, report)
}

/// `pools` pools of 40 calm devices that can each spare six at a time, over 48 quarter hours.
fn fleet(pools: u32) -> PlanInput {
    let mut input = calm(0);
    input.slots = 48;
    let pool = slacktide_engine::plan::PlanPool {
        weight_total: 40.0,
        members: 40,
        demand_upper: vec![30.6; 48],
        out_weight: vec![0.0; 48],
        out_count: vec![0; 48],
        ..input.pools[0].clone()
    };
    input.pools = vec![pool; pools as usize];
    input.regions = vec![region(48)];
    input.devices = (0..pools * 40).map(|n| device(n, n % pools)).collect();
    input.load_scores = vec![30.0; input.devices.len() * 48];
    input
}

#[test]
fn a_local_change_moves_only_whom_it_touches() {
    let mut input = fleet(5);
    let (parent, report) = plan(&input, PlanNumber(1), None);
    assert_eq!((report.placed, report.gap_percent(), report.kept), (200, 0.0, 0));
    // From slot 4 on, for one window, pool 3 can spare four fewer.
    input.pools[3].demand_upper[4..6].fill(34.2);
    let (_, report) = again(&input, &parent);
    assert_eq!((report.placed, report.kept), (200, 196));
    assert_eq!(report.moved_by_reason(), BTreeMap::from([("pool-capacity", 4)]));
    for moved in &report.moved {
        let d = moved.device.index();
        assert_eq!((input.devices[d].pool.0, moved.from), (3, input.start + input.slot.times(4)));
        let MoveReason::PoolCapacity { weight, spare, .. } = moved.why else { panic!("{moved:?}") };
        assert!(weight == 1.0 && spare < weight, "{moved:?}");
    }
}

#[test]
fn each_reason_is_named() {
    let why = |change: &dyn Fn(&mut PlanInput)| {
        let mut input = calm(2);
        let (parent, _) = plan(&input, PlanNumber(1), None);
        change(&mut input);
        again(&input, &parent).1.moved.first().map(|moved| moved.why.name())
    };
    assert_eq!(why(&|_| {}), None);
    assert_eq!(why(&|i| i.start = i.start + i.slot), Some("missed"));
    assert_eq!(why(&|i| i.devices[0].barred = Some((WaitingOn::NotRequested, None))), Some("may-not-go"));
    assert_eq!(why(&|i| i.regions[0].slot_open[1] = false), Some("window-closed"));
    assert_eq!(why(&|i| i.load_scores[0] = 71.0), Some("device-load"));
    assert_eq!(why(&|i| i.pools[0].demand_upper[1] = 8.0), Some("pool-capacity"));
    assert_eq!(why(&|i| i.pools[0].out_count_max = Some(1)), Some("pool-out-max"));
    assert_eq!(why(&|i| i.regions[0].out_count_max = Some(1)), Some("region-out-max"));
    assert_eq!(why(&|i| i.regions[0].download_bytes_max = Some(150.0)), Some("link-busy"));
    assert_eq!(why(&|i| i.limits.batch_devices_max = Some(1)), Some("batch-full"));
}

/// Its own download, longer than it is out, is no reason for a device not to start a slot sooner.
#[test]
fn a_long_download_is_not_in_its_own_way() {
    let mut input = calm(1);
    input.devices[0].out_slots = 1;
    input.devices[0].download_bytes = 150.0;
    input.regions[0].download_bytes_max = Some(100.0);
    let (parent, _) = plan(&input, PlanNumber(1), None);
    let late = put(&parent, &input, DeviceIndex(0), 1);
    let (next, _) = again(&input, &late);
    assert_eq!(next.batches[0].slot, 0);
}

#[test]
fn the_heaviest_goes_where_one_must() {
    let mut input = calm(3);
    input.devices[0].weight = 1.5;
    input.pools[0].demand_upper.fill(5.4);
    let (parent, _) = plan(&input, PlanNumber(1), None);
    assert_eq!(parent.batches.len(), 1);
    input.pools[0].demand_upper[0] = 6.93;
    let (_, report) = again(&input, &parent);
    assert_eq!(report.moved.iter().map(|m| m.device).collect::<Vec<_>>(), [DeviceIndex(0)]);
}

#[test]
fn calmer_forecasts_move_a_device_up_only_where_it_gains_enough() {
    // Another device, calm in slot 6 only, keeps the whole as long as it is.
    let planned = |busy: usize| {
        let mut input = calm(2);
        input.load_scores[8..14].fill(95.0);
        input.load_scores[15] = 95.0;
        input.pools[0].demand_upper[..busy].fill(9.0);
        let (parent, _) = plan(&input, PlanNumber(1), None);
        assert_eq!(parent.batches[0].slot, busy);
        input.pools[0].demand_upper.fill(7.2);
        (input, parent)
    };
    let (mut input, parent) = planned(5);
    input.pools[0].demand_upper[..4].fill(9.0);
    assert_eq!(again(&input, &parent).1.moved, vec![]);
    input.pools[0].demand_upper[3] = 7.2;
    let (_, report) = again(&input, &parent);
    assert_eq!(report.moved[0].why, MoveReason::Earlier { by: Span::from_secs(2 * 900) });
}

#[derive(Debug, Clone)]
struct Change {
    shift: usize,
    demand: Vec<(usize, f64)>,
    scores: Vec<(usize, f32)>,
    closed: Option<usize>,
    barred: Option<usize>,
    region_max: Option<u32>,
    link: Option<Option<f64>>,
}

fn any_change() -> impl Strategy<Value = Change> {
    (
        0usize..3,
        prop::collection::vec((0usize..64, 0.0f64..8.0), 0..5),
        prop::collection::vec((0usize..256, 0.0f32..100.0), 0..5),
        prop::option::weighted(0.2, 0usize..16),
        prop::option::weighted(0.2, 0usize..16),
        prop::option::weighted(0.2, 0u32..4),
        prop::option::weighted(0.3, prop::option::weighted(0.8, 20.0f64..400.0)),
    )
        .prop_map(|(shift, demand, scores, closed, barred, region_max, link)| Change {
            shift,
            demand,
            scores,
            closed,
            barred,
            region_max,
            link,
        })
}

fn changed(input: &PlanInput, change: &Change) -> PlanInput {
    let mut input = input.clone();
    input.start = input.start + input.slot.times(change.shift);
    let pools = input.pools.len();
    for (place, demand) in &change.demand {
        input.pools[place % pools].demand_upper[place / pools % input.slots] = *demand;
    }
    let scores = input.load_scores.len();
    for (place, score) in change.scores.iter().filter(|_| scores > 0) {
        input.load_scores[place % scores] = *score;
    }
    if let Some(slot) = change.closed.filter(|slot| *slot < input.slots) {
        input.regions[0].slot_open[slot] = false;
    }
    if let Some(device) = change.barred.and_then(|d| input.devices.get_mut(d)) {
        device.barred = Some((WaitingOn::NotRequested, None));
    }
    if let Some(share) = change.link {
        input.regions[0].download_bytes_max = share;
    }
    if change.region_max.is_some() {
        input.regions[0].out_count_max = change.region_max;
    }
    input
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_same_input_moves_nobody(input in any_fleet()) {
        let (parent, _) = plan(&input, PlanNumber(1), None);
        let (made, report) = again(&input, &parent);
        prop_assert_eq!(&report.moved, &vec![]);
        prop_assert_eq!(report.kept, report.placed);
        let places = |plan: &Plan| plan.batches.iter().map(|b| (b.slot, b.devices.clone())).collect::<Vec<_>>();
        prop_assert_eq!(places(&made), places(&parent));
    }

    #[test]
    fn whoever_moves_could_not_stay_or_gains_enough(input in any_fleet(), change in any_change()) {
        let (parent, _) = plan(&input, PlanNumber(1), None);
        let input = changed(&input, &change);
        let (made, report) = again(&input, &parent);
        let starts = |plan: &Plan| plan.batches.iter().flat_map(|b| b.devices.iter().map(|d| (*d, b.start))).collect::<BTreeMap<_, _>>();
        let (old, new) = (starts(&parent), starts(&made));
        let differ = old.iter().filter(|(d, start)| new.get(*d) != Some(*start)).count();
        prop_assert_eq!((report.moved.len(), report.kept), (differ, old.len() - differ));
        for moved in &report.moved {
            prop_assert_eq!((old.get(&moved.device), new.get(&moved.device)), (Some(&moved.from), moved.to.as_ref()));
            match &moved.why {
                MoveReason::Missed => prop_assert!(moved.from < input.start),
                MoveReason::Earlier { by } => {
                    prop_assert!(*by >= input.slot.times(PlanLimits::earlier_min(moved.from.since(input.start).steps_down(input.slot))));
                    prop_assert_eq!(moved.to.map(|to| moved.from.since(to)), Some(*by));
                }
                MoveReason::ShorterPlan { by } => prop_assert!(*by >= input.slot.times(PlanLimits::shorter_min(0))),
                forced => {
                    prop_assert!(forced.is_forced());
                    let slot = moved.from.since(input.start).steps_down(input.slot);
                    prop_assert!(!check(&put(&made, &input, moved.device, slot), &input).is_empty(), "{:?} could stay", moved);
                }
            }
        }
    }
}
