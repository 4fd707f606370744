//! `package init`, `package sign`, `package rotate-key`.

use super::{Place, now};
use crate::wait;
use crate::{Outcome, say};
use anyhow::Result;
use serde_json::{Value, json};
use slacktide_live_bridge::package::{KeyFolder, Role, Status};
use std::path::PathBuf;

/// Arguments of `package init`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  slacktide package init --repository repo --root-keys /media/offline --keys keys\n\nThe root key signs which keys sign the rest. It is needed here, for `package rotate-key`, and once a year: keep its folder on a medium that is connected for that only, with a copy elsewhere. Keys are Ed25519, in PEM, mode 600."
)]
pub(crate) struct InitArgs {
    #[command(flatten)]
    place: Place,
    /// Folder for the root key, on a medium of its own
    #[arg(long, value_name = "DIR")]
    root_keys: PathBuf,
}

/// Arguments of `package sign`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  slacktide package sign greeting-1.1.stp --repository repo --keys keys\n  slacktide package sign --repository repo --keys keys         # every day: the timestamp holds 7 days\n\nA release that was published never changes; a correction is a new version."
)]
pub(crate) struct SignArgs {
    /// Archives that `package build` made
    archives: Vec<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `package rotate-key`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  slacktide package rotate-key --role timestamp --repository repo --root-keys /media/offline --keys keys\n  slacktide package rotate-key --role none --repository repo --root-keys /media/offline --keys keys     # the root expires soon\n\nDevices follow from the root they were given through every version since. The old key is refused from then on; its file stays and can be deleted (that of the root once all is checked)."
)]
pub(crate) struct RotateArgs {
    #[command(flatten)]
    place: Place,
    /// Folder of the root key
    #[arg(long, value_name = "DIR")]
    root_keys: PathBuf,
    /// Whose key: root, targets, snapshot, timestamp; none only puts off the expiry of the root
    #[arg(long, value_name = "ROLE", value_parser = ["root", "targets", "snapshot", "timestamp", "none"])]
    role: String,
}

/// `slacktide package init`
pub(super) fn init(args: &InitArgs) -> Result<Outcome> {
    let place = &args.place;
    let (repository, expiries) = (place.repository(), place.expiries()?);
    let root_keys = KeyFolder::new(&args.root_keys);
    let root = wait(repository.init(&root_keys, &place.keys(), &expiries, now()))??;
    let status = wait(repository.status())??;
    if place.json {
        let (root, roles) = (root.display().to_string(), roles(&status));
        say!(
            "{}",
            json!({"schema": "slacktide/package-init/1", "root": root, "root_sha256": status.root_sha256, "roles": roles})
        );
    } else {
        say!("made the repository {}", place.repository.display());
        say!("root key in {}: take it offline", args.root_keys.display());
        say!("give devices {}, sha256 {}", root.display(), status.root_sha256);
    }
    Ok(Outcome::Good)
}

/// `slacktide package sign`
pub(super) fn sign(args: &SignArgs) -> Result<Outcome> {
    let place = &args.place;
    let (repository, expiries) = (place.repository(), place.expiries()?);
    let added = wait(repository.publish(&args.archives, &place.keys(), &expiries, now()))??;
    let status = wait(repository.status())??;
    if place.json {
        let added: Vec<Value> =
            added.iter().map(|m| json!({"name": m.name, "version": m.version.to_string()})).collect();
        let releases: Vec<Value> = status.releases.iter().map(super::release_document).collect();
        let roles = roles(&status);
        say!("{}", json!({"schema": "slacktide/package-sign/1", "added": added, "releases": releases, "roles": roles}));
    } else {
        added.iter().for_each(|m| say!("published {} {}", m.name, m.version));
        say!("{} releases; the repository holds until {}", status.releases.len(), holds_until(&status));
    }
    Ok(Outcome::Good)
}

/// `slacktide package rotate-key`
pub(super) fn rotate(args: &RotateArgs) -> Result<Outcome> {
    let place = &args.place;
    let (repository, expiries) = (place.repository(), place.expiries()?);
    let role = Role::ALL.into_iter().find(|role| role.name() == args.role);
    let root_keys = KeyFolder::new(&args.root_keys);
    let rotation = wait(repository.rotate(role, &root_keys, &place.keys(), &expiries, now()))??;
    let status = wait(repository.status())??;
    let key_file = rotation.key_file.as_ref().map(|path| path.display().to_string());
    if place.json {
        let (version, id, roles) = (rotation.root_version, &rotation.key_id, roles(&status));
        say!(
            "{}",
            json!({"schema": "slacktide/package-rotate-key/1", "role": args.role, "root_version": version, "key": id, "key_file": key_file, "roles": roles})
        );
    } else {
        if let Some(file) = key_file {
            say!("new key for {}: {file}", args.role);
        }
        say!("root version {}; the repository holds until {}", rotation.root_version, holds_until(&status));
    }
    Ok(Outcome::Good)
}

fn holds_until(status: &Status) -> String {
    let first = status.roles.iter().min_by_key(|r| r.expires);
    first.map(|r| format!("{} ({})", r.expires, r.role)).unwrap_or_default()
}

fn roles(status: &Status) -> Vec<Value> {
    let role = |r: &slacktide_live_bridge::package::RoleStatus| json!({"role": r.role.name(), "version": r.version, "expires": r.expires.to_string(), "keys": r.keys});
    status.roles.iter().map(role).collect()
}
