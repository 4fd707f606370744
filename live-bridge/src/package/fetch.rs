//! What a device may fetch of a repository: `metadata/NAME` and `targets/NAME`, nothing else.

use super::refusal::{Error, failed};
use super::repository::Repository;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::path::Path;

/// Longest name of a file that can be asked for: a hash, a package's name and version.
const NAME_BYTES_MAX: usize = 255;

/// Opens a file of the repository in folder `repository` for a device; the file and its size. `file` is `metadata/NAME` or
/// `targets/NAME`; a name is letters, digits, `.`, `_`, `-` and does not begin with a dot. Links are not followed.
///
/// # Errors
/// [`Error::State`] for any other path, [`Error::Io`] where there is no such file.
pub fn open_for_fetch(repository: &Path, file: &str) -> Result<(File, u64), Error> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let good = |name: &str| {
        !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.starts_with('.') && name.bytes().all(allowed)
    };
    let folder_and_name =
        file.split_once('/').filter(|(folder, name)| matches!(*folder, "metadata" | "targets") && good(name));
    if folder_and_name.is_none() {
        let shown: String = file.chars().take(100).collect();
        return Err(Error::State(format!("{shown:?} is no file of a repository: metadata/NAME or targets/NAME")));
    }
    let path = repository.join(file);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::open(&path, flags, Mode::empty()).map_err(std::io::Error::from);
    let opened = File::from(opened.map_err(failed("open", &path))?);
    let meta = opened.metadata().map_err(failed("open", &path))?;
    if !meta.is_file() {
        return Err(Error::State(format!("{} is no plain file", path.display())));
    }
    Ok((opened, meta.len()))
}

impl Repository {
    /// [`open_for_fetch`] in this repository.
    ///
    /// # Errors
    /// As there.
    pub fn open_for_fetch(&self, file: &str) -> Result<(File, u64), Error> {
        open_for_fetch(self.path(), file)
    }
}
