//! `slacktide simulate`: the main job.

use crate::worlds::World;
use crate::{Outcome, out, worlds};
use anyhow::{Context, Result, anyhow};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use slacktide_engine::journal::JournalMode;
use slacktide_engine::rollout::RolloutState;
use slacktide_forecast::ModelKind;
use slacktide_reports::files::{MEASURES, Together};
use slacktide_reports::{page, tables::Tables, text};
use slacktide_sim::compare::measures;
use slacktide_sim::{RunResult, Setup, replicate, run as run_once};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Arguments of `simulate`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  slacktide simulate\n  slacktide simulate busy-evening --policy all-at-once --seed 7\n  slacktide simulate --traces telemetry/ --devices 1000 --pool-peak 80 --json\n  slacktide simulate bad-release --set monitor.false_alarm_rate=0.001 --replications 20\n  slacktide simulate --chaos --for 10m"
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) world: World,
    /// Policy of the library, or the path of a .toml file (default: the scenario's)
    #[arg(long, value_name = "P")]
    policy: Option<String>,
    /// Let one model forecast everything (`forecast compare --help` names them), `selected`: the best by live accuracy, or `oracle`: perfect foresight
    #[arg(long, value_name = "F")]
    forecaster: Option<String>,
    /// Change a field of the policy, such as plan.device_load_max=60; may be repeated
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// Runs with seeds seed, seed + 1, …
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    replications: u32,
    /// Folder for report.html, measures.csv and the journal (default: slacktide-out, but with --json nothing is written)
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// What the journal holds: decisions, or full with every input
    #[arg(long, value_name = "MODE", default_value = "decisions", value_parser = ["decisions", "full"])]
    journal: String,
    /// Random worlds, faults and policies drawn from the seed, every promise checked; what breaks one is saved and made smaller. With a
    /// scenario: that one world, under its own policy
    #[arg(long, conflicts_with_all = ["policy", "forecaster", "set", "replications", "journal", "traces", "fleet", "devices"])]
    pub(crate) chaos: bool,
    /// With --chaos: go on for this long, such as 10m (default: 1m, or --worlds)
    #[arg(long = "for", value_name = "TIME", requires = "chaos")]
    pub(crate) chaos_for: Option<String>,
    /// With --chaos: so many worlds
    #[arg(long, value_name = "N", requires = "chaos", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) worlds: Option<u64>,
    /// With --chaos: the first world
    #[arg(long, value_name = "N", requires = "chaos", default_value_t = 0)]
    pub(crate) from: u64,
    /// With --chaos: worlds tried to make one that broke a promise smaller
    #[arg(long, value_name = "N", requires = "chaos", default_value_t = 150)]
    pub(crate) shrink_tries: u32,
    /// Print one JSON document and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}

/// Sets one field of a setup's policy, `field=value`.
pub(crate) fn set_field(setup: &mut Setup, text: &str) -> Result<()> {
    setup.policy = worlds::with_field(&setup.policy, text)?;
    Ok(())
}

/// Lets one model forecast everything, or the best of those the policy names, or the world itself.
pub(crate) fn set_forecaster(setup: &mut Setup, name: &str) -> Result<()> {
    match name {
        "selected" => {}
        "oracle" => worlds::Origin::set_oracle(setup),
        // Weights come from the accuracy of the members: they must compete.
        "equal-mean" | "weighted-mean" => {
            let cheap = ModelKind::ALL.into_iter().filter(|m| !m.is_dear());
            setup.policy.forecast.models = std::iter::once(name.parse()?).chain(cheap).collect();
        }
        _ => {
            let kind = crate::forecast::model(name, &["selected", "oracle"])
                .with_context(|| format!("--forecaster {name}"))?;
            setup.policy.forecast.models = vec![kind];
        }
    }
    Ok(())
}

