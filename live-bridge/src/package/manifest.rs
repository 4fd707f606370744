//! `package.toml`: what a package is, what it suits, its scripts with their time limits, and every file with its hash.

use crate::digest::hex;
use serde::{Deserialize, Serialize};
use slacktide_engine::document::{Document, InputError, format_span, nearest};
use slacktide_engine::filter::Filter;
use slacktide_engine::rollout::file::{self, StoneFile};
use slacktide_engine::rollout::{Package, Stone};
use slacktide_engine::time::Span;
use slacktide_engine::version::Version;
use std::collections::BTreeMap;

/// What a package is. Valid by construction: paths stay inside, no two files share a name, every script is a file of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Name of the package: letters, digits, `.`, `_`, `-`; at most 64.
    pub name: String,
    /// The version it brings.
    pub version: Version,
    /// Points an install takes of a batch's `batch_requirement_max`; none: what the fleet file says of the device.
    pub requirement: Option<f64>,
    /// Who a rollout of it is for.
    pub target: Filter,
    /// What it may be installed over.
    pub compatible: Filter,
    /// Releases a device may have to pass through on its way.
    pub stones: Vec<Stone>,
    /// What is run, in the order of [`ScriptKind`].
    pub scripts: BTreeMap<ScriptKind, Script>,
    /// Every file but `package.toml`, in the order of their paths' bytes.
    pub files: Vec<FileEntry>,
    text: String,
}

/// When a script is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ScriptKind {
    /// Before anything is touched: may this device be updated now?
    Precheck,
    /// Moves work away.
    Drain,
    /// Installs; the one every package has.
    Install,
    /// After the switch: does the device do its work?
    Health,
}

/// A script of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Path inside the package.
    pub path: String,
    /// It is ended after this long, 1 s to 24 h.
    pub time_limit: Span,
}

/// A file of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Path inside the package, `/` between its parts.
    pub path: String,
    /// SHA-256 of its content.
    pub sha256: [u8; 32],
    /// Size of its content.
    pub size_bytes: u64,
    /// Permission bits: the owner may read, group and others may not write.
    pub mode: u32,
}

impl ScriptKind {
    /// All, in the order in which they run.
    pub const ALL: [Self; 4] = [Self::Precheck, Self::Drain, Self::Install, Self::Health];

    /// Its name in the manifest.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Precheck => "precheck",
            Self::Drain => "drain",
            Self::Install => "install",
            Self::Health => "health",
        }
    }

    /// Time limit where the manifest gives none.
    pub const fn default_time_limit(self) -> Span {
        Span::from_secs(match self {
            Self::Precheck => 60,
            Self::Drain => 10 * 60,
            Self::Install => 30 * 60,
            Self::Health => 5 * 60,
        })
    }
}

/// The file as it is written.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ManifestFile {
    name: Option<String>,
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requirement: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compatible: Option<String>,
    #[serde(default)]
    scripts: ScriptsFile<String>,
    #[serde(default)]
    time_limits: ScriptsFile<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    stones: Vec<StoneFile>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<Vec<EntryFile>>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ScriptsFile<T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    precheck: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drain: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    install: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<T>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct EntryFile {
    path: Option<String>,
    sha256: Option<String>,
    #[serde(serialize_with = "file::whole")]
    size_bytes: Option<f64>,
    mode: Option<String>,
}

impl<T> Default for ScriptsFile<T> {
    fn default() -> Self {
        Self { precheck: None, drain: None, install: None, health: None }
    }
}

impl<T> ScriptsFile<T> {
    const fn of(&mut self, kind: ScriptKind) -> &mut Option<T> {
        match kind {
            ScriptKind::Precheck => &mut self.precheck,
            ScriptKind::Drain => &mut self.drain,
            ScriptKind::Install => &mut self.install,
            ScriptKind::Health => &mut self.health,
        }
    }
}

