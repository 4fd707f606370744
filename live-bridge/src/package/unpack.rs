//! From a signed archive to a folder: whole, or not at all.

use super::archive::{self, ended, hash};
use super::manifest::{FileEntry, Manifest};
use super::refusal::{Error, Refusal, failed};
use super::release::Release;
use crate::digest::hex;
use crate::durable::sync_folder;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{Read, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// What a device takes at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Size of an archive, bytes.
    pub archive_bytes_max: u64,
    /// Size of all files of a package, bytes.
    pub unpacked_bytes_max: u64,
    /// Number of files of a package.
    pub files_max: usize,
}

impl Default for Limits {
    /// 4 GiB packed, 16 GiB unpacked, as many files as a manifest may list: a whole system image fits, a disk is not filled by accident.
    fn default() -> Self {
        Self { archive_bytes_max: 4 << 30, unpacked_bytes_max: 16 << 30, files_max: Manifest::FILES_MAX }
    }
}

impl Limits {
    pub(super) fn allow(&self, manifest: &Manifest) -> Result<(), Refusal> {
        let too_much = |what, found, max| Err(Refusal::TooMuch { what, found, max });
        if manifest.files.len() > self.files_max {
            return too_much("files", manifest.files.len() as u64, self.files_max as u64);
        }
        if manifest.unpacked_bytes() > self.unpacked_bytes_max {
            return too_much("bytes of files", manifest.unpacked_bytes(), self.unpacked_bytes_max);
        }
        Ok(())
    }
}

impl Release {
    /// Whether a file is this release's archive, to the last bit; nothing is unpacked. Blocks for as long as reading it takes.
    ///
    /// # Errors
    /// [`Error::Refused`] when it is not or is larger than `limits` allow, [`Error::Io`].
    pub fn check_archive(&self, archive: &Path, limits: &Limits) -> Result<File, Error> {
        if self.target.size_bytes > limits.archive_bytes_max {
            let (found, max) = (self.target.size_bytes, limits.archive_bytes_max);
            return Err(Refusal::TooMuch { what: "bytes of the archive", found, max }.into());
        }
        limits.allow(&self.manifest)?;
        let mut file = File::open(archive).map_err(failed("read", archive))?;
        let differ = |found: String, signed: String| Err(Refusal::NotSigned { found, signed }.into());
        let size = file.metadata().map_err(failed("read", archive))?.len();
        if size != self.target.size_bytes {
            return differ(format!("{size} bytes"), format!("{} bytes", self.target.size_bytes));
        }
        let (sha256, _) = hash(&mut file).map_err(failed("read", archive))?;
        if sha256 != self.target.sha256 {
            return differ(format!("SHA-256 {}", hex(&sha256)), hex(&self.target.sha256));
        }
        file.rewind().map_err(failed("read", archive))?;
        Ok(file)
    }

    /// Unpacks the archive of this release into the folder `into`, which must not be there yet, or be empty. The archive is checked whole
    /// before anything is written; files are written in a folder beside `into` (its name with `.unpacking`), brought to the disk and
    /// put in place with one rename. After an error `into` is as it was. What a loss of power leaves behind the next call removes.
    /// Blocks for as long as it takes.
    ///
    /// # Errors
    /// [`Error::Refused`]; [`Error::State`] when `into` is in use; [`Error::Io`].
    pub fn unpack(&self, archive: &Path, into: &Path, limits: &Limits) -> Result<(), Error> {
        let file = self.check_archive(archive, limits)?;
        let in_use = std::fs::symlink_metadata(into).is_ok_and(|meta| !meta.is_dir())
            || std::fs::read_dir(into).is_ok_and(|mut entries| entries.next().is_some());
        if in_use {
            return Err(Error::State(format!(
                "{} is not an empty folder: nothing is unpacked over it",
                into.display()
            )));
        }
        let (Some(name), Some(parent)) = (into.file_name(), into.parent()) else {
            return Err(Error::State(format!("{} has no name to unpack to", into.display())));
        };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let mut beside = name.to_os_string();
        beside.push(".unpacking");
        let beside = parent.join(beside);
        clear(&beside)?;
        let unpacked = self.unpack_beside(&file, &beside, limits).and_then(|()| {
            std::fs::rename(&beside, into).map_err(failed("write", into))?;
            sync_folder(parent).map_err(failed("write", parent))
        });
        if unpacked.is_err() {
            clear(&beside)?;
        }
        unpacked
    }

    fn unpack_beside(&self, archive: &File, beside: &Path, limits: &Limits) -> Result<(), Error> {
        DirBuilder::new().mode(0o755).create(beside).map_err(failed("make the folder", beside))?;
        let mut take = |entry: &FileEntry, content: &mut dyn Read| {
            let path = folder_of(beside, &entry.path)?;
            write(&path, entry.mode, &entry.path, content)
        };
        let manifest = archive::read(archive, Some(&self.manifest), limits, &mut take)?;
        write(&beside.join(Manifest::FILE), 0o644, Manifest::FILE, &mut manifest.text().as_bytes())?;
        sync(beside)
    }
}

/// Brings a folder and all below it to the disk. After everything is written, so that the file system has little left to do for each;
/// and not the whole file system at once, which would wait for everybody else's writes.
pub(super) fn sync(folder: &Path) -> Result<(), Error> {
    for entry in std::fs::read_dir(folder).map_err(failed("read the folder", folder))? {
        let path = entry.map_err(failed("read the folder", folder))?.path();
        if path.is_dir() {
            sync(&path)?;
        } else {
            File::open(&path).and_then(|file| file.sync_all()).map_err(failed("write", &path))?;
        }
    }
    sync_folder(folder).map_err(failed("write", folder))
}

fn clear(folder: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed("remove", folder)(error)),
        _ => Ok(()),
    }
}

/// Makes the folders that a path needs below `top`; the path itself. `top` is new and nobody else's, so no part can be a link.
fn folder_of(top: &Path, inside: &str) -> Result<PathBuf, Error> {
    let path = top.join(inside);
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(failed("make the folder", folder))?;
    }
    Ok(path)
}

fn write(path: &Path, mode: u32, inside: &str, content: &mut dyn Read) -> Result<(), Error> {
    // Never over anything that is there, and closed to others until it is whole.
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed("write", path))?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = match content.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(ended(&error, inside).into()),
        };
        file.write_all(&buffer[..n]).map_err(failed("write", path))?;
    }
    file.set_permissions(Permissions::from_mode(mode)).map_err(failed("write", path))
}
