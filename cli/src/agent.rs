//! `slacktide agent`: the program on a device.

use crate::Outcome;
use anyhow::{Context, Result, anyhow};
use slacktide_live_bridge::agent::config::{EXAMPLE, Settings};
use slacktide_live_bridge::agent::connect::{Plain, Trusting};
use slacktide_live_bridge::agent::link::Connector;
use slacktide_live_bridge::agent::run::{self, Parts};
use slacktide_live_bridge::agent::sampler::{Load, Sampler};
use slacktide_live_bridge::agent::signed::Signed;
use slacktide_live_bridge::agent::simulated::Simulated;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Be the agent of this device.
#[derive(Debug, clap::Args)]
#[command(after_help = after_help())]
pub(crate) struct Args {
    /// The agent's file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Report, ask, carry out what comes back, say what came of it, and end: for cron. A cancellation cannot reach it meanwhile
    #[arg(long)]
    once: bool,
    /// Report made-up load instead of the machine's, for demonstrations: daily, daily:SEED, csv:FILE or csv:FILE:DEVICE
    #[arg(long, value_name = "SPEC")]
    simulate_load: Option<String>,
}

fn after_help() -> String {
    format!(
        "A file with every field (only `controller` must be given; the values here are the defaults):\n\n{EXAMPLE}\nScripts of a package get PATH and SLACKTIDE_SLOT, _VERSION, _PREVIOUS, _PREVIOUS_SLOT, _ACTIVE, _ATTEMPT and _DEVICE, nothing else. Log lines go to standard error."
    )
}

/// `slacktide agent …`
pub(crate) fn run(args: &Args) -> Result<Outcome> {
    let mut settings = Settings::load(&args.config)?;
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let load: Box<dyn Load> = match &args.simulate_load {
        Some(spec) => {
            let load = Simulated::parse(spec)?;
            eprintln!("slacktide: the load of this device is made up ({spec})");
            Box::new(load)
        }
        None => Box::new(Sampler::new(Path::new("/"), settings.capacity.clone())),
    };
    let connector: Arc<dyn Connector> = if settings.controller.starts_with("https") {
        Arc::new(Trusting::new(&mut settings).map_err(|why| anyhow!(why))?)
    } else if settings.device_id.is_empty() {
        return Err(anyhow!(
            "{}: field `device_id`: must be given, since a plain http controller needs no certificate",
            args.config.display()
        ));
    } else {
        Arc::new(Plain::new(&settings))
    };
    let root = settings.identity.join("package-root.json");
    let memory = settings.state.join("packages");
    let verifier = Signed::new(&root, &memory).with_context(|| format!("cannot read {}", root.display()))?;
    let parts = Parts { settings, load, connector, verifier: Arc::new(verifier) };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(async {
        let stop = run::until_told().context("cannot listen to signals")?;
        let ended = if args.once { run::once(parts, stop).await } else { run::run(parts, stop).await };
        ended.map_err(anyhow::Error::from)
    })?;
    Ok(Outcome::Good)
}