impl Manifest {
    /// Its name inside a package.
    pub const FILE: &'static str = "package.toml";
    /// Largest manifest.
    pub const BYTES_MAX: u64 = 1 << 20;
    /// Most files of a package.
    pub const FILES_MAX: usize = 4096;
    /// Longest path inside a package; with [`Self::NAME_BYTES_MAX`] what every tar header can hold.
    pub const PATH_BYTES_MAX: usize = 150;
    /// Longest name of one file.
    pub const NAME_BYTES_MAX: usize = 100;
    /// Largest single file and largest sum of a package's files, 1 TB.
    pub const SIZE_BYTES_MAX: u64 = 1_000_000_000_000;

    /// Reads a whole manifest, its files listed.
    ///
    /// # Errors
    /// [`InputError`] naming file, line, field, value and what would be right.
    pub fn parse(source_name: &str, text: &str) -> Result<Self, InputError> {
        Document::read(source_name, text, |given: ManifestFile, document| {
            let listed = "[[files]] with path, sha256, size_bytes and mode; `slacktide package build` does";
            let (mut given, mut files) = (given, Vec::new());
            for (i, entry) in file::needed(document, "files", given.files.take(), listed)?.into_iter().enumerate() {
                files.push(entry_of(document, &format!("files[{i}]."), entry)?);
            }
            settle(given, document, files, text.to_owned())
        })
    }

    /// Reads what a person wrote and adds the files that were found beside it. Where the text lists files, they must be those.
    ///
    /// # Errors
    /// [`InputError`] naming file, line, field, value and what would be right.
    pub fn with_files(source_name: &str, text: &str, found: &[FileEntry]) -> Result<Self, InputError> {
        Document::read(source_name, text, |mut given: ManifestFile, document| {
            for (i, entry) in given.files.take().into_iter().flatten().enumerate() {
                let listed = entry_of(document, &format!("files[{i}]."), entry)?;
                if !found.contains(&listed) {
                    let problem = "the file in the folder is another (path, sha256, size_bytes or mode); leave [[files]] out, it is made";
                    return Err(document.error(&format!("files[{i}].path"), &listed.path, problem));
                }
            }
            let mut files = found.to_vec();
            files.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
            let mut manifest = settle(given, document, files, String::new())?;
            manifest.text = manifest.written();
            Ok(manifest)
        })
    }

    /// The manifest as it stands in the package.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The package as the engine plans with it; `size_bytes` is what a device downloads.
    pub fn to_engine(&self, size_bytes: u64, sha256: Option<String>) -> Package {
        Package {
            name: self.name.clone(),
            version: self.version,
            size_bytes,
            target: self.target.clone(),
            compatible: self.compatible.clone(),
            stones: self.stones.clone(),
            sha256,
        }
    }

    /// Name of its archive, and of the target in the repository.
    pub fn archive_name(&self) -> String {
        format!("{}-{}.stp", self.name, self.version)
    }

    /// Sum of its files.
    pub fn unpacked_bytes(&self) -> u64 {
        self.files.iter().map(|f| f.size_bytes).sum()
    }

    fn written(&self) -> String {
        let mut scripts = ScriptsFile::default();
        let mut time_limits = ScriptsFile::default();
        for (kind, script) in &self.scripts {
            *scripts.of(*kind) = Some(script.path.clone());
            *time_limits.of(*kind) = Some(format_span(script.time_limit));
        }
        let stone = |stone: &Stone| StoneFile {
            version: Some(stone.version.to_string()),
            size: None,
            size_bytes: Some(stone.size_bytes as f64),
            compatible: Some(stone.compatible.to_string()),
        };
        let entry = |file: &FileEntry| EntryFile {
            path: Some(file.path.clone()),
            sha256: Some(hex(&file.sha256)),
            size_bytes: Some(file.size_bytes as f64),
            mode: Some(format!("{:o}", file.mode)),
        };
        let file = ManifestFile {
            name: Some(self.name.clone()),
            version: Some(self.version.to_string()),
            requirement: self.requirement,
            target: Some(self.target.to_string()),
            compatible: Some(self.compatible.to_string()),
            scripts,
            time_limits,
            stones: self.stones.iter().map(stone).collect(),
            files: Some(self.files.iter().map(entry).collect()),
        };
        toml::to_string(&file).unwrap_or_default()
    }
}

