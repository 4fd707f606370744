//! `slacktide pki`: an authority from its making to the exchange of its key, and what it refuses.

use crate::{json, refused, slacktide};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

fn init(folder: &Path) -> String {
    let made = json(&["pki", "init", "--dir", "pki", "--trust-domain", "fleet.example", "--json"], folder);
    assert_eq!(made["schema"], "slacktide/pki-init/1");
    made["fingerprint"].as_str().unwrap().to_owned()
}

const CONTROLLER: [&str; 11] =
    ["pki", "issue", "--dir", "pki", "--controller", "main", "--host", "localhost", "--json", "--out", "controller"];

#[test]
fn an_authority_issues_renews_revokes_and_lists() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let fingerprint = init(folder);
    assert_eq!(fingerprint.len(), 64);
    let controller = json(&CONTROLLER, folder);
    assert_eq!(
        (&controller["schema"], &controller["identity"], &controller["hosts"][0]),
        (&"slacktide/pki-issue/1".into(), &"controller/main".into(), &"localhost".into())
    );
    let mode = std::fs::metadata(folder.join("controller/key.pem")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let alice = [
        "pki",
        "issue",
        "--dir",
        "pki",
        "--operator",
        "alice",
        "--role",
        "approver",
        "--valid",
        "1h",
        "--out",
        "alice",
    ];
    let said = String::from_utf8(slacktide(&alice, folder).stdout).unwrap();
    assert!(said.starts_with("operator/approver/alice: certificate ") && said.contains(" UTC in alice"), "{said}");
    let key = std::fs::read(folder.join("controller/key.pem")).unwrap();
    let renewed = ["pki", "renew", "--dir", "pki", "--certificate", "controller/certificate.pem", "--json"];
    let renewed = json(&renewed, folder);
    assert!(renewed["schema"] == "slacktide/pki-renew/1" && renewed["serial"] != controller["serial"], "{renewed}");
    assert_eq!(std::fs::read(folder.join("controller/key.pem")).unwrap(), key, "the key stays");

    let serial = controller["serial"].as_str().unwrap();
    let revoked = json(&["pki", "revoke", "--dir", "pki", serial, "--reason", "replaced", "--json"], folder);
    assert_eq!(revoked["schema"], "slacktide/pki-revoke/1");
    assert_eq!(revoked["revoked"].as_array().unwrap().len(), 1, "{revoked}");
    json(&["pki", "revoke", "--dir", "pki", "operator/approver/alice", "--json"], folder);
    let standing = json(&["pki", "list", "--dir", "pki", "--json"], folder);
    assert_eq!(
        (&standing["trust_domain"], standing["certificates"].as_array().unwrap().len()),
        (&"fleet.example".into(), 1)
    );
    assert_eq!(standing["generations"][0]["fingerprint"], fingerprint.as_str());
    let all = String::from_utf8(slacktide(&["pki", "list", "--dir", "pki", "--all"], folder).stdout).unwrap();
    assert!(all.contains(": replaced") && all.contains("operator/approver/alice") && all.contains("good"), "{all}");
    let refreshed = json(&["pki", "refresh", "--dir", "pki", "--json"], folder);
    assert!(refreshed["revocations_end_s"].as_i64().unwrap() > 1_700_000_000);
}

#[test]
fn tokens_are_made_and_the_authority_is_exchanged_in_two_steps() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let first = init(folder);
    json(&CONTROLLER, folder);
    let token = json(&["pki", "token", "--dir", "pki", "--device", "cam-017", "--valid", "1h", "--json"], folder);
    assert_eq!((&token["schema"], &token["fingerprint"]), (&"slacktide/pki-token/1".into(), &first.as_str().into()));
    assert_eq!(token["token"].as_str().unwrap().len(), 64);
    let rotate = |more: &[&'static str]| [["pki", "rotate", "--dir", "pki"].as_slice(), more].concat();
    refused(&rotate(&["--finish"]), folder, &["no older authority"]);
    let both = json(&rotate(&["--json"]), folder);
    assert_eq!((both["generations"].as_array().unwrap().len(), &both["old_in_force"]), (2, &1.into()), "{both}");
    refused(&rotate(&[]), folder, &["--finish"]);
    refused(&rotate(&["--finish"]), folder, &["1 certificates", "--force"]);
    // The controller's certificate is renewed by the new key, and the old one is still in force until it is revoked.
    let old = json(&["pki", "list", "--dir", "pki", "--json"], folder)["certificates"][0]["serial"].clone();
    json(&["pki", "renew", "--dir", "pki", "--certificate", "controller/certificate.pem", "--json"], folder);
    json(&["pki", "revoke", "--dir", "pki", old.as_str().unwrap(), "--json"], folder);
    let authorities = std::fs::read_to_string(folder.join("controller/authorities.pem")).unwrap();
    assert_eq!(authorities.matches("BEGIN CERTIFICATE").count(), 2, "its owner learns of the new one");
    let one = json(&rotate(&["--finish", "--json"]), folder);
    assert_eq!((&one["generations"][0]["number"], &one["old_in_force"]), (&2.into(), &0.into()), "{one}");
    assert_ne!(one["generations"][0]["fingerprint"], first.as_str());
}

