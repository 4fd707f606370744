//! Who may sign, and how many must.

use crate::name;
use crate::world::{World, later, now};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use slacktide_live_bridge::signoff::{Authorities, Persons, SignError, SignOff, Signer};
use slacktide_live_bridge::trust::{ClientFiles, Identity, Role};

fn sign(sign_off: &mut SignOff, files: &ClientFiles) -> &'static str {
    match sign_off.sign(files, now()) {
        Ok(_) => "good",
        Err(SignError::Refused(refusal)) => refusal.name(),
        Err(SignError::Trust(_)) => "trust",
    }
}

/// The document with these signers, as somebody would forge it who does not use this program.
fn forged(sign_off: &SignOff, signers: &[Signer]) -> SignOff {
    let text = SignOff::new(sign_off.document().clone()).unwrap().text();
    let each = signers.iter().map(|signer| {
        format!(
            "\n[[signers]]\nidentity = \"{}\"\nsignature = \"{}\"\ncertificate = \"\"\"\n{}\"\"\"\n",
            signer.identity, signer.signature, signer.certificate
        )
    });
    SignOff::parse(&(text + &each.collect::<String>())).unwrap()
}

#[test]
fn two_people_are_asked_for_and_one_is_an_approver() {
    let world = World::new();
    let mut sign_off = SignOff::new(world.document()).unwrap();
    assert_eq!(name(world.check(&sign_off)), "too-few-signers");
    let maker = world.operator("maker", Role::Operator);
    assert_eq!(sign(&mut sign_off, &maker), "good");
    assert_eq!(name(world.check(&sign_off)), "too-few-signers");
    assert_eq!(name(world.check_as(&sign_off, |e| e.persons = Persons { min: 1 })), "no-approver");
    assert_eq!(sign(&mut sign_off, &maker), "same-person");
    assert_eq!(sign(&mut sign_off, &world.operator("maker", Role::Approver)), "same-person");
    assert_eq!(sign(&mut sign_off, &world.operator("second", Role::Approver)), "good");
    assert_eq!(name(world.check(&sign_off)), "good");
    assert_eq!(name(world.check_as(&sign_off, |e| e.persons = Persons { min: 3 })), "too-few-signers");
    assert_eq!(sign(&mut sign_off, &world.operator("third", Role::Approver)), "good");
    assert_eq!(name(world.check_as(&sign_off, |e| e.persons = Persons { min: 3 })), "good");
}

#[test]
fn an_approver_may_make_one_alone_where_one_person_is_enough() {
    let world = World::new();
    let mut document = world.document();
    document.made_by = "operator/approver/boss".to_owned();
    let mut sign_off = SignOff::new(document).unwrap();
    assert_eq!(sign(&mut sign_off, &world.operator("boss", Role::Approver)), "good");
    assert_eq!(name(world.check_as(&sign_off, |e| e.persons = Persons { min: 1 })), "good");
    assert_eq!(name(world.check(&sign_off)), "too-few-signers");
}

#[test]
fn viewers_devices_controllers_and_other_operators_may_not_sign() {
    let world = World::new();
    let mut sign_off = SignOff::new(world.document()).unwrap();
    assert_eq!(sign(&mut sign_off, &world.operator("watcher", Role::Viewer)), "wrong-role");
    assert_eq!(sign(&mut sign_off, &world.operator("other", Role::Operator)), "wrong-role");
    assert_eq!(sign(&mut sign_off, &world.issue(Identity::Device("cam".to_owned()))), "wrong-role");
}

/// A signature made without this program's checks.
fn by_hand(sign_off: &SignOff, identity: &str, files: &ClientFiles) -> Signer {
    let key = PrivateKeyDer::from_pem_slice(&std::fs::read(&files.key).unwrap()).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.secret_der()).unwrap();
    let body = SignOff::new(sign_off.document().clone()).unwrap().text();
    Signer {
        identity: identity.to_owned(),
        signature: BASE64.encode(pair.sign(&SystemRandom::new(), body.as_bytes()).unwrap()),
        certificate: std::fs::read_to_string(&files.certificate).unwrap(),
    }
}

#[test]
fn a_viewer_counts_for_nothing_however_the_file_was_made() {
    let world = World::new();
    let mut document = world.document();
    document.made_by = "operator/viewer/watcher".to_owned();
    let mut sign_off = SignOff::new(document).unwrap();
    let viewer = by_hand(&sign_off, "operator/viewer/watcher", &world.operator("watcher", Role::Viewer));
    assert_eq!(sign(&mut sign_off, &world.operator("second", Role::Approver)), "good");
    let approver = sign_off.document().signers[0].clone();
    assert_eq!(name(world.check(&forged(&sign_off, &[viewer.clone(), approver.clone()]))), "wrong-role");
    // Under a better name than the certificate's, and twice.
    let risen = Signer { identity: "operator/approver/watcher".to_owned(), ..viewer };
    assert_eq!(name(world.check(&forged(&sign_off, &[risen, approver.clone()]))), "edited");
    assert_eq!(name(world.check(&forged(&sign_off, &[approver.clone(), approver]))), "same-person");
}

