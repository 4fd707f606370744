//! The binary as people use it, mistakes included.

mod calibrate;
mod damaged;
mod folders;
mod forecast;
mod live;
mod package;
mod pki;
mod plan;
mod recorded;
mod signoff;
mod staged;
mod stories;
mod sweep;
mod tutorial;
mod twin;

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

fn slacktide(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_slacktide")).args(arguments).current_dir(folder).output().unwrap()
}

fn json(arguments: &[&str], folder: &Path) -> Value {
    let output = slacktide(arguments, folder);
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Exit code 2, one message, and what it must name.
fn refused(arguments: &[&str], folder: &Path, names: &[&str]) {
    let output = slacktide(arguments, folder);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    assert!(output.stdout.is_empty(), "{arguments:?} printed results");
    assert!(!said.contains("panicked"), "{said}");
    names.iter().for_each(|name| assert!(said.contains(name), "{arguments:?} does not name `{name}`: {said}"));
}

#[test]
fn simulate_writes_a_page_and_says_what_happened() {
    let dir = tempfile::tempdir().unwrap();
    let output = slacktide(&["simulate"], dir.path());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("60 of 60 devices run the new release") && said.contains("report.html"), "{said}");
    let page = std::fs::read_to_string(dir.path().join("slacktide-out/report.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.matches("<svg ").count() == 8);
    assert!(!page.contains("http://") || page.matches("http://").count() == page.matches("http://www.w3.org").count());
}

#[test]
fn json_replay_and_verify_agree() {
    let dir = tempfile::tempdir().unwrap();
    let document = json(&["simulate", "first-rollout", "--seed", "7", "--json", "--out", "o"], dir.path());
    assert_eq!(document["schema"], "slacktide/simulate/1");
    let again = json(&["simulate", "first-rollout", "--seed", "7", "--json", "--threads", "1"], dir.path());
    assert_eq!(document["runs"][0]["journal_hash"], again["runs"][0]["journal_hash"]);
    let replay = json(&["replay", "o/journal.jsonl", "--json"], dir.path());
    assert_eq!(replay["identical"], true, "{replay}");
    assert_eq!(json(&["journal", "verify", "o/journal.jsonl", "--json"], dir.path())["intact"], true);
    let journal = dir.path().join("o/journal.jsonl");
    let mut bytes = std::fs::read(&journal).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let line = bytes[..middle].iter().filter(|b| **b == b'\n').count() as u64 + 1;
    std::fs::write(&journal, bytes).unwrap();
    let output = slacktide(&["journal", "verify", "o/journal.jsonl", "--json"], dir.path());
    let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &verdict["broken_at"]), (Some(1), &Value::from(line)), "{verdict}");
}

#[test]
fn compare_shows_paired_differences() {
    let dir = tempfile::tempdir().unwrap();
    let arguments =
        ["compare", "first-rollout", "--policies", "predictive,all-at-once", "--replications", "3", "--json"];
    let document = json(&arguments, dir.path());
    assert_eq!(document["arms"].as_array().unwrap().len(), 2);
    let makespan =
        document["differences"].as_array().unwrap().iter().find(|d| d["measure"] == "makespan_s").unwrap().clone();
    assert!(makespan["ci95"][0].as_f64().unwrap() > 0.0, "{makespan}");
}

/// Remakes the page of an `--out` folder and holds it against what stood there.
fn page_is_remade(folder: &str, dir: &Path) -> String {
    let page = dir.join(folder).join("report.html");
    let first = std::fs::read_to_string(&page).unwrap();
    std::fs::remove_file(&page).unwrap();
    assert_eq!(slacktide(&["report", folder], dir).status.code(), Some(0));
    assert!(std::fs::read_to_string(&page).unwrap() == first, "the same document makes the same bytes");
    first
}

