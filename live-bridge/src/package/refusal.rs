//! Why a package is not believed, or what could not be done.

use slacktide_engine::document::InputError;
use std::path::Path;

/// Why a package or its repository is not believed. Nothing has been changed where one is returned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The metadata of a role is past its date: perhaps somebody keeps news from this device.
    #[error("the {role} metadata has expired")]
    Expired {
        /// Whose metadata.
        role: String,
    },
    /// The repository is older than what this device has seen of it.
    #[error("the {role} metadata is older than what was seen before: version {offered} after {seen}")]
    Older {
        /// Whose metadata.
        role: String,
        /// Version seen before.
        seen: u64,
        /// Version offered now.
        offered: u64,
    },
    /// Not signed by the keys that the trusted root names.
    #[error("the {role} metadata is not signed by a key that is trusted for it")]
    Signer {
        /// Whose metadata.
        role: String,
    },
    /// Metadata or a list in it does not belong to the rest: changed, or mixed from two repositories.
    #[error("the metadata does not fit together: {problem}")]
    Mixed {
        /// What does not fit.
        problem: String,
    },
    /// Metadata that is not there or cannot be read.
    #[error("the metadata cannot be read: {problem}")]
    Unreadable {
        /// What is wrong.
        problem: String,
    },
    /// The clock went back since the last check, so expiry cannot be judged.
    #[error("the clock of this device went back behind its last check; set it right first")]
    Clock,
    /// The repository has no such release.
    #[error("the repository has no {name} {version}{}", hint(.has))]
    Unknown {
        /// Package asked for.
        name: String,
        /// Version asked for.
        version: String,
        /// Releases it has, at most a few.
        has: Vec<String>,
    },
    /// The archive is not the signed one.
    #[error("the archive is not the signed one: {found} where {signed} is signed")]
    NotSigned {
        /// Size or hash found.
        found: String,
        /// Size or hash signed.
        signed: String,
    },
    /// A path in the archive leads, or could lead, out of its folder.
    #[error("the archive names a file {path:?}, which {problem}")]
    Path {
        /// The path, unreadable bytes replaced.
        path: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Something that is not a plain file.
    #[error("the archive holds {path:?}, a {kind}; only plain files are allowed")]
    Kind {
        /// Its path.
        path: String,
        /// What it is.
        kind: &'static str,
    },
    /// A mode that would give rights away.
    #[error("the archive gives {path:?} the mode {mode:o}; set-user, set-group and sticky bits are not allowed")]
    Mode {
        /// Its path.
        path: String,
        /// The mode.
        mode: u32,
    },
    /// A file twice, or two whose names differ in case only.
    #[error("the archive holds {path:?} twice")]
    Twice {
        /// Its path.
        path: String,
    },
    /// Archive and manifest tell of different files.
    #[error("archive and manifest differ at {path:?}: {problem}")]
    Differs {
        /// Where.
        path: String,
        /// How.
        problem: String,
    },
    /// Larger than this device takes.
    #[error("{what}: {found}, at most {max} are taken")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// How much is taken.
        max: u64,
    },
    /// The archive ends early.
    #[error("the archive ends early, in {path:?}")]
    Truncated {
        /// The file it ends in.
        path: String,
    },
    /// The archive is no archive of ours.
    #[error("the archive is damaged: {problem}")]
    Damaged {
        /// What is wrong.
        problem: String,
    },
    /// The manifest in it is not valid.
    #[error("the manifest is not valid: {0}")]
    Manifest(InputError),
}

fn hint(has: &[String]) -> String {
    if has.is_empty() { "; it has no releases".to_owned() } else { format!("; it has {}", has.join(", ")) }
}

impl Refusal {
    /// A short name for counters and outcomes.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Expired { .. } => "expired",
            Self::Older { .. } => "older",
            Self::Signer { .. } => "signer",
            Self::Mixed { .. } => "mixed",
            Self::Unreadable { .. } => "unreadable",
            Self::Clock => "clock",
            Self::Unknown { .. } => "unknown",
            Self::NotSigned { .. } => "not-signed",
            Self::Path { .. } => "path",
            Self::Kind { .. } => "kind",
            Self::Mode { .. } => "mode",
            Self::Twice { .. } => "twice",
            Self::Differs { .. } => "differs",
            Self::TooMuch { .. } => "too-much",
            Self::Truncated { .. } => "truncated",
            Self::Damaged { .. } => "damaged",
            Self::Manifest(_) => "manifest",
        }
    }
}

/// What went wrong with a package.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not believed; nothing has been changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A file that a person wrote is wrong.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The operating system said no.
    #[error("cannot {doing}")]
    Io {
        /// What was being done, with the path.
        doing: String,
        /// What it said.
        source: std::io::Error,
    },
    /// It cannot be done as things stand; says what to do.
    #[error("{0}")]
    State(String),
}

impl Error {
    /// The refusal, where it is one.
    pub const fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }
}

/// An error of the operating system about `path`.
pub(super) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let doing = format!("{doing} {}", path.display());
    move |source| Error::Io { doing, source }
}
