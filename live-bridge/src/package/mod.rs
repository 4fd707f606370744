//! Signed packages: what a release holds, the archive it travels in, the repository that vouches for it, and the device that believes it.
//!
//! Trust is The Update Framework's (TUF): an offline root key names the keys of three roles, which sign the list of releases
//! (`targets`), the state of the repository (`snapshot`) and how fresh that is (`timestamp`). A device starts from one root it was
//! given and refuses what is older than it has seen, expired, mixed from two repositories or signed by somebody else.
//!
//! In reading order: [`Manifest`] says what is in a package, [`archive`] packs a folder into the same bytes every time,
//! [`Repository`] signs and publishes, [`Trusted`] checks on the device and gives a [`Release`], [`Release::unpack`] puts it in place.

pub mod archive;
mod fetch;
mod keys;
mod manifest;
mod refusal;
mod release;
mod repository;
mod trusted;
mod unpack;

pub use fetch::open_for_fetch;
pub use keys::{KeyFolder, Role};
pub use manifest::{FileEntry, Manifest, Script, ScriptKind};
pub use refusal::{Error, Refusal};
pub use release::{Release, Target};
pub use repository::{Expiries, Repository, RoleStatus, Rotation, Status};
pub use trusted::{Checked, Folder, METADATA_BYTES_MAX, Source, Trusted};
pub use unpack::Limits;
