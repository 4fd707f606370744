//! A release that a repository has signed and somebody has checked.

use super::manifest::Manifest;
use crate::digest::hex;
use slacktide_engine::rollout::Package;

/// A signed release, as checking a repository gives it.
#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    /// What is in it.
    pub manifest: Manifest,
    /// Its archive.
    pub target: Target,
}

/// The archive of a release, as signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What to fetch: `targets/NAME`.
    pub file: String,
    /// Its size.
    pub size_bytes: u64,
    /// SHA-256 of it.
    pub sha256: [u8; 32],
}

impl Release {
    /// The package as the engine plans with it.
    pub fn to_engine(&self) -> Package {
        self.manifest.to_engine(self.target.size_bytes, Some(hex(&self.target.sha256)))
    }
}
