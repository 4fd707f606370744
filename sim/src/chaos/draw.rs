//! Draws a world: a scenario document with its policy in it, so that it can be saved, read again and made smaller.

use super::dice::{Dice, set, span};
use super::{draw_faults, draw_policy};
use toml::{Table, Value};

const REGIONS: [&str; 3] = ["eu", "us", "asia"];
const VERSIONS: [&str; 3] = ["1.0", "1.5", "1.9"];
const VARIANTS: [&str; 2] = ["a", "b"];

/// What other draws need to know of the world.
#[derive(Debug)]
pub(super) struct Frame {
    /// Ticks and slots, minutes.
    pub(super) tick: i64,
    pub(super) regions: Vec<&'static str>,
    pub(super) devices: i64,
    /// What goes wrong has come to its end so long after the announcement, minutes.
    pub(super) until: i64,
    pub(super) has_stones: bool,
}

/// The document of world `number` under `seed`.
pub(super) fn world(seed: u64, number: u64) -> Table {
    let dice = &mut Dice::new(seed, number);
    let regions: i64 = if dice.has() { dice.count(2, 3) } else { 1 };
    let mut frame = Frame {
        tick: dice.pick(&[5, 5, 10, 10, 15, 2, 1]),
        regions: REGIONS[..regions as usize].to_vec(),
        devices: dice.count(5, 40),
        until: dice.count(60, 36 * 60),
        has_stones: dice.has(),
    };
    if frame.tick < 5 {
        frame.devices = frame.devices.min(15);
    } else if dice.happens(15.0) {
        frame.devices *= 2;
    }
    let mut doc = Table::new();
    set(&mut doc, "name", format!("chaos-{seed}-{number}"));
    set(&mut doc, "devices", frame.devices);
    set(
        &mut doc,
        "start",
        dice.pick(&["2024-03-04T00:00:00Z", "2024-03-30T18:00:00Z", "2024-02-28T07:30:00Z", "2024-10-26T12:15:00Z"]),
    );
    let history = dice.count(1, 24) * 60;
    set(&mut doc, "history", span(history));
    set(&mut doc, "tick", span(frame.tick));
    if dice.has() {
        let limit = dice.number(40.0, 100.0);
        set(&mut doc, "overload_limit_percent", limit);
    }
    let groups = if dice.has() { dice.count(2, 3) } else { 1 };
    let pools: Vec<Value> = (0..groups).map(|g| Value::Table(pool(dice, &frame, g))).collect();
    set(&mut doc, "pools", pools);
    let (latest, packages) = packages(dice, &frame);
    for (key, value) in packages {
        doc.insert(key, value);
    }
    if dice.has() {
        set(&mut doc, "updates", updates(dice));
    }
    if frame.regions.len() > 1 && dice.has() || dice.has() {
        set(&mut doc, "regions", links(dice, &frame));
    }
    set(&mut doc, "failures", draw_faults::failures(dice, &frame));
    let operator = draw_faults::operator(dice);
    let approved = latest + operator.1;
    set(&mut doc, "operator", operator.0);
    let (policy, overrides, patience) = draw_policy::policy(dice, &frame);
    set(&mut doc, "policy", policy);
    set(&mut doc, "policy_overrides", overrides);
    // Drawn last, so that worlds without it are what they were before there was such a thing.
    if dice.happens(15.0) {
        ask_late(dice, &mut doc);
    }
    // Calm, and time for whatever the policy lets a rollout wait for.
    set(&mut doc, "until_max", span(frame.until.max(approved) + approved + patience));
    doc
}

fn pool(dice: &mut Dice, frame: &Frame, number: i64) -> Table {
    let mut pool = Table::new();
    set(&mut pool, "name", format!("p{number}"));
    if dice.has() {
        let share = dice.number(0.1, 3.0);
        set(&mut pool, "share", share);
    }
    set(&mut pool, "pool_size", dice.count(1, 20));
    set(&mut pool, "function", dice.pick(&["web", "database", "sensor", "display", "core"]));
    let regions: Vec<Value> = frame.regions.iter().map(|region| Value::from(*region)).collect();
    set(&mut pool, "regions", regions);
    if dice.has() {
        set(&mut pool, "sites_per_region", dice.count(1, 4));
    }
    if frame.has_stones || dice.has() {
        let shares = VERSIONS.iter().map(|version| ((*version).to_owned(), Value::Float(dice.number(0.0, 1.0) + 0.1)));
        set(&mut pool, "versions", shares.collect::<Table>());
    }
    if dice.has() {
        let shares = VARIANTS.iter().map(|variant| ((*variant).to_owned(), Value::Float(dice.number(0.1, 1.0))));
        set(&mut pool, "variants", shares.collect::<Table>());
    }
    for field in ["weight", "requirement"] {
        if dice.has() {
            let low = dice.number(0.5, 4.0);
            let high = low + dice.number(0.0, 6.0);
            set(&mut pool, field, vec![low, high]);
        }
    }
    set(&mut pool, "load", load(dice));
    pool
}

