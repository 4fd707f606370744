//! Runs what a sign-off states: the exact policy, package and fleet in each scenario, many times, and the policy in random worlds.

use crate::simulate::bar;
use crate::worlds;
use anyhow::{Context, Result, bail};
use serde_json::json;
use slacktide_engine::document::hint;
use slacktide_engine::envelope::{Observed, Quantity};
use slacktide_engine::input::DeviceFacts;
use slacktide_engine::journal::Line;
use slacktide_engine::policy::Policy;
use slacktide_engine::rollout::Package;
use slacktide_live_bridge::digest::hex;
use slacktide_live_bridge::package::{Limits, archive};
use slacktide_live_bridge::signoff::{self, Chaos, Demand, Envelope, Evidence, Measure, fleet_fingerprint, sha256};
use slacktide_scenarios::Scenario;
use slacktide_scenarios::recorded::read_fleet;
use slacktide_sim::chaos::{BrokenUnder, under_policy};
use slacktide_sim::compare::measures;
use slacktide_sim::{RunResult, Setup, replicate};
use std::collections::BTreeMap;
use std::path::Path;

/// What the simulator measures besides what a journal shows of a [`Quantity`].
const MEASURED: [&str; 16] = [
    "bytes_moved",
    "critical_after_s",
    "critical_pool_minutes",
    "exposed_devices",
    "failed_devices",
    "false_stops",
    "forecast_mae_points",
    "makespan_s",
    "overload_caused_device_minutes",
    "overload_device_minutes",
    "patch_latency_device_hours",
    "planner_gap_percent",
    "rolled_back_devices",
    "stop_delay_s",
    "unserved_demand_percent",
    "updated_devices",
];

/// A limit of the command line, on a measure there is.
pub(super) fn demand(text: &str) -> Result<Demand, String> {
    let demand = text.parse::<Demand>()?;
    let all = || MEASURED.into_iter().chain(Quantity::ALL.map(Quantity::name));
    if all().any(|name| name == demand.measure) {
        return Ok(demand);
    }
    let near = hint(&demand.measure, all());
    Err(format!("there is no measure `{}`{near} There are: {}", demand.measure, all().collect::<Vec<_>>().join(", ")))
}

/// How much worse than simulated is still good, percent.
pub(super) fn margin(text: &str) -> Result<f64, String> {
    let percent = text.parse::<f64>().ok().filter(|percent| (0.0..=1000.0).contains(percent));
    percent.ok_or_else(|| "must be a number from 0 to 1000, percent".to_owned())
}

/// What a sign-off is about.
pub(super) struct Subject {
    pub(super) policy: Policy,
    pub(super) package: Package,
    pub(super) package_sha256: String,
    pub(super) fleet: Vec<DeviceFacts>,
    pub(super) fingerprint: String,
}

/// A package's archive: what the engine plans with, its SHA-256, and the points an install takes where it says so.
pub(super) fn read_package(path: &Path) -> Result<(Package, String, Option<f64>)> {
    let manifest = archive::inspect(path, &Limits::default()).with_context(|| path.display().to_string())?;
    let (hash, size_bytes) = archive::hash_file(path)?;
    Ok((manifest.to_engine(size_bytes, None), hex(&hash), manifest.requirement))
}

impl Subject {
    /// Reads the package and the fleet.
    pub(super) fn read(policy: Policy, package: &Path, fleet: &Path) -> Result<Self> {
        let mut devices = read_fleet(fleet)?;
        let fingerprint = fleet_fingerprint(&devices);
        let (engine, package_sha256, requirement) = read_package(package)?;
        if let Some(points) = requirement {
            devices.iter_mut().for_each(|device| device.requirement = points);
        }
        if devices.iter().all(|device| engine.left_out(&device.attributes()).is_some()) {
            bail!(
                "no device of {} would get {} {}: see its target, what it may be installed over, and the versions there",
                fleet.display(),
                engine.name,
                engine.version
            );
        }
        Ok(Self { policy, package: engine, package_sha256, fleet: devices, fingerprint })
    }

    fn setup(&self, name: &str, mut scenario: Scenario) -> Result<Setup> {
        scenario.devices = self.fleet.len();
        // A release that is bad stays bad under its new name.
        if let Some(bad) = scenario.failures.bad_release.as_mut().filter(|bad| bad.version == scenario.package.version)
        {
            bad.version = self.package.version;
        }
        scenario.package = self.package.clone();
        let mut setup = Setup::new(scenario, self.policy.clone());
        setup.fleet = Some(self.fleet.clone());
        // No paths: journals are to be the same on another machine.
        setup.origin = json!({
            "sign_off": {"scenario": name, "scenario_sha256": sha256(setup.scenario.text.as_bytes()),
                "package_sha256": self.package_sha256, "fleet_fingerprint": self.fingerprint}
        });
        worlds::fit(&mut setup)
            .and_then(|()| worlds::check_slot(&setup))
            .with_context(|| format!("scenario {name}"))?;
        Ok(setup)
    }

