//! The page of a rollout, from journals made up here: what it holds, live or simulated, and how large it gets.

use serde_json::{Value, json};
use slacktide_engine::journal::{ChainWriter, Entry, JournalMode};
use slacktide_engine::time::{Instant, Span};
use slacktide_reports::{page, tables::Tables};

const HOUR: u64 = 3600;

/// A made-up rollout.
pub(crate) struct Course {
    pub(crate) devices: usize,
    pub(crate) pools: usize,
    pub(crate) regions: usize,
    pub(crate) batches: usize,
    pub(crate) hours: u64,
    pub(crate) live: bool,
}

impl Course {
    pub(crate) const SMALL: Self = Self { devices: 10, pools: 3, regions: 2, batches: 4, hours: 8, live: false };
    pub(crate) const LARGE: Self =
        Self { devices: 100_000, pools: 2000, regions: 12, batches: 900, hours: 96, live: false };
}

fn name(device: usize) -> String {
    format!("device-{device:06}")
}

struct Writer {
    chain: ChainWriter,
    lines: Vec<String>,
}

impl Writer {
    fn say(&mut self, at_s: u64, entry: &Value) {
        let entry: Entry = serde_json::from_value(entry.clone()).unwrap_or_else(|e| panic!("{e}: {entry}"));
        let line = self.chain.line(Instant::default() + Span::from_secs(at_s), entry);
        self.lines.push(line);
    }
}

/// The journal of a course: warm-up, batches one after the other, a pause in the middle, some failures, an end.
pub(crate) fn journal(course: &Course) -> Vec<String> {
    let mut writer = Writer { chain: ChainWriter::default(), lines: Vec::new() };
    let mode = if course.live { JournalMode::Full } else { JournalMode::Decisions };
    let world = if course.live { Value::Null } else { json!({"scenario": "made-up"}) };
    writer.say(0, &json!({"kind": "header", "version": 1, "program": "slacktide 0.1.0", "mode": mode, "seed": 1,
        "world_name": "made <up>", "policy_name": "predictive", "policy": "", "world": world, "metrics": ["cpu"], "remarks": []}));
    let begin = 8 * HOUR;
    let end = begin + course.hours * HOUR;
    let mut told = 0;
    for minute in (0..(end + 2 * HOUR) / 60).step_by(5) {
        let at = minute * 60;
        if at == begin {
            beginning(&mut writer, course, at);
        }
        let due = if at < begin {
            0
        } else {
            course.batches.min((at - begin) as usize * course.batches / (course.hours * HOUR) as usize)
        };
        for batch in told..due {
            one_batch(&mut writer, course, at, batch);
        }
        told = told.max(due);
        if at == begin + course.hours * HOUR / 2 {
            pause(&mut writer, at);
        }
        if at.is_multiple_of(HOUR) {
            forecast(&mut writer, at);
        }
        tick(&mut writer, course, at, told);
    }
    let moved = |to: &str, from: &str, detail: &str| json!({"kind": "rollout", "rollout": 0, "from": from, "to": to, "cause": null, "detail": detail});
    writer.say(end + 2 * HOUR, &moved("finished", "running", "everybody came to an end"));
    if !course.live {
        writer.say(end + 2 * HOUR, &json!({"kind": "measures", "measures": {"updated_devices": course.devices - course.devices / 10, "makespan_s": 3600.0,
            "overload_device_minutes": 3.0, "overload_caused_device_minutes": 1.0}, "invariant_violations": []}));
    }
    let close = writer.chain.close(Instant::default() + Span::from_secs(end + 3 * HOUR));
    writer.lines.push(close);
    writer.lines
}

fn beginning(writer: &mut Writer, course: &Course, at: u64) {
    let pools: Vec<Value> = (0..course.pools)
        .map(|p| json!({"name": format!("pool-{p:04}"), "members": course.devices / course.pools, "weight": 1.0}))
        .collect();
    let regions: serde_json::Map<String, Value> =
        (0..course.regions).map(|r| (format!("region-{r:02}"), json!(course.devices / course.regions))).collect();
    let members: Vec<Value> =
        (0..course.devices).map(|d| json!([name(d), d % course.pools, d % course.regions])).collect();
    writer.say(
        at,
        &json!({"kind": "fleet", "rollout": 0, "devices": course.devices, "targets": course.devices,
        "pools": pools, "regions": regions, "members": members}),
    );
    let to = |from: &str, to: &str| json!({"kind": "rollout", "rollout": 0, "from": from, "to": to, "cause": null, "detail": "by <script>"});
    writer.say(at, &to("ready", "running"));
    writer
        .say(at, &json!({"kind": "wave-opened", "rollout": 0, "wave": 0, "waves": 2, "devices": course.devices / 10}));
}

