//! A controller behind connections in memory that carry a proven peer.

use slacktide_engine::filter::Filter;
use slacktide_engine::ids::{DeviceId, PoolId, RegionId, SiteId};
use slacktide_engine::input::DeviceFacts;
use slacktide_engine::journal::{ChainReader, Line};
use slacktide_engine::policy::Policy;
use slacktide_engine::rollout::Package;
use slacktide_engine::time::{Instant, Span};
use slacktide_engine::version::Version;
use slacktide_live_bridge::controller::{Clock, Controller, Gate, PackageShelf, Setup, Store};
use slacktide_live_bridge::trust::{Authority, Identity, Peer, Role};
use slacktide_live_bridge::wire::device_link_client::DeviceLinkClient;
use slacktide_live_bridge::wire::operator_client::OperatorClient;
use slacktide_live_bridge::wire::{
    CreateRolloutRequest, FleetStatus, RolloutRequest, StartRolloutRequest, StatusRequest,
};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint, Server, Uri};

pub(crate) const START: i64 = 1_709_510_400;

/// A clock that stands until it is turned.
#[derive(Debug)]
pub(crate) struct Hands(pub(crate) AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Instant {
        Instant::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn patience(&self, _: Instant) -> Duration {
        Duration::from_millis(1)
    }
}

/// Any release of the package `app` there may be, of 1 MB.
#[derive(Debug)]
pub(crate) struct Shelf {
    folder: PathBuf,
    package: Option<Package>,
}

#[tonic::async_trait]
impl PackageShelf for Shelf {
    async fn find(&self, name: &str, version: Version) -> Result<Package, String> {
        if let Some(package) = &self.package {
            return Ok(package.clone());
        }
        if name != "app" {
            return Err(format!("there is no package `{name}`"));
        }
        Ok(Package {
            name: name.to_owned(),
            version,
            size_bytes: 1_000_000,
            target: Filter::parse("true").unwrap(),
            compatible: Filter::parse("true").unwrap(),
            stones: Vec::new(),
            sha256: None,
        })
    }

    fn open(&self, file: &str) -> Result<(File, u64), String> {
        let file = File::open(self.folder.join(file)).map_err(|error| error.to_string())?;
        let size = file.metadata().map_err(|error| error.to_string())?.len();
        Ok((file, size))
    }
}

pub(crate) struct Io {
    pipe: DuplexStream,
    peer: Peer,
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.pipe).poll_read(cx, to)
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.pipe).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}

impl Connected for Io {
    type ConnectInfo = Peer;
    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

#[derive(Clone)]
struct Dial {
    door: mpsc::Sender<std::io::Result<Io>>,
    peer: Peer,
}

impl tonic::codegen::Service<Uri> for Dial {
    type Response = hyper_util::rt::TokioIo<DuplexStream>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { door, peer } = self.clone();
        Box::pin(async move {
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            let sent = door.send(Ok(Io { pipe: theirs, peer })).await;
            sent.map_err(|_| std::io::Error::from(std::io::ErrorKind::ConnectionRefused))?;
            Ok(hyper_util::rt::TokioIo::new(ours))
        })
    }
}

/// How a world is made.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) devices: usize,
    pub(crate) fleet: Option<Vec<DeviceFacts>>,
    pub(crate) metrics: Vec<String>,
    pub(crate) policy: Policy,
    pub(crate) tick: Span,
    pub(crate) messages_per_s: u32,
    pub(crate) store_bytes_max: Option<u64>,
    pub(crate) package: Option<Package>,
    pub(crate) wants_sign_off: bool,
    pub(crate) report_every: Span,
    /// A real repository in place of releases that are made up.
    pub(crate) shelf: Option<Arc<dyn PackageShelf>>,
    /// Who renews certificates.
    pub(crate) authority: Option<Arc<Authority>>,
}

impl Default for Plan {
    fn default() -> Self {
        let policy = slacktide_engine::policy::library::named("all-at-once").unwrap();
        Self {
            devices: 3,
            fleet: None,
            metrics: vec!["cpu".to_owned(), "memory".to_owned()],
            policy: policy.with_field("attempts.retry_pause", "1m").unwrap(),
            tick: Span::from_secs(60),
            messages_per_s: 1000,
            store_bytes_max: None,
            package: None,
            wants_sign_off: false,
            report_every: Span::from_secs(10),
            shelf: None,
            authority: None,
        }
    }
}

/// A controller that runs, and its clock.
pub(crate) struct World {
    pub(crate) controller: Arc<Controller>,
    pub(crate) clock: Arc<Hands>,
    pub(crate) store: PathBuf,
    door: mpsc::Sender<std::io::Result<Io>>,
    server: JoinHandle<()>,
}

pub(crate) fn device(n: usize) -> DeviceFacts {
    DeviceFacts {
        id: DeviceId::from(format!("d{n}").as_str()),
        pool: PoolId::from("shop"),
        region: RegionId::from("r"),
        site: SiteId::from("s"),
        function: "web".to_owned(),
        criticality: None,
        version: "1.0".parse().unwrap(),
        variant: "a".to_owned(),
        weight: 1.0,
        requirement: 1.0,
    }
}

impl World {
    pub(crate) async fn start(folder: &Path, plan: &Plan) -> Self {
        Self::start_at(folder, plan, Instant::from_secs(START)).await
    }

