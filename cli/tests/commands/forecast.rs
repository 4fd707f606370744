//! `slacktide forecast` as people use it, mistakes included.

use super::{json, refused, slacktide};
use serde_json::Value;
use std::path::Path;

const HOUR: i64 = 3600;
const START: i64 = 1_700_006_400;

/// Hourly load of `devices` devices: a day, and something like noise.
fn write_load(dir: &Path, name: &str, devices: usize, hours: usize) {
    let mut csv = "device_id,timestamp,cpu\n".to_owned();
    for d in 0..devices {
        for t in 0..hours {
            let day = 12.0 * ((t + d) as f64 / 24.0 * std::f64::consts::TAU).sin();
            let noise = ((t * 7919 + d * 104_729) % 101) as f64 / 25.0;
            csv.push_str(&format!("m{d},{},{:.3}\n", START + t as i64 * HOUR, 40.0 + day + noise));
        }
    }
    std::fs::write(dir.join(name), csv).unwrap();
}

fn write(dir: &Path, name: &str, rows: &[String]) {
    std::fs::write(dir.join(name), format!("device_id,timestamp,cpu\n{}\n", rows.join("\n"))).unwrap();
}

/// A document without what the clock says.
fn timeless(mut document: Value) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, _| !name.starts_with("ms_per_") && name != "training_ms");
                fields.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    strip(&mut document);
    document
}

#[test]
fn one_thread_and_two_give_the_same_numbers() {
    let dir = tempfile::tempdir().unwrap();
    write_load(dir.path(), "l.csv", 5, 240);
    let run = |threads: &str| {
        let models = "average,arima,mstl-arima,ridge,lstm,weighted-mean";
        let arguments = [
            "forecast",
            "compare",
            "--data",
            "l.csv",
            "--origins",
            "4",
            "--models",
            models,
            "--threads",
            threads,
            "--json",
        ];
        timeless(json(&arguments, dir.path()))
    };
    let (one, two) = (run("1"), run("2"));
    assert_eq!(one, two);
    let lstm = one["models"].as_array().unwrap().iter().find(|m| m["name"] == "lstm").unwrap().clone();
    assert_eq!(lstm["fell_back"], 0, "the network was trained: {lstm}");
}

#[test]
fn a_network_is_trained_saved_and_used_and_never_for_a_past_it_has_seen() {
    let dir = tempfile::tempdir().unwrap();
    write_load(dir.path(), "l.csv", 6, 264);
    let train = ["forecast", "train", "--data", "l.csv", "--out", "n.safetensors", "--json"];
    let document = json(&train, dir.path());
    assert_eq!(
        (document["trained"].as_bool(), document["trained_until"].as_i64()),
        (Some(true), Some(START + 264 * HOUR))
    );
    let bytes = std::fs::read(dir.path().join("n.safetensors")).unwrap();
    json(&train, dir.path());
    let again = std::fs::read(dir.path().join("n.safetensors")).unwrap();
    assert!(bytes == again, "the same seed gives the same file");
    let show = ["forecast", "show", "--data", "l.csv", "--model", "lstm", "--network", "n.safetensors", "--json"];
    let shown = json(&show, dir.path());
    assert_eq!(shown["series"][0]["fell_back"], false, "{shown}");
    let first = &shown["series"][0]["points"][0];
    assert_eq!(first["timestamp"], START + 264 * HOUR);
    let past = [
        "forecast",
        "backtest",
        "--data",
        "l.csv",
        "--models",
        "lstm",
        "--network",
        "n.safetensors",
        "--origins",
        "2",
        "--json",
    ];
    let backtest = json(&past, dir.path());
    assert_eq!(backtest["models"][0]["fell_back"], 12, "two origins of six series lie in what it has seen: {backtest}");
    refused(
        &["forecast", "show", "--data", "l.csv", "--model", "lstm", "--horizon", "5", "--network", "n.safetensors"],
        dir.path(),
        &["n.safetensors", "horizon of 24"],
    );
    refused(
        &["forecast", "show", "--data", "l.csv", "--network", "n.safetensors"],
        dir.path(),
        &["`lstm` is not among"],
    );
    std::fs::write(dir.path().join("cut.safetensors"), &bytes[..900]).unwrap();
    refused(
        &["forecast", "show", "--data", "l.csv", "--model", "lstm", "--network", "cut.safetensors"],
        dir.path(),
        &["cut.safetensors: not a network"],
    );
    write_load(dir.path(), "short.csv", 1, 40);
    let output = slacktide(
        &["forecast", "train", "--data", "short.csv", "--season", "24", "--out", "s.safetensors"],
        dir.path(),
    );
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!((output.status.code(), dir.path().join("s.safetensors").exists()), (Some(1), false), "{said}");
    assert!(said.contains("examples in the history"), "{said}");
}

