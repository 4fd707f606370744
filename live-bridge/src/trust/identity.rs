//! Who a certificate speaks for: exactly one SPIFFE URI among its names, and nothing else in it counts.

use super::{Refusal, TrustError, fingerprint, hex};
use std::fmt;
use std::str::FromStr;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Longest name of a device, an operator or a controller, bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Longest trust domain, bytes (SPIFFE ID, section 2.1).
const DOMAIN_BYTES_MAX: usize = 255;

/// What an operator may do. Each may also do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// May look.
    Viewer,
    /// May act.
    Operator,
    /// May consent.
    Approver,
}

impl Role {
    /// Every role, weakest first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Approver];

    /// Its name in certificates and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
        }
    }

    /// Whether this role may do what `needed` may.
    pub fn may(self, needed: Self) -> bool {
        self >= needed
    }
}

impl FromStr for Role {
    type Err = TrustError;

    fn from_str(text: &str) -> Result<Self, TrustError> {
        let role = Self::ALL.into_iter().find(|role| role.name() == text);
        role.ok_or_else(|| TrustError::value("role", text, "is none of viewer, operator, approver"))
    }
}

/// Who somebody is within a trust domain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity {
    /// A device of the fleet, by its id.
    Device(String),
    /// A person or a program that operates the fleet.
    Operator {
        /// Whose name stands in the journal.
        name: String,
        /// What it may do.
        role: Role,
    },
    /// A controller: the only one that may serve.
    Controller(String),
}

impl Identity {
    /// The identity in a certificate, whatever its trust domain.
    ///
    /// # Errors
    /// A certificate that cannot be read, or whose names are not exactly one identity.
    pub fn of_certificate(der: &[u8]) -> Result<Self, Refusal> {
        Ok(CertificateFacts::read(der)?.spiffe.identity)
    }

    /// The path of its URI: `device/cam-017`, `operator/approver/alice`, `controller/main`.
    pub fn path(&self) -> String {
        match self {
            Self::Device(id) => format!("device/{id}"),
            Self::Operator { name, role } => format!("operator/{}/{name}", role.name()),
            Self::Controller(name) => format!("controller/{name}"),
        }
    }

    /// The name in it.
    pub fn name(&self) -> &str {
        match self {
            Self::Device(name) | Self::Operator { name, .. } | Self::Controller(name) => name,
        }
    }

    /// Whether the name can stand in a certificate.
    ///
    /// # Errors
    /// [`TrustError::Value`] says what a name may be.
    pub fn checked(self) -> Result<Self, TrustError> {
        let name = self.name();
        if valid_name(name) {
            return Ok(self);
        }
        let why = format!("a name is 1 to {NAME_BYTES_MAX} of A-Z a-z 0-9 . _ - and neither `.` nor `..`");
        Err(TrustError::value("name", name, why))
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

impl FromStr for Identity {
    type Err = TrustError;

    fn from_str(path: &str) -> Result<Self, TrustError> {
        let identity = match path.split('/').collect::<Vec<_>>().as_slice() {
            ["device", id] => Self::Device((*id).to_owned()),
            ["operator", role, name] => Self::Operator { name: (*name).to_owned(), role: role.parse()? },
            ["controller", name] => Self::Controller((*name).to_owned()),
            _ => {
                let why = "is none of device/ID, operator/ROLE/NAME, controller/NAME";
                return Err(TrustError::value("identity", path, why));
            }
        };
        identity.checked()
    }
}

/// Segments of a SPIFFE path (SPIFFE ID, section 2.2), bounded.
fn valid_name(name: &str) -> bool {
    let byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name != "." && name != ".." && name.bytes().all(byte)
}

/// Whose authority stands behind an identity.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TrustDomain(String);

impl TrustDomain {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TrustDomain {
    type Err = TrustError;

    fn from_str(text: &str) -> Result<Self, TrustError> {
        let byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
        if (1..=DOMAIN_BYTES_MAX).contains(&text.len()) && text.bytes().all(byte) {
            return Ok(Self(text.to_owned()));
        }
        let why = format!("a trust domain is 1 to {DOMAIN_BYTES_MAX} of a-z 0-9 . _ -, such as fleet.example");
        Err(TrustError::value("trust domain", text, why))
    }
}

/// An identity and its trust domain, as a URI.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SpiffeId {
    /// Whose authority stands behind it.
    pub domain: TrustDomain,
    /// Who it is there.
    pub identity: Identity,
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/{}", self.domain, self.identity)
    }
}

impl FromStr for SpiffeId {
    type Err = TrustError;

    fn from_str(uri: &str) -> Result<Self, TrustError> {
        let (domain, path) = uri
            .strip_prefix("spiffe://")
            .and_then(|rest| rest.split_once('/'))
            .ok_or_else(|| TrustError::value("identity", uri, "is no spiffe://DOMAIN/…"))?;
        Ok(Self { domain: domain.parse()?, identity: path.parse()? })
    }
}

/// What a certificate says that anybody here asks for. Reading it checks no signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Who it speaks for.
    pub spiffe: SpiffeId,
    /// Serial number, hexadecimal, without leading zeros.
    pub serial: String,
    /// First second it is good for, Unix seconds.
    pub not_before_s: i64,
    /// Last second it is good for, Unix seconds.
    pub not_after_s: i64,
    /// SHA-256 of the name of the authority that signed it.
    pub issuer: String,
    /// SHA-256 of the public key in it.
    pub key: String,
    /// The public key, as the certificate holds it.
    pub(crate) key_der: Vec<u8>,
}

