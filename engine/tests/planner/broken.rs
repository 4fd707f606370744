//! The checker finds each rule broken on purpose.

use crate::fleets::calm;
use slacktide_engine::ids::{DeviceIndex, PlanNumber, WaveIndex};
use slacktide_engine::plan::{Plan, PlanInput, WaitingOn, check::check, planner::plan};
use slacktide_engine::time::Span;

/// A good plan of six devices, spoilt; the names of the rules found broken.
fn found(spoil: impl Fn(&mut Plan, &mut PlanInput)) -> Vec<String> {
    let mut input = calm(6);
    let (mut made, _) = plan(&input, PlanNumber(1), None);
    assert_eq!(check(&made, &input), vec![]);
    assert_eq!(made.batches.len(), 3);
    spoil(&mut made, &mut input);
    let name = |v: &slacktide_engine::plan::check::Violation| {
        format!("{v:?}").split('(').next().unwrap_or_default().to_owned()
    };
    let mut names: Vec<String> = check(&made, &input).iter().map(name).collect();
    assert!(check(&made, &input).iter().all(|v| v.to_string().len() > 10));
    names.dedup();
    names
}

#[test]
fn every_rule() {
    assert_eq!(found(|p, _| p.batches[0].devices.push(DeviceIndex(77))), ["UnknownDevice"]);
    assert_eq!(
        found(|p, _| {
            let d = p.batches[0].devices[0];
            p.batches[1].devices.push(d)
        }),
        ["DeviceTwice"]
    );
    assert_eq!(found(|_, i| i.devices[0].barred = Some((WaitingOn::NotRequested, None))), ["Barred"]);
    let closed = WaitingOn::WaveNotOpen { wave: WaveIndex(1), open: WaveIndex(0) };
    assert_eq!(found(|_, i| i.devices[0].barred = Some((closed.clone(), None))), ["Barred"]);
    assert_eq!(
        found(|p, _| {
            p.batches[2].devices.clear();
            p.batches[2].requirement = 0.0;
            p.batches[2].capacity = 0.0
        }),
        ["EmptyBatch"]
    );
    assert!(found(|p, _| p.batches.swap(0, 1)).contains(&"BatchOrder".to_owned()));
    assert_eq!(found(|p, i| p.batches[0].start = i.start + Span::from_secs(1)), ["BatchStart"]);
    assert!(found(|_, i| i.devices[5].out_slots = 9).contains(&"PastHorizon".to_owned()));
    assert_eq!(found(|_, i| i.regions[0].slot_open[1] = false), ["ClosedSlot"]);
    assert_eq!(found(|_, i| i.limits.batch_requirement_max = Some(1.0)), ["Requirement"]);
    assert_eq!(found(|_, i| i.limits.batch_capacity_max = Some(100.0)), ["Capacity"]);
    assert_eq!(found(|_, i| i.limits.batch_devices_max = Some(1)), ["BatchDevices"]);
    let rate = |most: [u32; 8]| found(|_, i| i.limits.starts_max = Some(most.to_vec()));
    assert_eq!(rate([2; 8]), Vec::<String>::new());
    assert_eq!(rate([2, 2, 1, 2, 2, 2, 2, 2]), ["Rate"]);
    let turn = WaitingOn::NotItsTurn { turn: slacktide_engine::time::Instant::from_secs(1) };
    assert_eq!(found(|_, i| i.devices[0].barred = Some((turn.clone(), None))), ["Barred"]);
    assert_eq!(found(|p, _| p.batches[0].requirement += 1.0), ["WrongSums"]);
    assert_eq!(found(|p, _| p.batches[0].capacity += 1.0), ["WrongSums"]);
    assert_eq!(found(|_, i| i.pools[0].demand_upper[1] = 7.5), ["PoolCapacity"]);
    assert_eq!(found(|_, i| i.pools[0].demand_upper[1] = f64::NAN), ["PoolCapacity"]);
    assert_eq!(found(|_, i| i.limits.pool_reserve = 0.05), ["PoolCapacity"]);
    assert_eq!(found(|_, i| i.pools[0].out_count_max = Some(1)), ["PoolOut"]);
    assert_eq!(found(|_, i| i.regions[0].out_count_max = Some(1)), ["RegionOut"]);
    // Two of 100 bytes start in each of the slots 0, 2 and 4.
    assert_eq!(found(|_, i| i.regions[0].download_bytes_max = Some(199.0)), ["Link"]);
    assert_eq!(found(|_, i| i.regions[0].download_bytes_max = Some(200.0)), Vec::<String>::new());
    assert_eq!(found(|_, i| i.regions[0].download_bytes_max = Some(f64::NAN)), ["DownloadPastHorizon", "Link"]);
    let promised = |i: &mut PlanInput, slot: usize| {
        i.regions[0].download_bytes_max = Some(200.0);
        i.regions[0].downloading_bytes[slot] = 1.0;
    };
    assert_eq!(found(|_, i| promised(i, 2)), ["Link"]);
    assert_eq!(found(|_, i| promised(i, 3)), Vec::<String>::new());
    // One that takes the whole link in slot 4, and half of it in slot 5.
    let large = |i: &mut PlanInput, bytes: f64| {
        i.regions[0].download_bytes_max = Some(200.0);
        i.devices[4].download_bytes = bytes;
        i.devices[5].download_bytes = 0.0;
    };
    assert_eq!(found(|_, i| large(i, 300.0)), Vec::<String>::new());
    assert_eq!(
        found(|_, i| {
            large(i, 300.0);
            i.regions[0].downloading_bytes[5] = 101.0;
        }),
        ["Link"]
    );
    assert_eq!(found(|_, i| large(i, 800.0)), Vec::<String>::new());
    assert_eq!(found(|_, i| large(i, 801.0)), ["DownloadPastHorizon"]);
    assert_eq!(found(|_, i| large(i, -1.0)), ["DownloadPastHorizon"]);
    assert_eq!(found(|_, i| i.load_scores[0] = 71.0), ["DeviceLoad", "WrongSums"]);
    assert_eq!(found(|_, i| i.devices[0].telemetry_age = None), ["Freshness"]);
    assert_eq!(found(|_, i| i.devices[0].telemetry_age = Some(Span::from_secs(901))), ["Freshness"]);
}
