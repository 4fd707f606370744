//! The controller: the engine, real devices around it, and the people who operate them.
//!
//! ```text
//! device ──session, call──► sessions ──► writer (SQLite) ──acks──► device
//!                                          │ stored              ▲ commands
//!                                          ▼                     │
//! person ──► people ──────────────────► driver ──records──► writer
//! ```
//!
//! In reading order: [`driver`] (the loop around the engine, twin of the simulator's), `hearing` and `fold` (words of devices become
//! inputs), `desk`, `gate` and `board` (people ask, what may start, people look), `store` and `writer` (what outlives it), `recovery`, `outbox` (commands without an
//! outcome), `registry`, `protocol` (what a device may say), `sessions`, `people`, `otlp` (the services), [`metrics`], [`config`], `ground`
//! (what is looked at before anything starts), [`serve()`].

mod board;
pub mod config;
mod desk;
pub mod driver;
mod fold;
mod front;
mod gate;
mod ground;
mod hearing;
mod inbox;
mod intercom;
mod map;
pub mod metrics;
mod news;
mod otlp;
mod outbox;
mod overview;
pub mod packages;
mod people;
mod protocol;
mod recovery;
mod registry;
pub mod serve;
mod sessions;
pub mod store;
mod writer;

pub use config::Config;
pub use driver::{Clock, WallClock};
pub use gate::Gate;
pub use ground::{StoreSeen, check};
pub(crate) use intercom::{Intercom, Verb};
pub use metrics::Metrics;
pub(crate) use news::Decision;
pub(crate) use overview::{Overview, RolloutView};
pub use packages::PackageShelf;
pub use serve::{Addresses, serve};
pub use store::{Store, StoreError};

use crate::trust::{Authority, Counters};
use crate::wire;
use driver::Told;
use front::Front;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::MetricsServiceServer;
use otlp::Otlp;
use outbox::Outbox;
use people::People;
use recovery::Shared;
use registry::Registry;
use sessions::Sessions;
use slacktide_engine::input::DeviceFacts;
use slacktide_engine::policy::Policy;
use slacktide_engine::time::Span;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::server::HealthReporter;
use writer::Job;

/// Largest message of a device, bytes.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Largest message of a person, bytes: one with a sign-off.
const ASK_BYTES_MAX: usize = crate::signoff::canonical::BYTES_MAX + MESSAGE_BYTES_MAX;
/// Largest export of telemetry, bytes.
const EXPORT_BYTES_MAX: usize = 1024 * 1024;
/// Messages of devices on their way to the engine; beyond it sessions read no more.
const PLACES: usize = 20_000;

/// All that a controller is started with.
pub struct Setup {
    /// Name of the installation, for the journal.
    pub name: String,
    /// The devices there are.
    pub fleet: Vec<DeviceFacts>,
    /// The policy.
    pub policy: Policy,
    /// Metrics of telemetry, in column order.
    pub metrics: Vec<String>,
    /// Reports are folded into telemetry this often.
    pub tick: Span,
    /// Devices report this often.
    pub report_every: Span,
    /// Whoever creates a rollout may not approve it.
    pub two_persons: bool,
    /// What may start.
    pub gate: Gate,
    /// Messages of one device in the long run; it is slowed down beyond.
    pub messages_per_s: u32,
    /// Devices call again this long after a controller that goes away.
    pub retry_after: Span,
    /// The store's file.
    pub store: PathBuf,
    /// The store stops growing at this size, bytes.
    pub store_bytes_max: Option<u64>,
    /// Packages.
    pub shelf: Arc<dyn PackageShelf>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Who renews certificates.
    pub authority: Option<Arc<Authority>>,
    /// Counters of the door.
    pub counters: Arc<Counters>,
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup").field("name", &self.name).field("devices", &self.fleet.len()).finish_non_exhaustive()
    }
}

