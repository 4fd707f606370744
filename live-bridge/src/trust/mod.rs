//! Who may speak to whom: identities, the authority that hands them out, and the TLS that holds everybody to them.
//!
//! In reading order: [`identity`] (who a certificate speaks for) · [`refusal`] and [`counters`] (why somebody was turned away, how
//! often) · [`authority`] (the folder that signs, revokes and rotates) · [`server`] and [`acceptor`] (the controller's door) ·
//! [`registry`] (the kill switch of open connections) · [`client`] (the other side of the door) · [`enrolment`] (the first certificate).

pub mod acceptor;
mod addresses;
pub mod authority;
pub mod client;
pub mod counters;
pub mod enrolment;
pub mod error;
mod files;
pub mod identity;
pub mod peer;
pub(crate) mod pem;
pub mod refusal;
pub mod registry;
pub mod server;
mod unanswered;
mod verify;

pub use acceptor::{Connection, Incoming, Limits, listen};
pub use authority::{Authority, Lifetimes};
pub use client::{ClientFiles, ClientTrust};
pub use counters::Counters;
pub use error::TrustError;
pub use identity::{CertificateFacts, Identity, Role, SpiffeId, TrustDomain};
pub use peer::{Browser, Guest, Peer};
pub use refusal::Refusal;
pub use server::{ServerFiles, ServerTrust};
pub use unanswered::unanswered;

pub(crate) use crate::digest::{hex, sha256 as fingerprint};

use std::sync::Arc;

/// Files of keys, certificates and lists are read up to this size, bytes; beyond it they are no such file.
pub const FILE_BYTES_MAX: u64 = 32 << 20;

/// The one set of algorithms in the program.
pub(crate) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Seconds since the Unix epoch by this machine's clock.
pub(crate) fn now_s() -> i64 {
    crate::clock::now().as_secs()
}

/// Bytes nobody can guess.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], TrustError> {
    let mut bytes = [0; N];
    provider().secure_random.fill(&mut bytes).map_err(|_| TrustError::Random)?;
    Ok(bytes)
}
