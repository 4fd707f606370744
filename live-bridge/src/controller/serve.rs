//! A whole controller: door, services, metrics and enrolment, until the process is told to end.

use super::config::Config;
use super::ground::{Doors, Ground};
use super::{Clock, Controller, Gate, Setup, StartError, WallClock, metrics};
use crate::dashboard;
use crate::trust::enrolment::{self, EnrolmentService};
use crate::trust::{Counters, Limits};
use slacktide_engine::input::DeviceFacts;
use slacktide_engine::policy::Policy;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

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
    /// Devices without a certificate, where they get one.
    pub enrolment: Option<SocketAddr>,
    /// Prometheus.
    pub metrics: SocketAddr,
    /// Browsers, where they are served.
    pub dashboard: Option<SocketAddr>,
}

impl Doors {
    fn addresses(&self) -> Result<Addresses, StartError> {
        let of = |listener: &TcpListener| {
            let asked = listener.local_addr();
            asked.map_err(|source| StartError::Io { what: "cannot ask for the address".to_owned(), source })
        };
        Ok(Addresses {
            devices: of(&self.devices)?,
            enrolment: self.enrolment.as_ref().map(of).transpose()?,
            metrics: of(&self.metrics)?,
            dashboard: self.dashboard.as_ref().map(of).transpose()?,
        })
    }
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
    let Ground { trust, authority, repository } = Ground::read(config).await?;
    let counters = Arc::new(Counters::default());
    let doors = Doors::open(config)?;
    let addresses = doors.addresses()?;
    let clock: Arc<dyn Clock> = Arc::new(WallClock);
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
        shelf: Arc::new(repository),
        clock,
        authority: authority.clone(),
        counters: Arc::clone(&counters),
    };
    // Rebuilding from a long journal is work for a thread that may block.
    let started = tokio::task::spawn_blocking(move || Controller::start(setup)).await;
    let controller =
        Arc::new(started.map_err(|error| StartError::Io { what: "cannot start".to_owned(), source: error.into() })??);
    let door = Arc::clone(&counters);
    let refresh = move |metrics: &metrics::Metrics| {
        door.refusals().for_each(|(reason, count)| metrics.set_handshakes_refused(reason, count));
    };
    metrics::answer(doors.metrics, Arc::clone(controller.metrics()), refresh, controller.stops());
    let follower = tokio::spawn(Arc::clone(&trust).follow(FOLLOW));
    if let (Some(listener), Some(authority)) = (doors.enrolment, authority) {
        let root = config.packages.join("metadata").join("1.root.json");
        let service = EnrolmentService::new(authority, Some(root), Arc::clone(&counters));
        let (trust, over) = (Arc::clone(&trust), super::stopped(controller.stops()));
        tokio::spawn(async move {
            if let Err(error) = enrolment::serve(trust, listener, service, over).await {
                tracing::error!(%error, "enrolment is no longer served");
            }
        });
    }
    if let Some(listener) = doors.dashboard {
        let (controller, browsers) =
            (Arc::clone(&controller), trust.browsers(listener, BROWSERS, Arc::clone(&counters)));
        tokio::spawn(async move {
            if let Err(error) = dashboard::serve(&controller, browsers).await {
                tracing::error!(%error, "the dashboard is no longer served");
            }
        });
    }
    let incoming = trust.acceptor(doors.devices, Limits::default(), counters);
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
