//! What a controller asks of a sign-off before it starts a rollout, and who counts as a signer.

use super::canonical::SignOff;
use super::limits::Limit;
use super::refusal::Refusal;
use super::sha256;
use super::sign::{certificate_der, is_signed, signature_bytes};
use crate::trust::{self, CertificateFacts, Identity, Role, TrustError, pem, provider};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use slacktide_engine::time::{Instant, Span};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Clocks of two machines may differ by so much.
const CLOCKS_APART: Span = Span::from_secs(300);

/// Whose certificates count.
#[derive(Debug, Clone)]
pub struct Authorities {
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Authorities {
    /// Reads the certificates of the authorities and, where given, their revocation lists, PEM files both. Without lists a revoked
    /// certificate cannot be told from a good one.
    ///
    /// # Errors
    /// A file that is missing or not what it should be.
    pub fn open(authorities: &Path, revocations: Option<&Path>) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        for certificate in pem::certificates_in(authorities)? {
            roots.add(certificate).map_err(|e| TrustError::file(authorities, e.to_string()))?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        let builder = match revocations {
            None => builder,
            Some(path) => builder
                .with_crls(pem::revocations_in(path)?)
                .only_check_end_entity_revocation()
                .enforce_revocation_expiration(),
        };
        let verifier = builder.build().map_err(|e| TrustError::file(authorities, e.to_string()))?;
        Ok(Self { verifier })
    }

    fn vouch(&self, certificate: &CertificateDer<'_>, now: Instant) -> Result<(), trust::Refusal> {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.as_secs()).unwrap_or(0)));
        let checked = self.verifier.verify_client_cert(certificate, &[], now);
        checked.map(|_| ()).map_err(|error| trust::Refusal::of_tls(&error))
    }
}

/// How many people must sign; at least one of them is an approver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Persons {
    /// At least so many different people, 1 or more.
    pub min: usize,
}

impl Default for Persons {
    /// Two: who ran the simulations, and somebody else.
    fn default() -> Self {
        Self { min: 2 }
    }
}

/// What a controller holds a sign-off against.
#[derive(Debug, Clone, Copy)]
pub struct Expect<'a> {
    /// The policy in force, every field spelled out (`Policy::to_toml`).
    pub policy: &'a str,
    /// SHA-256 of the package's archive, hexadecimal.
    pub package_sha256: &'a str,
    /// [`super::fleet_fingerprint`] of the fleet.
    pub fleet_fingerprint: &'a str,
    /// Now.
    pub now: Instant,
    /// Whose certificates count.
    pub authorities: &'a Authorities,
    /// How many people must have signed.
    pub persons: Persons,
}

impl SignOff {
    /// Whether a rollout may go live under this sign-off.
    ///
    /// # Errors
    /// The first reason why not: signatures first, for without them nothing in the file means anything.
    pub fn check(&self, expect: &Expect<'_>) -> Result<(), Refusal> {
        self.check_signatures(expect.authorities, expect.persons, expect.now)?;
        self.is_for_policy(expect.policy)?;
        self.is_for_package(expect.package_sha256)?;
        self.is_for_fleet(expect.fleet_fingerprint)
    }

