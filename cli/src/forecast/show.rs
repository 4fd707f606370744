//! `slacktide forecast show`: what comes next.

use super::data::{Data, steps_in_words};
use super::{Source, backtest, models};
use crate::Outcome;
use anyhow::{Result, bail};
use serde_json::json;
use slacktide_engine::document::nearest;
use slacktide_engine::time::Instant;
use slacktide_forecast::ModelKind;
use slacktide_forecast::backtest::{Contestant, Entry, Finished, LEVELS, Line, Protocol};
use slacktide_reports::text;

/// Origins that the intervals of a single series are learned from.
const ORIGINS: usize = 60;

/// Arguments of `forecast show`.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Intervals are calibrated on the model's own past errors on this series and the others of the data.\nExample:\n  slacktide forecast show --data load/ --metrics cpu --every 1h --device web-01"
)]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    /// Whose series (default: the first)
    #[arg(long, value_name = "ID")]
    device: Option<String>,
    /// The model; `selected` chooses by past errors among those that cost little and `mstl-arima`
    #[arg(long, value_name = "NAME", default_value = "selected")]
    model: String,
    /// Print one JSON document and nothing else
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub(crate) fn run(args: &Args) -> Result<Outcome> {
    crate::worlds::start_threads(args.source.threads)?;
    let mut data = Data::read(&args.source)?;
    let device = match &args.device {
        Some(device) => device.clone(),
        None => data.entries[0].name.clone(),
    };
    if !data.entries.iter().any(|e| e.name == device) {
        let known = data.entries.iter().map(|e| e.name.as_str());
        let hint = nearest(&device, known).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
        bail!("the data holds no device `{device}`{hint}");
    }
    let models = if args.model == "selected" {
        let cheap = ModelKind::ALL.into_iter().filter(|m| !m.is_dear());
        cheap.chain([ModelKind::MstlArima, ModelKind::WeightedMean]).collect()
    } else {
        models(std::slice::from_ref(&args.model))?
    };
    // A global model needs the others to learn from; for the rest they would only cost time, and more origins of the one tell more.
    let is_global = models.iter().any(|m| m.is_global());
    if !is_global {
        data.entries.retain(|e| e.name == device);
    }
    let protocol = Protocol {
        models,
        seasons: data.seasons.clone(),
        horizon: data.horizon,
        context: data.context,
        stride: (data.horizon / 4).max(1),
        origins: Some(if is_global { 1 } else { ORIGINS }),
        seed: args.source.seed,
    };
    // The origin lies at the end of what is known: what comes is all gaps.
    let open = |e: &Entry| Entry { values: [&e.values[..], &vec![f32::NAN; data.horizon]].concat(), ..e.clone() };
    let network = super::train::network(&args.source, &data, &protocol.models)?;
    let finished = backtest(protocol, data.entries.iter().map(open).collect(), network);
    let wanted = if args.model == "selected" { Contestant::Selected } else { finished.contestants[0] };
    let is_asked = |line: &&Line| {
        line.origin.known + data.horizon == finished.entries[line.origin.entry].values.len()
            && finished.contestants[line.contestant] == wanted
            && finished.entries[line.origin.entry].name == device
    };
    let lines: Vec<&Line> = finished.lines.iter().filter(is_asked).collect();
    if lines.is_empty() {
        let longest = data.entries.iter().filter(|e| e.name == device).map(|e| e.values.len()).max().unwrap_or(0);
        bail!(
            "{}: the series of `{device}` is too short to forecast: it has {}, and {} are needed",
            args.source.named(),
            steps_in_words(longest),
            data.needed()
        );
    }
    data.remarks.extend(beyond_experience(&data, &device));
    if args.json {
        crate::say!(
            "{}",
            json!({"schema": "slacktide/forecast-show/1", "device": device, "model": args.model,
            "step_s": data.step_s, "notes": data.remarks.iter().chain(&finished.notes).collect::<Vec<_>>(),
            "series": lines.iter().map(|line| series(&data, &finished, line)).collect::<Vec<_>>()})
        );
        return Ok(Outcome::Good);
    }
    data.remarks.iter().chain(&finished.notes).for_each(|remark| crate::say!("  {remark}"));
    lines.iter().for_each(|line| table(&data, &finished, line));
    Ok(Outcome::Good)
}

/// Intervals are made of past errors: says from which lead on there are none.
fn beyond_experience(data: &Data, device: &str) -> Option<String> {
    let known = data.entries.iter().filter(|e| e.name == device).map(|e| e.values.len()).max()?;
    let judged = known.saturating_sub(data.needed_steps());
    (data.horizon > judged).then(|| {
        format!(
            "of the {} known, no forecast made earlier reaches more than {} ahead: intervals further ahead are those of shorter leads, and too narrow",
            steps_in_words(known),
            steps_in_words(judged)
        )
    })
}

fn series(data: &Data, finished: &Finished, line: &Line) -> serde_json::Value {
    let entry = &finished.entries[line.origin.entry];
    let origin = entry.step_of(line.origin.known);
    let point = |lead: usize| {
        json!({
            "timestamp": data.time_of(origin + lead as i64),
            "forecast": line.points[lead],
            "lower80": line.bounds[0].0[lead], "upper80": line.bounds[0].1[lead],
            "lower95": line.bounds[1].0[lead], "upper95": line.bounds[1].1[lead],
        })
    };
    json!({
        "metric": entry.metric,
        "chosen": line.chosen,
        "fell_back": line.fell_back,
        "points": (0..line.points.len()).map(point).collect::<Vec<_>>(),
    })
}

fn table(data: &Data, finished: &Finished, line: &Line) {
    let entry = &finished.entries[line.origin.entry];
    let origin = entry.step_of(line.origin.known);
    let by = line.chosen.map_or_else(String::new, |m| format!(", by {m}"));
    let fallback =
        if line.fell_back { " (the model could not be fitted: the average of three trivial forecasts)" } else { "" };
    let rows: Vec<Vec<String>> = (0..line.points.len())
        .map(|lead| {
            let n = text::number;
            let mut row = vec![
                Instant::from_millis(data.time_of(origin + lead as i64) * 1000).to_string(),
                n(f64::from(line.points[lead])),
            ];
            for (low, high) in &line.bounds {
                row.push(format!("{} … {}", n(f64::from(low[lead])), n(f64::from(high[lead]))));
            }
            row
        })
        .collect();
    let intervals = LEVELS.map(|l| format!("{} % interval", l * 100.0));
    crate::say!(
        "\n{} {}{by}{fallback}\n{}",
        entry.name,
        entry.metric,
        text::table(&["time", "forecast", &intervals[0], &intervals[1]], &rows)
    );
}
