//! `slacktide plan` on small files.

use crate::{json, refused, slacktide};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;

/// 1 May 2024.
const START_S: i64 = 1_714_521_600;

/// Twelve machines in two regions and their pools, of which `m11` is silent, in a pool of its own; `x0` is a stranger. Four days of quarter hours with an evening peak.
fn write_files(dir: &Path) {
    let mut fleet = "device_id,pool,region,function,version,requirement\n".to_owned();
    for d in 0..12 {
        let (pool, region) = (["shop", "mail"][d % 2], ["north", "south"][d % 2]);
        let pool = if d == 11 { "lone" } else { pool };
        let version = if d == 10 { "2.0" } else { "1.0" };
        writeln!(fleet, "m{d},{pool},{region},web,{version},2").unwrap();
    }
    let mut history = "device_id,timestamp,cpu,memory\n".to_owned();
    for name in (0..11).map(|d| format!("m{d}")).chain(["x0".to_owned()]) {
        for step in 0..4 * 96_i64 {
            let load = if (72..88).contains(&(step % 96)) { 65.0 } else { 20.0 } + (step * 7 % 5) as f64;
            writeln!(history, "{name},{},{load},{}", START_S + step * 900, load / 2.0).unwrap();
        }
    }
    let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
    write("fleet.csv", &fleet);
    write("history.csv", &history);
    write("package.toml", "name = \"firmware\"\nversion = \"2.0\"\nsize = \"200 MB\"\n");
}

const FILES: [&str; 7] = ["plan", "--fleet", "fleet.csv", "--history", "history.csv", "--package", "package.toml"];
/// Everybody at once, so that the plan itself is all there is to see.
const ONE_WAVE: [&str; 2] = ["--set", "plan.pool_out_max=2"];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    // Cheap models: what is forecast is not the subject here.
    [&FILES[..], &["--set", "forecast.models=[\"naive\", \"seasonal-naive\"]"], more].concat()
}

