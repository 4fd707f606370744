//! What can go wrong with keys, certificates and the authority's folder.

use std::path::{Path, PathBuf};

/// Why something about trust could not be done. The source, where there is one, says why; the text does not repeat it.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file system said no.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried: read, write, …
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file holds something else than it should.
    #[error("{}: {why}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A name, domain, number or lifetime that is not valid.
    #[error("{field} `{value}`: {why}")]
    Value {
        /// Which value.
        field: &'static str,
        /// As it was given.
        value: String,
        /// What it should be.
        why: String,
    },
    /// The request for a certificate is not one, or does not prove its key.
    #[error("the signing request is not usable: {0}")]
    Request(String),
    /// The token is unknown, spent or expired: which one is nobody's business outside.
    #[error("the token is unknown, spent or expired")]
    Token,
    /// The certificate at hand is revoked or unknown to the authority, so it opens no way to a new one.
    #[error("the certificate {0} is revoked or not of this authority")]
    NotRenewable(String),
    /// Whoever asks has had many certificates within the hour.
    #[error("{0} has renewed too often within the hour")]
    TooOften(String),
    /// Nothing was ever issued under that name or serial number.
    #[error("nothing was issued for {0}")]
    NotIssued(String),
    /// Certificates of the old authority are still in use.
    #[error("{0} certificates of the old authority are still in force: renew them first, or give --force")]
    StillInUse(usize),
    /// There is no older authority to retire, or one already waits to be retired.
    #[error("{0}")]
    Rotation(&'static str),
    /// Making or signing a certificate failed.
    #[error("cannot make the certificate")]
    Make(#[from] rcgen::Error),
    /// TLS does not take these certificates and keys.
    #[error("the certificates cannot be used: {0}")]
    Tls(String),
    /// The controller could not be reached or said no.
    #[error("the controller {controller}: {why}")]
    Controller {
        /// Its address.
        controller: String,
        /// What it said, or why it was not reached.
        why: String,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

impl TrustError {
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }

    pub(crate) fn file(path: &Path, why: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), why: why.into() }
    }

    pub(crate) fn value(field: &'static str, value: &str, why: impl Into<String>) -> Self {
        // What came from outside is cut: errors end up in logs.
        Self::Value { field, value: value.chars().take(80).collect(), why: why.into() }
    }

    pub(crate) fn tls(error: &impl std::fmt::Display) -> Self {
        Self::Tls(error.to_string())
    }
}
