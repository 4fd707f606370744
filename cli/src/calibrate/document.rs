//! The document of a calibration.

use super::{Args, Done};
use serde_json::{Value, json};
use slacktide_scenarios::calibration::statistics::moments;
use slacktide_sim::goodness::{Goodness, Judged, LAG_HOURS, QUANTILES, Sample, Statistics, recorded};

/// Points of the sample week that a page can show.
const WEEK_POINTS_MAX: usize = 700;

pub(crate) fn document(args: &Args, done: &Done) -> Value {
    let pools = &done.calibrated.scenario.pools;
    let groups: Vec<Value> = pools
        .iter()
        .zip(&done.calibrated.group_sizes)
        .map(|(pool, devices)| json!({"name": pool.name, "devices": devices, "pool_size": pool.pool_size}))
        .collect();
    json!({
        "schema": "slacktide/calibrate/1",
        "data": args.data.iter().map(|p| p.display().to_string()).collect::<Vec<_>>(),
        "recorded_devices": done.calibrated.order.len(),
        "devices": done.calibrated.scenario.devices,
        "period_s": done.recording.period_s,
        "steps": done.recording.steps,
        "seed": args.seed,
        "remarks": done.remarks,
        "groups": groups,
        "scenario": done.calibrated.scenario.text,
        "goodness": done.goodness.iter().map(metric).collect::<Vec<_>>(),
        "held_out": done.held_out.as_ref().map(|held| json!({
            "days": held.days,
            "fitted": held.fitted.iter().map(judged).collect::<Vec<_>>(),
            "halves": held.halves.iter().map(judged).collect::<Vec<_>>(),
        })),
        "sample_week": sample_week(done),
    })
}

fn metric(goodness: &Goodness) -> Value {
    json!({
        "metric": goodness.metric,
        "recorded": statistics(&goodness.recorded),
        "fitted": statistics(&goodness.fitted),
        "judged": goodness.judged.iter().map(judged).collect::<Vec<_>>(),
    })
}

fn statistics(s: &Statistics) -> Value {
    json!({
        "mean": s.mean,
        "spread": s.spread,
        "quantile_levels": QUANTILES,
        "quantiles": s.quantiles,
        "lag_hours": LAG_HOURS,
        "lag_correlations": s.lag_correlations,
        "step_correlation": s.step_correlation,
        "profile": s.profile,
        "explained_by_day": s.explained_by_day,
        "weekdays": s.weekdays,
        "bursts_per_day": s.bursts_per_day,
        "burst_height": s.burst_height,
        "burst_minutes": s.burst_minutes,
        "pair_correlation": s.pair_correlation,
        "pool_peak": s.pool_peak,
    })
}

fn judged(j: &Judged) -> Value {
    json!({"name": j.name, "distance_is": j.distance_is, "recorded": j.recorded, "fitted": j.fitted, "distance": j.distance,
        "good": j.good, "fair": j.fair, "verdict": j.verdict.name()})
}

/// A week of the recorded device of middling spread, and of the generated one whose level and spread are nearest to it.
fn sample_week(done: &Done) -> Value {
    let column = done.calibrated.metrics[0].unwrap_or(0);
    let real = recorded(&done.recording, &done.calibrated, column);
    let made = &done.generated[0];
    let steps = (7 * 86_400 / done.recording.period_s).max(1) as usize;
    let size = |series: &Vec<f64>| {
        let (mean, sd, known) = moments(series);
        (mean, sd, known)
    };
    let mut order: Vec<(usize, (f64, f64, usize))> = real.devices.iter().map(size).enumerate().collect();
    order.sort_by(|a, b| a.1.1.total_cmp(&b.1.1).then(a.0.cmp(&b.0)));
    let (device, (mean, sd, _)) = order[order.len() / 2];
    let distance = |series: &Vec<f64>| {
        let (m, s, _) = size(series);
        (m - mean).abs() + (s - sd).abs()
    };
    // Of the first world only: the others are there for the statistics.
    let twin = (0..real.devices.len())
        .min_by(|a, b| distance(&made.devices[*a]).total_cmp(&distance(&made.devices[*b])))
        .unwrap_or(0);
    let thin = steps.min(done.recording.steps).div_ceil(WEEK_POINTS_MAX).max(1);
    let cut = |sample: &Sample, device: usize| {
        let series = &sample.devices[device];
        let week = &series[..steps.min(series.len())];
        week.chunks(thin).map(|part| Some(moments(part)).filter(|m| m.2 > 0).map(|m| m.0)).collect::<Vec<Option<f64>>>()
    };
    json!({
        "device": done.recording.devices[done.calibrated.order[device]],
        "start_s": done.recording.start_s,
        "period_s": done.recording.period_s * thin as i64,
        "recorded": cut(&real, device),
        "fitted": cut(made, twin),
    })
}
