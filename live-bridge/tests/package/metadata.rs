//! Metadata that a device must not believe.

use crate::world::{World, now, wait};
use slacktide_engine::time::{Instant, Span};
use slacktide_live_bridge::package::{Error, Expiries, Folder, Refusal, Role, Source};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &to);
        } else {
            std::fs::copy(&path, &to).unwrap();
        }
    }
}

fn metadata(world: &World) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(world.path("repository/metadata")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn one_flipped_bit_is_refused_in_every_file() {
    let world = World::new();
    world.published("os", "2.0");
    let rotated = wait(world.repository().rotate(
        Some(Role::Targets),
        &world.root_keys(),
        &world.keys(),
        &Expiries::default(),
        now(),
    ));
    assert_eq!(rotated.unwrap().root_version, 2);
    let good = world.check(&world.device("good")).unwrap();
    let current = ["2.root.json", "3.targets.json", "3.snapshot.json", "timestamp.json"];
    let (mut tried, mut refused) = (0, 0);
    for file in metadata(&world) {
        if !current.contains(&file.file_name().unwrap().to_str().unwrap()) {
            continue;
        }
        let bytes = std::fs::read(&file).unwrap();
        // Every 19th byte at another bit: all parts of the file, all bits.
        for (n, at) in (0..bytes.len()).step_by(19).enumerate() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (n % 8);
            std::fs::write(&file, &flipped).unwrap();
            tried += 1;
            // A device that knows the root asks for it no more.
            let device = if file.ends_with("2.root.json") { format!("device-{tried}") } else { "good".to_owned() };
            match world.check(&world.device(&device)) {
                Err(error) => {
                    assert!(error.refusal().is_some(), "{error}");
                    refused += 1;
                }
                // A digit of a signature in upper case says the same; then everything must be the same.
                Ok(checked) => assert_eq!(
                    (&checked.releases, checked.expires, checked.root_version, checked.timestamp_version),
                    (&good.releases, good.expires, good.root_version, good.timestamp_version),
                    "{} at {at}",
                    file.display()
                ),
            }
        }
        std::fs::write(&file, &bytes).unwrap();
    }
    assert!(tried > 200 && refused * 20 > tried * 17, "{refused} of {tried}");
    world.check(&world.device("good")).unwrap();
}

#[test]
fn an_older_repository_is_refused_after_a_newer_one() {
    let world = World::new();
    world.published("os", "1.0");
    copy_folder(&world.path("repository"), &world.path("old"));
    world.published("os", "2.0");
    let device = world.device("device");
    assert_eq!(world.check(&device).unwrap().releases.len(), 2);
    let error = wait(device.check_folder(&world.path("old"))).unwrap_err();
    let older = Refusal::Older { role: "timestamp".to_owned(), seen: 3, offered: 2 };
    assert_eq!(error.refusal(), Some(&older));
    assert_eq!(older.to_string(), "the timestamp metadata is older than what was seen before: version 2 after 3");
    // Another device, which has seen nothing, cannot know; and this one still takes the newer.
    assert_eq!(wait(world.device("fresh").check_folder(&world.path("old"))).unwrap().releases.len(), 1);
    world.check(&device).unwrap();
}

#[test]
fn expired_metadata_is_refused_by_role() {
    let then = Instant::from_secs(now().as_secs() - 3600);
    let short = Span::from_secs(60);
    for role in Role::ALL {
        let mut expiries = Expiries::default();
        match role {
            Role::Root => expiries.root = short,
            Role::Targets => expiries.targets = short,
            Role::Snapshot => expiries.snapshot = short,
            Role::Timestamp => expiries.timestamp = short,
        }
        let world = World::with(&expiries, then);
        assert_eq!(world.refused(&world.device("device")), Refusal::Expired { role: role.to_string() });
        // The publisher sees it, and can mend it: the three by signing anew, the root with its own key.
        let status = wait(world.repository().status()).unwrap();
        assert!(status.roles.iter().find(|r| r.role == role).unwrap().expires < now());
        let error = wait(world.repository().release("os", "1.0".parse().unwrap())).unwrap_err();
        assert_eq!(error.refusal(), Some(&Refusal::Expired { role: role.to_string() }));
        if role == Role::Root {
            let (root_keys, keys) = (world.root_keys(), world.keys());
            wait(world.repository().rotate(None, &root_keys, &keys, &Expiries::default(), now())).unwrap();
        } else {
            world.publish(&[]);
        }
        world.check(&world.device("device")).unwrap();
    }
}

