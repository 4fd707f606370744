//! From the command line to a setup that can be run, and back from a journal's header.

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use slacktide_engine::document::format_span;
use slacktide_engine::journal::JournalMode;
use slacktide_engine::policy::{Policy, library as policies};
use slacktide_engine::time::Span;
use slacktide_scenarios::recorded::{ReadOptions, read, read_fleet};
use slacktide_scenarios::{Scenario, library as scenarios};
use slacktide_sim::{LoadSource, Setup};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The world, as `simulate` and `compare` take it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct World {
    /// Scenario of the library, or the path of a .toml file (default: first-rollout)
    pub(crate) scenario: Option<String>,
    /// Devices, instead of the scenario's number
    #[arg(long, value_name = "N", conflicts_with = "fleet", value_parser = clap::value_parser!(u32).range(1..=4_000_000))]
    pub(crate) devices: Option<u32>,
    /// First seed; replication i uses seed + i
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = seed)]
    pub(crate) seed: u64,
    /// Recorded load (CSV or CSV.GZ; a folder is read with all its folders) instead of the scenario's
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub(crate) traces: Vec<PathBuf>,
    /// Columns of the traces to use; the first is the demand that moves when a device is out
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', requires = "traces")]
    pub(crate) metrics: Option<Vec<String>>,
    /// Devices of a CSV or TOML file instead of the scenario's
    #[arg(long, value_name = "FILE")]
    pub(crate) fleet: Option<PathBuf>,
    /// Members of a pool, with --traces; a --fleet says itself who is in which
    #[arg(long, value_name = "N", default_value_t = 20, requires = "traces", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) pool_size: u32,
    /// Rescale each pool so that the 99th percentile of its demand is this share of its capacity, with --traces
    #[arg(long, value_name = "PERCENT", requires = "traces")]
    pub(crate) pool_peak: Option<f64>,
    /// Skip bad rows of traces and count them
    #[arg(long, requires = "traces")]
    pub(crate) lenient: bool,
    /// Bring loads of traces outside 0–100 into range and count them
    #[arg(long, requires = "traces")]
    pub(crate) clip: bool,
    /// Threads (default: all cores); results do not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
}

/// What a journal's header keeps, to make the same world again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Origin {
    scenario_name: String,
    scenario: String,
    devices: usize,
    traces: Vec<PathBuf>,
    metrics: Option<Vec<String>>,
    pool_size: u32,
    pool_peak: Option<f64>,
    lenient: bool,
    clip: bool,
    fleet: Option<PathBuf>,
    #[serde(default)]
    oracle: bool,
}

impl Origin {
    /// Marks a setup's forecasts as perfect foresight, for its journal's header too.
    pub(crate) fn set_oracle(setup: &mut Setup) {
        setup.oracle = true;
        setup.origin["oracle"] = true.into();
    }
}

/// Reads a scenario by name or path, for a run under whatever policy: [`check_slot`] asks whether that one goes with it.
pub(crate) fn scenario(name: &str) -> Result<Scenario> {
    if is_path(name) {
        let text = std::fs::read_to_string(name).with_context(|| format!("cannot read the scenario {name}"))?;
        return Ok(Scenario::under_any_policy(name, &text)?);
    }
    Ok(scenarios::named(name)?)
}

/// Reads a policy by name or path.
pub(crate) fn policy(name: &str) -> Result<Policy> {
    if is_path(name) {
        let text = std::fs::read_to_string(name).with_context(|| format!("cannot read the policy {name}"))?;
        return Ok(Policy::from_toml(name, &text)?);
    }
    Ok(policies::named(name)?)
}

/// A policy with one field changed, `field=value`.
pub(crate) fn with_field(policy: &Policy, text: &str) -> Result<Policy> {
    let (field, value) = text
        .split_once('=')
        .with_context(|| format!("--set {text}: write FIELD=VALUE, such as plan.device_load_max=60"))?;
    Ok(policy.with_field(field.trim(), value.trim())?)
}

fn is_path(name: &str) -> bool {
    name.contains(['/', '\\']) || Path::new(name).extension().is_some_and(|e| e == "toml")
}

impl World {
    /// Does load come from recordings?
    pub(crate) fn has_traces(&self) -> bool {
        !self.traces.is_empty()
    }

    /// The setup under the scenario's policy, which may not be the one that is run: the caller asks [`check_slot`] once it is settled.
    pub(crate) fn setup(&self) -> Result<Setup> {
        if self.pool_peak.is_some_and(|p| !(p > 0.0 && p <= 200.0)) {
            bail!("--pool-peak {} must be a percentage in 1..=200", self.pool_peak.unwrap_or(0.0));
        }
        let name = self.scenario.as_deref().unwrap_or("first-rollout");
        let scenario = self.sized(scenario(name)?);
        let origin = Origin {
            scenario_name: name.to_owned(),
            scenario: scenario.text.clone(),
            devices: scenario.devices,
            traces: self.traces.clone(),
            metrics: self.metrics.clone(),
            pool_size: self.pool_size,
            pool_peak: self.pool_peak,
            lenient: self.lenient,
            clip: self.clip,
            fleet: self.fleet.clone(),
            oracle: false,
        };
        let policy = scenario.policy()?;
        build(scenario, policy, &origin)
    }

