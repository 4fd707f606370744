//! One-time tokens: each lets one device get its first certificate. Only hashes are kept, so the folder gives no token away.

use super::{Authority, Issued, Subject, issue};
use crate::trust::files::{self, SECRET};
use crate::trust::identity::Identity;
use crate::trust::{TrustError, fingerprint, hex, now_s, random};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Longest life of a token, seconds (30 days).
const LIFE_S_MAX: u32 = 30 * super::DAY_S;
/// How often one key may be answered: answers get lost, but not for ever.
const ANSWERS_MAX: u8 = 10;
/// A token is 32 random bytes, written as hexadecimal digits.
const TOKEN_CHARS: usize = 64;

/// A token as it was made: the only time its text is known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeToken {
    /// What the device is given.
    pub text: String,
    /// Whom it is for.
    pub device: String,
    /// Last second it works, Unix seconds.
    pub expires_at_s: i64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    device: String,
    expires_at_s: i64,
    /// SHA-256 of the public key it was spent on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// How many certificates it brought.
    #[serde(default)]
    answers: u8,
}

impl Authority {
    /// Makes a token for a device, good for `life_s` seconds.
    ///
    /// # Errors
    /// A name or lifetime that is not valid, or files that cannot be written.
    pub fn make_token(&self, device: &str, life_s: u32) -> Result<MadeToken, TrustError> {
        if !(1..=LIFE_S_MAX).contains(&life_s) {
            let why = format!("must be 1 s to {} days", LIFE_S_MAX / super::DAY_S);
            return Err(TrustError::value("lifetime of the token", &format!("{life_s} s"), why));
        }
        Identity::Device(device.to_owned()).checked()?;
        let held = self.hold()?;
        self.forget_ended_tokens()?;
        let text = hex(&random::<32>()?);
        let stored =
            Stored { device: device.to_owned(), expires_at_s: now_s() + i64::from(life_s), key: None, answers: 0 };
        write(&self.token_file("open", &text), &stored)?;
        drop(held);
        Ok(MadeToken { text, device: stored.device, expires_at_s: stored.expires_at_s })
    }

    /// Takes a token and gives the certificate of the device it was made for, for the key of the signing request. When the answer was
    /// lost, the same token brings another certificate for *the same key* until it expires; for any other key it is spent.
    ///
    /// # Errors
    /// [`TrustError::Token`] when it is unknown, spent or expired; a signing request that is not good does not spend it.
    pub fn spend_token(&self, token: &str, request: &str) -> Result<(String, Issued), TrustError> {
        let key = issue::request_key(request)?;
        if token.len() != TOKEN_CHARS || !token.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(TrustError::Token);
        }
        let held = self.hold()?;
        let (open, spent) = (self.token_file("open", token), self.token_file("spent", token));
        let proof = issue::key_fingerprint(&key);
        let stored = match read(&spent)? {
            // Written before the open one goes: after power loss between the two the spent one counts.
            Some(stored) if stored.key.as_deref() == Some(&proof) => stored,
            Some(_) => return Err(TrustError::Token),
            None => read(&open)?.ok_or(TrustError::Token)?,
        };
        if now_s() > stored.expires_at_s || stored.answers >= ANSWERS_MAX {
            return Err(TrustError::Token);
        }
        let stored = Stored { key: Some(proof), answers: stored.answers + 1, ..stored };
        write(&spent, &stored)?;
        remove(&open)?;
        let issued = held.make_and_list(&Subject::new(Identity::Device(stored.device.clone())), &key)?;
        Ok((stored.device, issued))
    }

    fn token_file(&self, state: &str, token: &str) -> PathBuf {
        self.folder.join("tokens").join(state).join(format!("{}.json", fingerprint(token.as_bytes())))
    }

    /// Expired tokens of both kinds: their text works no more, so nothing is lost with them.
    fn forget_ended_tokens(&self) -> Result<(), TrustError> {
        let now = now_s();
        for state in ["open", "spent"] {
            let folder = self.folder.join("tokens").join(state);
            for file in std::fs::read_dir(&folder).map_err(TrustError::io("read", &folder))? {
                let path = file.map_err(TrustError::io("read", &folder))?.path();
                if path.extension().is_some_and(|e| e == "json")
                    && read(&path)?.is_some_and(|stored| now > stored.expires_at_s)
                {
                    remove(&path)?;
                }
            }
        }
        Ok(())
    }
}

fn write(path: &Path, stored: &Stored) -> Result<(), TrustError> {
    let text = serde_json::to_vec(stored).map_err(|e| TrustError::file(path, e.to_string()))?;
    files::write(path, &text, SECRET)
}

fn read(path: &Path) -> Result<Option<Stored>, TrustError> {
    if !path.exists() {
        return Ok(None);
    }
    let stored = serde_json::from_slice(&files::read(path)?);
    stored.map(Some).map_err(|e| TrustError::file(path, format!("is no token: {e}")))
}

fn remove(path: &Path) -> Result<(), TrustError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(TrustError::Io { what: "remove", path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}
