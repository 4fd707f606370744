//! `slacktide report`: the page of a journal or of an `--out` folder.

use crate::Outcome;
use crate::out::WITH_A_PAGE;
use anyhow::{Context, Result, bail};
use slacktide_reports::{comparison, files, page, tables::Tables, text};
use std::path::{Path, PathBuf};

/// Arguments of `report`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  slacktide report slacktide-out\n  slacktide journal export --controller https://controller.example:7443 --identity olive live.jsonl && slacktide report live.jsonl --out live.html"
)]
pub(crate) struct Args {
    /// A journal, the store of a controller that does not run, a document (.json) that --out wrote, or a folder that holds one of them
    path: PathBuf,
    /// Where to write the page (default: report.html beside what it is made of)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Runs the verb.
pub(crate) fn run(args: &Args) -> Result<Outcome> {
    let source = source(&args.path)?;
    let (summary, html) = if source.extension().is_some_and(|extension| extension == "json") {
        let document = std::fs::read_to_string(&source).with_context(|| format!("cannot read {}", source.display()))?;
        (String::new(), comparison::html(&document).with_context(|| source.display().to_string())?)
    } else {
        let tables = Tables::read(crate::journal::read_any(&source)?.lines())?;
        // A folder of several runs has their measures beside the journal of the first.
        let measures = if args.path.is_dir() {
            std::fs::read_to_string(args.path.join(files::MEASURES)).unwrap_or_default()
        } else {
            String::new()
        };
        (text::summary(&tables), page::html_of_runs(&tables, &measures))
    };
    let out = args.out.clone().unwrap_or_else(|| source.with_file_name("report.html"));
    if out.exists() && out.canonicalize().ok() == source.canonicalize().ok() {
        bail!("--out {} is what the page is made of: name another file", out.display());
    }
    files::write_aside(&out, html.as_bytes())?;
    crate::say!("{summary}The page: {}", out.display());
    Ok(Outcome::Good)
}

/// The file a page is made of.
fn source(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    match WITH_A_PAGE.map(|name| path.join(name)).into_iter().find(|file| file.is_file()) {
        Some(file) => Ok(file),
        None => bail!("{} holds none of {}", path.display(), WITH_A_PAGE.join(", ")),
    }
}
