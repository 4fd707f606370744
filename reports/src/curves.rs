//! Lines over a common axis, labelled at their ends, with bands behind them and the figures as a table.

use crate::html::Cell;
use crate::plot::{Canvas, Drawn, Figure, GRID, Hold, INNER, Pen, SOFT, Scale, WIDTH};
use crate::plot::{draw, nothing, room_left, spread, width_of};
use crate::text::number;
use plotters::style::RGBColor;

const HEIGHT: i32 = 320;
const TOP: i32 = 14;
const BOTTOM: i32 = HEIGHT - 48;
/// Distance between the lines of two labels.
const LABEL_GAP: i32 = 17;
/// Most markers on a line.
const MARKERS_MAX: usize = 13;
/// Most points of a line: about one a pixel.
const POINTS_MAX: usize = 800;
/// Most rows of the table under a picture.
const ROWS_MAX: usize = 48;

/// A line and its name.
#[derive(Debug, Clone)]
pub(crate) struct Curve<'a> {
    pub(crate) label: &'a str,
    /// Points; where a value is unknown the line is cut.
    pub(crate) points: Vec<(f64, Option<f64>)>,
    pub(crate) pen: Pen,
}

/// An area between two lines.
#[derive(Debug, Clone)]
pub(crate) struct Band {
    /// Where, lower and upper end.
    pub(crate) points: Vec<(f64, f64, f64)>,
    pub(crate) colour: RGBColor,
}

impl Band {
    /// What the forecast says that will be, lightly.
    pub(crate) const fn soft(points: Vec<(f64, f64, f64)>) -> Self {
        Self { points, colour: SOFT }
    }

    /// The inner one of two.
    pub(crate) const fn inner(points: Vec<(f64, f64, f64)>) -> Self {
        Self { points, colour: INNER }
    }
}

/// What the axes are called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axes<'a> {
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
    /// Does the vertical axis begin at 0?
    pub(crate) from_zero: bool,
    /// A vertical line, such as the moment a forecast was made.
    pub(crate) rule: Option<f64>,
}

/// The plot.
pub(crate) fn curves(title: &str, description: &str, axes: Axes<'_>, curves: &[Curve<'_>], bands: &[Band]) -> Figure {
    let thinned: Vec<Curve<'_>> = curves.iter().map(|c| Curve { points: thin(&c.points), ..c.clone() }).collect();
    let bands: Vec<Band> =
        bands.iter().map(|b| Band { points: sample(&b.points, POINTS_MAX), colour: b.colour }).collect();
    let known = || thinned.iter().flat_map(|c| &c.points).filter_map(|(x, y)| y.map(|y| (*x, y)));
    let ends = || bands.iter().flat_map(|b| &b.points);
    let right = WIDTH - 24 - curves.iter().map(|c| width_of(c.label)).max().unwrap_or(0);
    let zero = axes.from_zero.then_some(0.0);
    let xs = known().map(|(x, _)| x);
    let ys = known().map(|(_, y)| y).chain(ends().flat_map(|(_, low, high)| [*low, *high])).chain(zero);
    let Some(mut y) = Scale::over(ys, BOTTOM, TOP) else { return nothing(title) };
    if axes.from_zero {
        y.low = y.low.max(0.0);
    }
    let left = room_left(&y);
    let Some(x) = Scale::over(xs, left, right) else { return nothing(title) };
    let figure = draw(title, description, HEIGHT, |area| {
        let canvas = Canvas(area);
        for band in &bands {
            let there = band.points.iter().map(|(at, low, _)| (x.at(*at), y.at(*low)));
            let back = band.points.iter().rev().map(|(at, _, high)| (x.at(*at), y.at(*high)));
            canvas.area(&there.chain(back).collect::<Vec<_>>(), band.colour)?;
        }
        canvas.x_axis(&x, &x.ticks(12), TOP, BOTTOM, axes.x)?;
        canvas.y_axis(&y, left, right, axes.y)?;
        if let Some(rule) = axes.rule {
            canvas.line(&[(x.at(rule), TOP), (x.at(rule), BOTTOM)], GRID, 3)?;
        }
        thinned.iter().try_for_each(|curve| line(&canvas, curve, &x, &y))?;
        labels(&canvas, &thinned, &x, &y, right)
    });
    figure.with([axes.x].into_iter().chain(curves.iter().map(|c| c.label)), rows(curves))
}

