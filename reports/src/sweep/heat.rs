//! A measure over two varied fields: a shade for every setting of a grid.

use super::document::{Document, Point, Varied};
use crate::arms::unit;
use crate::plot::{Canvas, FIRST, Figure, Hold, INK, SECOND, WIDTH, draw, nothing, width_of};
use crate::text::number;
use plotters::prelude::{Color as _, Rectangle};

const ROW: i32 = 30;
const TOP: i32 = 28;
const RIGHT: i32 = WIDTH - 10;
/// Most columns whose numbers still fit.
const COLUMNS_MAX: usize = 16;
const ROWS_MAX: usize = 40;
/// Darkest shade: the number in it must stay legible on a light and on a dark page.
const SHADE_MAX: f64 = 0.55;

/// Values of a field, in their order.
fn values(document: &Document, varied: &Varied) -> Vec<String> {
    let mut found: Vec<(Option<f64>, String)> = Vec::new();
    for point in &document.points {
        let word = point.word(&varied.field);
        if !found.iter().any(|(_, known)| *known == word) {
            found.push((varied.number(point), word));
        }
    }
    if found.iter().all(|(number, _)| number.is_some()) {
        found.sort_by(|a, b| a.0.unwrap_or(0.0).total_cmp(&b.0.unwrap_or(0.0)));
    }
    found.into_iter().map(|(_, word)| word).collect()
}

/// Can the sweep be shown so? A grid of two fields that is not too fine.
pub(super) fn fits(document: &Document) -> bool {
    let [a, b] = document.varied.as_slice() else { return false };
    document.design == "grid" && values(document, a).len() <= COLUMNS_MAX && values(document, b).len() <= ROWS_MAX
}

/// The map of a measure.
pub(super) fn map(document: &Document, measure: &str) -> Figure {
    let (label, scale) = unit(measure).map_or((measure, 1.0), |u| (u.label, u.scale));
    let title = format!("{label} over both fields");
    let [across, upright] = document.varied.as_slice() else { return nothing(&title) };
    let (columns, rows) = (values(document, across), values(document, upright));
    let of = |point: &Point| point.measures.get(measure).map(|s| s.mean / scale);
    let known: Vec<f64> = document.points.iter().filter_map(of).collect();
    let (low, high) = known.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    if known.is_empty() || columns.is_empty() {
        return nothing(&title);
    }
    let left = 20 + rows.iter().map(|word| width_of(word)).max().unwrap_or(0);
    let bottom = TOP + ROW * rows.len() as i32;
    let edge = |i: usize| left + (RIGHT - left) * i as i32 / columns.len() as i32;
    let best = document.recommended.as_ref().map(|r| r.point);
    let description = "a cell for each setting with the mean of its runs; the stronger the shade, the more";
    draw(&title, description, bottom + 48, |area| {
        let canvas = Canvas(area);
        for (i, point) in document.points.iter().enumerate() {
            let place = |all: &[String], varied: &Varied| all.iter().position(|w| *w == point.word(&varied.field));
            let (Some(column), Some(row), Some(value)) = (place(&columns, across), place(&rows, upright), of(point))
            else {
                continue;
            };
            // The largest value of the upright field stands at the top, as on an axis.
            let top = TOP + ROW * (rows.len() - 1 - row) as i32;
            let share = if high > low { (value - low) / (high - low) } else { 0.0 };
            let cell = [(edge(column) + 1, top + 1), (edge(column + 1) - 1, top + ROW - 1)];
            let shade = FIRST.mix(0.04 + share * (SHADE_MAX - 0.04));
            canvas.0.draw(&Rectangle::new(cell, shade.filled()))?;
            canvas.text(((cell[0].0 + cell[1].0) / 2, top + ROW / 2), Hold::Middle, &number(value))?;
            if best == Some(i) {
                canvas.0.draw(&Rectangle::new(cell, SECOND.stroke_width(3)))?;
            }
        }
        for (i, word) in columns.iter().enumerate() {
            canvas.text(((edge(i) + edge(i + 1)) / 2, bottom + 12), Hold::Middle, word)?;
        }
        for (i, word) in rows.iter().enumerate() {
            let middle = TOP + ROW * (rows.len() - 1 - i) as i32 + ROW / 2;
            canvas.text((left - 8, middle), Hold::Right, word)?;
        }
        canvas.line(&[(left, bottom), (RIGHT, bottom)], INK, 1)?;
        canvas.text(((left + RIGHT) / 2, bottom + 32), Hold::Middle, &across.heading())?;
        // Beside few rows an upright name would be longer than they are high.
        canvas.text((8, 12), Hold::Left, &format!("{} ↑", upright.heading()))
    })
}
