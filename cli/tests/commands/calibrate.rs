//! `slacktide calibrate` as people use it, mistakes included.

use super::{json, refused, slacktide};
use std::path::Path;

/// Load of a few devices at 15 minutes: a day, and something like noise.
fn write_load(dir: &Path, name: &str, days: usize, scale: f64) {
    let mut csv = "device_id,timestamp,cpu,memory\n".to_owned();
    for d in 0..4_u64 {
        for t in 0..days as u64 * 96 {
            let day = 12.0 * ((t as f64 / 96.0) * std::f64::consts::TAU).sin();
            let mixed = (t * 64 + d).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let noise = ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f64 / f64::from(1 << 22);
            let cpu = (30.0 + d as f64 + day + noise) * scale;
            csv.push_str(&format!("m{d},{},{cpu:.4},{:.4}\n", 1_700_006_400 + t * 900, 50.0 * scale + 0.2 * cpu));
        }
    }
    std::fs::write(dir.join(name), csv).unwrap();
}

#[test]
fn a_recording_becomes_a_scenario_that_runs() {
    let dir = tempfile::tempdir().unwrap();
    write_load(dir.path(), "l.csv", 6, 1.0);
    let output = slacktide(&["calibrate", "--data", "l.csv", "--devices", "20", "--out", "o"], dir.path());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("daily curve") && said.contains("Held out") && said.contains("o/scenario.toml"), "{said}");
    let page = std::fs::read_to_string(dir.path().join("o/report.html")).unwrap();
    assert!(
        page.starts_with("<!doctype html>") && page.matches("<svg ").count() == 7,
        "a week, and three curves of two metrics"
    );
    let checked = slacktide(&["scenario", "validate", "o/scenario.toml"], dir.path());
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stderr));
    let run = json(&["simulate", "o/scenario.toml", "--json"], dir.path());
    assert_eq!((run["scenario"].as_str(), run["devices"].as_u64()), (Some("calibrated"), Some(20)));
    assert_eq!(run["runs"][0]["rollout_state"], "finished", "{}", run["runs"][0]);
}

#[test]
fn the_document_is_the_same_every_time_and_shares_are_scaled() {
    let dir = tempfile::tempdir().unwrap();
    write_load(dir.path(), "l.csv", 3, 1.0);
    write_load(dir.path(), "shares.csv", 3, 0.01);
    let first = json(&["calibrate", "--data", "l.csv", "--json"], dir.path());
    assert_eq!(first["schema"], "slacktide/calibrate/1");
    assert_eq!(first, json(&["calibrate", "--data", "l.csv", "--json"], dir.path()));
    assert!(first["held_out"].is_null() && !dir.path().join("slacktide-calibrated").exists());
    let mean = |document: &serde_json::Value| document["goodness"][0]["recorded"]["mean"].as_f64().unwrap();
    let shares = json(&["calibrate", "--data", "shares.csv", "--scale", "100", "--json"], dir.path());
    assert!((mean(&first) - mean(&shares)).abs() < 0.01);
    let hint = json(&["calibrate", "--data", "shares.csv", "--json"], dir.path());
    assert!(hint["remarks"].to_string().contains("--scale 100"), "{}", hint["remarks"]);
    let hourly = json(&["calibrate", "--data", "l.csv", "--every", "1h", "--json"], dir.path());
    assert!(hourly["scenario"].as_str().unwrap().contains("tick = \"1h\""));
}

#[test]
fn every_mistake_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    write_load(dir.path(), "l.csv", 2, 1.0);
    std::fs::write(dir.path().join("two.csv"), "device_id,timestamp,cpu\na,0,1\na,300,2\n").unwrap();
    std::fs::write(dir.path().join("bad.csv"), "device_id,timestamp,cpu\na,0,1\na,300,x\n").unwrap();
    let cases: [(&[&str], &[&str]); 8] = [
        (&["--data", "nowhere"], &["nowhere"]),
        (&["--data", "two.csv"], &["at least 12 are needed"]),
        (&["--data", "bad.csv"], &["bad.csv:3: column `cpu`: `x` is no number"]),
        (&["--data", "l.csv", "--groups", "many"], &["--groups many", "auto"]),
        (&["--data", "l.csv", "--groups", "0"], &["--groups 0", "1..=50"]),
        (&["--data", "l.csv", "--every", "2h"], &["steps of 7200 s cannot be the tick"]),
        (&["--data", "l.csv", "--every", "7m"], &["choose a multiple"]),
        (&["--data", "l.csv", "--scale", "10"], &["--scale 10", "--clip"]),
    ];
    for (arguments, names) in cases {
        refused(&[&["calibrate"], arguments].concat(), dir.path(), names);
    }
    refused(&["calibrate", "--data", "l.csv", "--scale", "nan"], dir.path(), &["--scale NaN"]);
}