/// Few enough points, of every stretch the first, the lowest and the highest: a peak must not fall between two.
fn thin(points: &[(f64, Option<f64>)]) -> Vec<(f64, Option<f64>)> {
    if points.len() <= POINTS_MAX {
        return points.to_vec();
    }
    let mut kept = Vec::with_capacity(POINTS_MAX);
    for stretch in points.chunks(points.len().div_ceil(POINTS_MAX / 3)) {
        let by = |a: &&(f64, Option<f64>), b: &&(f64, Option<f64>)| a.1.unwrap_or(0.0).total_cmp(&b.1.unwrap_or(0.0));
        let known = || stretch.iter().filter(|(_, value)| value.is_some());
        let mut some: Vec<_> =
            [stretch.first(), known().min_by(by), known().max_by(by)].into_iter().flatten().collect();
        some.sort_by(|a, b| a.0.total_cmp(&b.0));
        some.dedup_by(|a, b| a.0 == b.0);
        kept.extend(some);
    }
    kept
}

/// At most so many, evenly.
fn sample<T: Clone>(points: &[T], most: usize) -> Vec<T> {
    points.iter().step_by(points.len().div_ceil(most).max(1)).cloned().collect()
}

/// The figures: a row for places along the axis, a column for each line.
fn rows(curves: &[Curve<'_>]) -> Vec<Vec<Cell>> {
    let mut places: Vec<f64> = curves.iter().flat_map(|c| &c.points).map(|(x, _)| *x).collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    let value = |curve: &Curve<'_>, x: f64| {
        let found = curve.points.binary_search_by(|(at, _)| at.total_cmp(&x)).ok();
        found.and_then(|position| curve.points[position].1).map_or_else(|| "–".to_owned(), number)
    };
    let row = |x: &f64| {
        let values = curves.iter().map(|curve| Cell::number(value(curve, *x)));
        [Cell::number(number(*x))].into_iter().chain(values).collect::<Vec<_>>()
    };
    sample(&places, ROWS_MAX).iter().map(row).collect()
}

fn line(canvas: &Canvas<'_, '_>, curve: &Curve<'_>, x: &Scale, y: &Scale) -> Drawn {
    for piece in curve.points.split(|(_, value)| value.is_none()) {
        let pixels: Vec<(i32, i32)> =
            piece.iter().filter_map(|(at, value)| value.map(|v| (x.at(*at), y.at(v)))).collect();
        if pixels.len() > 1 {
            canvas.stroke(&pixels, curve.pen)?;
        }
        if let Some(marker) = curve.pen.marker {
            let every = pixels.len().div_ceil(MARKERS_MAX).max(1);
            pixels.iter().step_by(every).try_for_each(|at| canvas.marker(*at, marker, curve.pen.colour))?;
        }
    }
    Ok(())
}

fn labels(canvas: &Canvas<'_, '_>, curves: &[Curve<'_>], x: &Scale, y: &Scale, right: i32) -> Drawn {
    let end = |curve: &Curve<'_>| {
        let last = curve.points.iter().rev().find_map(|(at, value)| value.map(|v| (*at, v)));
        last.map(|(at, value)| (x.at(at), y.at(value)))
    };
    let ends: Vec<_> = curves.iter().filter_map(|c| end(c).map(|at| (c, at))).collect();
    let wanted: Vec<i32> = ends.iter().map(|(_, at)| at.1).collect();
    for ((curve, (end, at)), place) in ends.iter().zip(spread(&wanted, LABEL_GAP, BOTTOM)) {
        canvas.line(&[(end + 6, *at), (right + 8, place)], curve.pen.colour, 1)?;
        canvas.text((right + 12, place), Hold::Left, curve.label)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_does_not_fall_between_the_points_that_are_kept() {
        let points: Vec<_> = (0..100_000).map(|i| (f64::from(i), Some(if i == 54_321 { 99.0 } else { 1.0 }))).collect();
        let kept = thin(&points);
        assert!(kept.len() <= POINTS_MAX && kept.contains(&(54_321.0, Some(99.0))), "{}", kept.len());
        assert!(kept.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn every_picture_has_its_figures() {
        let curve = Curve {
            label: "load",
            points: vec![(0.0, Some(1.0)), (1.0, None), (2.0, Some(3.0))],
            pen: crate::plot::PENS[0],
        };
        let axes = Axes { x: "h", y: "%", from_zero: true, rule: None };
        let figure = curves("Load", "d", axes, &[curve], &[]);
        let data = figure.data.unwrap();
        assert_eq!(data.header, ["h", "load"]);
        assert_eq!(data.rows.len(), 3);
        assert!(figure.body.starts_with("<svg role=\"img\""));
    }
}
