//! What a sweep found, in sentences.

use super::document::{coordinate, range, sweep_has_intervals};
use super::header::Header;
use super::points::word;
use slacktide_reports::text::number;
use slacktide_sim::Summary;
use slacktide_sim::sweep::UnitResult;
use slacktide_sim::sweep::front::{Judgement, MAKESPAN, OVERLOAD, Recommendation, paired};
use std::collections::BTreeMap;

type Measures = BTreeMap<String, Summary>;

/// The sentences; the recommendation comes first.
pub(super) fn findings(
    header: &Header,
    points: &[Vec<UnitResult>],
    measures: &[Measures],
    judged: &Judgement,
) -> Vec<String> {
    let mut said = Vec::new();
    match &judged.recommended {
        Some(found) => {
            said.push(recommendation(header, measures, found));
            said.push(as_good(header, points, judged, found));
            said.extend(at_an_end(header, found));
        }
        None => said.push(none_fits(header, measures, judged)),
    }
    let on = judged.pareto.len();
    said.push(format!(
        "Trade-off of overload caused against makespan: {on} of {} points {} not beaten in both by any other by its means; {} more within noise of them.",
        points.len(),
        if on == 1 { "is" } else { "are" },
        match judged.near.len() {
            1 => "1 is".to_owned(),
            n => format!("{n} are"),
        }
    ));
    let short = points.iter().filter(|runs| !runs.iter().all(UnitResult::is_finished)).count();
    if short > 0 && judged.finished_only {
        said.push(format!(
            "At {short} of {} points some rollout did not finish; they are left out of the trade-off and the recommendation.",
            points.len()
        ));
    } else if short > 0 {
        said.push("At no point did every rollout finish: makespans are the times to wherever they ended, and all points are judged.".to_owned());
    }
    if !sweep_has_intervals(header) {
        said.push(
            "Each point ran once: there are no intervals, and differences may be chance. More replications would tell."
                .to_owned(),
        );
    } else {
        said.push(format!(
            "Every point ran the same {} seeds, so differences are paired; “not shown to be worse” means within the limit, and no paired 95 % interval of overload caused or makespan above 0. The best \
             of many points looks a little better than it is: confirm a choice by `simulate` or `compare` under other seeds.",
            header.sweep.replications
        ));
    }
    if header.sweep.repeated > 0 {
        said.push(format!("{} points of the design repeat an earlier one and were left out.", header.sweep.repeated));
    }
    for run in points.iter().flatten() {
        let place = || format!("{} seed {}", header.words(run.point), run.seed);
        said.extend(run.invariant_violations.iter().map(|v| format!("PROMISE BROKEN {}: {v}.", place())));
    }
    said
}

/// `12.3 (11.9 … 12.7)`; without an interval where there is none, or where all runs agree.
fn with_interval(summary: Option<&Summary>, scale: f64) -> String {
    summary.map_or_else(
        || "–".to_owned(),
        |s| match s.ci95.filter(|[low, high]| low < high) {
            None => number(s.mean / scale),
            Some(ends) => {
                let [low, high] = ends.map(|v| number(v / scale));
                format!("{} ({low} … {high})", number(s.mean / scale))
            }
        },
    )
}

fn recommendation(header: &Header, measures: &[Measures], found: &Recommendation) -> String {
    let own = &measures[found.point];
    let limit = if header.overload_max.is_some() {
        format!("the limit of {} device-minutes", number(found.limit))
    } else {
        let least = if sweep_has_intervals(header) {
            "the upper end of the interval of the calmest point"
        } else {
            "what the calmest point causes"
        };
        format!("{} device-minutes, {least} ({})", number(found.limit), header.words(found.least))
    };
    let how = if sweep_has_intervals(header) { " (means, with 95 % intervals)" } else { "" };
    format!(
        "Recommended: {}. It takes {} h and causes {} device-minutes of overload{how}: the shortest of those within {limit}.",
        header.words(found.point),
        with_interval(own.get(MAKESPAN), 3600.0),
        with_interval(own.get(OVERLOAD), 1.0)
    )
}

