//! `package verify`: what a device would say.

use super::release_document;
use crate::wait;
use crate::{Outcome, say};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use slacktide_live_bridge::package::{Checked, Error, Limits, Refusal, Release, Trusted, archive};
use std::path::PathBuf;

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
    let root = std::fs::read(&args.root).with_context(|| format!("cannot read the root {}", args.root.display()))?;
    if !args.repository.join("metadata").is_dir() {
        anyhow::bail!("{} is no package repository: it has no folder metadata/", args.repository.display());
    }
    let unseen = tempfile::tempdir().context("cannot make a folder to work in")?;
    let state = args.state.clone().unwrap_or_else(|| unseen.path().to_owned());
    let trusted = Trusted::new(root, state);
    let verdict = wait(trusted.check_folder(&args.repository))?.and_then(|checked| {
        let releases = releases(args, &checked)?;
        Ok((checked, releases))
    });
    match verdict {
        Ok((checked, releases)) => {
            good(args, &checked, &releases);
            Ok(Outcome::Good)
        }
        Err(Error::Refused(refusal)) => {
            if args.json {
                let problem = refusal.to_string();
                say!(
                    "{}",
                    json!({"schema": "slacktide/package-verify/1", "good": false, "refused": refusal.name(), "problem": problem})
                );
            } else {
                say!("refused ({}): {refusal}", refusal.name());
            }
            Ok(Outcome::Bad)
        }
        Err(error) => Err(error.into()),
    }
}

/// The releases asked for, their archives checked to the last bit and read to their end.
fn releases(args: &Args, checked: &Checked) -> Result<Vec<Release>, Error> {
    let limits = Limits::default();
    let check = |release: &Release, path: &PathBuf| {
        let file = release.check_archive(path, &limits)?;
        archive::read(file, Some(&release.manifest), &limits, &mut |_, _| Ok(()))?;
        Ok::<_, Error>(release.clone())
    };
    match &args.archive {
        Some(path) => {
            // What it says it is; whether that is true the release tells.
            let said = archive::inspect(path, &limits)?;
            let release: Result<&Release, Refusal> = checked.release(&said.name, said.version);
            Ok(vec![check(release?, path)?])
        }
        None => checked.releases.iter().map(|r| check(r, &args.repository.join(&r.target.file))).collect(),
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
