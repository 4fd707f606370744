//! Plots of a calibration: recorded in ink, generated dashed in the first colour.

use super::document::{Document, Metric, Statistics};
use crate::curves::{Axes, Curve, curves};
use crate::plot::{Dash, FIRST, Figure, INK, Marker, Pen};

type Points = Vec<(f64, Option<f64>)>;

fn both(recorded: Points, fitted: Points, marked: bool) -> [Curve<'static>; 2] {
    let marker = |marker| marked.then_some(marker);
    [
        Curve {
            label: "recorded",
            points: recorded,
            pen: Pen { colour: INK, dash: None, marker: marker(Marker::Disc) },
        },
        Curve {
            label: "generated",
            points: fitted,
            pen: Pen { colour: FIRST, dash: Some(Dash::Even), marker: marker(Marker::Square) },
        },
    ]
}

fn plot(
    title: &str,
    description: &str,
    metric: &Metric,
    axes: Axes<'_>,
    points: impl Fn(&Statistics) -> Points,
    marked: bool,
) -> Figure {
    curves(title, description, axes, &both(points(&metric.recorded), points(&metric.fitted), marked), &[])
}

/// The name of a vertical axis: loads are percent of what a device can.
fn load(metric: &Metric) -> String {
    format!("{}, %", metric.metric)
}

/// Quantiles of all values.
pub(super) fn quantiles(metric: &Metric) -> Figure {
    let load = load(metric);
    let axes = Axes { x: "quantile, % of all values", y: &load, from_zero: true, rule: None };
    let points =
        |s: &Statistics| s.quantile_levels.iter().map(|p| p * 100.0).zip(s.quantiles.iter().copied()).collect();
    plot(
        &format!("Quantiles, {}", metric.metric),
        "load below which a share of all values lies",
        metric,
        axes,
        points,
        true,
    )
}

/// Mean load by hour.
pub(super) fn profile(metric: &Metric) -> Figure {
    let load = load(metric);
    let axes = Axes { x: "hour of the day, UTC", y: &load, from_zero: false, rule: None };
    let points = |s: &Statistics| {
        let hours = 24.0 / s.profile.len().max(1) as f64;
        s.profile.iter().enumerate().map(|(i, v)| ((i as f64 + 0.5) * hours, *v)).collect()
    };
    plot(&format!("Daily curve, {}", metric.metric), "mean load by time of day", metric, axes, points, false)
}

/// Autocorrelation by lag.
pub(super) fn memory(metric: &Metric) -> Figure {
    let axes = Axes { x: "lag, hours", y: "autocorrelation (1 = the same)", from_zero: false, rule: None };
    let points = |s: &Statistics| s.lag_hours.iter().copied().zip(s.lag_correlations.iter().copied()).collect();
    plot(
        &format!("Autocorrelation, {}", metric.metric),
        "mean autocorrelation of a device over the lag",
        metric,
        axes,
        points,
        true,
    )
}

/// A week of a device.
pub(super) fn week(document: &Document) -> Figure {
    let week = &document.sample_week;
    let points = |values: &[Option<f64>]| -> Points {
        values.iter().enumerate().map(|(i, v)| (i as f64 * week.period_s as f64 / 86_400.0, *v)).collect()
    };
    let axes = Axes { x: "days", y: "load, %", from_zero: true, rule: None };
    curves(
        "A week",
        "load of a recorded device and of a generated one of like level",
        axes,
        &both(points(&week.recorded), points(&week.fitted), false),
        &[],
    )
}
