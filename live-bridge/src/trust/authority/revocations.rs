//! Revoking, and the lists that tell everybody.

use super::{Authority, Entry, Held, SKEW_S, moment};
use crate::trust::{TrustError, now_s};
use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber};
use std::fmt::Write as _;

/// Longest reason, characters.
const REASON_CHARS_MAX: usize = 200;

impl Authority {
    /// Revokes one certificate by its serial number, or all in force of an identity (`device/cam-017`), and signs new lists. Revoking
    /// what is revoked already signs them again and changes nothing else, so a command that failed may be repeated.
    ///
    /// # Errors
    /// When nothing like that was issued, or the files cannot be written.
    pub fn revoke(&self, what: &str, reason: Option<&str>) -> Result<Vec<Entry>, TrustError> {
        if reason.is_some_and(|reason| reason.chars().count() > REASON_CHARS_MAX) {
            return Err(TrustError::value("reason", "", format!("has more than {REASON_CHARS_MAX} characters")));
        }
        let mut held = self.hold()?;
        let now = now_s();
        let named: Vec<Entry> =
            held.ledger.entries()?.into_iter().filter(|e| e.serial == what || e.identity == what).collect();
        if named.is_empty() {
            return Err(TrustError::NotIssued(what.to_owned()));
        }
        let fresh: Vec<String> = named.iter().filter(|e| e.in_force(now)).map(|e| e.serial.clone()).collect();
        held.ledger.revoke(&fresh, now, reason)?;
        held.publish()?;
        let revoked = held.ledger.entries()?.into_iter();
        Ok(revoked.filter(|e| e.revoked_at_s.is_some() && named.iter().any(|n| n.serial == e.serial)).collect())
    }

    /// Signs the lists again, with a new end.
    ///
    /// # Errors
    /// When the files cannot be read or written.
    pub fn refresh(&self) -> Result<i64, TrustError> {
        let mut held = self.hold()?;
        held.publish()?;
        Ok(now_s() + i64::from(held.state.lifetimes.revocations_s))
    }

    /// Signs the lists again when half of their life is over; says whether it did. For a controller to call every few hours.
    ///
    /// # Errors
    /// When the files cannot be read or written.
    pub fn refresh_when_due(&self, lists_end_s: i64) -> Result<bool, TrustError> {
        let due = now_s() > lists_end_s - i64::from(self.lifetimes()?.revocations_s) / 2;
        if due {
            self.refresh()?;
        }
        Ok(due)
    }
}

impl Held<'_> {
    /// A list of each generation, PEM. What has ended needs no revoking, but stays an hour for the sake of slow clocks.
    pub(super) fn sign_revocations(&self) -> Result<String, TrustError> {
        let now = now_s();
        let entries = self.ledger.entries()?;
        let mut text = String::new();
        for generation in &self.state.generations {
            let mut revoked_certs = Vec::new();
            for entry in entries.iter().filter(|e| e.generation == generation.number && e.not_after_s > now - 3600) {
                let Some(at_s) = entry.revoked_at_s else { continue };
                revoked_certs.push(RevokedCertParams {
                    serial_number: serial_bytes(&entry.serial)?,
                    revocation_time: moment(at_s)?,
                    reason_code: None,
                    invalidity_date: None,
                });
            }
            let params = CertificateRevocationListParams {
                this_update: moment(now - SKEW_S)?,
                next_update: moment(now + i64::from(self.state.lifetimes.revocations_s))?,
                crl_number: SerialNumber::from_slice(&self.state.revocations_number.to_be_bytes()),
                issuing_distribution_point: None,
                revoked_certs,
                key_identifier_method: KeyIdMethod::Sha256,
            };
            let list = params.signed_by(&self.issuer(generation)?)?;
            // Writing into a string cannot fail.
            let _ = write!(text, "{}", list.pem()?);
        }
        Ok(text)
    }
}

fn serial_bytes(serial: &str) -> Result<SerialNumber, TrustError> {
    let unfit = || TrustError::value("serial", serial, "is no hexadecimal number");
    if !serial.is_ascii() || serial.is_empty() || !serial.len().is_multiple_of(2) {
        return Err(unfit());
    }
    let byte = |at: usize| u8::from_str_radix(&serial[at..at + 2], 16).map_err(|_| unfit());
    let bytes: Vec<u8> = (0..serial.len()).step_by(2).map(byte).collect::<Result<_, _>>()?;
    Ok(SerialNumber::from_slice(&bytes))
}
