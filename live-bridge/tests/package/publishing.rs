//! The publisher's side beside trust: what is published stays, and what is cut off is finished.

use crate::metadata::copy_folder;
use crate::world::{World, files, now, wait};
use slacktide_live_bridge::package::{Expiries, Repository, archive};
use std::io::Read as _;

#[test]
fn a_release_never_changes() {
    let world = World::new();
    let first = world.build("os", "1.0", b"one");
    world.publish(std::slice::from_ref(&first));
    world.publish(&[first]);
    let other = world.build("os", "1.0", b"two");
    let publish = |archives: &[std::path::PathBuf]| {
        wait(world.repository().publish(archives, &world.keys(), &Expiries::default(), now())).unwrap_err().to_string()
    };
    assert!(publish(&[other]).contains("os 1.0 has been published with other content"));
    // The same version written otherwise is the same version.
    let same = world.build("os", "1.0.0", b"one");
    assert!(publish(&[same]).contains("never changes"));
    let damaged = world.path("damaged.stp");
    std::fs::write(&damaged, b"no archive").unwrap();
    assert!(publish(&[damaged]).contains("the archive is damaged"));
    assert_eq!(world.check(&world.device("device")).unwrap().releases.len(), 1);
}

/// A package of a kind that this program does not know is signed into the repository by a newer one.
#[test]
fn a_release_of_the_future_is_in_nobodys_way() {
    use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
    use tough::key_source::{KeySource, LocalKeySource};
    let world = World::new();
    world.published("os", "1.0");
    let mut keys: Vec<Box<dyn KeySource>> = Vec::new();
    for file in files(&world.path("keys")) {
        let der = PrivatePkcs8KeyDer::from_pem_file(world.path("keys").join(&file)).unwrap();
        let path = world.path(&format!("{file}.der"));
        std::fs::write(&path, der.secret_pkcs8_der()).unwrap();
        keys.push(Box::new(LocalKeySource { path }));
    }
    let target = |name: &str, custom: serde_json::Value| {
        let json = serde_json::json!({"length": 3, "hashes": {"sha256": "0a".repeat(32)}, "custom": custom});
        (tough::TargetName::new(name).unwrap(), serde_json::from_value::<tough::schema::Target>(json).unwrap())
    };
    let metadata = world.path("repository/metadata");
    let os = world.check(&world.device("device")).unwrap().releases.remove(0);
    let os_text = serde_json::json!({"manifest": os.manifest.text()});
    wait(async {
        let mut editor = tough::editor::RepositoryEditor::new(metadata.join("1.root.json")).await.unwrap();
        for (name, target) in [
            target("os-1.0.stp", os_text.clone()),
            target("os-2.0.stp", serde_json::json!({"manifest": "name = \"os\"\nkind = \"container\"\n"})),
            target("os-3.0.stp", os_text),
            target("../../evil", serde_json::json!({})),
        ] {
            editor.add_target(name, target).unwrap();
        }
        let year = || "2999-01-01T00:00:00Z".parse().unwrap();
        let version = |n| std::num::NonZeroU64::new(n).unwrap();
        editor.targets_version(version(9)).unwrap().targets_expires(year()).unwrap();
        editor.snapshot_version(version(9)).snapshot_expires(year());
        editor.timestamp_version(version(9)).timestamp_expires(year());
        editor.sign(&keys).await.unwrap().write(&metadata).await.unwrap();
    });
    let checked = world.check(&world.device("device")).unwrap();
    let names: Vec<&str> = checked.unreadable.keys().map(String::as_str).collect();
    assert_eq!((checked.releases.len(), names), (1, vec!["../../evil", "os-2.0.stp", "os-3.0.stp"]));
    checked.release("os", "1.0".parse().unwrap()).unwrap();
    let said = |version: &str| checked.release("os", version.parse().unwrap()).unwrap_err().to_string();
    assert!(said("2.0").contains("os 2.0: os-2.0.stp:2: field `kind`: there is no such key"), "{}", said("2.0"));
    assert!(said("3.0").contains("its manifest is another's"), "{}", said("3.0"));
}

#[test]
fn old_states_go_and_roots_stay() {
    let world = World::new();
    world.published("os", "1.0");
    for _ in 0..20 {
        world.publish(&[]);
    }
    let left = files(&world.path("repository/metadata"));
    assert_eq!(left.iter().filter(|f| f.ends_with(".snapshot.json")).count(), 16);
    assert_eq!(left.iter().filter(|f| f.ends_with(".targets.json")).count(), 16);
    assert!(left.contains(&"1.root.json".to_owned()) && left.contains(&"timestamp.json".to_owned()));
    assert_eq!(world.check(&world.device("device")).unwrap().timestamp_version, 22);
}