#[test]
fn what_cannot_be_forecast_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let row = |device: &str, t: i64, value: &str| format!("{device},{},{value}", START + t);
    std::fs::write(dir.path().join("empty.csv"), "").unwrap();
    write(dir.path(), "header.csv", &[]);
    write(dir.path(), "missing.csv", &(0..50).map(|t| row("a", t * HOUR, "")).collect::<Vec<_>>());
    write(dir.path(), "infinite.csv", &[row("a", 0, "1"), row("a", HOUR, "inf")]);
    write(dir.path(), "short.csv", &(0..5).map(|t| row("a", t * HOUR, "1.5")).collect::<Vec<_>>());
    let decade = 10 * 365 * 24;
    let halves = (0..100).chain(decade..decade + 100);
    write(dir.path(), "decade.csv", &halves.map(|t| row("a", t * HOUR, &format!("{}", t % 24))).collect::<Vec<_>>());
    let compare = |file: &'static str| ["forecast", "compare", "--data", file, "--models", "naive,average"];
    refused(&compare("empty.csv"), dir.path(), &["empty.csv"]);
    refused(&compare("header.csv"), dir.path(), &["header.csv"]);
    refused(&compare("missing.csv"), dir.path(), &["missing.csv"]);
    refused(&compare("infinite.csv"), dir.path(), &["infinite.csv:3", "`cpu`", "`inf`"]);
    refused(
        &compare("short.csv"),
        dir.path(),
        &["short.csv: no series is long enough: 5 steps known at most, and 8 steps before a horizon of 24 are needed"],
    );
    write(dir.path(), "one.csv", &[row("a", 0, "1.5")]);
    let show = |file: &'static str| ["forecast", "show", "--data", file];
    refused(
        &show("one.csv"),
        dir.path(),
        &["one.csv: the series of `a` is too short to forecast: it has 1 step, and 8 steps are needed"],
    );
    // The headings of load and time in each other's place.
    let rows: Vec<String> = (0..200).map(|t| format!("a,{},{}", 20 + t % 50, START + t * HOUR)).collect();
    write(dir.path(), "swapped.csv", &rows);
    refused(
        &show("swapped.csv"),
        dir.path(),
        &["swapped.csv: column `timestamp` begins at 1970-01-01", "column `cpu` holds 17", "each other's place"],
    );
    let rows: Vec<String> = (0..200).map(|t| format!("a,{},{}", t * HOUR, 20 + t % 24)).collect();
    write(dir.path(), "early.csv", &rows);
    let early = json(&[&show("early.csv")[..], &["--json"]].concat(), dir.path());
    assert!(early["notes"].to_string().contains("timestamps begin at 1970-01-01"), "{}", early["notes"]);
    refused(&compare("decade.csv"), dir.path(), &["gaps"]);
    refused(
        &["forecast", "compare", "--data", "short.csv", "--models", "arma"],
        dir.path(),
        &["`arma` is no model", "did you mean `arima`?"],
    );
    refused(
        &["forecast", "compare", "--data", "short.csv", "--models", "naiv"],
        dir.path(),
        &["`naiv` is no model", ", selected; did you mean `naive`?"],
    );
    refused(
        &["forecast", "compare", "--data", "short.csv", "--every", "90m"],
        dir.path(),
        &["--every 90m", "multiple"],
    );
}

