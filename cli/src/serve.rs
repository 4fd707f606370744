//! `slacktide serve`: the controller of real devices.

use crate::{Outcome, worlds};
use anyhow::{Context, Result};
use serde_json::json;
use slacktide_live_bridge::controller::{Addresses, Config, StoreSeen, check, serve};
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  slacktide serve --config controller.toml\n\nSIGTERM or SIGINT: devices are told to call again, what is under way is written, then it ends."
)]
pub(crate) struct Args {
    /// The configuration, TOML
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Read everything, say whether it is good, and start nothing
    #[arg(long)]
    check: bool,
}

/// `slacktide serve`
pub(crate) fn run(args: &Args) -> Result<Outcome> {
    let config = Config::read(&args.config)?;
    let fleet = slacktide_scenarios::recorded::read_fleet(&config.fleet)?;
    let policy = worlds::policy(&config.policy)?;
    if args.check {
        let store = match crate::wait(check(&config, &policy))?? {
            StoreSeen::New => "a new store",
            StoreSeen::Fits => "the store goes on",
            StoreSeen::InUse => "the store is in use by a controller that runs and was not looked into",
        };
        crate::say!("good: {} devices, policy {}, {store}", fleet.len(), policy.name);
        return Ok(Outcome::Good);
    }
    crate::log_to_stderr();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    let (devices, name) = (fleet.len(), policy.name.clone());
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        // One line for people and programs that wait for it.
        let ready = |at: Addresses| {
            let mut said = json!({
                "schema": "slacktide/serve/1", "listens": at.devices.to_string(), "metrics": at.metrics.to_string(),
                "devices": devices, "policy": name,
            });
            if let Some(enrolment) = at.enrolment {
                said["enrolment"] = json!(enrolment.to_string());
            }
            if let Some(dashboard) = at.dashboard {
                said["dashboard"] = json!(format!("https://{dashboard}"));
            }
            crate::say!("{said}");
        };
        serve(&config, fleet, policy, ready, stop).await?;
        Ok(Outcome::Good)
    })
}
