//! Archives and manifests changed at random, from fixed seeds: never a panic, never a file outside, never a wrong file inside.

use crate::hostile::{Forge, pack};
use crate::world::files;
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use slacktide_live_bridge::package::{FileEntry, Limits, Manifest, archive};

/// A change or several, of the kinds that break parsers.
fn mutate(bytes: &mut Vec<u8>, random: &mut SmallRng) {
    const WORDS: [&[u8]; 10] = [
        b"../../evil",
        b"/tmp/evil",
        b"\0",
        b"\xff\xff\xff\xff",
        b"7777777777",
        b"ustar  \0",
        b"2",
        b"'''",
        b"[[files]]\n",
        b"99999999999999999999",
    ];
    for _ in 0..random.random_range(1..4) {
        if bytes.is_empty() {
            return;
        }
        let at = random.random_range(0..bytes.len());
        match random.random_range(0..6) {
            0 => bytes[at] ^= 1 << random.random_range(0..8),
            1 => bytes[at] = random.random(),
            2 => {
                let word = WORDS[random.random_range(0..WORDS.len())];
                let end = (at + word.len()).min(bytes.len());
                bytes[at..end].copy_from_slice(&word[..end - at]);
            }
            3 => {
                // Where names, modes, sizes, checksums and kinds of a tar header stand.
                let field = [0, 100, 124, 148, 156, 157, 257, 345][random.random_range(0..8)];
                let place = at / 512 * 512 + field;
                if let Some(byte) = bytes.get_mut(place) {
                    *byte = random.random();
                }
            }
            4 => {
                let end = (at + random.random_range(1..1024)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let to = random.random_range(0..=bytes.len());
                bytes.splice(to..to, piece);
            }
            _ => bytes.truncate(at),
        }
    }
}

#[test]
fn changed_archives_are_refused_or_say_the_same() {
    let forge = Forge::new();
    let honest = std::fs::read(forge.world.archive_of(&forge.release)).unwrap();
    let tar = forge.tar();
    let slots = tempfile::tempdir().unwrap();
    let mut same = 0;
    for seed in 0..500 {
        let mut random = SmallRng::seed_from_u64(seed);
        let bytes = if seed % 4 == 0 {
            let mut bytes = honest.clone();
            mutate(&mut bytes, &mut random);
            bytes
        } else {
            let mut inner = tar.clone();
            mutate(&mut inner, &mut random);
            pack(&inner)
        };
        let (release, path) = forge.sign(&bytes);
        let slot = slots.path().join("slot");
        match release.unpack(&path, &slot, &Limits::default()) {
            Err(error) => {
                assert!(error.refusal().is_some(), "seed {seed}: {error}");
                assert!(files(slots.path()).is_empty(), "seed {seed} left {:?}", files(slots.path()));
            }
            Ok(()) => {
                same += 1;
                assert_eq!(
                    files(slots.path()),
                    ["slot", "slot/data", "slot/install.sh", "slot/package.toml"],
                    "seed {seed}"
                );
                assert_eq!(std::fs::read(slot.join("data")).unwrap(), b"content", "seed {seed}");
                std::fs::remove_dir_all(&slot).unwrap();
            }
        }
        // The reader of strangers' archives.
        if let Err(error) = archive::inspect(&path, &Limits::default()) {
            assert!(error.refusal().is_some(), "seed {seed}: {error}");
        }
    }
    // A flip back, a byte replaced by itself: few.
    assert!(same < 30, "{same}");
}

#[test]
fn changed_manifests_are_refused_or_valid() {
    let forge = Forge::new();
    let text = forge.release.manifest.text().as_bytes().to_vec();
    let mut valid = 0;
    for seed in 0..3000 {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut bytes = text.clone();
        mutate(&mut bytes, &mut random);
        let Ok(text) = String::from_utf8(bytes) else { continue };
        match Manifest::parse("m.toml", &text) {
            Ok(manifest) => {
                valid += 1;
                stays_inside(&manifest);
            }
            Err(error) => assert!(error.to_string().starts_with("m.toml"), "seed {seed}: {error}"),
        }
    }
    assert!(valid > 30, "{valid}");
}

fn stays_inside(manifest: &Manifest) {
    for file in &manifest.files {
        let path = std::path::Path::new(&file.path);
        assert!(path.components().all(|c| matches!(c, std::path::Component::Normal(_))), "{path:?}");
        assert!(!file.path.contains(['\\', '\0']), "{path:?}");
        assert_eq!(file.mode & !0o755, 0);
    }
    for script in manifest.scripts.values() {
        assert!(manifest.files.iter().any(|f| f.path == script.path));
    }
}

proptest! {
    /// What is written is read again, whatever the names, and every path fits an archive.
    #[test]
    fn manifests_come_back(
        paths in proptest::collection::btree_set("[a-zé][a-z0-9 .'\"#]{0,99}(/[a-z][a-z0-9._-]{0,40}){0,2}", 1..6),
        size in 0_u64..1_000_000_000, seconds in 1_u64..86_400, requirement in proptest::option::of(0.0..1e6),
    ) {
        let found: Vec<FileEntry> = paths.iter().map(|path| FileEntry {
            path: path.clone(), sha256: [size as u8; 32], size_bytes: size, mode: 0o755,
        }).collect();
        let first = toml::Value::String(found[0].path.clone());
        let requirement = requirement.map(|r| format!("requirement = {r:?}\n")).unwrap_or_default();
        let text = format!(
            "name = \"os\"\nversion = \"1.2\"\n{requirement}target = 'region == \"a\"'\n[scripts]\ninstall = {first}\n[time_limits]\ninstall = \"{seconds}s\"\n\
             [[stones]]\nversion = \"1.1\"\nsize = \"3 MB\"\n");
        if let Ok(manifest) = Manifest::with_files("package.toml", &text, &found) {
            let again = Manifest::parse("package.toml", manifest.text()).unwrap();
            prop_assert_eq!(&again, &manifest);
            prop_assert_eq!(again.to_engine(7, None).stones[0].size_bytes, 3_000_000);
            stays_inside(&again);
        } else {
            // Only these are wrong with what is drawn here.
            let bad = paths.iter().any(|p| p.len() > 150 || p.split('/').any(|part| part.len() > 100));
            let clash = paths.iter().any(|p| paths.iter().any(|q| q.starts_with(&format!("{p}/"))));
            prop_assert!(bad || clash, "{:?}", paths);
        }
    }
}
