//! Plots of a comparison of arms: paired differences with their intervals, and overload against time.

use super::document::{Difference, Document, Summary, unit};
use crate::html::Cell;
use crate::plot::{Canvas, FIRST, Figure, GRID, Hold, INK, Marker, SECOND, Scale, WIDTH};
use crate::plot::{draw, nothing, room_left, width_of};
use crate::text::number;

const ROW: i32 = 24;
const TOP: i32 = 14;

/// Paired differences of one measure, a row a pair.
pub(super) fn forest(document: &Document, measure: &str) -> Figure {
    let (label, scale) = unit(measure).map_or((measure, 1.0), |u| (u.label, u.scale));
    let title = format!("Paired differences of {label}");
    let rows: Vec<_> = document.differences.iter().filter(|d| d.measure == measure).collect();
    let name = |a: &str, b: &str| format!("{a} − {b}");
    let left = 24 + rows.iter().map(|d| width_of(&name(&d.a, &d.b))).max().unwrap_or(0);
    let ends = rows.iter().flat_map(|d| d.summary.ends()).map(|v| v / scale).chain([0.0]);
    let (Some(x), false) = (Scale::over(ends, left, WIDTH - 30), rows.is_empty()) else { return nothing(&title) };
    let bottom = TOP + ROW * rows.len() as i32;
    let description =
        "a row for each pair, with the mean of the paired difference and its interval; the thick line marks 0";
    let figure = draw(&title, description, bottom + 48, |area| {
        let canvas = Canvas(area);
        canvas.x_axis(&x, &x.ticks(8), TOP - 6, bottom, &format!("difference of {label}"))?;
        canvas.line(&[(x.at(0.0), TOP - 6), (x.at(0.0), bottom)], GRID, 3)?;
        for (i, d) in rows.iter().enumerate() {
            let y = TOP + ROW * i as i32 + ROW / 2;
            let (marker, colour) = if d.different { (Marker::Disc, FIRST) } else { (Marker::Ring, INK) };
            let [low, high] = d.summary.ends().map(|v| x.at(v / scale));
            canvas.text((left - 12, y), Hold::Right, &name(&d.a, &d.b))?;
            canvas.line(&[(low, y), (high, y)], colour, 2)?;
            for end in [low, high] {
                canvas.line(&[(end, y - 4), (end, y + 4)], colour, 2)?;
            }
            canvas.marker((x.at(d.summary.mean / scale), y), marker, colour)?;
        }
        Ok(())
    });
    let row = |d: &&Difference| {
        let [low, high] = d.summary.ends();
        let figures = [d.summary.mean, low, high].map(|v| Cell::number(number(v / scale)));
        [Cell::from(name(&d.a, &d.b))].into_iter().chain(figures).collect()
    };
    let header = ["pair".to_owned(), format!("difference of {label}"), "from".to_owned(), "to".to_owned()];
    figure.with(header, rows.iter().map(row).collect())
}

/// An arm on the plot, in pixels.
struct Point<'a> {
    name: &'a str,
    at: (i32, i32),
    across: [i32; 2],
    upright: [i32; 2],
}

