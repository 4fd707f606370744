//! Folders of `--out`: good files stay until new ones are whole, and stay of one verb.

use super::{refused, slacktide};
use std::collections::BTreeMap;
use std::path::Path;

/// Every file of a folder.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file());
    entries.map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap())).collect()
}

const SIMULATE: [&str; 6] = ["simulate", "first-rollout", "--devices", "10", "--out", "o"];
const COMPARE: [&str; 10] = [
    "compare",
    "first-rollout",
    "--devices",
    "10",
    "--policies",
    "predictive,all-at-once",
    "--replications",
    "2",
    "--out",
    "o",
];

#[test]
fn a_run_that_fails_leaves_good_files() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("o");
    assert_eq!(slacktide(&SIMULATE, dir.path()).status.code(), Some(0));
    // The last of the files cannot take its place.
    std::fs::remove_file(folder.join("ticks.csv")).unwrap();
    std::fs::create_dir(folder.join("ticks.csv")).unwrap();
    let before = files(&folder);
    refused(&[&SIMULATE[..], &["--seed", "9"]].concat(), dir.path(), &["cannot write o/ticks.csv"]);
    refused(
        &[&SIMULATE[..], &["--seed", "9", "--replications", "3"]].concat(),
        dir.path(),
        &["cannot write o/ticks.csv"],
    );
    assert!(files(&folder) == before, "{:?}", files(&folder).keys());
}

#[test]
fn results_of_two_verbs_do_not_mix() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("o");
    let sweep =
        ["sweep", "--devices", "10", "--replications", "1", "--vary", "plan.device_load_max=40..60:2", "--out", "o"];
    let twin = ["twin", "recorded/journal.jsonl", "--out", "o"];
    let verbs = [(&SIMULATE[..], "o/journal.jsonl"), (&COMPARE, "o/comparison.json"), (&sweep, "o/sweep.json")];
    for (first, kept) in verbs {
        assert_eq!(slacktide(first, dir.path()).status.code(), Some(0), "{first:?}");
        let before = files(&folder);
        for (second, _) in verbs.iter().filter(|(_, own)| *own != kept) {
            refused(second, dir.path(), &["results of another verb", kept, "name another --out"]);
        }
        refused(&twin, dir.path(), &["results of another verb", kept]);
        assert!(files(&folder) == before);
        assert_eq!(slacktide(first, dir.path()).status.code(), Some(0), "its own are made anew: {first:?}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

#[test]
fn what_a_killed_run_left_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("o");
    std::fs::create_dir(&folder).unwrap();
    for name in ["journal.jsonl.4294967295.part", "journal-7.jsonl.4294967295.part", "notes.part"] {
        std::fs::write(folder.join(name), "half").unwrap();
    }
    assert_eq!(slacktide(&SIMULATE, dir.path()).status.code(), Some(0));
    let names: Vec<String> = files(&folder).into_keys().collect();
    assert_eq!(names, ["journal.jsonl", "measures.csv", "notes.part", "report.html", "ticks.csv"]);
}