fn one_batch(writer: &mut Writer, course: &Course, at: u64, batch: usize) {
    let (from, to) = (course.devices * batch / course.batches, course.devices * (batch + 1) / course.batches);
    let wave = usize::from(batch * 10 >= course.batches);
    writer.say(
        at,
        &json!({"kind": "plan", "number": batch + 1, "parent": null, "reason": "a slot began", "batches": [],
        "waiting": {"demand": 3}, "makespan": 3_600_000, "lower_bound": 3_000_000}),
    );
    writer.say(
        at,
        &json!({"kind": "batch", "rollout": 0, "batch": batch + 1, "plan": batch + 1, "wave": wave,
        "devices": (from..to).map(name).collect::<Vec<_>>(), "requirement": 1.0, "capacity": 1.0, "first_command": from,
        "first_attempt": from, "until": (at + 1800) * 1000}),
    );
    let end = |device: usize| if device % 10 == 3 { "failed" } else { "succeeded" };
    let attempts: Vec<Value> = (from..to)
        .map(|d| json!({"attempt": d, "device": name(d), "end": end(d), "took": 1_500_000, "to": "2.0.0"}))
        .collect();
    writer.say(at + 240, &json!({"kind": "settled", "rollout": 0, "attempts": attempts}));
}

fn pause(writer: &mut Writer, at: u64) {
    writer.say(at, &json!({"kind": "verdict", "rollout": 0, "verdict": "bad", "cause": "forecast-breach", "value": 97.0, "threshold": 95.0,
        "evidence": "pool pool-0001 is expected to use 97 % of its members"}));
    let to = |from: &str, to: &str, cause: Value| json!({"kind": "rollout", "rollout": 0, "from": from, "to": to, "cause": cause, "detail": "capacity"});
    writer.say(at, &to("running", "paused", json!("forecast-breach")));
    writer.say(at + 60, &to("paused", "running", Value::Null));
}

fn forecast(writer: &mut Writer, at: u64) {
    writer.say(at, &json!({"kind": "forecast", "origin": at * 1000, "series": 10, "champions": {"ets": 8, "seasonal-naive": 2}, "changed": 1,
        "mae_points": {"ets": 2.0, "seasonal-naive": 4.0}, "peak_coverage_percent": 91.0, "demand_coverage_percent": 93.0}));
}

fn tick(writer: &mut Writer, course: &Course, at: u64, told: usize) {
    let load = |n: usize| 50.0 + 40.0 * ((at as f64 / 13_751.0 + n as f64).sin());
    let new_slot = at.is_multiple_of(900);
    let peaks: Vec<u16> = if new_slot { (0..course.pools).map(|p| load(p) as u16 + 12).collect() } else { Vec::new() };
    let regions: Vec<f64> = if new_slot { (0..course.regions).map(load).collect() } else { Vec::new() };
    let updated = course.devices * told / course.batches;
    writer.say(at, &json!({"kind": "tick", "fleet_load": load(0), "fleet_load_forecast": [load(0) + 1.0, load(0) + 5.0],
        "updated_capacity": (told > 0).then(|| 100.0 - load(1)), "updated_capacity_forecast": (told > 0).then(|| 90.0 - load(1)), "capacity_floor": 5.0,
        "worst_pool_percent": 95.0, "worst_pool_forecast_percent": 96.0, "worst_pool": 0,
        "states": {"waiting": course.devices - updated, "staging": 0, "out": 0, "updated": updated, "rolling_back": 0, "rolled_back": 0, "failed": 0},
        "pool_peaks_percent": peaks, "region_load": regions}));
}

pub(crate) fn html(course: &Course) -> String {
    let journal = journal(course);
    page::html(&Tables::read(journal.iter().map(String::as_str)).unwrap())
}

fn headings(page: &str) -> Vec<&str> {
    page.split("<h2")
        .skip(1)
        .filter_map(|part| part.split_once('>')?.1.split_once("</h2>").map(|(text, _)| text))
        .collect()
}

#[test]
fn the_page_of_a_rollout_has_words_then_pictures_then_tables() {
    let page = html(&Course::SMALL);
    let wanted = [
        "What happened",
        "The fleet over time",
        "Capacity",
        "Batches",
        "Region by region",
        "Pool by pool",
        "Decisions and their evidence",
        "Plans",
        "Forecast skill",
        "Measures",
        "What ran",
        "How to read it",
    ];
    assert_eq!(headings(&page), wanted);
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;") && !page.contains("NaN"));
    // Every picture has a name, a description, and a table of its figures.
    let svgs = page.matches("<svg ").count();
    assert_eq!((svgs, page.matches("role=\"img\"").count(), page.matches("<desc>").count()), (8, 8, 8));
    assert_eq!(page.matches("<summary>The figures of").count(), 7, "the time line has the table of decisions");
    // 10 devices in 3 pools: device 3 failed, it is in the first.
    assert!(
        page.contains("<th scope=row>pool-0000</th><td class=\"n\">3</td><td class=\"n\">4</td><td class=\"n\">3</td>"),
        "{page}"
    );
    assert!(page.contains("a skill of 50 %"), "ets against seasonal-naive");
    assert!(page.contains("expected to use 97 %") && page.contains("3/3 updated"));
}

