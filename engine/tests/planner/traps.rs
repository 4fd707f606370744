//! The traps of the specification, one test each.

use crate::fleets::{calm, device};
use slacktide_engine::ids::{DeviceIndex, PlanNumber};
use slacktide_engine::plan::{Plan, PlanInput, PlanReport, WaitingOn, check::check, planner::plan};
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
    input.slot_open[0] = false;
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
    assert_eq!(on(&|i| i.slot_open.fill(false)), "window-closed");
    assert_eq!(on(&|i| i.devices[0].out_slots = 9), "window-closed");
    assert_eq!(on(&|i| i.limits.batch_devices_max = Some(0)), "batches-full");
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
