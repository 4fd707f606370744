//! Who is at the other end of a connection, as handlers find it in a request's extensions.

use super::Identity;
use std::net::SocketAddr;
use std::time::SystemTime;

/// The other end of a connection with a checked certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Who the certificate speaks for.
    pub identity: Identity,
    /// Serial number of the certificate, hexadecimal.
    pub serial: String,
    /// Last second in which the certificate is good; the connection is cut after it.
    pub not_after: SystemTime,
    /// Where it calls from.
    pub address: SocketAddr,
}

/// As [`Peer`], at the dashboard's door: its TLS speaks HTTP/1.1 too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Browser(pub Peer);

/// The other end of a connection without a certificate: only enrolment talks to those.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// Where it calls from.
    pub address: SocketAddr,
}
