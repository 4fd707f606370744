//! `slacktide compare`: arms on the same worlds, with paired intervals.

mod best;
mod findings;
mod pairs;
mod rounds;

use crate::simulate::{set_field, set_forecaster};
use crate::worlds::{World, adopt_slot, check_slot};
use crate::{Outcome, out};
use anyhow::{Result, bail};
use best::Best;
use pairs::{Verdict, verdicts};
use serde_json::json;
use slacktide_reports::files::{MEASURES as MEASURES_CSV, Together};
use slacktide_reports::{comparison, text};
use slacktide_sim::compare::{Arm, measures, ranking};
use slacktide_sim::precision::Reached;
use slacktide_sim::{Setup, Summary};
use std::path::PathBuf;

/// Arguments of `compare`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Every arm runs the same seeds, so differences are paired; what chance explains is called noise.\n--precision goes on until the 95 % half-width of overload caused and makespan is within that share of the mean, for every arm and every paired difference (of the larger mean); at least 10 replications.\nExamples:\n  slacktide compare busy-evening --policies predictive,all-at-once,fixed-rate,maintenance-window --replications 20\n  slacktide compare busy-evening --policies predictive,reactive --precision 5%"
)]
pub(crate) struct Args {
    #[command(flatten)]
    world: World,
    /// Policies to compare; the first is held against each other one. `oracle` is the scenario's own policy with perfect foresight of load
    #[arg(
        long,
        value_name = "A,B,…",
        value_delimiter = ',',
        required_unless_present = "forecasters",
        conflicts_with = "forecasters"
    )]
    policies: Vec<String>,
    /// Forecasters to compare under the scenario's policy
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    forecasters: Vec<String>,
    /// Change a field of every policy; may be repeated
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// Runs of every arm
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    replications: u32,
    /// Run until means are known to this share of themselves, such as 5% or 0.05, instead of a number of replications
    #[arg(long, value_name = "P", conflicts_with = "replications", allow_hyphen_values = true, value_parser = rounds::precision)]
    precision: Option<f64>,
    /// Most runs of every arm with --precision, at least 10
    #[arg(long, value_name = "N", default_value_t = 200, requires = "precision", value_parser = clap::value_parser!(u32).range(10..=100_000))]
    replications_max: u32,
    /// Folder for report.html, comparison.json and measures.csv
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print one JSON document and nothing else
    #[arg(long)]
    json: bool,
}

const MEASURES: [&str; 7] = [
    "overload_caused_device_minutes",
    "makespan_s",
    "unserved_demand_percent",
    "patch_latency_device_hours",
    "updated_devices",
    "failed_devices",
    "exposed_devices",
];

/// Runs the verb.
pub(crate) fn run(args: &Args) -> Result<Outcome> {
    args.world.start_threads()?;
    args.world.check_seeds(args.precision.map_or(args.replications, |_| args.replications_max))?;
    let base = args.world.setup()?;
    let mut setups = setups(args, &base)?;
    let mut remarks = base.remarks();
    remarks.extend(one_slot(&mut setups)?);
    let files = args.out.as_deref().map(|out| out::claim(out, &[out::COMPARISON])).transpose()?;
    let (arms, reached) = rounds::run(args, &base, &setups);
    let found = verdicts(&arms, &MEASURES, is_of_forecasters(args));
    let best = Best::of(&arms, pairs::pairs(&arms, is_of_forecasters(args)).len());
    let mut findings: Vec<String> = best.iter().map(Best::sentence).collect();
    findings.extend(reached.as_ref().and_then(|reached| rounds::sentence(args, reached)));
    findings.extend(findings::findings(&arms, &found, &ranking(&arms), is_of_forecasters(args)));
    let mut document = document(args, &base, &arms, &found, &findings);
    document["remarks"] = json!(remarks);
    document["selection"] = best.as_ref().map_or(serde_json::Value::Null, Best::json);
    document["precision"] = reached.as_ref().map_or(serde_json::Value::Null, |r: &Reached| rounds::json(args, r));
    if let Some(files) = files {
        write_out(files, &arms, &document)?;
    }
    if args.json {
        crate::say!("{document}")
    } else {
        print_plain(args, &base, &remarks, &arms, &found, &findings)
    }
    let good = arms.iter().flat_map(|a| &a.runs).all(|r| r.violations.is_empty());
    Ok(if good { Outcome::Good } else { Outcome::Bad })
}

/// Are the arms forecasters rather than policies?
const fn is_of_forecasters(args: &Args) -> bool {
    args.policies.is_empty()
}

/// Runs of every arm.
fn replications(arms: &[Arm]) -> usize {
    arms.first().map_or(0, |arm| arm.runs.len())
}

fn write_out(files: Together, arms: &[Arm], document: &serde_json::Value) -> Result<()> {
    let text = serde_json::to_string_pretty(document)?;
    files.write(out::COMPARISON, text.as_bytes())?;
    files.write(MEASURES_CSV, measures_csv(arms).as_bytes())?;
    files.write("report.html", comparison::html(&text)?.as_bytes())?;
    Ok(files.place()?)
}

/// A row per arm, seed and measure. Arms are names of policies and models or paths, which may hold a comma.
fn measures_csv(arms: &[Arm]) -> String {
    let mut csv = "arm,seed,measure,value\n".to_owned();
    for arm in arms {
        let name = text::csv_field(&arm.name);
        for run in &arm.runs {
            run.measures.iter().for_each(|(m, v)| csv.push_str(&format!("{name},{},{m},{v}\n", run.seed)));
        }
    }
    csv
}

