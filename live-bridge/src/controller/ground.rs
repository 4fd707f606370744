//! What a controller stands on: everything that can be wrong is looked at before anything starts. `serve --check` ends here.

use super::config::Config;
use super::store::{Store, StoreError};
use super::{StartError, recovery};
use crate::package::Repository;
use crate::trust::{Authority, ServerFiles, ServerTrust, listen};
use slacktide_engine::policy::Policy;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Trust and packages, as they are read at every start.
pub(super) struct Ground {
    pub(super) trust: Arc<ServerTrust>,
    pub(super) authority: Option<Arc<Authority>>,
    pub(super) repository: Repository,
}

impl Ground {
    /// Reads certificates, keys, the authority and the package repository.
    pub(super) async fn read(config: &Config) -> Result<Self, StartError> {
        let trust = ServerTrust::open(ServerFiles::in_folders(&config.identity, &config.authority))?;
        let authority = if config.signs { Some(Arc::new(Authority::open(&config.authority)?)) } else { None };
        let repository = Repository::new(config.packages.clone());
        // Metadata past its date is told to whoever creates a rollout: what runs already must not stop for it.
        let standing = repository.status().await;
        standing.map_err(|source| StartError::Packages { path: config.packages.clone(), source: source.into() })?;
        Ok(Self { trust, authority, repository })
    }
}

/// What of a store could be seen without starting on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreSeen {
    /// There is none yet; the first start makes it.
    New,
    /// It was begun with this policy and these metrics.
    Fits,
    /// A controller that runs has it open, so nothing can be read in it.
    InUse,
}

/// Reads all that [`super::serve()`] reads, and starts nothing.
///
/// # Errors
/// What [`super::serve()`] would say, except for addresses that are taken: another controller may still run there.
pub async fn check(config: &Config, policy: &Policy) -> Result<StoreSeen, StartError> {
    Ground::read(config).await?;
    Ok(look_at_store(&config.store, policy, &config.metric_names)?)
}

fn look_at_store(path: &Path, policy: &Policy, metrics: &[String]) -> Result<StoreSeen, StoreError> {
    let unfit = |problem: String| StoreError::Unfit { path: path.to_owned(), problem };
    let Ok(found) = std::fs::metadata(path) else {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        if folder.is_dir() {
            return Ok(StoreSeen::New);
        }
        return Err(unfit(format!("cannot be made: there is no folder {}", folder.display())));
    };
    if found.is_file() && found.len() == 0 {
        return Ok(StoreSeen::New);
    }
    let store = match Store::open_to_read(path) {
        Err(StoreError::InUse { .. }) => return Ok(StoreSeen::InUse),
        opened => opened?,
    };
    match store.first_line()? {
        None => Ok(StoreSeen::New),
        Some(line) => recovery::begun_alike(&store, &line, policy, metrics).map(|()| StoreSeen::Fits),
    }
}

/// The listeners of a controller: all are opened before anything starts, so that nothing has to be taken back where an address is taken.
pub(super) struct Doors {
    pub(super) devices: TcpListener,
    pub(super) enrolment: Option<TcpListener>,
    pub(super) metrics: TcpListener,
    pub(super) dashboard: Option<TcpListener>,
}

impl Doors {
    pub(super) fn open(config: &Config) -> Result<Self, StartError> {
        let open = |field: &str, at: SocketAddr| {
            listen(at)
                .map_err(|source| StartError::Io { what: format!("cannot listen at {at} (listen.{field})"), source })
        };
        Ok(Self {
            devices: open("devices", config.devices)?,
            enrolment: config.enrolment.map(|at| open("enrolment", at)).transpose()?,
            metrics: open("metrics", config.metrics)?,
            dashboard: config.dashboard.map(|at| open("dashboard", at)).transpose()?,
        })
    }
}
