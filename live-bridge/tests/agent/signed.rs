//! The agent with packages as they really are: archives in a signed repository, checked against the root the device was given.

use super::controller::Controller;
use super::device::Device;
use slacktide_engine::time::Instant;
use slacktide_live_bridge::package::{Expiries, KeyFolder, Repository, archive};
use slacktide_live_bridge::wire::outcome::Result as Verdict;
use std::path::{Path, PathBuf};

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn now() -> Instant {
    Instant::from_millis(slacktide_live_bridge::agent::now_ms())
}

/// Builds a package in `folder`; `health` is what its health check does.
fn build(folder: &Path, version: &str, health: &str) -> PathBuf {
    let source = folder.join(format!("source-{version}"));
    std::fs::create_dir_all(source.join("bin")).unwrap();
    let scripts = "[scripts]\ninstall = \"install.sh\"\nhealth = \"health.sh\"\n";
    std::fs::write(source.join("package.toml"), format!("name = \"app\"\nversion = \"{version}\"\n{scripts}")).unwrap();
    std::fs::write(source.join("bin/app"), version).unwrap();
    std::fs::write(source.join("install.sh"), format!("#!/bin/sh\necho {version} > installed\n")).unwrap();
    std::fs::write(source.join("health.sh"), format!("#!/bin/sh\n{health}\n")).unwrap();
    for script in ["install.sh", "health.sh"] {
        std::fs::set_permissions(source.join(script), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let to = folder.join(format!("app-{version}.stp"));
    archive::build(&source, &to).unwrap();
    to
}

/// The controller serves what is in the repository now.
fn serve(controller: &Controller, repository: &Path) {
    let kinds = ["metadata", "targets"];
    let names = kinds
        .iter()
        .flat_map(|kind| std::fs::read_dir(repository.join(kind)).unwrap().flatten().map(move |e| (kind, e)));
    let files: Vec<(String, Vec<u8>)> = names
        .map(|(kind, entry)| {
            (format!("{kind}/{}", entry.file_name().to_str().unwrap()), std::fs::read(entry.path()).unwrap())
        })
        .collect();
    controller.change(|seen| seen.files.extend(files));
}

#[test]
fn signed_packages_are_installed_and_a_flipped_bit_is_not() {
    let device = Device::new(&[], "");
    let place = device.path().join("repository-of-test");
    let repository = Repository::new(place.join("repository"));
    let keys = KeyFolder::new(place.join("keys"));
    let expiries = Expiries::default();
    let root = wait(repository.init(&KeyFolder::new(place.join("offline")), &keys, &expiries, now())).unwrap();
    let archives = [
        build(&place, "1.0.0", "exit 0"),
        build(&place, "2.0.0", "echo ill; exit 1"),
        build(&place, "3.0.0", "exit 0"),
    ];
    wait(repository.publish(&archives, &keys, &expiries, now())).unwrap();
    std::fs::create_dir(device.path().join("identity")).unwrap();
    std::fs::copy(root, device.path().join("identity/package-root.json")).unwrap();
    serve(&device.controller, repository.path());

    let _agent = device.with_release_1();
    device.controller.install(2, "2.0.0");
    let outcome = device.controller.outcome(2);
    assert_eq!((outcome.result(), device.runs().as_str()), (Verdict::Failed, "1.0.0"));
    assert!(outcome.reason.contains("ill"), "{outcome:?}");

    device.controller.change(|seen| {
        let name = seen.files.keys().find(|name| name.contains("app-3.0.0")).unwrap().clone();
        seen.files.get_mut(&name).unwrap()[40] ^= 1;
    });
    device.controller.install(3, "3.0.0");
    let outcome = device.controller.outcome(3);
    assert_eq!((outcome.result(), device.runs().as_str()), (Verdict::Failed, "1.0.0"));
    assert!(outcome.reason.starts_with("refused: "), "{outcome:?}");

    serve(&device.controller, repository.path());
    device.controller.install(4, "3.0.0");
    assert_eq!(device.controller.outcome(4).result(), Verdict::Succeeded, "{:?}", device.controller.outcome(4));
    assert_eq!(device.runs(), "3.0.0");
    device.controller.install(5, "9.0.0");
    assert!(device.controller.outcome(5).reason.starts_with("refused: "));
}
