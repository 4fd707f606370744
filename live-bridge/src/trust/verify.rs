//! The checks of both sides of a handshake: those of webpki first, then that the certificate speaks for somebody of ours.

use super::identity::{CertificateFacts, Identity, TrustDomain};
use super::{Refusal, fingerprint, provider};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore, SignatureScheme,
};
use std::sync::Arc;

fn refuse(refusal: Refusal) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
}

/// Takes devices and operators of one trust domain.
#[derive(Debug)]
pub(crate) struct PeerVerifier {
    pub(crate) inner: Arc<dyn ClientCertVerifier>,
    pub(crate) domain: TrustDomain,
}

impl ClientCertVerifier for PeerVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now)?;
        let facts = CertificateFacts::read(end_entity).map_err(refuse)?;
        if facts.spiffe.domain == self.domain { Ok(verified) } else { Err(refuse(Refusal::TrustDomain)) }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// What a client holds the controller's certificate against.
#[derive(Debug)]
pub(crate) enum Anchor {
    /// Authorities it knows.
    Roots(Arc<WebPkiServerVerifier>),
    /// SHA-256 of the certificate of an authority that the server has to show, hexadecimal.
    Fingerprint(String),
}

/// Takes controllers only.
#[derive(Debug)]
pub(crate) struct ControllerVerifier {
    pub(crate) anchor: Anchor,
    /// None before enrolment: the first certificate tells.
    pub(crate) domain: Option<TrustDomain>,
}

/// A verifier for these authorities.
pub(crate) fn server_verifier(roots: RootCertStore) -> Result<Arc<WebPkiServerVerifier>, Error> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|e| Error::General(e.to_string()))
}

impl ServerCertVerifier for ControllerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let pinned;
        let inner = match &self.anchor {
            Anchor::Roots(inner) => inner,
            Anchor::Fingerprint(expected) => {
                let shown = intermediates.iter().find(|certificate| fingerprint(certificate) == *expected);
                let shown = shown.ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
                let mut roots = RootCertStore::empty();
                roots.add(shown.clone().into_owned())?;
                pinned = server_verifier(roots)?;
                &pinned
            }
        };
        let verified = inner.verify_server_cert(end_entity, intermediates, server_name, ocsp, now)?;
        let facts = CertificateFacts::read(end_entity).map_err(refuse)?;
        if self.domain.as_ref().is_some_and(|domain| *domain != facts.spiffe.domain) {
            return Err(refuse(Refusal::TrustDomain));
        }
        match facts.spiffe.identity {
            Identity::Controller(_) => Ok(verified),
            Identity::Device(_) | Identity::Operator { .. } => Err(refuse(Refusal::WrongUsage)),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // TLS 1.2 is not offered, so nothing signed for it is ours.
        Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signed,
            &provider().signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
