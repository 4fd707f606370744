//! The bodies of the fuzz targets over the committed corpus and over seeded damage to it, in every test run.

use crate::bodies::{ALL, Body};
use crate::mutate::{Chance, damaged};
use slacktide_engine::policy::library as policies;
use slacktide_scenarios::library;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Instant;

const SEED: u64 = 20_240_304;
const DAMAGED: usize = 3000;
/// No input of a few kilobytes may take longer; on a busy machine all of them together take less.
const INPUT_S_MAX: f64 = 5.0;

/// The committed files of a target, and what the libraries add to them.
fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let mut files: Vec<_> = paths.iter().map(|p| (p.display().to_string(), std::fs::read(p).unwrap())).collect();
    assert!(!files.is_empty(), "{name} has no corpus");
    let text = |name: &&str, text: Option<&str>| ((*name).to_owned(), text.unwrap_or_default().as_bytes().to_vec());
    match name {
        "scenario" => files.extend(library::names().iter().map(|name| text(name, library::text(name)))),
        "policy" => files.extend(policies::names().iter().map(|name| text(name, policies::text(name)))),
        _ => {}
    }
    files
}

/// Runs one input; a panic names it, and leaves it where it can be looked at.
fn survive(name: &str, body: Body, what: &str, bytes: &[u8], folder: &Path) {
    let begun = Instant::now();
    let ran = catch_unwind(AssertUnwindSafe(|| body(bytes, folder)));
    let took = begun.elapsed().as_secs_f64();
    if ran.is_err() || took > INPUT_S_MAX {
        let kept = std::env::temp_dir().join(format!("slacktide-{name}-{}", std::process::id()));
        std::fs::write(&kept, bytes).unwrap();
        panic!("{name}: {what} took {took:.1} s or panicked; the input is {}", kept.display());
    }
}

#[expect(clippy::print_stdout, reason = "the seed")]
fn all_of(name: &str, damaged_count: usize) {
    let (_, body) = *ALL.iter().find(|(known, _)| *known == name).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let files = corpus(name);
    files.iter().for_each(|(what, bytes)| survive(name, body, what, bytes, folder.path()));
    println!("{name}: {} files, {damaged_count} damaged ones under seed {SEED}", files.len());
    for i in 0..damaged_count {
        let mut chance = Chance(SEED.wrapping_add(i as u64));
        let (what, bytes) = &files[chance.below(files.len())];
        let other = &files[chance.below(files.len())].1;
        let bytes = damaged(bytes, other, &mut chance);
        survive(name, body, &format!("{what} damaged under seed {SEED} + {i}"), &bytes, folder.path());
    }
}

macro_rules! targets {
    ($($name:ident: $count:expr),+ $(,)?) => {
        $(#[test] fn $name() { all_of(stringify!($name), $count); })+
        #[test]
        fn every_body_has_its_test() {
            let tested = [$(stringify!($name)),+];
            assert!(ALL.iter().all(|(name, _)| tested.contains(name)) && ALL.len() == tested.len());
        }
    };
}

targets! {
    scenario: DAMAGED,
    policy: DAMAGED,
    set: DAMAGED,
    filter: DAMAGED,
    package: DAMAGED,
    telemetry_csv: DAMAGED,
    fleet_csv: DAMAGED,
    downtime_csv: DAMAGED,
    journal: DAMAGED / 10,
}

#[test]
fn the_corpus_is_small() {
    let bytes: usize = ALL.iter().flat_map(|(name, _)| corpus(name)).map(|(_, bytes)| bytes.len()).sum();
    assert!(bytes < 400_000, "{bytes} bytes, libraries included");
}

/// A number is only a number until a world is built: no reader makes room for what it promises.
#[test]
fn large_numbers_make_no_reader_slow() {
    let folder = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let text = "devices = 4000000\nhistory = \"60d\"\nuntil_max = \"60d\"\ntick = \"10s\"\n[policy_overrides.plan]\nslot = \"1m\"\n\
                [[pools]]\npool_size = 1000000\nsites_per_region = 1000000\n[[failures.outages]]\nonly = [\"eu-1000000\"]\n";
    let scenario = slacktide_scenarios::Scenario::from_toml("large.toml", text).unwrap();
    assert_eq!((scenario.devices, scenario.failures.outages[0].only.len()), (4_000_000, 1));
    let error = slacktide_scenarios::Scenario::from_toml("large.toml", &text.replace("eu-1000000", "eu-1000001"));
    assert!(error.unwrap_err().to_string().len() < 400);
    let rows = "device_id,timestamp,cpu\na,0,1\na,300,1\na,253402300799,1\nb,-62135596800,1\n";
    crate::bodies::telemetry_csv(rows.as_bytes(), folder.path());
    let key = "k".repeat(200_000);
    let said = slacktide_scenarios::Scenario::from_toml("large.toml", &format!("{key} = 1\n")).unwrap_err();
    assert!(said.problem.contains("no such key"));
    assert!(begun.elapsed().as_secs_f64() < 2.0, "{:?}", begun.elapsed());
}
