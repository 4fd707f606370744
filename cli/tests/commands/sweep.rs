//! `slacktide sweep`: the same files whatever way they came about, and mistakes that are told before anything runs.

use super::{json, page_is_remade, refused, slacktide};
use serde_json::Value;
use std::path::Path;

const FILES: [&str; 4] = ["runs.jsonl", "sweep.json", "sweep.csv", "report.html"];
const SWEEP: [&str; 8] =
    ["sweep", "first-rollout", "--devices", "20", "--replications", "3", "--vary", "plan.device_load_max=30..70:3"];

fn sweep(more: &[&str], dir: &Path) -> std::process::Output {
    slacktide(&[&SWEEP, more].concat(), dir)
}

fn same_files(a: &str, b: &str, dir: &Path) {
    for file in FILES {
        let read = |folder: &str| std::fs::read_to_string(dir.join(folder).join(file)).unwrap();
        assert!(read(a) == read(b), "{file} of {a} and {b} differ");
    }
}

#[test]
fn shares_threads_and_interruptions_change_no_byte() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let done = |more: &[&str]| assert_eq!(sweep(more, dir).status.code(), Some(0), "{more:?}");
    done(&["--out", "whole"]);
    done(&["--out", "one", "--threads", "1"]);
    same_files("whole", "one", dir);

    done(&["--out", "a", "--shard", "1/2"]);
    let merge = ["sweep", "merge", "b", "a", "--out", "merged"];
    refused(&merge, dir, &["b/runs.jsonl"]);
    refused(&["sweep", "merge", "a"], dir, &["of 2 shares these are missing: 2"]);
    done(&["--out", "b", "--shard", "2/2"]);
    assert_eq!(slacktide(&merge, dir).status.code(), Some(0));
    same_files("whole", "merged", dir);

    // Killed in the middle of a line.
    let runs = dir.join("b/runs.jsonl");
    let bytes = std::fs::read(&runs).unwrap();
    std::fs::write(&runs, &bytes[..bytes.len() - 20]).unwrap();
    refused(&merge, dir, &["1 of 9 runs are missing: share 2/2: point 3 (plan.device_load_max = 70) under seed 2"]);
    done(&["--out", "b", "--shard", "2/2"]);
    assert_eq!(std::fs::read(&runs).unwrap(), bytes);

    let runs = dir.join("one/runs.jsonl");
    let bytes = std::fs::read(&runs).unwrap();
    std::fs::write(&runs, &bytes[..bytes.len() * 2 / 3]).unwrap();
    let again = sweep(&["--out", "one"], dir);
    assert!(
        String::from_utf8_lossy(&again.stderr).contains("runs are there from before"),
        "what was done is not done again"
    );
    same_files("whole", "one", dir);
    page_is_remade("one", dir);
}

#[test]
fn a_point_is_what_simulate_runs() {
    let dir = tempfile::tempdir().unwrap();
    let document = json(&[SWEEP.as_slice(), &["--json"]].concat(), dir.path());
    assert_eq!(document["schema"], "slacktide/sweep/1");
    let point = &document["points"][1];
    assert_eq!(point["parameters"]["plan.device_load_max"], 50);
    let simulate =
        ["simulate", "first-rollout", "--devices", "20", "--seed", "2", "--set", "plan.device_load_max=50", "--json"];
    let alone = json(&simulate, dir.path());
    assert_eq!(point["runs"][1]["journal_hash"], alone["runs"][0]["journal_hash"]);
    let pareto: Vec<u64> = document["pareto"].as_array().unwrap().iter().map(|i| i.as_u64().unwrap()).collect();
    let recommended = document["recommended"]["point"].as_u64().unwrap();
    assert!(
        pareto.contains(&recommended)
            && document["recommended"]["not_worse"].to_string().contains(&recommended.to_string())
    );
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "--json writes nothing");
}

