//! The side that calls: a device's or an operator's certificate, and a channel that goes on with the next one when it is renewed.

use super::files::{self, PUBLIC, SECRET};
use super::identity::{CertificateFacts, Identity};
use super::verify::{Anchor, ControllerVerifier, server_verifier};
use super::{TrustError, authority, fingerprint, now_s, pem, provider};
use arc_swap::ArcSwap;
use hyper_util::rt::TokioIo;
use rcgen::KeyPair;
use rustls::RootCertStore;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint, Uri};

/// How long a connection to the controller may take to come about, handshake included.
const CONNECT_MAX: Duration = Duration::from_secs(20);
/// How often a silent connection is tried, so that a dead one is known within twice as long.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Where the files of a device or an operator are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFiles {
    /// Its certificate, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Certificates of the authorities it trusts, PEM.
    pub authorities: PathBuf,
}

impl ClientFiles {
    /// The usual names in a folder made by `pki issue` or by enrolment.
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            certificate: folder.join("certificate.pem"),
            key: folder.join("key.pem"),
            authorities: folder.join("authorities.pem"),
        }
    }

    /// Writes a new identity where there is none yet.
    ///
    /// # Errors
    /// When one of the files is there already or cannot be written.
    pub fn write_new(&self, key: &str, certificate: &str, authorities: &str) -> Result<(), TrustError> {
        for path in [&self.key, &self.certificate] {
            if path.exists() {
                return Err(TrustError::file(path, "is there already and is not written over"));
            }
        }
        files::secret_folder(self.key.parent().unwrap_or_else(|| Path::new(".")))?;
        files::write(&self.next_key(), key.as_bytes(), SECRET)?;
        self.exchange(certificate, authorities)
    }

    /// Makes the folder and tries whether files can be written there: before something is issued that would then be nowhere.
    ///
    /// # Errors
    /// When they cannot.
    pub fn try_folder(&self) -> Result<(), TrustError> {
        let folder = self.certificate.parent().unwrap_or_else(|| Path::new("."));
        files::secret_folder(folder)?;
        let trial = folder.join(".trial");
        files::write(&trial, b"", SECRET)?;
        std::fs::remove_file(&trial).map_err(TrustError::io("remove", &trial))
    }

    /// Writes a certificate beside a key that is somewhere else, and the authorities to trust.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub fn write_certificate(&self, certificate: &str, authorities: &str) -> Result<(), TrustError> {
        files::secret_folder(self.certificate.parent().unwrap_or_else(|| Path::new(".")))?;
        files::write(&self.authorities, authorities.as_bytes(), PUBLIC)?;
        Self::write_alone(&self.certificate, certificate)
    }

    /// Writes a certificate and nothing else.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_alone(path: &Path, certificate: &str) -> Result<(), TrustError> {
        files::write(path, certificate.as_bytes(), PUBLIC)
    }

    /// A key that waits for its certificate. Key and certificate are two files and cannot change in one step: the certificate comes
    /// first, and whoever finds that it goes with this key finishes the exchange.
    pub(crate) fn next_key(&self) -> PathBuf {
        let mut name = self.key.as_os_str().to_owned();
        name.push(".next");
        PathBuf::from(name)
    }

    /// Writes a renewed identity so that at every moment the files together are the old one or the new one.
    pub(crate) fn exchange(&self, chain: &str, authorities: &str) -> Result<(), TrustError> {
        files::write(&self.authorities, authorities.as_bytes(), PUBLIC)?;
        files::write(&self.certificate, chain.as_bytes(), PUBLIC)?;
        self.finish_exchange()
    }

    fn finish_exchange(&self) -> Result<(), TrustError> {
        let next = self.next_key();
        std::fs::rename(&next, &self.key).map_err(TrustError::io("rename", &next))?;
        let folder = self.key.parent().unwrap_or_else(|| Path::new("."));
        crate::durable::sync_folder(folder).map_err(TrustError::io("write", folder))
    }

    /// The key that waits, or a new one. An answer that got lost is asked for again with the same key.
    pub(crate) fn waiting_key(&self) -> Result<KeyPair, TrustError> {
        let path = self.next_key();
        if path.exists() {
            let text = files::read_text(&path)?;
            return KeyPair::from_pem(&text).map_err(|e| TrustError::file(&path, format!("holds no key: {e}")));
        }
        let key = authority::new_key()?;
        files::write(&path, key.serialize_pem().as_bytes(), SECRET)?;
        Ok(key)
    }
}