impl CertificateFacts {
    /// Reads a certificate.
    ///
    /// # Errors
    /// A certificate that cannot be read, or whose names are not exactly one identity.
    pub fn read(der: &[u8]) -> Result<Self, Refusal> {
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| Refusal::BadCertificate)?;
        if !rest.is_empty() {
            return Err(Refusal::BadCertificate);
        }
        Ok(Self {
            spiffe: spiffe(&certificate)?,
            serial: serial_text(certificate.raw_serial()),
            not_before_s: certificate.validity().not_before.timestamp(),
            not_after_s: certificate.validity().not_after.timestamp(),
            issuer: fingerprint(certificate.issuer().as_raw()),
            key: fingerprint(certificate.public_key().raw),
            key_der: certificate.public_key().raw.to_vec(),
        })
    }

    /// Whether it is time to ask for the next certificate: a third of this one's life is left.
    pub fn renewal_due(&self, now_s: i64) -> bool {
        let life = self.not_after_s.saturating_sub(self.not_before_s);
        now_s >= self.not_after_s.saturating_sub(life / 3)
    }
}

/// A serial number as text: leading zeros are the encoding's, not the number's.
pub(crate) fn serial_text(bytes: &[u8]) -> String {
    let zeros = bytes.iter().take_while(|b| **b == 0).count();
    hex(&bytes[zeros..])
}

fn spiffe(certificate: &X509Certificate<'_>) -> Result<SpiffeId, Refusal> {
    // An error here is a second list of names: which of the two would count is a matter of taste, so neither does.
    let names = certificate.subject_alternative_name().map_err(|_| Refusal::SeveralNames)?.ok_or(Refusal::NoName)?;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let uri = uris.next().ok_or(Refusal::NoName)?;
    if uris.next().is_some() {
        return Err(Refusal::SeveralNames);
    }
    uri.parse().map_err(|_| Refusal::BadName)
}

/// The name and the end of an authority's certificate: (SHA-256 of its subject, Unix seconds).
pub(crate) fn authority_facts(der: &[u8]) -> Result<(String, i64), Refusal> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| Refusal::BadCertificate)?;
    Ok((fingerprint(certificate.subject().as_raw()), certificate.validity().not_after.timestamp()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn identities_read_back_as_they_were_written() {
        for path in ["device/cam-017", "operator/viewer/a.b", "operator/approver/Alice", "controller/main_1"] {
            assert_eq!(path.parse::<Identity>().unwrap().to_string(), path);
        }
        let id: SpiffeId = "spiffe://fleet.example/device/cam-017".parse().unwrap();
        assert_eq!((id.domain.as_str(), &id.identity), ("fleet.example", &Identity::Device("cam-017".to_owned())));
        assert_eq!(id.to_string(), "spiffe://fleet.example/device/cam-017");
    }

    #[test]
    fn what_is_nearly_an_identity_is_none() {
        let long = format!("spiffe://d/device/{}", "x".repeat(NAME_BYTES_MAX + 1));
        for uri in [
            "",
            "spiffe://",
            "spiffe:///device/a",
            "spiffe://D/device/a",
            "SPIFFE://d/device/a",
            "spiffe://d/device/",
            "spiffe://d/device/a/",
            "spiffe://d/device/..",
            "spiffe://d/device/a%2fb",
            "spiffe://d/device/a?x",
            "spiffe://d:1/device/a",
            "spiffe://u@d/device/a",
            "spiffe://d//device/a",
            "spiffe://d/operator/root/a",
            "spiffe://d/operator/viewer",
            "spiffe://d/device/ä",
            long.as_str(),
        ] {
            assert!(uri.parse::<SpiffeId>().is_err(), "{uri}");
        }
    }

    #[test]
    fn a_role_may_what_the_weaker_ones_may() {
        assert!(Role::Approver.may(Role::Operator) && Role::Operator.may(Role::Viewer));
        assert!(!Role::Viewer.may(Role::Operator) && !Role::Operator.may(Role::Approver));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_what_is_read_is_exact(text in ".{0,40}", tail in "[a-z./-]{0,12}") {
            for uri in [text.clone(), format!("spiffe://d/{text}"), format!("spiffe://{text}/device/{tail}"), format!("spiffe://d/device/{tail}")] {
                if let Ok(id) = uri.parse::<SpiffeId>() {
                    prop_assert_eq!(id.to_string(), uri);
                }
            }
        }

        #[test]
        fn any_bytes_are_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(CertificateFacts::read(&bytes).is_err());
            prop_assert!(authority_facts(&bytes).is_err());
        }
    }
}