/// Mean overload caused against mean makespan, with the intervals of both.
pub(super) fn scatter(document: &Document) -> Figure {
    const HEIGHT: i32 = 420;
    let title = "Overload caused against makespan";
    let both = |arm: &'_ super::Arm| -> Option<(Summary, Summary)> {
        let hours = arm.measures.get("makespan_s")?;
        Some((hours.scaled(3600.0), *arm.measures.get("overload_caused_device_minutes")?))
    };
    let arms: Vec<_> = document.arms.iter().filter_map(|arm| both(arm).map(|both| (arm, both))).collect();
    // Neither measure can be negative, though the interval of a mean over few runs may reach there.
    let xs = arms.iter().flat_map(|(_, (hours, _))| hours.ends()).map(|v| v.max(0.0));
    let ys = arms.iter().flat_map(|(_, (_, overload))| overload.ends()).map(|v| v.max(0.0));
    let Some(mut y) = Scale::over(ys, HEIGHT - 48, 14) else { return nothing(title) };
    y.low = y.low.max(0.0);
    let left = room_left(&y);
    let Some(mut x) = Scale::over(xs, left, WIDTH - 40) else { return nothing(title) };
    x.low = x.low.max(0.0);
    let mut points: Vec<Point<'_>> = arms
        .iter()
        .map(|(arm, (hours, overload))| Point {
            name: &arm.name,
            at: (x.at(hours.mean), y.at(overload.mean)),
            across: hours.ends().map(|v| x.at(v.max(0.0))),
            upright: overload.ends().map(|v| y.at(v.max(0.0))),
        })
        .collect();
    // Labels stand on the right where there is room: who is furthest right is served first.
    points.sort_by_key(|point| std::cmp::Reverse(point.at.0));
    let description = "a point for each arm with the 95 % intervals of both means as whiskers";
    let figure = draw(title, description, HEIGHT, |area| {
        let canvas = Canvas(area);
        canvas.x_axis(&x, &x.ticks(10), 14, HEIGHT - 48, "mean makespan, h")?;
        canvas.y_axis(&y, left, WIDTH - 40, "mean overload caused, device-minutes")?;
        for point in &points {
            canvas.line(&[(point.across[0], point.at.1), (point.across[1], point.at.1)], SECOND, 1)?;
            canvas.line(&[(point.at.0, point.upright[0]), (point.at.0, point.upright[1])], SECOND, 1)?;
        }
        points.iter().try_for_each(|point| canvas.marker(point.at, Marker::Disc, FIRST))?;
        for (point, (left, middle)) in points.iter().zip(places(&points, HEIGHT - 48)) {
            let near = if left > point.at.0 { left - 3 } else { left + width_of(point.name) + 3 };
            canvas.line(&[point.at, (near, middle)], INK, 1)?;
            canvas.text((left, middle), Hold::Left, point.name)?;
        }
        Ok(())
    });
    let cell = |s: &Summary| {
        let interval = s.ci95.map(|[low, high]| format!(" ({} … {})", number(low), number(high)));
        Cell::number(format!("{}{}", number(s.mean), interval.unwrap_or_default()))
    };
    let row = |(arm, (hours, overload)): &(&super::Arm, (Summary, Summary))| {
        vec![arm.name.as_str().into(), cell(hours), cell(overload)]
    };
    let header = ["arm", "mean makespan, h (95 % interval)", "mean overload caused, device-minutes (95 % interval)"];
    figure.with(header, arms.iter().map(row).collect())
}

/// Left, top, right and bottom of something that takes room.
type Room = (i32, i32, i32, i32);

/// A place for each label (its left end and its middle line), near its point and clear of points and of other labels.
fn places(points: &[Point<'_>], bottom: i32) -> Vec<(i32, i32)> {
    let meet = |a: &Room, b: &Room| a.0 < b.2 && b.0 < a.2 && a.1 < b.3 && b.1 < a.3;
    let mut taken: Vec<Room> = points.iter().map(|p| (p.at.0 - 6, p.at.1 - 6, p.at.0 + 6, p.at.1 + 6)).collect();
    let mut placed = Vec::new();
    for point in points {
        let width = width_of(point.name);
        let place = |distance: i32, (side, down): (i32, i32)| {
            let left = if side > 0 { point.at.0 + 14 + distance / 2 } else { point.at.0 - 14 - distance / 2 - width };
            (left, point.at.1 + down * distance)
        };
        let room = |(left, middle): (i32, i32)| (left - 2, middle - 9, left + width + 2, middle + 9);
        let free = |at: &(i32, i32)| {
            let own = room(*at);
            let inside = own.0 > 74 && own.2 < WIDTH && own.1 > 0 && own.3 < bottom;
            inside && taken.iter().all(|other| !meet(&own, other))
        };
        let sides = [(1, -1), (1, 1), (-1, -1), (-1, 1)];
        let candidates = (1..40).flat_map(|ring| sides.map(|side| place(ring * 14, side)));
        let chosen = candidates.into_iter().find(free).unwrap_or_else(|| place(14, (1, -1)));
        taken.push(room(chosen));
        placed.push(chosen);
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_arms_that_coincide_stand_apart() {
        let point = |name| Point { name, at: (300, 200), across: [280, 320], upright: [180, 220] };
        let points = ["selected", "seasonal-mean", "arima", "oracle", "naive"].map(point);
        let places = places(&points, 380);
        for (i, a) in places.iter().enumerate() {
            for (j, b) in places.iter().enumerate().skip(i + 1) {
                let apart = (a.1 - b.1).abs() >= 18
                    || a.0 + width_of(points[i].name) < b.0
                    || b.0 + width_of(points[j].name) < a.0;
                assert!(apart, "{places:?}");
            }
        }
    }
}