/// Runs the verb.
pub(crate) fn run(args: Args) -> Result<Outcome> {
    args.world.start_threads()?;
    if args.chaos {
        return crate::chaos::run(&args);
    }
    args.world.check_seeds(args.replications)?;
    let setup = setup(&args)?;
    let beside = Beside::of(&args, &setup)?;
    let out = args.out.clone().or_else(|| (!args.json).then(|| PathBuf::from("slacktide-out")));
    let files = out.as_deref().map(|out| out::claim(out, &[out::JOURNAL])).transpose()?;
    let began = std::time::Instant::now();
    let (runs, journal) = run_all(&setup, args.world.seed, args.replications, files.as_ref())?;
    let wall_s = began.elapsed().as_secs_f64();
    let beside = beside.map(|beside| beside.run(&args));
    let tables = Tables::read(journal.iter().map(String::as_str))?;
    if let Some(files) = files {
        write_out(&files, &runs, &tables)?;
        files.place()?;
    }
    let forecaster = args.forecaster.as_deref().unwrap_or("selected");
    if args.json {
        let mut document = document(&setup, forecaster, &runs, wall_s);
        if let Some((runs, remarks)) = &beside {
            document["beside"] = json!({"policy": ALL_AT_ONCE, "measures": summaries(runs), "remarks": remarks});
        }
        crate::say!("{document}");
    } else {
        print_plain(&setup, &runs, &tables, out.as_deref());
        if let Some((beside, remarks)) = &beside {
            let caused = |runs: &[RunResult]| {
                measures(runs).get("overload_caused_device_minutes").map_or(0.0, |summary| summary.mean)
            };
            crate::say!(
                "Overload caused: {} device-minutes; by {ALL_AT_ONCE} in the same world: {}",
                text::number(caused(&runs)),
                text::number(caused(beside))
            );
            remarks.iter().for_each(|remark| crate::say!("  {remark}"));
        }
    }
    let good = runs.iter().all(|r| r.state == RolloutState::Finished && r.violations.is_empty());
    Ok(if good { Outcome::Good } else { Outcome::Bad })
}

/// The world and the policy asked for, checked.
fn setup(args: &Args) -> Result<Setup> {
    let mut setup = args.world.setup()?;
    if let Some(policy) = &args.policy {
        setup = World::with_policy(&setup, policy)?;
    }
    for text in &args.set {
        set_field(&mut setup, text)?;
    }
    if let Some(forecaster) = &args.forecaster {
        set_forecaster(&mut setup, forecaster)?;
    }
    if args.journal == "full" {
        setup.journal = JournalMode::Full;
    }
    worlds::check_slot(&setup)?;
    Ok(setup)
}

const ALL_AT_ONCE: &str = "all-at-once";

/// The same worlds with everybody at once, so that recorded load shows what waiting was worth. Made before anything runs: what cannot be
/// run beside is told while all files are as they were.
struct Beside {
    setup: Setup,
    /// What was changed for it to run.
    remarks: Vec<String>,
}

impl Beside {
    fn of(args: &Args, setup: &Setup) -> Result<Option<Self>> {
        if !args.world.has_traces() || setup.policy.name == ALL_AT_ONCE {
            return Ok(None);
        }
        let mut other = World::with_policy(setup, ALL_AT_ONCE)?;
        let remarks = worlds::adopt_slot(&mut other, setup.policy.plan.slot)?;
        Ok(Some(Self { setup: other, remarks: remarks.into_iter().collect() }))
    }

    fn run(self, args: &Args) -> (Vec<RunResult>, Vec<String>) {
        (replicate(&self.setup, args.world.seed, args.replications, &|_| {}), self.remarks)
    }
}

fn summaries(runs: &[RunResult]) -> serde_json::Map<String, serde_json::Value> {
    measures(runs).into_iter().map(|(name, s)| (name, json!({"mean": s.mean, "ci95": s.ci95}))).collect()
}

/// A bar on stderr, hidden where stderr is no terminal.
pub(crate) fn bar(length: u64, what: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}") {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar
}

/// Runs all seeds; the runs, and the journal of the first. Every journal is written as its run ends, where there is a folder.
fn run_all(
    setup: &Setup,
    seed: u64,
    replications: u32,
    files: Option<&Together>,
) -> Result<(Vec<RunResult>, Vec<String>)> {
    if replications == 1 {
        let bar = bar(1000, "simulating");
        let mut run = run_once(setup, seed, &|share| bar.set_position((share * 1000.0) as u64));
        bar.finish_and_clear();
        let journal = std::mem::take(&mut run.journal);
        write_journal(files, seed, seed, &journal)?;
        return Ok((vec![run], journal));
    }
    let bar = bar(u64::from(replications), "replications");
    let kept = Mutex::new((Vec::new(), Ok(())));
    let runs = replicate(setup, seed, replications, &|run| {
        let journal = std::mem::take(&mut run.journal);
        let written = write_journal(files, seed, run.seed, &journal);
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if run.seed == seed {
            kept.0 = journal;
        }
        if kept.1.is_ok() {
            kept.1 = written;
        }
        bar.inc(1);
    });
    bar.finish_and_clear();
    let (journal, written) = kept.into_inner().map_err(|_| anyhow!("a run panicked"))?;
    written?;
    Ok((runs, journal))
}

