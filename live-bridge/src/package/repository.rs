//! The publisher's side: a folder with `metadata/` and `targets/` that any server may serve, since every word in it is signed.
//!
//! A change is first made whole in `next/`; from then on it is carried out, if need be by the next one who comes. So a loss of power
//! leaves the repository as it was or as it should be.

use super::archive::{self, aside, hash_file};
use super::keys::{KeyFolder, Role, id_of};
use super::manifest::Manifest;
use super::refusal::{Error, failed};
use super::release::Release;
use super::trusted::{Checked, Folder, load};
use super::unpack::{Limits, sync};
use crate::digest::hex;
use crate::durable::sync_folder;
use aws_lc_rs::rand::SystemRandom;
use slacktide_engine::time::{Instant, Span};
use slacktide_engine::version::Version;
use std::collections::HashMap;
use std::fs::File;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use tough::editor::RepositoryEditor;
use tough::editor::signed::SignedRole;
use tough::error::Error as ToughError;
use tough::key_source::KeySource;
use tough::schema::key::Key;
use tough::schema::{KeyHolder, RoleKeys, RoleType, Root, Target};
use tough::{ExpirationEnforcement, TargetName};

/// A package repository.
#[derive(Debug, Clone)]
pub struct Repository {
    path: PathBuf,
}

/// How long what a role signs is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiries {
    /// The root; it must be signed anew by then with the offline key.
    pub root: Span,
    /// The list of releases.
    pub targets: Span,
    /// The state of the repository.
    pub snapshot: Span,
    /// The newest state: how long somebody can keep news from a device unnoticed, and how long the repository may go unattended.
    pub timestamp: Span,
}

impl Default for Expiries {
    /// A year, 90 days, 30 days, 7 days.
    fn default() -> Self {
        let days = |n: u64| Span::from_secs(n * 86_400);
        Self { root: days(365), targets: days(90), snapshot: days(30), timestamp: days(7) }
    }
}

/// What came of changing a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// Version of the root that says so.
    pub root_version: u64,
    /// The new key, where there is one.
    pub key_file: Option<PathBuf>,
    /// Its identifier.
    pub key_id: Option<String>,
}

/// How a repository stands.
#[derive(Debug, Clone)]
pub struct Status {
    /// One for each of [`Role::ALL`].
    pub roles: Vec<RoleStatus>,
    /// Its releases, by name and version.
    pub releases: Vec<Release>,
    /// SHA-256 of the newest root file, to be compared by other ways than the network.
    pub root_sha256: String,
}

/// How a role stands.
#[derive(Debug, Clone)]
pub struct RoleStatus {
    /// Which.
    pub role: Role,
    /// Version of its metadata.
    pub version: u64,
    /// Until when it holds.
    pub expires: Instant,
    /// Keys it signs with.
    pub keys: Vec<String>,
}

/// Version of the specification that the library writes.
const SPEC_VERSION: &str = "1.0.0";
/// Old states that are kept for devices that are just fetching them.
const KEPT: u64 = 16;

