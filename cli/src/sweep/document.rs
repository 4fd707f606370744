//! The results of a sweep as one JSON document, as a table, and as lines for the terminal.

use super::findings::findings;
use super::header::{Header, Varied};
use super::points::word;
use serde_json::{Map, Value, json};
use slacktide_engine::document::parse_span;
use slacktide_reports::text;
use slacktide_sim::Summary;
use slacktide_sim::compare::summaries;
use slacktide_sim::sweep::UnitResult;
use slacktide_sim::sweep::front::{Judgement, MAKESPAN, OVERLOAD, Recommendation, judge};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Rows of points that the terminal shows.
const SHOWN_MAX: usize = 40;

/// A value on its field's scale: the number, the share in percent, the time in hours; none for a choice.
pub(super) fn coordinate(varied: &Varied, value: &Value) -> Option<f64> {
    match varied.kind.as_str() {
        "number" => value.as_f64(),
        "percent" => value.as_str()?.strip_suffix('%')?.parse().ok(),
        "span" => parse_span(value.as_str()?).ok().map(|span| span.as_secs_f64() / 3600.0),
        _ => None,
    }
}

/// The values of the only varied field, around the recommended one, that are not worse by more than chance.
pub(super) fn range(header: &Header, recommended: &Recommendation) -> Option<(Value, Value)> {
    let [varied] = header.sweep.varied.as_slice() else { return None };
    let mut order: Vec<(f64, usize)> = Vec::new();
    for (i, point) in header.sweep.points.iter().enumerate() {
        order.push((coordinate(varied, &point[0])?, i));
    }
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let place = order.iter().position(|(_, i)| *i == recommended.point)?;
    let holds = |place: &usize| recommended.not_worse.contains(&order[*place].1);
    let low = (0..=place).rev().take_while(holds).last()?;
    let high = (place..order.len()).take_while(holds).last()?;
    let value = |place: usize| header.sweep.points[order[place].1][0].clone();
    Some((value(low), value(high)))
}

fn summary(summary: &Summary) -> Value {
    json!({"mean": summary.mean, "ci95": summary.ci95})
}

/// Runs point by point.
fn by_point(header: &Header, results: &[UnitResult]) -> Vec<Vec<UnitResult>> {
    let mut points = vec![Vec::new(); header.sweep.points.len()];
    results.iter().for_each(|run| points[run.point].push(run.clone()));
    points
}

/// The whole document.
pub(super) fn document(header: &Header, results: &[UnitResult]) -> Value {
    let sweep = &header.sweep;
    let points = by_point(header, results);
    let judged = judge(&points, header.overload_max);
    let measures: Vec<BTreeMap<String, Summary>> =
        points.iter().map(|runs| summaries(runs.iter().map(|run| &run.measures))).collect();
    let point = |(i, runs): (usize, &Vec<UnitResult>)| {
        let mut states = BTreeMap::<&str, usize>::new();
        runs.iter().for_each(|run| *states.entry(&run.rollout_state).or_default() += 1);
        let one = |run: &UnitResult| json!({"seed": run.seed, "journal_hash": run.journal_hash, "rollout_state": run.rollout_state});
        let measured: Map<String, Value> = measures[i].iter().map(|(name, s)| (name.clone(), summary(s))).collect();
        json!({
            "parameters": header.parameters(i),
            "measures": measured,
            "rollout_states": states,
            "runs": runs.iter().map(one).collect::<Vec<_>>(),
        })
    };
    json!({
        "schema": "slacktide/sweep/1",
        "scenario": sweep.scenario,
        "policy": sweep.policy,
        "devices": sweep.devices,
        "seed": sweep.seed,
        "replications": sweep.replications,
        "design": sweep.design,
        "varied": sweep.varied,
        "repeated_points": sweep.repeated,
        "remarks": sweep.remarks,
        "findings": findings(header, &points, &measures, &judged),
        "points": points.iter().enumerate().map(point).collect::<Vec<_>>(),
        "judged": if judged.finished_only { "finished" } else { "all" },
        "pareto": judged.pareto,
        "near_pareto": judged.near,
        "recommended": recommended(header, &judged, &measures),
        "invariant_violations": violations(results),
    })
}

fn recommended(header: &Header, judged: &Judgement, measures: &[BTreeMap<String, Summary>]) -> Value {
    let Some(found) = &judged.recommended else { return Value::Null };
    let of = |measure: &str| measures[found.point].get(measure).map(summary);
    let field = header.sweep.varied.first().map(|varied| &varied.field);
    let range = range(header, found).map(|(from, to)| json!({"field": field, "from": from, "to": to}));
    json!({
        "point": found.point,
        "parameters": header.parameters(found.point),
        OVERLOAD: of(OVERLOAD),
        MAKESPAN: of(MAKESPAN),
        "overload_limit": found.limit,
        "overload_limit_from": match (header.overload_max, sweep_has_intervals(header)) {
            (Some(_), _) => "given",
            (None, true) => "upper end of the least overload's interval",
            (None, false) => "the least overload",
        },
        "least_overload_point": found.least,
        "not_worse": found.not_worse,
        "range": range,
    })
}

