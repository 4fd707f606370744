//! The first certificate: for the id of the token, once, from the controller that was pinned.

use crate::world::{DOMAIN, Raw, World, uri};
use rcgen::{CertificateParams, KeyPair};
use slacktide_live_bridge::trust::authority::{new_key, signing_request};
use slacktide_live_bridge::trust::enrolment::{EnrolmentService, Pin, enrol, serve};
use slacktide_live_bridge::trust::{CertificateFacts, ClientFiles, ClientTrust, Identity, Limits, Refusal, listen};
use slacktide_live_bridge::wire::EnrolRequest;
use slacktide_live_bridge::wire::enrolment_client::EnrolmentClient;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

async fn start(world: &World) -> SocketAddr {
    let root = world.folder.path().join("root.json");
    std::fs::write(&root, b"{\"signed\":{}}").unwrap();
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let service = EnrolmentService::new(Arc::clone(&world.authority), Some(root), Arc::clone(&world.counters));
    tokio::spawn(serve(Arc::clone(&world.trust), listener, service, std::future::pending()));
    address
}

fn pin(world: &World) -> Pin {
    Pin::Fingerprint(world.authority.generations().unwrap()[0].fingerprint().unwrap())
}

fn rights(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_brings_a_working_identity_once() {
    let world = World::start(Limits::default()).await;
    let url = format!("https://{}", start(&world).await);
    let token = world.authority.make_token("cam-1", 3600).unwrap();
    let folder = world.folder.path().join("new/device");
    let done = enrol(&url, &token.text, &pin(&world), &folder).await.unwrap();
    assert_eq!((done.device.as_str(), &done.facts.spiffe.identity), ("cam-1", &Identity::Device("cam-1".to_owned())));
    let mut names: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(
        names,
        ["authorities.pem", "certificate.pem", "key.pem", "package-root.json"],
        "and nothing half-written"
    );
    assert_eq!((rights(&folder.join("key.pem")), rights(&folder)), (0o600, 0o700));
    assert_eq!(std::fs::read(folder.join("package-root.json")).unwrap(), b"{\"signed\":{}}");
    let client = ClientTrust::open(ClientFiles::in_folder(&folder)).unwrap();
    world.link(&client).poll(tonic::Request::new(Default::default())).await.expect("the certificate opens the door");

    let again = enrol(&url, &token.text, &pin(&world), &folder).await.unwrap_err().to_string();
    assert!(again.contains("already"), "{again}");
    let elsewhere = world.folder.path().join("thief");
    let spent = enrol(&url, &token.text, &pin(&world), &elsewhere).await.unwrap_err().to_string();
    assert!(spent.contains("spent"), "{spent}");
    assert!(!elsewhere.join("certificate.pem").exists());
    assert_eq!((world.counters.enrolled.load(Relaxed), world.counters.enrolments_refused.load(Relaxed)), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_and_old_tokens_are_refused() {
    let world = World::start(Limits::default()).await;
    let url = format!("https://{}", start(&world).await);
    let folder = world.folder.path().join("new");
    let short = world.authority.make_token("cam-1", 1).unwrap().text;
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let good = world.authority.make_token("cam-1", 3600).unwrap().text;
    let other = format!("{}{}", &good[..63], if good.ends_with('0') { '1' } else { '0' });
    let path = "../".repeat(21) + "x";
    for token in ["", "x", short.as_str(), other.as_str(), path.as_str(), &"0".repeat(64), &"a".repeat(10_000)] {
        let said = enrol(&url, token, &pin(&world), &folder).await.unwrap_err().to_string();
        assert!(said.contains("unknown, spent or expired"), "{said}");
    }
    enrol(&url, &good, &pin(&world), &folder).await.expect("the failures before did not spend it");
    for bad in [("", 60), ("a/b", 60), ("..", 60), ("cam", 0), ("cam", 40 * 86_400)] {
        assert!(world.authority.make_token(bad.0, bad.1).is_err(), "{bad:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_says_who_it_is_whatever_the_request_says() {
    let world = World::start(Limits::default()).await;
    let address = start(&world).await;
    let token = world.authority.make_token("cam-1", 3600).unwrap().text;
    let mut client = EnrolmentClient::new(Raw::new(&world.authority, None, address).channel());
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![uri(&format!("spiffe://{DOMAIN}/operator/approver/mallory"))];
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let greedy = params.serialize_request(&key).unwrap().pem().unwrap();
    let ask = |request: &str| EnrolRequest { token: token.clone(), certificate_signing_request: request.to_owned() };
    for bad in ["", "no request", &greedy.replace('A', "B")] {
        assert_eq!(client.enrol(ask(bad)).await.unwrap_err().code(), tonic::Code::InvalidArgument);
    }
    let answer = client.enrol(ask(&greedy)).await.unwrap().into_inner();
    let facts = CertificateFacts::read(&crate::world::pem(&answer.certificate_chain)[0]).unwrap();
    assert_eq!((answer.device_id.as_str(), facts.spiffe.identity), ("cam-1", Identity::Device("cam-1".to_owned())));
    let der = crate::world::pem(&answer.certificate_chain)[0].to_vec();
    let (_, read) = x509_parser::parse_x509_certificate(&der).unwrap();
    assert!(!read.is_ca());
    let usage = read.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth && !usage.any);
    // A lost answer: the same key may ask again, another may not.
    let same = client.enrol(ask(&greedy)).await.unwrap().into_inner();
    assert_eq!(same.device_id, "cam-1");
    let thief = signing_request(&new_key().unwrap()).unwrap();
    assert_eq!(client.enrol(ask(&thief)).await.unwrap_err().code(), tonic::Code::PermissionDenied);
    // Strangers reach enrolment and nothing else.
    let raw = Raw::new(&world.authority, None, address);
    assert_eq!(raw.poll().await.unwrap_err().code(), tonic::Code::Unimplemented);
    assert_eq!(world.counters.refused(Refusal::NoCertificate), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_is_shown_to_the_pinned_controller_only() {
    let world = World::start(Limits::default()).await;
    let url = format!("https://{}", start(&world).await);
    let token = world.authority.make_token("cam-1", 3600).unwrap().text;
    let folder = world.folder.path().join("new");
    let wrong = Pin::Fingerprint("00".repeat(32));
    assert!(enrol(&url, &token, &wrong, &folder).await.is_err());
    let strange = tempfile::tempdir().unwrap();
    crate::world::prepare(strange.path());
    assert!(enrol(&url, &token, &Pin::File(strange.path().join("pki/authorities.pem")), &folder).await.is_err());
    let unfit = enrol(&url, &token, &Pin::Fingerprint("xyz".to_owned()), &folder).await.unwrap_err().to_string();
    assert!(unfit.contains("64 hexadecimal digits"), "{unfit}");
    assert_eq!(world.counters.enrolments_refused.load(Relaxed), 0, "nobody was shown the token");
    let file = Pin::File(world.folder.path().join("pki/authorities.pem"));
    enrol(&url, &token, &file, &folder).await.expect("by the file of authorities");
}
