//! Files: journals in, results out. A result is written beside its place and renamed, so that no half file replaces a good one.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Beside a journal: `seed,measure,value` of every run.
pub const MEASURES: &str = "measures.csv";

/// A file that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}", path.display())]
pub struct FileError {
    what: &'static str,
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError { what, path, source }
}

/// Text of a `.jsonl` or `.jsonl.zst` journal.
///
/// # Errors
/// [`FileError`] when it cannot be read, unpacked, or is not UTF-8.
pub fn read_journal(path: &Path) -> Result<String, FileError> {
    let mut bytes = std::fs::read(path).map_err(failed("read", path))?;
    if path.extension().is_some_and(|e| e == "zst") {
        let mut unpacked = Vec::new();
        zstd::Decoder::new(bytes.as_slice())
            .and_then(|mut d| d.read_to_end(&mut unpacked))
            .map_err(failed("unpack", path))?;
        bytes = unpacked;
    }
    // A damaged byte may break UTF-8; the chain will say where.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Writes a journal, packed when the name ends in `.zst`.
///
/// # Errors
/// [`FileError`].
pub fn write_journal(path: &Path, text: &str) -> Result<(), FileError> {
    if path.extension().is_some_and(|e| e == "zst") {
        let packed = zstd::encode_all(text.as_bytes(), 3).map_err(failed("pack", path))?;
        return write_aside(path, &packed);
    }
    write_aside(path, text.as_bytes())
}

/// Writes a file beside its place, then renames it.
///
/// # Errors
/// [`FileError`]; what stood there before still does.
pub fn write_aside(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.part", std::process::id()));
    let aside = path.with_file_name(name);
    let write = || {
        let mut file = std::fs::File::create(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&aside, path)
    };
    write().map_err(|error| {
        // Nothing is lost when this fails too.
        let _ = std::fs::remove_file(&aside);
        failed("write", path)(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_and_plain_journals_come_back() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.jsonl", "a.jsonl.zst"] {
            let path = dir.path().join(name);
            write_journal(&path, "{}\n{}\n").unwrap();
            assert_eq!(read_journal(&path).unwrap(), "{}\n{}\n");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "no part is left");
    }

    #[test]
    fn an_error_names_the_file() {
        let error = read_journal(Path::new("nowhere.jsonl")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read nowhere.jsonl");
    }
}
