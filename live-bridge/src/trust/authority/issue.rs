//! Certificates: for a new key, for the key in a signing request, and again for the key of an old certificate.

use super::{Authority, Entry, Held, SKEW_S, moment, new_serial};
use crate::trust::identity::{CertificateFacts, Identity, SpiffeId};
use crate::trust::{TrustError, hex, now_s, pem};
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SubjectPublicKeyInfo,
};
use std::net::IpAddr;

/// Longest life of a certificate, seconds (825 days, what browsers once took at most).
const LIFE_S_MAX: u32 = 825 * super::DAY_S;
/// Longest signing request, bytes.
const REQUEST_BYTES_MAX: usize = 16 << 10;
/// Most certificates somebody may get an hour by renewing: the list of issued ones must not grow with one that runs wild.
const RENEWALS_PER_HOUR_MAX: usize = 10;
/// Most names of a controller besides its identity.
const HOSTS_MAX: usize = 32;

/// Whom a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Who it will speak for.
    pub identity: Identity,
    /// Host names and addresses under which a controller is called; empty for everybody else.
    pub hosts: Vec<String>,
    /// How long it will be good, seconds, instead of what the authority says.
    pub life_s: Option<u32>,
}

impl Subject {
    /// With the authority's lifetime and no hosts.
    pub const fn new(identity: Identity) -> Self {
        Self { identity, hosts: Vec::new(), life_s: None }
    }

    /// The same, for a controller that is called by these names.
    #[must_use]
    pub fn at(mut self, hosts: &[&str]) -> Self {
        self.hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        self
    }

    /// The same, good for so long, seconds.
    #[must_use]
    pub const fn living(mut self, life_s: u32) -> Self {
        self.life_s = Some(life_s);
        self
    }
}

/// A certificate as it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// PEM.
    pub certificate: String,
    /// What the list of issued ones says of it.
    pub entry: Entry,
}

/// A certificate with the private key that was made for it. Nobody else has the key.
#[derive(Debug)]
pub struct NewCertificate {
    /// The certificate.
    pub issued: Issued,
    /// PEM.
    pub key: String,
}

/// A new private key: P-256, which every TLS knows.
///
/// # Errors
/// When the system gives no random numbers.
pub fn new_key() -> Result<KeyPair, TrustError> {
    Ok(KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?)
}

/// A signing request for a key, PEM. It names nobody: who the certificate is for is the authority's business.
///
/// # Errors
/// When signing fails.
pub fn signing_request(key: &KeyPair) -> Result<String, TrustError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(key)?.pem()?)
}

pub(crate) fn checked_life(field: &'static str, life_s: u32) -> Result<u32, TrustError> {
    if (1..=LIFE_S_MAX).contains(&life_s) {
        return Ok(life_s);
    }
    Err(TrustError::value(field, &format!("{life_s} s"), format!("must be 1 s to {} days", LIFE_S_MAX / super::DAY_S)))
}

impl Authority {
    /// A new key and a certificate for it.
    ///
    /// # Errors
    /// A name, host or lifetime that is not valid, or files that cannot be written.
    pub fn issue(&self, subject: &Subject) -> Result<NewCertificate, TrustError> {
        let made = self.issue_many(std::slice::from_ref(subject))?;
        made.into_iter().next().ok_or_else(|| TrustError::Request("nothing was asked for".to_owned()))
    }

    /// The same for many subjects with one write of the list: all of them are issued or none.
    ///
    /// # Errors
    /// As [`Authority::issue`].
    pub fn issue_many(&self, subjects: &[Subject]) -> Result<Vec<NewCertificate>, TrustError> {
        let held = self.hold()?;
        let mut made = Vec::with_capacity(subjects.len());
        for subject in subjects {
            let key = new_key()?;
            let issued = held.make(subject, &key)?;
            made.push(NewCertificate { issued, key: key.serialize_pem() });
        }
        held.ledger.issue(made.iter().map(|new| &new.issued.entry))?;
        Ok(made)
    }

    /// A certificate for the key of a signing request, PEM. Only the key is taken from it, after it proved that its owner has it;
    /// names, usages and times in it are ignored.
    ///
    /// # Errors
    /// A request that cannot be read or proves nothing, and as [`Authority::issue`].
    pub fn sign_request(&self, subject: &Subject, request: &str) -> Result<Issued, TrustError> {
        let key = request_key(request)?;
        self.hold()?.make_and_list(subject, &key)
    }

    /// A certificate for the owner of one that is in force, for the key of a signing request: what a device asks for itself.
    ///
    /// # Errors
    /// When the one at hand is revoked or unknown here, and as [`Authority::sign_request`].
    pub fn renew(&self, serial: &str, identity: &Identity, request: &str) -> Result<Issued, TrustError> {
        let key = request_key(request)?;
        let held = self.hold()?;
        let (entries, hour_ago) = (held.ledger.entries()?, now_s() - 3600);
        let own = || entries.iter().filter(|entry| entry.identity == identity.path());
        if own().filter(|entry| entry.issued_at_s > hour_ago).count() >= RENEWALS_PER_HOUR_MAX {
            return Err(TrustError::TooOften(identity.path()));
        }
        let owner = own().find(|entry| entry.serial == serial && entry.revoked_at_s.is_none());
        if owner.is_none() {
            return Err(TrustError::NotRenewable(serial.to_owned()));
        }
        held.make_and_list(&Subject::new(identity.clone()), &key)
    }

