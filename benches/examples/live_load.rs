//! The load a controller carries: many agents, each with a TLS session and a certificate of its own, report every second and wait for
//! acknowledgements that outlive the controller; then the controller is killed again and again.
//!
//! `cargo build --release && cargo run --release -p slacktide-benches --example live_load [-- AGENTS [SECONDS [KILLS [PERIOD_MS]]]]`
//! (10,000 agents, 30 s, 5 kills, every 1000 ms). The controller is `target/release/slacktide serve`, a process of its own on the loopback; agents
//! and controller share the machine's cores. Linux only.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example says what it measured")]

use slacktide_live_bridge::trust::authority::Subject;
use slacktide_live_bridge::trust::{Authority, ClientFiles, ClientTrust, Identity, Lifetimes, TrustDomain};
use slacktide_live_bridge::wire::controller_message::Body as Said;
use slacktide_live_bridge::wire::device_link_client::DeviceLinkClient;
use slacktide_live_bridge::wire::device_message::Body;
use slacktide_live_bridge::wire::{DeviceMessage, Hello, Report, Sample};
use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;

const PORT: u16 = 17_443;
/// Handshakes under way at once: what a controller's door allows one address is 128.
const CONNECTING_MAX: usize = 120;
const METRICS: [&str; 4] = ["cpu", "memory", "network", "disk"];

type Fail = Box<dyn Error + Send + Sync>;

/// What all agents count together.
#[derive(Default)]
struct Counts {
    connected: AtomicU64,
    sessions: AtomicU64,
    acknowledged: AtomicU64,
    /// A number that was acknowledged and is not known any more.
    lost: AtomicU64,
    stop: AtomicBool,
    measuring: AtomicBool,
    /// Milliseconds from a report to its acknowledgement.
    latencies_ms: Mutex<Vec<f32>>,
}

fn main() -> Result<(), Fail> {
    let mut args = std::env::args().skip(1);
    let mut number = |default: u64| args.next().map_or(Ok(default), |text| text.parse::<u64>());
    let (agents, seconds, kills, period_ms) = (number(10_000)?, number(30)?, number(5)?, number(1000)?);
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum },
    )?;
    let folder = tempfile::tempdir()?;
    let began = Instant::now();
    prepare(folder.path(), agents)?;
    println!("{agents} certificates and files: {:.1} s", began.elapsed().as_secs_f64());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(load(folder.path(), agents, Duration::from_secs(seconds), kills, Duration::from_millis(period_ms)))
}

fn name(n: u64) -> String {
    format!("d{n:05}")
}

/// Authority, certificates, fleet, repository and configuration in a folder.
fn prepare(folder: &Path, agents: u64) -> Result<(), Fail> {
    let domain = "load.example".parse::<TrustDomain>()?;
    let authority = Authority::init(&folder.join("authority"), &domain, Lifetimes::default())?;
    let roots = authority.authorities_pem()?;
    let put = |place: &str, key: &str, certificate: &str| -> Result<(), Fail> {
        let place = folder.join(place);
        std::fs::create_dir_all(&place)?;
        std::fs::write(place.join("key.pem"), key)?;
        std::fs::write(place.join("certificate.pem"), certificate)?;
        std::fs::write(place.join("authorities.pem"), &roots)?;
        Ok(())
    };
    let controller = authority.issue(&Subject::new(Identity::Controller("load".to_owned())).at(&["127.0.0.1"]))?;
    put("controller", &controller.key, &controller.issued.certificate)?;
    let subjects: Vec<Subject> = (0..agents).map(|n| Subject::new(Identity::Device(name(n)))).collect();
    for (n, made) in (0..).zip(authority.issue_many(&subjects)?) {
        put(&format!("devices/{}", name(n)), &made.key, &made.issued.certificate)?;
    }
    let mut fleet = std::fs::File::create(folder.join("fleet.csv"))?;
    writeln!(fleet, "device_id,pool,region,version")?;
    for n in 0..agents {
        writeln!(fleet, "{},pool-{},eu,1.0", name(n), n / 20)?;
    }
    std::fs::create_dir_all(folder.join("repository"))?;
    let config = format!(
        "name = \"load\"\n[listen]\ndevices = \"127.0.0.1:{PORT}\"\nmetrics = \"127.0.0.1:{}\"\n\
         [trust]\nidentity = \"controller\"\nauthority = \"authority\"\n[fleet]\nfile = \"fleet.csv\"\n\
         [packages]\nrepository = \"repository\"\n[telemetry]\ntick = \"1m\"\nreport_every = \"1s\"\n",
        PORT + 1
    );
    std::fs::write(folder.join("controller.toml"), config)?;
    Ok(())
}

