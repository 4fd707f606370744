//! The authority's folder: rights, power loss between two writes, two programs at once, what it refuses.

use crate::world::{DOMAIN, controller, device, pem, prepare, write};
use slacktide_live_bridge::trust::authority::{Subject, new_key, signing_request};
use slacktide_live_bridge::trust::{
    Authority, CertificateFacts, ClientTrust, Identity, Lifetimes, Role, ServerTrust, TrustError,
};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()) {
        if file.is_dir() { found.extend(files_below(&file)) } else { found.push(file) }
    }
    found
}

#[test]
fn only_the_owner_reads_secrets_and_nothing_half_written_stays() {
    let folder = tempfile::tempdir().unwrap();
    let authority = prepare(folder.path());
    let token = authority.make_token("cam-1", 60).unwrap();
    authority.spend_token(&token.text, &signing_request(&new_key().unwrap()).unwrap()).unwrap();
    authority.make_token("cam-2", 60).unwrap();
    authority.rotate().unwrap();
    for file in files_below(folder.path()) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        assert!(!name.starts_with('.'), "{name} is left over");
        let public = ["authorities.pem", "revocations.pem", "certificate.pem"].contains(&name.as_str());
        let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if public { 0o644 } else { 0o600 }, "{}", file.display());
        let bytes = std::fs::read(&file).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains(&token.text), "{name} gives a token away");
    }
    let mode = std::fs::metadata(folder.path().join("pki")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o700);
}

#[test]
fn a_renewal_cut_short_between_its_two_files_is_finished_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let authority = prepare(folder.path());
    let files = write(&authority, &folder.path().join("device"), &device("cam-1"));
    let client = ClientTrust::open(files.clone()).unwrap();
    let request = client.begin_renewal().unwrap();
    // Power loss before the answer: the old identity stands, and the same key asks again.
    let client = ClientTrust::open(files.clone()).unwrap();
    let key_of = |request: &str| authority.sign_request(&device("cam-1"), request).unwrap().entry.key;
    assert_eq!(key_of(&request), key_of(&client.begin_renewal().unwrap()));
    // Power loss after the certificate and before the key.
    let renewed = authority.renew(&client.facts().serial, &client.identity(), &request).unwrap();
    std::fs::write(&files.certificate, &renewed.certificate).unwrap();
    let healed = ClientTrust::open(files.clone()).unwrap();
    assert_eq!(healed.facts().serial, renewed.entry.serial);
    assert!(!folder.path().join("device/key.pem.next").exists());
}

#[test]
fn two_programs_share_a_folder_and_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let pki = folder.path().join("pki");
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let authority = Authority::open(&pki).unwrap();
            std::thread::spawn(move || {
                for n in 0..5 {
                    let id = format!("cam-{thread}-{n}");
                    authority.issue(&device(&id)).unwrap();
                    if n % 2 == 0 {
                        authority.revoke(&format!("device/{id}"), None).unwrap();
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let entries = Authority::open(&pki).unwrap().list().unwrap();
    assert_eq!(entries.len(), 21);
    assert_eq!(entries.iter().filter(|e| e.revoked_at_s.is_some()).count(), 12);
    let serials: std::collections::BTreeSet<_> = entries.iter().map(|e| &e.serial).collect();
    assert_eq!(serials.len(), 21);
    let trust = ServerTrust::open(crate::world::server_files(folder.path())).unwrap();
    assert_eq!(trust.reload().unwrap().revoked, 12, "the list tells of all of them");
}

#[test]
fn one_token_is_spent_once_by_however_many_ask_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let authority = prepare(folder.path());
    let token = authority.make_token("cam-1", 60).unwrap().text;
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (authority, token) = (authority.clone(), token.clone());
            let request = signing_request(&new_key().unwrap()).unwrap();
            std::thread::spawn(move || authority.spend_token(&token, &request).is_ok())
        })
        .collect();
    let won = threads.into_iter().map(|thread| thread.join().unwrap()).filter(|ok| *ok).count();
    assert_eq!(won, 1);
}

#[test]
fn what_is_issued_is_what_was_asked_for_and_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let authority = prepare(folder.path());
    let named = |name: &str| Subject::new(Identity::Controller(name.to_owned()));
    let refused = [
        Subject::new(Identity::Device("a b".to_owned())),
        Subject::new(Identity::Device(String::new())),
        Subject::new(Identity::Operator { name: "a/../b".to_owned(), role: Role::Viewer }),
        device("cam-1").at(&["localhost"]),
        named("main"),
        named("main").at(&["no_host!"]),
        named("main").at(&["-x"]),
        device("cam-1").living(0),
        device("cam-1").living(900 * 86_400),
    ];
    for subject in refused {
        assert!(matches!(authority.issue(&subject), Err(TrustError::Value { .. })), "{subject:?}");
    }
    assert_eq!(authority.list().unwrap().len(), 1, "only the controller's own");
    let new = authority.issue(&named("main").at(&["bridge.fleet.test", "::1"]).living(120)).unwrap();
    let facts = CertificateFacts::read(&pem(&new.issued.certificate)[0]).unwrap();
    assert_eq!(facts.spiffe.to_string(), format!("spiffe://{DOMAIN}/controller/main"));
    assert_eq!((facts.serial, facts.not_after_s), (new.issued.entry.serial.clone(), new.issued.entry.not_after_s));
    assert_eq!(facts.key, new.issued.entry.key);
    // Again for the same key and hosts; what is revoked is not renewed.
    let again = authority.renew_certificate(&new.issued.certificate, None).unwrap();
    assert_eq!((again.entry.key, again.entry.hosts.len()), (new.issued.entry.key.clone(), 2));
    authority.revoke(&new.issued.entry.serial, None).unwrap();
    assert!(matches!(authority.renew_certificate(&new.issued.certificate, None), Err(TrustError::NotRenewable(_))));
    assert!(matches!(authority.revoke("device/nobody", None), Err(TrustError::NotIssued(_))));
    let other = tempfile::tempdir().unwrap();
    let strange = prepare(other.path()).issue(&controller()).unwrap().issued.certificate;
    assert!(matches!(authority.renew_certificate(&strange, None), Err(TrustError::NotRenewable(_))));
}

#[test]
fn an_authority_is_made_once_and_a_damaged_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let pki = folder.path().join("pki");
    let again = Authority::init(&pki, &DOMAIN.parse().unwrap(), Lifetimes::default());
    assert!(again.unwrap_err().to_string().contains("there already"));
    assert!(Authority::open(folder.path()).unwrap_err().to_string().contains("pki init"));
    std::fs::write(pki.join("authority.json"), b"{\"schema\":").unwrap();
    assert!(Authority::open(&pki).unwrap_err().to_string().contains("authority.json"));
    let lifetimes = Lifetimes { device_s: 0, ..Lifetimes::default() };
    let zero = Authority::init(&folder.path().join("zero"), &DOMAIN.parse().unwrap(), lifetimes);
    assert!(zero.unwrap_err().to_string().contains("device lifetime"));
    assert!(!folder.path().join("zero").exists());
}

#[test]
fn lists_are_signed_again_when_half_their_life_is_over() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let authority = Authority::open(&folder.path().join("pki")).unwrap();
    let trust = ServerTrust::open(crate::world::server_files(folder.path())).unwrap();
    let end_s = trust.status().revocations_end_s;
    assert!(!authority.refresh_when_due(end_s).unwrap());
    assert!(authority.refresh_when_due(end_s - 16 * 86_400).unwrap());
    trust.reload().unwrap();
    assert!(trust.status().revocations_end_s >= end_s);
}
