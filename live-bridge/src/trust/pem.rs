//! PEM text to the types of rustls, with errors that name the file.

use super::{TrustError, files};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use std::path::Path;

/// At most this many certificates or lists in one file: the generations of an authority, with room.
const ITEMS_MAX: usize = 64;

fn items<T>(
    what: &str,
    found: impl Iterator<Item = Result<T, rustls::pki_types::pem::Error>>,
) -> Result<Vec<T>, String> {
    let items: Vec<T> =
        found.take(ITEMS_MAX + 1).collect::<Result<_, _>>().map_err(|e| format!("is no PEM file: {e:?}"))?;
    match items.len() {
        0 => Err(format!("holds no {what}")),
        1..=ITEMS_MAX => Ok(items),
        _ => Err(format!("holds more than {ITEMS_MAX} of what should be a {what}")),
    }
}

/// Certificates of a PEM text, at least one.
pub(crate) fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    items("certificate", CertificateDer::pem_slice_iter(text))
}

/// Certificates of a PEM file, at least one.
pub(crate) fn certificates_in(path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    certificates(&files::read(path)?).map_err(|why| TrustError::file(path, why))
}

/// Revocation lists of a PEM file, at least one.
pub(crate) fn revocations_in(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TrustError> {
    items("revocation list", CertificateRevocationListDer::pem_slice_iter(&files::read(path)?))
        .map_err(|why| TrustError::file(path, why))
}

/// The private key of a PEM file.
pub(crate) fn key_in(path: &Path) -> Result<PrivateKeyDer<'static>, TrustError> {
    PrivateKeyDer::from_pem_slice(&files::read(path)?)
        .map_err(|e| TrustError::file(path, format!("holds no private key: {e:?}")))
}
