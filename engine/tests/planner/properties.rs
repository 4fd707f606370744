//! What must hold for any fleet.

use crate::fleets::{any_fleet, put};
use proptest::prelude::*;
use slacktide_engine::ids::PlanNumber;
use slacktide_engine::plan::{Plan, PlanLimits, check::check, planner::plan};
use slacktide_engine::time::Span;
use std::collections::BTreeMap;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn no_plan_breaks_a_rule_and_everybody_is_placed_or_waits_once(input in any_fleet()) {
        let (plan, report) = plan(&input, PlanNumber(1), None);
        prop_assert_eq!(check(&plan, &input), vec![]);
        let mut seen: BTreeMap<_, u32> = BTreeMap::new();
        for device in plan.batches.iter().flat_map(|b| &b.devices).chain(report.waiting.iter().map(|w| &w.device)) {
            *seen.entry(*device).or_default() += 1;
        }
        prop_assert_eq!(seen.len(), input.devices.len());
        prop_assert!(seen.values().all(|n| *n == 1));
        prop_assert_eq!(report.placed + report.waiting.len(), input.devices.len());
        prop_assert!(report.lower_bound <= report.makespan, "{} > {}", report.lower_bound, report.makespan);
        prop_assert_eq!(report.placed == 0, report.makespan == Span::ZERO);
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_order_of_the_candidates_does_not_matter(input in any_fleet()) {
        let mut turned = input.clone();
        turned.devices.reverse();
        turned.load_scores = input.load_scores.chunks(input.slots).rev().flatten().copied().collect();
        let starts = |plan: &Plan| plan.batches.iter().map(|b| (b.slot, { let mut d = b.devices.clone(); d.sort(); d })).collect::<Vec<_>>();
        prop_assert_eq!(starts(&plan(&input, PlanNumber(1), None).0), starts(&plan(&turned, PlanNumber(1), None).0));
    }

    /// Brute force: put each waiting device into each slot, and ask the checker.
    #[test]
    fn whoever_waits_really_fits_nowhere(input in any_fleet()) {
        let (made, report) = plan(&input, PlanNumber(1), None);
        for waiting in report.waiting.iter().take(4) {
            for slot in 0..input.slots {
                let more = put(&made, &input, waiting.device, slot);
                prop_assert!(!check(&more, &input).is_empty(), "{:?} fits into slot {}", waiting, slot);
            }
        }
    }

    /// Brute force again: put each placed device into each slot that lies far enough before its own.
    #[test]
    fn nobody_could_start_much_earlier(input in any_fleet()) {
        let (made, _) = plan(&input, PlanNumber(1), None);
        for batch in made.batches.iter().filter(|batch| batch.slot >= PlanLimits::earlier_min(batch.slot)) {
            for device in &batch.devices {
                for slot in 0..=batch.slot - PlanLimits::earlier_min(batch.slot) {
                    let sooner = put(&made, &input, *device, slot);
                    prop_assert!(!check(&sooner, &input).is_empty(), "{:?} fits into slot {}", device, slot);
                }
            }
        }
    }
}