#[derive(Debug)]
struct Active {
    config: Arc<rustls::ClientConfig>,
    facts: CertificateFacts,
}

/// A device's or an operator's certificate, key and authorities in force.
#[derive(Debug)]
pub struct ClientTrust {
    files: ClientFiles,
    active: ArcSwap<Active>,
}

impl ClientTrust {
    /// Loads the files, and finishes an exchange of keys that was cut short.
    ///
    /// # Errors
    /// A file that is missing or not what it should be, or a key that is not the certificate's.
    pub fn open(files: ClientFiles) -> Result<Arc<Self>, TrustError> {
        let active = load(&files)?;
        Ok(Arc::new(Self { files, active: ArcSwap::from_pointee(active) }))
    }

    /// Loads the files again: connections made from now on use them. When something is wrong everything stays as it was.
    ///
    /// # Errors
    /// As [`ClientTrust::open`].
    pub fn reload(&self) -> Result<(), TrustError> {
        self.active.store(Arc::new(load(&self.files)?));
        Ok(())
    }

    /// Who we are.
    pub fn identity(&self) -> Identity {
        self.active.load().facts.spiffe.identity.clone()
    }

    /// What our certificate says.
    pub fn facts(&self) -> CertificateFacts {
        self.active.load().facts.clone()
    }

    /// Whether it is time to ask for the next certificate.
    pub fn renewal_due(&self) -> bool {
        self.active.load().facts.renewal_due(now_s())
    }

    /// The signing request of a renewal, PEM, for a new key that is written beside the old one.
    ///
    /// # Errors
    /// When the key cannot be made or written.
    pub fn begin_renewal(&self) -> Result<String, TrustError> {
        authority::signing_request(&self.files.waiting_key()?)
    }

    /// Takes the answer to [`ClientTrust::begin_renewal`]: checks it, writes the files and loads them.
    ///
    /// # Errors
    /// When the certificate is for somebody else or another key, or the files cannot be written; the old ones then stay in force.
    pub fn finish_renewal(&self, chain: &str, authorities: &str) -> Result<(), TrustError> {
        let answer = Answer::read(chain, authorities)?;
        let old = self.active.load();
        if answer.facts.spiffe != old.facts.spiffe {
            let why = format!("the renewed certificate is for {}", answer.facts.spiffe);
            return Err(TrustError::Tls(why));
        }
        answer.holds_key(&self.files.waiting_key()?)?;
        self.files.exchange(chain, authorities)?;
        self.reload()
    }

    /// A channel to a controller, `HOST:PORT` or `https://HOST:PORT`. It connects when it is first used and again whenever it must, with the
    /// certificate in force at that time; the other end has to be a controller of our trust domain under that host name.
    ///
    /// # Errors
    /// When the address is none.
    pub fn channel(self: &Arc<Self>, controller: &str) -> Result<Channel, TrustError> {
        let trust = Arc::clone(self);
        channel(controller, move || Arc::clone(&trust.active.load().config))
    }
}

/// A certificate and authorities as a controller sent them.
pub(crate) struct Answer {
    pub(crate) facts: CertificateFacts,
    pub(crate) authorities: Vec<CertificateDer<'static>>,
}

impl Answer {
    pub(crate) fn read(chain: &str, authorities: &str) -> Result<Self, TrustError> {
        let unfit = |what: &str, why: &dyn std::fmt::Display| TrustError::Tls(format!("{what} in the answer: {why}"));
        let chain = pem::certificates(chain.as_bytes()).map_err(|why| unfit("the certificate", &why))?;
        let authorities = pem::certificates(authorities.as_bytes()).map_err(|why| unfit("the authorities", &why))?;
        let facts = CertificateFacts::read(&chain[0]).map_err(|refusal| unfit("the certificate", &refusal))?;
        roots(&authorities).map_err(|e| unfit("the authorities", &e))?;
        Ok(Self { facts, authorities })
    }