/// Found by attack: each of these was a crash, a silent mistake or a file half written.
#[test]
fn slips_of_the_pen_are_named() {
    let dir = tempfile::tempdir().unwrap();
    write_load(dir.path(), "l.csv", 1, 120);
    let put = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    put("comma.csv", "device_id,timestamp,cpu\na,0,50,5\n");
    put("twice.csv", "device_id,timestamp,cpu,cpu\na,0,50,5\n");
    put("huge.csv", "device_id,timestamp,cpu\na,0,1e38\n");
    put("milli.csv", "device_id,timestamp,cpu\na,1700006400000,1\n");
    let with = |file: &'static str, rest: &[&'static str]| [&["forecast", "compare", "--data", file], rest].concat();
    refused(&with("comma.csv", &[]), dir.path(), &["comma.csv:2", "4 cells", "3"]);
    refused(&with("twice.csv", &[]), dir.path(), &["twice.csv:1", "`cpu`", "twice"]);
    refused(&with("huge.csv", &[]), dir.path(), &["huge.csv:2", "1e38", "too large"]);
    refused(&with("milli.csv", &[]), dir.path(), &["milli.csv:2", "milliseconds"]);
    refused(&with("l.csv", &["--metrics", "cpu,cpu"]), dir.path(), &["`cpu`", "twice"]);
    refused(&with("l.csv", &["--models", "equal-mean,weighted-mean"]), dir.path(), &["`equal-mean` is made of"]);
    refused(&with("l.csv", &["--season", "200000000000d"]), dir.path(), &["--season 200000000000d"]);
    refused(&with("l.csv", &["--season", "1000"]), dir.path(), &["longer than the data", "120"]);
    refused(&with("l.csv", &["--context", "24"]), dir.path(), &["one season of 24"]);
    std::fs::create_dir_all(dir.path().join("o/scores.csv")).unwrap();
    refused(
        &with("l.csv", &["--models", "naive", "--out", "o"]),
        dir.path(),
        &["scores.csv", "a folder of that name is there"],
    );
    assert!(!dir.path().join("o/comparison.json").exists(), "nothing is written by halves");
    std::fs::remove_dir(dir.path().join("o/scores.csv")).unwrap();
    json(&with("l.csv", &["--models", "naive", "--out", "o", "--json"]), dir.path());
    refused(&["report", "o", "--out", "o/comparison.json"], dir.path(), &["what the page is made of"]);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    write_load(dir.path(), "l.csv", 1, 120);
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_slacktide"))
        .args(["forecast", "compare", "--data", "l.csv", "--models", "naive,average"])
        .current_dir(dir.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success() && ended.stderr.is_empty(), "{}", String::from_utf8_lossy(&ended.stderr));
}

/// Nothing moves for a week, then everything does: no bound is millions wide, and every point lies within its own bounds.
#[test]
fn bounds_stay_sane_after_a_flat_history_and_hold_their_point() {
    let dir = tempfile::tempdir().unwrap();
    let value = |t: i64| if t < 168 { 0.0 } else { 30.0 + (t % 5) as f64 };
    let rows: Vec<String> = (0..240).map(|t| format!("a,{},{}", START + t * HOUR, value(t))).collect();
    write(dir.path(), "idle.csv", &rows);
    let arguments = [
        "forecast",
        "backtest",
        "--data",
        "idle.csv",
        "--horizon",
        "6",
        "--models",
        "naive,seasonal-naive,theta",
        "--out",
        "o",
        "--json",
    ];
    json(&arguments, dir.path());
    let csv = std::fs::read_to_string(dir.path().join("o/forecasts.csv")).unwrap();
    let mut rows = 0;
    for line in csv.lines().skip(1) {
        let cell = |i: usize| line.split(',').nth(i).unwrap().parse::<f64>().unwrap();
        let (point, lower95, upper95) = (cell(6), cell(9), cell(10));
        assert!(lower95 <= cell(7) && cell(7) <= point && point <= cell(8) && cell(8) <= upper95, "{line}");
        assert!(upper95 - lower95 < 2000.0, "{line}");
        rows += 1;
    }
    assert!(rows > 100, "{rows}");
}