#[test]
fn worlds_are_varied_too_and_every_design_makes_a_page() {
    let dir = tempfile::tempdir().unwrap();
    let of = |arguments: &[&str]| {
        let all =
            [&["sweep", "first-rollout", "--replications", "2", "--json", "--out", "o", "--fresh"], arguments].concat();
        let document = json(&all, dir.path());
        assert!(std::fs::read_to_string(dir.path().join("o/report.html")).unwrap().contains("What to take"));
        document
    };
    let grid = of(&["--vary", "scenario.devices=10..20:2", "--vary", "plan.basis=forecast,current"]);
    let updated: Vec<_> = grid["points"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["measures"]["updated_devices"]["mean"].as_f64().unwrap())
        .collect();
    assert_eq!(updated, [10.0, 10.0, 20.0, 20.0]);
    let page = std::fs::read_to_string(dir.path().join("o/report.html")).unwrap();
    assert_eq!(page.matches("<svg ").count(), 7, "the front, two maps, two responses a field");
    let load = "scenario.pools.load.base_percent=5..15";
    let latin = of(&[
        "--devices",
        "10",
        "--vary",
        load,
        "--vary",
        "monitor.lookahead=10m..2h:log",
        "--design",
        "lhs",
        "--points",
        "4",
    ]);
    let words: Vec<Value> =
        latin["points"].as_array().unwrap().iter().map(|p| p["parameters"]["monitor.lookahead"].clone()).collect();
    assert!(words.len() == 4 && words.iter().all(Value::is_string), "{words:?}");
    let sobol = of(&[
        "--devices",
        "10",
        "--vary",
        load,
        "--vary",
        "plan.pool_out_max=10%..50%",
        "--design",
        "sobol",
        "--points",
        "2",
    ]);
    let points: Vec<_> = sobol["points"].as_array().unwrap().iter().map(|p| p["parameters"].clone()).collect();
    assert_eq!(points[0]["scenario.pools.load.base_percent"], 5);
    assert_eq!(points[1]["plan.pool_out_max"], "30%");
}

/// One run says nothing of how far values spread: neither table, document nor page makes an interval of it.
#[test]
fn one_run_of_each_point_has_no_intervals() {
    let dir = tempfile::tempdir().unwrap();
    let once = ["sweep", "--devices", "10", "--replications", "1", "--vary", "plan.device_load_max=40..60:2"];
    let said = slacktide(&[once.as_slice(), &["--out", "o"]].concat(), dir.path());
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(!said.contains('±') && !said.contains("95 %"), "{said}");
    let page = page_is_remade("o", dir.path());
    assert!(!page.contains('±') && page.contains("One run of each point"));
    let document = json(&[once.as_slice(), &["--json"]].concat(), dir.path());
    let makespan = |document: &Value| document["measures"]["makespan_s"].clone();
    let one = makespan(&document["points"][0]);
    assert!(one["mean"].is_number() && one["ci95"].is_null(), "{one}");
    let alone = makespan(&json(&["simulate", "--devices", "10", "--json"], dir.path()));
    assert!(alone["mean"].is_number() && alone["ci95"].is_null(), "{alone}");
}

