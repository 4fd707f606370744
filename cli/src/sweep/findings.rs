//! What a sweep found, in sentences.

use super::document::{coordinate, range};
use super::header::Header;
use super::points::word;
use slacktide_reports::text::number;
use slacktide_sim::Summary;
use slacktide_sim::sweep::UnitResult;
use slacktide_sim::sweep::front::{Judgement, MAKESPAN, OVERLOAD, Recommendation};
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
            said.push(as_good(header, judged, found));
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
    if header.sweep.replications == 1 {
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
        |s| {
            if s.ci95[0] == s.ci95[1] {
                return number(s.mean / scale);
            }
            let [low, high] = s.ci95.map(|v| number(v / scale));
            format!("{} ({low} … {high})", number(s.mean / scale))
        },
    )
}

fn recommendation(header: &Header, measures: &[Measures], found: &Recommendation) -> String {
    let own = &measures[found.point];
    let limit = if header.overload_max.is_some() {
        format!("the limit of {} device-minutes", number(found.limit))
    } else {
        format!(
            "{} device-minutes, the upper end of the interval of the calmest point ({})",
            number(found.limit),
            header.words(found.least)
        )
    };
    format!(
        "Recommended: {}. It takes {} h and causes {} device-minutes of overload (means, with 95 % intervals): the shortest of those within {limit}.",
        header.words(found.point),
        with_interval(own.get(MAKESPAN), 3600.0),
        with_interval(own.get(OVERLOAD), 1.0)
    )
}

/// What does as well.
fn as_good(header: &Header, judged: &Judgement, found: &Recommendation) -> String {
    let others = found.not_worse.len() - 1;
    let best = header.sweep.points[found.point].first().map(word).unwrap_or_default();
    if header.sweep.replications == 1 {
        return "Which other points do as well, one run of each cannot tell.".to_owned();
    }
    match range(header, found) {
        _ if others == 0 => "Every other point tried is shown to be worse.".to_owned(),
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
