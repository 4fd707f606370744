//! The first certificate, for a token that works once; and the next ones, for the certificate at hand.

use super::acceptor::Limits;
use super::client::{Answer, ClientFiles, builder, channel, hardened, roots};
use super::counters::{Counters, count};
use super::files::{self, PUBLIC};
use super::identity::{CertificateFacts, Identity};
use super::verify::{Anchor, ControllerVerifier, server_verifier};
use super::{Authority, Peer, ServerTrust, TrustError, authority, fingerprint, pem, unanswered};
use crate::wire::enrolment_client::EnrolmentClient;
use crate::wire::enrolment_server::{Enrolment, EnrolmentServer};
use crate::wire::{EnrolRequest, EnrolResponse, RenewRequest, RenewResponse};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

/// Enrolments at a time: each waits for the disk.
const SIGNINGS_MAX: usize = 16;
/// Largest request, bytes: a signing request and a token, with room.
const REQUEST_BYTES_MAX: usize = 32 << 10;
/// Largest answer, bytes: certificates, and the package repository's root of trust.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// How long an enrolment may take.
const ENROL_MAX: Duration = Duration::from_secs(30);

/// Gives devices their first certificate.
#[derive(Debug)]
pub struct EnrolmentService {
    authority: Arc<Authority>,
    package_root: Option<PathBuf>,
    counters: Arc<Counters>,
    signings: Semaphore,
}

impl EnrolmentService {
    /// `package_root` is the file of the package repository's root of trust, which devices get along with their certificate.
    pub fn new(authority: Arc<Authority>, package_root: Option<PathBuf>, counters: Arc<Counters>) -> Self {
        Self { authority, package_root, counters, signings: Semaphore::new(SIGNINGS_MAX) }
    }

    /// As a service for tonic, with bounds on what it reads.
    pub fn into_server(self) -> EnrolmentServer<Self> {
        EnrolmentServer::new(self).max_decoding_message_size(REQUEST_BYTES_MAX)
    }
}

#[tonic::async_trait]
impl Enrolment for EnrolmentService {
    async fn enrol(&self, request: Request<EnrolRequest>) -> Result<Response<EnrolResponse>, Status> {
        let _turn = self.signings.acquire().await.map_err(|_| Status::unavailable("the controller is going away"))?;
        let asked = request.into_inner();
        let (authority, package_root) = (Arc::clone(&self.authority), self.package_root.clone());
        let answer = in_background(move || {
            // Everything that can be missing is looked at before the token is spent.
            let package_root = package_root.as_deref().map(files::read).transpose()?.unwrap_or_default();
            let authorities = authority.authorities_pem()?;
            let (device_id, issued) = authority.spend_token(&asked.token, &asked.certificate_signing_request)?;
            Ok(EnrolResponse { device_id, certificate_chain: issued.certificate, authorities, package_root })
        });
        match answer.await {
            Ok(answer) => {
                count(&self.counters.enrolled);
                tracing::info!(device = %answer.device_id, "device enrolled");
                Ok(Response::new(answer))
            }
            Err(error) => {
                count(&self.counters.enrolments_refused);
                tracing::warn!(%error, "enrolment refused");
                Err(status(&error))
            }
        }
    }
}

/// Serves enrolment alone, on a listener of its own where only the server proves itself, until `stop`.
///
/// # Errors
/// When the server fails.
pub async fn serve(
    trust: Arc<ServerTrust>,
    listener: TcpListener,
    service: EnrolmentService,
    stop: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    // Strangers get a tenth of the room.
    let limits = Limits {
        handshakes_max: 32,
        handshakes_per_address_max: 16,
        waiting_max: 1024,
        connections_max: 512,
        ..Limits::default()
    };
    let incoming = trust.guests(listener, limits, Arc::clone(&service.counters));
    tonic::transport::Server::builder()
        .timeout(ENROL_MAX)
        .max_concurrent_streams(4)
        .max_connection_age(Duration::from_secs(60))
        .max_connection_age_grace(Duration::from_secs(1))
        .add_service(service.into_server())
        .serve_with_incoming_shutdown(incoming, stop)
        .await
}

/// What `DeviceLink.Renew` does: a certificate for who the peer is, whatever the request says.
///
/// # Errors
/// A status: who is no device or operator, whose certificate is revoked, or a request that is not good.
pub async fn renew(
    authority: Arc<Authority>,
    peer: &Peer,
    request: RenewRequest,
    counters: &Counters,
) -> Result<RenewResponse, Status> {
    let (serial, identity) = (peer.serial.clone(), peer.identity.clone());
    let answer = in_background(move || {
        let authorities = authority.authorities_pem()?;
        let issued = authority.renew(&serial, &identity, &request.certificate_signing_request)?;
        Ok(RenewResponse { certificate_chain: issued.certificate, authorities })
    });
    let answer = answer.await.map_err(|error| status(&error))?;
    count(&counters.renewed);
    tracing::info!(identity = %peer.identity, "certificate renewed");
    Ok(answer)
}

