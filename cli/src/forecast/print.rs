//! The comparison in plain text.

use super::data::Data;
use super::findings::sentences;
use slacktide_engine::document::format_span;
use slacktide_engine::time::Span;
use slacktide_forecast::backtest::{Finished, MetricScores};
use slacktide_reports::text;

/// Prints tables and sentences.
pub(crate) fn plain(data: &Data, finished: &Finished, tests: bool) {
    let protocol = &finished.protocol;
    let span = |steps: usize| format_span(Span::from_secs(data.step_s as u64 * steps as u64));
    crate::say!(
        "{} series, steps of {}, {} ahead, origins every {}, context {}, seasons {}",
        finished.entries.len(),
        span(1),
        span(protocol.horizon),
        span(protocol.stride),
        protocol.context.map_or_else(|| "all history".to_owned(), span),
        if protocol.seasons.is_empty() {
            "none".to_owned()
        } else {
            protocol.seasons.iter().map(|s| span(*s)).collect::<Vec<_>>().join(" and ")
        }
    );
    data.remarks.iter().chain(&finished.notes).for_each(|remark| crate::say!("  {remark}"));
    for metric in finished.metrics() {
        let scores = finished.metric_scores(&metric);
        one_metric(&metric, &scores, finished);
        if tests {
            sentences(&metric, &scores, finished).iter().for_each(|s| crate::say!("{s}"));
        }
    }
}

fn one_metric(metric: &str, scores: &MetricScores, finished: &Finished) {
    // Nobody is best where errors have no scale: on a constant series a number that is none is not the lowest.
    let known = (0..scores.scores.len()).filter(|position| scores.scores[*position].mase.is_finite());
    let best = known.min_by(|a, b| scores.scores[*a].mase.total_cmp(&scores.scores[*b].mase));
    let row = |position: usize| {
        let s = &scores.scores[position];
        let n = |v: f64| if v.is_finite() { format!("{v:.3}") } else { "–".to_owned() };
        let time =
            finished.times.get(position).filter(|t| t.2 > 0).map_or_else(String::new, |(fit, forecast, count)| {
                format!("{:.2}", (fit + forecast) / f64::from(*count))
            });
        let mark = if best == Some(position) { " *" } else { "" };
        vec![
            format!("{}{mark}", finished.contestants[position].name()),
            n(s.mase),
            n(s.smape),
            n(s.mae),
            n(s.rmse),
            n(s.wis_scaled),
            n(s.coverage[0]),
            n(s.coverage[1]),
            s.fell_back.to_string(),
            time,
        ]
    };
    let header =
        ["model", "MASE", "sMAPE", "MAE", "RMSE", "WIS/scale", "cover 80", "cover 95", "not fitted", "ms each"];
    let rows: Vec<Vec<String>> = (0..scores.scores.len()).map(row).collect();
    let count = scores.scores.iter().map(|s| s.origins).max().unwrap_or(0);
    crate::say!("\n{metric}: {count} forecasts a model (* lowest MASE)\n{}", text::table(&header, &rows));
}
