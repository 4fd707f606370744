//! Plots of accuracy: errors by model, by lead and phase, intervals against what they promise, and forecasts to look at.

use super::document::{Document, Example, Metric, Model, Part};
use crate::curves::{Axes, Band, Curve, curves};
use crate::html::Cell;
use crate::plot::{
    Canvas, Dash, FIRST, Figure, GRID, Hold, INK, Marker, PENS, Pen, SECOND, Scale, WIDTH, draw, nothing,
};

const ROW: i32 = 21;
const NAMES: i32 = 150;
const TOP: i32 = 26;

/// MASE of every model, the lowest on top.
pub(super) fn errors(name: &str, metric: &Metric) -> Figure {
    let title = format!("MASE by model, {name}");
    let rows: Vec<_> = metric.sorted().into_iter().filter_map(|m| m.mase.map(|mase| (m, mase))).collect();
    let Some(mut x) = Scale::over(rows.iter().map(|(_, v)| *v).chain([0.0, 1.0]), NAMES, WIDTH - 70) else {
        return nothing(&title);
    };
    x.low = 0.0;
    let bottom = TOP + ROW * rows.len() as i32;
    let description = "a row for each model, sorted; a filled square is a trivial model; the thick line marks 1";
    let figure = draw(&title, description, bottom + 48, |area| {
        let canvas = Canvas(area);
        canvas.x_axis(
            &x,
            &x.ticks(8),
            TOP - 6,
            bottom,
            "MASE (1 = as wrong as the value one season before was in the history)",
        )?;
        canvas.line(&[(x.at(1.0), TOP - 6), (x.at(1.0), bottom)], GRID, 3)?;
        for (i, (model, mase)) in rows.iter().enumerate() {
            let y = TOP + ROW * i as i32 + ROW / 2;
            let (marker, colour) = if model.trivial { (Marker::Square, SECOND) } else { (Marker::Disc, FIRST) };
            canvas.text((NAMES - 10, y), Hold::Right, &model.name)?;
            canvas.line(&[(x.at(0.0), y), (x.at(*mase), y)], colour, 1)?;
            canvas.marker((x.at(*mase), y), marker, colour)?;
            canvas.text((x.at(*mase) + 10, y), Hold::Left, &format!("{mase:.3}"))?;
        }
        Ok(())
    });
    let row = |(model, mase): &(&Model, f64)| vec![model.name.as_str().into(), Cell::number(format!("{mase:.3}"))];
    figure.with(["model", "MASE"], rows.iter().map(row).collect())
}

fn lines<'a>(metric: &'a Metric, parts: &[Part], at: impl Fn(usize) -> f64) -> Vec<Curve<'a>> {
    let points = |name: &str| {
        parts.iter().enumerate().map(|(i, part)| (at(i), part.get(name).copied().flatten())).collect::<Vec<_>>()
    };
    let few = metric.few().into_iter().zip(PENS);
    few.map(|(label, pen)| Curve { label, points: points(label), pen }).collect()
}

/// What a step is counted in, and how many of those it is.
fn unit(document: &Document) -> (&'static str, f64) {
    match document.step_s as f64 / 3600.0 {
        hours if hours * document.horizon as f64 >= 6.0 => ("hours", hours),
        hours => ("minutes", hours * 60.0),
    }
}

/// Errors by how far ahead.
pub(super) fn by_lead(name: &str, metric: &Metric, document: &Document) -> Figure {
    let (unit, step) = unit(document);
    let x = format!("{unit} ahead");
    let axes = Axes { x: &x, y: "MASE (1 = a season ago)", from_zero: true, rule: None };
    let lines = lines(metric, &metric.mase_by_lead, |lead| (lead + 1) as f64 * step);
    curves(
        &format!("MASE by lead time, {name}"),
        "mean scaled error of a few models over the lead time",
        axes,
        &lines,
        &[],
    )
}

/// Errors by phase of the season; `None` where there is no season.
pub(super) fn by_phase(name: &str, metric: &Metric, document: &Document) -> Option<Figure> {
    let season = document.seasons.first().copied().filter(|s| *s >= 2)?;
    let is_day = season as i64 * document.step_s == 86_400;
    let (x, step) = if is_day {
        ("hour of the day, UTC".to_owned(), document.step_s as f64 / 3600.0)
    } else {
        (format!("step of the season of {season} steps"), 1.0)
    };
    let axes = Axes { x: &x, y: "MASE (1 = a season ago)", from_zero: true, rule: None };
    let lines = lines(metric, &metric.mase_by_phase, |phase| phase as f64 * step);
    let title = format!("MASE by {}, {name}", if is_day { "hour of the day" } else { "phase of the season" });
    Some(curves(&title, "mean scaled error of a few models over the main season", axes, &lines, &[]))
}

