//! The traps of the specification, one test each.

use crate::fleets::{calm, device};
use slacktide_engine::ids::{DeviceIndex, PlanNumber, RegionIndex};
use slacktide_engine::plan::{Plan, PlanInput, PlanRegion, PlanReport, WaitingOn, check::check, planner::plan};
use slacktide_engine::time::Span;

fn made(input: &PlanInput) -> (Plan, PlanReport) {
    let (plan, report) = plan(input, PlanNumber(1), None);
    assert_eq!(check(&plan, input), vec![]);
    (plan, report)
}

#[test]
fn an_oversize_device_waits_with_the_numbers_and_holds_nobody_up() {
    let mut input = calm(2);
    input.limits.batch_requirement_max = Some(5.0);
    input.devices[0].requirement = 9.0;
    input.devices[0].priority = 1.0;
    let (plan, report) = made(&input);
    assert_eq!(plan.batches[0].devices, [DeviceIndex(1)]);
    assert_eq!(report.waiting[0].on, WaitingOn::OversizeRequirement { requirement: 9.0, max: 5.0 });
    let mut input = calm(1);
    input.limits.batch_capacity_max = Some(50.0);
    assert_eq!(made(&input).1.waiting[0].on, WaitingOn::OversizeCapacity { capacity: 70.0, max: 50.0 });
}

#[test]
fn there_is_no_empty_first_batch() {
    let mut input = calm(2);
    input.regions[0].slot_open[0] = false;
    let (plan, _) = made(&input);
    assert_eq!((plan.batches.len(), plan.batches[0].slot, plan.batches[0].devices.len()), (1, 1, 2));
    let mut input = calm(2);
    input.pools[0].out_weight[0] = 5.0;
    assert_eq!(made(&input).0.batches[0].slot, 1);
}

#[test]
fn ties_go_by_id() {
    let mut input = calm(5);
    input.devices.reverse();
    let (plan, _) = made(&input);
    assert_eq!(plan.batches[0].devices, [DeviceIndex(0), DeviceIndex(1)]);
    assert_eq!(plan.batches[1].devices, [DeviceIndex(2), DeviceIndex(3)]);
    assert_eq!(plan.batches[2].devices, [DeviceIndex(4)]);
}

#[test]
fn a_batch_of_one_and_one_device() {
    let mut input = calm(3);
    input.limits.batch_devices_max = Some(1);
    let (plan, report) = made(&input);
    assert_eq!(plan.batches.iter().map(|b| b.devices.len()).collect::<Vec<_>>(), [1, 1, 1]);
    assert_eq!(report.makespan, Span::from_secs(4 * 900).max(report.makespan));
    let (plan, report) = made(&calm(1));
    assert_eq!(
        (plan.batches.len(), report.makespan, report.lower_bound),
        (1, Span::from_secs(1800), Span::from_secs(1800))
    );
}

#[test]
fn no_device_at_all() {
    let (plan, report) = made(&calm(0));
    assert!(plan.batches.is_empty() && report.waiting.is_empty());
    assert_eq!((report.makespan, report.lower_bound), (Span::ZERO, Span::ZERO));
}

#[test]
fn no_telemetry_and_all_stale() {
    let mut input = calm(2);
    input.devices[0].telemetry_age = None;
    input.devices[1].telemetry_age = Some(Span::from_secs(1000));
    let (plan, report) = made(&input);
    assert!(plan.batches.is_empty());
    assert_eq!(report.waiting[0].on, WaitingOn::NoTelemetry);
    assert_eq!(
        report.waiting[1].on,
        WaitingOn::StaleTelemetry { age: Span::from_secs(1000), max: Span::from_secs(900) }
    );
}

#[test]
fn a_device_that_is_never_calm_goes_in_its_best_window() {
    let mut input = calm(1);
    input.load_scores = vec![95.0, 90.0, 80.5, 80.0, 99.0, 99.0, 99.0, 99.0];
    assert_eq!(made(&input).0.batches[0].slot, 2, "within a point of its lowest score");
    input.load_scores[5] = 60.0;
    assert_eq!(made(&input).0.batches[0].slot, 5, "and in a calm one as soon as there is one");
}

#[test]
fn each_limit_is_named_when_it_binds() {
    let on = |change: &dyn Fn(&mut PlanInput)| {
        let mut input = calm(1);
        change(&mut input);
        made(&input).1.waiting[0].on.name()
    };
    assert_eq!(on(&|i| i.pools[0].demand_upper.fill(8.9)), "pool-capacity");
    assert_eq!(on(&|i| i.pools[0].out_count_max = Some(0)), "pool-out-max");
    assert_eq!(on(&|i| i.regions[0].out_count_max = Some(0)), "region-out-max");
    assert_eq!(on(&|i| i.regions[0].slot_open.fill(false)), "window-closed");
    assert_eq!(on(&|i| i.devices[0].out_slots = 9), "window-closed");
    assert_eq!(on(&|i| i.limits.batch_devices_max = Some(0)), "batches-full");
    assert_eq!(on(&|i| i.regions[0].download_bytes_max = Some(12.0)), "link-busy");
}

