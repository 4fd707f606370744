//! Whole rollouts told line by line: every world in `stories/` against the transcript beside it.
//!
//! `SLACKTIDE_BLESS=1 cargo test -p slacktide --test commands stories` writes the transcripts anew; read what changed before it is committed.

use crate::slacktide;
use std::path::{Path, PathBuf};

/// A transcript that nobody reads to its end shows nothing.
const LINES_MAX: usize = 60;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/commands/stories")
}

/// Simulates a world and tells its journal.
fn told(world: &Path) -> String {
    let dir = tempfile::tempdir().unwrap();
    let world = world.to_str().unwrap();
    let run = slacktide(&["simulate", world, "--seed", "1", "--json", "--out", "o"], dir.path());
    assert!(run.status.code().is_some_and(|code| code < 2), "{world}: {}", String::from_utf8_lossy(&run.stderr));
    let by_folder = slacktide(&["journal", "show", "o"], dir.path());
    let by_file = slacktide(&["journal", "show", "o/journal.jsonl"], dir.path());
    assert_eq!(by_folder.status.code(), Some(0), "{world}: {}", String::from_utf8_lossy(&by_folder.stderr));
    assert_eq!(by_folder.stdout, by_file.stdout);
    String::from_utf8(by_folder.stdout).unwrap()
}

#[test]
fn stories_are_told_as_they_were() {
    let bless = std::env::var_os("SLACKTIDE_BLESS").is_some();
    let mut worlds: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    worlds.sort();
    assert!(worlds.len() >= 7, "{worlds:?}");
    let mut different = Vec::new();
    for world in worlds {
        let said = told(&world);
        let golden = world.with_extension("txt");
        if bless {
            std::fs::write(&golden, &said).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        if said != expected {
            different.push(format!("{} was\n{expected}\nand is\n{said}", golden.display()));
        }
        assert!(said.lines().count() <= LINES_MAX, "{} lines: {said}", said.lines().count());
        assert!(!said.contains("PROMISE BROKEN"), "{said}");
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    stories_show_what_they_are_for();
}

/// What the stories must show, whatever their words: a transcript blessed without being read might not.
fn stories_show_what_they_are_for() {
    let shows = |story: &str, words: &[&str]| {
        let text = std::fs::read_to_string(folder().join(story).with_extension("txt")).unwrap();
        words.iter().for_each(|word| assert!(text.contains(word), "{story} does not show `{word}`:\n{text}"));
    };
    shows("waves", &["wave 3 of 3 opens", "running → finished"]);
    shows("crash-loop", &["(failure-threshold)", "go back, least capacity left first", "rolling_back → rolled_back"]);
    shows("breach", &["the batch is back; the rollout is paused", "paused → running", "running → finished"]);
    shows("two-rollouts", &["[0] running → finished", "[1] running → finished"]);
    shows("stepping-stone", &["succeeded on 2.5", "succeeded on 3.0", "running → finished"]);
    shows("night-window", &["running → finished"]);
    shows("incomplete", &["rollback_failed", "(rollback-incomplete)"]);
}
