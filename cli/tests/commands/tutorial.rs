//! The commands of docs/tutorial.md, word for word, and what the tutorial says of them.

use crate::live::{commands, copy, path_with_slacktide};
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn every_command_of_the_tutorial_does_what_it_says() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = fs::read_to_string(project.join("docs/tutorial.md")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    copy(&project.join("examples"), &dir.path().join("examples"));
    let script = format!("set -e -o pipefail\n{}", commands(&page).join("\n"));
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(dir.path())
        .env("PATH", path_with_slacktide())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    for words in [
        "100 of 100 devices run the new release",
        "By the means predictive causes the least overload",
        "Recommended: plan.device_load_max = ",
        "is a valid policy",
        "cpu: lowest MASE ",
        "the same overload caused in every run",
        "5 runs and 5 random worlds came out the same, bit for bit",
        "refused (edited)",
    ] {
        assert!(said.contains(words), "`{words}` is not said\n{said}");
    }
    for folder in ["evening", "compared", "swept", "recorded", "accuracy", "value", "ahead"] {
        let page = fs::read_to_string(dir.path().join("tour").join(folder).join("report.html")).unwrap();
        assert!(page.starts_with("<!doctype html>"), "{folder}");
    }
}

/// What is exported is what was reported, and nothing that was not.
#[test]
fn telemetry_comes_out_of_a_full_journal_as_it_went_in() {
    let dir = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let output = crate::slacktide(arguments, dir.path());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(run(&["simulate", "lossy-telemetry", "--devices", "12", "--journal", "full", "--out", "o"]).0, Some(0));
    assert_eq!(run(&["journal", "export", "--telemetry", "o/journal.jsonl", "load.csv"]).0, Some(0));
    let text = fs::read_to_string(dir.path().join("load.csv")).unwrap();
    let mut rows = text.lines();
    assert_eq!(rows.next(), Some("device_id,timestamp,cpu,memory,network,disk"));
    let mut heard = 0;
    for line in fs::read_to_string(dir.path().join("o/journal.jsonl")).unwrap().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let batch = &line["entry"]["input"];
        if batch["input"] == "telemetry" {
            let cells = |row: usize| batch["columns"].as_array().unwrap().iter().any(|column| !column[row].is_null());
            heard += (0..batch["columns"][0].as_array().unwrap().len()).filter(|row| cells(*row)).count();
        }
    }
    assert_eq!(rows.count(), heard);
    let (code, said) = run(&["simulate", "first-rollout", "--devices", "12", "--out", "short"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run(&["journal", "export", "--telemetry", "short/journal.jsonl", "none.csv"]);
    assert_eq!(code, Some(2));
    assert!(
        said.contains("a journal of decisions holds no telemetry") && !dir.path().join("none.csv").exists(),
        "{said}"
    );
}