impl Repository {
    /// The repository in `path`; looked at when it is needed.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a new repository without releases: a root key in `root_keys`, which should lie on a medium of its own, the other roles'
    /// keys in `keys`, and metadata that holds from `now` for as long as `expiries` say. Gives the path of its root file, which devices
    /// are to be given.
    ///
    /// # Errors
    /// [`Error::State`] when there is a repository already, [`Error::Io`].
    pub async fn init(
        &self,
        root_keys: &KeyFolder,
        keys: &KeyFolder,
        expiries: &Expiries,
        now: Instant,
    ) -> Result<PathBuf, Error> {
        let metadata = self.path.join("metadata");
        if metadata.exists() {
            return Err(Error::State(format!("{} is a repository already", self.path.display())));
        }
        for folder in [self.path.join("targets"), metadata] {
            std::fs::create_dir_all(&folder).map_err(failed("make the folder", &folder))?;
        }
        let _held = self.lock()?;
        let (mut public, mut roles) = (HashMap::new(), HashMap::new());
        for role in Role::ALL {
            let (key, _) = if role == Role::Root { root_keys } else { keys }.generate(role)?;
            roles.insert(role.in_tough(), only(&key)?);
            public.insert(key.key_id().map_err(|e| Error::State(e.to_string()))?, key);
        }
        let root = Root {
            spec_version: SPEC_VERSION.to_owned(),
            consistent_snapshot: true,
            version: NonZeroU64::MIN,
            expires: moment(now, expiries.root)?,
            keys: public,
            roles,
            _extra: HashMap::new(),
        };
        let staged = self.stage()?;
        let root = sign_root(root.clone(), &root, &root_keys.sources()?).await?;
        let root_file = staged.join("1.root.json");
        write(&root_file, root.buffer())?;
        let editor = RepositoryEditor::new(&root_file).await.map_err(failed_in_library)?;
        sign(editor, &staged, [NonZeroU64::MIN; 3], expiries, now, keys).await?;
        self.commit(&staged)?;
        Ok(self.path.join("metadata/1.root.json"))
    }

    /// Adds archives, each checked whole, and signs everything anew; with no archives, the metadata is refreshed. A release once
    /// published never changes.
    ///
    /// # Errors
    /// [`Error::Refused`] for an archive that is none of ours, [`Error::State`] when such a release is there already with other content
    /// or a key is missing, [`Error::Io`].
    pub async fn publish(
        &self,
        archives: &[PathBuf],
        keys: &KeyFolder,
        expiries: &Expiries,
        now: Instant,
    ) -> Result<Vec<Manifest>, Error> {
        let _held = self.lock()?;
        self.finish()?;
        let repository = self.load(ExpirationEnforcement::Unsafe).await?;
        let has = Checked::of(&repository).releases;
        let mut editor = self.editor(&repository).await?;
        let mut added: Vec<Manifest> = Vec::new();
        for archive in archives {
            let manifest = archive::inspect(archive, &NO_LIMITS)?;
            let (sha256, size_bytes) = hash_file(archive)?;
            let same = |m: &Manifest| m.name == manifest.name && m.version == manifest.version;
            let published = has.iter().find(|r| same(&r.manifest));
            if published.is_some_and(|r| r.target.sha256 != sha256) || added.iter().any(same) {
                let problem = "has been published with other content, and never changes: give it a new version";
                return Err(Error::State(format!(
                    "{}: {} {} {problem}",
                    archive.display(),
                    manifest.name,
                    manifest.version
                )));
            }
            self.place(archive, &format!("{}.{}", hex(&sha256), manifest.archive_name()))?;
            if published.is_none() {
                let target = target(&manifest, sha256, size_bytes)?;
                let name = TargetName::new(manifest.archive_name()).map_err(failed_in_library)?;
                editor.add_target(name, target).map_err(failed_in_library)?;
            }
            added.push(manifest);
        }
        let staged = self.stage()?;
        sign(editor, &staged, next_versions(&repository)?, expiries, now, keys).await?;
        self.commit(&staged)?;
        Ok(added)
    }

