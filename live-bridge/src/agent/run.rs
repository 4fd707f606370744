//! The process: one thread that measures, speaks and works until it is told to stop.

use super::config::Settings;
use super::desk::Desk;
use super::disk::Copy;
use super::link::{Connector, End, Line, Link, RemoteSource};
use super::machine::Machine;
use super::now_ms;
use super::packages::Verifier;
use super::sampler::Load;
use crate::wire::Report;
use arc_swap::ArcSwapOption;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Between the two looks at the counters when there is only one report to make.
const GLANCE: Duration = Duration::from_secs(1);
/// Exchanges in one call of a device that calls now and then; more would be a controller that never has enough.
const POLLS_MAX: usize = 64;

/// What an agent is made of.
pub struct Parts {
    /// From its file.
    pub settings: Settings,
    /// What tells the load.
    pub load: Box<dyn Load>,
    /// What makes connections.
    pub connector: Arc<dyn Connector>,
    /// What knows good packages.
    pub verifier: Arc<dyn Verifier>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Why an agent could not go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The state folder, the slots, or the disk under them.
    #[error("cannot keep or read what the device must remember")]
    Disk(#[from] io::Error),
    /// A folder of the agent's, at its start.
    #[error("cannot work in the folder {}", folder.display())]
    Folder {
        /// Which: `state` or `slots` of its file.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another agent works on the same state.
    #[error("another agent works in {0}")]
    Taken(String),
    /// Only for `--once`: the controller was not reached.
    #[error("the controller was not reached: {0}")]
    Unreached(String),
}

struct Agent {
    desk: Arc<Desk>,
    machine: Machine,
    link: Link,
    load: Box<dyn Load>,
    period: watch::Receiver<Duration>,
    stop_limit: Duration,
    /// Held as long as the agent lives.
    _lock: File,
}

async fn prepare(parts: Parts) -> Result<Agent, AgentError> {
    let settings = Arc::new(parts.settings);
    let lock = lock(&settings.state)?;
    let (desk, copy) = Desk::open(&settings.state, settings.buffer_reports).map_err(unusable(&settings.state))?;
    if let Copy::Previous(why) = &copy {
        tracing::error!(folder = %settings.state.display(), why, "the state is damaged: going on from the copy before it");
    }
    let desk = Arc::new(desk);
    let line: Line = Arc::new(ArcSwapOption::empty());
    let source = Arc::new(RemoteSource(Arc::clone(&line)));
    let machine = Machine::new(Arc::clone(&settings), Arc::clone(&desk), source, parts.verifier)
        .map_err(unusable(&settings.slots))?;
    machine.recover(&copy).await?;
    let (period_sender, period) = watch::channel(settings.period);
    let stop_limit = settings.stop;
    let link = Link::new(settings, Arc::clone(&desk), machine.clone(), parts.connector, line, period_sender);
    Ok(Agent { desk, machine, link, load: parts.load, period, stop_limit, _lock: lock })
}

/// Runs an agent until `stop` says so. What is under way then goes to the end of its step, within the limit, and on at the next start.
///
/// # Errors
/// See [`AgentError`].
pub async fn run(parts: Parts, stop: watch::Receiver<bool>) -> Result<(), AgentError> {
    let Agent { desk, machine, mut link, load, period, stop_limit, _lock } = prepare(parts).await?;
    let mut told = stop.clone();
    let late = async {
        // An error means that whoever could say stop is gone; then it is time too.
        drop(told.wait_for(|stop| *stop).await);
        tokio::time::sleep(stop_limit).await;
    };
    let work = async {
        let reports = async {
            report(&desk, load, period, stop.clone()).await;
            Ok(())
        };
        // A disk that fails for one ends all three.
        tokio::try_join!(reports, link.run(stop.clone()), machine.run(stop.clone(), false)).map(drop)
    };
    tokio::select! {
        done = work => done?,
        () = late => tracing::warn!("a script did not end in time: it is ended, and counts as interrupted"),
    }
    desk.close()?;
    Ok(())
}

/// One call: reports, asks, carries out what comes back to its end, and says what came of it.
///
/// # Errors
/// See [`AgentError`].
pub async fn once(parts: Parts, stop: watch::Receiver<bool>) -> Result<(), AgentError> {
    let Agent { desk, machine, mut link, mut load, _lock, .. } = prepare(parts).await?;
    load.sample(Instant::now());
    tokio::time::sleep(GLANCE).await;
    desk.report(now_ms(), Report { samples: load.sample(Instant::now()) });
    for exchange in 0..POLLS_MAX {
        match link.poll(exchange == 0).await {
            Ok(()) | Err(End::Drain(_) | End::Stop) => {}
            Err(End::Disk(error)) => return Err(error.into()),
            Err(End::Lost(why)) => return Err(AgentError::Unreached(why)),
        }
        if desk.work().is_none() && desk.waiting().0 == 0 || *stop.borrow() {
            break;
        }
        machine.run(stop.clone(), true).await?;
    }
    desk.close()?;
    Ok(())
}

/// A report for each period, the first as soon as there is a rate to tell.
async fn report(
    desk: &Desk,
    mut load: Box<dyn Load>,
    mut period: watch::Receiver<Duration>,
    mut stop: watch::Receiver<bool>,
) {
    load.sample(Instant::now());
    let mut next = tokio::time::Instant::now() + *period.borrow();
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(next) => {
                desk.report(now_ms(), Report { samples: load.sample(Instant::now()) });
                // After a suspended machine wakes, missed reports are not made up for.
                let step = *period.borrow();
                next = (next + step).max(tokio::time::Instant::now());
            }
            changed = period.changed() => {
                if changed.is_err() {
                    return;
                }
                next = tokio::time::Instant::now() + *period.borrow_and_update();
            }
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Becomes true when the process is asked to stop: SIGTERM or SIGINT.
///
/// # Errors
/// Signals cannot be listened to.
pub fn until_told() -> io::Result<watch::Receiver<bool>> {
    let (told, stop) = watch::channel(false);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to stop");
        // Nobody listens any more: then there is nothing to stop.
        told.send(true).ok();
        told.closed().await;
    });
    Ok(stop)
}

fn unusable(folder: &Path) -> impl Fn(io::Error) -> AgentError {
    let folder = folder.to_owned();
    move |source| AgentError::Folder { folder: folder.clone(), source }
}

fn lock(folder: &Path) -> Result<File, AgentError> {
    std::fs::create_dir_all(folder).map_err(unusable(folder))?;
    let opened = File::options().create(true).truncate(false).write(true).open(folder.join("lock"));
    let file = opened.map_err(unusable(folder))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(AgentError::Taken(folder.display().to_string())),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_used_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let folder = file.path().join("state");
        let said = lock(&folder).unwrap_err().to_string();
        assert_eq!(said, format!("cannot work in the folder {}", folder.display()));
    }
}
