//! The state on disk: one file, written aside, synced, renamed over the old one, which stays as a second copy.

use super::state::State;
use crate::digest::sha256;
use crate::durable::sync_folder;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const FORMAT: &str = "slacktide-agent-state 1";
const FILE: &str = "state";
const PREVIOUS: &str = "state.previous";
const ASIDE: &str = "state.new";

/// Where the state is kept.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
}

/// A state that was read, and from which copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The state.
    pub state: State,
    /// Where it is from.
    pub from: Copy,
}

/// Which copy of the state was good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copy {
    /// There was none: a new device.
    None,
    /// The newest.
    Newest,
    /// The one before: the newest is damaged, as said here. What it tells may be one step behind.
    Previous(String),
}

impl Disk {
    /// Keeps the state in `folder`, which is made when needed.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Reads the state.
    ///
    /// # Errors
    /// Both copies are damaged, or cannot be read: nobody knows then what this device has done, so a person must say.
    pub fn load(&self) -> io::Result<Loaded> {
        let newest = self.read(FILE)?;
        let previous = self.read(PREVIOUS)?;
        match (newest, previous) {
            (Some(Ok(state)), _) => Ok(Loaded { state, from: Copy::Newest }),
            (Some(Err(problem)), Some(Ok(state))) => Ok(Loaded { state, from: Copy::Previous(problem) }),
            (None, Some(Ok(state))) => Ok(Loaded { state, from: Copy::Previous("the file is missing".into()) }),
            (None, None) => Ok(Loaded { state: State::default(), from: Copy::None }),
            (Some(Err(problem)), _) | (None, Some(Err(problem))) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "{}: {problem}, and there is no good copy of it; to begin anew move the folder away (the device will be seen as new)",
                    self.folder.join(FILE).display()
                ),
            )),
        }
    }

    /// Writes the state; it is on the disk, name and all, when this returns.
    ///
    /// # Errors
    /// It could not be written; the copy from before is still there.
    pub fn store(&self, state: &State) -> io::Result<()> {
        let aside = self.folder.join(ASIDE);
        let (file, previous) = (self.folder.join(FILE), self.folder.join(PREVIOUS));
        let mut out = File::create(&aside)?;
        out.write_all(write(state).as_bytes())?;
        out.sync_all()?;
        drop(out);
        if file.exists() {
            absent_is_fine(fs::remove_file(&previous))?;
            fs::hard_link(&file, &previous)?;
        }
        fs::rename(&aside, &file)?;
        sync_folder(&self.folder)
    }

    /// The copy `name`: none where there is no such file, what is wrong with it where it is damaged.
    fn read(&self, name: &str) -> io::Result<Option<Result<State, String>>> {
        match fs::read(self.folder.join(name)) {
            Ok(bytes) => Ok(Some(parse(&bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Writes a small file so that it is whole or the old one: aside, synced, renamed, folder synced.
///
/// # Errors
/// It could not be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let aside = path.with_extension("new");
    let mut out = File::create(&aside)?;
    out.write_all(bytes)?;
    out.sync_all()?;
    fs::rename(&aside, path)?;
    sync_folder(folder)
}

/// `Ok` when the thing was not there.
///
/// # Errors
/// Any other error.
pub fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// First line the format, second the hash of the third, third the state.
fn write(state: &State) -> String {
    // A state is plain numbers, names and lists: there is nothing in it that JSON cannot say.
    let body = serde_json::to_string(state).unwrap_or_default();
    format!("{FORMAT}\n{}\n{body}\n", sha256(body.as_bytes()))
}

fn parse(bytes: &[u8]) -> Result<State, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "is no text".to_owned())?;
    let rest = text.strip_prefix(FORMAT).and_then(|r| r.strip_prefix('\n'));
    let rest = rest.ok_or_else(|| format!("does not begin with \"{FORMAT}\""))?;
    let (sum, body) = rest.split_once('\n').ok_or("is cut off")?;
    let body = body.strip_suffix('\n').ok_or("is cut off")?;
    if sum != sha256(body.as_bytes()) {
        return Err("is damaged: its hash does not fit".into());
    }
    serde_json::from_str(body).map_err(|error| format!("cannot be understood: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(reserved: u64) -> State {
        State { reserved, ..State::default() }
    }

    #[test]
    fn what_was_stored_is_read_and_the_copy_before_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::new(&folder.path().join("deep/er")).unwrap();
        assert_eq!(disk.load().unwrap(), Loaded { state: State::default(), from: Copy::None });
        for reserved in 1..=3 {
            disk.store(&state(reserved)).unwrap();
        }
        assert_eq!(disk.load().unwrap(), Loaded { state: state(3), from: Copy::Newest });
        fs::remove_file(folder.path().join("deep/er/state")).unwrap();
        assert_eq!(disk.load().unwrap().state, state(2));
    }

    #[test]
    fn any_damaged_byte_and_any_cut_is_noticed() {
        let whole = write(&state(7)).into_bytes();
        assert_eq!(parse(&whole), Ok(state(7)));
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            assert!(parse(&flipped).is_err(), "byte {at}");
            assert!(parse(&whole[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn unknown_fields_are_refused() {
        let body = r#"{"reserved":1,"generation":0,"epoch":0,"work":null,"next":null,"answers":[],"more":1}"#;
        let text = format!("{FORMAT}\n{}\n{body}\n", sha256(body.as_bytes()));
        assert!(parse(text.as_bytes()).unwrap_err().contains("more"));
    }

    #[test]
    fn two_damaged_copies_are_for_a_person() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::new(folder.path()).unwrap();
        disk.store(&state(1)).unwrap();
        disk.store(&state(2)).unwrap();
        fs::write(folder.path().join(FILE), "x").unwrap();
        assert!(matches!(disk.load().unwrap(), Loaded { from: Copy::Previous(_), .. }));
        fs::write(folder.path().join(PREVIOUS), "").unwrap();
        assert!(disk.load().unwrap_err().to_string().contains("move the folder away"));
    }
}
