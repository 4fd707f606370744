//! The device's side: one trusted root, what has been seen since, and the releases that follow from it.

use super::manifest::Manifest;
use super::refusal::{Error, Refusal, failed};
use super::release::{Release, Target};
use crate::causes::with_causes;
use crate::digest::hex;
use crate::durable::sync_folder;
use async_trait::async_trait;
use serde_json::Value;
use slacktide_engine::time::Instant;
use slacktide_engine::version::Version;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use tough::error::Error as ToughError;
use tough::schema::Error as SchemaError;
use tough::{ExpirationEnforcement, RepositoryLoader, Transport, TransportError, TransportErrorKind, TransportStream};
use url::Url;

/// Where metadata comes from: a folder, or the controller.
pub trait Source: Send + Sync {
    /// The metadata file `name` (such as `timestamp.json`), whole. An error of kind `NotFound` says that there is none, `InvalidData` that
    /// it is longer than `bytes_max` or otherwise no metadata; any other is the way's, and no reason to mistrust the repository.
    fn fetch<'a>(
        &'a self,
        name: &'a str,
        bytes_max: u64,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<u8>>> + Send + 'a>>;
}

/// A folder of metadata files.
#[derive(Debug, Clone)]
pub struct Folder(pub PathBuf);

impl Source for Folder {
    fn fetch<'a>(
        &'a self,
        name: &'a str,
        bytes_max: u64,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<u8>>> + Send + 'a>> {
        Box::pin(async move {
            let path = self.0.join(name);
            if tokio::fs::metadata(&path).await?.len() > bytes_max {
                let problem = format!("{} is larger than {bytes_max} bytes", path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
            }
            tokio::fs::read(&path).await
        })
    }
}

/// What a device trusts: the root it was given, and a folder of its own that remembers the newest it has seen.
#[derive(Debug, Clone)]
pub struct Trusted {
    root: Vec<u8>,
    state: PathBuf,
}

/// A repository that has been found good.
#[derive(Debug, Clone)]
pub struct Checked {
    /// Its releases, by name and version.
    pub releases: Vec<Release>,
    /// Signed targets that are no releases to this program, with what is wrong: a newer one may know more kinds. They are in nobody's way
    /// until they are asked for.
    pub unreadable: BTreeMap<String, String>,
    /// The metadata must be fetched anew by then.
    pub expires: Instant,
    /// Version of the root that is trusted now.
    pub root_version: u64,
    /// Version of the timestamp that was seen.
    pub timestamp_version: u64,
}

/// Largest metadata file; thousands of releases fit.
pub const METADATA_BYTES_MAX: u64 = 32 << 20;
/// Files that a device remembers. The order matters: each is only a promise about those after it.
const REMEMBERED: [&str; 5] =
    ["root.json", "targets.json", "snapshot.json", "timestamp.json", "latest_known_time.json"];

impl Trusted {
    /// Trust in `root` (the bytes of a `N.root.json` that came by a safe way), with `state` as memory; the folder is made when needed.
    /// Once something has been checked, the memory's own root goes on from there and `root` is no longer looked at.
    pub fn new(root: Vec<u8>, state: impl Into<PathBuf>) -> Self {
        Self { root, state: state.into() }
    }

