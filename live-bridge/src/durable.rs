//! What must outlive a power loss.

use std::fs::File;
use std::io;
use std::path::Path;

/// Makes the names in a folder durable; the empty path is the folder one is in.
///
/// # Errors
/// It cannot be opened or synced.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}
