//! The page itself: the recommendation first, then the trade-off, the responses, and every point.

use super::document::{Document, Varied};
use super::{charts, heat};
use crate::arms::{Summary, unit};
use crate::html::{Cell, Page};
use crate::text::{counted, seeds};

const OVERLOAD: &str = "overload_caused_device_minutes";
const MAKESPAN: &str = "makespan_s";
/// Measures of the table of points, where they were measured.
const MAIN: [&str; 6] =
    [OVERLOAD, MAKESPAN, "unserved_demand_percent", "patch_latency_device_hours", "updated_devices", "failed_devices"];
/// More points stand behind a line to click.
const OPEN_MAX: usize = 60;

/// The page.
pub fn html(document: &Document) -> String {
    let fields: Vec<&str> = document.varied.iter().map(|varied| varied.field.as_str()).collect();
    let design = match document.design.as_str() {
        "lhs" => "a Latin hypercube",
        "sobol" => "Sobol points",
        _ => "a grid",
    };
    let under = format!(
        "{} on the scenario {}, policy {}: {design} of {}, {} of each, {}",
        counted(document.devices, "device", "devices"),
        document.scenario,
        document.policy,
        counted(document.points.len(), "point", "points"),
        counted(document.replications as usize, "run", "runs"),
        seeds(document.seed, document.replications)
    );
    let mut page = Page::new(&fields.join(" · "), &under);
    page.section("What to take");
    page.sentences(&document.findings);
    page.remarks(&document.remarks);
    page.section("Overload against time");
    page.figure(
        &charts::front(document),
        "Down and to the left is better. Discs, joined: no other point is better in both by its means. Rings: within noise of those. Crosses: beaten. The square is recommended; the level line is the limit it had to keep.",
    );
    if heat::fits(document) {
        for measure in [OVERLOAD, MAKESPAN] {
            page.section(&format!("Both fields: {}", label(measure)));
            page.figure(
                &heat::map(document, measure),
                "Means of the runs; the stronger the shade, the more. The frame is recommended.",
            );
        }
    }
    for varied in &document.varied {
        responses(&mut page, document, varied);
    }
    page.section("Points");
    points(&mut page, document);
    page.section("How to read it");
    page.glossary(&[
        ("Overload caused", "Minutes that devices spent over their limit, less those they would have spent there without a rollout."),
        ("Makespan", "From the beginning of the rollout to its end."),
        ("Point", "One setting of all varied fields. Every point ran under the same seeds: the same load, the same failures."),
        ("Within noise", "The paired 95 % intervals, seed by seed, do not show the point to be beaten. They are not corrected for the number of points."),
        ("Recommended", "The shortest mean makespan among the points whose mean overload caused is within the limit."),
    ]);
    page.finish()
}

fn label(measure: &str) -> &str {
    unit(measure).map_or(measure, |u| u.label)
}

fn responses(page: &mut Page, document: &Document, varied: &Varied) {
    page.section(&varied.field);
    let others = if document.varied.len() > 1 { " Other fields vary too, which spreads the points." } else { "" };
    let line = if document.design == "grid" && varied.kind != "choice" {
        " The line joins means of all points that share a value."
    } else {
        ""
    };
    let means =
        if document.replications > 1 { "Means with 95 % intervals over the seeds" } else { "One run of each point" };
    for measure in [OVERLOAD, MAKESPAN] {
        page.figure(&charts::response(document, varied, measure), &format!("{means}.{line}{others}"));
    }
}