    /// Checks the metadata of a repository as of now, and remembers it. One check at a time for one memory.
    ///
    /// # Errors
    /// [`Error::Refused`]; [`Error::Io`] where metadata did not arrive or the memory cannot be written. After an error the newest root that
    /// was proven is remembered, and nothing else.
    pub async fn check(&self, source: Arc<dyn Source>) -> Result<Checked, Error> {
        std::fs::create_dir_all(&self.state).map_err(failed("make the folder", &self.state))?;
        // The library writes as it goes, in place: it works on a copy, and each file of that is put in place whole.
        let aside = self.state.join("checking");
        clear(&aside)?;
        std::fs::create_dir(&aside).map_err(failed("make the folder", &aside))?;
        for name in REMEMBERED {
            let (from, to) = (self.state.join(name), aside.join(name));
            match std::fs::copy(&from, &to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("read", &from)(error)),
                _ => {}
            }
        }
        let seen = std::fs::read(aside.join("root.json")).ok();
        let root = seen.as_ref().unwrap_or(&self.root);
        let loaded = load(root, source, Some(aside.clone()), ExpirationEnforcement::Safe).await;
        let checked = loaded.map(|repository| Checked::of(&repository));
        self.remember(&aside, root, checked.is_ok())?;
        checked
    }

    /// [`Self::check`] of the repository in a folder.
    ///
    /// # Errors
    /// As there.
    pub async fn check_folder(&self, repository: &Path) -> Result<Checked, Error> {
        self.check(Arc::new(Folder(repository.join("metadata")))).await
    }

    fn remember(&self, aside: &Path, before: &[u8], good: bool) -> Result<(), Error> {
        let place = |name: &str| {
            let (from, to) = (aside.join(name), self.state.join(name));
            if !from.exists() {
                return Ok(());
            }
            let put = || {
                std::fs::File::open(&from)?.sync_all()?;
                std::fs::rename(&from, &to)
            };
            put().map_err(failed("write", &to))
        };
        if good {
            REMEMBERED.into_iter().try_for_each(place)?;
        } else if let Some(after) = std::fs::read(aside.join("root.json")).ok().filter(|after| after != before) {
            // A root that is proven holds even when the rest is bad. Where it takes a key away from the roles that count versions, what
            // they counted goes too, or a thief of that key could have counted to the end of numbers for all time.
            let counting = |root: &[u8]| {
                let root: Value = serde_json::from_slice(root).unwrap_or_default();
                ["timestamp", "snapshot"].map(|role| root["signed"]["roles"][role]["keyids"].clone())
            };
            if counting(before) != counting(&after) {
                for name in ["timestamp.json", "snapshot.json"] {
                    let path = self.state.join(name);
                    match std::fs::remove_file(&path) {
                        Err(error) if error.kind() != io::ErrorKind::NotFound => {
                            return Err(failed("remove", &path)(error));
                        }
                        _ => {}
                    }
                }
            }
            place("root.json")?;
        }
        clear(aside)?;
        sync_folder(&self.state).map_err(failed("write", &self.state))
    }
}

fn clear(folder: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", folder)(error)),
        _ => Ok(()),
    }
}

impl Checked {
    pub(super) fn of(repository: &tough::Repository) -> Self {
        let (mut releases, mut unreadable) = (Vec::new(), BTreeMap::new());
        for (name, target) in repository.all_targets() {
            match release(name.raw(), target) {
                Ok(release) => releases.push(release),
                Err(problem) => drop(unreadable.insert(name.raw().to_owned(), problem)),
            }
        }
        releases.sort_by(|a, b| (&a.manifest.name, a.manifest.version).cmp(&(&b.manifest.name, b.manifest.version)));
        let expires = [
            repository.root().signed.expires.as_second(),
            repository.targets().signed.expires.as_second(),
            repository.snapshot().signed.expires.as_second(),
            repository.timestamp().signed.expires.as_second(),
        ];
        Self {
            releases,
            unreadable,
            expires: Instant::from_secs(expires.into_iter().min().unwrap_or_default()),
            root_version: repository.root().signed.version.get(),
            timestamp_version: repository.timestamp().signed.version.get(),
        }
    }

    /// The release of that name and version (`2.4` is `2.4.0`).
    ///
    /// # Errors
    /// [`Refusal::Unknown`], naming some that there are; [`Refusal::Unreadable`] for one this program cannot read.
    pub fn release(&self, name: &str, version: Version) -> Result<&Release, Refusal> {
        if let Some(problem) = self.unreadable.get(&format!("{name}-{version}.stp")) {
            return Err(Refusal::Unreadable { problem: format!("{name} {version}: {problem}") });
        }
        let found = self.releases.iter().find(|r| r.manifest.name == name && r.manifest.version == version);
        found.ok_or_else(|| {
            let of_name = self.releases.iter().filter(|r| r.manifest.name == name).rev();
            let others = self.releases.iter().filter(|r| r.manifest.name != name);
            let has = of_name.chain(others).take(4).map(|r| format!("{} {}", r.manifest.name, r.manifest.version));
            Refusal::Unknown { name: name.to_owned(), version: version.to_string(), has: has.collect() }
        })
    }
}

/// A target as a release, or what is wrong with it.
fn release(name: &str, target: &tough::schema::Target) -> Result<Release, String> {
    let text = target.custom.get("manifest").and_then(Value::as_str).ok_or("it has no manifest")?;
    let manifest = Manifest::parse(name, text).map_err(|e| e.to_string())?;
    if manifest.archive_name() != name {
        return Err("its manifest is another's".to_owned());
    }
    let sha256: [u8; 32] = (*target.hashes.sha256).try_into().map_err(|_| "its hash is no SHA-256")?;
    let file = format!("targets/{}.{name}", hex(&sha256));
    Ok(Release { manifest, target: Target { file, size_bytes: target.length, sha256 } })
}

