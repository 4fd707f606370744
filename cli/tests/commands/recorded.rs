//! Recorded load and fleets of people's own: what does not fit is told, what is doubtful is said, and what counts is what was chosen.

use super::{json, refused, slacktide};
use std::fmt::Write as _;
use std::path::Path;

/// Four days of four machines with an evening peak; loads are divided by `divisor`.
fn telemetry(step_s: i64, divisor: f64) -> String {
    let mut csv = "device_id,timestamp,cpu\n".to_owned();
    for device in 0..4 {
        for step in 0..4 * 86_400 / step_s {
            let hour = step * step_s / 3600 % 24;
            let load = 20.0 + (hour + device) as f64 / 3.0;
            writeln!(csv, "m{device},{},{}", 1_700_006_400 + step * step_s, load / divisor).unwrap();
        }
    }
    csv
}

fn write(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text).unwrap();
}

fn with<'a>(before: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [before, more].concat()
}

const HOURLY: [&str; 6] = ["simulate", "--traces", "hourly.csv", "--devices", "12", "--json"];

#[test]
fn hourly_load_is_simulated_under_a_policy_whose_slots_hold_it() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write(dir, "hourly.csv", &telemetry(3600, 1.0));
    write(dir, "hours.toml", "[plan]\nslot = \"1h\"\n");
    let first = String::from_utf8(slacktide(&["scenario", "show", "first-rollout"], dir).stdout).unwrap();
    write(dir, "world.toml", &format!("{first}\n[policy_overrides.plan]\nslot = \"1h\"\n"));
    let cure = ["the recorded period of 1h", "slot of 15m of the policy `predictive`", "`plan.slot`, such as to 1h"];
    refused(&with(&HOURLY, &["--out", "o"]), dir, &cure);
    refused(&with(&HOURLY, &["world.toml", "--policy", "predictive", "--set", "plan.slot=30m"]), dir, &["slot of 30m"]);
    assert!(!dir.join("o").exists(), "nothing is written when nothing ran");
    for chosen in [&["--set", "plan.slot=1h"][..], &["--policy", "hours.toml"], &["world.toml"]] {
        let document = json(&with(&HOURLY, &with(chosen, &["--out", "o"])), dir);
        assert_eq!(document["runs"][0]["rollout_state"], "finished", "{chosen:?}: {document}");
        let said = document["beside"]["remarks"].to_string();
        assert!(said.contains("`all-at-once` plans in slots of 1h here: its own of 15m hold no whole"), "{said}");
        assert_eq!(json(&["replay", "o/journal.jsonl", "--json"], dir)["identical"], true);
    }
    let compare =
        ["compare", "--traces", "hourly.csv", "--devices", "12", "--replications", "2", "--json", "--policies"];
    let document = json(&with(&compare, &["hours.toml,predictive"]), dir);
    let said = document["remarks"].to_string();
    assert!(said.contains("`predictive` plans in slots of 1h here"), "{said}");
    refused(&with(&compare, &["reactive,predictive"]), dir, &["slot of 15m of the policy `reactive`", "plan.slot"]);
    let sweep = ["sweep", "--traces", "hourly.csv", "--devices", "12", "--replications", "1", "--json", "--vary"];
    refused(&with(&sweep, &["plan.slot=30m,1h"]), dir, &["point 1 (plan.slot = 30m): the recorded period of 1h"]);
    let points = json(&with(&sweep, &["plan.device_load_max=40..60:2", "--set", "plan.slot=1h"]), dir);
    assert_eq!(points["points"].as_array().unwrap().len(), 2, "{points}");
}

#[test]
fn a_tick_goes_with_the_slot_that_is_run() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write(dir, "slow.toml", "devices = 4\ntick = \"30m\"\nuntil_max = \"1d\"\n[[pools]]\npool_size = 4\n");
    let own = ["slow.toml:2: field `tick`: value `30m`", "must divide the policy's slot of 15m"];
    refused(&["scenario", "validate", "slow.toml"], dir, &own);
    refused(&["simulate", "slow.toml"], dir, &own);
    let document = json(&["simulate", "slow.toml", "--set", "plan.slot=30m", "--json", "--out", "o"], dir);
    assert_eq!(document["invariant_violations"], serde_json::json!([]), "{document}");
    assert_eq!(json(&["replay", "o/journal.jsonl", "--json"], dir)["identical"], true);
    let other = ["simulate", "slow.toml", "--policy", "reactive", "--set", "plan.slot=20m"];
    refused(&other, dir, &["the scenario's tick of 30m does not divide the slot of 20m of the policy `reactive`"]);
}

