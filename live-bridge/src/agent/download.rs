//! A file of the repository onto the disk, going on where it stopped.

use super::link::Backoff;
use super::packages::{Found, PackageSource, Trouble};
use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// Brings the file to `partial` from where that ends. Goes on after every break of the connection; the caller sets the time limit by
/// dropping the future, which leaves what has come.
///
/// # Errors
/// [`Trouble::Refused`] when the file is not there or longer than it should be, [`Trouble::Disk`].
pub async fn fetch(source: &dyn PackageSource, found: &Found, partial: &Path, stall: Duration) -> Result<(), Trouble> {
    let mut backoff = Backoff::default();
    loop {
        let before = length(partial).await?;
        if before > found.size_bytes {
            // Left over from another package of that name.
            tokio::fs::remove_file(partial).await?;
            continue;
        }
        if before == found.size_bytes && before > 0 {
            return Ok(());
        }
        match piece(source, found, partial, before, stall).await {
            Ok(()) if length(partial).await? == found.size_bytes => return Ok(()),
            Err(Trouble::Unreachable(why)) => {
                tracing::info!(
                    file = found.file,
                    have = length(partial).await?,
                    of = found.size_bytes,
                    why,
                    "download broke off"
                );
            }
            Ok(()) => tracing::info!(file = found.file, "download ended early"),
            Err(other) => return Err(other),
        }
        if length(partial).await? > before {
            backoff = Backoff::default();
        }
        tokio::time::sleep(backoff.next_wait()).await;
    }
}

/// What one connection gives.
async fn piece(
    source: &dyn PackageSource,
    found: &Found,
    partial: &Path,
    offset: u64,
    stall: Duration,
) -> Result<(), Trouble> {
    let stalled = |_| Trouble::Unreachable(format!("nothing came for {} s", stall.as_secs_f64()));
    let mut file = tokio::fs::OpenOptions::new().create(true).append(true).open(partial).await?;
    let mut bytes = tokio::time::timeout(stall, source.fetch(&found.file, offset)).await.map_err(stalled)??;
    let mut have = offset;
    let ended = loop {
        let next = match tokio::time::timeout(stall, bytes.next()).await.map_err(stalled).and_then(|next| next) {
            Ok(Some(next)) => next,
            Ok(None) => break Ok(()),
            Err(trouble) => break Err(trouble),
        };
        if bytes.total().is_some_and(|total| total != found.size_bytes) || next.len() as u64 > found.size_bytes - have {
            drop(file);
            tokio::fs::remove_file(partial).await?;
            return Err(Trouble::Refused(format!(
                "{} is not of the size that is signed ({})",
                found.file, found.size_bytes
            )));
        }
        have += next.len() as u64;
        file.write_all(&next).await?;
    };
    file.sync_all().await?;
    ended
}

async fn length(path: &Path) -> Result<u64, Trouble> {
    match tokio::fs::metadata(path).await {
        Ok(meta) => Ok(meta.len()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// A small file of the repository, whole, in memory.
///
/// # Errors
/// [`Trouble::Refused`] when it is not there or longer than `bytes_max`, [`Trouble::Unreachable`].
pub async fn fetch_whole(source: &dyn PackageSource, file: &str, bytes_max: usize) -> Result<Vec<u8>, Trouble> {
    let mut bytes = source.fetch(file, 0).await?;
    let mut whole = Vec::new();
    while let Some(next) = bytes.next().await? {
        if whole.len() + next.len() > bytes_max {
            return Err(Trouble::Refused(format!("{file} is longer than {bytes_max} bytes")));
        }
        whole.extend(next);
    }
    Ok(whole)
}