    /// Gives a role a new key in place of its old ones, and the root a new version that says so; with no role, only the root's expiry
    /// is put off. For a new root key, the old one and the new one sign. Devices follow from the root they have, through every version.
    ///
    /// # Errors
    /// [`Error::State`] when the root key is not in `root_keys`, [`Error::Io`].
    pub async fn rotate(
        &self,
        role: Option<Role>,
        root_keys: &KeyFolder,
        keys: &KeyFolder,
        expiries: &Expiries,
        now: Instant,
    ) -> Result<Rotation, Error> {
        let _held = self.lock()?;
        self.finish()?;
        let repository = self.load(ExpirationEnforcement::Unsafe).await?;
        let before = repository.root().signed.clone();
        let mut root = before.clone();
        root.version = next(before.version)?;
        root.expires = moment(now, expiries.root)?;
        let mut rotation = Rotation { root_version: root.version.get(), key_file: None, key_id: None };
        if let Some(role) = role {
            // Asked for first: a new key is of no use without the root's consent.
            sign_root(root.clone(), &before, &root_keys.sources()?).await?;
            let (key, path) = if role == Role::Root { root_keys } else { keys }.generate(role)?;
            (rotation.key_file, rotation.key_id) = (Some(path), Some(id_of(&key)?));
            root.roles.insert(role.in_tough(), only(&key)?);
            root.keys.insert(key.key_id().map_err(|e| Error::State(e.to_string()))?, key);
            let Root { keys, roles, .. } = &mut root;
            keys.retain(|id, _| roles.values().any(|r| r.keyids.contains(id)));
        }
        let sources = root_keys.sources()?;
        let by_old = sign_root(root.clone(), &before, &sources).await?;
        let signed = sign_root(root.clone(), &root, &sources).await?;
        let signed = signed.add_old_signatures(by_old.signed().signatures.clone()).map_err(failed_in_library)?;
        let staged = self.stage()?;
        let root_file = staged.join(format!("{}.root.json", root.version));
        write(&root_file, signed.buffer())?;
        if role.is_some_and(|role| role != Role::Root) {
            let mut editor = RepositoryEditor::new(&root_file).await.map_err(failed_in_library)?;
            editor.targets(repository.targets().clone()).map_err(failed_in_library)?;
            sign(editor, &staged, next_versions(&repository)?, expiries, now, keys).await?;
        }
        self.commit(&staged)?;
        Ok(rotation)
    }

    /// How it stands; expired metadata is told, not refused.
    ///
    /// # Errors
    /// [`Error::Refused`] when the repository does not hold together, [`Error::Io`].
    pub async fn status(&self) -> Result<Status, Error> {
        let repository = self.load(ExpirationEnforcement::Unsafe).await?;
        let root = &repository.root().signed;
        let of = |role: Role| {
            let (version, expires) = match role {
                Role::Root => (root.version, root.expires.as_second()),
                Role::Targets => (repository.targets().signed.version, repository.targets().signed.expires.as_second()),
                Role::Snapshot => {
                    (repository.snapshot().signed.version, repository.snapshot().signed.expires.as_second())
                }
                Role::Timestamp => {
                    (repository.timestamp().signed.version, repository.timestamp().signed.expires.as_second())
                }
            };
            let keys = root.keys(role.in_tough()).map(id_of).collect::<Result<_, Error>>()?;
            Ok(RoleStatus { role, version: version.get(), expires: Instant::from_secs(expires), keys })
        };
        let (sha256, _) = hash_file(&self.path.join(format!("metadata/{}.root.json", root.version)))?;
        Ok(Status {
            roles: Role::ALL.into_iter().map(of).collect::<Result<_, Error>>()?,
            releases: Checked::of(&repository).releases,
            root_sha256: hex(&sha256),
        })
    }

    /// A release, checked as of now from the repository's own first root.
    ///
    /// # Errors
    /// [`Error::Refused`] when there is no such release, or devices would refuse the repository.
    pub async fn release(&self, name: &str, version: Version) -> Result<Release, Error> {
        let checked = Checked::of(&self.load(ExpirationEnforcement::Safe).await?);
        Ok(checked.release(name, version)?.clone())
    }

    /// The manifest of a release; see [`Self::release`].
    ///
    /// # Errors
    /// As there.
    pub async fn manifest(&self, name: &str, version: Version) -> Result<Manifest, Error> {
        Ok(self.release(name, version).await?.manifest)
    }

