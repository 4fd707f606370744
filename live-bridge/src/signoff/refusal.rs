//! Why a sign-off lets nothing go live: typed, and each with a name for logs, journals and scripts.

use super::limits::Limit;
use slacktide_engine::time::Instant;

/// Why a sign-off is refused. Each text goes on where the name of the sign-off has been said: `FILE was edited: …`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Not a sign-off, or of another schema.
    #[error("is no sign-off that can be read: {0}")]
    NotReadable(String),
    /// Its bytes are not those that were written and signed.
    #[error("was edited: {0}")]
    Edited(String),
    /// Its time is over.
    #[error("expired at {until}, it is {now}")]
    Expired {
        /// Last moment it was good.
        until: Instant,
        /// Now.
        now: Instant,
    },
    /// Made in the future: one of two clocks is wrong.
    #[error("was made at {made}, it is {now}: one of two clocks is wrong")]
    NotYetValid {
        /// When it says it was made.
        made: Instant,
        /// Now.
        now: Instant,
    },
    /// Another policy.
    #[error("holds for the policy {signed}, not for this one ({found})")]
    WrongPolicy {
        /// SHA-256 of the signed text.
        signed: String,
        /// SHA-256 of the text at hand.
        found: String,
    },
    /// Another package.
    #[error("holds for the package {signed}, not for this one ({found})")]
    WrongPackage {
        /// SHA-256 of the signed archive.
        signed: String,
        /// SHA-256 of the archive at hand.
        found: String,
    },
    /// Another fleet.
    #[error("holds for the fleet {signed}, not for this one ({found})")]
    WrongFleet {
        /// Fingerprint of the signed fleet.
        signed: String,
        /// Fingerprint of the fleet at hand.
        found: String,
    },
    /// The results do not give what was asked, or nothing was asked.
    #[error("{}", .0.as_ref().map_or_else(|| "states no limits".to_owned(), |limit| format!("does not give what was asked: {limit}")))]
    LimitsNotMet(Option<Box<Limit>>),
    /// A promise broke in a random world.
    #[error("broke a promise in {0} random worlds")]
    ChaosBroken(u64),
    /// Fewer people than asked for.
    #[error("is signed by {have} of the {need} people it needs")]
    TooFewSigners {
        /// People who signed.
        have: usize,
        /// People who must.
        need: usize,
    },
    /// Nobody who may consent signed.
    #[error("is signed by no approver")]
    NoApprover,
    /// Who made it did not sign it.
    #[error("is not signed by {0}, who made it")]
    MakerMissing(String),
    /// One person counts once.
    #[error("is signed by {0} already: one person counts once")]
    SamePerson(String),
    /// A certificate of nobody the authorities know, or revoked, or out of its time.
    #[error("is signed by {who}, whose certificate is not good: {why}")]
    UnknownSigner {
        /// Who it says it is.
        who: String,
        /// By the name of the check that failed: unknown-authority, expired, revoked, …
        why: &'static str,
    },
    /// Somebody who may not sign.
    #[error("may not be signed by {0}: operators sign what they made, approvers what others made")]
    WrongRole(String),
}

impl Refusal {
    /// Its name in logs, journals and `--json`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NotReadable(_) => "not-readable",
            Self::Edited(_) => "edited",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not-yet-valid",
            Self::WrongPolicy { .. } => "wrong-policy",
            Self::WrongPackage { .. } => "wrong-package",
            Self::WrongFleet { .. } => "wrong-fleet",
            Self::LimitsNotMet(_) => "limits-not-met",
            Self::ChaosBroken(_) => "chaos-broken",
            Self::TooFewSigners { .. } => "too-few-signers",
            Self::NoApprover => "no-approver",
            Self::MakerMissing(_) => "maker-missing",
            Self::SamePerson(_) => "same-person",
            Self::UnknownSigner { .. } => "unknown-signer",
            Self::WrongRole(_) => "wrong-role",
        }
    }
}