    /// A scenario with the number of devices asked for.
    fn sized(&self, mut scenario: Scenario) -> Scenario {
        if let Some(devices) = self.devices {
            scenario.devices = devices as usize;
        }
        scenario
    }

    /// A setup like `base`, recordings and fleet included, in another scenario and under that one's policy.
    pub(crate) fn in_scenario(&self, base: &Setup, scenario: Scenario) -> Result<Setup> {
        let mut setup = base.clone();
        setup.policy = scenario.policy()?;
        setup.scenario = self.sized(scenario);
        if let Some(fleet) = &setup.fleet {
            setup.scenario.devices = fleet.len();
        }
        setup.origin["scenario"] = setup.scenario.text.clone().into();
        setup.origin["devices"] = setup.scenario.devices.into();
        fit(&mut setup)?;
        Ok(setup)
    }

    /// The setup under a named policy; the scenario's overrides hold for it only when it is the scenario's own.
    pub(crate) fn with_policy(base: &Setup, name: &str) -> Result<Setup> {
        let mut setup = base.clone();
        if name != base.scenario.policy {
            setup.policy = policy(name)?;
        }
        Ok(setup)
    }

    /// Has every run of so many a seed of its own? Behind the last one they would begin at 0 again.
    pub(crate) fn check_seeds(&self, runs: u32) -> Result<()> {
        check_seeds(self.seed, runs)
    }

    /// Starts the threads asked for.
    pub(crate) fn start_threads(&self) -> Result<()> {
        start_threads(self.threads)
    }
}

/// A seed of the command line.
pub(crate) fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("must be a whole number in 0..={}", u64::MAX))
}

/// As [`World::check_seeds`].
pub(crate) fn check_seeds(seed: u64, runs: u32) -> Result<()> {
    let last = u64::MAX - u64::from(runs.saturating_sub(1));
    if seed > last {
        bail!("--seed {seed} must be in 0..={last} for {runs} runs: run i has seed + i");
    }
    Ok(())
}

/// Starts as many threads as asked for.
pub(crate) fn start_threads(threads: Option<u16>) -> Result<()> {
    let Some(threads) = threads else { return Ok(()) };
    rayon::ThreadPoolBuilder::new().num_threads(usize::from(threads)).build_global().context("cannot start the threads")
}

/// Makes the setup of a journal's header again.
pub(crate) fn from_origin(world: &serde_json::Value, policy: Policy) -> Result<Setup> {
    let origin: Origin = serde_json::from_value(world.clone()).map_err(|e| {
        anyhow!("the journal's header does not say how its world was made ({e}); only full journals replay without")
    })?;
    let mut scenario = Scenario::under_any_policy(&origin.scenario_name, &origin.scenario)?;
    scenario.devices = origin.devices;
    let setup = build(scenario, policy, &origin)?;
    check_slot(&setup)?;
    Ok(setup)
}

fn build(mut scenario: Scenario, policy: Policy, origin: &Origin) -> Result<Setup> {
    let fleet = origin.fleet.as_deref().map(read_fleet).transpose()?;
    if let Some(fleet) = &fleet {
        scenario.devices = fleet.len();
    }
    let mut setup = Setup::new(scenario, policy);
    setup.fleet = fleet;
    setup.oracle = origin.oracle;
    if !origin.traces.is_empty() {
        let options = ReadOptions {
            metrics: origin.metrics.clone(),
            lenient: origin.lenient,
            clip: origin.clip,
            any_number: false,
        };
        let recording = Arc::new(read(&origin.traces, &options)?);
        setup.load = LoadSource::Recorded {
            recording,
            pool_size: origin.pool_size as usize,
            pool_peak_percent: origin.pool_peak,
        };
    }
    setup.origin = serde_json::to_value(origin)?;
    setup.journal = JournalMode::Decisions;
    fit(&mut setup)?;
    Ok(setup)
}

/// Brings a setup's times in line with its recording, and looks up the names in its files.
pub(crate) fn fit(setup: &mut Setup) -> Result<()> {
    setup.fit_to_recording()?;
    setup.check_names()?;
    Ok(())
}

/// Do the slots of the policy that is run hold whole reports?
pub(crate) fn check_slot(setup: &Setup) -> Result<()> {
    let Err(problem) = setup.check_slot() else { return Ok(()) };
    let is_own = !matches!(setup.load, LoadSource::Recorded { .. }) && setup.scenario.policy()? == setup.policy;
    if let (true, Some(name)) = (is_own, setup.origin["scenario_name"].as_str()) {
        // Scenario and policy are of one file: reading it strictly says where it contradicts itself.
        Scenario::from_toml(name, &setup.scenario.text)?;
    }
    Err(problem.into())
}

/// Gives a policy that is run beside others the slot of one that fits, where its own does not: what was done, for a remark.
pub(crate) fn adopt_slot(setup: &mut Setup, fitting: Span) -> Result<Option<String>> {
    if setup.check_slot().is_ok() {
        return Ok(None);
    }
    let (own, slot) = (format_span(setup.policy.plan.slot), format_span(fitting));
    setup.policy = setup.policy.with_field("plan.slot", &slot)?;
    let (name, tick) = (&setup.policy.name, format_span(setup.scenario.tick));
    Ok(Some(format!("`{name}` plans in slots of {slot} here: its own of {own} hold no whole reports of {tick}")))
}
