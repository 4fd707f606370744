//! Signed packages: what the repository's metadata says is checked against the root this device was given, and the archive against that.

use super::download::fetch_whole;
use super::packages::{Boxed, Found, PackageSource, Trouble, Verifier};
use super::state::{Script, Scripts};
use crate::digest::hex;
use crate::package::{Error, Limits, Release, ScriptKind, Source, Trusted};
use slacktide_engine::version::Version;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

/// Trusts what a root of a package repository leads to.
#[derive(Debug)]
pub struct Signed {
    trusted: Trusted,
    limits: Limits,
    /// What was found last: what an archive is checked against.
    found: Mutex<Option<Release>>,
}

impl Signed {
    /// Trust in the root in the file `root`; `memory` is where the newest metadata that was seen is remembered.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn new(root: &Path, memory: &Path) -> io::Result<Self> {
        let trusted = Trusted::new(std::fs::read(root)?, memory);
        Ok(Self { trusted, limits: Limits::default(), found: Mutex::new(None) })
    }
}

/// Metadata through the door that packages come by.
struct Metadata(Arc<dyn PackageSource>);

impl Source for Metadata {
    fn fetch<'a>(
        &'a self,
        name: &'a str,
        bytes_max: u64,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<u8>>> + Send + 'a>> {
        Box::pin(async move {
            let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
            let fetched = fetch_whole(self.0.as_ref(), &format!("metadata/{name}"), bytes_max).await;
            fetched.map_err(|trouble| match trouble {
                Trouble::Missing(why) => io::Error::new(io::ErrorKind::NotFound, why),
                Trouble::Refused(why) => io::Error::new(io::ErrorKind::InvalidData, why),
                Trouble::Unreachable(why) | Trouble::Disk(why) => io::Error::new(io::ErrorKind::NotConnected, why),
            })
        })
    }
}

impl Verifier for Signed {
    fn find<'a>(
        &'a self,
        source: Arc<dyn PackageSource>,
        package: &'a str,
        version: &'a str,
    ) -> Boxed<'a, Result<Found, Trouble>> {
        Box::pin(async move {
            let wanted: Version =
                version.parse().map_err(|_| Trouble::Refused(format!("`{version}` is no version")))?;
            let checked = self.trusted.check(Arc::new(Metadata(source))).await.map_err(trouble)?;
            let release = checked.release(package, wanted).map_err(|refusal| Trouble::Refused(refusal.to_string()))?;
            let (file, size_bytes) = (release.target.file.clone(), release.target.size_bytes);
            *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(release.clone());
            Ok(Found { file, size_bytes, sha256: hex(&release.target.sha256), note: String::new() })
        })
    }

    fn check_and_unpack(&self, found: &Found, archive: &Path, into: &Path) -> Result<Scripts, Trouble> {
        let release = self.found.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let release = release.filter(|release| release.target.file == found.file);
        let release = release.ok_or_else(|| Trouble::Refused(format!("{} was not looked for", found.file)))?;
        release.unpack(archive, into, &self.limits).map_err(trouble)?;
        let script = |kind| {
            let script = release.manifest.scripts.get(&kind)?;
            Some(Script { path: script.path.clone(), time_limit_ms: script.time_limit.as_millis() })
        };
        Ok(Scripts {
            precheck: script(ScriptKind::Precheck),
            drain: script(ScriptKind::Drain),
            install: script(ScriptKind::Install),
            health: script(ScriptKind::Health),
        })
    }
}

fn trouble(error: Error) -> Trouble {
    match error {
        Error::Refused(refusal) => Trouble::Refused(refusal.to_string()),
        // The way to the repository; a disk of one's own that is full gets better by itself as often as a network does.
        Error::Io { doing, source } => Trouble::Unreachable(format!("cannot {doing}: {source}")),
        Error::Input(error) => Trouble::Refused(error.to_string()),
        Error::State(why) => Trouble::Disk(why),
    }
}
