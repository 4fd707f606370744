//! `slacktide plan`: one plan for a fleet as it is, to be looked at. Nothing is changed by it.

mod fleet;
mod show;

use crate::{Outcome, say};
use anyhow::{Context, Result, bail};
use slacktide_engine::policy::Policy;
use slacktide_scenarios::recorded::{ReadOptions, read, read_fleet};
use std::path::PathBuf;

/// Arguments of `plan`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A package file:\n  name = \"firmware\"\n  version = \"2.4.1\"\n  size = \"200 MB\"\n  target = 'version < 2.4.1 && variant == \"a\"'\n\nExamples:\n  slacktide plan --fleet fleet.csv --history telemetry/ --package firmware.toml\n  slacktide plan --fleet fleet.csv --history telemetry/ --package firmware.toml --set regions.north.link_mbit_per_s=40 --explain cam-017\n  slacktide plan --fleet fleet.toml --history load.csv.gz --package firmware.toml --policy cautious --at 2024-03-04T18:00:00Z --json"
)]
pub(crate) struct Args {
    /// The devices: CSV or TOML, `device_id` and what is known of each
    #[arg(long, value_name = "FILE")]
    fleet: PathBuf,
    /// Their load so far: CSV or CSV.GZ; a folder is read with all its folders
    #[arg(long, value_name = "PATH", num_args = 1.., required = true)]
    history: Vec<PathBuf>,
    /// What is rolled out: a .toml file, see below
    #[arg(long, value_name = "FILE")]
    package: PathBuf,
    /// Policy of the library, or the path of a .toml file
    #[arg(long, value_name = "P", default_value = "predictive")]
    policy: String,
    /// Change a field of the policy, such as plan.device_load_max=60; may be repeated
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// Columns of the history to use (default: every numeric one)
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    metrics: Option<Vec<String>>,
    /// Plan for this moment, RFC 3339; later telemetry is not looked at (default: the end of the history)
    #[arg(long, value_name = "MOMENT")]
    at: Option<String>,
    /// Tell the whole story of one device instead
    #[arg(long, value_name = "DEVICE")]
    explain: Option<String>,
    /// Folder for plan.json, beside what is printed
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print one JSON document and nothing else
    #[arg(long)]
    json: bool,
    /// Skip bad rows of the history and count them
    #[arg(long)]
    lenient: bool,
    /// Bring loads outside 0–100 into range and count them
    #[arg(long)]
    clip: bool,
    /// Threads (default: all cores); the plan does not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

/// Runs the verb.
pub(crate) fn run(args: &Args) -> Result<Outcome> {
    crate::worlds::start_threads(args.threads)?;
    let policy = policy(args)?;
    let name = args.package.display().to_string();
    let text = std::fs::read_to_string(&args.package).with_context(|| format!("cannot read the package {name}"))?;
    let package = slacktide_scenarios::package::parse(&name, &text)?;
    let facts = read_fleet(&args.fleet)?;
    let options =
        ReadOptions { metrics: args.metrics.clone(), lenient: args.lenient, clip: args.clip, any_number: false };
    let recording = read(&args.history, &options)?;
    if let Some(name) = &args.explain
        && !facts.iter().any(|f| f.id.as_str() == name)
    {
        let names = facts.iter().map(|f| f.id.as_str());
        let hint = slacktide_engine::document::nearest(name, names).map(|n| format!("; did you mean `{n}`?"));
        bail!("--explain {name}: {} has no such device{}", args.fleet.display(), hint.unwrap_or_default());
    }
    let at = args.at.as_deref().map(fleet::moment).transpose()?;
    let looked = fleet::look(policy, package, facts, &recording, at)?;
    if !looked.dry.violations.is_empty() {
        let rules: Vec<String> = looked.dry.violations.iter().map(ToString::to_string).collect();
        bail!("the plan breaks its own rules, which is a mistake of the planner: {}", rules.join("; "));
    }
    let document = show::document(&looked, args.explain.as_deref());
    if let Some(out) = &args.out {
        std::fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
        let path = out.join("plan.json");
        let text = serde_json::to_string_pretty(&document)? + "\n";
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if args.json {
        say!("{document}");
    } else if let Some(name) = &args.explain {
        show::story(&looked, name).iter().for_each(|line| say!("{line}"));
    } else {
        show::overview(&looked).iter().for_each(|line| say!("{line}"));
    }
    Ok(Outcome::Good)
}

fn policy(args: &Args) -> Result<Policy> {
    let mut policy = crate::worlds::policy(&args.policy)?;
    for text in &args.set {
        let (field, value) = text
            .split_once('=')
            .with_context(|| format!("--set {text}: write FIELD=VALUE, such as plan.device_load_max=60"))?;
        policy = policy.with_field(field.trim(), value.trim())?;
    }
    Ok(policy)
}
