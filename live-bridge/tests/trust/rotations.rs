//! Exchanging the authority, certificates and keys while devices go on reporting.

use crate::world::{Shown, World, controller, device, within};
use slacktide_live_bridge::trust::{ClientTrust, Limits, Refusal};
use slacktide_live_bridge::wire::controller_message::Body;
use slacktide_live_bridge::wire::{DeviceMessage, RenewRequest};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Reports until it is told to stop, connecting again whenever it is cut off and going on after what was stored.
struct Reporter {
    stop: AtomicBool,
    acknowledged: AtomicU64,
    connections: AtomicU64,
}

impl Reporter {
    async fn session(&self, world: &World, client: &Arc<ClientTrust>) -> Option<()> {
        let (send, messages) = mpsc::channel(8);
        let mut link = world.link(client);
        let mut answers = link.session(ReceiverStream::new(messages)).await.ok()?.into_inner();
        let Some(Body::Welcome(welcome)) = answers.message().await.ok()??.body else { return None };
        self.connections.fetch_add(1, Relaxed);
        for sequence in welcome.resume_after + 1.. {
            send.send(DeviceMessage { sequence, previous: None, at_ms: 0, body: None }).await.ok()?;
            let Some(Body::Ack(ack)) = answers.message().await.ok()??.body else { return None };
            self.acknowledged.store(ack.sequence, Relaxed);
            if self.stop.load(Relaxed) {
                return Some(());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        None
    }

    async fn run(self: Arc<Self>, world: Arc<World>, client: Arc<ClientTrust>) {
        while self.session(&world, &client).await.is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn goes_on(&self) {
        let now = self.acknowledged.load(Relaxed);
        assert!(within(Duration::from_secs(5), || self.acknowledged.load(Relaxed) > now + 20).await, "reports stopped");
    }
}

async fn renew(world: &World, client: &Arc<ClientTrust>) {
    let request = RenewRequest { certificate_signing_request: client.begin_renewal().unwrap() };
    let answer = world.link(client).renew(request).await.unwrap().into_inner();
    client.finish_renewal(&answer.certificate_chain, &answer.authorities).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_authority_is_exchanged_under_load_without_one_lost_report() {
    let world = Arc::new(World::start(Limits::default()).await);
    let client = world.client(&device("cam-1"));
    let reporter = Arc::new(Reporter { stop: AtomicBool::new(false), acknowledged: 0.into(), connections: 0.into() });
    let reports = tokio::spawn(Arc::clone(&reporter).run(Arc::clone(&world), Arc::clone(&client)));
    let old = Shown::issued(&world.authority, &device("cam-2"));
    let old_raw = world.raw(Some(&old));
    reporter.goes_on().await;

    // Both are trusted; the next one signs.
    assert_eq!(world.authority.rotate().unwrap().old_in_force, 3);
    assert_eq!(world.trust.reload().unwrap().authorities, 2);
    let new = Shown::issued(&world.authority, &device("cam-3"));
    old_raw.poll().await.expect("an old client during the rotation");
    world.raw(Some(&new)).poll().await.expect("a new client during the rotation");
    reporter.goes_on().await;
    assert_eq!(reporter.connections.load(Relaxed), 1, "a reload cuts nobody who is still welcome");

    // The device renews itself, then the controller gets a certificate of the new authority.
    let before = client.facts();
    renew(&world, &client).await;
    assert!(client.facts().issuer != before.issuer && client.facts().key != before.key);
    assert!(world.authority.retire(false).is_err(), "others still need the old one");
    let own = world.folder.path().join("controller");
    std::fs::remove_dir_all(&own).unwrap();
    crate::world::write(&world.authority, &own, &controller());
    world.trust.reload().unwrap();
    reporter.goes_on().await;

    world.authority.retire(true).unwrap();
    assert_eq!(world.trust.reload().unwrap().authorities, 1);
    let old_raw = world.raw(Some(&old));
    world.refused("an old client after the rotation", &old_raw, Refusal::UnknownAuthority).await;
    world.raw(Some(&new)).poll().await.expect("a new client after the rotation");
    reporter.goes_on().await;
    assert_eq!(world.counters.cut_retired.load(Relaxed), 1, "the stream that the old certificate opened");
    assert_eq!(reporter.connections.load(Relaxed), 2, "and it came back with the new one");

    reporter.stop.store(true, Relaxed);
    reports.await.unwrap();
    let taken = world.taken.lock().unwrap()["cam-1"].clone();
    assert_eq!(taken, (1..=reporter.acknowledged.load(Relaxed)).collect::<Vec<_>>(), "each report once, in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_fails_changes_nothing_and_says_why() {
    let world = World::start(Limits::default()).await;
    let client = world.client(&device("cam-1"));
    let pki = world.folder.path().join("pki");
    let other = tempfile::tempdir().unwrap();
    let strange = crate::world::prepare(other.path());
    let own = world.folder.path().join("controller");
    let stale = {
        let lifetimes = slacktide_live_bridge::trust::Lifetimes { revocations_s: 1, ..Default::default() };
        let folder = other.path().join("stale");
        slacktide_live_bridge::trust::Authority::init(&folder, strange.domain(), lifetimes).unwrap();
        tokio::time::sleep(Duration::from_millis(2100)).await;
        std::fs::read(folder.join("revocations.pem")).unwrap()
    };
    let device_certificate = world.authority.issue(&device("cam-9")).unwrap().issued.certificate.into_bytes();
    let cases: [(_, Vec<u8>, &str); 6] = [
        (pki.join("authorities.pem"), b"-----BEGIN CERTIFICATE-----\nAAAA".to_vec(), "authorities.pem"),
        (pki.join("authorities.pem"), Vec::new(), "holds no certificate"),
        (pki.join("revocations.pem"), b"nothing".to_vec(), "holds no revocation list"),
        (pki.join("revocations.pem"), stale, "out of date"),
        (own.join("certificate.pem"), device_certificate, "only controllers serve"),
        (own.join("key.pem"), std::fs::read(other.path().join("controller/key.pem")).unwrap(), "does not go with"),
    ];
    for (number, (path, bytes, why)) in cases.into_iter().enumerate() {
        let good = std::fs::read(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
        let said = world.trust.reload().unwrap_err().to_string();
        assert!(said.contains(why) && said.contains(&*path.file_name().unwrap().to_string_lossy()), "{said}");
        let status = world.trust.status();
        assert_eq!((status.reloads_failed, status.last_error), (number as u64 + 1, Some(said)));
        world.link(&client).poll(tonic::Request::new(Default::default())).await.expect("as before");
        std::fs::write(&path, good).unwrap();
    }
    world.trust.reload().unwrap();
    assert_eq!(world.trust.status().last_error, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewal_is_for_oneself_and_not_for_the_revoked() {
    let world = World::start(Limits::default()).await;
    let (client, other) = (world.client(&device("cam-1")), world.client(&device("cam-2")));
    renew(&world, &client).await;
    world.link(&client).poll(tonic::Request::new(Default::default())).await.expect("with the renewed certificate");
    // What another device was given is of no use.
    let request = RenewRequest { certificate_signing_request: other.begin_renewal().unwrap() };
    let answer = world.link(&other).renew(request).await.unwrap().into_inner();
    let kept = client.facts();
    client.begin_renewal().unwrap();
    assert!(client.finish_renewal(&answer.certificate_chain, &answer.authorities).is_err());
    assert_eq!(client.facts(), kept);
    for bad in ["", "no request", &"x".repeat(40_000)] {
        let request = RenewRequest { certificate_signing_request: bad.to_owned() };
        assert_eq!(world.link(&client).renew(request).await.unwrap_err().code(), tonic::Code::InvalidArgument);
    }
    for _ in 0..8 {
        renew(&world, &other).await;
    }
    // One at first and nine by renewal are all for this hour.
    let request = RenewRequest { certificate_signing_request: other.begin_renewal().unwrap() };
    assert_eq!(world.link(&other).renew(request).await.unwrap_err().code(), tonic::Code::ResourceExhausted);
    // Revoked in the folder, and the door does not know yet.
    world.authority.revoke("device/cam-1", None).unwrap();
    let request = RenewRequest { certificate_signing_request: client.begin_renewal().unwrap() };
    assert_eq!(world.link(&client).renew(request).await.unwrap_err().code(), tonic::Code::PermissionDenied);
    assert_eq!(world.counters.renewed.load(Relaxed), 10);
}