/// Why a controller does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A thread, or an address. The source says why; the text does not repeat it.
    #[error("{what}")]
    Io {
        /// What could not be done.
        what: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The trust of the door.
    #[error(transparent)]
    Trust(#[from] crate::trust::TrustError),
    /// The package repository: there is none, or it does not hold together.
    #[error("packages.repository {}", path.display())]
    Packages {
        /// Its folder.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<crate::package::Error>,
    },
    /// The server of the door.
    #[error("the server ended: {0}")]
    Server(#[from] tonic::transport::Error),
}

/// A controller that runs.
#[derive(Debug)]
pub struct Controller {
    front: Arc<Front>,
    metrics: Arc<Metrics>,
    stop: watch::Sender<bool>,
    dead: Arc<AtomicBool>,
    ending: Arc<AtomicBool>,
    jobs: Sender<Job>,
    told: Sender<Told>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Controller {
    /// Opens the store, goes on where the last controller stopped, and starts the threads. Serves nothing yet.
    ///
    /// # Errors
    /// [`StartError`] when the store cannot be used.
    pub fn start(setup: Setup) -> Result<Self, StartError> {
        let store = Store::open(&setup.store, setup.store_bytes_max)?;
        let inbox = recovery::inbox(&store)?;
        let stored = recovery::stored(&store, &inbox)?;
        let epoch = store.next_epoch()?;
        let metrics = Arc::new(Metrics::default());
        let (jobs, to_write) = channel();
        let (told, heard) = channel();
        let (stop, stops) = watch::channel(false);
        let (changes, changed) = watch::channel(0);
        let dead = Arc::new(AtomicBool::new(false));
        let ending = Arc::new(AtomicBool::new(false));
        let registry = Arc::new(Registry::new(setup.fleet.clone(), &stored, setup.messages_per_s));
        let outbox = Arc::new(Outbox::new(epoch));
        let shared = Shared {
            registry: Arc::clone(&registry),
            outbox: Arc::clone(&outbox),
            metrics: Arc::clone(&metrics),
            jobs: jobs.clone(),
            dead: Arc::clone(&dead),
            ending: Arc::clone(&ending),
            changes,
        };
        let driver = recovery::driver(&store, &setup, shared, &inbox)?;
        tracing::info!(epoch, devices = setup.fleet.len(), policy = setup.policy.name, "the controller starts");
        let clock = Arc::clone(&setup.clock);
        let (writers_told, writers_metrics, writers_dead) = (told.clone(), Arc::clone(&metrics), Arc::clone(&dead));
        let threads = vec![
            thread("store", move || writer::run(store, &to_write, &writers_told, &writers_metrics, &writers_dead))?,
            thread("engine", move || driver.run(&heard, &*clock))?,
        ];
        let front = Front {
            name: setup.name,
            two_persons: setup.two_persons,
            registry,
            outbox,
            metrics: Arc::clone(&metrics),
            shelf: setup.shelf,
            clock: setup.clock,
            authority: setup.authority,
            counters: setup.counters,
            jobs: jobs.clone(),
            told: told.clone(),
            places: Arc::new(Semaphore::new(PLACES)),
            stop: stops,
            changes: changed,
            report_every_ms: setup.report_every.as_millis() as u32,
            retry_after_ms: setup.retry_after.as_millis() as u32,
        };
        Ok(Self { front: Arc::new(front), metrics, stop, dead, ending, jobs, told, threads: Mutex::new(threads) })
    }

    /// What it tells of itself.
    pub const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// True once it goes away.
    pub fn stops(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// For a door other than gRPC.
    pub(crate) fn intercom(&self) -> Intercom {
        Intercom::new(Arc::clone(&self.front))
    }

    /// The services, for a server whose connections carry a [`crate::trust::Peer`].
    pub async fn routes(&self) -> Routes {
        let devices = wire::device_link_server::DeviceLinkServer::new(Sessions(Arc::clone(&self.front)));
        let people = wire::operator_server::OperatorServer::new(People(Arc::clone(&self.front)));
        let otlp = MetricsServiceServer::new(Otlp { front: Arc::clone(&self.front), counters: Arc::default() });
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(wire::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1();
        let routes = Routes::new(devices.max_decoding_message_size(MESSAGE_BYTES_MAX))
            .add_service(people.max_decoding_message_size(ASK_BYTES_MAX))
            .add_service(otlp.max_decoding_message_size(EXPORT_BYTES_MAX).accept_compressed(CompressionEncoding::Gzip))
            .add_service(self.health().await);
        match reflection {
            Ok(reflection) => routes.add_service(reflection),
            Err(error) => {
                tracing::error!(%error, "no reflection");
                routes
            }
        }
    }

    /// Serving while the store can be written and the controller does not go away.
    async fn health(&self) -> HealthServer<impl Health> {
        let (reporter, service) = tonic_health::server::health_reporter();
        let (metrics, over) = (Arc::clone(&self.metrics), stopped(self.stop.subscribe()));
        set_health(&reporter, true).await;
        tokio::spawn(async move {
            tokio::pin!(over);
            loop {
                tokio::select! {
                    () = &mut over => {
                        set_health(&reporter, false).await;
                        return;
                    }
                    () = tokio::time::sleep(Duration::from_secs(1)) => {
                        set_health(&reporter, metrics.is_store_writable()).await;
                    }
                }
            }
        });
        service
    }

    /// Tells everybody to call again later; the services end their streams.
    pub fn begin_stop(&self) {
        self.stop.send_replace(true);
    }

    /// Ends in peace: what is under way is written first. Call [`Self::begin_stop`] before, and let the server end.
    pub fn finish(&self) {
        self.begin_stop();
        self.ending.store(true, Ordering::Release);
        let _ = self.told.send(Told::Stop);
        self.join(|position| {
            if position == 0 {
                let _ = self.jobs.send(Job::End);
            }
        });
        tracing::info!("the controller has ended");
    }

    /// Ends as if the power had failed: what is not on disk is lost.
    pub fn abandon(&self) {
        self.dead.store(true, Ordering::Release);
        self.begin_stop();
        let _ = self.told.send(Told::Stop);
        let _ = self.jobs.send(Job::End);
        self.join(|_| {});
    }

    /// Waits for the threads, the engine's first.
    fn join(&self, after: impl Fn(usize)) {
        let threads = std::mem::take(&mut *registry::lock(&self.threads));
        for (position, thread) in threads.into_iter().rev().enumerate() {
            if thread.join().is_err() {
                tracing::error!("a thread of the controller had ended by itself");
            }
            after(position);
        }
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        if !registry::lock(&self.threads).is_empty() {
            self.abandon();
        }
    }
}

async fn set_health(reporter: &HealthReporter, is_well: bool) {
    let status = if is_well { tonic_health::ServingStatus::Serving } else { tonic_health::ServingStatus::NotServing };
    reporter.set_service_status("", status).await;
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StartError> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    spawned.map_err(|source| StartError::Io { what: format!("cannot start the thread `{name}`"), source })
}

/// Ends once the controller goes away.
pub(crate) async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the controller is gone.
    let _ = stop.wait_for(|stop| *stop).await;
}