    /// Whether the right people signed what stands there, it is in its time, and the results give what was asked.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn check_signatures(&self, authorities: &Authorities, persons: Persons, now: Instant) -> Result<(), Refusal> {
        let mut people = BTreeSet::new();
        let (mut has_approver, mut has_maker) = (false, false);
        for signer in &self.document().signers {
            let identity = self.check_signer(signer, authorities, now)?;
            has_approver |= matches!(&identity, Identity::Operator { role: Role::Approver, .. });
            has_maker |= identity.path() == self.document().made_by;
            // A person with two certificates is one person.
            if !people.insert(identity.name().to_owned()) {
                return Err(Refusal::SamePerson(identity.name().to_owned()));
            }
        }
        let need = persons.min.max(1);
        if people.len() < need {
            return Err(Refusal::TooFewSigners { have: people.len(), need });
        }
        if !has_maker {
            return Err(Refusal::MakerMissing(self.document().made_by.clone()));
        }
        if !has_approver {
            return Err(Refusal::NoApprover);
        }
        self.is_within(now)?;
        self.is_good()
    }

    pub(super) fn check_signer(
        &self,
        signer: &super::Signer,
        authorities: &Authorities,
        now: Instant,
    ) -> Result<Identity, Refusal> {
        let who = || signer.identity.chars().take(80).collect::<String>();
        let edited = |what: &str| Refusal::Edited(format!("{what} of {} is not as it was written", who()));
        let der = certificate_der(&signer.certificate).ok_or_else(|| edited("the certificate"))?;
        let der = CertificateDer::from(der);
        let unknown = |refusal: trust::Refusal| Refusal::UnknownSigner { who: who(), why: refusal.name() };
        authorities.vouch(&der, now).map_err(unknown)?;
        let identity = CertificateFacts::read(&der).map_err(unknown)?.spiffe.identity;
        if identity.path() != signer.identity {
            return Err(edited("the identity"));
        }
        let signature = signature_bytes(&signer.signature).ok_or_else(|| edited("the signature"))?;
        if !is_signed(&der, self.body(), &signature) {
            return Err(Refusal::Edited(format!("it is not what {} signed", who())));
        }
        self.may_sign(&identity)?;
        Ok(identity)
    }

    /// Whether it is in its time.
    pub(super) fn is_within(&self, now: Instant) -> Result<(), Refusal> {
        let (made, until) = (self.document().made_at, self.document().valid_until);
        if now.as_secs() > until.as_secs() {
            return Err(Refusal::Expired { until, now });
        }
        if made > now + CLOCKS_APART {
            return Err(Refusal::NotYetValid { made, now });
        }
        Ok(())
    }

    /// Whether the results in it give what was asked: judged anew, whatever the file says of them.
    pub(super) fn is_good(&self) -> Result<(), Refusal> {
        let document = self.document();
        if document.chaos.broken > 0 {
            return Err(Refusal::ChaosBroken(document.chaos.broken));
        }
        if document.limits.is_empty() || document.evidence.is_empty() {
            return Err(Refusal::LimitsNotMet(None));
        }
        for limit in &document.limits {
            let judged = Limit::judge(&limit.demand(), &document.evidence);
            if !judged.met || judged != *limit {
                return Err(Refusal::LimitsNotMet(Some(Box::new(judged))));
            }
        }
        Ok(())
    }

    /// Whether it holds for this policy, every field spelled out.
    ///
    /// # Errors
    /// [`Refusal::WrongPolicy`].
    pub fn is_for_policy(&self, policy: &str) -> Result<(), Refusal> {
        let (signed, found) = (&self.document().policy, sha256(policy.as_bytes()));
        if signed.sha256 == found && signed.text == policy {
            return Ok(());
        }
        Err(Refusal::WrongPolicy { signed: sha256(signed.text.as_bytes()), found })
    }

    /// Whether it holds for the archive with this SHA-256.
    ///
    /// # Errors
    /// [`Refusal::WrongPackage`].
    pub fn is_for_package(&self, package_sha256: &str) -> Result<(), Refusal> {
        let signed = &self.document().package.sha256;
        if signed == package_sha256 {
            return Ok(());
        }
        Err(Refusal::WrongPackage { signed: signed.clone(), found: package_sha256.to_owned() })
    }

    /// Whether it holds for the fleet with this fingerprint.
    ///
    /// # Errors
    /// [`Refusal::WrongFleet`].
    pub fn is_for_fleet(&self, fingerprint: &str) -> Result<(), Refusal> {
        let signed = &self.document().fleet.fingerprint;
        if signed == fingerprint {
            return Ok(());
        }
        Err(Refusal::WrongFleet { signed: signed.clone(), found: fingerprint.to_owned() })
    }
}