#[test]
fn compare_runs_until_means_are_known() {
    let dir = tempfile::tempdir().unwrap();
    let arms = ["compare", "first-rollout", "--devices", "20", "--policies", "predictive,all-at-once", "--json"];
    let document = json(&[arms.as_slice(), &["--precision", "50%"]].concat(), dir.path());
    let n = document["replications"].as_u64().unwrap();
    assert!(document["precision"]["reached"] == true && (10..=200).contains(&n), "{}", document["precision"]);
    assert_eq!(document["arms"][0]["rollout_states"].as_array().unwrap().len() as u64, n);
    assert_eq!(document["selection"]["best"], "predictive", "{}", document["selection"]);
    assert!(document["findings"][0].as_str().unwrap().contains("95 % confidence predictive causes the least overload"));
    let short = [arms.as_slice(), &["--precision", "0.001", "--replications-max", "10"]].concat();
    let short = json(&short, dir.path());
    assert_eq!((short["replications"].as_u64(), &short["precision"]["reached"]), (Some(10), &Value::Bool(false)));
    assert!(
        short["findings"][1].as_str().unwrap().contains("do not give the precision of 0.10 % asked for"),
        "{}",
        short["findings"]
    );
    refused(&[arms.as_slice(), &["--precision", "5"]].concat(), dir.path(), &["0.05 or 5%"]);
    refused(&[arms.as_slice(), &["--precision", "-5%"]].concat(), dir.path(), &["'-5%'", "from 0.001 to 0.5"]);
    let few = [arms.as_slice(), &["--precision", "5%", "--replications-max", "5"]].concat();
    refused(&few, dir.path(), &["--replications-max", "10..=100000"]);
    let seeds = [arms.as_slice(), &["--seed", "18446744073709551613", "--precision", "5%"]].concat();
    refused(&seeds, dir.path(), &["must be in 0..=18446744073709551416 for 200 runs"]);
    refused(
        &[arms.as_slice(), &["--precision", "5%", "--replications", "9"]].concat(),
        dir.path(),
        &["cannot be used with"],
    );
}

#[test]
fn compare_writes_a_page_and_every_measure() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = [
        "compare",
        "first-rollout",
        "--forecasters",
        "naive,oracle,seasonal-naive",
        "--devices",
        "20",
        "--replications",
        "2",
        "--json",
        "--out",
        "o",
    ];
    let document = json(&arguments, dir.path());
    let pairs = document["differences"].as_array().unwrap().iter().filter(|d| d["measure"] == "makespan_s");
    let pairs: Vec<_> = pairs.map(|d| (d["a"].as_str().unwrap(), d["b"].as_str().unwrap())).collect();
    assert_eq!(pairs, [("naive", "oracle"), ("naive", "seasonal-naive"), ("oracle", "seasonal-naive")]);
    let findings = document["findings"].to_string();
    assert!(findings.contains("A perfect forecast (oracle) against the best of the others"), "{findings}");
    let csv = std::fs::read_to_string(dir.path().join("o/measures.csv")).unwrap();
    assert!(csv.starts_with("arm,seed,measure,value\n") && csv.matches("makespan_s").count() == 6, "{csv}");
    let page = page_is_remade("o", dir.path());
    assert!(page.contains("What was found") && page.matches("<svg ").count() == 3);
}

#[test]
fn a_comparison_of_forecasts_writes_a_page() {
    let dir = tempfile::tempdir().unwrap();
    let mut csv = "device_id,timestamp,cpu\n".to_owned();
    for device in 0..3 {
        for hour in 0..(8 * 24) {
            let ripple = f64::from((hour * 7 + device * 3) % 11);
            let load = 20.0 + 10.0 * f64::from((hour + device) % 24) / 24.0 + ripple / 4.0;
            csv.push_str(&format!("m{device},{},{load:.2}\n", 1_700_006_400 + hour * 3600));
        }
    }
    std::fs::write(dir.path().join("t.csv"), csv).unwrap();
    let arguments = [
        "forecast",
        "compare",
        "--data",
        "t.csv",
        "--context",
        "3d",
        "--horizon",
        "6h",
        "--origins",
        "4",
        "--models",
        "naive,seasonal-naive,seasonal-mean",
        "--json",
        "--out",
        "o",
    ];
    let document = json(&arguments, dir.path());
    assert_eq!(document["examples"]["cpu"].as_array().unwrap().len(), 3, "worst, middling, best");
    let lowest = document["findings"]["cpu"][0].as_str().unwrap();
    let page = page_is_remade("o", dir.path());
    assert!(page.contains(lowest) && page.contains("seasonal-mean (trivial)"), "{lowest}");
}