    async fn load(&self, expiry: ExpirationEnforcement) -> Result<tough::Repository, Error> {
        let metadata = self.path.join("metadata");
        // Where a change was cut off by a loss of power; while it is being made, its maker holds the lock.
        if self.path.join("next").exists()
            && let Ok(_held) = self.lock()
        {
            self.finish()?;
        }
        let first = metadata.join("1.root.json");
        let root = std::fs::read(&first).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => self.none(),
            _ => failed("read", &first)(error),
        })?;
        load(&root, Arc::new(Folder(metadata)), None, expiry).await
    }

    async fn editor(&self, repository: &tough::Repository) -> Result<RepositoryEditor, Error> {
        let root = self.path.join(format!("metadata/{}.root.json", repository.root().signed.version));
        let mut editor = RepositoryEditor::new(root).await.map_err(failed_in_library)?;
        editor.targets(repository.targets().clone()).map_err(failed_in_library)?;
        Ok(editor)
    }

    fn none(&self) -> Error {
        Error::State(format!("{} is no package repository; `slacktide package init` makes one", self.path.display()))
    }

    /// Held by whoever changes the repository.
    fn lock(&self) -> Result<File, Error> {
        // Nothing is left behind in a folder that is something else.
        if !self.path.join("metadata").is_dir() {
            return Err(self.none());
        }
        let path = self.path.join("lock");
        let file =
            File::options().create(true).truncate(false).write(true).open(&path).map_err(failed("write", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(std::fs::TryLockError::WouldBlock) => {
                Err(Error::State(format!("{} is being changed by somebody else: try again", self.path.display())))
            }
            Err(std::fs::TryLockError::Error(error)) => Err(failed("lock", &path)(error)),
        }
    }

    fn stage(&self) -> Result<PathBuf, Error> {
        let staged = self.path.join("next.part");
        if staged.exists() {
            std::fs::remove_dir_all(&staged).map_err(failed("remove", &staged))?;
        }
        std::fs::create_dir(&staged).map_err(failed("make the folder", &staged))?;
        Ok(staged)
    }

    /// From here on the change is made, whatever happens.
    fn commit(&self, staged: &Path) -> Result<(), Error> {
        let next = self.path.join("next");
        sync(staged)?;
        let put = || {
            std::fs::rename(staged, &next)?;
            sync_folder(&self.path)
        };
        put().map_err(failed("write", &next))?;
        self.finish()
    }

    /// Carries out a change that has been decided: the timestamp, which points to all the rest, last.
    fn finish(&self) -> Result<(), Error> {
        let (next, metadata) = (self.path.join("next"), self.path.join("metadata"));
        if !next.exists() {
            return Ok(());
        }
        let finish = || {
            let mut names = Vec::new();
            for entry in std::fs::read_dir(&next)? {
                names.push(entry?.file_name());
            }
            names.sort_by_key(|name| name == "timestamp.json");
            for name in names {
                std::fs::rename(next.join(&name), metadata.join(&name))?;
            }
            sync_folder(&metadata)?;
            std::fs::remove_dir(&next)?;
            forget_old(&metadata)
        };
        finish().map_err(failed("write", &metadata))
    }

    /// Copies an archive to where devices fetch it.
    fn place(&self, archive: &Path, name: &str) -> Result<(), Error> {
        let to = self.path.join("targets").join(name);
        if to.exists() {
            return Ok(());
        }
        let aside = aside(&to);
        let copy = || {
            std::fs::copy(archive, &aside)?;
            File::open(&aside)?.sync_all()?;
            std::fs::rename(&aside, &to)
        };
        copy().map_err(|error| {
            // The first error is the one to tell.
            let _ = std::fs::remove_file(&aside);
            failed("write", &to)(error)
        })
    }
}

/// What a publisher takes: all that a manifest can say.
const NO_LIMITS: Limits = Limits {
    archive_bytes_max: u64::MAX,
    unpacked_bytes_max: Manifest::SIZE_BYTES_MAX,
    files_max: Manifest::FILES_MAX,
};

