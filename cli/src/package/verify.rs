//! `package verify`: what a device would say.

use super::release_document;
use crate::wait;
use crate::{Outcome, say};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use slacktide_live_bridge::package::{Checked, Error, Limits, Refusal, Release, Trusted, archive};
use std::path::{Path, PathBuf};

/// Arguments of `package verify`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  slacktide package verify --repository repo --root root.json\n  slacktide package verify greeting-1.1.stp --repository repo --root root.json\n  slacktide package verify --repository repo --root root.json --state seen/     # remembers, and refuses what is older next time\n\nExit 0: a device would take it. 1: it would refuse, and says why. 2: it could not be looked at."
)]
pub(crate) struct Args {
    /// An archive; it must be a release of the repository (default: all releases, in the repository's targets/)
    archive: Option<PathBuf>,
    /// Folder of the repository
    #[arg(long, value_name = "DIR")]
    repository: PathBuf,
    /// The root file you trust, such as the one devices were given
    #[arg(long, value_name = "FILE")]
    root: PathBuf,
    /// Folder that remembers what was seen, as a device does (default: nothing was seen before)
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Print one JSON document and nothing else
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub(super) fn run(args: &Args) -> Result<Outcome> {
    let root = read_root(&args.root)?;
    if !args.repository.join("metadata").is_dir() {
        anyhow::bail!("{} is no package repository: it has no folder metadata/", args.repository.display());
    }
    let unseen = tempfile::tempdir().context("cannot make a folder to work in")?;
    let state = args.state.clone().unwrap_or_else(|| unseen.path().to_owned());
    let trusted = Trusted::new(root, state);
    // Of several archives the one that is refused is named.
    let mut looked_at = None;
    let verdict = wait(trusted.check_folder(&args.repository))?.and_then(|checked| {
        let releases = releases(args, &checked, &mut looked_at)?;
        Ok((checked, releases))
    });
    match verdict {
        Ok((checked, releases)) => {
            good(args, &checked, &releases);
            Ok(Outcome::Good)
        }
        Err(Error::Refused(refusal)) => {
            let archive = looked_at.map(|path| path.display().to_string());
            if args.json {
                let problem = refusal.to_string();
                say!(
                    "{}",
                    json!({"schema": "slacktide/package-verify/1", "good": false, "refused": refusal.name(), "problem": problem, "archive": archive})
                );
            } else {
                let archive = archive.map(|path| format!("{path}: ")).unwrap_or_default();
                say!("refused ({}): {archive}{refusal}", refusal.name());
            }
            Ok(Outcome::Bad)
        }
        Err(error) => Err(error.into()),
    }
}

/// What a device is given to trust; another file is a mistake of whoever asks, and says nothing of the repository.
fn read_root(path: &Path) -> Result<Vec<u8>> {
    let root = std::fs::read(path).with_context(|| format!("cannot read the root {}", path.display()))?;
    let is_root = serde_json::from_slice::<Value>(&root).is_ok_and(|file| file["signed"]["_type"] == "root");
    if !is_root {
        anyhow::bail!("--root {}: is no root file, such as metadata/1.root.json of a repository", path.display());
    }
    Ok(root)
}

/// The releases asked for, their archives checked to the last bit and read to their end.
fn releases(args: &Args, checked: &Checked, looked_at: &mut Option<PathBuf>) -> Result<Vec<Release>, Error> {
    let limits = Limits::default();
    let mut check = |release: &Release, path: PathBuf| {
        let file = release.check_archive(looked_at.insert(path), &limits)?;
        archive::read(file, Some(&release.manifest), &limits, &mut |_, _| Ok(()))?;
        Ok::<_, Error>(release.clone())
    };
    match &args.archive {
        Some(path) => {
            // What it says it is; whether that is true the release tells.
            let said = archive::inspect(path, &limits)?;
            let release: Result<&Release, Refusal> = checked.release(&said.name, said.version);
            Ok(vec![check(release?, path.clone())?])
        }
        None => checked.releases.iter().map(|r| check(r, args.repository.join(&r.target.file))).collect(),
    }
}

fn good(args: &Args, checked: &Checked, releases: &[Release]) {
    if args.json {
        let (root, timestamp) = (checked.root_version, checked.timestamp_version);
        let releases: Vec<Value> = releases.iter().map(release_document).collect();
        let expires = checked.expires.to_string();
        say!(
            "{}",
            json!({"schema": "slacktide/package-verify/1", "good": true, "root_version": root, "timestamp_version": timestamp, "expires": expires, "releases": releases})
        );
        return;
    }
    for release in releases {
        say!("good: {} {}", release.manifest.name, release.manifest.version);
    }
    say!("the repository is good until {}, root version {}", checked.expires, checked.root_version);
}
