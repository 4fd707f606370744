//! Why somebody was turned away at the door: typed, and each with a name for its counter.

use rustls::{CertificateError, Error};
use std::fmt;
use std::io;

/// Why a connection, or a certificate in it, was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// The client showed no certificate.
    NoCertificate,
    /// Signed by no authority in force, or not by the one it names.
    UnknownAuthority,
    /// Its time is over.
    Expired,
    /// Its time has not come: one of the two clocks is wrong.
    NotYetValid,
    /// Made for another purpose, such as a controller's used as a device's.
    WrongUsage,
    /// On its authority's revocation list.
    Revoked,
    /// Its authority has no revocation list here, so nobody can say whether it is revoked.
    RevocationUnknown,
    /// The revocation list itself is out of date.
    RevocationListExpired,
    /// No URI among its names.
    NoName,
    /// More than one URI among its names, or two lists of names.
    SeveralNames,
    /// A URI that is no identity of ours.
    BadName,
    /// An identity of another trust domain.
    TrustDomain,
    /// Not a certificate one can read.
    BadCertificate,
    /// Said nothing within the time for a first byte.
    Silent,
    /// Did not finish the handshake in time.
    Slow,
    /// Not TLS 1.3, no common algorithm, or an alert from the other side.
    Protocol,
    /// The connection broke during the handshake.
    Network,
    /// As many connections are open as are allowed.
    Full,
}

impl Refusal {
    /// Every reason, in the order of [`Refusal::index`].
    pub const ALL: [Self; 18] = [
        Self::NoCertificate,
        Self::UnknownAuthority,
        Self::Expired,
        Self::NotYetValid,
        Self::WrongUsage,
        Self::Revoked,
        Self::RevocationUnknown,
        Self::RevocationListExpired,
        Self::NoName,
        Self::SeveralNames,
        Self::BadName,
        Self::TrustDomain,
        Self::BadCertificate,
        Self::Silent,
        Self::Slow,
        Self::Protocol,
        Self::Network,
        Self::Full,
    ];

    /// Its place in [`Refusal::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Its name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoCertificate => "no-certificate",
            Self::UnknownAuthority => "unknown-authority",
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::WrongUsage => "wrong-usage",
            Self::Revoked => "revoked",
            Self::RevocationUnknown => "revocation-unknown",
            Self::RevocationListExpired => "revocation-list-expired",
            Self::NoName => "no-name",
            Self::SeveralNames => "several-names",
            Self::BadName => "bad-name",
            Self::TrustDomain => "trust-domain",
            Self::BadCertificate => "bad-certificate",
            Self::Silent => "silent",
            Self::Slow => "slow",
            Self::Protocol => "protocol",
            Self::Network => "network",
            Self::Full => "full",
        }
    }

    /// The reason in a failed handshake.
    pub fn of_handshake(error: &io::Error) -> Self {
        error.get_ref().and_then(|e| e.downcast_ref::<Error>()).map_or(Self::Network, Self::of_tls)
    }

    /// The reason in a certificate that was not taken.
    pub(crate) fn of_tls(error: &Error) -> Self {
        match error {
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::InvalidCertificate(error) => Self::of_certificate(error),
            // The list's own signature fails when two authorities share a name.
            Error::InvalidCertRevocationList(_) => Self::RevocationUnknown,
            _ => Self::Protocol,
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        use CertificateError as E;
        match error {
            E::UnknownIssuer | E::BadSignature => Self::UnknownAuthority,
            E::Expired | E::ExpiredContext { .. } => Self::Expired,
            E::NotValidYet | E::NotValidYetContext { .. } => Self::NotYetValid,
            E::InvalidPurpose | E::InvalidPurposeContext { .. } => Self::WrongUsage,
            E::Revoked => Self::Revoked,
            E::UnknownRevocationStatus => Self::RevocationUnknown,
            E::ExpiredRevocationList | E::ExpiredRevocationListContext { .. } => Self::RevocationListExpired,
            E::Other(other) => other.0.downcast_ref::<Self>().copied().unwrap_or(Self::BadCertificate),
            _ => Self::BadCertificate,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_stands_at_its_index_under_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = Refusal::ALL.iter().map(|r| r.name()).collect();
        assert_eq!(names.len(), Refusal::ALL.len());
        for (index, reason) in Refusal::ALL.iter().enumerate() {
            assert_eq!(reason.index(), index);
        }
    }
}