/// Removes all but the newest states; every root stays, since devices follow them one by one.
fn forget_old(metadata: &Path) -> std::io::Result<()> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(metadata)? {
        let name = entry?.file_name();
        let parts = name
            .to_str()
            .and_then(|n| n.split_once('.'))
            .and_then(|(n, role)| Some((n.parse::<u64>().ok()?, role.to_owned())));
        found.extend(parts.filter(|(_, role)| role != "root.json").map(|(version, role)| (role, version, name)));
    }
    for (role, version, name) in &found {
        let newest = found.iter().filter(|(r, ..)| r == role).map(|(_, v, _)| *v).max().unwrap_or(0);
        if version + KEPT <= newest {
            std::fs::remove_file(metadata.join(name))?;
        }
    }
    Ok(())
}

fn only(key: &Key) -> Result<RoleKeys, Error> {
    let id = key.key_id().map_err(|e| Error::State(e.to_string()))?;
    Ok(RoleKeys { keyids: vec![id], threshold: NonZeroU64::MIN, _extra: HashMap::new() })
}

fn next(version: NonZeroU64) -> Result<NonZeroU64, Error> {
    version.checked_add(1).ok_or_else(|| Error::State("there is no version after this one".to_owned()))
}

/// Of targets, snapshot and timestamp.
fn next_versions(repository: &tough::Repository) -> Result<[NonZeroU64; 3], Error> {
    Ok([
        next(repository.targets().signed.version)?,
        next(repository.snapshot().signed.version)?,
        next(repository.timestamp().signed.version)?,
    ])
}

/// `root`, signed by those keys in `sources` that `holder` trusts for it.
async fn sign_root(root: Root, holder: &Root, sources: &[Box<dyn KeySource>]) -> Result<SignedRole<Root>, Error> {
    let signed = SignedRole::new(root, &KeyHolder::Root(holder.clone()), sources, &SystemRandom::new()).await;
    let signed = signed.map_err(failed_in_library)?;
    let needed = holder.roles.get(&RoleType::Root).map_or(1, |r| r.threshold.get());
    if (signed.signed().signatures.len() as u64) < needed {
        return Err(missing_key("root"));
    }
    Ok(signed)
}

/// Signs targets, snapshot and timestamp into `staged`.
async fn sign(
    mut editor: RepositoryEditor,
    staged: &Path,
    [targets, snapshot, timestamp]: [NonZeroU64; 3],
    expiries: &Expiries,
    now: Instant,
    keys: &KeyFolder,
) -> Result<(), Error> {
    editor.targets_version(targets).map_err(failed_in_library)?;
    editor.targets_expires(moment(now, expiries.targets)?).map_err(failed_in_library)?;
    editor.snapshot_version(snapshot).snapshot_expires(moment(now, expiries.snapshot)?);
    editor.timestamp_version(timestamp).timestamp_expires(moment(now, expiries.timestamp)?);
    let signed = editor.sign(&keys.sources()?).await.map_err(failed_in_library)?;
    signed.write(staged).await.map_err(failed_in_library)
}

/// The end of a time, in the library's own type.
fn moment<T: FromStr>(now: Instant, good_for: Span) -> Result<T, Error> {
    let end = now + good_for;
    end.to_string().parse().map_err(|_| Error::State(format!("{end} is too far away")))
}

fn target(manifest: &Manifest, sha256: [u8; 32], size_bytes: u64) -> Result<Target, Error> {
    // Built from JSON since the library computes it from a file only, asynchronously and a second time.
    let json = serde_json::json!({
        "length": size_bytes, "hashes": {"sha256": hex(&sha256)}, "custom": {"manifest": manifest.text()}
    });
    serde_json::from_value(json).map_err(|e| Error::State(e.to_string()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    std::fs::write(path, bytes).map_err(failed("write", path))
}

fn missing_key(role: &str) -> Error {
    Error::State(format!("there is no key for the {role} role of this repository among the keys given"))
}

fn failed_in_library(error: ToughError) -> Error {
    match error {
        ToughError::SigningKeysNotFound { role } => missing_key(&role.to_lowercase()),
        ToughError::KeysNotFoundInRoot { .. } => missing_key("signing"),
        other => Error::State(other.to_string()),
    }
}
