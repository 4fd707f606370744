//! A repository and a device beside it.

use slacktide_engine::time::Instant;
use slacktide_live_bridge::package::{
    Checked, Error, Expiries, KeyFolder, Limits, Refusal, Release, Repository, Trusted, archive,
};
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A repository with its keys in a folder of its own.
pub(crate) struct World {
    folder: tempfile::TempDir,
}

pub(crate) fn now() -> Instant {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Instant::from_secs(since.as_secs() as i64)
}

pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// The example of the repository's top.
pub(crate) fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/package")
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(&Expiries::default(), now())
    }

    /// With a repository made at that time.
    pub(crate) fn with(expiries: &Expiries, then: Instant) -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        wait(world.repository().init(&world.root_keys(), &world.keys(), expiries, then)).unwrap();
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn repository(&self) -> Repository {
        Repository::new(self.path("repository"))
    }

    pub(crate) fn root_keys(&self) -> KeyFolder {
        KeyFolder::new(self.path("offline"))
    }

    pub(crate) fn keys(&self) -> KeyFolder {
        KeyFolder::new(self.path("keys"))
    }

    /// A package of that name and version with one more file.
    pub(crate) fn build(&self, name: &str, version: &str, content: &[u8]) -> PathBuf {
        let folder = self.path(&format!("source-{name}-{version}"));
        std::fs::create_dir_all(&folder).unwrap();
        let text = format!("name = \"{name}\"\nversion = \"{version}\"\n[scripts]\ninstall = \"install.sh\"\n");
        std::fs::write(folder.join("package.toml"), text).unwrap();
        std::fs::write(folder.join("install.sh"), "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(folder.join("install.sh"), PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::write(folder.join("data"), content).unwrap();
        let to = self.path(&format!("{name}-{version}.stp"));
        archive::build(&folder, &to).unwrap();
        to
    }

    pub(crate) fn publish(&self, archives: &[PathBuf]) {
        wait(self.repository().publish(archives, &self.keys(), &Expiries::default(), now())).unwrap();
    }

    pub(crate) fn published(&self, name: &str, version: &str) {
        let archive = self.build(name, version, version.as_bytes());
        self.publish(&[archive]);
    }

    /// A device that was given the repository's first root.
    pub(crate) fn device(&self, name: &str) -> Trusted {
        let root = std::fs::read(self.path("repository/metadata/1.root.json")).unwrap();
        Trusted::new(root, self.path(name))
    }

    pub(crate) fn check(&self, device: &Trusted) -> Result<Checked, Error> {
        wait(device.check_folder(&self.path("repository")))
    }

    /// As [`Self::check`], for what must be refused.
    pub(crate) fn refused(&self, device: &Trusted) -> Refusal {
        refusal(self.check(device).unwrap_err())
    }

    pub(crate) fn archive_of(&self, release: &Release) -> PathBuf {
        self.path("repository").join(&release.target.file)
    }
}

pub(crate) fn refusal(error: Error) -> Refusal {
    match error {
        Error::Refused(refusal) => refusal,
        other => panic!("not a refusal: {other}"),
    }
}

/// Unpacks what must be refused, into a folder that must be left as it is, nothing beside it.
pub(crate) fn unpack_refused(release: &Release, archive: &Path, limits: &Limits) -> Refusal {
    let dir = tempfile::tempdir().unwrap();
    let slot = dir.path().join("deep/slot");
    std::fs::create_dir_all(&slot).unwrap();
    let refusal = refusal(release.unpack(archive, &slot, limits).unwrap_err());
    assert_eq!(files(dir.path()), ["deep", "deep/slot"], "something was left behind");
    refusal
}

/// Everything below a folder, in order.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(here) = folders.pop() {
        for entry in std::fs::read_dir(here).unwrap() {
            let path = entry.unwrap().path();
            found.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
            if std::fs::symlink_metadata(&path).unwrap().is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}