/// What does as well.
fn as_good(header: &Header, points: &[Vec<UnitResult>], judged: &Judgement, found: &Recommendation) -> String {
    let others = found.not_worse.len() - 1;
    let best = header.sweep.points[found.point].first().map(word).unwrap_or_default();
    if !sweep_has_intervals(header) {
        return "Which other points do as well, one run of each cannot tell.".to_owned();
    }
    match range(header, found) {
        _ if others == 0 => none_as_good(header, points, judged, found),
        Some((from, to)) if from != to => {
            format!(
                "{best}; anything tried from {} to {} may do as well: nothing there is shown to be worse.",
                word(&from),
                word(&to)
            )
        }
        _ => {
            let named: Vec<String> =
                found.not_worse.iter().filter(|i| **i != found.point).take(3).map(|i| header.words(*i)).collect();
            let more = if others > 3 { "; …" } else { "" };
            let judged = judged.pareto.iter().filter(|i| found.not_worse.contains(i)).count();
            format!(
                "{others} other points may do as well, not being shown to be worse ({judged} of all these {} on the front): {}{more}.",
                if judged == 1 { "is" } else { "are" },
                named.join("; ")
            )
        }
    }
}

/// Why no other point is named beside the recommended one: only some may be shown to be worse.
fn none_as_good(header: &Header, points: &[Vec<UnitResult>], judged: &Judgement, found: &Recommendation) -> String {
    let own = &points[found.point];
    let is_above = |runs: &[UnitResult], measure| {
        paired(runs, own, measure).and_then(|difference| difference.ci95).is_some_and(|[low, _]| low > 0.0)
    };
    let is_judged = |runs: &[UnitResult]| !judged.finished_only || runs.iter().all(UnitResult::is_finished);
    let others = (0..points.len()).filter(|i| *i != found.point);
    let (left, unfinished): (Vec<usize>, Vec<usize>) = others.partition(|i| is_judged(&points[*i]));
    let (worse, over): (Vec<usize>, Vec<usize>) =
        left.into_iter().partition(|i| is_above(&points[*i], OVERLOAD) || is_above(&points[*i], MAKESPAN));
    if over.is_empty() && unfinished.is_empty() {
        return "Every other point tried is shown to be worse.".to_owned();
    }
    let mut said = Vec::new();
    if !worse.is_empty() {
        said.push(format!("shown to be worse: {}", worse.len()));
    }
    if !over.is_empty() {
        let named: Vec<String> = over.iter().take(3).map(|i| header.words(*i)).collect();
        let more = if over.len() > 3 { "; …" } else { "" };
        said.push(format!(
            "over the limit by the mean but not shown to be worse: {} ({}{more})",
            over.len(),
            named.join("; ")
        ));
    }
    if !unfinished.is_empty() {
        said.push(format!("not judged, a rollout not having finished: {}", unfinished.len()));
    }
    format!("Of the other points tried, {}.", said.join("; "))
}

/// A recommended value at the end of what was tried says little of what lies beyond.
fn at_an_end(header: &Header, found: &Recommendation) -> Option<String> {
    let at_end = |(i, varied): (usize, &super::header::Varied)| {
        let all: Vec<f64> = header.sweep.points.iter().filter_map(|p| coordinate(varied, &p[i])).collect();
        let own = coordinate(varied, &header.sweep.points[found.point][i])?;
        let (low, high) = all.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
        (own <= low || own >= high).then(|| varied.field.clone())
    };
    let fields: Vec<String> = header.sweep.varied.iter().enumerate().filter_map(at_end).collect();
    (!fields.is_empty()).then(|| {
        format!("It lies at an end of what was tried of {}: a wider range may hold a better one.", fields.join(", "))
    })
}

