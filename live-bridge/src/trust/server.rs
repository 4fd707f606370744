//! The controller's side of TLS: certificate, authorities and revocation lists from files, exchanged while connections stay open.
//!
//! No session is ever resumed: a resumed one would skip the look at the client's certificate, and one that has ended or is
//! revoked would still open the door.

use super::acceptor::{self, Incoming, Limits};
use super::identity::{CertificateFacts, Identity, TrustDomain, authority_facts, serial_text};
use super::registry::Registry;
use super::verify::PeerVerifier;
use super::{Browser, Counters, Guest, Peer, TrustError, pem, provider};
use arc_swap::ArcSwap;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// Where the four files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFiles {
    /// The controller's certificate, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Certificates of every authority in force, PEM.
    pub authorities: PathBuf,
    /// A revocation list of each of them, PEM.
    pub revocations: PathBuf,
}

impl ServerFiles {
    /// The usual names: `own` is a folder made by `pki issue`, `authority` one made by `pki init` (or a copy of its two public files).
    pub fn in_folders(own: &Path, authority: &Path) -> Self {
        Self {
            certificate: own.join("certificate.pem"),
            key: own.join("key.pem"),
            authorities: authority.join("authorities.pem"),
            revocations: authority.join("revocations.pem"),
        }
    }

    fn all(&self) -> [&Path; 4] {
        [&self.certificate, &self.key, &self.authorities, &self.revocations]
    }
}

/// What is in force at the door.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) peers: Arc<rustls::ServerConfig>,
    pub(crate) browsers: Arc<rustls::ServerConfig>,
    pub(crate) guests: Arc<rustls::ServerConfig>,
    pub(crate) revoked: HashSet<String>,
    pub(crate) issuers: HashSet<String>,
    certificate: CertificateFacts,
    authorities_end_s: i64,
    revocations_end_s: i64,
}

/// What a reload did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reloaded {
    /// Serial numbers on the lists.
    pub revoked: usize,
    /// Authorities in force.
    pub authorities: usize,
    /// Connections that were cut.
    pub cut: usize,
}

/// How the door stands, for metrics and alerts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerStatus {
    /// Who the controller is.
    pub identity: Identity,
    /// Last second of its certificate, Unix seconds.
    pub certificate_end_s: i64,
    /// Last second of the authority that ends first, Unix seconds.
    pub authorities_end_s: i64,
    /// When the first revocation list goes stale, Unix seconds. After it every handshake is refused: renew the lists days before.
    pub revocations_end_s: i64,
    /// Reloads that took.
    pub reloads: u64,
    /// Reloads that did not.
    pub reloads_failed: u64,
    /// Why the last reload did not take, when it did not.
    pub last_error: Option<String>,
}

/// The controller's certificate, key, authorities and revocation lists in force.
#[derive(Debug)]
pub struct ServerTrust {
    files: ServerFiles,
    domain: TrustDomain,
    pub(crate) active: ArcSwap<Active>,
    registry: Arc<Registry>,
    reloads: Mutex<Reloads>,
}

#[derive(Debug, Default)]
struct Reloads {
    taken: u64,
    failed: u64,
    last_error: Option<String>,
    /// Device, inode, size and time of change of each file at the last try.
    seen: Option<[Stamp; 4]>,
}

type Stamp = Option<(u64, u64, u64, i64, i64)>;

impl ServerTrust {
    /// Loads the files. The trust domain is the one of the controller's own certificate.
    ///
    /// # Errors
    /// A file that is missing or not what it should be, a key that is not the certificate's, a certificate that is no controller's.
    pub fn open(files: ServerFiles) -> Result<Arc<Self>, TrustError> {
        let seen = stamps(&files);
        let active = load(&files, None)?;
        Ok(Arc::new(Self {
            domain: active.certificate.spiffe.domain.clone(),
            active: ArcSwap::from_pointee(active),
            registry: Arc::default(),
            reloads: Mutex::new(Reloads { seen: Some(seen), ..Reloads::default() }),
            files,
        }))
    }

