//! `slacktide sweep`: many settings of a policy or a world on the same seeds, and which of them to take.

mod document;
mod findings;
mod header;
mod merge;
mod points;
mod rows;
mod work;

use crate::Outcome;
use crate::out::{RUNS, SWEEP};
use crate::worlds::World;
use anyhow::{Result, bail};
use header::Header;
use points::Points;
use rows::Rows;
use slacktide_reports::comparison;
use slacktide_reports::files::{FileError, Together};
use slacktide_sim::sweep::{Design, Shard, UnitResult};
use std::path::{Path, PathBuf};

/// What a sweep's folder holds that tells it from others.
const OWN: [&str; 2] = [SWEEP, RUNS];

const HELP: &str = "\
FIELD is a field of the policy (plan.device_load_max, monitor.lookahead, waves.0.soak) or, after `scenario.`, of the world \
(scenario.devices, scenario.updates.install.median, scenario.pools.0.load.base_percent; without the 0: of every pool). \
LO and HI are numbers (50..90), times (30m..4h) or shares (5%..40%). A choice for a list joins its words by +: forecast.models=naive,arima+theta.

Every point runs the same seeds, so differences between points are paired. Finished runs are kept in DIR/runs.jsonl as they come: the same \
command goes on where it was interrupted. DIR is for one process at a time.

Recommended is the shortest makespan among the points whose overload caused is within the limit; exit status 1 says that a run broke a promise.

Examples:
  slacktide sweep busy-evening --vary plan.device_load_max=50..90:9
  slacktide sweep busy-evening --vary plan.device_load_max=50..90 --vary plan.pool_out_max=5%..40% --out both
  slacktide sweep busy-evening --vary plan.basis=forecast,current --vary monitor.lookahead=10m..2h:4:log
  slacktide sweep --vary plan.device_load_max=50..90 --vary scenario.pools.load.base_percent=10..40 --design sobol
  slacktide sweep busy-evening --vary plan.device_load_max=50..90:9 --shard 1/2 --out a
  slacktide sweep busy-evening --vary plan.device_load_max=50..90:9 --shard 2/2 --out b    # on another machine
  slacktide sweep merge a b --out all    # the same files as without shards";

/// Arguments of `sweep`.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = HELP
)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    world: World,
    /// A field and its values: FIELD=LO..HI, FIELD=LO..HI:N (N values on a grid, default 5), with `:log` in even steps of the logarithm, or FIELD=a,b,c; may be repeated
    #[arg(long, value_name = "FIELD=VALUES")]
    vary: Vec<String>,
    /// Which points are tried: all of a grid, a Latin hypercube, or the first of a Sobol sequence
    #[arg(long, value_name = "D", default_value = "grid", value_parser = ["grid", "lhs", "sobol"])]
    design: String,
    /// Points of lhs and sobol (default 10 a field; for sobol the next power of two)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=100_000))]
    points: Option<u32>,
    /// Runs of every point, with seeds seed, seed + 1, …
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    replications: u32,
    /// Policy of the library, or the path of a .toml file (default: the scenario's)
    #[arg(long, value_name = "P")]
    policy: Option<String>,
    /// Change a field of the policy at every point; may be repeated
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// Most overload a recommended point may cause, device-minutes (default: what the calmest point causes, to the upper end of its interval)
    #[arg(long, value_name = "X")]
    overload_max: Option<f64>,
    /// Run only share I of N equal shares of the work, for `sweep merge` to put together
    #[arg(long, value_name = "I/N", requires = "out")]
    shard: Option<Shard>,
    /// Folder for runs.jsonl, sweep.json, sweep.csv and report.html (default: slacktide-sweep, but with --json nothing is written)
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Forget the finished runs of an earlier sweep in the folder
    #[arg(long)]
    fresh: bool,
    /// Print one JSON document and nothing else
    #[arg(long)]
    json: bool,
}

/// Verbs of `sweep` beside itself.
#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Put the shares of a sweep together: the same files as without shares
    Merge(merge::Args),
}

/// Runs the verb.
pub(crate) fn run(args: &Args) -> Result<Outcome> {
    if let Some(Verb::Merge(merge)) = &args.verb {
        return merge::run(merge);
    }
    limit_is_a_number(args.overload_max)?;
    args.world.check_seeds(args.replications)?;
    args.world.start_threads()?;
    let design = match args.design.as_str() {
        "lhs" => Design::Latin,
        "sobol" => Design::Sobol,
        _ => Design::Grid,
    };
    let points = Points::new(args, design)?;
    let header = Header::new(args, &points);
    let out = args.out.clone().or_else(|| (!args.json).then(|| PathBuf::from("slacktide-sweep")));
    let rows = Rows::open(out.as_deref(), &header, args.fresh)?;
    let results = work::run(&points, &header, rows)?;
    if header.shard == Shard::WHOLE {
        let out = out.as_deref().map(|out| Ok::<_, FileError>((out, Together::into(out)?)));
        return finish(&header, &results, out.transpose()?, args.json);
    }
    let said = format!(
        "share {} of the sweep is done: {} of {} runs; put the shares together by `slacktide sweep merge DIR…`",
        header.shard,
        results.len(),
        header.units()
    );
    if args.json {
        crate::say!("{}", document::share(&header, &results));
    } else {
        crate::say!("{said}");
    }
    Ok(outcome(&results))
}

/// Writes and prints what a whole sweep says; `results` holds every unit, in order.
fn finish(header: &Header, results: &[UnitResult], out: Option<(&Path, Together)>, json: bool) -> Result<Outcome> {
    let document = document::document(header, results);
    let folder = out.as_ref().map(|(folder, _)| *folder);
    if let Some((_, files)) = out {
        let text = serde_json::to_string_pretty(&document)?;
        files.write(SWEEP, text.as_bytes())?;
        files.write("sweep.csv", document::csv(header, results).as_bytes())?;
        files.write("report.html", comparison::html(&text)?.as_bytes())?;
        files.place()?;
    }
    if json {
        crate::say!("{document}");
    } else {
        document::print_plain(header, &document, folder);
    }
    Ok(outcome(results))
}

fn outcome(results: &[UnitResult]) -> Outcome {
    if results.iter().all(|run| run.invariant_violations.is_empty()) { Outcome::Good } else { Outcome::Bad }
}

fn limit_is_a_number(limit: Option<f64>) -> Result<()> {
    match limit {
        Some(limit) if !(limit.is_finite() && limit >= 0.0) => {
            bail!("--overload-max {limit} must be a number of device-minutes, 0 or more")
        }
        _ => Ok(()),
    }
}
