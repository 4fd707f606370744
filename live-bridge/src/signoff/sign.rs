//! A person consents: a signature with the key of an operator's identity folder.

use super::canonical::SignOff;
use super::check::Authorities;
use super::document::Signer;
use super::refusal::Refusal;
use crate::trust::{CertificateFacts, ClientFiles, Identity, Role, TrustError, pem};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::pki_types::PrivateKeyDer;
use slacktide_engine::time::Instant;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Why somebody could not sign.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The identity folder cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The sign-off, or the signature on it, would be refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Who the certificate of these files speaks for.
///
/// # Errors
/// A file that is missing or holds no certificate of somebody.
pub fn signer_of(files: &ClientFiles) -> Result<Identity, TrustError> {
    let wrong = |why: String| TrustError::file(&files.certificate, why);
    let certificates = pem::certificates_in(&files.certificate)?;
    let der = certificates.first().ok_or_else(|| wrong("holds no certificate".to_owned()))?;
    Identity::of_certificate(der).map_err(|refusal| wrong(refusal.to_string()))
}

impl SignOff {
    /// Adds the signature of the operator whose certificate and key the files hold. Nobody signs what would be refused anyway: after its
    /// time, with limits that are not met, twice, in a role that may not, or beneath a signature that does not hold (by the authorities
    /// among the files; whether a signer was revoked only the controller knows).
    ///
    /// # Errors
    /// [`SignError::Trust`] for files that are not an operator's with a P-256 key; [`SignError::Refused`].
    pub fn sign(&mut self, files: &ClientFiles, now: Instant) -> Result<Identity, SignError> {
        self.is_within(now)?;
        self.is_good()?;
        self.earlier_hold(files, now)?;
        let certificates = pem::certificates_in(&files.certificate)?;
        let wrong = |why: String| TrustError::file(&files.certificate, why);
        let der = certificates.first().ok_or_else(|| wrong("holds no certificate".to_owned()))?;
        let facts = CertificateFacts::read(der).map_err(|refusal| wrong(refusal.to_string()))?;
        if now.as_secs() < facts.not_before_s || now.as_secs() > facts.not_after_s {
            return Err(wrong("the certificate is out of its time".to_owned()).into());
        }
        let identity = facts.spiffe.identity;
        self.may_sign(&identity)?;
        for signer in &self.document().signers {
            if signer.identity.rsplit('/').next() == Some(identity.name()) {
                return Err(Refusal::SamePerson(identity.name().to_owned()).into());
            }
        }
        let signature = signature(files, self.body())?;
        if !is_signed(der, self.body(), &signature) {
            return Err(wrong("does not go with the key beside it".to_owned()).into());
        }
        self.add(Signer {
            identity: identity.path(),
            signature: BASE64.encode(signature),
            certificate: certificate_pem(der),
        });
        Ok(identity)
    }

    /// Who signs says yes to what the others signed: a text that was edited since, or a certificate that has ended, is not that.
    fn earlier_hold(&self, files: &ClientFiles, now: Instant) -> Result<(), SignError> {
        if self.document().signers.is_empty() {
            return Ok(());
        }
        let authorities = Authorities::open(&files.authorities, None)?;
        for signer in &self.document().signers {
            self.check_signer(signer, &authorities, now)?;
        }
        Ok(())
    }

    /// Operators sign what they made, approvers also what others made.
    pub(super) fn may_sign(&self, identity: &Identity) -> Result<(), Refusal> {
        let made_it = identity.path() == self.document().made_by;
        let needed = if made_it { Role::Operator } else { Role::Approver };
        match identity {
            Identity::Operator { role, .. } if role.may(needed) => Ok(()),
            _ => Err(Refusal::WrongRole(identity.path())),
        }
    }
}

fn signature(files: &ClientFiles, body: &str) -> Result<Vec<u8>, TrustError> {
    let wrong = |why: &str| TrustError::file(&files.key, why);
    let PrivateKeyDer::Pkcs8(key) = pem::key_in(&files.key)? else {
        return Err(wrong("is no PKCS#8 key, as `pki issue` makes one"));
    };
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.secret_pkcs8_der())
        .map_err(|_| wrong("is no ECDSA key on P-256, as `pki issue` makes one"))?;
    let signed = pair.sign(&SystemRandom::new(), body.as_bytes()).map_err(|_| TrustError::Random)?;
    Ok(signed.as_ref().to_vec())
}

/// Whether the owner of the certificate's key signed the body.
pub(super) fn is_signed(certificate: &[u8], body: &str, signature: &[u8]) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
    let point = &certificate.public_key().subject_public_key.data;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(body.as_bytes(), signature).is_ok()
}

/// The bytes of a signature as a file holds it.
pub(super) fn signature_bytes(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

/// The one PEM text of a certificate.
pub(super) fn certificate_pem(der: &[u8]) -> String {
    const LABEL: &str = "CERTIFICATE-----\n";
    let digits = BASE64.encode(der);
    let mut text = format!("-----BEGIN {LABEL}");
    for line in digits.as_bytes().chunks(64) {
        text.extend(line.iter().map(|b| char::from(*b)));
        text.push('\n');
    }
    text + "-----END " + LABEL
}

/// The certificate of a PEM text that is written as [`certificate_pem`] writes it.
pub(super) fn certificate_der(text: &str) -> Option<Vec<u8>> {
    let certificates = pem::certificates(text.as_bytes()).ok()?;
    let der = certificates.first()?;
    (certificate_pem(der) == text).then(|| der.to_vec())
}