/// Largest requirement: as in a fleet file.
const REQUIREMENT_MAX: f64 = 1e9;

fn settle(
    given: ManifestFile,
    document: &Document,
    files: Vec<FileEntry>,
    text: String,
) -> Result<Manifest, InputError> {
    let name = file::needed(document, "name", given.name, "name = \"firmware\"")?;
    if let Some(problem) = bad_name(&name) {
        return Err(document.error("name", &name, problem));
    }
    let requirement = given.requirement.map(|points| document.in_range("requirement", points, 0.0, REQUIREMENT_MAX));
    agree(document, &files)?;
    Ok(Manifest {
        name,
        version: file::version(document, "version", given.version)?,
        requirement: requirement.transpose()?,
        target: file::filter(document, "target", given.target)?,
        compatible: file::filter(document, "compatible", given.compatible)?,
        stones: file::stones(document, given.stones)?,
        scripts: scripts(document, given.scripts, given.time_limits, &files)?,
        files,
        text,
    })
}

fn scripts(
    document: &Document,
    mut paths: ScriptsFile<String>,
    mut limits: ScriptsFile<String>,
    files: &[FileEntry],
) -> Result<BTreeMap<ScriptKind, Script>, InputError> {
    let mut scripts = BTreeMap::new();
    for kind in ScriptKind::ALL {
        let (field, limit_field) = (format!("scripts.{}", kind.name()), format!("time_limits.{}", kind.name()));
        let limit = limits.of(kind).take();
        let Some(path) = paths.of(kind).take() else {
            if let Some(limit) = limit {
                return Err(document.error(&limit_field, limit, format!("there is no script `{field}` to limit")));
            }
            continue;
        };
        let file = files.iter().find(|f| f.path == path);
        if file.is_some_and(|file| file.mode & 0o111 == 0) {
            return Err(document.error(&field, &path, "cannot be run: `chmod +x` it, then build again"));
        }
        if file.is_none() {
            let hint = nearest(&path, files.iter().map(|f| f.path.as_str()));
            let hint = hint.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
            return Err(document.error(&field, &path, format!("the package has no such file{hint}")));
        }
        let time_limit = match limit {
            Some(text) => document.span(&limit_field, &text, Span::from_secs(1), Span::from_secs(86_400))?,
            None => kind.default_time_limit(),
        };
        scripts.insert(kind, Script { path, time_limit });
    }
    if !scripts.contains_key(&ScriptKind::Install) {
        return Err(document.error("scripts.install", "", "is missing; write install = \"install.sh\" in [scripts]"));
    }
    Ok(scripts)
}

fn entry_of(document: &Document, at: &str, given: EntryFile) -> Result<FileEntry, InputError> {
    let field = |name: &str| format!("{at}{name}");
    let path = file::needed(document, &field("path"), given.path, "path = \"bin/app\"")?;
    let hash = file::needed(document, &field("sha256"), given.sha256, "64 hexadecimal digits")?;
    let sha256 = unhex(&hash)
        .ok_or_else(|| document.error(&field("sha256"), &hash, "must be a SHA-256 hash, 64 digits of 0-9 and a-f"))?;
    let size = file::needed(document, &field("size_bytes"), given.size_bytes, "size_bytes = 1024")?;
    let size = document.in_range(&field("size_bytes"), size, 0.0, Manifest::SIZE_BYTES_MAX as f64)?;
    if size.fract() != 0.0 {
        return Err(document.error(&field("size_bytes"), size, "must be a whole number"));
    }
    let text = file::needed(document, &field("mode"), given.mode, "mode = \"644\"")?;
    let mode = u32::from_str_radix(&text, 8).ok().filter(|m| bad_mode(*m).is_none() && format!("{m:o}") == text);
    let problem = "must be permission bits in octal such as \"644\" or \"755\": the owner may read, group and others may not write";
    let mode = mode.ok_or_else(|| document.error(&field("mode"), &text, problem))?;
    Ok(FileEntry { path, sha256, size_bytes: size as u64, mode })
}