    /// Open connections, and their kill switch.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Whose devices and operators are let in.
    pub fn domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// Loads the files again; from then on new handshakes are held to them, and open connections of revoked certificates and of
    /// retired authorities are cut. When something is wrong with a file everything stays as it was.
    ///
    /// # Errors
    /// What is wrong with which file; [`ServerTrust::status`] keeps it.
    pub fn reload(&self) -> Result<Reloaded, TrustError> {
        let seen = stamps(&self.files);
        // One reload at a time, or an older one could win.
        let mut reloads = self.reloads.lock().unwrap_or_else(PoisonError::into_inner);
        reloads.seen = Some(seen);
        match load(&self.files, Some(&self.domain)) {
            Ok(active) => {
                let active = Arc::new(active);
                self.active.store(Arc::clone(&active));
                let cut = self.registry.cut_revoked(&active.revoked) + self.registry.cut_retired(&active.issuers);
                reloads.taken += 1;
                reloads.last_error = None;
                let done = Reloaded { revoked: active.revoked.len(), authorities: active.issuers.len(), cut };
                tracing::info!(?done, "certificates and revocation lists reloaded");
                Ok(done)
            }
            Err(error) => {
                reloads.failed += 1;
                reloads.last_error = Some(error.to_string());
                tracing::error!(%error, "reload failed, the certificates and lists before it stay in force");
                Err(error)
            }
        }
    }

    /// Reloads whenever a file has changed, looking every `period`; runs until it is dropped. Files that were written aside
    /// and renamed are seen whole.
    pub async fn follow(self: Arc<Self>, period: Duration) {
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let trust = Arc::clone(&self);
            // Large lists take milliseconds to read; the error is in the status and in the log already.
            let _ = tokio::task::spawn_blocking(move || trust.reload_if_changed()).await;
        }
    }

    fn reload_if_changed(&self) {
        let seen = Some(stamps(&self.files));
        if self.reloads.lock().unwrap_or_else(PoisonError::into_inner).seen != seen {
            let _ = self.reload();
        }
    }

    /// How the door stands.
    pub fn status(&self) -> ServerStatus {
        let active = self.active.load();
        let reloads = self.reloads.lock().unwrap_or_else(PoisonError::into_inner);
        ServerStatus {
            identity: active.certificate.spiffe.identity.clone(),
            certificate_end_s: active.certificate.not_after_s,
            authorities_end_s: active.authorities_end_s,
            revocations_end_s: active.revocations_end_s,
            reloads: reloads.taken,
            reloads_failed: reloads.failed,
            last_error: reloads.last_error.clone(),
        }
    }

    /// Connections of devices and operators, each with a certificate that was checked. Must be called on a tokio runtime; the
    /// loop ends when the stream is dropped.
    pub fn acceptor(
        self: &Arc<Self>,
        listener: TcpListener,
        limits: Limits,
        counters: Arc<Counters>,
    ) -> Incoming<Peer> {
        acceptor::start(Arc::clone(self), listener, limits, counters)
    }

    /// As [`ServerTrust::acceptor`], for browsers.
    pub fn browsers(
        self: &Arc<Self>,
        listener: TcpListener,
        limits: Limits,
        counters: Arc<Counters>,
    ) -> Incoming<Browser> {
        acceptor::start(Arc::clone(self), listener, limits, counters)
    }

    /// Connections without a certificate, for enrolment only.
    pub fn guests(self: &Arc<Self>, listener: TcpListener, limits: Limits, counters: Arc<Counters>) -> Incoming<Guest> {
        acceptor::start(Arc::clone(self), listener, limits, counters)
    }
}

fn stamps(files: &ServerFiles) -> [Stamp; 4] {
    files.all().map(|path| {
        let seen = std::fs::metadata(path).ok()?;
        Some((seen.dev(), seen.ino(), seen.size(), seen.mtime(), seen.mtime_nsec()))
    })
}