    pub(crate) async fn start_at(folder: &Path, plan: &Plan, now: Instant) -> Self {
        Self::try_start(folder, plan, now).await.unwrap()
    }

    pub(crate) async fn try_start(
        folder: &Path,
        plan: &Plan,
        now: Instant,
    ) -> Result<Self, slacktide_live_bridge::controller::StartError> {
        let clock = Arc::new(Hands(AtomicI64::new(now.as_millis())));
        let store = folder.join("controller.db");
        let made_up = || Arc::new(Shelf { folder: folder.to_owned(), package: plan.package.clone() }) as _;
        let shelf = plan.shelf.clone().unwrap_or_else(made_up);
        let controller = Controller::start(Setup {
            name: "test".to_owned(),
            fleet: plan.fleet.clone().unwrap_or_else(|| (0..plan.devices).map(device).collect()),
            policy: plan.policy.clone(),
            metrics: plan.metrics.clone(),
            tick: plan.tick,
            report_every: plan.report_every,
            two_persons: true,
            gate: Gate::new(folder, plan.wants_sign_off, 2),
            messages_per_s: plan.messages_per_s,
            retry_after: Span::from_secs(1),
            store: store.clone(),
            store_bytes_max: plan.store_bytes_max,
            shelf,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            authority: plan.authority.clone(),
            counters: Arc::default(),
        })?;
        let controller = Arc::new(controller);
        let (door, connections) = mpsc::channel(64);
        let routes = controller.routes().await;
        let server = tokio::spawn(async move {
            let served = Server::builder().max_concurrent_streams(16).add_routes(routes);
            let _ = served.serve_with_incoming(ReceiverStream::new(connections)).await;
        });
        Ok(Self { controller, clock, store, door, server })
    }

    /// The power fails: nothing is said to anybody, what is not on disk is lost.
    pub(crate) async fn kill(self) -> Instant {
        self.server.abort();
        let controller = self.controller;
        tokio::task::spawn_blocking(move || controller.abandon()).await.unwrap();
        self.clock.now()
    }

    pub(crate) fn channel(&self, identity: Identity) -> Channel {
        let peer = Peer {
            identity,
            serial: "1".to_owned(),
            not_after: SystemTime::now() + Duration::from_secs(3600),
            address: "127.0.0.1:1".parse().unwrap(),
        };
        Endpoint::from_static("http://controller").connect_with_connector_lazy(Dial { door: self.door.clone(), peer })
    }

    pub(crate) fn link(&self, device: &str) -> DeviceLinkClient<Channel> {
        DeviceLinkClient::new(self.channel(Identity::Device(device.to_owned())))
    }

    pub(crate) fn operator(&self, name: &str, role: Role) -> OperatorClient<Channel> {
        OperatorClient::new(self.channel(Identity::Operator { name: name.to_owned(), role }))
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Turns the clock on and waits until the controller has done what is due.
    pub(crate) async fn go_on(&self, span: Span) {
        self.clock.0.fetch_add(span.as_millis() as i64, Ordering::SeqCst);
        self.status().await;
    }

    pub(crate) fn set_clock(&self, now: Instant) {
        self.clock.0.store(now.as_millis(), Ordering::SeqCst);
    }

    /// A look; once it is there, everything said before has been dealt with.
    pub(crate) async fn status(&self) -> FleetStatus {
        // That of a large fleet is large.
        let mut viewer = self.operator("vera", Role::Viewer).max_decoding_message_size(1 << 30);
        viewer.status(StatusRequest { summary: false }).await.unwrap().into_inner()
    }

    pub(crate) async fn state(&self, rollout: usize) -> String {
        self.status().await.rollouts[rollout].state.clone()
    }

    /// A counter of the controller's metrics; of one with labels, the sum over them.
    pub(crate) fn counted(&self, name: &str) -> u64 {
        let text = self.controller.metrics().text();
        let of = text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
        of.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
    }

    pub(crate) async fn create(&self, version: &str) {
        self.operator("olga", Role::Operator).create_rollout(creation(version)).await.unwrap();
    }

    pub(crate) async fn approve(&self, rollout: u32) {
        self.operator("anna", Role::Approver).approve_rollout(RolloutRequest { rollout }).await.unwrap();
    }

    pub(crate) async fn begin(&self, rollout: u32) {
        self.operator("olga", Role::Operator).start_rollout(start(rollout)).await.unwrap();
    }
}

pub(crate) fn start(rollout: u32) -> StartRolloutRequest {
    StartRolloutRequest { rollout, sign_off: String::new() }
}

/// The wish for a rollout of that release.
pub(crate) fn creation(version: &str) -> CreateRolloutRequest {
    CreateRolloutRequest { package: "app".to_owned(), version: version.to_owned(), ..CreateRolloutRequest::default() }
}

/// The journal in a store that nobody has open, and that its file is sound.
pub(crate) fn journal(store: &Path) -> Vec<Line> {
    let store = Store::open_to_read(store).unwrap();
    let mut reader = ChainReader::default();
    let mut lines = Vec::new();
    store
        .each_line(0, &mut |_, text| {
            lines.push(reader.read(&text).unwrap());
            Ok(())
        })
        .unwrap();
    lines
}