#[test]
fn doubtful_load_is_told_wherever_it_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write(dir, "shares.csv", &telemetry(900, 100.0));
    let whole = telemetry(900, 1.0);
    let twice = whole.lines().nth(1).unwrap();
    write(dir, "twice.csv", &format!("{whole}{twice}\n"));
    write(dir, "fleet.csv", "device_id,pool\nm0,a\nm1,a\nm2,b\nm3,b\n");
    write(dir, "package.toml", "name = \"firmware\"\nversion = \"2.0\"\nsize = \"200 MB\"\n");
    let plan = ["plan", "--fleet", "fleet.csv", "--package", "package.toml", "--json", "--history"];
    let simulate = ["simulate", "--devices", "8", "--json", "--traces"];
    let (shares, later) = ("no value is above 1 percent: if these are shares of 1", "the later row counts");
    for (before, list) in [(&plan[..], "remarks"), (&simulate[..], "remarks")] {
        let said = |more: &[&str]| json(&with(before, more), dir)[list].to_string();
        assert!(said(&["shares.csv"]).contains(shares), "{before:?}");
        let twice = said(&["twice.csv"]);
        assert!(twice.contains("1 values came twice") && twice.contains(later) && !twice.contains(shares), "{twice}");
    }
    let rescaled = json(&with(&simulate, &["shares.csv", "--pool-peak", "60"]), dir)["remarks"].to_string();
    assert!(!rescaled.contains(shares), "the scale of the only metric does not matter: {rescaled}");
    let learned = |file| json(&["calibrate", "--json", "--groups", "1", "--data", file], dir)["remarks"].to_string();
    assert!(learned("shares.csv").contains(shares) && learned("twice.csv").contains(later));
}

#[test]
fn options_that_would_not_count_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write(dir, "load.csv", &telemetry(900, 1.0));
    write(dir, "fleet.csv", "device_id,pool\nm0,a\nm1,a\nm2,b\n");
    for alone in [&["--pool-size", "5"][..], &["--clip"], &["--lenient"], &["--pool-peak", "80"]] {
        refused(&with(&["simulate"], alone), dir, &["--traces"]);
    }
    refused(&["simulate", "--fleet", "fleet.csv", "--devices", "10"], dir, &["--devices", "--fleet"]);
    let both = ["simulate", "--traces", "load.csv", "--fleet", "fleet.csv", "--pool-size", "7", "--json"];
    let said = json(&both, dir)["remarks"].to_string();
    assert!(
        said.contains("on 3 devices in the pools that the fleet's file gives them") && !said.contains("of 7"),
        "{said}"
    );
    let twice = "device_id,timestamp,cpu,cpu\nm0,1700006400,1,2\n";
    write(dir, "twice.csv", twice);
    let named = ["twice.csv:1: column `cpu`: stands twice"];
    refused(&["simulate", "--traces", "twice.csv", "--metrics", "cpu"], dir, &named);
    refused(&["calibrate", "--data", "twice.csv", "--metrics", "cpu"], dir, &named);
}

#[test]
fn a_function_that_is_nearly_known_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write(dir, "world.toml", "devices = 4\nuntil_max = \"1d\"\n[[pools]]\npool_size = 4\nfunction = \"databse\"\n");
    write(dir, "fleet.csv", "device_id,function,criticality\nm0,databse,\nm1,wokrer,30\n");
    let near =
        "the policy knows no function `databse`, so those devices have the criticality 50; did you mean `database`?";
    let valid = slacktide(&["scenario", "validate", "world.toml"], dir);
    assert_eq!((valid.status.code(), String::from_utf8_lossy(&valid.stdout).contains(near)), (Some(0), true));
    for world in [&["world.toml"][..], &["--fleet", "fleet.csv"]] {
        let said = json(&with(&["simulate", "--json"], world), dir)["remarks"].to_string();
        assert!(said.contains(near) && !said.contains("wokrer"), "{world:?}: {said}");
    }
    let known = ["simulate", "world.toml", "--json", "--set", "scores.criticality.databse=40"];
    assert_eq!(json(&known, dir)["remarks"], serde_json::json!([]), "the policy knows it");
}
