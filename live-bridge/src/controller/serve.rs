//! A whole controller: door, services, metrics and enrolment, until the process is told to end.

use super::config::Config;
use super::{Clock, Controller, Gate, Setup, StartError, WallClock, metrics};
use crate::dashboard;
use crate::package::Repository;
use crate::trust::enrolment::{self, EnrolmentService};
use crate::trust::{Authority, Counters, Limits, ServerFiles, ServerTrust, listen};
use slacktide_engine::input::DeviceFacts;
use slacktide_engine::policy::Policy;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Trust files are looked at this often.
const FOLLOW: Duration = Duration::from_secs(1);
/// Streams of one connection at a time.
const STREAMS_MAX: u32 = 16;
/// A peer that does not answer a ping for this long is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Streams have this long to end once the controller goes away.
const END_WAIT: Duration = Duration::from_secs(10);

/// Browsers at a time, and how many of them may shake hands: the dashboard is for a handful of people.
const BROWSERS: Limits = Limits { handshakes_max: 16, waiting_max: 256, connections_max: 256, ..Limits::DEFAULT };

/// Where a controller is to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// Devices and people.
    pub devices: SocketAddr,
    /// Prometheus.
    pub metrics: SocketAddr,
    /// Browsers, where they are served.
    pub dashboard: Option<SocketAddr>,
}

/// Runs a controller until `stop`; `ready` is told once it listens.
///
/// # Errors
/// [`StartError`] when it cannot start, or its server ends by itself.
pub async fn serve(
    config: &Config,
    fleet: Vec<DeviceFacts>,
    policy: Policy,
    ready: impl FnOnce(Addresses),
    stop: impl Future<Output = ()>,
) -> Result<(), StartError> {
    let io = |what: String| move |source| StartError::Io { what, source };
    let trust = ServerTrust::open(ServerFiles::in_folders(&config.identity, &config.authority))?;
    let authority = if config.signs { Some(Arc::new(Authority::open(&config.authority)?)) } else { None };
    let counters = Arc::new(Counters::default());
    // Nothing is started that would have to be taken back when an address is taken.
    let listener = listen(config.devices).map_err(io(format!("listen at {}", config.devices)))?;
    let address = listener.local_addr().map_err(io("ask for the address".to_owned()))?;
    let dashboard = config.dashboard.map(listen).transpose();
    let dashboard = dashboard.map_err(io("listen at the dashboard's address".to_owned()))?;
    let clock: Arc<dyn Clock> = Arc::new(WallClock);
    let repository = Repository::new(config.packages.clone());
    let gate = Gate::new(&config.authority, config.sign_off_required, config.sign_off_persons_min as usize);
    let setup = Setup {
        name: config.name.clone(),
        fleet,
        policy,
        metrics: config.metric_names.clone(),
        tick: config.tick,
        report_every: config.report_every,
        two_persons: config.two_persons,
        gate,
        messages_per_s: config.messages_per_s,
        retry_after: config.retry_after,
        store: config.store.clone(),
        store_bytes_max: config.store_mb_max.map(|mb| u64::from(mb) * 1_000_000),
        shelf: Arc::new(repository.clone()),
        clock,
        authority: authority.clone(),
        counters: Arc::clone(&counters),
    };
    // Rebuilding from a long journal is work for a thread that may block.
    let started = tokio::task::spawn_blocking(move || Controller::start(setup)).await;
    let controller =
        Arc::new(started.map_err(|error| StartError::Io { what: "start".to_owned(), source: error.into() })??);
    let door = Arc::clone(&counters);
    let refresh = move |metrics: &metrics::Metrics| {
        door.refusals().for_each(|(reason, count)| metrics.set_handshakes_refused(reason, count));
    };
    let shown = metrics::listen(config.metrics, Arc::clone(controller.metrics()), refresh, controller.stops())
        .await
        .map_err(io(format!("listen at {}", config.metrics)))?;
    let follower = tokio::spawn(Arc::clone(&trust).follow(FOLLOW));
    if let (Some(address), Some(authority)) = (config.enrolment, authority) {
        let root = config.packages.join("metadata").join("1.root.json");
        let service = EnrolmentService::new(authority, Some(root), Arc::clone(&counters));
        let (trust, over) = (Arc::clone(&trust), super::stopped(controller.stops()));
        tokio::spawn(async move {
            if let Err(error) = enrolment::serve(trust, address, service, over).await {
                tracing::error!(%error, "enrolment is no longer served");
            }
        });
    }
    let addresses = Addresses {
        devices: address,
        metrics: shown,
        dashboard: dashboard.as_ref().and_then(|listener| listener.local_addr().ok()),
    };
    if let Some(listener) = dashboard {
        let (controller, browsers) =
            (Arc::clone(&controller), trust.browsers(listener, BROWSERS, Arc::clone(&counters)));
        tokio::spawn(async move {
            if let Err(error) = dashboard::serve(&controller, browsers).await {
                tracing::error!(%error, "the dashboard is no longer served");
            }
        });
    }
    let incoming = trust.acceptor(listener, Limits::default(), counters);
    let server = tonic::transport::Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .add_routes(controller.routes().await)
        .serve_with_incoming_shutdown(incoming, super::stopped(controller.stops()));
    tokio::pin!(server);
    ready(addresses);
    let ended = tokio::select! {
        ended = &mut server => ended,
        () = stop => {
            tracing::info!("the controller goes away");
            controller.begin_stop();
            // Streams that do not end by themselves are cut.
            tokio::time::timeout(END_WAIT, server).await.unwrap_or(Ok(()))
        }
    };
    follower.abort();
    let last = Arc::clone(&controller);
    if tokio::task::spawn_blocking(move || last.finish()).await.is_err() {
        tracing::error!("the controller did not end in order");
    }
    Ok(ended?)
}
