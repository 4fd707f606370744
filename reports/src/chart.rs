//! The plots of a rollout.

use crate::plot::{ALARM, FIRST, GRID, INK, SECOND, SOFT, THIRD, draw, nothing};
use crate::tables::Tables;
use plotters::prelude::*;
use slacktide_engine::time::Instant;

const HEIGHT: i32 = 300;
/// Most points of a line.
const POINTS_MAX: usize = 2000;

type Points = Vec<(f64, f64)>;

/// One line of a plot.
struct Curve<'a> {
    label: &'a str,
    points: Points,
    colour: RGBColor,
    dashed: bool,
}

/// Hours since the rollout began.
fn hours(tables: &Tables, at: Instant) -> f64 {
    let began = tables.began().or_else(|| tables.ticks.first().map(|(at, _)| *at)).unwrap_or(at);
    (at.as_millis() - began.as_millis()) as f64 / 3_600_000.0
}

fn thin(points: Points) -> Points {
    let step = points.len().div_ceil(POINTS_MAX).max(1);
    points.into_iter().step_by(step).collect()
}

/// A curve over the ticks shown.
fn over_ticks(tables: &Tables, value: impl Fn(&slacktide_engine::journal::entry::TickEntry) -> Option<f64>) -> Points {
    let ticks = tables.shown_ticks().iter();
    thin(ticks.filter_map(|(at, tick)| value(tick).map(|v| (hours(tables, *at), v))).collect())
}

/// Lines over hours, with the batches as bars at the foot.
fn lines(title: &str, description: &str, tables: &Tables, unit: &str, top: f64, curves: Vec<Curve<'_>>) -> String {
    let all = || curves.iter().flat_map(|c| &c.points);
    let (low, high) = all().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), (x, _)| (l.min(*x), h.max(*x)));
    if low >= high {
        return nothing(title);
    }
    let top = all().map(|(_, y)| *y).fold(top, f64::max) * 1.02;
    draw(title, description, HEIGHT, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(16)
            .x_label_area_size(34)
            .y_label_area_size(52)
            .build_cartesian_2d(low..high, 0.0..top)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(GRID)
            .x_desc("hours since the rollout began")
            .y_desc(unit)
            .label_style(("sans-serif", 12, &INK))
            .axis_desc_style(("sans-serif", 12, &INK))
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|y| format!("{y:.0}"))
            .draw()?;
        chart.draw_series(tables.batches.iter().map(|batch| {
            let (begin, end) = (hours(tables, batch.at), hours(tables, batch.until).min(high));
            Rectangle::new([(begin, 0.0), (end.max(begin), top)], SOFT.filled())
        }))?;
        for curve in &curves {
            let points = curve.points.iter().copied();
            let legend_colour = curve.colour;
            let drawn = if curve.dashed {
                chart.draw_series(DashedLineSeries::new(points, 5, 4, curve.colour.stroke_width(2)))?
            } else {
                chart.draw_series(LineSeries::new(points, curve.colour.stroke_width(2)))?
            };
            let dashed = curve.dashed;
            drawn.label(curve.label).legend(move |(x, y)| {
                let end = if dashed { x + 8 } else { x + 18 };
                PathElement::new([(x, y), (end, y)], legend_colour.stroke_width(2))
            });
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .border_style(TRANSPARENT)
            .label_font(("sans-serif", 12, &INK))
            .draw()?;
        Ok(())
    })
}

/// Fleet load with its forecast, and the batches.
pub fn fleet_load(tables: &Tables) -> String {
    let curves = vec![
        Curve { label: "load", points: over_ticks(tables, |t| Some(t.fleet_load)), colour: FIRST, dashed: false },
        Curve {
            label: "forecast",
            points: over_ticks(tables, |t| t.fleet_load_forecast.map(|f| f.0)),
            colour: SECOND,
            dashed: true,
        },
        Curve {
            label: "upper bound of the forecast",
            points: over_ticks(tables, |t| t.fleet_load_forecast.map(|f| f.1)),
            colour: THIRD,
            dashed: true,
        },
    ];
    lines(
        "Fleet load",
        "weighted mean load in percent over time, its forecast, and the batches as bands",
        tables,
        "load, %",
        60.0,
        curves,
    )
}

/// Capacity of the updated devices against its floor.
pub fn capacity(tables: &Tables) -> String {
    let curves = vec![
        Curve {
            label: "capacity of the updated devices",
            points: over_ticks(tables, |t| t.updated_capacity),
            colour: FIRST,
            dashed: false,
        },
        Curve {
            label: "lowest forecast over the lookahead",
            points: over_ticks(tables, |t| t.updated_capacity_forecast),
            colour: SECOND,
            dashed: true,
        },
        Curve { label: "floor", points: over_ticks(tables, |t| t.capacity_floor), colour: ALARM, dashed: true },
    ];
    lines(
        "Capacity against its floor",
        "aggregate capacity score of updated devices over time, its forecast, and the floor",
        tables,
        "capacity score",
        100.0,
        curves,
    )
}

/// The tightest pool.
pub fn tightest_pool(tables: &Tables) -> String {
    let curves = vec![
        Curve {
            label: "tightest pool",
            points: over_ticks(tables, |t| Some(t.worst_pool_percent)),
            colour: FIRST,
            dashed: false,
        },
        Curve {
            label: "highest forecast over the lookahead",
            points: over_ticks(tables, |t| t.worst_pool_forecast_percent),
            colour: SECOND,
            dashed: true,
        },
    ];
    lines(
        "Tightest pool",
        "demand over the members in service of the tightest pool, percent",
        tables,
        "demand, %",
        100.0,
        curves,
    )
}

/// Devices by state.
pub fn states(tables: &Tables) -> String {
    let out = |t: &slacktide_engine::journal::entry::TickEntry| t.states.staging + t.states.out + t.states.rolling_back;
    let active = |t: &slacktide_engine::journal::entry::TickEntry, n: u32| {
        (t.states != Default::default()).then(|| f64::from(n))
    };
    let curves = vec![
        Curve {
            label: "waiting",
            points: over_ticks(tables, |t| active(t, t.states.waiting)),
            colour: SECOND,
            dashed: true,
        },
        Curve { label: "under way", points: over_ticks(tables, |t| active(t, out(t))), colour: THIRD, dashed: false },
        Curve {
            label: "updated",
            points: over_ticks(tables, |t| active(t, t.states.updated)),
            colour: FIRST,
            dashed: false,
        },
        Curve {
            label: "rolled back or failed",
            points: over_ticks(tables, |t| active(t, t.states.rolled_back + t.states.failed)),
            colour: ALARM,
            dashed: true,
        },
    ];
    lines(
        "Devices by state",
        "number of devices waiting, under way, updated, and rolled back or failed over time",
        tables,
        "devices",
        1.0,
        curves,
    )
}
