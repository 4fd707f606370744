//! The comparison as JSON and as CSV.

use super::Args;
use super::data::Data;
use super::examples::examples;
use super::findings::sentences;
use serde_json::{Map, Value, json};
use slacktide_forecast::backtest::{Contestant, Finished, LEVELS, MetricScores, Part, Score, TestKind};
use slacktide_reports::text::csv_field;

/// The document of `--json`.
pub(crate) fn document(verb: &str, args: &Args, data: &Data, finished: &Finished) -> Value {
    let metrics = finished.metrics();
    let by_metric: Vec<(String, MetricScores)> =
        metrics.iter().map(|m| (m.clone(), finished.metric_scores(m))).collect();
    let findings: Map<String, Value> =
        by_metric.iter().map(|(m, scores)| (m.clone(), json!(sentences(m, scores, finished)))).collect();
    let examples: Map<String, Value> =
        by_metric.iter().map(|(m, scores)| (m.clone(), json!(examples(m, scores, data, finished)))).collect();
    let tests: Vec<Value> = by_metric.iter().flat_map(|(metric, scores)| tests(metric, scores, finished)).collect();
    let by_metric: Map<String, Value> =
        by_metric.iter().map(|(metric, scores)| (metric.clone(), one_metric(scores, finished))).collect();
    json!({
        "schema": format!("slacktide/forecast-{verb}/1"),
        "data": args.source.data,
        "series": finished.entries.len(),
        "step_s": data.step_s,
        "seasons": finished.protocol.seasons,
        "horizon": finished.protocol.horizon,
        "context": finished.protocol.context,
        "stride": finished.protocol.stride,
        "seed": finished.protocol.seed,
        "remarks": data.remarks.iter().chain(&finished.notes).collect::<Vec<_>>(),
        "models": models(&finished.scores(None), finished),
        "by_metric": by_metric,
        "tests": tests,
        "champion_changes": finished.champion_changes,
        "findings": findings,
        "examples": examples,
    })
}

fn models(scores: &[Score], finished: &Finished) -> Vec<Value> {
    let number = |v: f64| if v.is_finite() { json!(v) } else { Value::Null };
    let one = |(position, score): (usize, &Score)| {
        let contestant = finished.contestants[position];
        let (fit, forecast, count) = finished.times.get(position).copied().unwrap_or_default();
        let training = match contestant {
            Contestant::Model(kind) => finished.training_time.get(&kind).copied(),
            Contestant::Selected => None,
        };
        let each = f64::from(count.max(1));
        json!({
            "name": contestant.name(),
            "trivial": matches!(contestant, Contestant::Model(kind) if !kind.is_dear()),
            "series": score.series,
            "origins": if score.series > 0 { score.origins.div_ceil(score.series) } else { 0 },
            "forecasts": score.origins,
            "mase": number(score.mase),
            "smape": number(score.smape),
            "rmse": number(score.rmse),
            "mae": number(score.mae),
            "pinball": number(score.pinball),
            "wis_scaled": number(score.wis_scaled),
            "coverage80": number(score.coverage[0]),
            "coverage95": number(score.coverage[1]),
            "width80": number(score.width[0]),
            "width95": number(score.width[1]),
            "fell_back": score.fell_back,
            "ms_per_fit": number(fit / each),
            "ms_per_forecast": number(forecast / each),
            "training_ms": training,
        })
    };
    scores.iter().enumerate().map(one).collect()
}

fn one_metric(scores: &MetricScores, finished: &Finished) -> Value {
    let part = |part: &Part| {
        let named = part.iter().enumerate().map(|(i, v)| (finished.contestants[i].name().to_owned(), json!(v)));
        Value::Object(named.collect())
    };
    let ranks: Map<String, Value> =
        scores.ranks.iter().enumerate().map(|(i, r)| (finished.contestants[i].name().to_owned(), json!(r))).collect();
    json!({
        "models": models(&scores.scores, finished),
        "mase_by_lead": scores.by_lead.iter().map(part).collect::<Vec<_>>(),
        "mase_by_phase": scores.by_phase.iter().map(part).collect::<Vec<_>>(),
        "mase_by_class": scores.by_class.iter().map(|(c, p)| ((*c).to_owned(), part(p))).collect::<Map<_, _>>(),
        "mean_ranks": ranks,
        "critical_difference": scores.critical_difference,
        "chosen": scores.chosen.iter().map(|(m, n)| (m.to_string(), json!(n))).collect::<Map<_, _>>(),
    })
}

fn tests(metric: &str, scores: &MetricScores, finished: &Finished) -> Vec<Value> {
    let over = match scores.test_kind {
        TestKind::Origins => "origins",
        TestKind::Series => "series",
    };
    let one = |pair: &slacktide_forecast::backtest::Pair| {
        json!({
            "metric": metric,
            "a": finished.contestants[pair.a].name(),
            "b": finished.contestants[pair.b].name(),
            "statistic": pair.test.statistic,
            "p": pair.test.p,
            "p_corrected": pair.p_corrected,
            "count": pair.test.count,
            "over": over,
        })
    };
    scores.pairs.iter().map(one).collect()
}

/// Every forecast, a row a step: for use elsewhere.
pub(crate) fn forecasts_csv(data: &Data, finished: &Finished) -> String {
    let mut csv = "device_id,metric,model,origin,timestamp,lead,forecast".to_owned();
    for level in LEVELS {
        let percent = (level * 100.0).round();
        csv.push_str(&format!(",lower{percent},upper{percent}"));
    }
    csv.push_str(",actual,chosen\n");
    for line in &finished.lines {
        let entry = &finished.entries[line.origin.entry];
        let origin = entry.step_of(line.origin.known);
        let name = finished.contestants[line.contestant].name();
        let chosen = line.chosen.map_or("", slacktide_forecast::ModelKind::name);
        let actual = entry.actual(line.origin.known, finished.protocol.horizon);
        for (lead, point) in line.points.iter().enumerate() {
            let at = data.time_of(origin + lead as i64);
            csv.push_str(&format!(
                "{},{},{name},{},{at},{},{point}",
                csv_field(&entry.name),
                csv_field(&entry.metric),
                data.time_of(origin),
                lead + 1
            ));
            for (low, high) in &line.bounds {
                csv.push_str(&format!(",{},{}", low[lead], high[lead]));
            }
            let came = actual.get(lead).filter(|v| v.is_finite()).map(f32::to_string).unwrap_or_default();
            csv.push_str(&format!(",{came},{chosen}\n"));
        }
    }
    csv
}

/// Scores by metric and model.
pub(crate) fn scores_csv(finished: &Finished) -> String {
    let mut csv =
        "metric,model,series,forecasts,mase,smape,rmse,mae,pinball,wis_scaled,coverage80,coverage95,fell_back\n"
            .to_owned();
    // What has no number is an empty cell, as in the forecasts.
    let n = |v: f64| if v.is_finite() { v.to_string() } else { String::new() };
    for metric in finished.metrics() {
        for (position, s) in finished.scores(Some(&metric)).iter().enumerate() {
            csv.push_str(&format!(
                "{},{},{},{},{},{},{},{},{},{},{},{},{}\n",
                csv_field(&metric),
                finished.contestants[position].name(),
                s.series,
                s.origins,
                n(s.mase),
                n(s.smape),
                n(s.rmse),
                n(s.mae),
                n(s.pinball),
                n(s.wis_scaled),
                n(s.coverage[0]),
                n(s.coverage[1]),
                s.fell_back
            ));
        }
    }
    csv
}