fn none_fits(header: &Header, measures: &[Measures], judged: &Judgement) -> String {
    let least = judged.pareto.iter().min_by(|a, b| {
        let mean = |i: usize| measures[i].get(OVERLOAD).map_or(f64::INFINITY, |s| s.mean);
        mean(**a).total_cmp(&mean(**b))
    });
    match (header.overload_max, least) {
        (Some(limit), Some(least)) => format!(
            "No point is within the limit of {} device-minutes of overload caused; the calmest, {}, causes {}.",
            number(limit),
            header.words(*least),
            with_interval(measures[*least].get(OVERLOAD), 1.0)
        ),
        _ => "No point could be judged: no run measured overload and makespan.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::header::SCHEMA;
    use slacktide_sim::compare::summaries;
    use slacktide_sim::sweep::Shard;
    use slacktide_sim::sweep::front::judge;

    /// What is said of points, each with its overload and makespan a seed.
    fn said(points: &[&[(f64, f64)]], overload_max: Option<f64>) -> String {
        let values: Vec<_> = (0..points.len()).map(|i| vec![i + 1]).collect();
        let sweep = serde_json::json!({
            "program": "1", "scenario": "s", "scenario_text": "", "devices": 4, "traces": null, "fleet": null, "policy": "p",
            "policy_text": "", "varied": [{"field": "x", "kind": "number", "log": false}], "design": "grid", "repeated": 0,
            "points": values, "seed": 1, "replications": points[0].len(), "remarks": [],
        });
        let sweep = serde_json::from_value(sweep).unwrap();
        let header = Header { schema: SCHEMA.to_owned(), shard: Shard::WHOLE, overload_max, sweep };
        let run = |point: usize, (seed, (overload, makespan)): (usize, &(f64, f64))| UnitResult {
            point,
            seed: seed as u64 + 1,
            journal_hash: String::new(),
            rollout_state: "finished".to_owned(),
            measures: [(OVERLOAD.to_owned(), *overload), (MAKESPAN.to_owned(), *makespan)].into(),
            invariant_violations: Vec::new(),
        };
        let runs = points.iter().enumerate().map(|(i, runs)| runs.iter().enumerate().map(|r| run(i, r)).collect());
        let runs: Vec<Vec<UnitResult>> = runs.collect();
        let measures: Vec<Measures> = runs.iter().map(|runs| summaries(runs.iter().map(|r| &r.measures))).collect();
        findings(&header, &runs, &measures, &judge(&runs, overload_max)).join("\n")
    }

    #[test]
    fn only_what_was_shown_to_be_worse_is_said_to_be() {
        let calm: &[(f64, f64)] = &[(0.0, 36_000.0), (0.0, 36_100.0), (0.0, 36_200.0)];
        let slow: &[(f64, f64)] = &[(0.0, 50_000.0), (0.0, 50_150.0), (0.0, 50_100.0)];
        // Faster under every seed; over a limit of 0 by its mean, and yet its overload may be nothing.
        let quick: &[(f64, f64)] = &[(0.0, 30_000.0), (4.0, 30_000.0), (1.0, 30_000.0)];
        let told = said(&[slow, calm, quick], None);
        assert!(told.starts_with("Recommended: x = 2."), "{told}");
        assert!(!told.contains("Every other point"), "{told}");
        assert!(
            told.contains("shown to be worse: 1; over the limit by the mean but not shown to be worse: 1 (x = 3)"),
            "{told}"
        );
        assert!(said(&[slow, calm], None).contains("Every other point tried is shown to be worse."));
    }

    #[test]
    fn one_run_has_no_interval() {
        let told = said(&[&[(3.0, 36_000.0)], &[(9.0, 30_000.0)]], None);
        assert!(told.contains("causes 3 device-minutes of overload: the shortest"), "{told}");
        assert!(told.contains("what the calmest point causes") && told.contains("there are no intervals"), "{told}");
        assert!(!told.contains("95 %"), "{told}");
    }
}