async fn load(folder: &Path, agents: u64, span: Duration, kills: u64, period: Duration) -> Result<(), Fail> {
    let counts = Arc::new(Counts::default());
    let mut controller = Controller::start(folder).await?;
    let door = Arc::new(Semaphore::new(CONNECTING_MAX));
    let began = Instant::now();
    let tasks: Vec<_> = (0..agents)
        .map(|n| {
            tokio::spawn(agent(n, folder.join("devices").join(name(n)), period, Arc::clone(&counts), Arc::clone(&door)))
        })
        .collect();
    all_there(&counts, agents, Duration::from_secs(120)).await?;
    println!(
        "connected: {:.0} sessions a second ({CONNECTING_MAX} at a time)",
        agents as f64 / began.elapsed().as_secs_f64()
    );
    tokio::time::sleep(Duration::from_secs(5)).await;

    let (before, acknowledged) = (controller.cpu_s()?, counts.acknowledged.load(Ordering::Relaxed));
    counts.measuring.store(true, Ordering::Relaxed);
    let began = Instant::now();
    tokio::time::sleep(span).await;
    counts.measuring.store(false, Ordering::Relaxed);
    let wall = began.elapsed().as_secs_f64();
    let per_s = (counts.acknowledged.load(Ordering::Relaxed) - acknowledged) as f64 / wall;
    let mut latencies = std::mem::take(&mut *counts.latencies_ms.lock().map_err(|_| "a task died")?);
    latencies.sort_by(f32::total_cmp);
    let quantile = |q: f64| latencies.get(((latencies.len() as f64 - 1.0) * q) as usize).copied().unwrap_or(f32::NAN);
    println!(
        "{per_s:.0} reports acknowledged a second; acknowledged after p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms",
        quantile(0.5),
        quantile(0.99),
        quantile(0.999)
    );
    println!(
        "controller: {:.2} cores, {} MB resident",
        (controller.cpu_s()? - before) / wall,
        controller.resident_mb()?
    );

    for kill in 1..=kills {
        controller.kill();
        counts.connected.store(0, Ordering::Relaxed);
        let began = Instant::now();
        controller = Controller::start(folder).await?;
        let listening = began.elapsed().as_secs_f64();
        all_there(&counts, agents, Duration::from_secs(120)).await?;
        println!(
            "kill {kill}: listening after {listening:.1} s, all back after {:.1} s; acknowledged and lost so far: {}",
            began.elapsed().as_secs_f64(),
            counts.lost.load(Ordering::Relaxed)
        );
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    counts.stop.store(true, Ordering::Relaxed);
    controller.kill();
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    println!(
        "acknowledged in all: {}, lost: {}",
        counts.acknowledged.load(Ordering::Relaxed),
        counts.lost.load(Ordering::Relaxed)
    );
    if counts.lost.load(Ordering::Relaxed) == 0 { Ok(()) } else { Err("acknowledged messages were lost".into()) }
}

/// Waits until every agent has a session.
async fn all_there(counts: &Counts, agents: u64, patience: Duration) -> Result<(), Fail> {
    let began = Instant::now();
    while counts.connected.load(Ordering::Relaxed) < agents {
        if began.elapsed() > patience {
            return Err(
                format!("only {} of {agents} agents have a session", counts.connected.load(Ordering::Relaxed)).into()
            );
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// The controller's process.
struct Controller {
    process: Child,
}

impl Controller {
    async fn start(folder: &Path) -> Result<Self, Fail> {
        let binary =
            std::env::var_os("SLACKTIDE").map_or_else(|| PathBuf::from("target/release/slacktide"), PathBuf::from);
        let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("controller.log"))?;
        let process = Command::new(&binary)
            .args(["serve", "--config"])
            .arg(folder.join("controller.toml"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{}: {error}; build it with `cargo build --release`", binary.display()))?;
        let mut controller = Self { process };
        for _ in 0..1000 {
            if let Some(status) = controller.process.try_wait()? {
                return Err(format!(
                    "the controller ended with {status}: {}",
                    std::fs::read_to_string(folder.join("controller.log"))?
                )
                .into());
            }
            if tokio::net::TcpStream::connect(("127.0.0.1", PORT)).await.is_ok() {
                return Ok(controller);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err("the controller does not listen".into())
    }

    fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    fn proc(&self, file: &str) -> Result<String, Fail> {
        Ok(std::fs::read_to_string(format!("/proc/{}/{file}", self.process.id()))?)
    }

    /// Processor time so far.
    fn cpu_s(&self) -> Result<f64, Fail> {
        let stat = self.proc("stat")?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: f64 =
            fields.get(11).ok_or("stat")?.parse::<f64>()? + fields.get(12).ok_or("stat")?.parse::<f64>()?;
        Ok(ticks / 100.0)
    }

    fn resident_mb(&self) -> Result<u64, Fail> {
        let status = self.proc("status")?;
        let line = status.lines().find(|line| line.starts_with("VmRSS")).ok_or("status")?;
        Ok(line.split_whitespace().nth(1).ok_or("VmRSS")?.parse::<u64>()? / 1024)
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.kill();
    }
}

/// One agent, for as long as the load goes on: connects, reports, counts, and connects again.
async fn agent(n: u64, files: PathBuf, period: Duration, counts: Arc<Counts>, door: Arc<Semaphore>) {
    let Ok(trust) = ClientTrust::open(ClientFiles::in_folder(&files)) else { return };
    let mut known = Numbers { sent: 0, acknowledged: 0 };
    let mut random = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while !counts.stop.load(Ordering::Relaxed) {
        let ended = session(n, &trust, period, &counts, &door, &mut known, &mut random).await;
        if ended.is_err() {
            // Full jitter, as the agent has it.
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            tokio::time::sleep(Duration::from_millis(250 + (random >> 33) % 2000)).await;
        }
    }
}

struct Numbers {
    sent: u64,
    acknowledged: u64,
}

async fn session(
    n: u64,
    trust: &Arc<ClientTrust>,
    period: Duration,
    counts: &Counts,
    door: &Semaphore,
    known: &mut Numbers,
    random: &mut u64,
) -> Result<(), Fail> {
    let permit = door.acquire().await?;
    let channel = trust.channel(&format!("https://127.0.0.1:{PORT}"))?;
    let (say, messages) = mpsc::channel(16);
    let hello =
        Hello { device_id: name(n), version: "1.0".to_owned(), agent_version: "load".to_owned(), ..Hello::default() };
    say.send(DeviceMessage { sequence: 0, previous: None, at_ms: now_ms(), body: Some(Body::Hello(hello)) }).await?;
    let mut heard = DeviceLinkClient::new(channel).session(ReceiverStream::new(messages)).await?.into_inner();
    let mut sent_at: std::collections::VecDeque<(u64, Instant)> = std::collections::VecDeque::new();
    let mut ticker: Option<tokio::time::Interval> = None;
    let mut permit = Some(permit);
    loop {
        tokio::select! {
            () = async { match ticker.as_mut() { Some(ticker) => { ticker.tick().await; } None => std::future::pending().await } } => {
                known.sent += 1;
                let value = |m: usize| Sample { metric: METRICS[m].to_owned(), percent: ((n + known.sent + m as u64) % 100) as f32 };
                let report = Report { samples: (0..METRICS.len()).map(value).collect() };
                sent_at.push_back((known.sent, Instant::now()));
                say.send(DeviceMessage { sequence: known.sent, previous: None, at_ms: now_ms(), body: Some(Body::Report(report)) }).await?;
            }
            message = heard.message() => {
                match message?.ok_or("the controller hung up")?.body {
                    Some(Said::Welcome(welcome)) => {
                        counts.lost.fetch_add(u64::from(welcome.resume_after < known.acknowledged), Ordering::Relaxed);
                        known.sent = welcome.resume_after;
                        counts.connected.fetch_add(1, Ordering::Relaxed);
                        counts.sessions.fetch_add(1, Ordering::Relaxed);
                        permit.take();
                        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        let phase = Duration::from_micros((*random >> 33) % period.as_micros().max(1) as u64);
                        ticker = Some(tokio::time::interval_at(tokio::time::Instant::now() + phase, period));
                    }
                    Some(Said::Ack(ack)) => {
                        while let Some((_, at)) = sent_at.front().filter(|(number, _)| *number <= ack.sequence) {
                            counts.acknowledged.fetch_add(1, Ordering::Relaxed);
                            if counts.measuring.load(Ordering::Relaxed)
                                && let Ok(mut latencies) = counts.latencies_ms.lock()
                            {
                                latencies.push(at.elapsed().as_secs_f32() * 1000.0);
                            }
                            sent_at.pop_front();
                        }
                        known.acknowledged = known.acknowledged.max(ack.sequence);
                    }
                    _ => {}
                }
            }
        }
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
