//! `slacktide forecast train`: the network, learned from the user's own load and kept in a file.

use super::Source;
use super::data::Data;
use crate::Outcome;
use anyhow::{Context, Result, anyhow, bail};
use serde_json::json;
use slacktide_forecast::ModelKind;
use slacktide_forecast::global::TrainingSeries;
use slacktide_forecast::global::lstm::Lstm;
use std::path::PathBuf;
use std::time::Instant;

/// Arguments of `forecast train`.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "The file is in the safetensors format: PyTorch, JAX and others read it. The same data and seed give the same file on any machine.
Example:
  slacktide forecast train --data load/ --metrics cpu --every 1h --horizon 24h --out network.safetensors
  slacktide forecast show --data load/ --metrics cpu --every 1h --horizon 24h --model lstm --network network.safetensors"
)]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    /// Where the network goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print one JSON document and nothing else
    #[arg(long)]
    json: bool,
}

/// Runs the verb. Too little to learn from, or nothing learned, is done and bad: no file is written.
pub(crate) fn run(args: &Args) -> Result<Outcome> {
    let data = Data::read(&args.source)?;
    let series: Vec<TrainingSeries<'_>> =
        data.entries.iter().map(|e| TrainingSeries { values: &e.values, first_step: e.first_step }).collect();
    let before = network(&args.source, &data, &[ModelKind::Lstm])?;
    let began = Instant::now();
    let trained = match &before {
        Some(before) => Ok(before.train_on(&series)),
        None => Lstm::train(&series, &data.seasons, data.horizon, args.source.seed),
    };
    let network = match trained {
        Ok(network) => network,
        Err(reason) => {
            if args.json {
                crate::say!(
                    "{}",
                    json!({"schema": "slacktide/forecast-train/1", "trained": false, "reason": reason.to_string()})
                );
            } else {
                crate::say!("Nothing was saved: {reason}.");
            }
            return Ok(Outcome::Bad);
        }
    };
    let bytes = network.to_bytes();
    slacktide_reports::files::write_aside(&args.out, &bytes)?;
    if args.json {
        crate::say!(
            "{}",
            json!({"schema": "slacktide/forecast-train/1", "trained": true, "file": args.out, "bytes": bytes.len(),
                "series": series.len(), "trained_until": data.time_of(network.trained_until()), "seed": args.source.seed,
                "remarks": data.remarks})
        );
    } else {
        data.remarks.iter().for_each(|remark| crate::say!("  {remark}"));
        crate::say!(
            "Trained on {} series in {:.1} s; {} bytes in {}.",
            series.len(),
            began.elapsed().as_secs_f64(),
            bytes.len(),
            args.out.display()
        );
    }
    Ok(Outcome::Good)
}

/// The network of `--network`, when it fits the data and is wanted.
pub(crate) fn network(source: &Source, data: &Data, models: &[ModelKind]) -> Result<Option<Lstm>> {
    let Some(path) = &source.network else { return Ok(None) };
    if !models.contains(&ModelKind::Lstm) {
        bail!("--network {} is of no use: `lstm` is not among the models", path.display());
    }
    let bytes = std::fs::read(path).with_context(|| format!("cannot read the network {}", path.display()))?;
    let network = Lstm::from_bytes(&bytes).map_err(|e| anyhow!("{}: {e}", path.display()))?;
    let (seasons, horizon) = network.taught();
    if seasons != data.seasons || horizon != data.horizon {
        bail!(
            "{}: it was trained with seasons of {seasons:?} and a horizon of {horizon} steps; this data is cut to seasons of {:?} and a horizon of {}",
            path.display(),
            data.seasons,
            data.horizon
        );
    }
    Ok(Some(network))
}
