//! Pages of comparisons from small documents, as a reader of their text sees them.

mod browser;
mod documents;
mod run;

use serde_json::{Value, json};
use slacktide_reports::comparison;

fn model(name: &str, trivial: bool, mase: f64) -> Value {
    json!({
        "name": name, "trivial": trivial, "series": 2, "forecasts": 8, "mase": mase, "smape": 20.0, "rmse": 2.0, "mae": 1.5,
        "pinball": 0.5, "wis_scaled": null, "coverage80": 0.8, "coverage95": 0.96, "fell_back": 0, "ms_per_fit": 0.1,
        "ms_per_forecast": 0.01, "training_ms": null,
    })
}

fn example() -> Value {
    let points = |v: f64| json!([v, v + 1.0]);
    let forecast = |name: &str| {
        json!({"model": name, "points": points(10.0), "lower80": points(8.0), "upper80": points(12.0),
            "lower95": points(6.0), "upper95": points(14.0)})
    };
    json!({
        "device": "<script>alert(1)</script>", "why": "the series it forecasts worst", "mase": 1.2, "origin_s": 1_700_000_000,
        "history": [9.0, null, 10.0, 11.0], "actual": [10.5, null], "chosen": "ets",
        "forecasts": [forecast("selected"), forecast("ets")],
    })
}

fn forecasts() -> Value {
    let part = json!({"naive": 2.0, "ets": 1.0, "selected": null});
    json!({
        "schema": "slacktide/forecast-compare/1", "data": ["load.csv"], "series": 2, "step_s": 3600, "seasons": [24], "horizon": 2,
        "context": null, "stride": 1, "seed": 1, "remarks": ["a & b"], "champion_changes": 3, "models": [],
        "by_metric": {"cpu": {
            "models": [model("naive", true, 2.0), model("ets", false, 1.0), model("selected", false, 1.1)],
            "mase_by_lead": [part, part], "mase_by_phase": vec![part.clone(); 24], "mase_by_class": {"strongly seasonal": part},
            "mean_ranks": {"naive": 3.0, "ets": 1.5, "selected": 1.5}, "critical_difference": 1.0, "chosen": {"ets": 8},
        }},
        "tests": [
            {"metric": "cpu", "a": "naive", "b": "ets", "statistic": 4.0, "p_corrected": 0.01, "count": 8, "over": "origins"},
            {"metric": "cpu", "a": "ets", "b": "selected", "statistic": -1.0, "p_corrected": 0.4, "count": 8, "over": "origins"},
        ],
        "findings": {"cpu": ["cpu: lowest MASE ets (1.000)."]},
        "examples": {"cpu": [example()]},
    })
}

fn arms() -> Value {
    let measures = |overload: f64| {
        json!({"overload_caused_device_minutes": {"mean": overload, "ci95": [overload - 1.0, overload + 1.0]},
            "makespan_s": {"mean": 7200.0, "ci95": [3600.0, 10_800.0]}})
    };
    let arm = |name: &str, overload| json!({"name": name, "measures": measures(overload), "rollout_states": ["finished", "stopped"], "invariant_violations": []});
    let difference = |measure: &str, mean: f64, different: bool| {
        json!({"a": "ets", "b": "<script>", "measure": measure, "mean": mean, "ci95": [mean - 1.0, mean + 1.0], "noise": !different,
            "p": 0.01, "p_corrected": 0.02, "different": different})
    };
    json!({
        "schema": "slacktide/compare/1", "scenario": "busy", "seed": 1, "devices": 10, "replications": 2, "arms_are": "forecasters",
        "remarks": [], "findings": ["Accuracy bought nothing measurable.", "PROMISE BROKEN ets seed 1: x."],
        "arms": [arm("ets", 2.0), arm("<script>", 8.0)],
        "differences": [difference("overload_caused_device_minutes", -6.0, true), difference("makespan_s", 0.0, false)],
        "ranking": ["ets", "<script>"],
    })
}

/// What holds for every page.
fn page(document: &Value, plots: usize) -> String {
    let page = comparison::html(&document.to_string()).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    assert!(!page.contains("<script") && page.contains("&lt;script"), "what others wrote is never markup");
    let svgs = page.matches("<svg ").count();
    assert_eq!((svgs, page.matches("role=\"img\"").count(), page.matches("<desc>").count()), (plots, plots, plots));
    assert_eq!(page.matches("http").count(), page.matches("http://www.w3.org/2000/svg").count(), "self-contained");
    assert!(!page.contains("NaN"));
    page
}

#[test]
fn the_page_of_forecasts_says_what_was_found_and_shows_the_evidence() {
    let page = page(&forecasts(), 6);
    let order = [
        "What was compared",
        "lowest MASE ets",
        "naive (trivial)",
        "By lead time",
        "By phase",
        "MASE by class",
        "promised",
        "Mean ranks",
        "Pairs",
        "Whom the selection chose",
        "Forecasts to look at",
        "How to read it",
    ];
    let (_, body) = page.split_once("</nav>").unwrap();
    let places: Vec<usize> = order.iter().map(|text| body.find(text).unwrap_or_else(|| panic!("{text}"))).collect();
    assert!(places.is_sorted(), "{places:?}");
    assert!(page.contains("ets ★") && page.contains("noise") && page.contains("▼ .010") && page.contains("▲ .010"));
    assert!(page.contains("A &amp; b") && page.contains("used ets here"));
}

#[test]
fn the_page_of_arms_opens_with_the_findings() {
    let page = page(&arms(), 3);
    let order = [
        "Accuracy bought nothing",
        "class=bad",
        "overload caused, device-minutes",
        "1 finished, 1 stopped",
        "All differences",
    ];
    let places: Vec<usize> = order.iter().map(|text| page.rfind(text).unwrap_or_else(|| panic!("{text}"))).collect();
    assert!(places[0] < places[1] && places[3] < places[4], "{places:?}");
    assert!(page.contains("ets less") && page.contains("noise"));
}

#[test]
fn a_document_without_anything_to_draw_is_still_a_page() {
    let mut document = forecasts();
    for model in document["by_metric"]["cpu"]["models"].as_array_mut().unwrap() {
        ["mase", "coverage80", "coverage95"].iter().for_each(|field| model[field] = Value::Null);
    }
    document["by_metric"]["cpu"]["mean_ranks"] = json!({});
    document["by_metric"]["cpu"]["critical_difference"] = Value::Null;
    document["tests"] = json!([]);
    document["examples"] = json!({});
    let page = comparison::html(&document.to_string()).unwrap();
    assert!(page.contains("nothing to draw") && page.contains("Too few forecasts") && !page.contains("★ <"));
}