fn write_journal(files: Option<&Together>, first_seed: u64, seed: u64, journal: &[String]) -> Result<()> {
    let Some(files) = files else { return Ok(()) };
    let name = if seed == first_seed { out::JOURNAL.to_owned() } else { format!("journal-{seed}.jsonl") };
    files.write(&name, (journal.join("\n") + "\n").as_bytes())?;
    Ok(())
}

fn write_out(files: &Together, runs: &[RunResult], tables: &Tables) -> Result<()> {
    let mut csv = "seed,measure,value\n".to_owned();
    for run in runs {
        for (name, value) in &run.measures {
            csv.push_str(&format!("{},{name},{value}\n", run.seed));
        }
    }
    files.write("report.html", page::html_of_runs(tables, &csv).as_bytes())?;
    files.write(MEASURES, csv.as_bytes())?;
    files.write("ticks.csv", tables.ticks_csv().as_bytes())?;
    Ok(())
}

/// Peak resident memory of this process, where the system tells.
pub(crate) fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kb| kb * 1024)
}

fn document(setup: &Setup, forecaster: &str, runs: &[RunResult], wall_s: f64) -> serde_json::Value {
    let each = |run: &RunResult| {
        json!({
            "seed": run.seed,
            "journal_hash": run.journal_hash,
            "rollout_state": run.state.name(),
            "rollout_states": run.states.iter().map(|state| state.name()).collect::<Vec<_>>(),
            "measures": run.measures,
            "invariant_violations": run.violations,
        })
    };
    json!({
        "schema": "slacktide/simulate/1",
        "scenario": setup.scenario.name,
        "policy": setup.policy.name,
        "forecaster": forecaster,
        "seed": runs[0].seed,
        "devices": setup.scenario.devices,
        "replications": runs.len(),
        "remarks": setup.remarks(),
        "runs": runs.iter().map(each).collect::<Vec<_>>(),
        "measures": summaries(runs),
        "performance": {
            "wall_s": wall_s,
            "events": runs.iter().map(|r| r.events).sum::<u64>(),
            "device_ticks": runs.iter().map(|r| r.device_ticks).sum::<u64>(),
            "peak_rss_bytes": peak_rss_bytes(),
        },
        "invariant_violations": runs.iter().flat_map(|r| r.violations.iter().map(|v| format!("seed {}: {v}", r.seed))).collect::<Vec<_>>(),
    })
}

fn print_plain(setup: &Setup, runs: &[RunResult], tables: &Tables, out: Option<&Path>) {
    crate::say!("{}", text::summary(tables).trim_end());
    if runs.len() > 1 {
        let rows = measures(runs).into_iter().map(|(name, s)| {
            let interval = s.ci95.map(|[low, high]| format!("{} … {}", text::number(low), text::number(high)));
            vec![name, text::number(s.mean), interval.unwrap_or_else(|| "–".to_owned())]
        });
        let rows: Vec<Vec<String>> = rows.collect();
        crate::say!(
            "\nOver {} replications (seeds {}…):\n{}",
            runs.len(),
            runs[0].seed,
            text::table(&["measure", "mean", "95 % interval"], &rows)
        );
        let mut states = std::collections::BTreeMap::<&str, usize>::new();
        runs.iter().for_each(|r| *states.entry(r.state.name()).or_default() += 1);
        let states: Vec<String> = states.iter().map(|(state, n)| format!("{n} {state}")).collect();
        crate::say!("Rollouts ended: {}", states.join(", "));
    }
    for run in runs.iter().filter(|r| !r.violations.is_empty()) {
        crate::say!(
            "\nPROMISE BROKEN under seed {} (again by this same command with --seed {} and no --replications):",
            run.seed,
            run.seed
        );
        run.violations.iter().for_each(|v| crate::say!("  {v}"));
    }
    crate::say!(
        "\nscenario {}  policy {}  seed {}  journal {}",
        setup.scenario.name,
        setup.policy.name,
        runs[0].seed,
        &runs[0].journal_hash[..16]
    );
    if let Some(out) = out {
        crate::say!("The page: {}", out.join("report.html").display());
    }
}