async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TrustError> + Send + 'static,
) -> Result<T, TrustError> {
    // The other kind of error is a panic in the work, which has been logged.
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(TrustError::Tls(e.to_string())))
}

/// What a stranger is told: nothing about our files.
fn status(error: &TrustError) -> Status {
    match error {
        TrustError::Token | TrustError::NotRenewable(_) => Status::permission_denied(error.to_string()),
        TrustError::TooOften(_) => Status::resource_exhausted(error.to_string()),
        TrustError::Request(_) | TrustError::Value { .. } => Status::invalid_argument(error.to_string()),
        _ => Status::internal("the authority cannot sign now: its log says why"),
    }
}

/// How a device that has no authorities yet knows the controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pin {
    /// By the SHA-256 of an authority's certificate, 64 hexadecimal digits.
    Fingerprint(String),
    /// By the certificates of the authorities, a PEM file.
    File(PathBuf),
}

impl Pin {
    fn anchor(&self) -> Result<Anchor, TrustError> {
        match self {
            Self::Fingerprint(text) => Ok(Anchor::Fingerprint(checked_fingerprint(text)?)),
            Self::File(path) => {
                let unfit = |e: rustls::Error| TrustError::file(path, e.to_string());
                let roots = roots(&pem::certificates_in(path)?).map_err(unfit)?;
                Ok(Anchor::Roots(server_verifier(roots).map_err(unfit)?))
            }
        }
    }

    /// Whether one of the authorities in an answer is the one we knew before.
    fn is_among(&self, answer: &Answer) -> Result<bool, TrustError> {
        Ok(match self {
            Self::Fingerprint(text) => {
                let known = checked_fingerprint(text)?;
                answer.authorities.iter().any(|authority| fingerprint(authority) == known)
            }
            Self::File(path) => {
                let known = pem::certificates_in(path)?;
                answer.authorities.iter().any(|authority| known.contains(authority))
            }
        })
    }
}

fn checked_fingerprint(text: &str) -> Result<String, TrustError> {
    let digits: String = text.chars().filter(|c| *c != ':').collect::<String>().to_ascii_lowercase();
    if digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(digits);
    }
    Err(TrustError::value("fingerprint", text, "is no SHA-256: 64 hexadecimal digits, as `pki list` shows them"))
}

/// What enrolment brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// Who the device is from now on.
    pub device: String,
    /// Its certificate.
    pub facts: CertificateFacts,
}

/// Gets a device its first certificate from `controller` (`https://HOST:PORT` of the enrolment listener) and writes `key.pem`,
/// `certificate.pem`, `authorities.pem` and `package-root.json` into the folder. The key never leaves the device. When the answer is
/// lost, calling again with the same token finishes it.
///
/// # Errors
/// When the folder holds a certificate already, the controller is not the one that was pinned, or the token is refused.
pub async fn enrol(controller: &str, token: &str, pin: &Pin, folder: &Path) -> Result<Enrolled, TrustError> {
    let places = ClientFiles::in_folder(folder);
    if places.certificate.exists() {
        return Err(TrustError::file(&places.certificate, "is there already: this device is enrolled"));
    }
    let verifier = ControllerVerifier { anchor: pin.anchor()?, domain: None };
    let config = Arc::new(hardened(builder(verifier)?.with_no_client_auth()));
    let channel = channel(controller, move || Arc::clone(&config))?;
    files::secret_folder(folder)?;
    let key = places.waiting_key()?;
    let request =
        EnrolRequest { token: token.trim().to_owned(), certificate_signing_request: authority::signing_request(&key)? };
    let mut client = EnrolmentClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
    let failed = |why: String| TrustError::Controller { controller: controller.to_owned(), why };
    let answered = tokio::time::timeout(ENROL_MAX, client.enrol(request)).await;
    let answer = answered.map_err(|_| failed(format!("no answer within {} s", ENROL_MAX.as_secs())))?;
    let cut = "this must be the address where the controller enrols (`listen.enrolment`), and the authority or fingerprint that of its fleet";
    let answer = answer.map_err(|status| failed(unanswered(controller, &status, cut)))?.into_inner();
    let read = Answer::read(&answer.certificate_chain, &answer.authorities)?;
    read.holds_key(&key)?;
    if read.facts.spiffe.identity != Identity::Device(answer.device_id.clone()) {
        return Err(failed(format!("it calls us {} and its certificate says {}", answer.device_id, read.facts.spiffe)));
    }
    if !pin.is_among(&read)? {
        return Err(failed("it sends authorities without the one that was pinned".to_owned()));
    }
    if !answer.package_root.is_empty() {
        files::write(&folder.join("package-root.json"), &answer.package_root, PUBLIC)?;
    }
    places.exchange(&answer.certificate_chain, &answer.authorities)?;
    Ok(Enrolled { device: answer.device_id, facts: read.facts })
}
