//! Authority, certificates and revocation lists are exchanged while two hundred devices report ten times a second.

use super::door::{Door, plan};
use super::ground::{Ground, name};
use super::stored::{reported, stored};
use super::world::START;
use slacktide_engine::time::Instant;
use slacktide_live_bridge::trust::authority::Subject;
use slacktide_live_bridge::trust::{ClientFiles, ClientTrust, Identity};
use slacktide_live_bridge::wire::controller_message::Body as Said;
use slacktide_live_bridge::wire::device_link_client::DeviceLinkClient;
use slacktide_live_bridge::wire::device_message::Body;
use slacktide_live_bridge::wire::{DeviceMessage, Hello, RenewRequest, Report, Sample};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;

const DEVICES: usize = 200;
const PERIOD: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(60);

/// One device: what it was told is stored, and how often it connected.
struct Reporter {
    device: usize,
    trust: Arc<ClientTrust>,
    url: String,
    acknowledged: AtomicU64,
    sessions: AtomicU64,
}

/// What report number `n` of a device says.
fn value(device: usize, number: u64) -> f32 {
    ((device as u64 * 7 + number) % 100) as f32
}

impl Reporter {
    fn link(&self) -> DeviceLinkClient<tonic::transport::Channel> {
        DeviceLinkClient::new(self.trust.channel(&self.url).unwrap())
    }

    /// Reports until the session ends.
    async fn session(&self, stop: &AtomicBool) -> Option<()> {
        let (say, messages) = mpsc::channel(32);
        let hello = Hello { device_id: name(self.device), version: "1.0".to_owned(), ..Hello::default() };
        say.send(DeviceMessage { body: Some(Body::Hello(hello)), ..DeviceMessage::default() }).await.ok()?;
        let mut heard = self.link().session(ReceiverStream::new(messages)).await.ok()?.into_inner();
        let Some(Said::Welcome(welcome)) = heard.message().await.ok()??.body else { return None };
        let known = self.acknowledged.load(SeqCst);
        assert!(welcome.resume_after >= known, "d{}: {known} were stored, now {}", self.device, welcome.resume_after);
        self.sessions.fetch_add(1, SeqCst);
        let mut next = welcome.resume_after;
        let mut ticks = tokio::time::interval(PERIOD);
        while !stop.load(SeqCst) {
            tokio::select! {
                _ = ticks.tick() => {
                    next += 1;
                    let sample = Sample { metric: "cpu".to_owned(), percent: value(self.device, next) };
                    let body = Some(Body::Report(Report { samples: vec![sample] }));
                    say.send(DeviceMessage { sequence: next, previous: None, at_ms: 0, body }).await.ok()?;
                }
                message = heard.message() => if let Some(Said::Ack(ack)) = message.ok()??.body {
                    self.acknowledged.fetch_max(ack.sequence, SeqCst);
                },
            }
        }
        Some(())
    }

