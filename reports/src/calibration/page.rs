//! The page itself: what was learned, how well it fits, and the curves that say so.

use super::charts;
use super::document::{Document, HeldOut, Judged};
use crate::html::{Cell, Page};
use crate::text::{counted, number};
use slacktide_engine::document::format_span;
use slacktide_engine::time::Span;

/// The page.
pub fn html(document: &Document) -> String {
    let step = format_span(Span::from_secs(document.period_s.unsigned_abs()));
    let days = document.steps as f64 * document.period_s as f64 / 86_400.0;
    let under = format!(
        "{}: {} over {} days in steps of {step}; the scenario has {}; worlds generated from seed {}",
        document.data.join(", "),
        counted(document.recorded_devices, "device", "devices"),
        number(days),
        counted(document.devices, "device", "devices"),
        document.seed
    );
    let mut page = Page::new("Calibrated load", &under);
    page.section("What was learned");
    page.remarks(&document.remarks);
    let group = |g: &super::Group| {
        vec![Cell::from(g.name.as_str()), Cell::number(g.devices.to_string()), Cell::number(g.pool_size.to_string())]
    };
    page.table(&["group", "devices", "members of a pool"], &document.groups.iter().map(group).collect::<Vec<_>>());
    page.section("How well it fits");
    for metric in &document.goodness {
        page.part(&metric.metric);
        page.say(&count(&metric.judged));
        page.table(
            &["statistic", "verdict", "recorded", "generated", "distance", "good to", "fair to", "the distance is"],
            &metric.judged.iter().map(row).collect::<Vec<_>>(),
        );
    }
    if let Some(held) = &document.held_out {
        held_out(&mut page, held);
    }
    page.section("A week");
    page.figure(
        &charts::week(document),
        &format!("The recorded device {} has middling spread; the generated one is that of nearest level and spread. They are not meant to agree moment by moment.", document.sample_week.device),
    );
    for metric in &document.goodness {
        page.section(&format!("Curves: {}", metric.metric));
        page.figure(&charts::quantiles(metric), "Load of all devices at all times.");
        page.figure(&charts::profile(metric), "Mean over devices and days.");
        page.figure(&charts::memory(metric), "Mean over devices, the daily curve included.");
    }
    page.section("The scenario");
    page.folded_text("scenario.toml", &document.scenario);
    page.section("How to read it");
    page.glossary(&[
        ("Generated", "Load made by the simulator's own generator from the scenario: as many devices at the same times, with the same gaps, in five worlds together."),
        ("Good, fair, poor", "The distance of a statistic is within the first threshold, the second, or neither; both stand beside it. Not measured: the data cannot tell, such as weekdays from less than 14 days."),
        ("Held out", "A generator is learned from the first half and held against the second. No generator can be expected to be nearer than the first half itself is: load changes from week to week."),
        ("Burst", "Load over five robust standard deviations, and 5 points, above the device's own daily curve, for at most six hours."),
        ("Pool peak", "The 99th percentile of the mean load of a pool, as a multiple of its mean: what a plan must leave room for."),
    ]);
    page.finish()
}

fn verdict(verdict: &str) -> Cell {
    if verdict == "good" || verdict == "not measured" { Cell::quiet(verdict) } else { Cell::from(verdict) }
}

fn value(value: Option<f64>) -> Cell {
    Cell::number(value.map_or_else(|| "–".to_owned(), number))
}

fn row(j: &Judged) -> Vec<Cell> {
    vec![
        Cell::from(with_unit(&j.name)),
        verdict(&j.verdict),
        value(j.recorded),
        value(j.fitted),
        value(j.distance),
        value(Some(j.good)),
        value(Some(j.fair)),
        Cell::quiet(j.distance_is.as_str()),
    ]
}

/// A statistic with the unit of its values; those without one have none, or are compared as curves.
fn with_unit(name: &str) -> String {
    let unit = match name {
        "mean load" | "99th percentile" => ", %",
        "spread within a device" | "height of bursts" => ", points",
        "length of bursts" => ", minutes",
        _ => "",
    };
    format!("{name}{unit}")
}

fn count(judged: &[Judged]) -> String {
    let of = |name: &str| judged.iter().filter(|j| j.verdict == name).count();
    let poor: Vec<&str> = judged.iter().filter(|j| j.verdict == "poor").map(|j| j.name.as_str()).collect();
    let which = if poor.is_empty() { String::new() } else { format!(" Poor: {}.", poor.join("; ")) };
    format!(
        "{} good, {} fair, {} poor, {} not measured.{which}",
        of("good"),
        of("fair"),
        of("poor"),
        of("not measured")
    )
}

fn held_out(page: &mut Page, held: &HeldOut) {
    page.section("Held out");
    page.say(&format!(
        "Generator of the first half against the second ({} whole days): {}",
        held.days,
        count(&held.fitted)
    ));
    page.say(&format!("The first half itself against the second: {}", count(&held.halves)));
    let row = |(fitted, half): (&Judged, &Judged)| {
        vec![
            Cell::from(fitted.name.as_str()),
            value(fitted.distance),
            verdict(&fitted.verdict),
            value(half.distance),
            verdict(&half.verdict),
        ]
    };
    page.table(
        &["statistic", "distance of the generator", "verdict on it", "distance of the first half", "verdict on that"],
        &held.fitted.iter().zip(&held.halves).map(row).collect::<Vec<_>>(),
    );
}
