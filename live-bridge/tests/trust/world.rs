//! One authority, one controller at a free port, and clients of every kind.

use crate::service::{Link, Taken};
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose, SanType};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use slacktide_live_bridge::trust::authority::Subject;
use slacktide_live_bridge::trust::{
    Authority, ClientFiles, ClientTrust, Counters, Identity, Lifetimes, Limits, Refusal, ServerFiles, ServerTrust,
    listen,
};
use slacktide_live_bridge::wire::device_link_client::DeviceLinkClient;
use slacktide_live_bridge::wire::device_link_server::DeviceLinkServer;
use slacktide_live_bridge::wire::{PollRequest, PollResponse};
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::net::TcpStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint, Uri};

pub(crate) const DOMAIN: &str = "fleet.test";

pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) authority: Arc<Authority>,
    pub(crate) trust: Arc<ServerTrust>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) taken: Taken,
    pub(crate) address: SocketAddr,
}

pub(crate) fn device(id: &str) -> Subject {
    Subject::new(Identity::Device(id.to_owned()))
}

pub(crate) fn controller() -> Subject {
    Subject::new(Identity::Controller("main".to_owned())).at(&["127.0.0.1", "localhost"])
}

/// An authority in `folder`/pki and a controller's files in `folder`/controller.
pub(crate) fn prepare(folder: &Path) -> Authority {
    let authority = Authority::init(&folder.join("pki"), &DOMAIN.parse().unwrap(), Lifetimes::default()).unwrap();
    write(&authority, &folder.join("controller"), &controller());
    authority
}

pub(crate) fn server_files(folder: &Path) -> ServerFiles {
    ServerFiles::in_folders(&folder.join("controller"), &folder.join("pki"))
}

/// Issues a certificate and writes its files.
pub(crate) fn write(authority: &Authority, folder: &Path, subject: &Subject) -> ClientFiles {
    let new = authority.issue(subject).unwrap();
    let files = ClientFiles::in_folder(folder);
    files.write_new(&new.key, &new.issued.certificate, &authority.authorities_pem().unwrap()).unwrap();
    files
}

impl World {
    pub(crate) async fn start(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Arc::new(prepare(folder.path()));
        let trust = ServerTrust::open(server_files(folder.path())).unwrap();
        let counters = Arc::new(Counters::default());
        let taken = Taken::default();
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let incoming = trust.acceptor(listener, limits, Arc::clone(&counters));
        let link =
            Link { authority: Arc::clone(&authority), counters: Arc::clone(&counters), taken: Arc::clone(&taken) };
        let server = tonic::transport::Server::builder().add_service(DeviceLinkServer::new(link));
        tokio::spawn(server.serve_with_incoming_shutdown(incoming, std::future::pending()));
        Self { folder, authority, trust, counters, taken, address }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// A client as the agent is one.
    pub(crate) fn client(&self, subject: &Subject) -> Arc<ClientTrust> {
        let folder = self.folder.path().join(format!("client-{}", rand_name()));
        ClientTrust::open(write(&self.authority, &folder, subject)).unwrap()
    }

    pub(crate) fn link(&self, client: &Arc<ClientTrust>) -> DeviceLinkClient<Channel> {
        DeviceLinkClient::new(client.channel(&self.url()).unwrap())
    }

    /// A client that does whatever it wants: no checks of its own files, sessions resumed when the server lets it.
    pub(crate) fn raw(&self, shown: Option<&Shown>) -> Raw {
        Raw::new(&self.authority, shown, self.address)
    }

    /// Asserts that the client gets no answer and that the server counts it under this reason, once.
    pub(crate) async fn refused(&self, what: &str, raw: &Raw, reason: Refusal) {
        let (before, accepted) = (self.counters.refused(reason), self.accepted());
        let total = self.counters.refused_total();
        let answer = raw.poll().await;
        assert!(answer.is_err(), "{what}: was answered");
        let counted = within(Duration::from_secs(5), || self.counters.refused(reason) > before).await;
        let counts: Vec<_> = self.counters.refusals().filter(|(_, n)| *n > 0).collect();
        assert!(counted, "{what}: not counted as {reason}: {counts:?}");
        assert_eq!((self.accepted(), self.counters.refused_total()), (accepted, total + 1), "{what}: {counts:?}");
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.counters.accepted.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// A certificate signed by the authority's own key with whatever the closure asks for.
    pub(crate) fn craft(&self, shape: impl FnOnce(&mut CertificateParams)) -> Shown {
        let pki = self.folder.path().join("pki");
        let key = KeyPair::from_pem(&std::fs::read_to_string(pki.join("keys/1.pem")).unwrap()).unwrap();
        let issuer = Issuer::from_ca_cert_pem(&self.authority.authorities_pem().unwrap(), key).unwrap();
        craft(&issuer, shape)
    }
}

/// What a client shows.
#[derive(Clone)]
pub(crate) struct Shown {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Shown {
    pub(crate) fn issued(authority: &Authority, subject: &Subject) -> Self {
        let new = authority.issue(subject).unwrap();
        Self { certificate: new.issued.certificate, key: new.key }
    }
}

/// A good device's certificate by any issuer, changed by the closure.
pub(crate) fn craft(issuer: &Issuer<'_, KeyPair>, shape: impl FnOnce(&mut CertificateParams)) -> Shown {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![uri(&format!("spiffe://{DOMAIN}/device/cam-1"))];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.not_before = OffsetDateTime::now_utc() - Duration::from_secs(600);
    params.not_after = OffsetDateTime::now_utc() + Duration::from_secs(600);
    shape(&mut params);
    let certificate = params.signed_by(&key, issuer).unwrap().pem();
    Shown { certificate, key: key.serialize_pem() }
}

pub(crate) fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

pub(crate) fn pem(text: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<_, _>>().unwrap()
}

fn rand_name() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Waits until something is so; says whether it came to be.
pub(crate) async fn within(limit: Duration, holds: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !holds() {
        if start.elapsed() > limit {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    true
}

#[derive(Clone)]
pub(crate) struct Raw {
    pub(crate) config: Arc<rustls::ClientConfig>,
    address: SocketAddr,
}

impl Raw {
    pub(crate) fn new(authority: &Authority, shown: Option<&Shown>, address: SocketAddr) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        for root in pem(&authority.authorities_pem().unwrap()) {
            roots.add(root).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match shown {
            None => builder.with_no_client_auth(),
            Some(shown) => {
                let key = PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).unwrap();
                // Not even the look that rustls takes at our own certificate.
                let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
                let shown = rustls::sign::CertifiedKey::new(pem(&shown.certificate), key);
                builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(shown)))
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self { config: Arc::new(config), address }
    }

    /// One call over one new connection.
    pub(crate) async fn poll(&self) -> Result<PollResponse, Status> {
        let channel = self.channel();
        let call = async { DeviceLinkClient::new(channel).poll(PollRequest::default()).await };
        let answer = tokio::time::timeout(Duration::from_secs(10), call).await;
        answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer"))).map(tonic::Response::into_inner)
    }

    pub(crate) fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.address)).unwrap().connect_with_connector_lazy(self.clone())
    }
}

impl tonic::codegen::Service<Uri> for Raw {
    type Response = TokioIo<tokio_rustls::client::TlsStream<TcpStream>>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let (config, address) = (Arc::clone(&self.config), self.address);
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            let name = ServerName::try_from("localhost").unwrap();
            Ok(TokioIo::new(tokio_rustls::TlsConnector::from(config).connect(name, stream).await?))
        })
    }
}