fn points(page: &mut Page, document: &Document) {
    let known = MAIN.into_iter().filter(|m| document.points.iter().any(|point| point.measures.contains_key(*m)));
    let measures: Vec<&str> = known.collect();
    let cell = |measure: &str, summary: Option<&Summary>| {
        let scale = unit(measure).map_or(1.0, |u| u.scale);
        Cell::number(summary.map_or_else(|| "–".to_owned(), |s| s.words(scale)))
    };
    let best = document.recommended.as_ref().map(|r| r.point);
    let as_good = |i: &usize| document.recommended.as_ref().is_some_and(|r| r.not_worse.contains(i));
    let row = |(i, point): (usize, &super::Point)| {
        let fields = document.varied.iter().map(|varied| Cell::number(point.word(&varied.field)));
        let measured = measures.iter().map(|measure| cell(measure, point.measures.get(*measure)));
        let ended: Vec<String> = point.rollout_states.iter().map(|(state, n)| format!("{n} {state}")).collect();
        let verdict = match i {
            i if best == Some(i) => "recommended".into(),
            i if as_good(&i) => "not shown to be worse".into(),
            i if document.pareto.contains(&i) => "on the front".into(),
            i if document.near_pareto.contains(&i) => Cell::quiet("within noise of the front"),
            _ => "".into(),
        };
        let mut row: Vec<Cell> = [Cell::number((i + 1).to_string())].into_iter().chain(fields).collect();
        row.push(verdict);
        row.extend(measured);
        row.push(ended.join(", ").into());
        row
    };
    let rows: Vec<Vec<Cell>> = document.points.iter().enumerate().map(row).collect();
    let fields: Vec<String> = document.varied.iter().map(Varied::heading).collect();
    let header: Vec<&str> = ["point"]
        .into_iter()
        .chain(fields.iter().map(String::as_str))
        .chain(["verdict"])
        .chain(measures.iter().map(|m| label(m)))
        .chain(["rollouts ended"])
        .collect();
    let what = if document.replications > 1 { "Mean ± half of the 95 % interval" } else { "One run of each point" };
    page.note(&format!("{what}; sweep.json has every measure, sweep.csv every run."));
    if rows.len() <= OPEN_MAX {
        page.small_table(&header, &rows);
    } else {
        page.folded_table(&format!("All {} points", rows.len()), &header, &rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document(design: &str) -> Document {
        let point = |basis: &str, lookahead: &str, overload: f64| {
            json!({
                "parameters": {"plan.basis": basis, "monitor.lookahead": lookahead},
                "measures": {OVERLOAD: {"mean": overload, "ci95": [overload - 2.0, overload + 2.0]}, MAKESPAN: {"mean": 7200.0, "ci95": [7000.0, 7400.0]}},
                "rollout_states": {"finished": 3},
            })
        };
        let points = [
            point("<b>", "10m", 1.0),
            point("<b>", "1h 40m", 2.0),
            point("current", "10m", 30.0),
            point("current", "1h 40m", 40.0),
        ];
        serde_json::from_value(json!({
            "scenario": "s", "policy": "p", "devices": 4, "seed": 1, "replications": 3, "design": design,
            "varied": [{"field": "plan.basis", "kind": "choice", "log": false}, {"field": "monitor.lookahead", "kind": "span", "log": true}],
            "remarks": [], "findings": ["Recommended: this."], "points": points, "pareto": [0], "near_pareto": [1],
            "recommended": {"point": 0, "overload_limit": 3.0, "not_worse": [0, 1]},
        }))
        .unwrap()
    }

    #[test]
    fn a_grid_of_two_fields_has_maps_and_nothing_becomes_markup() {
        let page = html(&document("grid"));
        assert_eq!(page.matches("<svg ").count(), 7, "the front, two maps, two responses a field");
        assert!(!page.contains("<b>") && page.contains("&lt;b&gt;"), "{page}");
        assert!(page.contains("Recommended: this.") && page.contains("not shown to be worse"));
        // The scale of spans is logarithmic, in hours.
        assert!(page.contains("\n0.2\n") && page.contains("\n0.5\n"), "{page}");
    }

    #[test]
    fn scattered_points_have_none() {
        assert_eq!(html(&document("sobol")).matches("<svg ").count(), 5);
    }
}
