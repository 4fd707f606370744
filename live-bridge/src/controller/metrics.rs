//! What the controller tells of itself, for Prometheus.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use slacktide_engine::rollout::RolloutState;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;

type Labels = [(&'static str, String); 1];

/// Counters and gauges; cheap to touch from any thread.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    refused: Family<Labels, Counter>,
    commits: Counter,
    messages: Counter,
    ack: Histogram,
    engine: Histogram,
    inbox: Gauge,
    sessions: Gauge,
    commands: Family<Labels, Counter>,
    rollouts: Family<Labels, Gauge>,
    store_ok: Gauge,
    is_store_ok: AtomicBool,
    stopped: Gauge,
    flooding: Counter,
    handshakes: Family<Labels, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("slacktide");
        // From a quarter of a millisecond to eight seconds.
        let times = || Histogram::new(exponential_buckets(0.000_25, 2.0, 16));
        let metrics = Self {
            refused: Family::default(),
            commits: Counter::default(),
            messages: Counter::default(),
            ack: times(),
            engine: times(),
            inbox: Gauge::default(),
            sessions: Gauge::default(),
            commands: Family::default(),
            rollouts: Family::default(),
            store_ok: Gauge::default(),
            is_store_ok: AtomicBool::new(true),
            stopped: Gauge::default(),
            flooding: Counter::default(),
            handshakes: Family::default(),
            registry: Registry::default(),
        };
        metrics.store_ok.set(1);
        registry.register("refused", "What was refused, by reason", metrics.refused.clone());
        registry.register("store_commits", "Commits of the store", metrics.commits.clone());
        registry.register("messages_stored", "Messages of devices made durable", metrics.messages.clone());
        registry.register("ack_seconds", "From a message's arrival to its durability", metrics.ack.clone());
        registry.register("engine_turn_seconds", "One turn of the engine with its commit", metrics.engine.clone());
        registry.register("inbox_messages", "Messages of devices not yet with the engine", metrics.inbox.clone());
        registry.register("sessions", "Devices connected by a session", metrics.sessions.clone());
        registry.register("commands", "Commands given to devices, by kind", metrics.commands.clone());
        registry.register("rollouts", "Rollouts by state", metrics.rollouts.clone());
        registry.register("store_writable", "1 while the store can be written", metrics.store_ok.clone());
        registry.register("stopped", "1 while everything is stopped", metrics.stopped.clone());
        registry.register("flooding", "Times a device was slowed down for sending too fast", metrics.flooding.clone());
        registry.register("handshakes_refused", "Handshakes refused, by reason", metrics.handshakes.clone());
        Self { registry, ..metrics }
    }
}

impl Metrics {
    /// Something was refused.
    pub(super) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&[("reason", reason.to_owned())]).inc();
    }

    /// How often something was refused for this reason.
    pub fn refusals(&self, reason: &str) -> u64 {
        self.refused.get_or_create(&[("reason", reason.to_owned())]).get()
    }

    pub(super) fn committed(&self, messages: usize) {
        self.commits.inc();
        self.messages.inc_by(messages as u64);
        self.inbox.inc_by(messages as i64);
        self.store_ok.set(1);
        if !self.is_store_ok.swap(true, Ordering::Relaxed) {
            tracing::info!("the store can be written again");
        }
    }

    pub(super) fn taken(&self, messages: usize) {
        self.inbox.dec_by(messages as i64);
    }

    pub(super) fn acknowledged(&self, took: Duration) {
        self.ack.observe(took.as_secs_f64());
    }

    pub(super) fn turned(&self, took: Duration) {
        self.engine.observe(took.as_secs_f64());
    }

    pub(super) fn store_failed(&self, why: &str) {
        self.store_ok.set(0);
        if self.is_store_ok.swap(false, Ordering::Relaxed) {
            tracing::error!(why, "nothing is acknowledged until the store can be written again");
        }
    }

    /// Can the store be written, as far as is known?
    pub fn is_store_writable(&self) -> bool {
        self.is_store_ok.load(Ordering::Relaxed)
    }

    pub(super) fn session(&self, change: i64) {
        self.sessions.inc_by(change);
    }

    pub(super) fn flooding(&self) {
        self.flooding.inc();
    }

    /// How often a device was slowed down.
    pub fn slowed(&self) -> u64 {
        self.flooding.get()
    }

    pub(super) fn command(&self, kind: &'static str) {
        self.commands.get_or_create(&[("kind", kind.to_owned())]).inc();
    }

    pub(super) fn standing(&self, states: impl Iterator<Item = RolloutState>, is_stopped: bool) {
        let mut counts = [0_i64; RolloutState::ALL.len()];
        for state in states {
            if let Some(at) = RolloutState::ALL.iter().position(|one| *one == state) {
                counts[at] += 1;
            }
        }
        for (state, count) in RolloutState::ALL.iter().zip(counts) {
            self.rollouts.get_or_create(&[("state", state.name().to_owned())]).set(count);
        }
        self.stopped.set(i64::from(is_stopped));
    }

    /// What the door says of handshakes it refused; taken over when somebody asks.
    pub fn set_handshakes_refused(&self, reason: &str, count: u64) {
        self.handshakes.get_or_create(&[("reason", reason.to_owned())]).set(count as i64);
    }

    /// The text that Prometheus reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Answers `GET /metrics` on a listener of its own until `stop`.
pub fn answer(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    refresh: impl Fn(&Metrics) + Clone + Send + Sync + 'static,
    stop: tokio::sync::watch::Receiver<bool>,
) {
    let say = move || {
        refresh(&metrics);
        let text = metrics.text();
        async move { ([("content-type", "application/openmetrics-text; version=1.0.0; charset=utf-8")], text) }
    };
    let router = axum::Router::new().route("/metrics", axum::routing::get(say));
    tokio::spawn(async move {
        let over = super::stopped(stop);
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(over).await {
            tracing::error!(%error, "metrics are no longer served");
        }
    });
}