fn said(arguments: &[&str], dir: &Path) -> String {
    let output = slacktide(arguments, dir);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn policy(dir: &Path, more: &str) {
    let text = format!("name = \"small\"\n[[waves]]\nshare_percent = 100\n{more}");
    std::fs::write(dir.join("policy.toml"), text).unwrap();
}

#[test]
fn everybody_has_a_place_or_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    write_files(dir.path());
    policy(dir.path(), "");
    let document = json(&with(&["--policy", "policy.toml", "--json", "--out", "o"]), dir.path());
    assert_eq!((&document["schema"], &document["policy"]), (&Value::from("slacktide/plan/1"), &Value::from("small")));
    assert_eq!(document["made_at"], "2024-05-05T00:00:00Z");
    let names =
        |value: &Value| value.as_array().unwrap().iter().map(|d| d.as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let mut planned: Vec<String> =
        document["batches"].as_array().unwrap().iter().flat_map(|b| names(&b["devices"])).collect();
    planned.sort_by_key(|name| name[1..].parse::<u32>().unwrap());
    assert_eq!(planned, (0..10).map(|d| format!("m{d}")).collect::<Vec<_>>());
    assert_eq!(document["waiting"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&document["waiting"][0]["device"], &document["waiting"][0]["reason"]["waiting_on"]),
        (&"m11".into(), &"no-telemetry".into())
    );
    assert!(document["waiting"][0]["expected"].is_null());
    let (makespan, bound) = (document["makespan_s"].as_f64().unwrap(), document["lower_bound_s"].as_f64().unwrap());
    assert!(makespan >= bound && bound > 0.0 && document["gap_percent"].is_number());
    assert!(document["remarks"][0].as_str().unwrap().contains("1 devices of the history are not in the fleet"));
    let file = std::fs::read_to_string(dir.path().join("o/plan.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&file).unwrap(), document);
    let again = json(&with(&["--policy", "policy.toml", "--json", "--threads", "1"]), dir.path());
    assert_eq!(again, document, "the same on any number of threads");
    assert!(!dir.path().join("slacktide-out").exists(), "nothing else is written");
}

#[test]
fn later_waves_are_expected_after_the_first() {
    let dir = tempfile::tempdir().unwrap();
    write_files(dir.path());
    let document = json(&with(&["--json"]), dir.path());
    let late: Vec<&Value> = document["waiting"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|w| w["reason"]["waiting_on"] == "wave-not-open")
        .collect();
    assert!(late.len() >= 8, "{document}");
    let first = document["batches"][0]["start"].as_str().unwrap();
    assert!(late.iter().all(|w| w["expected"]["start"].as_str().unwrap() > first));
    let text = said(&with(&[]), dir.path());
    assert!(text.contains("Nothing is changed by it") && text.contains("wave-not-open"), "{text}");
    assert!(text.contains("1 devices run the release or a newer one"), "{text}");
}

#[test]
fn regions_go_by_their_own_clocks_and_links() {
    let dir = tempfile::tempdir().unwrap();
    write_files(dir.path());
    policy(
        dir.path(),
        "[regions.north]\nzone = \"Asia/Tokyo\"\n[regions.south]\nzone = \"America/New_York\"\nlink_mbit_per_s = 2\n[regions.nroth]\nzone = \"UTC\"\n\
         [[windows]]\nfrom = \"01:00\"\nto = \"05:00\"\nzone = \"local\"\n",
    );
    let document = json(&with(&["--policy", "policy.toml", "--json"]), dir.path());
    // 01:00 in New York is 05:00 in UTC, in Tokyo 16:00; 2 Mbit/s carry 225 MB in a slot, one device's 200.
    for batch in document["batches"].as_array().unwrap() {
        let hour: u32 = batch["start"].as_str().unwrap()[11..13].parse().unwrap();
        let south = batch["devices"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|d| d.as_str().unwrap()[1..].parse::<u32>().unwrap() % 2 == 1)
            .count();
        assert!((5..9).contains(&hour) && south == 1 || (16..20).contains(&hour) && south == 0, "{batch}");
    }
    assert!(document["remarks"].to_string().contains("did you mean `north`?"), "{document}");
    let slow =
        json(&with(&["--policy", "policy.toml", "--set", "regions.south.link_mbit_per_s=0.01", "--json"]), dir.path());
    let waits = slow["waiting"].as_array().unwrap().iter().find(|w| w["device"] == "m1").unwrap();
    assert_eq!(
        (&waits["reason"]["waiting_on"], &waits["reason"]["download_bytes"]),
        (&"link-busy".into(), &200e6.into())
    );
    let one_zone = said(&with(&["--policy", "policy.toml", "--set", "regions.south.zone=Asia/Tokyo"]), dir.path());
    assert!(one_zone.contains("Asia/Tokyo") && one_zone.contains("2024-05-06 01:"), "{one_zone}");
}

#[test]
fn one_device_is_told_of_from_its_scores_to_its_start() {
    let dir = tempfile::tempdir().unwrap();
    write_files(dir.path());
    policy(dir.path(), "[regions.north]\nlink_mbit_per_s = 40\n");
    let story = |device: &str, more: &[&str]| {
        said(&with(&[&["--policy", "policy.toml", "--explain", device], more].concat()), dir.path())
    };
    let planned = story("m0", &ONE_WAVE);
    for part in [
        "pool shop",
        "Criticality 60",
        "Priority 0.",
        "in the order of service",
        "at most 2 may be out",
        "200 MB",
        "It goes at 2024-05-05T",
    ] {
        assert!(planned.contains(part), "no `{part}` in {planned}");
    }
    assert!(story("m11", &[]).contains("It waits (no-telemetry): it has never reported."));
    assert!(story("m10", &[]).contains("It runs 2.0 or a newer release already"));
    // All the telemetry there is at noon is two hours old.
    let stale = story("m0", &["--at", "2024-05-05T02:00:00Z"]);
    assert!(stale.contains("stale-telemetry") && stale.contains("2h 15m old, 15m 00s is allowed"), "{stale}");
    let document = json(&with(&["--explain", "m0", "--json"]), dir.path());
    assert_eq!(document["explained"]["device"], "m0");
}

#[test]
fn mistakes_exit_2_and_name_the_place() {
    let dir = tempfile::tempdir().unwrap();
    write_files(dir.path());
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("unknown.toml", "name = \"f\"\nverison = \"2.0\"\n");
    write("size.toml", "name = \"f\"\nversion = \"2.0\"\nsize = \"big\"\n");
    write("none.toml", "name = \"f\"\nversion = \"2.0\"\n");
    write("target.toml", "name = \"f\"\nversion = \"2.0\"\nsize = \"1 MB\"\ntarget = 'poool == \"a\"'\n");
    write("old.toml", "name = \"f\"\nversion = \"0.9\"\nsize = \"1 MB\"\n");
    write("other.csv", "device_id,pool\nn1,shop\n");
    let package = |file: &'static str| ["plan", "--fleet", "fleet.csv", "--history", "history.csv", "--package", file];
    refused(&package("unknown.toml"), dir.path(), &["unknown.toml:2", "did you mean `version`?"]);
    refused(&package("size.toml"), dir.path(), &["size.toml:3", "field `size`", "value `big`", "\"200 MB\""]);
    refused(&package("none.toml"), dir.path(), &["none.toml", "field `size`: is missing"]);
    refused(&package("target.toml"), dir.path(), &["target.toml:4", "field `target`", "poool"]);
    refused(&package("old.toml"), dir.path(), &["nobody to update", "12 devices run 0.9 or newer"]);
    refused(&package("nowhere.toml"), dir.path(), &["nowhere.toml"]);
    refused(&with(&["--explain", "m111"]), dir.path(), &["--explain m111", "did you mean `m11`?"]);
    refused(&with(&["--at", "noon"]), dir.path(), &["--at noon", "RFC 3339"]);
    refused(
        &with(&["--at", "2024-04-01T00:00:00Z"]),
        dir.path(),
        &["before the first telemetry, 2024-05-01T00:00:00Z"],
    );
    refused(
        &with(&["--set", "regions.north.zone=Asia/Tokio"]),
        dir.path(),
        &["regions.north.zone", "did you mean Asia/Tokyo?"],
    );
    refused(&with(&["--policy", "predictiv"]), dir.path(), &["did you mean `predictive`?"]);
    let arguments = ["plan", "--fleet", "other.csv", "--history", "history.csv", "--package", "package.toml"];
    refused(&arguments, dir.path(), &["no device of the fleet has telemetry", "`n1`", "`m1`"]);
}
