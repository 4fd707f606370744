//! Certificates of every bad kind: each is refused, and counted by its reason.

use crate::world::{DOMAIN, Shown, World, controller, craft, device, pem, uri};
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use slacktide_live_bridge::trust::authority::Subject;
use slacktide_live_bridge::trust::{CertificateFacts, Identity, Limits, Refusal, Role};
use std::time::Duration;
use time::OffsetDateTime;

/// An authority that calls itself as ours does.
fn foreign() -> Issuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("slacktide authority {DOMAIN} 1"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Issuer::new(params, KeyPair::generate().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_certificate_is_refused_and_counted_by_its_reason() {
    let world = World::start(Limits::default()).await;
    world.raw(Some(&world.craft(|_| ()))).poll().await.expect("the crafted certificate is good as it is");
    let now = OffsetDateTime::now_utc();
    let ago = |s: u64| now - Duration::from_secs(s);
    let server_usage = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // The same extension a second time, which no reader may settle by taste.
    let second_list = CustomExtension::from_oid_content(&[2, 5, 29, 17], {
        let name = format!("spiffe://{DOMAIN}/device/cam-2").into_bytes();
        let inner = [&[0x86, name.len() as u8], name.as_slice()].concat();
        [&[0x30, inner.len() as u8], inner.as_slice()].concat()
    });
    let cases: Vec<(&str, Shown, Refusal)> = vec![
        ("foreign authority of the same name", craft(&foreign(), |_| ()), Refusal::UnknownAuthority),
        ("expired", world.craft(|p| p.not_after = ago(2)), Refusal::Expired),
        ("not yet", world.craft(|p| p.not_before = now + Duration::from_secs(60)), Refusal::NotYetValid),
        ("a controller's usage", world.craft(|p| p.extended_key_usages = server_usage), Refusal::WrongUsage),
        ("a controller's own", Shown::issued(&world.authority, &controller()), Refusal::WrongUsage),
        ("no names", world.craft(|p| p.subject_alt_names.clear()), Refusal::NoName),
        (
            "a host name only",
            world.craft(|p| p.subject_alt_names = vec![rcgen::SanType::DnsName("cam-1".try_into().unwrap())]),
            Refusal::NoName,
        ),
        (
            "two identities",
            world.craft(|p| p.subject_alt_names.push(uri(&format!("spiffe://{DOMAIN}/device/cam-2")))),
            Refusal::SeveralNames,
        ),
        (
            "the same identity twice",
            world.craft(|p| p.subject_alt_names.push(uri(&format!("spiffe://{DOMAIN}/device/cam-1")))),
            Refusal::SeveralNames,
        ),
        (
            "another trust domain",
            world.craft(|p| p.subject_alt_names = vec![uri("spiffe://other.test/device/cam-1")]),
            Refusal::TrustDomain,
        ),
        (
            "no identity of ours",
            world.craft(|p| p.subject_alt_names = vec![uri(&format!("spiffe://{DOMAIN}/printer/lp0"))]),
            Refusal::BadName,
        ),
        (
            "another scheme",
            world.craft(|p| p.subject_alt_names = vec![uri("https://fleet.test/device/a")]),
            Refusal::BadName,
        ),
    ];
    for (what, shown, reason) in &cases {
        world.refused(what, &world.raw(Some(shown)), *reason).await;
    }
    world.refused("no certificate", &world.raw(None), Refusal::NoCertificate).await;
    let twice = world.craft(|p| p.custom_extensions.push(second_list));
    // Which layer objects first to a second list of names is rustls' business; nobody gets in with it.
    assert!(world.raw(Some(&twice)).poll().await.is_err());
    assert_eq!(world.accepted(), 1, "only the good one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_certificate_is_refused_after_the_reload() {
    let world = World::start(Limits::default()).await;
    let new = world.authority.issue(&device("cam-1")).unwrap();
    let shown = Shown { certificate: new.issued.certificate, key: new.key };
    let other = Shown::issued(&world.authority, &device("cam-2"));
    world.raw(Some(&shown)).poll().await.unwrap();
    world.authority.revoke(&new.issued.entry.serial, Some("stolen")).unwrap();
    world.trust.reload().unwrap();
    world.refused("revoked", &world.raw(Some(&shown)), Refusal::Revoked).await;
    world.raw(Some(&other)).poll().await.expect("others are not concerned");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_ends_between_two_connections_is_refused_though_the_client_would_resume() {
    let world = World::start(Limits::default()).await;
    let raw = world.raw(Some(&Shown::issued(&world.authority, &device("cam-1").living(2))));
    raw.poll().await.unwrap();
    raw.poll().await.expect("still good");
    tokio::time::sleep(Duration::from_millis(3200)).await;
    world.refused("ended", &raw, Refusal::Expired).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_before_1_3_and_plain_text_are_refused() {
    let world = World::start(Limits::default()).await;
    let mut old = world.raw(Some(&Shown::issued(&world.authority, &device("cam-1"))));
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    old.config = std::sync::Arc::new(config);
    world.refused("TLS 1.2", &old, Refusal::Protocol).await;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut plain = tokio::net::TcpStream::connect(world.address).await.unwrap();
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.windows(4).any(|w| w == b"HTTP"), "{answer:?}");
    assert_eq!(world.counters.refused(Refusal::Protocol), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_talks_to_controllers_of_its_domain_only_and_by_their_name() {
    let world = World::start(Limits::default()).await;
    let client = world.client(&device("cam-1"));
    world.link(&client).poll(tonic::Request::new(Default::default())).await.unwrap();
    assert_eq!(client.identity(), Identity::Device("cam-1".to_owned()));
    // A device's certificate, and a controller's for another host, at the other end.
    let elsewhere = Subject::new(Identity::Controller("main".to_owned())).at(&["elsewhere.test"]);
    for (what, subject) in [("a device", device("cam-9")), ("another host", elsewhere)] {
        let shown = Shown::issued(&world.authority, &subject);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        use rustls::pki_types::pem::PemObject as _;
        let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).unwrap();
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(pem(&shown.certificate), key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
        let shaken = tokio::spawn(async move { acceptor.accept(listener.accept().await.unwrap().0).await.is_ok() });
        let channel = client.channel(&format!("https://{address}")).unwrap();
        let mut link = slacktide_live_bridge::wire::device_link_client::DeviceLinkClient::new(channel);
        assert!(link.poll(tonic::Request::new(Default::default())).await.is_err(), "{what}");
        assert!(!shaken.await.unwrap(), "{what}: the handshake went through");
    }
    for address in ["http://127.0.0.1:1", "https://127.0.0.1", "", "https://:1"] {
        assert!(client.channel(address).is_err(), "{address}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_are_let_in_with_their_role() {
    let world = World::start(Limits::default()).await;
    let alice = Identity::Operator { name: "alice".to_owned(), role: Role::Approver };
    let shown = Shown::issued(&world.authority, &Subject::new(alice.clone()));
    world.raw(Some(&shown)).poll().await.unwrap();
    assert_eq!(Identity::of_certificate(&pem(&shown.certificate)[0]), Ok(alice));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn damaged_certificates_are_read_or_refused(changes in proptest::collection::vec((any::<u16>(), any::<u8>(), 0..3_u8), 1..6)) {
        thread_local! {
            static GOOD: Vec<u8> = {
                let folder = tempfile::tempdir().unwrap();
                let authority = crate::world::prepare(folder.path());
                pem(&authority.issue(&device("cam-1")).unwrap().issued.certificate)[0].to_vec()
            };
        }
        let mut bytes = GOOD.with(Clone::clone);
        for (at, byte, kind) in changes {
            let at = usize::from(at) % bytes.len();
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        if let Ok(facts) = CertificateFacts::read(&bytes) {
            prop_assert_eq!(facts.spiffe.to_string().parse().ok(), Some(facts.spiffe));
        }
    }
}
