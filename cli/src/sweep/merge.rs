//! `slacktide sweep merge`: shares put together.

use super::header::Header;
use super::rows::{earlier, read, text};
use super::{OWN, Outcome, finish, limit_is_a_number};
use crate::out::{self, RUNS};
use anyhow::{Result, bail};
use slacktide_sim::sweep::{Shard, Unit, UnitResult};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Most missing runs that are named.
const NAMED_MAX: usize = 5;

/// Arguments of `sweep merge`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  slacktide sweep merge share-1 share-2 share-3 --out whole")]
pub(crate) struct Args {
    /// Folders of all shares, in any order
    #[arg(required = true, value_name = "DIR")]
    shares: Vec<PathBuf>,
    /// Folder for runs.jsonl, sweep.json, sweep.csv and report.html (default: slacktide-sweep, but with --json nothing is written)
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Most overload a recommended point may cause, device-minutes, instead of what the shares were run with
    #[arg(long, value_name = "X")]
    overload_max: Option<f64>,
    /// Print one JSON document and nothing else
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub(super) fn run(args: &Args) -> Result<Outcome> {
    limit_is_a_number(args.overload_max)?;
    let (header, results) = merged(args)?;
    let out = args.out.clone().or_else(|| (!args.json).then(|| PathBuf::from("slacktide-sweep")));
    let Some(out) = &out else { return finish(&header, &results, None, args.json) };
    // Runs of this whole sweep are the same runs; any others are not written over.
    earlier(out, &header, "name another --out")?;
    let files = out::claim(out, &OWN)?;
    files.write(RUNS, text(&header, &results)?.as_bytes())?;
    finish(&header, &results, Some((out, files)), args.json)
}

/// The sweep and all of its runs, in order.
fn merged(args: &Args) -> Result<(Header, Vec<UnitResult>)> {
    let mut whole: Option<Header> = None;
    let mut shares: BTreeMap<u32, &PathBuf> = BTreeMap::new();
    let mut all: BTreeMap<Unit, UnitResult> = BTreeMap::new();
    for folder in &args.shares {
        let (header, rows) = read(&folder.join(RUNS))?;
        let first = whole.get_or_insert_with(|| header.clone());
        let here = folder.display();
        if let Some(differs) = header.differs_from(first) {
            bail!("{here} is not of the same sweep as {}: {differs}", args.shares[0].display());
        }
        if header.shard.of != first.shard.of {
            bail!("{here} is share {}, but {} is share {}", header.shard, args.shares[0].display(), first.shard);
        }
        if args.overload_max.is_none() && header.overload_max != first.overload_max {
            bail!("{here} was run with another --overload-max than {}: name one here", args.shares[0].display());
        }
        if let Some(other) = shares.insert(header.shard.index, folder) {
            bail!("{here} and {} are both share {}", other.display(), header.shard);
        }
        let own: std::collections::BTreeSet<Unit> = header.own_units().collect();
        if let Some(unit) = rows.keys().find(|unit| !own.contains(unit)) {
            bail!(
                "{here} holds point {} under seed {}, which is not of share {}",
                unit.point,
                header.seed(*unit),
                header.shard
            );
        }
        all.extend(rows);
    }
    let Some(mut header) = whole else { bail!("name the folders of all shares") };
    let absent: Vec<String> =
        (1..=header.shard.of).filter(|i| !shares.contains_key(i)).map(|i| i.to_string()).collect();
    if !absent.is_empty() {
        bail!("of {} shares these are missing: {}", header.shard.of, absent.join(", "));
    }
    let of = header.shard.of as usize;
    header.shard = Shard::WHOLE;
    header.overload_max = args.overload_max.or(header.overload_max);
    let missing = header.own_units().enumerate().filter(|(_, unit)| !all.contains_key(unit));
    let missing: Vec<(usize, Unit)> = missing.collect();
    if !missing.is_empty() {
        let named = missing.iter().take(NAMED_MAX).map(|(place, unit)| {
            let (point, words, seed) = (unit.point + 1, header.words(unit.point), header.seed(*unit));
            format!("share {}/{of}: point {point} ({words}) under seed {seed}", place % of + 1)
        });
        let named: Vec<String> = named.collect();
        let more = if missing.len() > NAMED_MAX { " …" } else { "" };
        bail!(
            "{} of {} runs are missing: {}{more}. Run those shares once more, they go on where they were interrupted",
            missing.len(),
            header.units(),
            named.join("; ")
        );
    }
    Ok((header, all.into_values().collect()))
}
