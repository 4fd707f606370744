//! Lines over the time of a rollout: capacity against its forecast and its floor, the tightest pool, devices by state.

use crate::curves::{Axes, Band, Curve, curves};
use crate::plot::{ALARM, Dash, FIRST, FOURTH, Figure, Marker, Pen, SECOND, THIRD, unknown};
use crate::tables::Tables;
use slacktide_engine::journal::entry::{StateCounts, TickEntry};

const NOW: Pen = Pen { colour: FIRST, dash: None, marker: None };
const AHEAD: Pen = Pen { colour: SECOND, dash: Some(Dash::Even), marker: None };
const LIMIT: Pen = Pen { colour: ALARM, dash: Some(Dash::Long), marker: None };

type Points = Vec<(f64, Option<f64>)>;

/// A value over the ticks shown.
fn over(tables: &Tables, value: impl Fn(&TickEntry) -> Option<f64>) -> Points {
    tables.shown_ticks().iter().map(|(at, tick)| (tables.elapsed(*at), value(tick))).collect()
}

fn drawn<'a>(candidates: Vec<(&'a str, Pen, Points)>) -> Vec<Curve<'a>> {
    let is_known = |points: &Points| points.iter().any(|(_, value)| value.is_some());
    candidates
        .into_iter()
        .filter(|(_, _, points)| is_known(points))
        .map(|(label, pen, points)| Curve { label, points, pen })
        .collect()
}

fn axes<'a>(tables: &Tables, y: &'a str, from_zero: bool) -> Axes<'a> {
    Axes { x: tables.elapsed_unit().axis, y, from_zero, rule: Some(0.0) }
}

/// Capacity left in the fleet against what was forecast, and that of the updated devices against its floor.
pub(super) fn capacity(tables: &Tables) -> Figure {
    let title = "Capacity left, its forecast, and the floor";
    let lines = drawn(vec![
        ("whole fleet", NOW, over(tables, |t| Some(100.0 - t.fleet_load))),
        ("forecast for it", AHEAD, over(tables, |t| t.fleet_load_forecast.map(|f| 100.0 - f.0))),
        (
            "updated devices",
            Pen { colour: THIRD, dash: Some(Dash::Dots), marker: Some(Marker::Triangle) },
            over(tables, |t| t.updated_capacity),
        ),
        (
            "lowest ahead",
            Pen { colour: FOURTH, dash: Some(Dash::Wide), marker: Some(Marker::Ring) },
            over(tables, |t| t.updated_capacity_forecast),
        ),
        ("floor", LIMIT, over(tables, |t| t.capacity_floor)),
    ]);
    let band = tables.shown_ticks().iter().filter_map(|(at, tick)| {
        let (point, upper) = tick.fleet_load_forecast?;
        Some((tables.elapsed(*at), 100.0 - upper, 100.0 - point))
    });
    curves(
        title,
        "capacity score of the devices in service over time, the forecast of it with its lower bound as a band, the capacity of the updated devices with the lowest value expected over the lookahead, and the floor",
        axes(tables, "capacity left, % (100 − load)", false),
        &lines,
        &[Band::soft(band.collect())],
    )
}

/// The tightest pool, now and ahead, against the critical line.
pub(super) fn tightest(tables: &Tables, critical: Option<f64>) -> Figure {
    let mut lines = drawn(vec![
        ("tightest pool", NOW, over(tables, |t| Some(t.worst_pool_percent))),
        ("highest ahead", AHEAD, over(tables, |t| t.worst_pool_forecast_percent)),
    ]);
    if let Some(critical) = critical {
        lines.push(Curve { label: "critical", points: over(tables, |_| Some(critical)), pen: LIMIT });
    }
    curves(
        "Demand in the tightest pool",
        "demand as percent of the members in service of whichever pool is the tightest, over time, the highest value forecast over the lookahead, and the line above which a pool is critical",
        axes(tables, "demand, % of what is in service", true),
        &lines,
        &[],
    )
}

/// How many devices are where.
pub(super) fn states(tables: &Tables) -> Figure {
    let count = |of: fn(&StateCounts) -> u32| {
        over(tables, move |t| (t.states != StateCounts::default()).then(|| f64::from(of(&t.states))))
    };
    let lines = drawn(vec![
        ("waiting", AHEAD, count(|s| s.waiting)),
        (
            "under way",
            Pen { colour: THIRD, dash: Some(Dash::Dots), marker: Some(Marker::Triangle) },
            count(|s| s.staging + s.out + s.rolling_back),
        ),
        ("updated", NOW, count(|s| s.updated)),
        ("back or failed", LIMIT, count(|s| s.rolled_back + s.failed)),
    ]);
    let title = "Devices by state";
    if lines.is_empty() {
        return unknown(title, "No device was ever part of a rollout.");
    }
    curves(
        title,
        "number of devices that wait, are under way, are updated, or were rolled back or failed, over time",
        axes(tables, "devices", true),
        &lines,
        &[],
    )
}
