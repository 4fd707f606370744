//! The archive: `package.toml`, then every file of the manifest in its order, as tar in one zstd frame.
//!
//! Nothing in it is left to choice: owners and times are 0, modes are 644 or 755, order and headers follow from the manifest. So the same
//! folder gives the same bytes (with the same version of the zstd library), and a reader need not interpret headers: each must be, byte
//! for byte, the one the manifest asks for. Whatever else stands there is refused, and only then looked at, to say what it is.

use super::manifest::{FileEntry, Manifest, bad_path};
use super::refusal::{Error, Refusal, failed};
use super::unpack::Limits;
use crate::digest::hex;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tar::{EntryType, Header};

const BLOCK: usize = 512;
const ZEROS: [u8; 2 * BLOCK] = [0; 2 * BLOCK];
/// Largest window a device must keep in memory while unpacking, 8 MiB.
const WINDOW_LOG: u32 = 23;
/// Close to the best that this window gives, at a tenth of the time of the highest levels.
const LEVEL: i32 = 12;

/// Packs `folder` into `archive`, which is replaced once it is whole.
///
/// # Errors
/// [`Error::Input`] for a mistake in `package.toml` or a file that cannot be in a package, [`Error::Io`].
pub fn build(folder: &Path, archive: &Path) -> Result<Manifest, Error> {
    let manifest = read_folder(folder)?;
    let aside = aside(archive);
    let packed = pack(folder, &manifest, &aside)
        .and_then(|()| std::fs::rename(&aside, archive).map_err(failed("write", archive)));
    if packed.is_err() {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(&aside);
    }
    packed.map(|()| manifest)
}

/// The manifest of a folder, its files found and hashed.
///
/// # Errors
/// [`Error::Input`], [`Error::Io`].
pub fn read_folder(folder: &Path) -> Result<Manifest, Error> {
    let path = folder.join(Manifest::FILE);
    let name = path.display().to_string();
    let text = std::fs::read_to_string(&path).map_err(failed("read", &path))?;
    let mut found = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(within) = folders.pop() {
        let here = folder.join(&within);
        for entry in std::fs::read_dir(&here).map_err(failed("read the folder", &here))? {
            let entry = entry.map_err(failed("read the folder", &here))?;
            let whole = entry.path();
            let wrong = |problem: &str| Error::State(format!("{}: {problem}", whole.display()));
            let Some(part) = entry.file_name().to_str().map(str::to_owned) else {
                return Err(wrong("the name is not UTF-8"));
            };
            let inside = if within.is_empty() { part } else { format!("{within}/{part}") };
            if inside == Manifest::FILE {
                continue;
            }
            if let Some(problem) = bad_path(inside.as_bytes()) {
                return Err(wrong(&format!("a package cannot hold this file: its path {problem}")));
            }
            let meta = std::fs::symlink_metadata(&whole).map_err(failed("read", &whole))?;
            if meta.is_dir() {
                folders.push(inside);
            } else if meta.is_file() {
                let mode = if meta.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
                let (sha256, size_bytes) = hash_file(&whole)?;
                found.push(FileEntry { path: inside, sha256, size_bytes, mode });
            } else {
                return Err(wrong("a package holds plain files only: no links, pipes, sockets or devices"));
            }
        }
        if found.len() > Manifest::FILES_MAX {
            return Err(Error::State(format!("{}: more than {} files", folder.display(), Manifest::FILES_MAX)));
        }
    }
    found.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
    let manifest = Manifest::with_files(&name, &text, &found)?;
    if manifest.text().len() as u64 > Manifest::BYTES_MAX {
        return Err(Error::State(format!(
            "{name}: the manifest with its files is larger than {} bytes",
            Manifest::BYTES_MAX
        )));
    }
    Ok(manifest)
}

/// SHA-256 and size of a file.
///
/// # Errors
/// [`Error::Io`].
pub fn hash_file(path: &Path) -> Result<([u8; 32], u64), Error> {
    hash(&mut File::open(path).map_err(failed("read", path))?).map_err(failed("read", path))
}

/// SHA-256 and size of what is left to read.
pub(super) fn hash(from: &mut dyn Read) -> io::Result<([u8; 32], u64)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut size = 0;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok((hasher.finalize().into(), size)),
            Ok(n) => {
                hasher.update(&buffer[..n]);
                size += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The name beside `path` under which it is written before it is whole.
pub(super) fn aside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.part", std::process::id()));
    path.with_file_name(name)
}

/// The one header that a file may have.
fn header(path: &str, size_bytes: u64, mode: u32) -> io::Result<Header> {
    let mut header = Header::new_ustar();
    header.set_path(path)?;
    header.set_entry_type(EntryType::Regular);
    header.set_size(size_bytes);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    Ok(header)
}