#[test]
fn a_change_cut_off_by_a_loss_of_power_is_carried_out() {
    let world = World::new();
    world.published("os", "1.0");
    copy_folder(&world.path("repository"), &world.path("before"));
    world.published("os", "2.0");
    let (before, after) = (files(&world.path("before/metadata")), files(&world.path("repository/metadata")));
    let mut new: Vec<String> = after.into_iter().filter(|f| !before.contains(f)).collect();
    new.push("timestamp.json".to_owned());
    assert_eq!(new.len(), 3);
    // Cut off before any, one, two of the files were in place; and before the decision.
    for placed in 0..=new.len() {
        let cut = world.path(&format!("cut-{placed}"));
        copy_folder(&world.path("before"), &cut);
        copy_folder(&world.path("repository/targets"), &cut.join("targets"));
        std::fs::create_dir(cut.join("next")).unwrap();
        for (n, file) in new.iter().enumerate() {
            let to = if n < placed { "metadata" } else { "next" };
            std::fs::copy(world.path("repository/metadata").join(file), cut.join(to).join(file)).unwrap();
        }
        let status = wait(Repository::new(&cut).status()).unwrap();
        assert_eq!(status.releases.len(), 2, "{placed}");
        assert!(!cut.join("next").exists());
        std::fs::rename(&cut, world.path("looked-at")).unwrap();
        std::fs::remove_dir_all(world.path("looked-at")).unwrap();
    }
    let undecided = world.path("before/next.part");
    std::fs::create_dir(&undecided).unwrap();
    std::fs::write(undecided.join("timestamp.json"), b"half").unwrap();
    let repository = Repository::new(world.path("before"));
    assert_eq!(wait(repository.status()).unwrap().releases.len(), 1);
    wait(repository.publish(&[], &world.keys(), &Expiries::default(), now())).unwrap();
    assert!(!undecided.exists());
}

#[test]
fn devices_fetch_the_two_folders_and_nothing_else() {
    let world = World::new();
    world.published("os", "1.0");
    let repository = world.repository();
    let release = world.check(&world.device("device")).unwrap().releases.remove(0);
    let (mut file, total) = repository.open_for_fetch(&release.target.file).unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    assert_eq!((bytes.len() as u64, total), (release.target.size_bytes, release.target.size_bytes));
    repository.open_for_fetch("metadata/timestamp.json").unwrap();
    std::fs::write(world.path("secret"), b"secret").unwrap();
    std::os::unix::fs::symlink(world.path("secret"), world.path("repository/targets/link")).unwrap();
    let long = format!("targets/{}", "a".repeat(300));
    for file in [
        "metadata/../lock",
        "metadata/..",
        "targets/../../secret",
        "/etc/passwd",
        "lock",
        "",
        "metadata",
        "metadata/",
        "keys/a.pem",
        "targets/link",
        "targets/.hidden",
        "targets/a/b",
        "metadata//timestamp.json",
        "metadata\\timestamp.json",
        "targets/a\0b",
        "metadata/%2e%2e",
        "targets/none",
        &long,
    ] {
        assert!(repository.open_for_fetch(file).is_err(), "{file:?}");
    }
}

#[test]
fn a_repository_is_made_once_and_changed_by_one_at_a_time() {
    let world = World::new();
    let again = wait(world.repository().init(&world.root_keys(), &world.keys(), &Expiries::default(), now()));
    assert!(again.unwrap_err().to_string().contains("is a repository already"));
    let held = std::fs::File::open(world.path("repository/lock")).unwrap();
    held.lock().unwrap();
    let busy = wait(world.repository().publish(&[], &world.keys(), &Expiries::default(), now()));
    assert!(busy.unwrap_err().to_string().contains("is being changed by somebody else"));
    let nothing = wait(Repository::new(world.path("nothing")).status()).unwrap_err();
    assert!(nothing.to_string().contains("is no package repository; `slacktide package init` makes one"));
}

#[test]
fn the_same_folder_gives_the_same_bytes() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    let one = std::fs::read(world.build("os", "1.0", &vec![7; 300_000])).unwrap();
    let copy = world.path("copy");
    std::fs::create_dir(&copy).unwrap();
    // Made in another order, at another time, under another umask.
    for name in ["data", "package.toml", "install.sh"] {
        std::fs::copy(world.path("source-os-1.0").join(name), copy.join(name)).unwrap();
        let mode = if name == "install.sh" { 0o700 } else { 0o600 };
        std::fs::set_permissions(copy.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
        let then = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(86_400);
        std::fs::File::options().append(true).open(copy.join(name)).unwrap().set_modified(then).unwrap();
    }
    archive::build(&copy, &world.path("other.stp")).unwrap();
    assert_eq!(one, std::fs::read(world.path("other.stp")).unwrap());
    std::fs::write(copy.join("data"), vec![8; 300_000]).unwrap();
    archive::build(&copy, &world.path("other.stp")).unwrap();
    assert_ne!(one, std::fs::read(world.path("other.stp")).unwrap());
}