#[test]
fn what_is_signed_by_hand_as_it_should_be_is_good() {
    let world = World::new();
    let sign_off = SignOff::new(world.document()).unwrap();
    let maker = by_hand(&sign_off, "operator/operator/maker", &world.operator("maker", Role::Operator));
    let checker = by_hand(&sign_off, "operator/approver/checker", &world.operator("checker", Role::Approver));
    assert_eq!(name(world.check(&forged(&sign_off, &[maker, checker]))), "good");
}

#[test]
fn a_signature_of_another_document_is_no_signature() {
    let world = World::new();
    let signed = world.signed();
    let mut document = world.document();
    document.package.sha256 = "0".repeat(64);
    let other = SignOff::new(document).unwrap();
    let moved = forged(&other, &signed.document().signers);
    assert_eq!(name(world.check(&moved)), "edited");
}

/// Who signs second vouches for the same text as who signed first.
#[test]
fn nobody_signs_beneath_a_signature_that_does_not_hold() {
    let world = World::new();
    let checker = world.operator("checker", Role::Approver);
    let mut document = world.document();
    document.valid_until = later(now(), 40 * 86_400);
    let mut sign_off = SignOff::new(document).unwrap();
    sign_off.sign(&world.operator("maker", Role::Operator), now()).unwrap();
    let text = sign_off.text();
    let mut edited = SignOff::parse(&text.replacen("bound = 86400.0", "bound = 96400.0", 1)).unwrap();
    assert_ne!(edited, sign_off);
    assert_eq!(sign(&mut edited, &checker), "edited");
    // The maker's certificate is good for 30 days; the checker's is a new one.
    let then = later(now(), 35 * 86_400);
    let refusal = match sign_off.sign(&checker, then) {
        Err(SignError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    assert!(refusal.name() == "unknown-signer" && refusal.to_string().ends_with("expired"), "{refusal}");
    assert_eq!(sign(&mut sign_off, &checker), "good");
}

#[test]
fn a_key_that_is_mistyped_is_named_with_its_line() {
    let text = SignOff::new(World::new().document()).unwrap().text().replacen("valid_until", "valid_untl", 1);
    let said = SignOff::parse(&text).unwrap_err().to_string();
    assert!(said.starts_with("is no sign-off that can be read: line 7: field `valid_untl`: "), "{said}");
    assert!(said.contains("did you mean `valid_until`?"), "{said}");
}

#[test]
fn the_maker_is_among_the_signers() {
    let world = World::new();
    let mut sign_off = SignOff::new(world.document()).unwrap();
    for approver in ["second", "third"] {
        assert_eq!(sign(&mut sign_off, &world.operator(approver, Role::Approver)), "good");
    }
    assert_eq!(name(world.check(&sign_off)), "maker-missing");
}

#[test]
fn certificates_of_another_authority_count_for_nothing() {
    let (world, other) = (World::new(), World::new());
    let foreign = other.signed();
    assert_eq!(name(other.check(&foreign)), "good");
    let refusal = world.check(&foreign).unwrap_err();
    assert_eq!(refusal.name(), "unknown-signer");
    assert!(refusal.to_string().ends_with("unknown-authority"), "{refusal}");
    // One signer of ours, one of theirs.
    let mut mixed = SignOff::new(world.document()).unwrap();
    mixed.sign(&world.operator("maker", Role::Operator), now()).unwrap();
    let stranger = other.operator("stranger", Role::Approver);
    assert_eq!(sign(&mut mixed, &stranger), "unknown-signer");
    let maker = mixed.document().signers[0].clone();
    let stranger = by_hand(&mixed, "operator/approver/stranger", &stranger);
    assert_eq!(name(world.check(&forged(&mixed, &[maker, stranger]))), "unknown-signer");
}

#[test]
fn a_certificate_that_ended_or_was_revoked_takes_its_signature_with_it() {
    let world = World::new();
    let mut document = world.document();
    document.valid_until = later(now(), 400 * 86_400);
    let mut sign_off = SignOff::new(document).unwrap();
    sign_off.sign(&world.operator("maker", Role::Operator), now()).unwrap();
    sign_off.sign(&world.operator("checker", Role::Approver), now()).unwrap();
    let refusal = world.check_as(&sign_off, |e| e.now = later(now(), 60 * 86_400)).unwrap_err();
    assert!(refusal.name() == "unknown-signer" && refusal.to_string().ends_with("expired"), "{refusal}");
    world.authority.revoke("operator/approver/checker", None).unwrap();
    let lists =
        Authorities::open(&world.path("pki/authorities.pem"), Some(&world.path("pki/revocations.pem"))).unwrap();
    let refusal = sign_off.check_signatures(&lists, Persons::default(), now()).unwrap_err();
    assert!(refusal.to_string().ends_with("revoked"), "{refusal}");
}
