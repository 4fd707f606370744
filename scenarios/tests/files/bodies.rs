//! What is done with any bytes that somebody hands in, a function a kind of file. Shared by the tests here and by the targets of
//! `fuzz/`, which are run by hand: every input must end in a value or a typed error, soon, and without much memory.

use slacktide_engine::filter::Filter;
use slacktide_engine::journal::{ChainReader, Line, replay, verify};
use slacktide_engine::policy::Policy;
use slacktide_scenarios::recorded::{ReadOptions, Recording, read, read_down_times, read_fleet};
use slacktide_scenarios::{Scenario, package};
use std::path::{Path, PathBuf};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A scenario; a valid one has a valid policy, and is the same when it is read again.
pub(crate) fn scenario(bytes: &[u8], _: &Path) {
    let text = text(bytes);
    match Scenario::from_toml("fuzz.toml", &text) {
        Ok(scenario) => {
            assert!(scenario.policy().is_ok(), "a scenario that was read has a policy");
            assert!((1..=4_000_000).contains(&scenario.devices));
        }
        Err(error) => assert!(!error.to_string().is_empty() && !error.problem.is_empty()),
    }
}

/// A policy; a valid one comes back from the file it writes.
pub(crate) fn policy(bytes: &[u8], _: &Path) {
    if let Ok(policy) = Policy::from_toml("fuzz.toml", &text(bytes)) {
        assert_eq!(Policy::from_toml("again.toml", &policy.to_toml()).as_ref(), Ok(&policy));
    }
}

/// `--set FIELD=VALUE`.
pub(crate) fn set(bytes: &[u8], _: &Path) {
    let text = text(bytes);
    let (field, value) = text.split_once('=').unwrap_or((&text, ""));
    let _ = Policy::default().with_field(field.trim(), value.trim()).map_err(|e| e.to_string());
}

/// A filter; a valid one comes back from its own words.
pub(crate) fn filter(bytes: &[u8], _: &Path) {
    if let Ok(filter) = Filter::parse(&text(bytes)) {
        let again = Filter::parse(&filter.to_string()).unwrap_or_else(|e| panic!("{filter} does not read: {e}"));
        assert_eq!(again.to_string(), filter.to_string());
    }
}

/// A package file.
pub(crate) fn package_file(bytes: &[u8], _: &Path) {
    let _ = package::parse("fuzz.toml", &text(bytes)).map_err(|e| e.to_string());
}

/// Cells of a recording that a file of so many bytes may at most become.
fn cells_max(bytes: usize) -> usize {
    (1 << 20) + bytes * 200
}

fn check(recording: &Recording, bytes: usize) {
    let cells: usize = recording.columns.iter().map(Vec::len).sum();
    assert!(cells <= cells_max(bytes), "{cells} cells out of {bytes} bytes");
    assert_eq!(cells, recording.steps * recording.devices.len() * recording.metrics.len());
}

fn file(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    path
}

/// A telemetry file, read strictly and leniently.
pub(crate) fn telemetry_csv(bytes: &[u8], folder: &Path) {
    let path = file(folder, "telemetry.csv", bytes);
    let lenient = ReadOptions { lenient: true, clip: true, ..ReadOptions::default() };
    for options in [ReadOptions::default(), lenient] {
        match read(std::slice::from_ref(&path), &options) {
            Ok(recording) => check(&recording, bytes.len()),
            Err(error) => assert!(error.to_string().contains("telemetry.csv")),
        }
    }
}

/// A fleet file in both of its forms.
pub(crate) fn fleet_csv(bytes: &[u8], folder: &Path) {
    for name in ["fleet.csv", "fleet.toml"] {
        match read_fleet(&file(folder, name, bytes)) {
            Ok(fleet) => assert!(fleet.iter().all(|facts| facts.weight > 0.0 && facts.weight <= 1e9)),
            Err(error) => assert!(error.to_string().contains(name)),
        }
    }
}

/// A file of down-times.
pub(crate) fn downtime_csv(bytes: &[u8], folder: &Path) {
    match read_down_times(&file(folder, "down.csv", bytes)) {
        Ok(down) => assert!(down.rows.iter().all(|row| row.from < row.to)),
        Err(error) => assert!(error.to_string().contains("down.csv")),
    }
}

/// A journal: followed, and replayed though its chain is broken, as if somebody had written the hashes anew.
pub(crate) fn journal(bytes: &[u8], _: &Path) {
    let text = text(bytes);
    let _ = verify(text.lines());
    let mut reader = ChainReader::default();
    let _ = text.lines().try_for_each(|line| reader.read(line).map(|_| ()));
    let lines: Vec<Line> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let _ = replay::replay(&lines);
}

/// What is done with bytes, with a folder for a file that may be written.
pub(crate) type Body = fn(&[u8], &Path);

/// All of them, by the names of their folders in the corpus.
pub(crate) const ALL: [(&str, Body); 9] = [
    ("scenario", scenario),
    ("policy", policy),
    ("set", set),
    ("filter", filter),
    ("package", package_file),
    ("telemetry_csv", telemetry_csv),
    ("fleet_csv", fleet_csv),
    ("downtime_csv", downtime_csv),
    ("journal", journal),
];