    async fn run(self: Arc<Self>, door: Arc<Semaphore>, stop: Arc<AtomicBool>) {
        while !stop.load(SeqCst) {
            // A machine of few cores shakes a few hands at a time.
            drop(door.acquire().await);
            self.session(&stop).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn renew(&self) {
        let request = RenewRequest { certificate_signing_request: self.trust.begin_renewal().unwrap() };
        let answer = self.link().renew(request).await.unwrap().into_inner();
        self.trust.finish_renewal(&answer.certificate_chain, &answer.authorities).unwrap();
    }
}

/// Waits until each of them has had three more reports acknowledged.
async fn all_go_on(reporters: &[Arc<Reporter>], step: &str) {
    let before: Vec<u64> = reporters.iter().map(|reporter| reporter.acknowledged.load(SeqCst)).collect();
    let began = std::time::Instant::now();
    loop {
        let pairs = reporters.iter().zip(&before);
        let slow = pairs.filter(|(reporter, before)| reporter.acknowledged.load(SeqCst) < **before + 3).count();
        if slow == 0 {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{step}: {slow} devices report no more");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn reporters(ground: &Ground, door: &Door) -> Vec<Arc<Reporter>> {
    let authority = ground.authority();
    let subjects: Vec<Subject> = (0..DEVICES).map(|n| Subject::new(Identity::Device(name(n)))).collect();
    let roots = authority.authorities_pem().unwrap();
    let made = authority.issue_many(&subjects).unwrap().into_iter().enumerate();
    made.map(|(device, new)| {
        let files = ClientFiles::in_folder(&ground.path(&name(device)));
        files.write_new(&new.key, &new.issued.certificate, &roots).unwrap();
        let (trust, url) = (ClientTrust::open(files).unwrap(), format!("https://{}", door.address));
        Arc::new(Reporter { device, trust, url, acknowledged: 0.into(), sessions: 0.into() })
    })
    .collect()
}

async fn renew_all(reporters: &[Arc<Reporter>]) {
    let at_once = Arc::new(Semaphore::new(8));
    let mut renewals = tokio::task::JoinSet::new();
    for reporter in reporters {
        let (at_once, reporter) = (Arc::clone(&at_once), Arc::clone(reporter));
        renewals.spawn(async move {
            let _one = at_once.acquire_owned().await.unwrap();
            reporter.renew().await;
        });
    }
    while let Some(done) = renewals.join_next().await {
        done.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_at_the_door_is_exchanged_under_load_without_one_lost_report() {
    let ground = Ground::new(0).await;
    let address = "127.0.0.1:0".parse().unwrap();
    let door = Door::open(&ground, &plan(&ground, DEVICES), address, Instant::from_secs(START)).await;
    let (authority, all) = (ground.authority(), reporters(&ground, &door));
    let (handshakes, stop) = (Arc::new(Semaphore::new(16)), Arc::new(AtomicBool::new(false)));
    let run =
        |reporter: &Arc<Reporter>| tokio::spawn(Arc::clone(reporter).run(Arc::clone(&handshakes), Arc::clone(&stop)));
    let tasks: Vec<_> = all.iter().map(run).collect();
    all_go_on(&all, "at first").await;

    // A new authority signs, both are trusted; devices renew themselves, then the controller gets its certificate.
    authority.rotate().unwrap();
    door.trust.reload().unwrap();
    all_go_on(&all, "both authorities").await;
    renew_all(&all).await;
    all_go_on(&all, "renewed").await;
    std::fs::remove_dir_all(ground.path("controller")).unwrap();
    ground.issue(&authority, "controller", Identity::Controller("main".to_owned()));
    door.trust.reload().unwrap();
    all_go_on(&all, "the controller's certificate").await;
    assert!(all.iter().all(|reporter| reporter.sessions.load(SeqCst) == 1), "so far nobody was cut");

    // One device is no longer welcome; then the old authority goes, and with it every connection that its certificates opened.
    let (lost, others) = all.split_last().unwrap();
    authority.revoke(&format!("device/{}", name(lost.device)), Some("lost")).unwrap();
    assert_eq!(door.trust.reload().unwrap().cut, 1);
    all_go_on(others, "a revocation").await;
    authority.retire(true).unwrap();
    let cut = door.trust.reload().unwrap().cut;
    all_go_on(others, "the old authority's end").await;
    authority.refresh().unwrap();
    door.trust.reload().unwrap();
    all_go_on(others, "new lists").await;
    assert_eq!(cut, DEVICES - 1);
    assert!(others.iter().all(|reporter| reporter.sessions.load(SeqCst) == 2), "cut once, and back");
    assert_eq!(lost.sessions.load(SeqCst), 1);

    stop.store(true, SeqCst);
    for task in tasks {
        task.await.unwrap();
    }
    let store = door.close().await;
    let stored = stored(&store);
    let mut acknowledged = 0;
    for reporter in &all {
        let messages = &stored[&name(reporter.device)];
        let known = reporter.acknowledged.load(SeqCst);
        assert!(messages.len() as u64 >= known, "d{}: {} of {known}", reporter.device, messages.len());
        let numbers: Vec<u64> = messages.iter().map(|message| message.sequence).collect();
        assert_eq!(numbers, (1..=messages.len() as u64).collect::<Vec<_>>(), "each once, in order");
        let values: Vec<f32> = numbers.iter().map(|number| value(reporter.device, *number)).collect();
        assert_eq!(reported(messages, "cpu"), values);
        acknowledged += known;
    }
    println!("{acknowledged} reports acknowledged by {DEVICES} devices, {cut} connections cut and back");
}
