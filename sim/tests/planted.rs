//! Chaos finds known defects of the engine, and finds nothing in the same worlds without them. Needs `--features planted-faults`.

use slacktide_engine::planted::Fault;
use slacktide_sim::chaos::{Chaos, Examiner, Tally};

/// What is found under a seed within so many worlds.
fn search(plant: Option<Fault>, worlds: u64) -> Tally {
    let examiner = Examiner { plant };
    let chaos = Chaos { seed: 1, from: 0, worlds: Some(worlds), findings_max: 1, shrink_tries_max: 20, examiner };
    chaos.run(&|| false, &|_| {})
}

#[test]
fn every_planted_fault_is_found_by_the_promise_it_breaks() {
    for fault in Fault::ALL {
        let promise = match fault {
            Fault::BudgetOffByOne => "members of pool",
            Fault::LostOutcome => "was lost",
            Fault::DoubleInstall => "to install while it installs",
            Fault::IgnoredWindow => "outside its window",
            Fault::StaleForecast => "by a forecast that is",
        };
        let began = std::time::Instant::now();
        let tally = search(Some(fault), 256);
        let finding = tally.findings.first().unwrap_or_else(|| panic!("{fault:?} was not found"));
        eprintln!("{fault:?}: world {}, {:.1} s", finding.world.number, began.elapsed().as_secs_f64());
        let said = &finding.broken;
        assert!(said.iter().any(|broken| broken.text.contains(promise)), "{fault:?}: {said:?}");
        assert!(finding.shrunk.text.len() <= finding.world.text.len());
    }
}

#[test]
fn the_same_worlds_keep_their_promises_without() {
    let tally = search(None, 96);
    assert!(tally.findings.is_empty(), "{:?}", tally.findings);
    assert_eq!(tally.worlds, 96);
}
