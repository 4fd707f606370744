//! Small documents of a sweep, a calibration and a look ahead.

use serde_json::{Value, json};

/// A grid of two fields.
pub(crate) fn sweep() -> Value {
    let point = |basis: &str, lookahead: &str, overload: f64| {
        json!({
            "parameters": {"plan.basis": basis, "monitor.lookahead": lookahead},
            "measures": {
                "overload_caused_device_minutes": {"mean": overload, "ci95": [overload - 2.0, overload + 2.0]},
                "makespan_s": {"mean": 7200.0 + overload * 60.0, "ci95": [7000.0, 7400.0 + overload * 120.0]},
            },
            "rollout_states": {"finished": 3},
        })
    };
    let points = [
        point("forecast", "10m", 1.0),
        point("forecast", "1h 40m", 2.0),
        point("current", "10m", 30.0),
        point("current", "1h 40m", 40.0),
    ];
    json!({
        "schema": "slacktide/sweep/1", "scenario": "busy-evening", "policy": "predictive", "devices": 400, "seed": 1, "replications": 3, "design": "grid",
        "varied": [{"field": "plan.basis", "kind": "choice", "log": false}, {"field": "monitor.lookahead", "kind": "span", "log": true}],
        "remarks": [], "findings": ["Recommended: this."], "points": points, "pareto": [0], "near_pareto": [1],
        "recommended": {"point": 0, "overload_limit": 3.0, "not_worse": [0, 1]},
    })
}

/// Load that was learned.
pub(crate) fn calibration() -> Value {
    let statistics = |shift: f64| {
        json!({
            "quantile_levels": [0.1, 0.5, 0.9, 0.99], "quantiles": [10.0 + shift, 30.0, 60.0, 80.0 + shift],
            "lag_hours": [0.25, 1.0, 24.0], "lag_correlations": [0.9, 0.7, 0.5 + shift / 10.0],
            "profile": (0..24).map(|h| 40.0 + 20.0 * (f64::from(h) / 4.0).sin() + shift).collect::<Vec<_>>(),
            "weekdays": [1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5],
        })
    };
    let judged = |name: &str, verdict: &str| {
        json!({"name": name, "distance_is": "points, root mean square", "recorded": 1.0, "fitted": 1.1, "distance": 0.1, "good": 0.2, "fair": 0.4,
            "verdict": verdict})
    };
    let judged = json!([judged("mean", "good"), judged("bursts a day", "poor"), judged("weekdays", "not measured")]);
    json!({
        "schema": "slacktide/calibrate/1", "data": ["load.csv"], "recorded_devices": 20, "devices": 20, "period_s": 900, "steps": 1344, "seed": 1,
        "remarks": ["a remark"], "groups": [{"name": "web", "devices": 12, "pool_size": 4}, {"name": "db", "devices": 8, "pool_size": 2}],
        "scenario": "devices = 20\n", "goodness": [{"metric": "cpu", "recorded": statistics(0.0), "fitted": statistics(1.5), "judged": judged}],
        "held_out": {"days": 7, "fitted": judged, "halves": judged},
        "sample_week": {"device": "web-1", "start_s": 0, "period_s": 3600,
            "recorded": (0..168).map(|h| 30.0 + 20.0 * (f64::from(h) / 4.0).sin()).collect::<Vec<_>>(),
            "fitted": (0..168).map(|h| 32.0 + 18.0 * (f64::from(h) / 4.0 + 0.2).sin()).collect::<Vec<_>>()},
    })
}

/// What may come.
pub(crate) fn twin() -> Value {
    let point =
        |h: f64| json!({"h": h, "p2": 20.0 + h, "p10": 30.0 + h, "p50": 40.0 + h, "p90": 50.0 + h, "p97": 60.0 + h});
    let arm = |policy: &str| {
        json!({"policy": policy, "completion": {"p10": 2.0, "p50": 4.0, "p90": null},
            "chances": {"critical_pool": 0.12, "unfinished": 0.05, "stopped_or_rolled_back": 0.0, "failed_devices": 0.4},
            "capacity": (0..24).map(|h| point(f64::from(h) / 2.0)).collect::<Vec<_>>(), "updated_devices": 95.4})
    };
    json!({
        "schema": "slacktide/twin/1", "journal": "journal.jsonl", "at": "2024-03-04T10:00:00Z", "ahead_h": 12.0, "runs": 200, "seed": 1,
        "arms": [arm("predictive"), arm("all-at-once")],
        "calibration": {"bands_percent": [80, 95], "scores": [{"what": "capacity, 1 h ahead", "count": 20, "within_percent": [78.0, null]}]},
    })
}