fn load(dice: &mut Dice) -> Table {
    let mut load = Table::new();
    for (field, low, high) in [
        ("base_percent", 2.0, 70.0),
        ("daily_amplitude_percent", 0.0, 60.0),
        ("daily_peak_hour", 0.0, 24.0),
        ("daily_sharpness", 0.5, 6.0),
        ("weekend_factor", 0.0, 1.5),
        ("trend_percent_per_day", -5.0, 8.0),
        ("noise_percent", 0.0, 15.0),
        ("noise_correlation", 0.0, 0.99),
        ("pool_noise_percent", 0.0, 8.0),
        ("device_spread_percent", 0.0, 20.0),
        ("burst_rate_per_day", 0.0, 10.0),
        ("burst_percent", 0.0, 60.0),
        ("memory_percent", 5.0, 95.0),
        ("network_factor", 0.0, 1.5),
        ("disk_percent", 0.0, 90.0),
    ] {
        if dice.has() {
            let value = dice.number(low, high);
            set(&mut load, field, value);
        }
    }
    for (kind, delays) in [("ramp", "ramp_after"), ("flash", "flash_after"), ("shift", "shift_after")] {
        if dice.has() {
            let points = dice.number(1.0, 60.0);
            set(&mut load, &format!("{kind}_percent"), points);
            let after = dice.minutes(0, 1440);
            set(&mut load, delays, after);
        }
    }
    load
}

/// Packages of one to three rollouts, and when the last of them begins.
fn packages(dice: &mut Dice, frame: &Frame) -> (i64, Table) {
    let mut all = Table::new();
    let first = package(dice, frame, "2.0");
    set(&mut all, "package", first);
    let more = if dice.has() { dice.count(1, 2) } else { 0 };
    let mut latest = 0;
    let mut rollouts = Vec::new();
    for version in ["2.1", "1.7"].iter().take(more as usize) {
        let after = dice.count(0, 24 * 60);
        latest = latest.max(after);
        let mut rollout = Table::new();
        set(&mut rollout, "starts_after", span(after));
        let package = package(dice, frame, version);
        set(&mut rollout, "package", package);
        rollouts.push(Value::Table(rollout));
    }
    if !rollouts.is_empty() {
        set(&mut all, "rollouts", rollouts);
    }
    (latest, all)
}

fn package(dice: &mut Dice, frame: &Frame, version: &str) -> Table {
    let mut package = Table::new();
    set(&mut package, "version", version);
    if dice.has() {
        let size = dice.number(0.0, 3e9).round();
        set(&mut package, "size_bytes", size);
    }
    if dice.has() {
        set(&mut package, "priority", dice.count(0, 255));
    }
    if dice.has() {
        let target = dice.pick(&[
            "variant == \"a\"",
            "function != \"database\"",
            "version < 1.9",
            "capacity >= 30",
            "region == \"eu\"",
            "capacity >= 20 && version < 2",
        ]);
        set(&mut package, "target", target);
    }
    if frame.has_stones && version != "1.7" {
        set(&mut package, "compatible", "version >= 1.8");
        let mut stone = Table::new();
        set(&mut stone, "version", "1.8");
        if dice.has() {
            set(&mut stone, "compatible", "version >= 1.4");
            let mut older = Table::new();
            set(&mut older, "version", "1.4");
            set(&mut package, "stones", vec![Value::Table(older), Value::Table(stone)]);
        } else {
            set(&mut package, "stones", vec![Value::Table(stone)]);
        }
    } else if dice.has() {
        set(&mut package, "compatible", dice.pick(&["version >= 1.5", "variant == \"a\"", "true"]));
    }
    package
}

fn updates(dice: &mut Dice) -> Table {
    let mut updates = Table::new();
    if dice.has() {
        let rate = dice.number(1e4, 2e7).round();
        set(&mut updates, "download_bytes_per_s", rate);
    }
    for (step, most) in [("drain", 10), ("install", 40), ("reboot", 15), ("verify", 20), ("rollback", 40)] {
        if dice.has() {
            let duration = dice.duration(0, most);
            set(&mut updates, step, duration);
        }
    }
    if dice.has() {
        let check_in = dice.minutes(0, 600);
        set(&mut updates, "check_in", check_in);
    }
    updates
}

/// Devices ask late, some of them after every rollout has ended.
fn ask_late(dice: &mut Dice, doc: &mut Table) {
    let mut updates = match doc.remove("updates") {
        Some(Value::Table(updates)) => updates,
        _ => Table::new(),
    };
    updates.remove("check_in");
    let scale = dice.minutes(5, 2 * 1440);
    set(&mut updates, "check_in_scale", scale);
    let shape = dice.number(0.3, 3.0);
    set(&mut updates, "check_in_shape", shape);
    set(doc, "updates", updates);
}

fn links(dice: &mut Dice, frame: &Frame) -> Table {
    let mut links = Table::new();
    for region in &frame.regions {
        if dice.happens(70.0) {
            let mut link = Table::new();
            let mbit = dice.number(0.5, 200.0);
            set(&mut link, "link_mbit_per_s", mbit);
            if dice.has() {
                let percent = dice.number(0.0, 49.0);
                set(&mut link, "background_percent", percent);
                let daily = dice.number(0.0, 49.0);
                set(&mut link, "background_daily_percent", daily);
            }
            set(&mut links, region, link);
        }
    }
    links
}