#[test]
fn a_real_fleet_has_the_same_sections_and_says_what_is_not_known() {
    let simulated = html(&Course::SMALL);
    let live = html(&Course { live: true, ..Course::SMALL });
    assert_eq!(headings(&live), headings(&simulated));
    assert_eq!(live.matches("<svg ").count(), simulated.matches("<svg ").count());
    assert!(
        live.contains("a real fleet") && live.contains("what it would have carried without the rollout is not known")
    );
    // 9 of 10 by the journal alone: no driver measured anything.
    assert!(live.contains("9 of 10 devices run the new release"), "{live}");
}

/// What `measures.csv` of three runs holds.
pub(crate) const MEASURES: &str =
    "seed,measure,value\n1,makespan_s,36000\n2,makespan_s,72000\n3,makespan_s,18000\n1,critical_after_s,60\n";

pub(crate) fn html_of_runs(course: &Course) -> String {
    let journal = journal(course);
    page::html_of_runs(&Tables::read(journal.iter().map(String::as_str)).unwrap(), MEASURES)
}

#[test]
fn of_several_runs_the_page_says_which_it_tells_and_what_all_measured() {
    let page = html_of_runs(&Course::SMALL);
    assert!(headings(&page).contains(&"All 3 runs") && page.contains("the run of seed 1, the first of 3"), "{page}");
    let row = "<th scope=row>makespan_<wbr>s</th><td class=\"n\">42,000</td><td class=\"n\">18,000</td><td class=\"n\">72,000</td>\
        <td>s</td><td class=\"n\">3</td>";
    assert!(page.contains(row), "{page}");
    let one = "seed,measure,value\n1,makespan_s,36000\n";
    let journal = journal(&Course::SMALL);
    let tables = Tables::read(journal.iter().map(String::as_str)).unwrap();
    assert_eq!(page::html_of_runs(&tables, one), page::html(&tables), "of one run there is nothing to add");
}

#[test]
fn what_is_counted_agrees_with_its_number() {
    let small = html(&Course { devices: 10, batches: 1, ..Course::SMALL });
    assert!(small.contains("1 batch went out") && small.contains("<td>1 device</td>"), "{small}");
    assert!(!small.contains("1 devices") && !small.contains("1 batches") && !small.contains("1 plans"), "{small}");
    let large = html(&Course { devices: 20_000, batches: 30, ..Course::LARGE });
    assert!(large.contains("of 20,000 devices run the new release") && large.contains("\n20,000\n"), "an axis too");
}

#[test]
fn a_short_rollout_is_told_in_minutes() {
    let long = html(&Course::SMALL);
    assert!(long.contains("hours since the rollout began") && long.contains("at, h into the rollout"), "{long}");
    assert!(!long.contains("minutes since"));
    let mut cut = journal(&Course { batches: 16, devices: 32, ..Course::SMALL });
    // Of a rollout that goes on what is known so far counts: here its first hour.
    let first_hour = |line: &String| {
        let at = serde_json::from_str::<Value>(line).unwrap()["at"].clone();
        at.as_i64().is_none_or(|at| at < 9 * 3_600_000)
    };
    cut.retain(first_hour);
    let page = page::html(&Tables::read(cut.iter().map(String::as_str)).unwrap());
    assert!(page.contains("minutes since the rollout began") && page.contains("took, min"), "{page}");
    assert!(!page.contains("hours since the rollout began") && page.contains("is running after 5"), "{page}");
}

#[test]
fn an_old_journal_says_what_it_cannot_tell() {
    let mut lines = journal(&Course::SMALL);
    for line in &mut lines {
        let mut value: Value = serde_json::from_str(line).unwrap();
        if let Some(entry) = value["entry"].as_object_mut() {
            ["members", "pool_peaks_percent", "region_load"].iter().for_each(|field| drop(entry.remove(*field)));
        }
        *line = value.to_string();
    }
    let page = page::html(&Tables::read(lines.iter().map(String::as_str)).unwrap());
    assert!(page.contains("It cannot be known") && page.contains("Which device belongs where cannot be known"));
}

#[test]
fn a_hundred_thousand_devices_fit_a_small_page() {
    let page = html(&Course::LARGE);
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
    let drawn = ["<rect", "<polyline", "<polygon", "<text", "<circle"].map(|tag| page.matches(tag).count());
    assert!(drawn.iter().sum::<usize>() < 4000, "{drawn:?}");
    assert!(page.matches("<tr").count() < 2500, "{} rows", page.matches("<tr").count());
    assert!(page.contains("1980 others, highest") && page.contains("later batches are not in the table"));
}
