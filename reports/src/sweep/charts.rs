//! Plots of a sweep: a measure against a varied field, and overload against time.

use super::axis::FieldAxis;
use super::document::{Document, Varied};
use crate::arms::{Summary, unit};
use crate::plot::{
    Canvas, Drawn, FIRST, Figure, Hold, INK, INNER, Marker, SECOND, Scale, THIRD, WIDTH, draw, nothing, room_left,
    width_of,
};

const HEIGHT: i32 = 320;
const RIGHT: i32 = WIDTH - 40;
const TOP: i32 = 14;
/// Above so many points whiskers would hide them.
const WHISKERS_MAX: usize = 60;

/// A measure of every point, in the unit people read.
fn measured(document: &Document, measure: &str) -> Vec<Option<Summary>> {
    let scale = unit(measure).map_or(1.0, |u| u.scale);
    document.points.iter().map(|point| point.measures.get(measure).map(|s| s.scaled(scale))).collect()
}

fn whiskers(document: &Document) -> bool {
    document.replications > 1 && document.points.len() <= WHISKERS_MAX
}

/// Where means are not negative the plot begins at 0: the interval of a mean over few runs may reach below, and says nothing there.
fn floor(values: &[Option<Summary>]) -> f64 {
    if values.iter().flatten().all(|s| s.mean >= 0.0) { 0.0 } else { f64::NEG_INFINITY }
}

/// A measure against a varied field.
pub(super) fn response(document: &Document, varied: &Varied, measure: &str) -> Figure {
    let bottom = HEIGHT - 48;
    let label = unit(measure).map_or(measure, |u| u.label);
    let title = format!("{label} against {}", varied.field);
    let values = measured(document, measure);
    let floor = floor(&values);
    let ends = values.iter().flatten().flat_map(|s| if whiskers(document) { s.ends() } else { [s.mean; 2] });
    let Some(mut y) = Scale::over(ends.map(|v| v.max(floor)), bottom, TOP) else { return nothing(&title) };
    y.low = y.low.max(floor);
    let left = room_left(&y);
    let Some(axis) = FieldAxis::new(document, varied, left, RIGHT) else { return nothing(&title) };
    let interval = if whiskers(document) { ", with the 95 % interval of its mean" } else { "" };
    let description = format!(
        "a point for each setting tried{interval}; the line joins the means of all settings that share a value"
    );
    let best = document.recommended.as_ref().map(|r| r.point);
    draw(&title, &description, HEIGHT, |area| {
        let canvas = Canvas(area);
        canvas.x_axis(&axis.scale, &axis.ticks, TOP, bottom, &axis.label)?;
        canvas.y_axis(&y, left, RIGHT, label)?;
        if document.varied.len() == 1 && whiskers(document) && !axis.is_choice() {
            band(&canvas, document, &axis, &y, &values)?;
        }
        if document.design == "grid" && !axis.is_choice() {
            line(&canvas, document, &axis, &y, &values)?;
        }
        for (i, (point, summary)) in document.points.iter().zip(&values).enumerate() {
            let Some(summary) = summary else { continue };
            let (x, middle) = (axis.pixel(point), y.at(summary.mean));
            if whiskers(document) {
                let [low, high] = summary.ends();
                canvas.line(&[(x, y.at(low.max(floor))), (x, y.at(high))], FIRST, 1)?;
            }
            if best != Some(i) {
                canvas.marker((x, middle), Marker::Disc, FIRST)?;
            }
        }
        let Some((point, Some(summary))) = best.map(|i| (&document.points[i], values[i])) else { return Ok(()) };
        let at = (axis.pixel(point), y.at(summary.mean));
        canvas.marker(at, Marker::Square, SECOND)?;
        beside(&canvas, at, bottom, "recommended")
    })
}

/// Words beside a point, on the side that has room.
fn beside(canvas: &Canvas<'_, '_>, at: (i32, i32), bottom: i32, words: &str) -> Drawn {
    let above = if at.1 - 16 > TOP { at.1 - 16 } else { (at.1 + 16).min(bottom - 10) };
    if at.0 + 10 + width_of(words) < WIDTH {
        canvas.text((at.0 + 10, above), Hold::Left, words)
    } else {
        canvas.text((at.0 - 10, above), Hold::Right, words)
    }
}

