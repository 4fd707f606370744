//! Counts of what happened at the door: plain atomics, read for `/metrics`.

use super::Refusal;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start of the process.
#[derive(Debug, Default)]
pub struct Counters {
    refused: [AtomicU64; Refusal::ALL.len()],
    /// Handshakes that ended well.
    pub accepted: AtomicU64,
    /// Connections that passed the door and are open now.
    pub open: AtomicU64,
    /// Open connections cut because their certificate was revoked.
    pub cut_revoked: AtomicU64,
    /// Open connections cut because their certificate's time was over.
    pub cut_expired: AtomicU64,
    /// Open connections cut because their authority is no longer trusted.
    pub cut_retired: AtomicU64,
    /// Open connections cut because their device opened too many.
    pub cut_crowded: AtomicU64,
    /// Times the accept loop slept because there was no file descriptor left.
    pub accept_pauses: AtomicU64,
    /// Certificates given for tokens.
    pub enrolled: AtomicU64,
    /// Requests for enrolment with a token that is unknown, spent or expired, or without a good request.
    pub enrolments_refused: AtomicU64,
    /// Certificates renewed by their owners.
    pub renewed: AtomicU64,
}

impl Counters {
    /// Counts one refusal.
    pub fn refuse(&self, reason: Refusal) {
        self.refused[reason.index()].fetch_add(1, Ordering::Relaxed);
    }

    /// How many were refused for this reason.
    pub fn refused(&self, reason: Refusal) -> u64 {
        self.refused[reason.index()].load(Ordering::Relaxed)
    }

    /// Every reason with its count, zeros too: metrics want them from the start.
    pub fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Refusal::ALL.into_iter().map(|reason| (reason.name(), self.refused(reason)))
    }

    /// All refusals together.
    pub fn refused_total(&self) -> u64 {
        Refusal::ALL.into_iter().map(|reason| self.refused(reason)).sum()
    }
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