/// How often intervals held what came, against how often they should.
pub(super) fn coverage(name: &str, metric: &Metric) -> Figure {
    let title = format!("Intervals of 80 and 95 %, {name}");
    let rows: Vec<_> =
        metric.sorted().into_iter().filter_map(|m| Some((m, m.coverage80? * 100.0, m.coverage95? * 100.0))).collect();
    let all = rows.iter().flat_map(|(_, narrow, wide)| [*narrow, *wide]).chain([75.0, 100.0]);
    let (Some(mut x), false) = (Scale::over(all, NAMES, WIDTH - 30), rows.is_empty()) else { return nothing(&title) };
    x.high = 100.5;
    let bottom = TOP + ROW * rows.len() as i32;
    let description =
        "a row for each model: a disc for the 80 % interval, a triangle for the 95 % one; lines mark 80 and 95";
    let figure = draw(&title, description, bottom + 48, |area| {
        let canvas = Canvas(area);
        canvas.x_axis(&x, &x.ticks(8), TOP - 6, bottom, "values within the interval, %")?;
        for (nominal, colour, label) in [(80.0, FIRST, "80 % promised"), (95.0, SECOND, "95 % promised")] {
            let pen = Pen { colour, dash: Some(Dash::Even), marker: None };
            canvas.stroke(&[(x.at(nominal), TOP - 6), (x.at(nominal), bottom)], pen)?;
            canvas.text((x.at(nominal), 10), Hold::Middle, label)?;
        }
        for (i, (model, narrow, wide)) in rows.iter().enumerate() {
            let y = TOP + ROW * i as i32 + ROW / 2;
            canvas.text((NAMES - 10, y), Hold::Right, &model.name)?;
            canvas.marker((x.at(*narrow), y), Marker::Disc, FIRST)?;
            canvas.marker((x.at(*wide), y), Marker::Triangle, SECOND)?;
        }
        Ok(())
    });
    let row = |(model, narrow, wide): &(&Model, f64, f64)| {
        vec![model.name.as_str().into(), Cell::number(format!("{narrow:.1}")), Cell::number(format!("{wide:.1}"))]
    };
    figure.with(["model", "within the 80 % interval, %", "within the 95 % interval, %"], rows.iter().map(row).collect())
}

/// A forecast, what was known before it, and what came.
pub(super) fn example(name: &str, example: &Example, document: &Document) -> Figure {
    let (unit, step) = unit(document);
    let before = example.history.len() as f64;
    let mut known: Vec<(f64, Option<f64>)> =
        example.history.iter().enumerate().map(|(i, v)| ((i as f64 - before + 1.0) * step, *v)).collect();
    known.extend(example.actual.iter().enumerate().map(|(i, v)| ((i + 1) as f64 * step, *v)));
    let solid = Pen { colour: INK, dash: None, marker: None };
    let mut lines = vec![Curve { label: "what came", points: known, pen: solid }];
    for (forecast, pen) in example.forecasts.iter().zip(PENS) {
        let points = forecast.points.iter().enumerate().map(|(i, v)| ((i + 1) as f64 * step, Some(*v))).collect();
        lines.push(Curve { label: &forecast.model, points, pen });
    }
    let bands = example.forecasts.first().map_or_else(Vec::new, |first| {
        let ends = |low: &[f64], high: &[f64]| {
            low.iter().zip(high).enumerate().map(|(i, (l, h))| ((i + 1) as f64 * step, *l, *h)).collect()
        };
        vec![Band::soft(ends(&first.lower95, &first.upper95)), Band::inner(ends(&first.lower80, &first.upper80))]
    });
    let x = format!("{unit} from the moment of the forecast");
    let y = format!("{name}, unit of the data");
    let axes = Axes { x: &x, y: &y, from_zero: false, rule: Some(0.0) };
    let title = format!("Forecast of {}, {name}", example.device);
    curves(
        &title,
        "load known, load that came, and forecasts with the 80 and 95 % intervals of the selection",
        axes,
        &lines,
        &bands,
    )
}
