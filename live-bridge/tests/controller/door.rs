//! A controller of this process behind its real door: TLS on the loopback. Time still goes as the test says, or so many times faster.

use super::ground::Ground;
use super::world::{Plan, World};
use slacktide_engine::time::{Instant, Span};
use slacktide_live_bridge::trust::{Limits, ServerTrust, listen};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::JoinHandle;

/// As the controller has it.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const STREAMS_MAX: u32 = 16;

pub(crate) struct Door {
    pub(crate) world: World,
    pub(crate) trust: Arc<ServerTrust>,
    pub(crate) address: SocketAddr,
    server: JoinHandle<()>,
    clock: Option<JoinHandle<()>>,
}

/// A plan for what lies on this ground: everybody at once, the first failure takes everybody back, and no tick comes, so that every message
/// stays in the store.
pub(crate) fn plan(ground: &Ground, devices: usize) -> Plan {
    let fields = [
        ("plan.slot", "1m"),
        ("attempts.attempts_max", "1"),
        ("attempts.timeout", "6h"),
        ("monitor.failure_percent_max", "1"),
        ("monitor.failure_count_min", "1"),
        ("rollback.on_failures", "all"),
    ];
    let policy =
        fields.iter().fold(Plan::default().policy, |policy, (field, value)| policy.with_field(field, value).unwrap());
    Plan {
        devices,
        policy,
        tick: Span::from_secs(24 * 3600),
        report_every: Span::from_secs(1),
        shelf: Some(Arc::new(ground.repository())),
        authority: Some(ground.authority()),
        ..Plan::default()
    }
}

impl Door {
    pub(crate) async fn open(ground: &Ground, plan: &Plan, address: SocketAddr, now: Instant) -> Self {
        let world = World::start_at(&ground.root, plan, now).await;
        let trust = ground.server_trust();
        let listener = listen(address).unwrap();
        let address = listener.local_addr().unwrap();
        let incoming = trust.acceptor(listener, Limits::default(), Arc::default());
        let routes = world.controller.routes().await;
        let served = tonic::transport::Server::builder()
            .max_concurrent_streams(STREAMS_MAX)
            .http2_keepalive_interval(Some(KEEP_ALIVE))
            .http2_keepalive_timeout(Some(KEEP_ALIVE))
            .add_routes(routes);
        let server = tokio::spawn(async move {
            let _ = served.serve_with_incoming_shutdown(incoming, std::future::pending()).await;
        });
        Self { world, trust, address, server, clock: None }
    }

    /// From now on time passes, so many times faster than outside.
    pub(crate) fn run_clock(&mut self, speed: u32) {
        let clock = Arc::clone(&self.world.clock);
        self.clock = Some(tokio::spawn(async move {
            let mut before = std::time::Instant::now();
            loop {
                tokio::time::sleep(Duration::from_millis(10)).await;
                let now = std::time::Instant::now();
                let passed_ms = (now - before).as_millis() as i64;
                clock.0.fetch_add(passed_ms * i64::from(speed), Ordering::SeqCst);
                before += Duration::from_millis(passed_ms as u64);
            }
        }));
    }

    pub(crate) fn stop_clock(&mut self) {
        self.clock.take().inspect(JoinHandle::abort);
    }

    /// Ends in peace and gives the store's file back.
    pub(crate) async fn close(mut self) -> std::path::PathBuf {
        self.stop_clock();
        self.server.abort();
        let (controller, store) = (Arc::clone(&self.world.controller), self.world.store.clone());
        tokio::task::spawn_blocking(move || controller.finish()).await.unwrap();
        store
    }

    /// Waits until the rollout is over, for so long at most; the state it is in then.
    pub(crate) async fn ends(&self, patience: Duration) -> String {
        let began = std::time::Instant::now();
        loop {
            let state = self.world.state(0).await;
            let is_end = ["finished", "rolled_back", "stopped"].contains(&state.as_str());
            if is_end || began.elapsed() > patience {
                return state;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.stop_clock();
        self.server.abort();
    }
}
