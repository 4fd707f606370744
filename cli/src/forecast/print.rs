//! The comparison in plain text.

use super::data::Data;
use slacktide_engine::document::format_span;
use slacktide_engine::time::Span;
use slacktide_forecast::backtest::{Contestant, Finished, MetricScores, TestKind};
use slacktide_reports::text;

/// A difference is called one below this corrected probability.
pub(crate) const SIGNIFICANT: f64 = 0.05;

/// Prints tables and sentences.
pub(crate) fn plain(data: &Data, finished: &Finished, tests: bool) {
    let protocol = &finished.protocol;
    let span = |steps: usize| format_span(Span::from_secs(data.step_s as u64 * steps as u64));
    println!(
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
    data.remarks.iter().chain(&finished.notes).for_each(|remark| println!("  {remark}"));
    for metric in finished.metrics() {
        let scores = finished.metric_scores(&metric);
        one_metric(&metric, &scores, finished);
        if tests {
            sentences(&metric, &scores, finished).iter().for_each(|s| println!("{s}"));
        }
    }
}

fn one_metric(metric: &str, scores: &MetricScores, finished: &Finished) {
    let best = (0..scores.scores.len()).min_by(|a, b| scores.scores[*a].mase.total_cmp(&scores.scores[*b].mase));
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
    println!("\n{metric}: {count} forecasts a model (* lowest MASE)\n{}", text::table(&header, &rows));
}

/// Who wins, and where the difference is noise.
pub(crate) fn sentences(metric: &str, scores: &MetricScores, finished: &Finished) -> Vec<String> {
    let name = |position: usize| finished.contestants[position].name();
    let mut order: Vec<usize> = (0..scores.scores.len()).filter(|p| scores.scores[*p].mase.is_finite()).collect();
    order.sort_by(|a, b| scores.scores[*a].mase.total_cmp(&scores.scores[*b].mase));
    let Some(best) = order.first().copied() else {
        return vec![format!("{metric}: no series ever changes; there is nothing to compare.")];
    };
    let p_against = |other: usize| {
        let pair = scores.pairs.iter().find(|p| (p.a, p.b) == (best.min(other), best.max(other)));
        pair.map(|p| p.p_corrected)
    };
    let (worse, equal): (Vec<usize>, Vec<usize>) =
        order[1..].iter().copied().partition(|other| p_against(*other).is_some_and(|p| p < SIGNIFICANT));
    let list = |positions: &[usize]| positions.iter().map(|p| name(*p)).collect::<Vec<_>>().join(", ");
    let over = match scores.test_kind {
        TestKind::Origins => "origins",
        TestKind::Series => "series (too few origins to test over time)",
    };
    let mut out = vec![format!("{metric}: lowest MASE {} ({:.3}).", name(best), scores.scores[best].mase)];
    if scores.pairs.is_empty() {
        out.push("Too few forecasts to tell any difference from chance.".to_owned());
    } else {
        if !equal.is_empty() {
            out.push(format!("Within chance of it (Diebold–Mariano over {over}, Holm-corrected): {}.", list(&equal)));
        }
        if !worse.is_empty() {
            out.push(format!("Worse by more than chance: {}.", list(&worse)));
        }
    }
    let selected = finished.position(Contestant::Selected).filter(|s| scores.scores[*s].mase.is_finite());
    let single = order.iter().copied().find(|p| finished.contestants[*p] != Contestant::Selected);
    if let (Some(selected), Some(single)) = (selected, single) {
        let (own, other) = (scores.scores[selected].mase, scores.scores[single].mase);
        let share = (own / other - 1.0) * 100.0;
        let word = if share <= 0.0 { "better than" } else { "worse than" };
        out.push(format!(
            "selected is {:.1} % {word} the best single model in hindsight, {}.",
            share.abs(),
            name(single)
        ));
    }
    let trivial = order.iter().copied().find(|p| match finished.contestants[*p] {
        Contestant::Model(kind) => !kind.is_dear(),
        Contestant::Selected => false,
    });
    if let Some(trivial) = trivial {
        let beaten: Vec<usize> = order
            .iter()
            .copied()
            .filter(|p| scores.scores[*p].mase > scores.scores[trivial].mase)
            .filter(|p| matches!(finished.contestants[*p], Contestant::Model(kind) if kind.is_dear()))
            .collect();
        if !beaten.is_empty() {
            out.push(format!("The trivial {} beats {}.", name(trivial), list(&beaten)));
        }
    }
    out
}
