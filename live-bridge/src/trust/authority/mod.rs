//! The authority: a folder that says who is who. Every command works on the files under one lock, so the program that serves and a
//! person at the command line may use it at the same time.
//!
//! ```text
//! authority.json      trust domain, lifetimes, generations: the last one signs, all of them are trusted
//! authorities.pem     certificates of the generations           revocations.pem   a list of each; both are for everybody
//! keys/N.pem          private key of generation N               issued.jsonl      what was issued and revoked, a line each
//! tokens/open, spent  one-time tokens by the hash of their text
//! ```

mod issue;
mod ledger;
mod revocations;
mod rotate;
mod tokens;

pub use issue::{Issued, NewCertificate, Subject, new_key, signing_request};
pub use ledger::Entry;
pub use rotate::Rotation;
pub use tokens::MadeToken;

use super::files::{self, FolderLock, PUBLIC, SECRET};
use super::identity::TrustDomain;
use super::{TrustError, fingerprint, now_s, pem};
use ledger::Ledger;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SerialNumber,
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use time::OffsetDateTime;

/// What the state file says it is.
const SCHEMA: &str = "slacktide/authority/1";
/// Seconds a day.
pub const DAY_S: u32 = 86_400;
/// How much certificates and lists begin in the past: clocks of devices differ.
const SKEW_S: i64 = 300;
/// How long an authority lives, seconds (ten years).
const AUTHORITY_LIFE_S: i64 = 10 * 365 * DAY_S as i64;

/// How long certificates and revocation lists are good, seconds. Why these: docs/live-trust.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lifetimes {
    /// Devices, which renew by themselves.
    pub device_s: u32,
    /// Operators.
    pub operator_s: u32,
    /// Controllers.
    pub controller_s: u32,
    /// Revocation lists: after this the door is shut for everybody, so they are signed again long before.
    pub revocations_s: u32,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self { device_s: 90 * DAY_S, operator_s: 30 * DAY_S, controller_s: 90 * DAY_S, revocations_s: 30 * DAY_S }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    schema: String,
    trust_domain: String,
    lifetimes: Lifetimes,
    /// Number of the last revocation lists.
    revocations_number: u64,
    generations: Vec<Generation>,
}

/// One key of the authority with its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// Counted from 1.
    pub number: u32,
    /// Last second of its certificate, Unix seconds.
    pub not_after_s: i64,
    /// PEM.
    pub certificate: String,
}

impl Generation {
    /// SHA-256 of its certificate, hexadecimal: what a device that enrols may be told beforehand.
    ///
    /// # Errors
    /// When the certificate in the state is damaged.
    pub fn fingerprint(&self) -> Result<String, TrustError> {
        let der = pem::certificates(self.certificate.as_bytes())
            .map_err(|why| TrustError::value("authority", &self.number.to_string(), why))?;
        Ok(fingerprint(&der[0]))
    }
}

/// An authority's folder.
#[derive(Debug, Clone)]
pub struct Authority {
    folder: PathBuf,
    domain: TrustDomain,
}

/// The folder under its lock, with what it says now.
struct Held<'a> {
    authority: &'a Authority,
    state: State,
    ledger: Ledger,
    _lock: FolderLock,
}

impl Authority {
    /// Makes a new authority in a folder that holds none yet.
    ///
    /// # Errors
    /// When there is one already, a lifetime is out of range or the folder cannot be written.
    pub fn init(folder: &Path, domain: &TrustDomain, lifetimes: Lifetimes) -> Result<Self, TrustError> {
        for (field, life_s) in [
            ("device lifetime", lifetimes.device_s),
            ("operator lifetime", lifetimes.operator_s),
            ("controller lifetime", lifetimes.controller_s),
            ("revocation list lifetime", lifetimes.revocations_s),
        ] {
            issue::checked_life(field, life_s)?;
        }
        files::secret_folder(folder)?;
        let lock = FolderLock::take(folder)?;
        let state_file = folder.join("authority.json");
        if state_file.exists() {
            return Err(TrustError::file(
                &state_file,
                "is there already: an authority is made once, `pki rotate` renews its key",
            ));
        }
        for inner in ["keys", "tokens/open", "tokens/spent"] {
            files::secret_folder(&folder.join(inner))?;
        }
        let authority = Self { folder: folder.to_owned(), domain: domain.clone() };
        let generations = vec![authority.make_generation(1)?];
        let trust_domain = domain.as_str().to_owned();
        let state = State { schema: SCHEMA.to_owned(), trust_domain, lifetimes, revocations_number: 0, generations };
        let ledger = Ledger::at(folder);
        let mut held = Held { authority: &authority, state, ledger, _lock: lock };
        held.publish()?;
        drop(held);
        Ok(authority)
    }

