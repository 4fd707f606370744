//! The page itself: findings first, then measures, pictures and all differences.

use super::charts;
use super::document::{Difference, Document, Selection, Summary, unit};
use crate::html::{Cell, Page};
use crate::text::{counted, number, seeds};

/// Measures that stand in the first table, where they were measured.
const MAIN: [&str; 8] = [
    "overload_caused_device_minutes",
    "makespan_s",
    "unserved_demand_percent",
    "patch_latency_device_hours",
    "forecast_mae_points",
    "updated_devices",
    "failed_devices",
    "exposed_devices",
];

/// The page.
pub fn html(document: &Document) -> String {
    let under = format!(
        "{} on the scenario {}: {}, {} of each, {}",
        document.arms_are,
        document.scenario,
        counted(document.devices, "device", "devices"),
        counted(document.replications as usize, "run", "runs"),
        seeds(document.seed, document.replications)
    );
    let names: Vec<&str> = document.arms.iter().map(|a| a.name.as_str()).collect();
    let mut page = Page::new(&names.join(" · "), &under);
    page.section("What was found");
    page.sentences(&document.findings);
    page.remarks(&document.remarks);
    page.section("Measures");
    measures(&mut page, document);
    if let Some(selection) = &document.selection {
        page.section("Which may be the best");
        may_be_best(&mut page, selection);
    }
    page.section("Overload against time");
    page.figure(
        &charts::scatter(document),
        "Down and to the left is better. Whiskers are 95 % intervals of the mean over the seeds of each arm, cut at 0; arms share their seeds, so the paired differences below tell more.",
    );
    for measure in ["overload_caused_device_minutes", "makespan_s"] {
        page.section(&format!("Differences: {}", unit(measure).map_or(measure, |u| u.label)));
        page.figure(
            &charts::forest(document, measure),
            "Seed by seed, the first arm minus the second, with intervals that hold for all pairs at once with 95 % confidence. A disc differs by more than chance; a ring is noise.",
        );
    }
    page.section("All differences");
    differences(&mut page, document);
    page.section("All measures");
    all_measures(&mut page, document);
    page.section("How to read it");
    page.glossary(&[
        ("Overload caused", "Minutes that devices spent over their limit, less those they would have spent there without a rollout."),
        ("Makespan", "From the beginning of the rollout to its end."),
        ("Patch latency", "Hours that devices waited for the new release, summed over devices."),
        ("Paired difference", "Every arm ran the same seeds: the same load, the same failures. Differences are taken seed by seed, which cancels what the worlds have in common."),
        ("Noise", "Chance explains the difference: paired t-test, its error shared among the pairs of the same measure (Bonferroni), at 5 %: 0 lies within the interval. It does not show that the arms are equal: more replications would show smaller differences."),
    ]);
    page.finish()
}

/// Each arm against the best of the others: overload first, then the makespan of those that chance leaves.
fn may_be_best(page: &mut Page, selection: &Selection) {
    let rows = |selection: &Selection| {
        let unit = unit(&selection.measure);
        let n = |v: f64| number(v / unit.map_or(1.0, |u| u.scale));
        let row = |arm: &super::FromBest| {
            let may = selection.subset.contains(&arm.arm);
            vec![
                Cell::from(unit.map_or(selection.measure.as_str(), |u| u.label)),
                arm.arm.as_str().into(),
                Cell::number(n(arm.less_best_of_others)),
                Cell::number(format!("{} … {}", n(arm.ci[0]), n(arm.ci[1]))),
                if may { "may be the best".into() } else { Cell::quiet("is not") },
            ]
        };
        selection.intervals.iter().map(row).collect::<Vec<_>>()
    };
    let then = selection.then.as_deref().map(rows).unwrap_or_default();
    page.table(
        &["measure", "arm", "less the best of the others", "interval", "verdict"],
        &[rows(selection), then].concat(),
    );
    page.note("All intervals and both statements hold at once with at least 95 % confidence (multiple comparisons with the best).");
}

