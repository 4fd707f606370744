//! A few forecasts to look at: of the series the selection forecasts worst, middling and best.

use super::data::Data;
use serde_json::{Value, json};
use slacktide_forecast::backtest::{Contestant, Finished, Line, MetricScores};
use slacktide_forecast::{ModelKind, measure};
use std::collections::BTreeMap;

/// Seasons of history shown before the forecast, and steps where there is no season.
const SEASONS_SHOWN: usize = 2;
const STEPS_SHOWN: usize = 48;

/// Examples of one metric; fewer than three where there are fewer series.
pub(super) fn examples(metric: &str, scores: &MetricScores, data: &Data, finished: &Finished) -> Vec<Value> {
    let Some(selected) = finished.position(Contestant::Selected) else { return Vec::new() };
    let mut series = errors_by_entry(metric, selected, finished);
    // Names break ties, so that the choice never depends on the order of files.
    series
        .sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| finished.entries[a.0].name.cmp(&finished.entries[b.0].name)));
    let mut wanted: Vec<(usize, &str)> = Vec::new();
    let places = [
        (0, "the series it forecasts worst"),
        (series.len() / 2, "a middling series"),
        (series.len().saturating_sub(1), "the series it forecasts best"),
    ];
    for (place, why) in places {
        if place < series.len() && wanted.iter().all(|(known, _)| *known != place) {
            wanted.push((place, why));
        }
    }
    let contestants = [vec![selected], others(scores, finished)].concat();
    let one = |(place, why): (usize, &str)| example(series[place], why, &contestants, data, finished);
    wanted.into_iter().filter_map(one).collect()
}

/// Mean MASE over the origins, by entry; entries whose history never changes have none.
fn errors_by_entry(metric: &str, contestant: usize, finished: &Finished) -> Vec<(usize, f64)> {
    let mut errors: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    let protocol = &finished.protocol;
    for line in finished.lines.iter().filter(|l| l.contestant == contestant) {
        let entry = &finished.entries[line.origin.entry];
        if entry.metric != metric {
            continue;
        }
        let known = entry.known(line.origin.known, protocol.context);
        let actual = entry.actual(line.origin.known, protocol.horizon);
        let error = measure::mase(actual, &line.points, known.raw(), protocol.season());
        errors.entry(line.origin.entry).or_default().extend(error.filter(|e| e.is_finite()));
    }
    let mean = |errors: Vec<f64>| errors.iter().sum::<f64>() / errors.len() as f64;
    errors.into_iter().filter(|(_, e)| !e.is_empty()).map(|(entry, e)| (entry, mean(e))).collect()
}

/// Models to draw beside the selection: two that are often asked for, and the best trivial one.
fn others(scores: &MetricScores, finished: &Finished) -> Vec<usize> {
    let named = |kind| finished.position(Contestant::Model(kind));
    let trivial = (0..finished.contestants.len())
        .filter(|p| matches!(finished.contestants[*p], Contestant::Model(kind) if !kind.is_dear()))
        .min_by(|a, b| scores.scores[*a].mase.total_cmp(&scores.scores[*b].mase));
    [named(ModelKind::Arima), named(ModelKind::Lstm), trivial].into_iter().flatten().collect()
}

fn example(
    (entry, mase): (usize, f64),
    why: &str,
    contestants: &[usize],
    data: &Data,
    finished: &Finished,
) -> Option<Value> {
    let last = finished.lines.iter().filter(|l| l.origin.entry == entry).map(|l| l.origin.known).max()?;
    let line = |contestant: usize| {
        let is_it = |l: &&Line| l.origin.entry == entry && l.origin.known == last && l.contestant == contestant;
        finished.lines.iter().find(is_it)
    };
    let selected = line(*contestants.first()?)?;
    let series = &finished.entries[entry];
    let season = finished.protocol.season();
    let shown = if season > 1 { SEASONS_SHOWN * season } else { STEPS_SHOWN };
    Some(json!({
        "device": series.name,
        "why": why,
        "mase": mase,
        "origin_s": data.time_of(series.step_of(last)),
        "history": numbers(&series.values[last.saturating_sub(shown)..last]),
        "actual": numbers(series.actual(last, finished.protocol.horizon)),
        "chosen": selected.chosen,
        "forecasts": contestants.iter().filter_map(|c| line(*c)).map(|l| forecast(l, finished)).collect::<Vec<_>>(),
    }))
}

fn forecast(line: &Line, finished: &Finished) -> Value {
    let [narrow, wide] = &line.bounds;
    json!({
        "model": finished.contestants[line.contestant].name(),
        "points": numbers(&line.points),
        "lower80": numbers(&narrow.0),
        "upper80": numbers(&narrow.1),
        "lower95": numbers(&wide.0),
        "upper95": numbers(&wide.1),
    })
}

/// Values as they were read: a float of 32 bits written as one of 64 gains digits that nobody measured.
fn numbers(values: &[f32]) -> Vec<Option<f64>> {
    values.iter().map(|v| v.to_string().parse().ok().filter(|v: &f64| v.is_finite())).collect()
}
