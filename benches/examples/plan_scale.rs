//! One large plan and one re-plan: gap to the lower bound, moves, peak memory, and time on one core (processor time of the thread
//! where Linux tells it, so that neighbours do not count).
//!
//! `cargo run --release -p slacktide-benches --example plan_scale [devices]`
#![allow(clippy::print_stdout, reason = "an example says what it measured")]

use slacktide_benches::large_fleet;
use slacktide_engine::ids::PlanNumber;
use slacktide_engine::plan::{PlanReport, check::check, planner::plan, stay::replan};
use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Instant;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn main() {
    let devices = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(100_000);
    for (tight, links) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut input = large_fleet(devices, tight, links);
        let limits = if tight { "every limit on" } else { "pools and busy devices" };
        println!("{devices} devices, {limits}{}", if links { ", links" } else { "" });
        let begin = seconds();
        let (parent, report) = plan(&input, PlanNumber(1), None);
        print(&report, begin, "plan");
        assert!(check(&parent, &input).is_empty());
        // A new forecast, an hour later: whoever has started is gone, every pool's demand is a little off, one in ten up by a tenth.
        input.start = input.start + input.slot.times(4);
        let started: BTreeSet<_> =
            parent.batches.iter().filter(|b| b.start < input.start).flat_map(|b| &b.devices).copied().collect();
        let is_left = |d: &usize| !started.contains(&input.devices[*d].index);
        let left: Vec<usize> = (0..input.devices.len()).filter(is_left).collect();
        input.load_scores = left.iter().flat_map(|d| input.load_scores[d * 96..(d + 1) * 96].to_vec()).collect();
        input.devices.retain(|d| !started.contains(&d.index));
        for (p, pool) in input.pools.iter_mut().enumerate() {
            pool.demand_upper.rotate_left(4);
            for (t, demand) in pool.demand_upper.iter_mut().enumerate() {
                *demand *= if p % 10 == 0 { 1.1 } else { 1.0 + 0.01 * ((t * 7 + p * 3) as f64).sin() };
            }
        }
        input.load_scores.chunks_mut(input.slots).for_each(|row| row.rotate_left(4));
        input.regions.iter_mut().for_each(|region| region.slot_open.rotate_left(4));
        let begin = seconds();
        let (made, report) = replan(&input, PlanNumber(2), &parent);
        print(&report, begin, "re-plan");
        println!("  kept {}, moved {:?}", report.kept, report.moved_by_reason());
        assert!(check(&made, &input).is_empty());
    }
    // Linux only; silent elsewhere.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default());
}

fn seconds() -> f64 {
    let on_cpu = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = on_cpu.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    nanos.map_or_else(|| START.elapsed().as_secs_f64(), |nanos| nanos / 1e9)
}

fn print(report: &PlanReport, begin: f64, what: &str) {
    println!(
        "  {what}: {:.3} s, placed {}, waiting {}, makespan {}, gap {:.2} %",
        seconds() - begin,
        report.placed,
        report.waiting.len(),
        report.makespan,
        report.gap_percent()
    );
}
