//! The page itself.

use super::document::{Arm, Calibration, Document};
use crate::curves::{Axes, Band, Curve, curves};
use crate::html::{Cell, Page};
use crate::plot::{Figure, PENS, Pen};
use crate::text::{counted, number};

/// The page.
pub fn html(document: &Document) -> String {
    let under = format!(
        "{}: from {}, {} h ahead, {} for each policy, seed {}",
        document.journal,
        document.at,
        number(document.ahead_h),
        counted(document.runs as usize, "course", "courses"),
        document.seed
    );
    let mut page = Page::new("What may come", &under);
    page.section("In words");
    document.arms.iter().for_each(|arm| page.say(&words(arm, document.ahead_h)));
    page.section("Completion and chances");
    page.table(&HEADER, &document.arms.iter().map(row).collect::<Vec<_>>());
    page.note("A dash lies beyond the time looked ahead. Shares are of the courses: some pool passes its critical load; not ended in time; a rollout stopped or taken back; devices that failed.");
    page.section("Capacity");
    for arm in &document.arms {
        page.part(&arm.policy);
        page.figure(&fan(arm), "Capacity of the devices in service (100 less their load). Inner band: eight courses in ten; outer: 95 in a hundred.");
    }
    if let Some(calibration) = &document.calibration {
        earlier(&mut page, calibration);
    }
    page.section("How to read it");
    page.glossary(&[
        ("Course", "One way it may go: load drawn from what was recorded, updates that take as long and fail as often as the recorded ones."),
        ("Past critical", "The demand of some pool is above monitor.critical_load_percent of its members in service."),
        ("Capacity", "100 less the weighted load of the devices in service, percent."),
    ]);
    page.finish()
}

const FAN: [&str; 6] =
    ["hours ahead", "outer band from, %", "inner band from, %", "median, %", "inner band to, %", "outer band to, %"];
const HEADER: [&str; 9] = [
    "policy",
    "one in ten ended after, h",
    "half after, h",
    "nine in ten after, h",
    "devices updated, mean",
    "some pool critical",
    "not ended",
    "stopped or taken back",
    "devices failed",
];

fn words(arm: &Arm, ahead_h: f64) -> String {
    let hours =
        |h: Option<f64>| h.map_or_else(|| format!("more than {} h", number(ahead_h)), |h| format!("{} h", number(h)));
    let chance = |name: &str| arm.chances.get(name).copied().unwrap_or(0.0) * 100.0;
    format!(
        "Under {}, half of the courses have ended after {}, nine in ten after {}; {} updated on average. In {} % of them some pool passes its critical load, in {} % a rollout is stopped or taken back.",
        arm.policy,
        hours(arm.completion.p50),
        hours(arm.completion.p90),
        counted(arm.updated_devices.round() as usize, "device is", "devices are"),
        number(chance("critical_pool")),
        number(chance("stopped_or_rolled_back")),
    )
}

fn row(arm: &Arm) -> Vec<Cell> {
    let hours = |h: Option<f64>| Cell::number(h.map_or_else(|| "–".to_owned(), number));
    let chance =
        |name: &str| Cell::number(format!("{} %", number(arm.chances.get(name).copied().unwrap_or(0.0) * 100.0)));
    vec![
        Cell::from(arm.policy.as_str()),
        hours(arm.completion.p10),
        hours(arm.completion.p50),
        hours(arm.completion.p90),
        Cell::number(number(arm.updated_devices.round())),
        chance("critical_pool"),
        chance("unfinished"),
        chance("stopped_or_rolled_back"),
        chance("failed_devices"),
    ]
}

fn fan(arm: &Arm) -> Figure {
    let half = arm.capacity.iter().map(|point| (point.h, Some(point.p50))).collect();
    let figures = |point: &super::Point| {
        [point.h, point.p2, point.p10, point.p50, point.p90, point.p97].map(|v| Cell::number(number(v))).to_vec()
    };
    let ends = |ends: fn(&super::Point) -> (f64, f64)| {
        arm.capacity.iter().map(|point| (point.h, ends(point).0, ends(point).1)).collect()
    };
    curves(
        &format!("Capacity to come under {}", arm.policy),
        "Median and bands of the capacity of devices in service against hours ahead.",
        Axes { x: "hours ahead", y: "capacity left, % (100 − load)", from_zero: true, rule: None },
        &[Curve { label: "median", points: half, pen: Pen { marker: None, ..PENS[0] } }],
        &[Band::soft(ends(|point| (point.p2, point.p97))), Band::inner(ends(|point| (point.p10, point.p90)))],
    )
    // The bands are what is asked for, and the table of lines alone would leave them out.
    .with(FAN, arm.capacity.iter().map(figures).collect())
}

fn earlier(page: &mut Page, calibration: &Calibration) {
    page.section("Earlier looks ahead");
    page.say("The same was asked at earlier moments of the journal, with what was known then. A band that holds what it says has about its own share of the truths in it.");
    let bands: Vec<String> = calibration.bands_percent.iter().map(|band| format!("in the {band} % band")).collect();
    let header: Vec<&str> = ["foretold", "times"].into_iter().chain(bands.iter().map(String::as_str)).collect();
    let row = |score: &super::Score| {
        let share =
            |share: &Option<f64>| Cell::number(share.map_or_else(|| "–".to_owned(), |s| format!("{} %", number(s))));
        let mut cells = vec![Cell::from(score.what.as_str()), Cell::number(score.count.to_string())];
        cells.extend(score.within_percent.iter().map(share));
        cells
    };
    page.table(&header, &calibration.scores.iter().map(row).collect::<Vec<_>>());
}
