//! What all services share, and who may ask what.

use super::desk::{Answer, Ask};
use super::driver::{Clock, Told};
use super::metrics::Metrics;
use super::outbox::Outbox;
use super::packages::PackageShelf;
use super::registry::{Device, Registry};
use super::writer::Job;
use crate::trust::{Authority, Counters, Identity, Peer, Role};
use slacktide_engine::version::Version;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use tokio::sync::{Semaphore, watch};
use tonic::{Request, Status};

/// Shared by all services.
pub(super) struct Front {
    /// Of the installation.
    pub(super) name: String,
    pub(super) two_persons: bool,
    pub(super) registry: Arc<Registry>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) shelf: Arc<dyn PackageShelf>,
    pub(super) clock: Arc<dyn Clock>,
    /// Who signs renewed certificates; nobody where the authority is elsewhere.
    pub(super) authority: Option<Arc<Authority>>,
    pub(super) counters: Arc<Counters>,
    pub(super) jobs: Sender<Job>,
    pub(super) told: Sender<Told>,
    /// Places in the queue from devices to the engine.
    pub(super) places: Arc<Semaphore>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) changes: watch::Receiver<u64>,
    pub(super) report_every_ms: u32,
    pub(super) retry_after_ms: u32,
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front").field("devices", &self.registry.devices().len()).finish_non_exhaustive()
    }
}

impl Front {
    /// The device at the other end: who its certificate says it is.
    pub(super) fn device<T>(&self, request: &Request<T>) -> Result<&Arc<Device>, Status> {
        let Some(Peer { identity: Identity::Device(id), .. }) = request.extensions().get::<Peer>() else {
            self.metrics.refused("not-a-device");
            return Err(Status::permission_denied("only a device may say this"));
        };
        self.registry.find(id).ok_or_else(|| {
            self.metrics.refused("unknown-device");
            Status::permission_denied("the device is not in this controller's fleet")
        })
    }

    /// The person at the other end, if they may do what `role` may. Their name.
    pub(super) fn person<T>(&self, request: &Request<T>, least: Role) -> Result<String, Status> {
        self.operator(request.extensions().get::<Peer>(), least)
    }

    /// The same of a peer, however it came in.
    pub(super) fn operator(&self, peer: Option<&Peer>, least: Role) -> Result<String, Status> {
        let Some(Peer { identity: Identity::Operator { name, role }, .. }) = peer else {
            self.metrics.refused("not-a-person");
            return Err(Status::permission_denied("only a person may ask this"));
        };
        if !role.may(least) {
            self.metrics.refused("role");
            return Err(Status::permission_denied(format!(
                "{name} is {}, and {} is the least that may do this",
                role.name(),
                least.name()
            )));
        }
        Ok(name.clone())
    }

    pub(super) fn away(&self) -> Status {
        Status::unavailable("the controller is going away")
    }

    /// The engine knows the device once this returns; with the fleet file's release where nobody says which it runs.
    pub(super) async fn introduce(&self, device: &Arc<Device>, version: Option<Version>) -> Result<(), Status> {
        if device.is_introduced(version) {
            return Ok(());
        }
        let (done, known) = tokio::sync::oneshot::channel();
        self.tell(Told::Hello { device: Arc::clone(device), version, done })?;
        known.await.map_err(|_| self.away())?;
        device.introduced(version);
        Ok(())
    }

    /// Asks the engine's thread in a person's name, and waits until what came of it is durable.
    pub(super) async fn ask(&self, ask: Ask, by: String) -> Result<Answer, Status> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.tell(Told::Ask { ask, by, reply })?;
        answer.await.map_err(|_| self.away())?
    }

    pub(super) fn tell(&self, told: Told) -> Result<(), Status> {
        self.told.send(told).map_err(|_| self.away())
    }

    pub(super) fn write(&self, job: Job) -> Result<(), Status> {
        self.jobs.send(job).map_err(|_| self.away())
    }
}