    /// Opens the authority in a folder.
    ///
    /// # Errors
    /// When there is none, or its state cannot be read.
    pub fn open(folder: &Path) -> Result<Self, TrustError> {
        let state = read_state(folder)?;
        Ok(Self { folder: folder.to_owned(), domain: state.trust_domain.parse()? })
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The trust domain it speaks for.
    pub fn domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// The generations in force, oldest first; the last one signs.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn generations(&self) -> Result<Vec<Generation>, TrustError> {
        Ok(read_state(&self.folder)?.generations)
    }

    /// Lifetimes of what it makes.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn lifetimes(&self) -> Result<Lifetimes, TrustError> {
        Ok(read_state(&self.folder)?.lifetimes)
    }

    /// Certificates of all generations in force, PEM.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn authorities_pem(&self) -> Result<String, TrustError> {
        Ok(authorities_pem(&read_state(&self.folder)?))
    }

    /// Everything that was issued, in that order.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub fn list(&self) -> Result<Vec<Entry>, TrustError> {
        let held = self.hold()?;
        held.ledger.entries()
    }

    fn hold(&self) -> Result<Held<'_>, TrustError> {
        let lock = FolderLock::take(&self.folder)?;
        let state = read_state(&self.folder)?;
        Ok(Held { authority: self, state, ledger: Ledger::at(&self.folder), _lock: lock })
    }

    /// Makes the key and the certificate of a generation; only the key is written, the certificate goes into the state.
    fn make_generation(&self, number: u32) -> Result<Generation, TrustError> {
        let key = new_key()?;
        files::write(&key_file(&self.folder, number), key.serialize_pem().as_bytes(), SECRET)?;
        let now = now_s();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        // Generations differ in name: a list is found by it, and two of one name would be mistaken for each other.
        params.distinguished_name.push(DnType::CommonName, format!("slacktide authority {} {number}", self.domain));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(new_serial()?);
        params.not_before = moment(now - SKEW_S)?;
        params.not_after = moment(now + AUTHORITY_LIFE_S)?;
        let certificate = params.self_signed(&key)?.pem();
        Ok(Generation { number, not_after_s: now + AUTHORITY_LIFE_S, certificate })
    }
}

impl Held<'_> {
    fn folder(&self) -> &Path {
        &self.authority.folder
    }

    fn signing(&self) -> Result<&Generation, TrustError> {
        let state_file = self.folder().join("authority.json");
        self.state.generations.last().ok_or_else(|| TrustError::file(&state_file, "has no generation"))
    }

    fn issuer(&self, generation: &Generation) -> Result<Issuer<'static, KeyPair>, TrustError> {
        let path = key_file(self.folder(), generation.number);
        let text = files::read_text(&path)?;
        let key = KeyPair::from_pem(&text).map_err(|e| TrustError::file(&path, format!("holds no key: {e}")))?;
        Ok(Issuer::from_ca_cert_pem(&generation.certificate, key)?)
    }

    /// Writes what everybody may read, then the state. The lists go first: an authority without a list would shut its devices out.
    fn publish(&mut self) -> Result<(), TrustError> {
        self.state.revocations_number += 1;
        let lists = self.sign_revocations()?;
        files::write(&self.folder().join("revocations.pem"), lists.as_bytes(), PUBLIC)?;
        files::write(&self.folder().join("authorities.pem"), authorities_pem(&self.state).as_bytes(), PUBLIC)?;
        let mut text = serde_json::to_vec_pretty(&self.state)
            .map_err(|e| TrustError::file(&self.folder().join("authority.json"), e.to_string()))?;
        text.push(b'\n');
        files::write(&self.folder().join("authority.json"), &text, SECRET)
    }
}

fn key_file(folder: &Path, number: u32) -> PathBuf {
    folder.join("keys").join(format!("{number}.pem"))
}

fn authorities_pem(state: &State) -> String {
    state.generations.iter().map(|generation| generation.certificate.as_str()).collect()
}

fn read_state(folder: &Path) -> Result<State, TrustError> {
    let path = folder.join("authority.json");
    if !path.exists() {
        return Err(TrustError::file(&path, "is not there: `slacktide pki init` makes an authority"));
    }
    let state: State = serde_json::from_slice(&files::read(&path)?)
        .map_err(|e| TrustError::file(&path, format!("is not the state of an authority: {e}")))?;
    if state.schema != SCHEMA {
        return Err(TrustError::file(&path, format!("is `{}`, and this program reads `{SCHEMA}`", state.schema)));
    }
    Ok(state)
}

/// A serial number of 126 random bits. Its first byte is neither zero nor negative, so text and encoding agree.
fn new_serial() -> Result<SerialNumber, TrustError> {
    let mut bytes = super::random::<16>()?;
    bytes[0] = (bytes[0] & 0x3f) | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn moment(unix_s: i64) -> Result<OffsetDateTime, TrustError> {
    OffsetDateTime::from_unix_timestamp(unix_s)
        .map_err(|_| TrustError::value("time", &unix_s.to_string(), "is outside the calendar"))
}
