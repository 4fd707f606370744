//! `slacktide calibrate`: from recorded load to a scenario that makes load like it, and how much like it.

mod document;
mod print;

use crate::{Outcome, out};
use anyhow::{Context, Result, anyhow, bail};
use slacktide_engine::document::parse_span;
use slacktide_scenarios::calibration::{Calibrated, Options, calibrate};
use slacktide_scenarios::recorded::{ReadOptions, Recording, read};
use slacktide_sim::goodness::{Goodness, HeldOut, Sample, generated, goodness, held_out};
use std::path::{Path, PathBuf};

/// Arguments of `calibrate`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Writes scenario.toml, report.html and calibration.json. Of every group of devices that are alike it learns the daily curve, the week (from 14 days on), bursts, the distribution and the memory of the noise, what devices of a pool have in common, and the other metrics. Every statistic of the generated load is then held against the recorded one and called good, fair or poor; from four days on the generator of the first half is also held against the second half, which it has not seen.\nExamples:\n  slacktide calibrate --data telemetry/ --out mine\n  slacktide simulate mine/scenario.toml --devices 1000\n  slacktide calibrate --data shares.csv --metrics m00 --scale 100 --groups 1 --json"
)]
pub(crate) struct Args {
    /// Recorded load: CSV or CSV.GZ, a folder is read with all its folders
    #[arg(long, value_name = "PATH", num_args = 1.., required = true)]
    data: Vec<PathBuf>,
    /// Columns to use (default: all that hold a number); `cpu`, or else the first, is the load that moves when a device is out
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    metrics: Option<Vec<String>>,
    /// Length of a step, a multiple of the recorded one: each is the mean of what lies in it
    #[arg(long, value_name = "SPAN")]
    every: Option<String>,
    /// Multiply all values, such as by 100 where they are shares of 1
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    scale: f64,
    /// Bring loads outside 0–100 into range and count them
    #[arg(long)]
    clip: bool,
    /// Skip bad rows and count them
    #[arg(long)]
    lenient: bool,
    /// Devices of the scenario (default: as many as were recorded)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4_000_000))]
    devices: Option<u32>,
    /// Groups of devices at most, or `auto`: by the number of devices
    #[arg(long, value_name = "N", default_value = "auto")]
    groups: String,
    /// First seed of the worlds that are generated to see how well the scenario fits
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Folder for scenario.toml, report.html and calibration.json (default: slacktide-calibrated, but with --json nothing is written)
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print one JSON document and nothing else
    #[arg(long)]
    json: bool,
}

/// What was learned and measured.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) recording: Recording,
    pub(crate) calibrated: Calibrated,
    pub(crate) generated: [Sample; 4],
    pub(crate) goodness: Vec<Goodness>,
    pub(crate) held_out: Option<HeldOut>,
    pub(crate) remarks: Vec<String>,
}

/// Groups that make sense: each has its pools.
const GROUPS_MAX: usize = 50;

/// Runs the verb.
pub(crate) fn run(args: &Args) -> Result<Outcome> {
    let groups = match args.groups.as_str() {
        "auto" => None,
        text => Some(
            text.parse()
                .ok()
                .filter(|n| (1..=GROUPS_MAX).contains(n))
                .with_context(|| format!("--groups {text}: write `auto` or a number of groups in 1..={GROUPS_MAX}"))?,
        ),
    };
    let out = args.out.clone().or_else(|| (!args.json).then(|| PathBuf::from("slacktide-calibrated")));
    out.iter().try_for_each(|out| out::is_free(out, &[out::CALIBRATION]))?;
    let (recording, mut remarks) = recording(args)?;
    let options =
        Options { name: "calibrated".to_owned(), groups, devices: args.devices.map(|devices| devices as usize) };
    let calibrated = calibrate(&recording, &options)?;
    let generated = generated(&recording, &calibrated, args.seed)?;
    let goodness = goodness(&recording, &calibrated, &generated);
    let held_out = held_out(&recording, &options, args.seed)?;
    remarks.extend(calibrated.remarks.iter().cloned());
    if held_out.is_none() {
        remarks.push("less than four whole days are known: too few to hold one half against the other".to_owned());
    }
    let done = Done { recording, calibrated, generated, goodness, held_out, remarks };
    let document = document::document(args, &done);
    if let Some(out) = &out {
        write_out(out, &done, &document)?;
    }
    if args.json {
        crate::say!("{document}");
    } else {
        print::plain(&done, out.as_deref());
    }
    Ok(Outcome::Good)
}

fn recording(args: &Args) -> Result<(Recording, Vec<String>)> {
    if !(args.scale > 0.0 && args.scale <= 1e6) {
        bail!("--scale {} must be a number above 0, at most 1000000", args.scale);
    }
    let options = ReadOptions {
        metrics: args.metrics.clone(),
        lenient: args.lenient,
        // What is out of range is seen after it is scaled.
        clip: args.clip && args.scale == 1.0,
        any_number: args.scale != 1.0,
    };
    let mut recording = read(&args.data, &options)?;
    scale(&mut recording, args)?;
    let remarks = recording.remarks();
    if let Some(every) = &args.every {
        let span = parse_span(every).map_err(|e| anyhow!("--every {every}: {e}"))?;
        recording = recording.every((span.as_millis() / 1000) as i64).map_err(|e| anyhow!("--every {every}: {e}"))?;
    }
    Ok((recording, remarks))
}

fn scale(recording: &mut Recording, args: &Args) -> Result<()> {
    if args.scale == 1.0 {
        return Ok(());
    }
    let (mut clipped, mut outside) = (0, None);
    for value in recording.columns.iter_mut().flatten().filter(|v| v.is_finite()) {
        let scaled = (f64::from(*value) * args.scale) as f32;
        *value = scaled.clamp(0.0, 100.0);
        if scaled != *value {
            clipped += 1;
            outside.get_or_insert(scaled);
        }
    }
    recording.clipped += clipped;
    match outside.filter(|_| !args.clip) {
        Some(value) => bail!(
            "--scale {}: a value becomes {value}, which is not in 0..=100 percent of capacity; scale less, or bring values into range with --clip",
            args.scale
        ),
        None => Ok(()),
    }
}

fn write_out(out: &Path, done: &Done, document: &serde_json::Value) -> Result<()> {
    let files = out::claim(out, &[out::CALIBRATION])?;
    let text = serde_json::to_string_pretty(document)?;
    files.write("scenario.toml", done.calibrated.scenario.text.as_bytes())?;
    files.write(out::CALIBRATION, text.as_bytes())?;
    files.write("report.html", slacktide_reports::comparison::html(&text)?.as_bytes())?;
    Ok(files.place()?)
}
