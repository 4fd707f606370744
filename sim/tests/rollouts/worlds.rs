//! Every world of the library, once: no promise is broken, and what came of it is what came of it before.

use rayon::prelude::*;
use slacktide_engine::policy::library as policies;
use slacktide_engine::rollout::RolloutState;
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

/// Devices that ask too late, or never, hold no rollout for ever, whatever the policy: who has asked in time is updated, the others are left.
#[test]
fn late_check_ins_let_every_policy_of_the_library_end() {
    policies::names().into_par_iter().for_each(|name| {
        let setup = Setup::new(library::named("late-check-ins").unwrap(), policies::named(name).unwrap());
        let devices = setup.scenario.devices as f64;
        let result = run(&setup, SEED, &|_| {});
        assert_eq!(result.violations, Vec::<String>::new(), "{name}");
        let updated = result.measures["updated_devices"];
        let expected = if updated == devices { RolloutState::Finished } else { RolloutState::Stopped };
        assert_eq!((result.state, updated >= 0.95 * devices), (expected, true), "{name}: {updated} updated");
    });
}