fn pack(folder: &Path, manifest: &Manifest, archive: &Path) -> Result<(), Error> {
    let file = File::create(archive).map_err(failed("write", archive))?;
    let packing = || -> io::Result<_> {
        let mut encoder = zstd::Encoder::new(file.try_clone()?, LEVEL)?;
        encoder.window_log(WINDOW_LOG)?;
        encoder.include_checksum(true)?;
        Ok(encoder)
    };
    let mut encoder = packing().map_err(failed("write", archive))?;
    let text = manifest.text().as_bytes();
    let mut put = |path: &str, size_bytes: u64, mode: u32, content: &mut dyn Read| -> Result<(), Error> {
        let header = header(path, size_bytes, mode).map_err(failed("pack", Path::new(path)))?;
        encoder.write_all(header.as_bytes()).map_err(failed("write", archive))?;
        let copied =
            io::copy(&mut content.take(size_bytes + 1), &mut encoder).map_err(failed("pack", Path::new(path)))?;
        if copied != size_bytes {
            return Err(Error::State(format!("{path} changed while it was packed: begin again")));
        }
        encoder.write_all(&ZEROS[..padding(size_bytes)]).map_err(failed("write", archive))
    };
    put(Manifest::FILE, text.len() as u64, 0o644, &mut &text[..])?;
    for entry in &manifest.files {
        let path = folder.join(&entry.path);
        let mut hashing = Hashing { inner: File::open(&path).map_err(failed("read", &path))?, hasher: Sha256::new() };
        put(&entry.path, entry.size_bytes, entry.mode, &mut hashing)?;
        if <[u8; 32]>::from(hashing.hasher.finalize()) != entry.sha256 {
            return Err(Error::State(format!("{} changed while it was packed: begin again", path.display())));
        }
    }
    encoder.write_all(&ZEROS).map_err(failed("write", archive))?;
    encoder.finish().and_then(|_| file.sync_all()).map_err(failed("write", archive))
}

const fn padding(size_bytes: u64) -> usize {
    (size_bytes as usize).wrapping_neg() % BLOCK
}

struct Hashing<R> {
    inner: R,
    hasher: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..n]);
        Ok(n)
    }
}

/// Reads an archive to its end. Its manifest must be `signed`, where that is given; each file is handed to `take`, which reads its
/// content. Nothing that an archive says can make this read more than the manifest tells, or keep more than the window and the manifest.
///
/// # Errors
/// [`Error::Refused`] for everything that is not exactly an archive of ours, and what `take` returns.
pub fn read(
    from: impl Read,
    signed: Option<&Manifest>,
    limits: &Limits,
    take: &mut dyn FnMut(&FileEntry, &mut dyn Read) -> Result<(), Error>,
) -> Result<Manifest, Error> {
    let mut decoder = zstd::Decoder::new(from).map_err(|e| damaged(&e))?.single_frame();
    decoder.window_log_max(WINDOW_LOG).map_err(|e| damaged(&e))?;
    let manifest = manifest_of(&mut decoder, signed)?;
    limits.allow(&manifest)?;
    for (at, entry) in manifest.files.iter().enumerate() {
        let block = block(&mut decoder, &entry.path)?;
        let wanted = header(&entry.path, entry.size_bytes, entry.mode).map_err(|e| damaged(&e))?;
        if block != *wanted.as_bytes() {
            return Err(diagnosis(&block, &manifest, at).into());
        }
        let mut content = Hashing { inner: (&mut decoder).take(entry.size_bytes), hasher: Sha256::new() };
        take(entry, &mut content)?;
        // What was not taken is hashed all the same.
        let rest = io::copy(&mut content, &mut io::sink());
        rest.map_err(|e| ended(&e, &entry.path))?;
        if content.inner.limit() > 0 {
            return Err(Refusal::Truncated { path: entry.path.clone() }.into());
        }
        let found: [u8; 32] = content.hasher.finalize().into();
        if found != entry.sha256 {
            let problem = format!("its hash is {}, not {}", hex(&found), hex(&entry.sha256));
            return Err(Refusal::Differs { path: entry.path.clone(), problem }.into());
        }
        pad(&mut decoder, entry.size_bytes, &entry.path)?;
    }
    let last = block(&mut decoder, "end")?;
    if last != ZEROS[..BLOCK] {
        return Err(diagnosis(&last, &manifest, manifest.files.len()).into());
    }
    let after = block(&mut decoder, "end")?;
    let more = decoder.read(&mut [0]).map_err(|e| ended(&e, "end"))?;
    if more > 0 || after != ZEROS[..BLOCK] {
        return Err(Refusal::Damaged { problem: "there is more after its end".to_owned() }.into());
    }
    let rest: &mut BufReader<_> = &mut decoder.finish();
    if !rest.fill_buf().map_err(|e| damaged(&e))?.is_empty() {
        return Err(Refusal::Damaged { problem: "there is more after its end".to_owned() }.into());
    }
    Ok(manifest)
}