#[test]
fn a_pool_of_one_has_nobody_to_take_its_load_and_is_exempt() {
    let mut input = calm(1);
    input.pools[0].members = 1;
    input.pools[0].weight_total = 1.0;
    input.pools[0].demand_upper.fill(0.5);
    assert_eq!(made(&input).0.batches.len(), 1);
}

#[test]
fn a_device_that_is_down_already_costs_its_pool_nothing() {
    let mut input = calm(1);
    input.pools[0].demand_upper.fill(8.9);
    input.devices[0] = slacktide_engine::plan::PlanDevice { already_out: true, ..device(0, 0) };
    assert_eq!(made(&input).0.batches.len(), 1);
}

#[test]
fn downloads_share_a_link_and_a_large_one_has_it_for_itself() {
    let mut input = calm(4);
    input.pools[0].demand_upper.fill(0.0);
    input.regions[0].download_bytes_max = Some(250.0);
    let slots = |input: &PlanInput| {
        let of = |b: &slacktide_engine::plan::Batch| (b.slot, b.devices.iter().map(|d| d.0).collect::<Vec<_>>());
        made(input).0.batches.iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(slots(&input), [(0, vec![0, 1]), (1, vec![2, 3])]);
    // Two and a half slots: it goes last, which makes the whole shorter; the last of its slots has room for one more.
    input.devices[0].download_bytes = 625.0;
    assert_eq!(slots(&input), [(0, vec![1, 2]), (1, vec![3]), (2, vec![0])]);
    input.load_scores[8..16].copy_from_slice(&[99.0, 99.0, 99.0, 99.0, 30.0, 30.0, 30.0, 30.0]);
    assert_eq!(slots(&input), [(0, vec![0]), (2, vec![2]), (3, vec![3]), (4, vec![1])]);
    input.load_scores[8..16].fill(30.0);
    // Somebody else's download is in the way.
    input.regions[0].promise_download(300.0, 0);
    assert!(
        (input.regions[0].downloading_bytes[1] - 50.0).abs() < 1e-9 && input.regions[0].downloading_bytes[2] == 0.0
    );
    assert_eq!(slots(&input), [(1, vec![1, 2]), (2, vec![3]), (3, vec![0])]);
    // A region without a limit takes any size.
    input.regions[0].download_bytes_max = None;
    assert_eq!(slots(&input), [(0, vec![0, 1, 2, 3])]);
}

#[test]
fn a_download_too_large_for_the_horizon_waits_with_the_numbers() {
    let mut input = calm(1);
    input.regions[0].download_bytes_max = Some(12.0);
    let (_, report) = made(&input);
    let on = WaitingOn::LinkBusy { download_bytes: 100.0, per_slot_bytes: 12.0, spare_bytes: 96.0 };
    assert_eq!((&report.waiting[0].on, report.waiting[0].earliest), (&on, None));
    input.regions[0].download_bytes_max = Some(12.5);
    assert_eq!(made(&input).1.placed, 1);
}

#[test]
fn regions_open_by_their_own_clocks_and_ranks_go_first() {
    let mut input = calm(2);
    input.regions.push(PlanRegion { name: "late".to_owned(), ..input.regions[0].clone() });
    input.regions[1].slot_open[..3].fill(false);
    input.devices[0].region = RegionIndex(1);
    let (plan, _) = made(&input);
    assert_eq!(plan.batches.iter().map(|b| (b.slot, b.devices[0].0)).collect::<Vec<_>>(), [(0, 1), (3, 0)]);
    let mut input = calm(4);
    input.devices[0].rank = 1;
    input.devices[1].wave = slacktide_engine::ids::WaveIndex(1);
    let (plan, _) = made(&input);
    assert_eq!(plan.batches.iter().flat_map(|b| b.devices.iter().map(|d| d.0)).collect::<Vec<_>>(), [2, 3, 1, 0]);
}

#[test]
fn whoever_the_rate_leaves_no_slot_for_is_told_so() {
    let mut input = calm(6);
    input.limits.starts_max = Some(vec![1, 0, 0, 1, 0, 0, 0, 0]);
    let (made, report) = plan(&input, PlanNumber(1), None);
    assert_eq!(check(&made, &input), vec![]);
    assert_eq!(
        made.batches.iter().map(|batch| (batch.slot, batch.devices.len())).collect::<Vec<_>>(),
        [(0, 1), (3, 1)]
    );
    assert!(report.waiting.len() == 4 && report.waiting.iter().all(|waiting| waiting.on.name() == "rate-limit"));
}