    /// The same names and the same key for another life: for a person at the authority's folder, with a certificate file, PEM. One that
    /// has ended may be renewed here, a revoked one may not.
    ///
    /// # Errors
    /// When the certificate is no certificate of this authority or is revoked, and as [`Authority::issue`].
    pub fn renew_certificate(&self, certificate: &str, life_s: Option<u32>) -> Result<Issued, TrustError> {
        let unfit = |why: String| TrustError::value("certificate", "", why);
        let der = pem::certificates(certificate.as_bytes()).map_err(unfit)?;
        let facts = CertificateFacts::read(&der[0]).map_err(|refusal| unfit(format!("cannot be used: {refusal}")))?;
        let held = self.hold()?;
        let entry = held.ledger.find(&facts.serial)?.filter(|entry| entry.revoked_at_s.is_none());
        let entry = entry.filter(|entry| entry.key == facts.key && entry.identity == facts.spiffe.identity.path());
        let entry = entry.ok_or_else(|| TrustError::NotRenewable(facts.serial.clone()))?;
        let key = SubjectPublicKeyInfo::from_der(&facts.key_der)?;
        held.make_and_list(&Subject { identity: facts.spiffe.identity, hosts: entry.hosts, life_s }, &key)
    }
}

/// The key of a signing request that proves its possession.
pub(crate) fn request_key(request: &str) -> Result<rcgen::PublicKey, TrustError> {
    if request.len() > REQUEST_BYTES_MAX {
        return Err(TrustError::Request(format!("it is longer than {REQUEST_BYTES_MAX} bytes")));
    }
    let parsed = CertificateSigningRequestParams::from_pem(request).map_err(|e| TrustError::Request(e.to_string()))?;
    Ok(parsed.public_key)
}

/// SHA-256 of a public key, as [`CertificateFacts::key`] has it.
pub(crate) fn key_fingerprint(key: &impl PublicKeyData) -> String {
    crate::trust::fingerprint(&key.subject_public_key_info())
}

impl Held<'_> {
    pub(super) fn make_and_list(&self, subject: &Subject, key: &impl PublicKeyData) -> Result<Issued, TrustError> {
        let issued = self.make(subject, key)?;
        self.ledger.issue(std::iter::once(&issued.entry))?;
        Ok(issued)
    }

    /// Makes a certificate; it counts only once it stands in the list.
    fn make(&self, subject: &Subject, key: &impl PublicKeyData) -> Result<Issued, TrustError> {
        let identity = subject.identity.clone().checked()?;
        let generation = self.signing()?;
        let lifetimes = &self.state.lifetimes;
        let (usual_s, usage) = match identity {
            Identity::Device(_) => (lifetimes.device_s, ExtendedKeyUsagePurpose::ClientAuth),
            Identity::Operator { .. } => (lifetimes.operator_s, ExtendedKeyUsagePurpose::ClientAuth),
            Identity::Controller(_) => (lifetimes.controller_s, ExtendedKeyUsagePurpose::ServerAuth),
        };
        let life_s = checked_life("lifetime", subject.life_s.unwrap_or(usual_s))?;
        let now = now_s();
        // Nobody outlives the one who vouches for him.
        let not_after_s = (now + i64::from(life_s)).min(generation.not_after_s);
        let serial = new_serial()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, identity.name());
        let uri = SpiffeId { domain: self.authority.domain.clone(), identity: identity.clone() }.to_string();
        params.subject_alt_names = vec![SanType::URI(uri.try_into()?)];
        params.subject_alt_names.extend(hosts(&identity, &subject.hosts)?);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        params.not_before = moment(now - SKEW_S)?;
        params.not_after = moment(not_after_s)?;
        params.serial_number = Some(serial.clone());
        let certificate = params.signed_by(key, &self.issuer(generation)?)?;
        let entry = Entry {
            serial: hex(&serial.to_bytes()),
            identity: identity.path(),
            hosts: subject.hosts.clone(),
            generation: generation.number,
            issued_at_s: now,
            not_after_s,
            key: key_fingerprint(key),
            revoked_at_s: None,
            reason: None,
        };
        Ok(Issued { certificate: certificate.pem(), entry })
    }
}

fn hosts(identity: &Identity, hosts: &[String]) -> Result<Vec<SanType>, TrustError> {
    let controller = matches!(identity, Identity::Controller(_));
    if controller == hosts.is_empty() {
        let why = if controller {
            "a controller needs the host names or addresses under which it is called"
        } else {
            "only controllers are called by host names"
        };
        return Err(TrustError::value("hosts", &hosts.join(","), why));
    }
    if hosts.len() > HOSTS_MAX {
        return Err(TrustError::value("hosts", &hosts.len().to_string(), format!("at most {HOSTS_MAX}")));
    }
    hosts.iter().map(|host| name_of_host(host)).collect()
}

fn name_of_host(host: &str) -> Result<SanType, TrustError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let unfit = || TrustError::value("host", host, "is neither a host name nor an address");
    let label = |l: &str| {
        (1..=63).contains(&l.len()) && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') && !l.starts_with('-')
    };
    if host.len() > 253 || !host.split('.').all(label) {
        return Err(unfit());
    }
    Ok(SanType::DnsName(host.try_into().map_err(|_| unfit())?))
}