#[test]
fn mistakes_are_told_before_anything_runs() {
    let dir = tempfile::tempdir().unwrap();
    for (arguments, named) in [
        (vec![], vec!["nothing is varied"]),
        (vec!["--vary", "plan.device_load_mx=50..90"], vec!["there is no such field", "`plan.device_load_max`"]),
        (vec!["--vary", "devices=50..90"], vec!["did you mean `scenario.devices`?"]),
        (
            vec!["--vary", "plan.device_load_max=50..150:3"],
            vec!["point 3 (plan.device_load_max = 150)", "field `plan.device_load_max`", "value `150`", "0..=100"],
        ),
        (
            vec!["--vary", "scenario.devices=0..3:2"],
            vec!["point 1 (scenario.devices = 0)", "`scenario.devices`", "1..=4000000"],
        ),
        (vec!["--vary", "plan.basis=forecast,guess"], vec!["point 2 (plan.basis = guess)", "guess"]),
        (vec!["--vary", "plan.device_load_max=90..50"], vec!["the lower end must come first"]),
        (vec!["--vary", "plan.device_load_max=50"], vec!["varies nothing"]),
        (vec!["--vary", "waves.9.soak=1h,2h"], vec!["slacktide: point 1 (waves.9.soak = 1h): field `waves.9.soak`: "]),
        (vec!["--vary", "waves.9.soak=1h..2h"], vec!["field `waves.9.soak`", "there are 4"]),
        (
            vec!["--vary", "scenario.devices=5..9", "--devices", "7"],
            vec!["--devices fixes what --vary scenario.devices varies"],
        ),
        (vec!["--vary", "plan.slot=5m..15m", "--set", "plan.slot=15m"], vec!["--set plan.slot fixes"]),
        (vec!["--vary", "plan.device_load_max=50..90", "--points", "9"], vec!["--points is for"]),
        (vec!["--vary", "plan.device_load_max=50..90:3", "--design", "lhs"], vec!["only a grid has"]),
        (vec!["--vary", "plan.device_load_max=50..90", "--shard", "3/2", "--out", "o"], vec!["write I/N"]),
        (vec!["--vary", "plan.device_load_max=50..90", "--shard", "1/2"], vec!["--out"]),
        (vec!["--vary", "plan.device_load_max=50..90", "--overload-max", "NaN"], vec!["--overload-max NaN"]),
        (vec!["--vary", "plan.device_load_max=50..90", "--overload-max", "-1"], vec!["--overload-max -1", "0 or more"]),
        (
            vec!["--vary", "plan.device_load_max=50..90", "--seed", "18446744073709551615"],
            vec!["--seed 18446744073709551615 must be in 0..=18446744073709551611 for 5 runs"],
        ),
    ] {
        refused(&[&["sweep", "first-rollout"], arguments.as_slice()].concat(), dir.path(), &named);
    }
    refused(&["sweep", "merge"], dir.path(), &["<DIR>"]);
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "nothing was written");
}

#[test]
fn another_sweep_in_the_folder_is_not_lost() {
    let dir = tempfile::tempdir().unwrap();
    let first =
        ["sweep", "--devices", "10", "--replications", "1", "--vary", "plan.device_load_max=40..60:2", "--out", "o"];
    assert_eq!(slacktide(&first, dir.path()).status.code(), Some(0));
    let before = std::fs::read(dir.path().join("o/runs.jsonl")).unwrap();
    let other = |more: &[&'static str]| [first.as_slice(), more].concat();
    refused(&other(&["--seed", "9"]), dir.path(), &["holds 2 runs of another sweep", "seed was 1 and is 9", "--fresh"]);
    refused(
        &other(&["--set", "plan.horizon=12h"]),
        dir.path(),
        &["the policy had `horizon = \"1d\"` and has `horizon = \"12h\"`"],
    );
    assert_eq!(std::fs::read(dir.path().join("o/runs.jsonl")).unwrap(), before);
    assert_eq!(slacktide(&other(&["--seed", "9", "--fresh"]), dir.path()).status.code(), Some(0));
    assert_ne!(std::fs::read(dir.path().join("o/runs.jsonl")).unwrap(), before);
}

#[test]
fn a_merge_writes_over_no_other_runs() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for (out, more) in [("a", ["--shard", "1/2"]), ("b", ["--shard", "2/2"]), ("other", ["--seed", "9"])] {
        assert_eq!(sweep(&[&["--out", out], &more[..]].concat(), dir).status.code(), Some(0));
    }
    let before = |folder: &str| std::fs::read(dir.join(folder).join("runs.jsonl")).unwrap();
    let (a, other) = (before("a"), before("other"));
    let merge = |out: &'static str| ["sweep", "merge", "a", "b", "--out", out];
    refused(
        &merge("other"),
        dir,
        &["other/runs.jsonl holds 9 runs of another sweep: seed was 9 and is 1", "name another --out"],
    );
    refused(&merge("a"), dir, &["a/runs.jsonl holds 5 runs", "it was share 1/2 and now 1/1"]);
    assert!(before("a") == a && before("other") == other && !dir.join("a/sweep.json").exists());
    for _ in 0..2 {
        assert_eq!(slacktide(&merge("whole"), dir).status.code(), Some(0), "the same once more is no harm");
    }
}