/// `mean ± half width`.
fn cell(measure: &str, summary: &Summary) -> Cell {
    let scale = unit(measure).map_or(1.0, |u| u.scale);
    Cell::number(summary.words(scale))
}

fn row_of(document: &Document, measure: &str) -> impl Iterator<Item = Cell> {
    document
        .arms
        .iter()
        .map(move |arm| arm.measures.get(measure).map_or_else(|| Cell::number("–"), |summary| cell(measure, summary)))
}

fn header(document: &Document) -> Vec<&str> {
    ["measure"].into_iter().chain(document.arms.iter().map(|a| a.name.as_str())).collect()
}

fn measures(page: &mut Page, document: &Document) {
    let is_known = |measure: &&str| document.arms.iter().any(|a| a.measures.contains_key(*measure));
    let row = |measure: &str| {
        let label = unit(measure).map_or(measure, |u| u.label);
        [Cell::from(label)].into_iter().chain(row_of(document, measure)).collect::<Vec<_>>()
    };
    let mut rows: Vec<Vec<Cell>> = MAIN.into_iter().filter(is_known).map(row).collect();
    let ended = document.arms.iter().map(|arm| {
        let mut counts = std::collections::BTreeMap::<&str, usize>::new();
        arm.rollout_states.iter().for_each(|state| *counts.entry(state).or_default() += 1);
        Cell::number(counts.into_iter().map(|(state, n)| format!("{n} {state}")).collect::<Vec<_>>().join(", "))
    });
    rows.push([Cell::from("rollouts ended")].into_iter().chain(ended).collect());
    page.table(&header(document), &rows);
    page.note(&format!(
        "Mean ± half of the 95 % interval. Least overload caused first, then time: {}.",
        document.ranking.join(", ")
    ));
}

fn all_measures(page: &mut Page, document: &Document) {
    let mut names: Vec<&str> = document.arms.iter().flat_map(|a| a.measures.keys().map(String::as_str)).collect();
    names.sort_unstable();
    names.dedup();
    let row = |measure: &&str| {
        let cells = document
            .arms
            .iter()
            .map(|arm| Cell::number(arm.measures.get(*measure).map_or_else(|| "–".to_owned(), |s| s.words(1.0))));
        [Cell::from(*measure)].into_iter().chain(cells).collect::<Vec<_>>()
    };
    let rows: Vec<Vec<Cell>> = names.iter().map(row).collect();
    page.folded_table(&format!("All {} measures, as comparison.json has them", names.len()), &header(document), &rows);
}

/// The verdict on a difference.
fn verdict(difference: &Difference) -> Cell {
    if difference.different {
        let less = if difference.summary.mean < 0.0 { &difference.a } else { &difference.b };
        format!("{less} less").into()
    } else {
        Cell::quiet("noise")
    }
}

fn differences(page: &mut Page, document: &Document) {
    let row = |d: &Difference| {
        let unit = unit(&d.measure);
        let n = |v: f64| number(v / unit.map_or(1.0, |u| u.scale));
        let p = match d.p_corrected {
            Some(p) if p < 0.001 => "< .001".to_owned(),
            Some(p) => format!("{p:.3}"),
            None => "–".to_owned(),
        };
        vec![
            format!("{} − {}", d.a, d.b).into(),
            unit.map_or(d.measure.as_str(), |u| u.label).into(),
            Cell::number(n(d.summary.mean)),
            Cell::number(
                d.summary.ci95.map_or_else(|| "–".to_owned(), |[low, high]| format!("{} … {}", n(low), n(high))),
            ),
            Cell::number(p),
            verdict(d),
        ]
    };
    let rows: Vec<Vec<Cell>> = document.differences.iter().map(row).collect();
    page.table(&["pair", "measure", "mean", "interval, all at once 95 %", "p, corrected", "verdict"], &rows);
}