#[test]
fn rows_out_of_order_or_twice_and_uneven_steps_are_brought_in_order_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    write_load(dir.path(), "l.csv", 2, 240);
    let text = std::fs::read_to_string(dir.path().join("l.csv")).unwrap();
    let (header, rows) = text.split_once('\n').unwrap();
    let mut backwards: Vec<&str> = rows.lines().rev().collect();
    let arguments = |file: &'static str| ["forecast", "compare", "--data", file, "--models", "average,theta", "--json"];
    std::fs::write(dir.path().join("back.csv"), format!("{header}\n{}\n", backwards.join("\n"))).unwrap();
    let (ordered, reversed) =
        (timeless(json(&arguments("l.csv"), dir.path())), timeless(json(&arguments("back.csv"), dir.path())));
    assert_eq!(ordered["models"], reversed["models"]);
    backwards.push(backwards[0]);
    std::fs::write(dir.path().join("twice.csv"), format!("{header}\n{}\n", backwards.join("\n"))).unwrap();
    let twice = json(&arguments("twice.csv"), dir.path());
    assert!(twice["remarks"][0].as_str().unwrap().contains("twice"), "{}", twice["remarks"]);
    // A few seconds late each time: still the step they belong to.
    let uneven = |line: &str| {
        let mut cells: Vec<String> = line.split(',').map(str::to_owned).collect();
        let at: i64 = cells[1].parse().unwrap();
        cells[1] = (at + at / HOUR % 7).to_string();
        cells.join(",")
    };
    let late: Vec<String> = rows.lines().map(uneven).collect();
    std::fs::write(dir.path().join("late.csv"), format!("{header}\n{}\n", late.join("\n"))).unwrap();
    let late = json(&arguments("late.csv"), dir.path());
    assert_eq!(
        (late["step_s"].as_i64(), &late["models"][0]["mase"]),
        (Some(HOUR), &ordered["models"][0]["mase"]),
        "{late}"
    );
}

#[test]
fn one_device_and_a_constant_one_have_their_forecast() {
    let dir = tempfile::tempdir().unwrap();
    write_load(dir.path(), "one.csv", 1, 120);
    let shown = json(&["forecast", "show", "--data", "one.csv", "--json"], dir.path());
    let points = shown["series"][0]["points"].as_array().unwrap().clone();
    assert_eq!(points.len(), 24);
    let inside =
        |p: &Value| p["lower95"].as_f64() <= p["forecast"].as_f64() && p["forecast"].as_f64() <= p["upper95"].as_f64();
    assert!(points.iter().all(inside), "{points:?}");
    let rows: Vec<String> = (0..120).map(|t| format!("c,{},7.5", START + t * HOUR)).collect();
    write(dir.path(), "constant.csv", &rows);
    let shown = json(&["forecast", "show", "--data", "constant.csv", "--model", "arima", "--json"], dir.path());
    assert_eq!(shown["series"][0]["fell_back"], true);
    assert!(shown["series"][0]["points"].as_array().unwrap().iter().all(|p| p["forecast"] == 7.5), "{shown}");
    let document =
        json(&["forecast", "compare", "--data", "constant.csv", "--models", "naive,arima", "--json"], dir.path());
    assert!(document["models"][0]["mase"].is_null(), "an error over no movement has no scale: {document}");
    let told = slacktide(&["forecast", "compare", "--data", "constant.csv", "--models", "naive,arima"], dir.path());
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(!told.contains("naive *") && !told.contains("arima *") && !told.contains("selected *"), "{told}");
}

#[test]
fn intervals_further_ahead_than_anything_was_ever_judged_are_told() {
    let dir = tempfile::tempdir().unwrap();
    write_load(dir.path(), "l.csv", 1, 240);
    let notes = |horizon: &str| {
        let show = ["forecast", "show", "--data", "l.csv", "--model", "seasonal-naive", "--horizon", horizon, "--json"];
        json(&show, dir.path())["notes"].to_string()
    };
    assert!(!notes("24").contains("further ahead"), "{}", notes("24"));
    let told = notes("500");
    assert!(told.contains("of the 240 steps known") && told.contains("more than 192 steps ahead"), "{told}");
}
