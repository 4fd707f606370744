//! `slacktide package`: packages are built, signed into a repository, checked as a device would, and looked at.

mod archives;
mod repository;
mod verify;

use crate::Outcome;
use anyhow::{Context, Result, anyhow};
use slacktide_engine::document::{format_span, nearest, parse_span};
use slacktide_engine::time::Span;
use slacktide_live_bridge::clock::this_second as now;
use slacktide_live_bridge::digest::hex;
use slacktide_live_bridge::package::{Expiries, KeyFolder, Release, Repository};
use std::path::PathBuf;

/// Things to do with packages.
#[derive(Debug, clap::Subcommand)]
#[command(
    after_help = "From nothing to a release:\n  slacktide package init --repository repo --root-keys /media/offline --keys keys\n  slacktide package build examples/package\n  slacktide package sign greeting-1.1.stp --repository repo --keys keys\n  slacktide package verify --repository repo --root repo/metadata/1.root.json\n\nA device is given the root file once, by a way you trust. From then on it refuses what is older than it has seen, expired, mixed or signed by others. The timestamp holds 7 days: run `slacktide package sign` every day, without archives, or devices will refuse."
)]
pub(crate) enum Verb {
    /// Make an empty repository and its keys; the root key goes to a folder of its own, which belongs offline
    Init(repository::InitArgs),
    /// Pack a folder with its package.toml: the same folder gives the same bytes
    Build(archives::BuildArgs),
    /// Add archives to a repository and sign it anew; without archives, put its expiry off
    Sign(repository::SignArgs),
    /// Check a repository, or one archive of it, as a device would (exit 1: a device would refuse it)
    Verify(verify::Args),
    /// What is in an archive, or how a repository stands; nothing is checked against a root you hold
    Inspect(archives::InspectArgs),
    /// Give a role a new key in place of its old one, or only a later expiry to the root
    RotateKey(repository::RotateArgs),
}

/// `slacktide package …`
pub(crate) fn run(verb: &Verb) -> Result<Outcome> {
    match verb {
        Verb::Init(args) => repository::init(args),
        Verb::Build(args) => archives::build(args),
        Verb::Sign(args) => repository::sign(args),
        Verb::Verify(args) => verify::run(args),
        Verb::Inspect(args) => archives::inspect(args),
        Verb::RotateKey(args) => repository::rotate(args),
    }
}

/// Where a repository is and until when it holds.
#[derive(Debug, clap::Args)]
struct Place {
    /// Folder of the repository: metadata/ and targets/
    #[arg(long, value_name = "DIR")]
    repository: PathBuf,
    /// Folder of the keys of targets, snapshot and timestamp
    #[arg(long, value_name = "DIR")]
    keys: PathBuf,
    /// How long a role's metadata holds, such as timestamp=3d; may be repeated (default: root=365d targets=90d snapshot=30d timestamp=7d)
    #[arg(long, value_name = "ROLE=SPAN")]
    expires: Vec<String>,
    /// Print one JSON document and nothing else
    #[arg(long)]
    json: bool,
}

impl Place {
    fn repository(&self) -> Repository {
        Repository::new(&self.repository)
    }

    fn keys(&self) -> KeyFolder {
        KeyFolder::new(&self.keys)
    }

    fn expiries(&self) -> Result<Expiries> {
        let mut expiries = Expiries::default();
        for text in &self.expires {
            let (role, span) = text
                .split_once('=')
                .with_context(|| format!("--expires {text}: write ROLE=SPAN, such as timestamp=3d"))?;
            let place = match role {
                "root" => &mut expiries.root,
                "targets" => &mut expiries.targets,
                "snapshot" => &mut expiries.snapshot,
                "timestamp" => &mut expiries.timestamp,
                _ => {
                    let roles = ["root", "targets", "snapshot", "timestamp"];
                    let hint = nearest(role, roles).map(|n| format!(" (did you mean `{n}`?)")).unwrap_or_default();
                    return Err(anyhow!(
                        "--expires {text}: there is no role `{role}`{hint}; roles are {}",
                        roles.join(", ")
                    ));
                }
            };
            *place = span_of(text, span)?;
        }
        Ok(expiries)
    }
}

/// Shortest and longest time that metadata may hold.
const EXPIRES: [Span; 2] = [Span::from_secs(60), Span::from_secs(3650 * 86_400)];

fn span_of(text: &str, span: &str) -> Result<Span> {
    let [min, max] = EXPIRES;
    let span = parse_span(span).map_err(|problem| anyhow!("--expires {text}: {problem}"))?;
    if span < min || span > max {
        return Err(anyhow!("--expires {text}: must be a time from {} to {}", format_span(min), format_span(max)));
    }
    Ok(span)
}

/// Size for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// A release in a document.
fn release_document(release: &Release) -> serde_json::Value {
    serde_json::json!({
        "name": release.manifest.name, "version": release.manifest.version.to_string(), "file": release.target.file,
        "size_bytes": release.target.size_bytes, "sha256": hex(&release.target.sha256),
        "unpacked_bytes": release.manifest.unpacked_bytes(), "files": release.manifest.files.len(),
    })
}
