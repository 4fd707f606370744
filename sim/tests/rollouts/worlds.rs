//! Every world of the library, once: no promise is broken, and what came of it is what came of it before.

use rayon::prelude::*;
use slacktide_scenarios::library;
use slacktide_sim::{RunResult, Setup, run};
use std::fmt::Write;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rollouts/worlds.txt");
const SEED: u64 = 1;
const MEASURES: [&str; 8] = [
    "updated_devices",
    "failed_devices",
    "rolled_back_devices",
    "exposed_devices",
    "makespan_s",
    "overload_device_minutes",
    "overload_caused_device_minutes",
    "bytes_moved",
];

/// `SLACKTIDE_BLESS=1` writes the table anew.
#[test]
fn every_world_of_the_library_keeps_its_promises_and_its_measures() {
    let mut table = format!("{:<20} {:<12}", "scenario", "state");
    for name in MEASURES {
        let _ = write!(table, " {name}");
    }
    table.push('\n');
    let one = |name: &str| {
        let scenario = library::named(name).unwrap();
        let policy = scenario.policy().unwrap();
        run(&Setup::new(scenario, policy), SEED, &|_| {})
    };
    let results: Vec<RunResult> = library::names().into_par_iter().map(one).collect();
    for (name, result) in library::names().into_iter().zip(results) {
        assert_eq!(result.violations, Vec::<String>::new(), "{name}");
        assert!(result.states.iter().all(|state| state.is_end()), "{name}: {:?}", result.states);
        let _ = write!(table, "{name:<20} {:<12}", result.state.to_string());
        for measure in MEASURES {
            let _ = write!(table, " {:>width$}", result.measures[measure].round(), width = measure.len());
        }
        table.push('\n');
    }
    if std::env::var_os("SLACKTIDE_BLESS").is_some() {
        std::fs::write(GOLDEN, &table).unwrap();
    }
    let golden = std::fs::read_to_string(GOLDEN).unwrap_or_default();
    for (now, before) in table.lines().zip(golden.lines()) {
        assert_eq!(
            now, before,
            "if this was meant: SLACKTIDE_BLESS=1 cargo test -p slacktide-sim --test rollouts worlds"
        );
    }
    assert_eq!(table.lines().count(), golden.lines().count());
}