#[test]
fn metadata_of_another_signer_is_refused() {
    let (ours, theirs) = (World::new(), World::new());
    ours.published("os", "1.0");
    theirs.published("os", "9.0");
    let device = ours.device("device");
    let error = wait(device.check_folder(&theirs.path("repository"))).unwrap_err();
    assert_eq!(error.refusal(), Some(&Refusal::Signer { role: "timestamp".to_owned() }));
    // Their next root does not follow from ours either.
    let (root_keys, keys) = (theirs.root_keys(), theirs.keys());
    wait(theirs.repository().rotate(Some(Role::Root), &root_keys, &keys, &Expiries::default(), now())).unwrap();
    let error = wait(device.check_folder(&theirs.path("repository"))).unwrap_err();
    assert_eq!(error.refusal(), Some(&Refusal::Signer { role: "root".to_owned() }));
    assert_eq!(ours.check(&device).unwrap().root_version, 1);
}

#[test]
fn a_mix_of_two_repositories_is_refused() {
    let (ours, theirs) = (World::new(), World::new());
    ours.published("os", "1.0");
    theirs.published("os", "9.0");
    for file in ["2.snapshot.json", "2.targets.json"] {
        let (from, to) = (theirs.path("repository/metadata").join(file), ours.path("repository/metadata").join(file));
        let before = std::fs::read(&to).unwrap();
        std::fs::copy(&from, &to).unwrap();
        let refusal = ours.refused(&ours.device("device"));
        assert!(matches!(refusal.name(), "mixed" | "unreadable"), "{refusal}");
        std::fs::write(&to, before).unwrap();
    }
    // Two states of one repository, each well signed: an old list under a new date.
    std::fs::copy(ours.path("repository/metadata/1.targets.json"), ours.path("repository/metadata/2.targets.json"))
        .unwrap();
    let refusal = ours.refused(&ours.device("device"));
    assert_eq!(refusal.name(), "mixed", "{refusal}");
}

#[test]
fn missing_files_and_a_clock_that_went_back_are_refused() {
    let world = World::new();
    world.published("os", "1.0");
    for file in ["timestamp.json", "2.snapshot.json", "2.targets.json"] {
        let path = world.path("repository/metadata").join(file);
        let before = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(world.refused(&world.device("device")).name(), "unreadable");
        std::fs::write(&path, before).unwrap();
    }
    let device = world.device("device");
    let checked = world.check(&device).unwrap();
    std::fs::write(world.path("device/latest_known_time.json"), "\"2999-01-01T00:00:00Z\"").unwrap();
    assert_eq!(world.refused(&device), Refusal::Clock);
    let unknown = checked.release("os", "3.0".parse().unwrap()).unwrap_err();
    assert_eq!(unknown.to_string(), "the repository has no os 3.0; it has os 1.0");
    assert!(checked.release("os", "1.0.0".parse().unwrap()).is_ok());
}

/// A way that loses files or makes them too long.
struct Way {
    folder: Folder,
    trouble: std::io::ErrorKind,
    at: &'static str,
}

impl Source for Way {
    fn fetch<'a>(
        &'a self,
        name: &'a str,
        bytes_max: u64,
    ) -> Pin<Box<dyn Future<Output = std::io::Result<Vec<u8>>> + Send + 'a>> {
        if name == self.at {
            let trouble = self.trouble;
            return Box::pin(async move { Err(trouble.into()) });
        }
        self.folder.fetch(name, bytes_max)
    }
}

#[test]
fn a_bad_way_is_not_a_bad_repository() {
    let world = World::new();
    world.published("os", "1.0");
    let device = world.device("device");
    let check = |trouble, at| {
        let way = Way { folder: Folder(world.path("repository/metadata")), trouble, at };
        // It can run on any thread of the agent.
        let task: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(device.check(Arc::new(way)));
        wait(task)
    };
    for at in ["timestamp.json", "2.snapshot.json", "2.targets.json"] {
        let error = check(std::io::ErrorKind::ConnectionReset, at).unwrap_err();
        assert!(matches!(&error, Error::Io { doing, .. } if *doing == format!("fetch {at}")), "{error:?}");
        let error = check(std::io::ErrorKind::InvalidData, at).unwrap_err();
        assert_eq!(error.refusal().unwrap().name(), "unreadable");
    }
    assert_eq!(check(std::io::ErrorKind::ConnectionReset, "none").unwrap().releases.len(), 1);
}
