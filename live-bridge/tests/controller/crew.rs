//! Agents as they are, with TLS, signed packages and scripts, each on a thread of this process. Their load is a count, so that every report
//! can be told from every other.

use super::ground::Ground;
use slacktide_live_bridge::agent::config::Settings;
use slacktide_live_bridge::agent::connect::Trusting;
use slacktide_live_bridge::agent::run::{self, Parts};
use slacktide_live_bridge::agent::sampler::Load;
use slacktide_live_bridge::agent::signed::Signed;
use slacktide_live_bridge::wire::Sample;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::watch;

/// Hundredths of a percent, so that a count fits into a share.
const COUNT_MAX: u64 = 10_000;

/// Says how many reports there were before.
#[derive(Debug, Default)]
pub(crate) struct Counting(Arc<AtomicU64>);

impl Load for Counting {
    fn sample(&mut self, _: Instant) -> Vec<Sample> {
        let count = self.0.fetch_add(1, Ordering::SeqCst);
        let sample = |metric: &str, percent| Sample { metric: metric.to_owned(), percent };
        vec![sample("cpu", 20.0), sample("memory", (count % COUNT_MAX) as f32 / 100.0)]
    }
}

/// The count in a report.
pub(crate) fn count(percent: f32) -> u64 {
    (f64::from(percent) * 100.0).round() as u64
}

/// What an agent with this file is made of.
pub(crate) fn parts(config: &Path, load: Box<dyn Load>) -> Parts {
    let mut settings = Settings::load(config).unwrap();
    let connector = Arc::new(Trusting::new(&mut settings).unwrap());
    let root = settings.identity.join("package-root.json");
    let verifier = Arc::new(Signed::new(&root, &settings.state.join("packages")).unwrap());
    Parts { settings, load, connector, verifier }
}

/// Agents that run.
pub(crate) struct Crew {
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
    made: Vec<Arc<AtomicU64>>,
}

impl Crew {
    /// One agent for each address that a device calls.
    pub(crate) fn start(ground: &Ground, addresses: &[SocketAddr]) -> Self {
        let (stop, stops) = watch::channel(false);
        let made: Vec<Arc<AtomicU64>> = addresses.iter().map(|_| Arc::default()).collect();
        let start = |(device, address): (usize, &SocketAddr)| {
            let config = ground.settle(device, *address);
            let (stops, load) = (stops.clone(), Counting(Arc::clone(&made[device])));
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(run::run(parts(&config, Box::new(load)), stops)).unwrap();
            })
        };
        let threads = addresses.iter().enumerate().map(start).collect();
        Self { stop, threads, made }
    }

    /// Reports that a device has made so far; the very first look at the counters is none.
    pub(crate) fn made(&self, device: usize) -> u64 {
        self.made[device].load(Ordering::SeqCst)
    }

    /// Ends them as an administrator does.
    pub(crate) async fn end(self) {
        self.stop.send_replace(true);
        tokio::task::spawn_blocking(move || self.threads.into_iter().for_each(|thread| thread.join().unwrap()))
            .await
            .unwrap();
    }
}