/// The intervals of neighbouring points, joined.
fn band(
    canvas: &Canvas<'_, '_>,
    document: &Document,
    axis: &FieldAxis<'_>,
    y: &Scale,
    values: &[Option<Summary>],
) -> Drawn {
    let known = document.points.iter().zip(values).filter_map(|(point, s)| s.map(|s| (axis.pixel(point), s)));
    let mut order: Vec<(i32, Summary)> = known.collect();
    order.sort_by_key(|(x, _)| *x);
    let there = order.iter().map(|(x, s)| (*x, y.at(s.ends()[0].max(y.low))));
    let back = order.iter().rev().map(|(x, s)| (*x, y.at(s.ends()[1])));
    canvas.area(&there.chain(back).collect::<Vec<_>>(), INNER)
}

/// Means over all points that share a value of the field.
fn line(
    canvas: &Canvas<'_, '_>,
    document: &Document,
    axis: &FieldAxis<'_>,
    y: &Scale,
    values: &[Option<Summary>],
) -> Drawn {
    let mut columns: std::collections::BTreeMap<i32, (f64, f64)> = std::collections::BTreeMap::new();
    for (point, summary) in document.points.iter().zip(values) {
        if let Some(summary) = summary {
            let column = columns.entry(axis.pixel(point)).or_default();
            *column = (column.0 + summary.mean, column.1 + 1.0);
        }
    }
    let points: Vec<(i32, i32)> = columns.into_iter().map(|(x, (sum, n))| (x, y.at(sum / n))).collect();
    if points.len() > 1 { canvas.line(&points, THIRD, 2) } else { Ok(()) }
}

/// Mean overload caused against mean makespan: all points, the front joined, the recommended one named.
pub(super) fn front(document: &Document) -> Figure {
    const TALL: i32 = 420;
    let bottom = TALL - 48;
    let title = "Overload caused against makespan";
    let (makespan, overload) = (measured(document, "makespan_s"), measured(document, "overload_caused_device_minutes"));
    let both: Vec<Option<(Summary, Summary)>> = makespan.iter().zip(&overload).map(|(m, o)| (*m).zip(*o)).collect();
    let all = || both.iter().flatten();
    let xs = all().map(|(m, _)| m.mean);
    let limit = document.recommended.as_ref().map(|r| r.overload_limit);
    let ys = all().map(|(_, o)| o.mean);
    let Some(mut y) = Scale::over(ys.chain(limit), bottom, TOP) else { return nothing(title) };
    y.low = y.low.max(floor(&overload));
    let left = room_left(&y);
    let Some(x) = Scale::over(xs, left, RIGHT) else { return nothing(title) };
    let at = |i: usize| both[i].map(|(m, o)| (x.at(m.mean), y.at(o.mean)));
    let description =
        "a point for each setting tried; those that no other beats in both are joined, the recommended one is named";
    draw(title, description, TALL, |area| {
        let canvas = Canvas(area);
        canvas.x_axis(&x, &x.ticks(10), TOP, bottom, "mean makespan, h")?;
        canvas.y_axis(&y, left, RIGHT, "mean overload caused, device-minutes")?;
        if let Some(limit) = limit {
            canvas.line(&[(left, y.at(limit)), (RIGHT, y.at(limit))], SECOND, 1)?;
        }
        let mut joined: Vec<(i32, i32)> = document.pareto.iter().filter_map(|i| at(*i)).collect();
        joined.sort_unstable();
        if joined.len() > 1 {
            canvas.line(&joined, FIRST, 1)?;
        }
        for i in 0..both.len() {
            let Some(place) = at(i) else { continue };
            let (marker, colour) = if document.pareto.contains(&i) {
                (Marker::Disc, FIRST)
            } else if document.near_pareto.contains(&i) {
                (Marker::Ring, FIRST)
            } else {
                (Marker::Cross, INK)
            };
            canvas.marker(place, marker, colour)?;
        }
        let Some(best) = document.recommended.as_ref().and_then(|r| at(r.point)) else { return Ok(()) };
        canvas.marker(best, Marker::Square, SECOND)?;
        beside(&canvas, best, bottom, "recommended")
    })
}