#[test]
fn recorded_load_drives_a_rollout() {
    let dir = tempfile::tempdir().unwrap();
    let mut csv = "device_id,timestamp,cpu\n".to_owned();
    for device in 0..6 {
        for step in 0..(4 * 288) {
            let load = 20.0 + 10.0 * f64::from((step + device * 30) % 288) / 288.0;
            csv.push_str(&format!("m{device},{},{load:.1}\n", 1_700_006_400 + step * 300));
        }
    }
    std::fs::write(dir.path().join("t.csv"), csv).unwrap();
    let arguments = [
        "simulate",
        "--traces",
        "t.csv",
        "--devices",
        "40",
        "--pool-size",
        "10",
        "--pool-peak",
        "70",
        "--json",
        "--out",
        "o",
    ];
    let document = json(&arguments, dir.path());
    assert_eq!(document["runs"][0]["rollout_state"], "finished", "{document}");
    assert_eq!(document["invariant_violations"], serde_json::json!([]));
    assert!(document["beside"]["measures"]["overload_caused_device_minutes"]["mean"].is_number(), "{document}");
    assert_eq!(json(&["replay", "o/journal.jsonl", "--json"], dir.path())["identical"], true);
}

#[test]
fn mistakes_exit_2_with_one_clear_message() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| std::fs::write(dir.path().join(name), text).unwrap();
    write("missing.csv", b"device_id,when,cpu\n");
    write("text.csv", b"device_id,timestamp,cpu\na,0,high\n");
    write("nan.csv", b"device_id,timestamp,cpu\na,0,NaN\n");
    write("range.csv", b"device_id,timestamp,cpu\na,0,4096\n");
    write("cut.csv.gz", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 75]);
    write("fleet.csv", b"device_id,weight\na,-2\n");
    write("policy.toml", b"[plan]\ndevice_load = 3\n");
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    let simulate = |rest: &[&'static str]| [&["simulate"], rest].concat();
    refused(&simulate(&["--traces", "missing.csv"]), dir.path(), &["missing.csv", "no column `timestamp`"]);
    refused(&simulate(&["--traces", "text.csv"]), dir.path(), &["text.csv:2", "`cpu`", "`high` is no number"]);
    refused(&simulate(&["--traces", "nan.csv"]), dir.path(), &["nan.csv:2", "`NaN`"]);
    refused(&simulate(&["--traces", "range.csv"]), dir.path(), &["--metrics cpu,memory", "--clip"]);
    refused(&simulate(&["--traces", "cut.csv.gz"]), dir.path(), &["cut.csv.gz", "damaged"]);
    refused(&simulate(&["--traces", "nowhere"]), dir.path(), &["nowhere", "cannot be read"]);
    refused(&simulate(&["--traces", "empty"]), dir.path(), &["no .csv"]);
    refused(&simulate(&["--fleet", "fleet.csv"]), dir.path(), &["fleet.csv:2", "`weight`", "`-2`"]);
    refused(&simulate(&["--policy", "policy.toml"]), dir.path(), &["policy.toml:2", "did you mean `device_load_max`?"]);
    refused(&simulate(&["--policy", "predictiv"]), dir.path(), &["did you mean `predictive`?"]);
    refused(&simulate(&["busy-evning"]), dir.path(), &["did you mean `busy-evening`?"]);
    refused(
        &simulate(&["--forecaster", "oracel"]),
        dir.path(),
        &["--forecaster oracel", "`oracel` is no model", "selected, oracle; did you mean `oracle`?"],
    );
    refused(&simulate(&["--forecaster", "lstmm"]), dir.path(), &["`lstmm` is no model", "did you mean `lstm`?"]);
    refused(&simulate(&["--set", "plan.device_load_max=170"]), dir.path(), &["0..=100"]);
    refused(&simulate(&["--set", "nonsense"]), dir.path(), &["FIELD=VALUE"]);
    refused(&simulate(&["--devices", "0"]), dir.path(), &["--devices"]);
    refused(&simulate(&["--devices", "-1"]), dir.path(), &["-1 is not in 1..=4000000"]);
    refused(&simulate(&["--seed", "-1"]), dir.path(), &["'-1'", "0..=18446744073709551615"]);
    refused(
        &simulate(&["--seed", "18446744073709551615", "--replications", "3"]),
        dir.path(),
        &["must be in 0..=18446744073709551613 for 3 runs"],
    );
    refused(&simulate(&["--chaos", "--worlds", "0"]), dir.path(), &["--worlds", "0 is not in 1.."]);
    refused(&["replay", "nowhere.jsonl"], dir.path(), &["nowhere.jsonl"]);
    refused(&["report", "text.csv"], dir.path(), &["line 1: is not a journal entry"]);
    refused(&["report", "empty"], dir.path(), &["empty holds none of journal.jsonl, comparison.json"]);
    std::fs::create_dir(dir.path().join("newer")).unwrap();
    write("newer/comparison.json", br#"{"schema": "slacktide/compare/9"}"#);
    refused(
        &["report", "newer"],
        dir.path(),
        &["comparison.json", "`slacktide/compare/9` is no schema that has a page"],
    );
    refused(&["compare", "--policies", "predictive"], dir.path(), &["at least two"]);
    assert!(!dir.path().join("slacktide-out").exists(), "nothing is written when nothing ran");
}

#[test]
fn libraries_list_show_and_validate() {
    let dir = tempfile::tempdir().unwrap();
    for room in ["scenario", "policy"] {
        let list = json(&[room, "list", "--json"], dir.path());
        let key = if room == "scenario" { "scenarios" } else { "policies" };
        for item in list[key].as_array().unwrap() {
            let name = item["name"].as_str().unwrap();
            assert_eq!(slacktide(&[room, "validate", name], dir.path()).status.code(), Some(0), "{name}");
            assert!(!slacktide(&[room, "show", name], dir.path()).stdout.is_empty());
        }
        assert!(json(&[room, "schema"], dir.path())["properties"].is_object());
    }
}

#[test]
fn a_replay_under_another_policy_says_from_where_on_it_is_not_exact() {
    let dir = tempfile::tempdir().unwrap();
    let cheap = ["--set", "forecast.models=[\"seasonal-mean\"]"];
    let simulated = slacktide(&["simulate", "--journal", "full", "--out", "out", cheap[0], cheap[1]], dir.path());
    assert!(simulated.status.success());
    let ask = |more: &[&str]| {
        let arguments: Vec<&str> = ["replay", "out/journal.jsonl", "--json"].iter().chain(more).copied().collect();
        json(&arguments, dir.path())
    };
    let same = ask(&["--set", "plan.patience=7h"]);
    assert_eq!((&same["exact_to_the_end"], &same["first_difference"]), (&true.into(), &Value::Null), "{same}");
    assert_eq!(same["recorded"], same["instead"]);
    let world = ask(&["--policy", "all-at-once"]);
    let model = ask(&["--policy", "all-at-once", "--from-telemetry"]);
    for answer in [&world, &model] {
        assert_eq!(answer["exact_to_the_end"], false, "{answer}");
        assert_eq!(answer["rollout_states"], serde_json::json!(["finished"]), "{answer}");
        let makespan = |which: &str| answer[which]["makespan_s"].as_f64().unwrap();
        assert!(makespan("instead") < makespan("recorded"), "{answer}");
    }
    assert_eq!(world["first_difference"]["at"], model["first_difference"]["at"]);
    refused(&["replay", "out/journal.jsonl", "--policy", "predictve"], dir.path(), &["predictve", "predictive"]);
    refused(
        &["replay", "out/journal.jsonl", "--set", "plan.pool_out_mx=1"],
        dir.path(),
        &["pool_out_mx", "pool_out_max"],
    );
    refused(&["replay", "out/journal.jsonl", "--from-telemetry"], dir.path(), &["--policy"]);
}