#[test]
fn mistakes_with_the_authority_exit_2_and_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    refused(&["pki", "list", "--dir", "pki"], folder, &["authority.json", "pki init"]);
    refused(
        &["pki", "init", "--dir", "pki", "--trust-domain", "Fleet Example"],
        folder,
        &["trust domain", "fleet.example"],
    );
    refused(
        &["pki", "init", "--dir", "pki", "--trust-domain", "f", "--device-days", "4000"],
        folder,
        &["device lifetime", "825 days"],
    );
    assert!(!folder.join("pki").exists());
    init(folder);
    refused(&["pki", "init", "--dir", "pki", "--trust-domain", "f"], folder, &["there already"]);
    let issue = |more: &[&'static str]| [["pki", "issue", "--dir", "pki", "--out", "o"].as_slice(), more].concat();
    refused(&issue(&[]), folder, &["--device"]);
    refused(&issue(&["--device", "a", "--operator", "b", "--role", "viewer"]), folder, &["cannot be used with"]);
    refused(&issue(&["--device", "a/b"]), folder, &["name `a/b`", "A-Z a-z 0-9"]);
    refused(&issue(&["--operator", "a"]), folder, &["--role"]);
    refused(
        &issue(&["--operator", "a", "--role", "root"]),
        folder,
        &["--role", "`root`", "viewer, operator, approver"],
    );
    refused(&issue(&["--controller", "a"]), folder, &["--host"]);
    refused(&issue(&["--controller", "a", "--host", "no host"]), folder, &["host `no host`"]);
    refused(&issue(&["--device", "a", "--valid", "soon"]), folder, &["--valid `soon`", "7d"]);
    refused(&issue(&["--device", "a", "--valid", "900d"]), folder, &["lifetime", "825 days"]);
    refused(&issue(&["--device", "a", "--csr", "nowhere.csr"]), folder, &["nowhere.csr"]);
    std::fs::write(folder.join("bad.csr"), "no request").unwrap();
    refused(&issue(&["--device", "a", "--csr", "bad.csr"]), folder, &["bad.csr", "signing request"]);
    assert!(!folder.join("o").exists());
    json(&issue(&["--device", "a", "--json"]), folder);
    refused(&issue(&["--device", "a"]), folder, &["o/certificate.pem", "there already"]);
    let list = json(&["pki", "list", "--dir", "pki", "--all", "--json"], folder);
    assert_eq!(list["certificates"].as_array().unwrap().len(), 1, "what was refused is not in the list");
    refused(&["pki", "revoke", "--dir", "pki", "device/b"], folder, &["nothing was issued for device/b"]);
    refused(&["pki", "revoke", "--dir", "pki", "devices/b"], folder, &["devices/b", "device/ID"]);
    refused(&["pki", "renew", "--dir", "pki", "--certificate", "bad.csr"], folder, &["bad.csr"]);
    refused(&["pki", "token", "--dir", "pki", "--device", "..", "--valid", "1h"], folder, &["name `..`"]);
    refused(
        &["pki", "token", "--dir", "pki", "--device", "a", "--valid", "31d"],
        folder,
        &["lifetime of the token", "30 days"],
    );
    std::fs::write(folder.join("pki/authority.json"), "{").unwrap();
    refused(&["pki", "list", "--dir", "pki"], folder, &["pki/authority.json"]);
}

#[test]
fn what_could_not_be_written_was_not_issued() {
    let dir = tempfile::tempdir().unwrap();
    init(dir.path());
    std::fs::write(dir.path().join("file"), "").unwrap();
    let issue = |more: &[&'static str]| [&["pki", "issue", "--dir", "pki", "--device", "q"], more].concat();
    refused(&issue(&["--out", "file/x"]), dir.path(), &["file/x"]);
    let standing = json(&["pki", "list", "--dir", "pki", "--json"], dir.path());
    assert_eq!(standing["certificates"].as_array().unwrap().len(), 0, "{standing}");
    // A device has no role, and no host names.
    refused(&issue(&["--role", "viewer", "--out", "q"]), dir.path(), &["--role"]);
    refused(&issue(&["--host", "q.example", "--out", "q"]), dir.path(), &["--host"]);
    assert!(!dir.path().join("q").exists());
}
