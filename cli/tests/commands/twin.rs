//! `slacktide twin` as people use it.

use crate::{json, refused, slacktide};

#[test]
fn a_twin_says_what_may_come_and_draws_it() {
    let dir = tempfile::tempdir().unwrap();
    let made = slacktide(
        &[
            "simulate",
            "busy-evening",
            "--devices",
            "25",
            "--set",
            "forecast.models=[\"seasonal-mean\"]",
            "--journal",
            "full",
            "--out",
            "o",
        ],
        dir.path(),
    );
    assert_eq!(made.status.code(), Some(0), "{}", String::from_utf8_lossy(&made.stderr));
    let at = "2024-03-11T20:00:00Z";
    let ask = ["twin", "o/journal.jsonl", "--at", at, "--runs", "10", "--looks", "1", "--out", "ahead", "--json"];
    let told = json(&ask, dir.path());
    assert_eq!(told["schema"], "slacktide/twin/1");
    assert_eq!(told["arms"].as_array().unwrap().len(), 1);
    let arm = &told["arms"][0];
    let point = &arm["capacity"][3];
    let at = |name: &str| point[name].as_f64().unwrap();
    assert!(at("p2") <= at("p10") && at("p10") <= at("p50") && at("p50") <= at("p90") && at("p90") <= at("p97"));
    assert!(arm["chances"]["critical_pool"].as_f64().is_some_and(|share| (0.0..=1.0).contains(&share)));
    assert!(told["calibration"]["scores"].as_array().is_some_and(|rows| rows.len() >= 5));
    let page = std::fs::read_to_string(dir.path().join("ahead/report.html")).unwrap();
    assert!(page.contains("What may come") && page.contains("<svg"));
    // The document of an earlier question makes the same page again.
    let again = slacktide(&["report", "ahead/twin.json", "--out", "again.html"], dir.path());
    assert_eq!(again.status.code(), Some(0), "{}", String::from_utf8_lossy(&again.stderr));

    refused(&["twin", "o/journal.jsonl"], dir.path(), &["o/journal.jsonl", "has ended", "--at"]);
    refused(
        &["twin", "o/journal.jsonl", "--at", "2030-01-01T00:00:00Z"],
        dir.path(),
        &["outside the journal", "2024-03-04"],
    );
    refused(&["twin", "o/journal.jsonl", "--at", "noon"], dir.path(), &["noon", "RFC 3339"]);
    refused(&["twin", "o/journal.jsonl", "--ahead", "40d"], dir.path(), &["40d", "1h to 14d"]);
    refused(
        &["twin", "o/journal.jsonl", "--at", "2024-03-11T20:00:00Z", "--policies", "reactive"],
        dir.path(),
        &["reactive", "differs"],
    );
    // What has not begun has not ended either.
    refused(
        &["twin", "o/journal.jsonl", "--at", "2024-03-05T00:00:00Z"],
        dir.path(),
        &["o/journal.jsonl: no rollout of the journal has begun by 2024-03-05", "a later moment"],
    );
    refused(&["twin", "o/journal.jsonl", "--identity", "x"], dir.path(), &["--identity <DIR>", "cannot be used with"]);
    let decisions = slacktide(&["simulate", "--out", "d"], dir.path());
    assert_eq!(decisions.status.code(), Some(0));
    let told = slacktide(&["twin", "d/journal.jsonl"], dir.path());
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert_eq!(told.matches("--journal full").count(), 1, "said once: {told}");
    let own = ["twin", "d/journal.jsonl", "--policies", "predictive"];
    refused(&own, dir.path(), &["`predictive` is the journal's own policy"]);
    refused(&["twin", "d/journal.jsonl", "--policies", "quick,quick"], dir.path(), &["`quick` stands twice"]);
}
