//! How good the forecasts were: by model against a trivial one, of the whole fleet, and whether bounds held.

use crate::curves::{Axes, Curve, curves};
use crate::html::{Cell, Page};
use crate::plot::{Figure, PENS};
use crate::tables::Tables;
use crate::text::number;
use slacktide_engine::journal::entry::ForecastEntry;
use std::collections::BTreeMap;

/// Models that cost next to nothing, the one that is hardest to beat first: what others are measured against.
const TRIVIAL: [&str; 4] = ["seasonal-naive", "seasonal-mean", "naive", "average"];
/// Models on the picture.
const SHOWN_MAX: usize = 4;

/// The section.
pub(super) fn section(page: &mut Page, tables: &Tables) {
    page.section("Forecast skill");
    let Some((_, last)) = tables.forecasts.last() else {
        page.note("The journal has no round of forecasts: the policy asks for none, or it ended before the first.");
        return;
    };
    let means = means(tables);
    let baseline = TRIVIAL.into_iter().find(|name| means.contains_key(name));
    for sentence in sentences(tables, &means, baseline, last) {
        page.say(&sentence);
    }
    page.figure(&over_time(tables, &means, baseline, last), "The lower, the better.");
    models(page, &means, baseline, last);
}

/// Mean absolute error of each model over all rounds, points.
fn means(tables: &Tables) -> BTreeMap<&str, f64> {
    let mut sums = BTreeMap::<&str, (f64, f64)>::new();
    for (name, error) in tables.forecasts.iter().flat_map(|(_, f)| &f.mae_points) {
        let sum = sums.entry(name).or_default();
        *sum = (sum.0 + error, sum.1 + 1.0);
    }
    sums.into_iter().map(|(name, (sum, count))| (name, sum / count)).collect()
}

fn skill(own: f64, baseline: f64) -> Option<f64> {
    (baseline > 0.0).then(|| (1.0 - own / baseline) * 100.0)
}

/// The model that forecasts the most series at the end.
fn leading(last: &ForecastEntry) -> Option<&str> {
    last.champions.iter().max_by_key(|(_, series)| **series).map(|(name, _)| name.as_str())
}

fn sentences(
    tables: &Tables,
    means: &BTreeMap<&str, f64>,
    baseline: Option<&str>,
    last: &ForecastEntry,
) -> Vec<String> {
    let mut said = Vec::new();
    if let Some(fleet) = fleet(tables) {
        let trivial = fleet.persistence.map_or_else(String::new, |persistence| {
            let skill =
                skill(fleet.error, persistence).map_or_else(String::new, |skill| format!(", a skill of {skill:.0} %"));
            format!("; the load of the moment it was made would have been off by {} points{skill}", number(persistence))
        });
        said.push(format!(
            "The forecast of the whole fleet's load was off by {} points on average{trivial}. {} % of the ticks stayed at or under its upper bound.",
            number(fleet.error),
            number(fleet.within_percent)
        ));
    }
    if let (Some(model), Some(trivial)) = (leading(last), baseline)
        && let (Some(own), Some(base)) = (means.get(model), means.get(trivial))
        && let Some(skill) = skill(*own, *base)
        && model != trivial
    {
        said.push(format!(
            "{model}, which forecasts most series at the end, was off by {} points, {trivial} by {}: a skill of {skill:.0} %.",
            number(*own),
            number(*base)
        ));
    }
    let coverage = |pick: fn(&ForecastEntry) -> Option<f64>| {
        let known: Vec<f64> = tables.forecasts.iter().filter_map(|(_, f)| pick(f)).collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    };
    for (what, value) in [
        ("window peaks of devices stayed at or under their load score", coverage(|f| f.peak_coverage_percent)),
        ("windows of pool demand stayed at or under their bound", coverage(|f| f.demand_coverage_percent)),
    ] {
        if let Some(value) = value {
            said.push(format!("{} % of past {what}.", number(value)));
        }
    }
    said
}

