//! The two places for releases and the link that says which of them is active.
//!
//! ```text
//! slots/a/ · slots/b/          a release each
//! slots/a.json · slots/b.json  what is in them; only there when it was installed whole
//! slots/active -> a            replaced by a rename: it is the old one or the new one, never nothing
//! slots/incoming/              a package that was checked and is not in a slot yet
//! ```

use super::disk::{absent_is_fine, write_whole};
use super::state::{Scripts, Slot};
use crate::durable::sync_folder;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The slots of a device.
#[derive(Debug, Clone)]
pub struct Slots {
    folder: PathBuf,
}

/// What is in a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Its version.
    pub version: String,
    /// What it brings to be run.
    pub scripts: Scripts,
}

impl Slots {
    /// The slots in `folder`, which is made when needed.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.canonicalize()? })
    }

    /// The folder of a slot.
    pub fn path(&self, slot: Slot) -> PathBuf {
        self.folder.join(slot.name())
    }

    /// The link to the active slot.
    pub fn active_path(&self) -> PathBuf {
        self.folder.join("active")
    }

    /// Where a package is unpacked.
    pub fn incoming(&self) -> PathBuf {
        self.folder.join("incoming")
    }

    /// The active slot; none on a device that never had a release from here.
    ///
    /// # Errors
    /// The link cannot be read, or leads elsewhere.
    pub fn active(&self) -> io::Result<Option<Slot>> {
        let link = match fs::read_link(self.active_path()) {
            Ok(link) => link,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let slot = [Slot::A, Slot::B].into_iter().find(|s| link == Path::new(s.name()));
        let odd = || {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} leads to {}", self.active_path().display(), link.display()),
            )
        };
        slot.map(Some).ok_or_else(odd)
    }

    /// What is in a slot; none when it is empty or was left half installed.
    ///
    /// # Errors
    /// Its description cannot be read or understood.
    pub fn release(&self, slot: Slot) -> io::Result<Option<Release>> {
        let path = self.description(slot);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {e}", path.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The release that runs; none on a device that never had one from here.
    ///
    /// # Errors
    /// As for [`Self::active`] and [`Self::release`]; an active slot without a description is one too.
    pub fn current(&self) -> io::Result<Option<Release>> {
        let Some(slot) = self.active()? else { return Ok(None) };
        let missing =
            || io::Error::new(io::ErrorKind::InvalidData, format!("{} is missing", self.description(slot).display()));
        self.release(slot)?.map(Some).ok_or_else(missing)
    }

    /// An empty folder to unpack into.
    ///
    /// # Errors
    /// It cannot be emptied or made.
    pub fn clear_incoming(&self) -> io::Result<PathBuf> {
        let incoming = self.incoming();
        absent_is_fine(fs::remove_dir_all(&incoming))?;
        fs::create_dir(&incoming)?;
        Ok(incoming)
    }

    /// Moves what came in into a slot that is not active; what was there is gone.
    ///
    /// # Errors
    /// A file could not be moved or removed; or the slot is active.
    pub fn promote(&self, slot: Slot) -> io::Result<()> {
        if self.active()? == Some(slot) {
            return Err(io::Error::other(format!("slot {} is active", slot.name())));
        }
        self.forget(slot)?;
        absent_is_fine(fs::remove_dir_all(self.path(slot)))?;
        fs::rename(self.incoming(), self.path(slot))?;
        sync_folder(&self.folder)
    }

    /// Says that a slot holds a whole release, after everything in it is on the disk.
    ///
    /// # Errors
    /// It could not be written.
    pub fn describe(&self, slot: Slot, release: &Release) -> io::Result<()> {
        self.sync()?;
        write_whole(&self.description(slot), &serde_json::to_vec(release)?)
    }

    /// A slot holds no whole release any more.
    ///
    /// # Errors
    /// Its description could not be removed.
    pub fn forget(&self, slot: Slot) -> io::Result<()> {
        absent_is_fine(fs::remove_file(self.description(slot)))?;
        sync_folder(&self.folder)
    }

    /// Makes a slot the active one, or none: by one rename, on the disk when this returns. Doing it again changes nothing.
    ///
    /// # Errors
    /// The link could not be made; the old one is still there then.
    pub fn switch(&self, to: Option<Slot>) -> io::Result<()> {
        match to {
            None => absent_is_fine(fs::remove_file(self.active_path()))?,
            Some(slot) => {
                let aside = self.folder.join("active.new");
                absent_is_fine(fs::remove_file(&aside))?;
                symlink(slot.name(), &aside)?;
                fs::rename(&aside, self.active_path())?;
            }
        }
        sync_folder(&self.folder)
    }

    /// Everything that was written to this file system is on the disk.
    ///
    /// # Errors
    /// The folder cannot be opened, or the disk fails.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(File::open(&self.folder)?)?)
    }

    fn description(&self, slot: Slot) -> PathBuf {
        self.folder.join(slot.name()).with_extension("json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots() -> (tempfile::TempDir, Slots) {
        let folder = tempfile::tempdir().unwrap();
        let slots = Slots::new(folder.path()).unwrap();
        (folder, slots)
    }

    #[test]
    fn a_switch_is_whole_and_can_be_repeated() {
        let (_folder, slots) = slots();
        assert_eq!(slots.active().unwrap(), None);
        for to in [Some(Slot::A), Some(Slot::A), Some(Slot::B), None, None] {
            slots.switch(to).unwrap();
            assert_eq!(slots.active().unwrap(), to);
        }
        // What a crash between link and rename leaves behind is no obstacle.
        symlink("a", slots.folder.join("active.new")).unwrap();
        slots.switch(Some(Slot::B)).unwrap();
        assert_eq!(slots.active().unwrap(), Some(Slot::B));
    }

    #[test]
    fn the_active_slot_is_never_overwritten() {
        let (_folder, slots) = slots();
        slots.clear_incoming().unwrap();
        slots.promote(Slot::A).unwrap();
        slots.describe(Slot::A, &Release { version: "1".into(), scripts: Scripts::default() }).unwrap();
        slots.switch(Some(Slot::A)).unwrap();
        slots.clear_incoming().unwrap();
        assert!(slots.promote(Slot::A).unwrap_err().to_string().contains("slot a is active"));
        assert_eq!(slots.current().unwrap().unwrap().version, "1");
        slots.promote(Slot::B).unwrap();
        assert_eq!(slots.release(Slot::B).unwrap(), None, "not installed yet");
    }

    #[test]
    fn a_link_that_leads_elsewhere_is_an_error() {
        let (_folder, slots) = slots();
        symlink("/", slots.active_path()).unwrap();
        assert!(slots.active().is_err());
    }
}