/// Loads and verifies metadata from `root` on.
pub(super) async fn load(
    root: &[u8],
    source: Arc<dyn Source>,
    datastore: Option<PathBuf>,
    expiry: ExpirationEnforcement,
) -> Result<tough::Repository, Error> {
    let base = |folder: &str| {
        Url::parse(&format!("file:///{folder}/")).map_err(|e| Refusal::Unreadable { problem: e.to_string() })
    };
    let root = root.to_vec();
    let mut loader = RepositoryLoader::new(&root, base("metadata")?, base("targets")?)
        .transport(Carrier(source))
        .expiration_enforcement(expiry);
    if let Some(datastore) = datastore {
        loader = loader.datastore(datastore);
    }
    loader.load().await.map_err(|error| match &error {
        ToughError::Transport { source, .. } if on_the_way(source) => {
            Error::Io { doing: format!("fetch {}", source.url()), source: io::Error::other(with_causes(source)) }
        }
        _ => refusal(&error).into(),
    })
}

/// A source as the library wants it.
#[derive(Clone)]
struct Carrier(Arc<dyn Source>);

impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Carrier")
    }
}

#[async_trait]
impl Transport for Carrier {
    async fn fetch(&self, url: Url) -> Result<TransportStream, TransportError> {
        let name = url.path().rsplit('/').next().unwrap_or_default().to_owned();
        match self.0.fetch(&name, METADATA_BYTES_MAX).await {
            Ok(bytes) => Ok(Box::pin(tokio_stream::once(Ok(bytes.into())))),
            Err(error) => {
                let missing = error.kind() == io::ErrorKind::NotFound;
                let kind = if missing { TransportErrorKind::FileNotFound } else { TransportErrorKind::Other };
                Err(TransportError::new_with_cause(kind, &name, error))
            }
        }
    }
}

/// The library's error in our words.
fn refusal(error: &ToughError) -> Refusal {
    let role = |role: &dyn fmt::Display| role.to_string();
    match error {
        ToughError::ExpiredMetadata { role: r, .. } => Refusal::Expired { role: role(r) },
        ToughError::OlderMetadata { role: r, current_version, new_version, .. } => {
            Refusal::Older { role: role(r), seen: *current_version, offered: *new_version }
        }
        ToughError::OlderSnapshotInTimestamp { snapshot_old, snapshot_new, .. } => {
            Refusal::Older { role: "snapshot".to_owned(), seen: *snapshot_old, offered: *snapshot_new }
        }
        ToughError::VerifyMetadata { role: r, source, .. } if unsigned(source) => Refusal::Signer { role: role(r) },
        ToughError::VerifyRoleMetadata { role: r, source, .. } if unsigned(source) => {
            Refusal::Signer { role: r.clone() }
        }
        ToughError::VerifyTrustedMetadata { .. } => Refusal::Signer { role: "trusted root".to_owned() },
        ToughError::SystemTimeSteppedBackward { .. } => Refusal::Clock,
        ToughError::HashMismatch { .. }
        | ToughError::VersionMismatch { .. }
        | ToughError::MetaMissing { .. }
        | ToughError::SnapshotTargetsMetaMissing { .. }
        | ToughError::SnapshotRoleMissing { .. }
        | ToughError::SnapshotRoleRollback { .. }
        | ToughError::TimestampMetaLength { .. }
        | ToughError::MissingSnapshotMeta { .. } => Refusal::Mixed { problem: error.to_string() },
        ToughError::Transport { source, .. } if wrong_bytes(source) => Refusal::Mixed { problem: source.to_string() },
        _ => Refusal::Unreadable { problem: with_causes(error) },
    }
}

const fn unsigned(error: &SchemaError) -> bool {
    matches!(
        error,
        SchemaError::SignatureThreshold { .. } | SchemaError::MissingRole { .. } | SchemaError::DuplicateKeyId { .. }
    )
}

/// Whether what came was not what the list says, in size or hash.
fn wrong_bytes(error: &TransportError) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(ToughError::HashMismatch { .. } | ToughError::MaxSizeExceeded { .. }) = inner.downcast_ref() {
            return true;
        }
        cause = inner.source();
    }
    false
}

/// Whether a file did not come for reasons that are not its own.
fn on_the_way(error: &TransportError) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| !matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData))
}
