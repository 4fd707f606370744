//! Signing keys: Ed25519, one PEM file a key, `ROLE-ID.pem`, readable by their owner alone.

use super::refusal::{Error, failed};
use crate::digest::hex;
use crate::durable::sync_folder;
use async_trait::async_trait;
use rcgen::{KeyPair, PKCS_ED25519};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use std::fmt;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use tough::key_source::KeySource;
use tough::schema::RoleType;
use tough::schema::key::Key;
use tough::sign::{Sign, parse_keypair};

/// Who signs what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Names the keys of all roles. Its key belongs on a medium that is not connected to anything.
    Root,
    /// Signs the list of releases.
    Targets,
    /// Signs the state of the whole repository, so that no two states can be mixed.
    Snapshot,
    /// Signs which state is the newest, for a short time.
    Timestamp,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Root, Self::Targets, Self::Snapshot, Self::Timestamp];

    /// Its name in metadata and file names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Targets => "targets",
            Self::Snapshot => "snapshot",
            Self::Timestamp => "timestamp",
        }
    }

    pub(super) const fn in_tough(self) -> RoleType {
        match self {
            Self::Root => RoleType::Root,
            Self::Targets => RoleType::Targets,
            Self::Snapshot => RoleType::Snapshot,
            Self::Timestamp => RoleType::Timestamp,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A folder of signing keys.
#[derive(Debug, Clone)]
pub struct KeyFolder {
    path: PathBuf,
}

impl KeyFolder {
    /// The keys in `path`; looked at when they are needed.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a key for a role and writes it here; the folder is made where it is missing (mode 700).
    pub(super) fn generate(&self, role: Role) -> Result<(Key, PathBuf), Error> {
        let broken = |what: String| Error::State(format!("cannot make a key for {role}: {what}"));
        let pair = KeyPair::generate_for(&PKCS_ED25519).map_err(|e| broken(e.to_string()))?;
        let key = parse_keypair(&pair.serialize_der()).map_err(|e| broken(e.to_string()))?.tuf_key();
        let id = id_of(&key)?;
        if !self.path.exists() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.path);
            made.map_err(failed("make the folder", &self.path))?;
        }
        let path = self.path.join(format!("{role}-{}.pem", &id[..16]));
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(pair.serialize_pem().as_bytes())?;
            file.sync_all()?;
            sync_folder(&self.path)
        };
        write().map_err(failed("write", &path))?;
        Ok((key, path))
    }

    /// Every key here.
    pub(super) fn sources(&self) -> Result<Vec<Box<dyn KeySource>>, Error> {
        let mut sources: Vec<Box<dyn KeySource>> = Vec::new();
        let entries = std::fs::read_dir(&self.path).map_err(failed("read the keys in", &self.path))?;
        let mut paths = Vec::new();
        for entry in entries {
            paths.push(entry.map_err(failed("read the keys in", &self.path))?.path());
        }
        paths.sort();
        for path in paths.into_iter().filter(|p| p.extension().is_some_and(|e| e == "pem")) {
            let mode = std::fs::metadata(&path).map_err(failed("read", &path))?.permissions().mode();
            if mode & 0o077 != 0 {
                let problem =
                    format!("{0} can be read by others (mode {1:o}): chmod 600 {0}", path.display(), mode & 0o777);
                return Err(Error::State(problem));
            }
            let der = PrivatePkcs8KeyDer::from_pem_file(&path);
            let der = der.map_err(|e| Error::State(format!("{}: no private key in PEM: {e}", path.display())))?;
            let der = der.secret_pkcs8_der().to_vec();
            parse_keypair(&der).map_err(|e| Error::State(format!("{}: {e}", path.display())))?;
            sources.push(Box::new(LoadedKey { path, der }));
        }
        Ok(sources)
    }
}

/// The identifier of a key, 64 hexadecimal digits.
pub(super) fn id_of(key: &Key) -> Result<String, Error> {
    let id = key.key_id().map_err(|e| Error::State(format!("cannot name a key: {e}")))?;
    Ok(hex(&id))
}

/// A key that has been read.
struct LoadedKey {
    path: PathBuf,
    der: Vec<u8>,
}

impl fmt::Debug for LoadedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadedKey").field("path", &self.path).finish_non_exhaustive()
    }
}

type AnyError = Box<dyn std::error::Error + Send + Sync + 'static>;

#[async_trait]
impl KeySource for LoadedKey {
    async fn as_sign(&self) -> Result<Box<dyn Sign>, AnyError> {
        Ok(Box::new(parse_keypair(&self.der)?))
    }

    async fn write(&self, _value: &str, _key_id_hex: &str) -> Result<(), AnyError> {
        Err(format!("{} is not written to", self.path.display()).into())
    }
}