    pub(crate) fn holds_key(&self, key: &KeyPair) -> Result<(), TrustError> {
        if self.facts.key == fingerprint(&rcgen::PublicKeyData::subject_public_key_info(key)) {
            return Ok(());
        }
        Err(TrustError::Tls("the certificate in the answer is for another key than ours".to_owned()))
    }
}

pub(crate) fn roots(authorities: &[CertificateDer<'static>]) -> Result<RootCertStore, rustls::Error> {
    let mut roots = RootCertStore::empty();
    authorities.iter().try_for_each(|authority| roots.add(authority.clone()))?;
    Ok(roots)
}

fn load(files: &ClientFiles) -> Result<Active, TrustError> {
    let chain = pem::certificates_in(&files.certificate)?;
    let facts = CertificateFacts::read(&chain[0])
        .map_err(|refusal| TrustError::file(&files.certificate, format!("cannot be used: {refusal}")))?;
    let next = files.next_key();
    if next.exists()
        && let Ok(waiting) = KeyPair::from_pem(&files::read_text(&next)?)
        && facts.key == fingerprint(&rcgen::PublicKeyData::subject_public_key_info(&waiting))
    {
        files.finish_exchange()?;
    }
    let authorities = pem::certificates_in(&files.authorities)?;
    let unfit = |e: rustls::Error| TrustError::file(&files.authorities, e.to_string());
    let anchor = Anchor::Roots(server_verifier(roots(&authorities).map_err(unfit)?).map_err(unfit)?);
    let verifier = ControllerVerifier { anchor, domain: Some(facts.spiffe.domain.clone()) };
    let config = builder(verifier)?
        .with_client_auth_cert(chain, pem::key_in(&files.key)?)
        .map_err(|e| TrustError::file(&files.key, format!("does not go with the certificate: {e}")))?;
    Ok(Active { config: Arc::new(hardened(config)), facts })
}

type Builder = rustls::ConfigBuilder<rustls::ClientConfig, rustls::client::WantsClientCert>;

pub(crate) fn builder(verifier: ControllerVerifier) -> Result<Builder, TrustError> {
    let builder = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| TrustError::tls(&e))?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)))
}

pub(crate) fn hardened(mut config: rustls::ClientConfig) -> rustls::ClientConfig {
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    config
}

/// A channel that asks for its TLS at every connection it makes.
pub(crate) fn channel(
    controller: &str,
    config: impl Fn() -> Arc<rustls::ClientConfig> + Send + Sync + 'static,
) -> Result<Channel, TrustError> {
    let unfit = || TrustError::value("controller", controller, "is no address such as HOST:PORT or https://HOST:PORT");
    // There is no other way to a controller than TLS.
    let whole = if controller.contains("://") { controller.to_owned() } else { format!("https://{controller}") };
    let address: Uri = whole.parse().map_err(|_| unfit())?;
    if address.scheme_str() != Some("https") || address.host().is_none_or(str::is_empty) || address.port_u16().is_none()
    {
        return Err(unfit());
    }
    // TLS is ours, so tonic must not look for its own behind an https address; requests carry the true one.
    let plain = whole.replacen("https", "http", 1);
    let endpoint = Endpoint::from_shared(plain)
        .map_err(|_| unfit())?
        .origin(address)
        .connect_timeout(CONNECT_MAX)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true);
    Ok(endpoint.connect_with_connector_lazy(Connector { config: Arc::new(config) }))
}

#[derive(Clone)]
struct Connector {
    config: Arc<dyn Fn() -> Arc<rustls::ClientConfig> + Send + Sync>,
}

impl tonic::codegen::Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let config = (self.config)();
        Box::pin(async move {
            let unfit = || io::Error::new(io::ErrorKind::InvalidInput, "the controller's address has no host or port");
            let host = address.host().ok_or_else(unfit)?.trim_start_matches('[').trim_end_matches(']').to_owned();
            let port = address.port_u16().ok_or_else(unfit)?;
            let stream = TcpStream::connect((host.as_str(), port)).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from(host).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
            Ok(TokioIo::new(TlsConnector::from(config).connect(name, stream).await?))
        })
    }
}