fn load(files: &ServerFiles, domain: Option<&TrustDomain>) -> Result<Active, TrustError> {
    let started = Instant::now();
    let chain = pem::certificates_in(&files.certificate)?;
    let authorities = pem::certificates_in(&files.authorities)?;
    let lists = pem::revocations_in(&files.revocations)?;
    let certificate = CertificateFacts::read(&chain[0]).map_err(|refusal| {
        TrustError::file(&files.certificate, format!("is no controller's certificate: {refusal}"))
    })?;
    if !matches!(certificate.spiffe.identity, Identity::Controller(_)) {
        let why = format!("speaks for {}, and only controllers serve", certificate.spiffe);
        return Err(TrustError::file(&files.certificate, why));
    }
    if domain.is_some_and(|domain| *domain != certificate.spiffe.domain) {
        let why = format!(
            "is of the trust domain {}, which cannot change while connections are open",
            certificate.spiffe.domain
        );
        return Err(TrustError::file(&files.certificate, why));
    }
    let (revoked, revocations_end_s) = read_lists(&files.revocations, &lists)?;
    if revocations_end_s <= super::now_s() {
        return Err(TrustError::file(
            &files.revocations,
            "a revocation list is out of date: `slacktide pki refresh` signs new ones",
        ));
    }
    let mut roots = RootCertStore::empty();
    let (mut issuers, mut authorities_end_s) = (HashSet::new(), i64::MAX);
    for authority in &authorities {
        let wrong = |why: String| TrustError::file(&files.authorities, why);
        let (name, end_s) = authority_facts(authority).map_err(|refusal| wrong(refusal.to_string()))?;
        roots.add(authority.clone()).map_err(|e| wrong(e.to_string()))?;
        issuers.insert(name);
        authorities_end_s = authorities_end_s.min(end_s);
    }
    let inner = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .with_crls(lists)
        .only_check_end_entity_revocation()
        .enforce_revocation_expiration()
        .build()
        .map_err(|e| TrustError::file(&files.revocations, e.to_string()))?;
    let verifier = PeerVerifier { inner, domain: certificate.spiffe.domain.clone() };
    let key = pem::key_in(&files.key)?;
    let unfit = |e: rustls::Error| TrustError::file(&files.key, format!("does not go with the certificate: {e}"));
    let peers = builder()?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(chain.clone(), key.clone_key())
        .map_err(unfit)?;
    // A device that has only a fingerprint yet must be shown the authority that goes with it.
    let shown = chain.into_iter().chain(authorities).collect();
    let guests = builder()?.with_no_client_auth().with_single_cert(shown, key).map_err(unfit)?;
    tracing::debug!(took_us = started.elapsed().as_micros(), revoked = revoked.len(), "trust loaded");
    let peers = hardened(peers);
    // The same in all else: the streams of browsers need not be HTTP/2.
    let mut browsers = peers.clone();
    browsers.alpn_protocols.push(b"http/1.1".to_vec());
    Ok(Active {
        peers: Arc::new(peers),
        browsers: Arc::new(browsers),
        guests: Arc::new(hardened(guests)),
        revoked,
        issuers,
        certificate,
        authorities_end_s,
        revocations_end_s,
    })
}

fn builder() -> Result<rustls::ConfigBuilder<rustls::ServerConfig, rustls::WantsVerifier>, TrustError> {
    rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| TrustError::tls(&e))
}

fn hardened(mut config: rustls::ServerConfig) -> rustls::ServerConfig {
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// Serial numbers on all lists, and when the first of them goes stale.
fn read_lists(
    path: &Path,
    lists: &[CertificateRevocationListDer<'static>],
) -> Result<(HashSet<String>, i64), TrustError> {
    let (mut revoked, mut end_s) = (HashSet::new(), i64::MAX);
    for list in lists {
        let (_, list) = x509_parser::parse_x509_crl(list)
            .map_err(|_| TrustError::file(path, "holds a revocation list that cannot be read"))?;
        let next =
            list.next_update().ok_or_else(|| TrustError::file(path, "holds a revocation list without an end"))?;
        end_s = end_s.min(next.timestamp());
        revoked.extend(list.iter_revoked_certificates().map(|entry| serial_text(entry.raw_serial())));
    }
    Ok((revoked, end_s))
}

/// The certificate a client showed, when it did.
pub(crate) fn shown(connection: &rustls::ServerConnection) -> Option<&CertificateDer<'static>> {
    connection.peer_certificates().and_then(<[_]>::first)
}
