//! Where packages come from, and who says that they are good: two doors, so that the machine knows neither transport nor signatures.

use super::state::Scripts;
use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

/// A future behind a door.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Bytes of a file as they come.
pub trait Bytes: Send {
    /// The next piece; none at the end.
    fn next(&mut self) -> Boxed<'_, Result<Option<Vec<u8>>, Trouble>>;
    /// Size of the whole file, where it is known.
    fn total(&self) -> Option<u64>;
}

/// A place that files of the package repository can be fetched from.
pub trait PackageSource: Send + Sync {
    /// The file `metadata/NAME` or `targets/NAME`, from byte `offset` on.
    fn fetch<'a>(&'a self, file: &'a str, offset: u64) -> Boxed<'a, Result<Box<dyn Bytes>, Trouble>>;
}

/// What knows which packages are to be trusted.
pub trait Verifier: Send + Sync {
    /// Fetches what is said about the package and checks who says so. Nothing of the device is touched.
    fn find<'a>(
        &'a self,
        source: Arc<dyn PackageSource>,
        package: &'a str,
        version: &'a str,
    ) -> Boxed<'a, Result<Found, Trouble>>;

    /// Checks the archive against what was found and unpacks it into the empty folder `into`. Nothing is run.
    ///
    /// # Errors
    /// [`Trouble::Refused`] when a byte is not as it should be; nothing in `into` is to be used then.
    fn check_and_unpack(&self, found: &Found, archive: &Path, into: &Path) -> Result<Scripts, Trouble>;
}

/// A package that may be installed, if its bytes are right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What to fetch: `targets/NAME`.
    pub file: String,
    /// Size of it, bytes.
    pub size_bytes: u64,
    /// SHA-256 of it, hexadecimal, as signed.
    pub sha256: String,
    /// Whatever the verifier wants to remember of it.
    pub note: String,
}

/// Why a package did not come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It may come later: no connection, a timeout, a stall.
    Unreachable(String),
    /// There is no such file.
    Missing(String),
    /// It will not: not signed, not whole, not allowed.
    Refused(String),
    /// The device's own disk.
    Disk(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "unreachable: {why}"),
            Self::Missing(why) => write!(f, "missing: {why}"),
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::Disk(why) => write!(f, "disk: {why}"),
        }
    }
}

impl std::error::Error for Trouble {}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self::Disk(error.to_string())
    }
}
