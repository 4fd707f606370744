//! Lines over a common axis, labelled at their ends, with bands behind them.

use crate::plot::{Canvas, GRID, Hold, Pen, Scale, WIDTH, draw, nothing, spread, width_of};
use plotters::style::RGBColor;

const HEIGHT: i32 = 320;
const LEFT: i32 = 72;
const TOP: i32 = 14;
const BOTTOM: i32 = HEIGHT - 48;
/// Distance between the lines of two labels.
const LABEL_GAP: i32 = 17;
/// Most markers on a line.
const MARKERS_MAX: usize = 13;

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
pub(crate) fn curves(title: &str, description: &str, axes: Axes<'_>, curves: &[Curve<'_>], bands: &[Band]) -> String {
    let known = || curves.iter().flat_map(|c| &c.points).filter_map(|(x, y)| y.map(|y| (*x, y)));
    let ends = || bands.iter().flat_map(|b| &b.points);
    let right = WIDTH - 24 - curves.iter().map(|c| width_of(c.label)).max().unwrap_or(0);
    let zero = axes.from_zero.then_some(0.0);
    let xs = known().map(|(x, _)| x);
    let ys = known().map(|(_, y)| y).chain(ends().flat_map(|(_, low, high)| [*low, *high])).chain(zero);
    let (Some(x), Some(mut y)) = (Scale::over(xs, LEFT, right), Scale::over(ys, BOTTOM, TOP)) else {
        return nothing(title);
    };
    if axes.from_zero {
        y.low = y.low.max(0.0);
    }
    draw(title, description, HEIGHT, |area| {
        let canvas = Canvas(area);
        for band in bands {
            let there = band.points.iter().map(|(at, low, _)| (x.at(*at), y.at(*low)));
            let back = band.points.iter().rev().map(|(at, _, high)| (x.at(*at), y.at(*high)));
            canvas.area(&there.chain(back).collect::<Vec<_>>(), band.colour)?;
        }
        canvas.x_axis(&x, &x.ticks(12), TOP, BOTTOM, axes.x)?;
        canvas.y_axis(&y, LEFT, right, axes.y)?;
        if let Some(rule) = axes.rule {
            canvas.line(&[(x.at(rule), TOP), (x.at(rule), BOTTOM)], GRID, 3)?;
        }
        curves.iter().try_for_each(|curve| line(&canvas, curve, &x, &y))?;
        labels(&canvas, curves, &x, &y, right)
    })
}

fn line(canvas: &Canvas<'_, '_>, curve: &Curve<'_>, x: &Scale, y: &Scale) -> crate::plot::Drawn {
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

fn labels(canvas: &Canvas<'_, '_>, curves: &[Curve<'_>], x: &Scale, y: &Scale, right: i32) -> crate::plot::Drawn {
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
