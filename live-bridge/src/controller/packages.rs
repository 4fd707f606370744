//! What the controller needs of a package repository: the facts of a release, and its files for devices.

use crate::package::Repository;
use slacktide_engine::rollout::Package;
use slacktide_engine::version::Version;
use std::fs::File;

/// Where releases come from.
#[tonic::async_trait]
pub trait PackageShelf: Send + Sync + 'static {
    /// The release as the engine plans with it.
    ///
    /// # Errors
    /// What is wrong with the repository, or that there is no such release; for people.
    async fn find(&self, name: &str, version: Version) -> Result<Package, String>;

    /// A file that devices may fetch, `metadata/NAME` or `targets/NAME`, and its size in bytes.
    ///
    /// # Errors
    /// Why not, for people.
    fn open(&self, file: &str) -> Result<(File, u64), String>;
}

#[tonic::async_trait]
impl PackageShelf for Repository {
    async fn find(&self, name: &str, version: Version) -> Result<Package, String> {
        self.release(name, version).await.map(|release| release.to_engine()).map_err(|error| error.to_string())
    }

    fn open(&self, file: &str) -> Result<(File, u64), String> {
        self.open_for_fetch(file).map_err(|error| error.to_string())
    }
}