/// Files that can stand beside one another: in order, no name twice, none the folder of another.
fn agree(document: &Document, files: &[FileEntry]) -> Result<(), InputError> {
    if files.len() > Manifest::FILES_MAX {
        return Err(document.error("files", files.len(), format!("there may be at most {}", Manifest::FILES_MAX)));
    }
    let sum = files.iter().fold(0_u64, |sum, f| sum.saturating_add(f.size_bytes));
    if sum > Manifest::SIZE_BYTES_MAX {
        return Err(document.error(
            "files",
            sum,
            format!("may have at most {} bytes in all", Manifest::SIZE_BYTES_MAX),
        ));
    }
    let mut folded: BTreeMap<String, usize> = BTreeMap::new();
    let mut folders: BTreeMap<String, &str> = BTreeMap::new();
    for (i, entry) in files.iter().enumerate() {
        let field = format!("files[{i}].path");
        if let Some(problem) = bad_path(entry.path.as_bytes()) {
            return Err(document.error(&field, &entry.path, problem));
        }
        if i > 0 && files[i - 1].path.as_bytes() > entry.path.as_bytes() {
            return Err(document.error(
                &field,
                &entry.path,
                "is out of order: files stand in the order of their paths",
            ));
        }
        if let Some(other) = folded.insert(entry.path.to_lowercase(), i) {
            let other = &files[other].path;
            return Err(document.error(&field, &entry.path, format!("is the same file as `{other}`, case aside")));
        }
        for (at, _) in entry.path.match_indices('/') {
            let folder = &entry.path[..at];
            let known = folders.entry(folder.to_lowercase()).or_insert(folder);
            if *known != folder {
                let problem = format!("lies in a folder that differs from `{known}` in case only");
                return Err(document.error(&field, &entry.path, problem));
            }
        }
    }
    for (i, entry) in files.iter().enumerate() {
        if folders.contains_key(&entry.path.to_lowercase()) {
            return Err(document.error(&format!("files[{i}].path"), &entry.path, "is both a file and a folder"));
        }
    }
    Ok(())
}

/// What is wrong with a package's name, if anything.
fn bad_name(name: &str) -> Option<&'static str> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let good =
        name.len() <= 64 && name.bytes().all(allowed) && name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    (!good).then_some("must be 1 to 64 letters, digits, `.`, `_` or `-`, the first a letter or digit")
}

/// What is wrong with a path inside a package, if anything.
pub(super) fn bad_path(path: &[u8]) -> Option<&'static str> {
    let Ok(text) = std::str::from_utf8(path) else { return Some("is not UTF-8") };
    if text.is_empty() {
        return Some("is empty");
    }
    if text.starts_with('/') {
        return Some("is absolute: paths begin inside the package");
    }
    if text.contains('\\') {
        return Some("has a backslash: parts are separated by `/`");
    }
    if text.chars().any(char::is_control) {
        return Some("has a control character");
    }
    if text.split('/').any(|part| part == "..") {
        return Some("leads out of the package by `..`");
    }
    if text.split('/').any(|part| part.is_empty() || part == ".") {
        return Some("has an empty part or `.`");
    }
    if text.len() > Manifest::PATH_BYTES_MAX || text.split('/').any(|part| part.len() > Manifest::NAME_BYTES_MAX) {
        return Some("is too long: at most 150 bytes, 100 a part");
    }
    if text.eq_ignore_ascii_case(Manifest::FILE) {
        return Some("is the manifest's own");
    }
    None
}

/// What is wrong with the mode of a file, if anything.
pub(super) const fn bad_mode(mode: u32) -> Option<&'static str> {
    if mode & 0o400 == 0 || mode & !0o755 != 0 { Some("gives rights away") } else { None }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let lower = |b: &u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != 64 || !text.as_bytes().iter().all(lower) {
        return None;
    }
    let mut bytes = [0; 32];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(bytes)
}
