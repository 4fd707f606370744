//! Keys come and go; devices follow.

use crate::metadata::copy_folder;
use crate::world::{World, now, wait};
use slacktide_live_bridge::package::{Expiries, KeyFolder, Refusal, Repository, Role};
use std::os::unix::fs::PermissionsExt as _;

fn rotate(world: &World, role: Option<Role>) {
    let (root_keys, keys) = (world.root_keys(), world.keys());
    wait(world.repository().rotate(role, &root_keys, &keys, &Expiries::default(), now())).unwrap();
}

#[test]
fn a_device_with_the_first_root_follows_every_change() {
    let world = World::new();
    world.published("os", "1.0");
    let (early, late) = (world.device("early"), world.device("late"));
    world.check(&early).unwrap();
    for (n, role) in [Role::Timestamp, Role::Root, Role::Targets, Role::Snapshot, Role::Root].into_iter().enumerate() {
        rotate(&world, Some(role));
        let checked = world.check(&early).unwrap();
        assert_eq!((checked.root_version, checked.releases.len()), (n as u64 + 2, 1), "{role}");
    }
    rotate(&world, None);
    world.published("os", "2.0");
    let checked = world.check(&late).unwrap();
    assert_eq!((checked.root_version, checked.releases.len()), (7, 2));
    assert_eq!(world.check(&early).unwrap().root_version, 7);
    let status = wait(world.repository().status()).unwrap();
    assert!(status.roles.iter().all(|r| r.keys.len() == 1), "{status:?}");
}

#[test]
fn a_key_that_was_taken_away_is_refused() {
    let world = World::new();
    world.published("os", "1.0");
    // A thief has the signing keys and goes on from here.
    copy_folder(&world.path("repository"), &world.path("stolen"));
    copy_folder(&world.path("keys"), &world.path("stolen-keys"));
    let stolen = Repository::new(world.path("stolen"));
    let stolen_keys = KeyFolder::new(world.path("stolen-keys"));
    let evil = world.build("os", "6.6.6", b"evil");
    wait(stolen.publish(&[evil], &stolen_keys, &Expiries::default(), now())).unwrap();
    for role in [Role::Timestamp, Role::Snapshot, Role::Targets] {
        rotate(&world, Some(role));
    }
    // On top of the new root, by whoever stands between, and to a device that has seen the new root served with the old rest alone.
    let device = world.device("device");
    world.check(&device).unwrap();
    let error = wait(device.check_folder(&world.path("stolen"))).unwrap_err();
    assert_eq!(error.refusal(), Some(&Refusal::Signer { role: "timestamp".to_owned() }));
    for version in 2..=4 {
        let root = format!("metadata/{version}.root.json");
        std::fs::copy(world.path("repository").join(&root), world.path("stolen").join(&root)).unwrap();
    }
    let fresh = world.device("fresh");
    let error = wait(fresh.check_folder(&world.path("stolen"))).unwrap_err();
    assert_eq!(error.refusal(), Some(&Refusal::Signer { role: "timestamp".to_owned() }));
    // That refusal taught it the new root: hiding it again does not help.
    (2..=4).for_each(|v| std::fs::remove_file(world.path("stolen").join(format!("metadata/{v}.root.json"))).unwrap());
    let error = wait(fresh.check_folder(&world.path("stolen"))).unwrap_err();
    assert_eq!(error.refusal(), Some(&Refusal::Signer { role: "timestamp".to_owned() }));
    world.check(&fresh).unwrap();
    // Nor can the stolen keys sign for the repository as it is now.
    let error = wait(world.repository().publish(&[], &stolen_keys, &Expiries::default(), now())).unwrap_err();
    assert!(error.to_string().contains("no key for the"), "{error}");
}

#[test]
fn a_thief_who_counted_far_ahead_is_overcome_by_new_keys() {
    let world = World::new();
    world.published("os", "1.0");
    copy_folder(&world.path("repository"), &world.path("stolen"));
    let stolen = Repository::new(world.path("stolen"));
    for _ in 0..9 {
        wait(stolen.publish(&[], &world.keys(), &Expiries::default(), now())).unwrap();
    }
    let device = world.device("device");
    assert_eq!(wait(device.check_folder(&world.path("stolen"))).unwrap().timestamp_version, 11);
    assert_eq!(world.refused(&device).name(), "older");
    rotate(&world, Some(Role::Timestamp));
    rotate(&world, Some(Role::Snapshot));
    assert_eq!(world.check(&device).unwrap().timestamp_version, 4);
}

#[test]
fn a_root_needs_the_old_key_and_the_new() {
    let world = World::new();
    rotate(&world, Some(Role::Root));
    let path = world.path("repository/metadata/2.root.json");
    let whole = std::fs::read_to_string(&path).unwrap();
    let root: serde_json::Value = serde_json::from_str(&whole).unwrap();
    assert_eq!(root["signatures"].as_array().unwrap().len(), 2);
    for drop in 0..2 {
        let mut one = root.clone();
        one["signatures"].as_array_mut().unwrap().remove(drop);
        std::fs::write(&path, one.to_string()).unwrap();
        let device = world.device(&format!("device-{drop}"));
        assert_eq!(world.refused(&device), Refusal::Signer { role: "root".to_owned() });
    }
    std::fs::write(&path, whole).unwrap();
    assert_eq!(world.check(&world.device("device")).unwrap().root_version, 2);
    // Without the root key there is no new root, and no key is made for nothing.
    let before = crate::world::files(&world.path("keys"));
    let elsewhere = KeyFolder::new(world.path("keys"));
    let error =
        wait(world.repository().rotate(Some(Role::Targets), &elsewhere, &world.keys(), &Expiries::default(), now()));
    assert!(error.unwrap_err().to_string().contains("no key for the root role"));
    assert_eq!(crate::world::files(&world.path("keys")), before);
}

#[test]
fn keys_are_for_their_owner_alone() {
    let world = World::new();
    for folder in ["keys", "offline"] {
        for file in crate::world::files(&world.path(folder)) {
            let path = world.path(folder).join(file);
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        }
        let mode = std::fs::metadata(world.path(folder)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{folder}");
    }
    let key = world.path("keys").join(&crate::world::files(&world.path("keys"))[0]);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = wait(world.repository().publish(&[], &world.keys(), &Expiries::default(), now())).unwrap_err();
    assert!(error.to_string().contains("can be read by others (mode 644): chmod 600"), "{error}");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&key, "no key").unwrap();
    let error = wait(world.repository().publish(&[], &world.keys(), &Expiries::default(), now())).unwrap_err();
    assert!(error.to_string().contains("no private key in PEM"), "{error}");
}