/// The forecast of the fleet's load against what came.
struct Fleet {
    error: f64,
    /// Error of taking the load at the moment of the forecast for all to come.
    persistence: Option<f64>,
    within_percent: f64,
}

fn fleet(tables: &Tables) -> Option<Fleet> {
    let (mut errors, mut naive, mut within, mut count) = (0.0, (0.0, 0.0), 0.0, 0.0);
    for (at, tick) in &tables.ticks {
        let Some((point, upper)) = tick.fleet_load_forecast else { continue };
        errors += (tick.fleet_load - point).abs();
        within += f64::from(u8::from(tick.fleet_load <= upper));
        count += 1.0;
        let made = tables.forecasts.partition_point(|(made, _)| made < at).checked_sub(1);
        let known = made.and_then(|m| {
            let known = tables.ticks.partition_point(|(tick_at, _)| *tick_at <= tables.forecasts[m].1.origin);
            known.checked_sub(1).map(|k| tables.ticks[k].1.fleet_load)
        });
        if let Some(known) = known {
            naive = (naive.0 + (tick.fleet_load - known).abs(), naive.1 + 1.0);
        }
    }
    (count > 0.0).then(|| Fleet {
        error: errors / count,
        persistence: (naive.1 > 0.0).then(|| naive.0 / naive.1),
        within_percent: within / count * 100.0,
    })
}

fn over_time(tables: &Tables, means: &BTreeMap<&str, f64>, baseline: Option<&str>, last: &ForecastEntry) -> Figure {
    let mut names: Vec<&str> = leading(last).into_iter().chain(baseline).collect();
    let mut others: Vec<&str> = means.keys().copied().collect();
    others.sort_by(|a, b| means[a].total_cmp(&means[b]));
    others.into_iter().for_each(|name| {
        if !names.contains(&name) {
            names.push(name);
        }
    });
    names.retain(|name| means.contains_key(name));
    names.dedup();
    let points = |name: &str| {
        tables.forecasts.iter().map(|(at, f)| (tables.elapsed(*at), f.mae_points.get(name).copied())).collect()
    };
    let lines: Vec<Curve<'_>> = names
        .into_iter()
        .take(SHOWN_MAX)
        .zip(PENS)
        .map(|(label, pen)| Curve { label, points: points(label), pen })
        .collect();
    let axes =
        Axes { x: tables.elapsed_unit().axis, y: "mean absolute error, points", from_zero: true, rule: Some(0.0) };
    curves(
        "Error of the forecasts, round by round",
        "mean absolute error in points of load of the forecasts of devices, of the leading model, of a trivial one and of the next best",
        axes,
        &lines,
        &[],
    )
}

fn models(page: &mut Page, means: &BTreeMap<&str, f64>, baseline: Option<&str>, last: &ForecastEntry) {
    let mut order: Vec<(&str, f64)> = means.iter().map(|(name, error)| (*name, *error)).collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let base = baseline.map(|name| means[name]);
    let row = |(name, error): &(&str, f64)| {
        let skill = base.and_then(|base| skill(*error, base));
        let skill = if baseline == Some(*name) {
            "measured against".to_owned()
        } else {
            skill.map_or_else(|| "–".to_owned(), |s| format!("{s:.0}"))
        };
        let now = last.champions.get(*name).copied().unwrap_or(0);
        vec![(*name).into(), Cell::number(number(*error)), Cell::number(skill), Cell::number(now.to_string())]
    };
    let against = format!("skill against {}, %", baseline.unwrap_or("a trivial model"));
    page.table(
        &["model", "mean absolute error, points", &against, "series it forecasts at the end"],
        &order.iter().map(row).collect::<Vec<_>>(),
    );
    page.note(
        "Skill: how much lower the error is than that of the trivial model; 0 is no better, less than 0 is worse.",
    );
    if baseline.is_none() {
        page.note("No trivial model competed, so that skill cannot be known.");
    }
}
