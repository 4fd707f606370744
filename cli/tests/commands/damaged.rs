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

/// A packed journal that was cut is a broken one: exit 1 and a line, as the help says, and the file is named either way.
#[test]
fn verify_names_the_file_and_says_where_a_packed_one_ends() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("w.toml"), WORLD).unwrap();
    assert!(slacktide(&["simulate", "w.toml", "--journal", "full", "--out", "o"], dir.path()).status.code() < Some(2));
    let export = ["journal", "export", "o/journal.jsonl", "j.jsonl.zst"];
    assert_eq!(slacktide(&export, dir.path()).status.code(), Some(0));
    let verify = |more: &[&str]| {
        let output = slacktide(&[&["journal", "verify", "j.jsonl.zst"], more].concat(), dir.path());
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = verify(&[]);
    assert!(code == Some(0) && said.starts_with("j.jsonl.zst: intact: "), "{said}");
    let whole = std::fs::read(dir.path().join("j.jsonl.zst")).unwrap();
    for bytes in [&whole[..whole.len() / 2], &[whole.as_slice(), b"more"].concat()] {
        std::fs::write(dir.path().join("j.jsonl.zst"), bytes).unwrap();
        let (code, said) = verify(&[]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.starts_with("j.jsonl.zst: broken: line ") && said.contains("cannot unpack"), "{said}");
        let document: serde_json::Value = serde_json::from_str(&verify(&["--json"]).1).unwrap();
        assert!(document["journal"] == "j.jsonl.zst" && document["broken_at"].is_u64(), "{document}");
    }
}

/// What a replay reads may have changed since: the place that differs is shown, not two lines of thousands of characters.
#[test]
fn a_replay_shows_the_place_that_differs() {
    let dir = tempfile::tempdir().unwrap();
    let load = |more: u32| {
        let row = |step: u32, d: u32| format!("m{d},{},{}\n", 1_700_006_400 + step * 900, 20 + more + (step + d) % 9);
        let rows = (0..2 * 96).flat_map(|step| (0..4).map(move |d| row(step, d)));
        std::fs::write(dir.path().join("t.csv"), "device_id,timestamp,cpu\n".to_owned() + &rows.collect::<String>())
    };
    load(0).unwrap();
    std::fs::write(dir.path().join("w.toml"), WORLD).unwrap();
    let made = slacktide(&["simulate", "w.toml", "--traces", "t.csv", "--out", "o"], dir.path());
    assert!(made.status.code() < Some(2), "{}", String::from_utf8_lossy(&made.stderr));
    load(30).unwrap();
    let told = slacktide(&["replay", "o/journal.jsonl"], dir.path());
    let said = String::from_utf8_lossy(&told.stdout).into_owned();
    assert_eq!(told.status.code(), Some(1), "{said}{}", String::from_utf8_lossy(&told.stderr));
    assert!(said.starts_with("different from line ") && said.contains("on: field `entry."), "{said}");
    assert!(said.lines().all(|line| line.chars().count() < 200), "{said}");
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
