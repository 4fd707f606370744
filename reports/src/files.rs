//! Files: journals in, results out. A result is written beside its place and renamed, so that no half file replaces a good one.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

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
    match read_journal_as_far(path)? {
        (text, None) => Ok(text),
        (_, Some(error)) => Err(error),
    }
}

/// The same, as far as it can be unpacked: of a packed journal that was cut the beginning, and why there is no more.
///
/// # Errors
/// [`FileError`] when it cannot be read.
pub fn read_journal_as_far(path: &Path) -> Result<(String, Option<FileError>), FileError> {
    let mut bytes = std::fs::read(path).map_err(failed("read", path))?;
    let mut error = None;
    if path.extension().is_some_and(|e| e == "zst") {
        let mut unpacked = Vec::new();
        let read = zstd::Decoder::new(bytes.as_slice()).and_then(|mut d| d.read_to_end(&mut unpacked));
        error = read.err().map(failed("unpack", path));
        bytes = unpacked;
    }
    // A damaged byte may break UTF-8; the chain will say where.
    Ok((String::from_utf8_lossy(&bytes).into_owned(), error))
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

/// Where a file is written before it takes its place.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.part", std::process::id()));
    path.with_file_name(name)
}

fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Writes a file beside its place, then renames it.
///
/// # Errors
/// [`FileError`]; what stood there before still does.
pub fn write_aside(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let aside = beside(path);
    write_whole(&aside, bytes).and_then(|()| std::fs::rename(&aside, path)).map_err(|error| {
        // Nothing is lost when this fails too.
        let _ = std::fs::remove_file(&aside);
        failed("write", path)(error)
    })
}

/// Files of one run: each is written beside its place in the folder, and when all are there all take their places. Those that never
/// did are removed, so that a run that fails leaves good files as they were.
#[derive(Debug)]
pub struct Together {
    folder: PathBuf,
    /// Where a file is, and where it belongs.
    written: Mutex<Vec<(PathBuf, PathBuf)>>,
}

impl Together {
    /// Makes the folder, and removes what runs that were killed have left beside places in it.
    ///
    /// # Errors
    /// [`FileError`] when it cannot be made.
    pub fn into(folder: &Path) -> Result<Self, FileError> {
        std::fs::create_dir_all(folder).map_err(failed("make the folder", folder))?;
        remove_parts(folder);
        Ok(Self { folder: folder.to_owned(), written: Mutex::default() })
    }

    /// Writes a file beside its place.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), FileError> {
        let place = self.folder.join(name);
        let aside = beside(&place);
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.push((aside.clone(), place.clone()));
        drop(written);
        write_whole(&aside, bytes).map_err(failed("write", &place))
    }

    /// All files take their places, in the order they were written.
    ///
    /// # Errors
    /// [`FileError`] naming the first that cannot.
    pub fn place(self) -> Result<(), FileError> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        // Asked before the first moves: what can be known of the others must not stop in the middle.
        if let Some((_, place)) = written.iter().find(|(_, place)| place.is_dir()) {
            return Err(failed("write", place)(std::io::Error::other("a folder of that name is there")));
        }
        while let Some((aside, place)) = written.first() {
            std::fs::rename(aside, place).map_err(failed("write", place))?;
            written.remove(0);
        }
        Ok(())
    }
}

impl Drop for Together {
    fn drop(&mut self) {
        let written = self.written.get_mut().unwrap_or_else(PoisonError::into_inner);
        // What cannot be removed now is, by the next run into the folder.
        written.iter().for_each(|(aside, _)| drop(std::fs::remove_file(aside)));
    }
}

/// Removes files that were being written beside their places by processes that are gone. Where the system does not say which there are,
/// nothing is removed.
fn remove_parts(folder: &Path) {
    if !Path::new("/proc/self").exists() {
        return;
    }
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let writer = name.to_str().and_then(|name| name.strip_suffix(".part")?.rsplit_once('.')?.1.parse::<u32>().ok());
        // What has this process's own number is of an earlier one that had it too: this one has written nothing here yet.
        let is_gone = |pid: u32| pid == std::process::id() || !Path::new(&format!("/proc/{pid}")).exists();
        if writer.is_some_and(is_gone) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
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
    fn files_take_their_places_together_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        let files = Together::into(dir.path()).unwrap();
        files.write("a", b"1").unwrap();
        files.write("b", b"1").unwrap();
        files.place().unwrap();
        let files = Together::into(dir.path()).unwrap();
        files.write("a", b"2").unwrap();
        assert_eq!(read("a"), "1", "not before all are there");
        drop(files);
        assert_eq!((read("a"), read("b")), ("1".to_owned(), "1".to_owned()));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "no part is left");
    }

    #[test]
    fn parts_of_processes_that_are_gone_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let alive = format!("journal.jsonl.{}.part", child.id());
        // No system counts its processes this far.
        for name in ["journal-7.jsonl.4294967295.part", &alive, "mine.part", "measures.csv"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        drop(Together::into(dir.path()).unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        let mut left: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, [&alive, "measures.csv", "mine.part"]);
    }

    #[test]
    fn a_packed_journal_that_was_cut_gives_its_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl.zst");
        // Numbers that do not repeat: more than one block of what the packing takes at a time.
        let text: String = (0_u64..40_000).map(|i| format!("{}\n", i.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
        write_journal(&path, &text).unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() * 2 / 3]).unwrap();
        assert!(read_journal(&path).unwrap_err().to_string().contains("cannot unpack"));
        let (begun, error) = read_journal_as_far(&path).unwrap();
        assert!(error.is_some() && !begun.is_empty() && text.starts_with(&begun), "{} bytes", begun.len());
    }

    #[test]
    fn an_error_names_the_file() {
        let error = read_journal(Path::new("nowhere.jsonl")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read nowhere.jsonl");
    }
}
