//! `slacktide package`, from a folder to what a device would say.

use crate::{json, refused, slacktide};
use serde_json::Value;
use std::path::Path;

const KEYS: [&str; 4] = ["--repository", "repo", "--keys", "keys"];
const VERIFY: [&str; 6] = ["package", "verify", "--repository", "repo", "--root", "root.json"];

fn example() -> String {
    format!("{}/../examples/package", env!("CARGO_MANIFEST_DIR"))
}

fn with<'a>(first: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [first, &KEYS, more].concat()
}

fn done(arguments: &[&str], dir: &Path) -> String {
    let output = slacktide(arguments, dir);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Exit code 1 and the name of the refusal.
fn verdict(arguments: &[&str], dir: &Path) -> (Option<i32>, Value) {
    let output = slacktide(&[arguments, &["--json"]].concat(), dir);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    assert_eq!(document["schema"], "slacktide/package-verify/1", "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code(), document["refused"].clone())
}

/// A repository with the example, and the root a device holds.
fn prepared() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let said = done(&with(&["package", "init"], &["--root-keys", "offline"]), dir.path());
    assert!(said.contains("root key in offline: take it offline") && said.contains("1.root.json, sha256 "), "{said}");
    let said = done(&["package", "build", &example()], dir.path());
    assert!(said.starts_with("greeting 1.1: 4 files, ") && said.trim_end().ends_with(": greeting-1.1.stp"), "{said}");
    let said = done(&with(&["package", "sign", "greeting-1.1.stp"], &[]), dir.path());
    assert!(said.starts_with("published greeting 1.1\n1 releases; the repository holds until "), "{said}");
    std::fs::copy(dir.path().join("repo/metadata/1.root.json"), dir.path().join("root.json")).unwrap();
    dir
}

#[test]
fn a_package_is_built_signed_and_verified() {
    let dir = prepared();
    let said = done(&VERIFY, dir.path());
    assert!(said.starts_with("good: greeting 1.1\nthe repository is good until "), "{said}");
    let document = json(&[&VERIFY[..], &["greeting-1.1.stp", "--json"]].concat(), dir.path());
    assert_eq!((&document["good"], &document["releases"][0]["name"]), (&true.into(), &"greeting".into()));
    let build = json(&["package", "build", &example(), "--out", "again.stp", "--json"], dir.path());
    assert_eq!(build["schema"], "slacktide/package-build/1");
    assert_eq!(build["sha256"], document["releases"][0]["sha256"], "the same folder gives the same bytes");
    assert_eq!(
        std::fs::read(dir.path().join("again.stp")).unwrap(),
        std::fs::read(dir.path().join("greeting-1.1.stp")).unwrap()
    );
    let inside = json(&["package", "inspect", "greeting-1.1.stp", "--json"], dir.path());
    assert_eq!(
        (&inside["schema"], &inside["files"][0]["path"]),
        (&"slacktide/package-inspect/1".into(), &"bin/greet".into())
    );
    assert_eq!(inside["scripts"]["install"]["time_limit_s"], 60.0);
    let said = done(&["package", "inspect", "greeting-1.1.stp"], dir.path());
    assert!(said.contains("health       health.sh, at most 30s") && said.contains("bin/greet"), "{said}");
    let said = done(&["package", "inspect", "repo"], dir.path());
    assert!(said.contains("timestamp") && said.contains("greeting") && !said.contains("EXPIRED"), "{said}");
    let state = json(&["package", "inspect", "repo", "--json"], dir.path());
    let roles: Vec<&str> = state["roles"].as_array().unwrap().iter().map(|r| r["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["root", "targets", "snapshot", "timestamp"]);
}

#[test]
fn what_a_device_would_refuse_ends_with_one() {
    let dir = prepared();
    let at = |name: &str| dir.path().join(name);
    let honest = std::fs::read(at("greeting-1.1.stp")).unwrap();
    let mut flipped = honest.clone();
    // In the checksum at the end of the frame or before: wherever, it is another archive.
    *flipped.last_mut().unwrap() ^= 1;
    std::fs::write(at("flipped.stp"), &flipped).unwrap();
    assert_eq!(verdict(&[&VERIFY[..], &["flipped.stp"]].concat(), dir.path()), (Some(1), "damaged".into()));
    // Another package of the same name and version: sound, but not the signed one.
    std::fs::create_dir(at("other")).unwrap();
    std::fs::write(at("other/install.sh"), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(at("other/install.sh"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let text = "name = \"greeting\"\nversion = \"1.1\"\n[scripts]\ninstall = \"install.sh\"\n";
    std::fs::write(at("other/package.toml"), text).unwrap();
    done(&["package", "build", "other", "--out", "other.stp"], dir.path());
    assert_eq!(verdict(&[&VERIFY[..], &["other.stp"]].concat(), dir.path()), (Some(1), "not-signed".into()));
    std::fs::write(at("other/package.toml"), text.replace("1.1", "1.2")).unwrap();
    done(&["package", "build", "other"], dir.path());
    assert_eq!(verdict(&[&VERIFY[..], &["greeting-1.2.stp"]].concat(), dir.path()), (Some(1), "unknown".into()));
    // Older than seen.
    let seen = [&VERIFY[..], &["--state", "seen"]].concat();
    let before = std::fs::read(at("repo/metadata/timestamp.json")).unwrap();
    done(&with(&["package", "sign", "greeting-1.2.stp"], &[]), dir.path());
    assert_eq!(verdict(&seen, dir.path()).0, Some(0));
    let newest = std::fs::read(at("repo/metadata/timestamp.json")).unwrap();
    std::fs::write(at("repo/metadata/timestamp.json"), &before).unwrap();
    assert_eq!(verdict(&seen, dir.path()), (Some(1), "older".into()));
    std::fs::write(at("repo/metadata/timestamp.json"), &newest).unwrap();
    // Somebody else's.
    done(&["package", "init", "--repository", "theirs", "--keys", "k", "--root-keys", "r"], dir.path());
    let theirs = ["package", "verify", "--repository", "theirs", "--root", "root.json"];
    assert_eq!(verdict(&theirs, dir.path()), (Some(1), "signer".into()));
    let output = slacktide(&theirs, dir.path());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.starts_with("refused (signer): the timestamp metadata is not signed by a key that is trusted"),
        "{said}"
    );
}

#[test]
fn keys_change_and_the_old_root_still_leads_there() {
    let dir = prepared();
    let rotate = |role: &str| {
        let arguments = ["package", "rotate-key", "--role", role, "--root-keys", "offline", "--json"];
        json(&with(&arguments, &[]), dir.path())
    };
    for (n, role) in ["root", "timestamp", "none"].into_iter().enumerate() {
        let document = rotate(role);
        assert_eq!(document["schema"], "slacktide/package-rotate-key/1");
        assert_eq!(
            (&document["root_version"], document["key_file"].is_null()),
            (&(n as u64 + 2).into(), role == "none")
        );
    }
    let said = done(&VERIFY, dir.path());
    assert!(said.contains("root version 4"), "{said}");
    done(&with(&["package", "sign"], &["--expires", "timestamp=1d"]), dir.path());
}

#[test]
fn mistakes_are_named() {
    let dir = prepared();
    let path = dir.path();
    refused(&["package", "build", "nowhere"], path, &["nowhere/package.toml"]);
    std::fs::create_dir(path.join("bad")).unwrap();
    std::fs::write(path.join("bad/package.toml"), "name = \"a\"\nversion = \"1\"\n[scripts]\ninstall = \"x.sh\"\n")
        .unwrap();
    refused(
        &["package", "build", "bad"],
        path,
        &["bad/package.toml:4: field `scripts.install`: value `x.sh`: the package has no such file"],
    );
    refused(&["package", "inspect", "root.json"], path, &["root.json", "the archive is damaged"]);
    refused(&["package", "inspect", "bad"], path, &["bad is no package repository", "package init"]);
    refused(&["package", "inspect", "none.stp"], path, &["cannot read none.stp"]);
    refused(&with(&["package", "sign", "root.json"], &[]), path, &["the archive is damaged"]);
    refused(&with(&["package", "sign"], &["--expires", "timestmp=1d"]), path, &["did you mean `timestamp`?"]);
    refused(&with(&["package", "sign"], &["--expires", "timestamp=1s"]), path, &["must be a time from 1m to 3650d"]);
    refused(&with(&["package", "sign"], &["--expires", "7d"]), path, &["write ROLE=SPAN"]);
    refused(&["package", "sign", "--repository", "repo", "--keys", "offline"], path, &["there is no key for the"]);
    refused(&with(&["package", "init"], &["--root-keys", "offline"]), path, &["repo is a repository already"]);
    refused(&with(&["package", "rotate-key", "--role", "target"], &["--root-keys", "offline"]), path, &["targets"]);
    refused(
        &with(&["package", "rotate-key", "--role", "root"], &["--root-keys", "keys"]),
        path,
        &["no key for the root role"],
    );
    refused(
        &["package", "verify", "--repository", "bad", "--root", "root.json"],
        path,
        &["bad is no package repository"],
    );
    refused(
        &["package", "verify", "--repository", "repo", "--root", "none.json"],
        path,
        &["cannot read the root none.json"],
    );
}

#[test]
fn what_is_wrong_is_named_and_nothing_is_left_behind() {
    let dir = prepared();
    let sign = |repository| ["package", "sign", "greeting-1.1.stp", "--keys", "keys", "--repository", repository];
    refused(&sign("absent"), dir.path(), &["absent is no package repository", "package init"]);
    std::fs::create_dir(dir.path().join("plain")).unwrap();
    refused(&sign("plain"), dir.path(), &["plain is no package repository"]);
    assert_eq!(std::fs::read_dir(dir.path().join("plain")).unwrap().count(), 0, "no lock is left behind");
    let other = ["package", "verify", "--repository", "repo", "--root", "greeting-1.1.stp"];
    refused(&other, dir.path(), &["--root greeting-1.1.stp", "is no root file"]);
    let targets = std::fs::read_dir(dir.path().join("repo/targets")).unwrap();
    let archive = targets.map(|entry| entry.unwrap().path()).next().unwrap();
    let mut bytes = std::fs::read(&archive).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&archive, bytes).unwrap();
    let output = slacktide(&VERIFY, dir.path());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let name = archive.file_name().unwrap().to_str().unwrap();
    assert!(output.status.code() == Some(1) && said.starts_with("refused (not-signed): repo/targets/"), "{said}");
    assert!(said.contains(name), "{said}");
}
