//! Files that are there whole or not at all, and secrets that only their owner can read.

use super::{FILE_BYTES_MAX, TrustError, hex, random};
use crate::durable::sync_folder;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Rights of secrets: the owner alone.
pub(crate) const SECRET: u32 = 0o600;
/// Rights of what everybody may read.
pub(crate) const PUBLIC: u32 = 0o644;

/// Writes a file beside its place and renames it: a reader, and a machine that loses power, sees the old bytes or the new ones.
///
/// # Errors
/// When the file system refuses; the old file is then as it was.
pub(crate) fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), TrustError> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let aside = folder.join(format!(".{name}.{}", hex(&random::<8>()?)));
    let written = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        sync_folder(folder)
    };
    written().map_err(|source| {
        // The half-written copy helps nobody; when even this fails there is nothing more to do.
        let _ = fs::remove_file(&aside);
        TrustError::Io { what: "write", path: path.to_owned(), source }
    })
}

/// Reads a whole file of bounded size.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, TrustError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(TrustError::io("read", path))?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(TrustError::io("read", path))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(TrustError::file(path, format!("is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

/// Reads a whole text file of bounded size.
pub(crate) fn read_text(path: &Path) -> Result<String, TrustError> {
    String::from_utf8(read(path)?).map_err(|_| TrustError::file(path, "is no text"))
}

/// Makes a folder that only its owner may enter, and those above it; one that exists stays as it is.
pub(crate) fn secret_folder(path: &Path) -> Result<(), TrustError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(TrustError::io("make the folder", path))
}

/// A lock on a folder, held until it is dropped, also against other processes.
#[derive(Debug)]
pub(crate) struct FolderLock {
    // Closing the file gives the lock back.
    _file: File,
}

impl FolderLock {
    pub(crate) fn take(folder: &Path) -> Result<Self, TrustError> {
        let path = folder.join("lock");
        let open = || -> std::io::Result<File> {
            let file = OpenOptions::new().create(true).truncate(false).write(true).mode(SECRET).open(&path)?;
            file.lock()?;
            Ok(file)
        };
        Ok(Self { _file: open().map_err(TrustError::io("lock", &path))? })
    }
}