/// The manifest of an archive whose signature nobody has checked.
///
/// # Errors
/// As [`read`], over the whole archive.
pub fn inspect(archive: &Path, limits: &Limits) -> Result<Manifest, Error> {
    let file = File::open(archive).map_err(failed("read", archive))?;
    read(file, None, limits, &mut |_, _| Ok(()))
}

fn manifest_of(decoder: &mut dyn Read, signed: Option<&Manifest>) -> Result<Manifest, Error> {
    let block = block(decoder, Manifest::FILE)?;
    let size_bytes = Header::from_byte_slice(&block).entry_size().unwrap_or(0);
    if size_bytes > Manifest::BYTES_MAX {
        return Err(
            Refusal::TooMuch { what: "bytes of the manifest", found: size_bytes, max: Manifest::BYTES_MAX }.into()
        );
    }
    let wanted = header(Manifest::FILE, size_bytes, 0o644).map_err(|e| damaged(&e))?;
    if block != *wanted.as_bytes() {
        return Err(Refusal::Damaged { problem: format!("it does not begin with {}", Manifest::FILE) }.into());
    }
    let mut bytes = vec![0; size_bytes as usize];
    decoder.read_exact(&mut bytes).map_err(|e| ended(&e, Manifest::FILE))?;
    pad(decoder, size_bytes, Manifest::FILE)?;
    let Ok(text) = String::from_utf8(bytes) else {
        return Err(Refusal::Damaged { problem: format!("{} is not UTF-8", Manifest::FILE) }.into());
    };
    match signed {
        Some(signed) if signed.text() == text => Ok(signed.clone()),
        Some(_) => {
            let problem = "it is not the signed one".to_owned();
            Err(Refusal::Differs { path: Manifest::FILE.to_owned(), problem }.into())
        }
        None => Ok(Manifest::parse(Manifest::FILE, &text).map_err(Refusal::Manifest)?),
    }
}

fn block(from: &mut dyn Read, path: &str) -> Result<[u8; BLOCK], Refusal> {
    let mut block = [0; BLOCK];
    from.read_exact(&mut block).map_err(|e| ended(&e, path))?;
    Ok(block)
}

fn pad(from: &mut dyn Read, size_bytes: u64, path: &str) -> Result<(), Refusal> {
    let mut rest = [0; BLOCK];
    let rest = &mut rest[..padding(size_bytes)];
    from.read_exact(rest).map_err(|e| ended(&e, path))?;
    if rest.iter().any(|b| *b != 0) {
        return Err(Refusal::Damaged { problem: format!("something is hidden behind {path:?}") });
    }
    Ok(())
}

fn damaged(error: &io::Error) -> Refusal {
    Refusal::Damaged { problem: error.to_string() }
}

/// An error while reading `path`: the archive ends there, or is damaged.
pub(super) fn ended(error: &io::Error, path: &str) -> Refusal {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Refusal::Truncated { path: path.to_owned() },
        _ => damaged(error),
    }
}

/// What stands where the header of file `at` should: for the words of the refusal only, nothing here is believed.
fn diagnosis(block: &[u8; BLOCK], manifest: &Manifest, at: usize) -> Refusal {
    let wanted = manifest.files.get(at);
    if *block == ZEROS[..BLOCK] {
        let path = wanted.map(|w| w.path.clone()).unwrap_or_default();
        return Refusal::Differs { path, problem: "it is missing from the archive".to_owned() };
    }
    let header = Header::from_byte_slice(block);
    let found = header.path_bytes();
    let path: String = String::from_utf8_lossy(&found).chars().take(Manifest::PATH_BYTES_MAX).collect();
    let kind = match header.entry_type() {
        EntryType::Regular => None,
        EntryType::Link => Some("hard link"),
        EntryType::Symlink => Some("symbolic link"),
        EntryType::Char | EntryType::Block => Some("device"),
        EntryType::Fifo => Some("pipe"),
        EntryType::Directory => Some("folder"),
        EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader | EntryType::XGlobalHeader => {
            Some("extended header")
        }
        _ => Some("thing of an unknown kind"),
    };
    if let Some(kind) = kind {
        return Refusal::Kind { path, kind };
    }
    if let Some(problem) = bad_path(&found) {
        return Refusal::Path { path, problem };
    }
    let mode = header.mode().unwrap_or(u32::MAX);
    if mode & !0o777 != 0 {
        return Refusal::Mode { path, mode };
    }
    let folded = path.to_lowercase();
    if manifest.files[..at].iter().any(|f| f.path.to_lowercase() == folded) {
        return Refusal::Twice { path };
    }
    let problem = match wanted {
        Some(wanted) if wanted.path == path && header.entry_size().ok() != Some(wanted.size_bytes) => {
            format!("its size is {}, not {}", header.entry_size().unwrap_or(0), wanted.size_bytes)
        }
        Some(wanted) if wanted.path == path => "its header is not the one the manifest asks for".to_owned(),
        Some(wanted) => format!("the manifest has {:?} here", wanted.path),
        None => "the manifest has no further file".to_owned(),
    };
    Refusal::Differs { path, problem }
}