/// A single run of each point has no intervals.
pub(super) const fn sweep_has_intervals(header: &Header) -> bool {
    header.sweep.replications > 1
}

fn violations(results: &[UnitResult]) -> Vec<String> {
    let each = |run: &UnitResult| {
        let (point, seed) = (run.point + 1, run.seed);
        run.invariant_violations.iter().map(|v| format!("point {point}, seed {seed}: {v}")).collect::<Vec<_>>()
    };
    results.iter().flat_map(each).collect()
}

/// What one share of the work has to say.
pub(super) fn share(header: &Header, results: &[UnitResult]) -> Value {
    json!({
        "schema": "slacktide/sweep-share/1",
        "scenario": header.sweep.scenario,
        "shard": header.shard.to_string(),
        "runs": results.len(),
        "of_runs": header.units(),
        "invariant_violations": violations(results),
    })
}

/// A row a run: the point's values, how it ended, and every measure.
pub(super) fn csv(header: &Header, results: &[UnitResult]) -> String {
    let names: BTreeSet<&str> = results.iter().flat_map(|run| run.measures.keys().map(String::as_str)).collect();
    let fields = header.sweep.varied.iter().map(|varied| text::csv_field(&varied.field));
    let head = ["point".to_owned()].into_iter().chain(fields);
    let head = head.chain(["seed", "rollout_state", "journal_hash"].map(str::to_owned));
    let mut csv = head.chain(names.iter().map(|name| (*name).to_owned())).collect::<Vec<_>>().join(",") + "\n";
    for run in results {
        let values = header.sweep.points[run.point].iter().map(|value| text::csv_field(&word(value)));
        let row = [run.point.to_string()].into_iter().chain(values);
        let row = row.chain([run.seed.to_string(), run.rollout_state.clone(), run.journal_hash.clone()]);
        let measured = names.iter().map(|name| run.measures.get(*name).map(f64::to_string).unwrap_or_default());
        csv.push_str(&(row.chain(measured).collect::<Vec<_>>().join(",") + "\n"));
    }
    csv
}

/// A short account for people.
pub(super) fn print_plain(header: &Header, document: &Value, out: Option<&Path>) {
    let sweep = &header.sweep;
    crate::say!(
        "{} ({} devices), policy {}, {} points × {} runs, seeds from {}\n",
        sweep.scenario,
        sweep.devices,
        sweep.policy,
        sweep.points.len(),
        sweep.replications,
        sweep.seed
    );
    let indices = |name: &str| -> Vec<usize> {
        document[name].as_array().into_iter().flatten().filter_map(|i| i.as_u64().map(|i| i as usize)).collect()
    };
    let (pareto, near) = (indices("pareto"), indices("near_pareto"));
    let best = document["recommended"]["point"].as_u64().map(|i| i as usize);
    let cell = |point: usize, measure: &str, scale: f64| {
        let found = &document["points"][point]["measures"][measure];
        let (mean, low, high) = (found["mean"].as_f64(), found["ci95"][0].as_f64(), found["ci95"][1].as_f64());
        match (mean, low, high) {
            (Some(mean), Some(low), Some(high)) => {
                format!("{} ± {}", text::number(mean / scale), text::number((high - low) / 2.0 / scale))
            }
            // One run has no interval.
            (Some(mean), ..) => text::number(mean / scale),
            _ => "–".to_owned(),
        }
    };
    let row = |point: usize| {
        let mark = if best == Some(point) {
            "recommended"
        } else if pareto.contains(&point) {
            "on the front"
        } else if near.contains(&point) {
            "within noise of it"
        } else {
            ""
        };
        let mut row: Vec<String> = sweep.points[point].iter().map(word).collect();
        row.extend([cell(point, OVERLOAD, 1.0), cell(point, MAKESPAN, 3600.0), mark.to_owned()]);
        row
    };
    let mut shown: Vec<usize> = (0..sweep.points.len()).collect();
    if shown.len() > SHOWN_MAX {
        shown.retain(|i| pareto.contains(i) || near.contains(i));
        shown.truncate(SHOWN_MAX);
        crate::say!(
            "Points on the Pareto front and within noise of it ({} in all, {} shown):",
            pareto.len() + near.len(),
            shown.len()
        );
    }
    let mut head: Vec<&str> = sweep.varied.iter().map(|varied| varied.field.as_str()).collect();
    head.extend(["overload caused (device-min)", "makespan (h)", ""]);
    crate::say!("{}", text::table(&head, &shown.into_iter().map(row).collect::<Vec<_>>()));
    for sentence in document["findings"].as_array().into_iter().flatten() {
        crate::say!("{}", sentence.as_str().unwrap_or_default());
    }
    if let Some(out) = out {
        crate::say!("\nPage: {}", out.join("report.html").display());
    }
}