fn setups(args: &Args, base: &Setup) -> Result<Vec<(String, Setup)>> {
    let names = if is_of_forecasters(args) { &args.forecasters } else { &args.policies };
    if names.len() < 2 {
        bail!("name at least two arms to compare, such as --policies predictive,all-at-once");
    }
    let mut setups: Vec<(String, Setup)> = Vec::new();
    for name in names {
        if setups.iter().any(|(known, _)| known == name) {
            bail!("`{name}` stands twice among the arms");
        }
        // Perfect foresight is no policy: the scenario's own runs with forecasts that are never wrong.
        let is_forecaster = is_of_forecasters(args) || name == pairs::ORACLE;
        let mut setup = if is_forecaster { base.clone() } else { World::with_policy(base, name)? };
        if is_forecaster {
            set_forecaster(&mut setup, name)?;
        }
        args.set.iter().try_for_each(|text| set_field(&mut setup, text))?;
        setups.push((name.clone(), setup));
    }
    Ok(setups)
}

/// Arms whose slots do not hold what is reported plan in those of the first that do, so that they can be compared at all: what was changed.
fn one_slot(setups: &mut [(String, Setup)]) -> Result<Vec<String>> {
    let fitting = setups.iter().find(|(_, setup)| setup.check_slot().is_ok()).map(|(_, setup)| setup.policy.plan.slot);
    let mut remarks = Vec::new();
    for (_, setup) in setups {
        match fitting {
            Some(slot) => remarks.extend(adopt_slot(setup, slot)?),
            None => check_slot(setup)?,
        }
    }
    Ok(remarks)
}

fn document(args: &Args, base: &Setup, arms: &[Arm], found: &[Verdict], findings: &[String]) -> serde_json::Value {
    let summary = |s: &Summary| json!({"mean": s.mean, "ci95": s.ci95});
    let arm = |arm: &Arm| {
        let measures: serde_json::Map<_, _> =
            measures(&arm.runs).into_iter().map(|(name, s)| (name, summary(&s))).collect();
        let states: Vec<_> = arm.runs.iter().map(|r| r.state.name()).collect();
        let violations: Vec<_> = arm.runs.iter().flat_map(|r| &r.violations).collect();
        json!({"name": arm.name, "measures": measures, "rollout_states": states, "invariant_violations": violations})
    };
    let difference = |v: &Verdict| {
        let d = &v.difference;
        json!({"a": d.a, "b": d.b, "measure": d.measure, "mean": d.summary.mean, "ci95": d.summary.ci95, "noise": d.is_noise(),
            "p": v.p, "p_corrected": v.p_corrected, "different": v.is_different()})
    };
    json!({
        "schema": "slacktide/compare/1",
        "scenario": base.scenario.name,
        "seed": args.world.seed,
        "devices": base.scenario.devices,
        "replications": replications(arms),
        "arms_are": if is_of_forecasters(args) { "forecasters" } else { "policies" },
        "findings": findings,
        "arms": arms.iter().map(arm).collect::<Vec<_>>(),
        "differences": found.iter().map(difference).collect::<Vec<_>>(),
        "ranking": ranking(arms),
    })
}

fn print_plain(args: &Args, base: &Setup, remarks: &[String], arms: &[Arm], found: &[Verdict], findings: &[String]) {
    crate::say!(
        "{} ({} devices), {} runs of each arm, seeds from {}",
        base.scenario.name,
        base.scenario.devices,
        replications(arms),
        args.world.seed
    );
    remarks.iter().for_each(|remark| crate::say!("  {remark}"));
    let cell = |arm: &Arm, name: &str| {
        measures(&arm.runs).get(name).map_or_else(
            || "–".to_owned(),
            |s| {
                let (scale, unit) = if name == "makespan_s" { (3600.0, " h") } else { (1.0, "") };
                let half = s.half_width().map(|half| format!(" ± {}", text::number(half / scale)));
                format!("{}{}{unit}", text::number(s.mean / scale), half.unwrap_or_default())
            },
        )
    };
    let row = |arm: &Arm| [vec![arm.name.clone()], MEASURES[..5].iter().map(|m| cell(arm, m)).collect()].concat();
    let header =
        ["arm", "overload caused (device-min)", "makespan", "unserved %", "patch latency (device-h)", "updated"];
    crate::say!("\n{}", text::table(&header, &arms.iter().map(row).collect::<Vec<_>>()));
    let shown = found.iter().filter(|v| MEASURES[..2].contains(&v.difference.measure.as_str()));
    let row = |v: &Verdict| {
        let d = &v.difference;
        let scale = if d.measure == "makespan_s" { 3600.0 } else { 1.0 };
        let measure = if d.measure == "makespan_s" { "makespan (h)" } else { "overload caused (device-min)" };
        let verdict = if v.is_different() {
            format!("{} less", if d.summary.mean < 0.0 { &d.a } else { &d.b })
        } else {
            "noise: may be 0".to_owned()
        };
        let n = |v: f64| text::number(v / scale);
        vec![
            format!("{} − {}", d.a, d.b),
            measure.to_owned(),
            n(d.summary.mean),
            d.summary.ci95.map_or_else(|| "–".to_owned(), |[low, high]| format!("{} … {}", n(low), n(high))),
            verdict,
        ]
    };
    let rows: Vec<_> = shown.map(row).collect();
    crate::say!(
        "Paired differences, seed by seed; all intervals of a measure hold at once with 95 % (Bonferroni):\n{}",
        text::table(&["pair", "measure", "mean", "interval", ""], &rows)
    );
    crate::say!("Least overload caused first, then time: {}\n", ranking(arms).join(", "));
    findings.iter().for_each(|sentence| crate::say!("{sentence}"));
    if let Some(out) = &args.out {
        crate::say!("\nPage: {}", out.join("report.html").display());
    }
}
