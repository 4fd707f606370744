//! `slacktide report`: the page of a journal.

use crate::Outcome;
use anyhow::Result;
use slacktide_reports::{files, page, tables::Tables};
use std::path::PathBuf;

/// Arguments of `report`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A journal, or a folder with journal.jsonl in it
    path: PathBuf,
    /// Where to write the page (default: report.html beside the journal)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Runs the verb.
pub(crate) fn run(args: &Args) -> Result<Outcome> {
    let journal = if args.path.is_dir() { args.path.join("journal.jsonl") } else { args.path.clone() };
    let text = files::read_journal(&journal)?;
    let tables = Tables::read(text.lines())?;
    let out = args.out.clone().unwrap_or_else(|| journal.with_file_name("report.html"));
    files::write_aside(&out, page::html(&tables).as_bytes())?;
    println!("{}The page: {}", slacktide_reports::text::summary(&tables), out.display());
    Ok(Outcome::Good)
}