    /// Runs one scenario. Promises that broke come with it.
    pub(super) fn run(&self, name: &str, first_seed: u64, replications: u32) -> Result<Ran> {
        let scenario = worlds::scenario(name)?;
        let scenario_sha256 = sha256(scenario.text.as_bytes());
        let setup = self.setup(name, scenario)?;
        let bad = setup.scenario.failures.bad_release.as_ref();
        let is_bad_release = bad.is_some_and(|bad| bad.version == self.package.version);
        let progress = bar(u64::from(replications), name);
        let runs = replicate(&setup, first_seed, replications, &|run| {
            let seen = observe(&run.journal);
            run.measures.extend(seen);
            progress.inc(1);
        });
        progress.finish_and_clear();
        let summaries = measures(&runs).into_iter();
        let evidence = Evidence {
            scenario: name.to_owned(),
            scenario_sha256,
            first_seed,
            replications,
            journals: runs.iter().map(|run| run.journal_hash.clone()).collect(),
            measures: summaries
                .map(|(name, s)| {
                    let [low, high] = s.ci95.unwrap_or([s.mean; 2]);
                    (name, Measure { mean: s.mean, low, high })
                })
                .collect(),
            missing: missing(&runs),
        };
        Ok(Ran { evidence, is_bad_release, runs })
    }
}

/// A scenario that was run.
pub(super) struct Ran {
    pub(super) evidence: Evidence,
    /// The package is bad in it: what a good rollout looks like it does not show.
    is_bad_release: bool,
    runs: Vec<RunResult>,
}

impl Ran {
    /// Promises that broke, with the seed.
    pub(super) fn violations(&self) -> Vec<String> {
        let scenario = &self.evidence.scenario;
        let of = |run: &RunResult| {
            run.violations.iter().map(|v| format!("{scenario}, seed {}: {v}", run.seed)).collect::<Vec<_>>()
        };
        self.runs.iter().flat_map(of).collect()
    }
}

/// Runs that should have shown a measure that others of the scenario show. Never critical is good; a bad release that nobody ran has no
/// delay to its stop, but one that ran and was not stopped lacks it.
fn missing(runs: &[RunResult]) -> BTreeMap<String, u32> {
    let mut missing = BTreeMap::new();
    let names: std::collections::BTreeSet<&str> =
        runs.iter().flat_map(|run| run.measures.keys()).map(String::as_str).collect();
    for name in names.into_iter().chain(["stop_delay_s"]) {
        let lacks = |run: &&RunResult| match name {
            "critical_after_s" => false,
            "stop_delay_s" => {
                !run.measures.contains_key(name) && run.measures.get("exposed_devices").is_some_and(|n| *n > 0.0)
            }
            _ => !run.measures.contains_key(name),
        };
        let count = runs.iter().filter(lacks).count();
        if count > 0 {
            missing.insert(name.to_owned(), count as u32);
        }
    }
    missing
}

/// What a journal shows of each [`Quantity`], by name.
fn observe(journal: &[String]) -> BTreeMap<String, f64> {
    let mut seen = Observed::of_all();
    // A line of the journal's own making that cannot be read does not occur; it would show as something missing.
    let lines = journal.iter().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    lines.for_each(|line| seen.take(&line.entry));
    seen.values().into_iter().map(|(quantity, value)| (quantity.name().to_owned(), value)).collect()
}

/// The range of what can be seen live, over all runs of scenarios whose release is good; of all, where it is bad in every one.
pub(super) fn envelope(ran: &[Ran]) -> BTreeMap<String, Envelope> {
    let is_good_anywhere = ran.iter().any(|r| !r.is_bad_release);
    let count = |r: &&Ran| !(is_good_anywhere && r.is_bad_release);
    let of = |name: &str| {
        let runs = ran.iter().filter(count).flat_map(|r| &r.runs);
        let values: Vec<f64> = runs.filter_map(|run| run.measures.get(name).copied()).collect();
        let low = values.iter().copied().reduce(f64::min)?;
        let high = values.iter().copied().reduce(f64::max)?;
        Some(Envelope { low, mean: values.iter().sum::<f64>() / values.len() as f64, high })
    };
    Quantity::ALL.into_iter().filter_map(|q| Some((q.name().to_owned(), of(q.name())?))).collect()
}

/// Runs the random worlds.
pub(super) fn chaos(policy: &Policy, seed: u64, worlds: u64) -> (Chaos, Vec<BrokenUnder>) {
    let progress = bar(worlds, "random worlds");
    let broken = under_policy(seed, worlds, policy, &|| progress.inc(1));
    progress.finish_and_clear();
    (Chaos { seed, worlds, broken: broken.len() as u64 }, broken)
}

/// A policy as a sign-off holds it.
pub(super) fn signed_policy(policy: &Policy) -> signoff::Policy {
    let text = policy.to_toml();
    signoff::Policy { name: policy.name.clone(), sha256: sha256(text.as_bytes()), text }
}
