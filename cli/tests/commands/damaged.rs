//! Damaged files through the binary: exit code 2 or 1 and a message, never a panic, and nothing is written.

use super::{refused, slacktide};

const WORLD: &str = "devices = 4\nhistory = \"1d\"\nuntil_max = \"1d\"\ntick = \"15m\"\n[[pools]]\npool_size = 4\n\
    [policy_overrides.forecast]\nmodels = [\"seasonal-mean\"]\nhistory = \"1d\"\n";

#[test]
fn a_bad_file_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    for (change, names) in [
        (("devices = 4", "devices = -4"), ["bad.toml:1: field `devices`: value `-4`", "1..=4000000"]),
        (("\"15m\"", "15"), ["bad.toml:4: field `tick`: value `15`", "from 10s to 1h"]),
        (("pool_size", "pool_szie"), ["bad.toml:6: field `pools[0].pool_szie`", "did you mean `pool_size`?"]),
        (("history = \"1d\"\n", "history = \"1d\n"), ["bad.toml:2", "history"]),
    ] {
        write("bad.toml", &WORLD.replacen(change.0, change.1, 1));
        refused(&["simulate", "bad.toml", "--out", "o"], dir.path(), &names);
        refused(&["simulate", "bad.toml", "--json", "--out", "o"], dir.path(), &names);
    }
    write("p.toml", "[plan]\nhorizon = \"25h\"\n");
    let names = ["p.toml:2: field `plan.horizon`: value `25h`", "from 1h to 1d"];
    refused(&["simulate", "--policy", "p.toml", "--out", "o"], dir.path(), &names);
    assert!(!dir.path().join("o").exists(), "something was written");
}

#[test]
fn a_journal_that_was_cut_or_changed_is_told_by_every_reader() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j.jsonl");
    std::fs::write(dir.path().join("w.toml"), WORLD).unwrap();
    assert!(slacktide(&["simulate", "w.toml", "--journal", "full", "--out", "o"], dir.path()).status.code() < Some(2));
    let whole = std::fs::read(dir.path().join("o/journal.jsonl")).unwrap();
    for i in 0..8_usize {
        let at = (whole.len() - 1) * i / 8 + 7 * i;
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (i % 8);
        for bytes in [&whole[..at], flipped.as_slice()] {
            std::fs::write(&path, bytes).unwrap();
            for verb in [&["journal", "verify"][..], &["journal", "show"], &["replay"], &["report"]] {
                let output = slacktide(&[verb, &["j.jsonl"]].concat(), dir.path());
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(!said.contains("panicked"), "{verb:?}, byte {at}: {said}");
                assert!(matches!(output.status.code(), Some(1 | 2)), "{verb:?}, byte {at}: {:?} {said}", output.status);
            }
        }
    }
}
