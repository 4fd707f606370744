//! Draws a policy: one of the library, and any of its fields within its valid range.

use super::dice::{Dice, set, span};
use super::draw::Frame;
use slacktide_engine::policy::library;
use toml::{Table, Value};

/// Models that cost next to nothing.
const CHEAP: [&str; 4] = ["naive", "seasonal-naive", "seasonal-mean", "average"];

/// A policy's name, what is changed of it, and the time after which it is done with a rollout whatever happens, minutes.
pub(super) fn policy(dice: &mut Dice, frame: &Frame) -> (String, Table, i64) {
    let names = library::names();
    let name = if dice.happens(50.0) { "predictive".to_owned() } else { dice.pick(&names).to_owned() };
    let mut all = Table::new();
    let slots: Vec<i64> = [5, 10, 15, 30, 60].into_iter().filter(|slot| slot % frame.tick == 0).collect();
    let slot = dice.pick(&slots);
    set(&mut all, "plan", plan(dice, frame, slot));
    set(&mut all, "forecast", forecast(dice, slot));
    let (attempts, waits) = attempts(dice);
    set(&mut all, "attempts", attempts);
    let (rollback, holds) = rollback(dice);
    set(&mut all, "rollback", rollback);
    for (field, draw) in
        [("scores", scores as fn(&mut Dice) -> Table), ("priority", priority), ("rate", rate), ("monitor", monitor)]
    {
        if dice.has() {
            let section = draw(dice);
            set(&mut all, field, section);
        }
    }
    if dice.has() {
        let waves = waves(dice);
        set(&mut all, "waves", waves);
    }
    if dice.has() {
        let windows: Vec<Value> = (0..dice.count(1, 2)).map(|_| window(dice, 240, 1200)).collect();
        set(&mut all, "windows", windows);
    }
    if dice.has() {
        let blackouts: Vec<Value> = (0..dice.count(1, 2)).map(|_| window(dice, 10, 600)).collect();
        set(&mut all, "blackouts", blackouts);
    }
    if dice.has() {
        let regions = regions(dice, frame);
        set(&mut all, "regions", regions);
    }
    // An attempt under way is waited for, then taken back, then waited for again.
    (name, all, waits.0 + holds + 3 * waits.1 + 4 * slot + 120)
}

fn plan(dice: &mut Dice, frame: &Frame, slot: i64) -> Table {
    let mut plan = Table::new();
    set(&mut plan, "slot", span(slot));
    let reach = if slot < 15 { 3 } else { 12 };
    set(&mut plan, "horizon", span(dice.count(1, reach) * 60));
    if dice.has() {
        set(&mut plan, "basis", dice.pick(&["forecast", "current", "ignore"]));
    }
    for (field, low, high) in [
        ("demand_quantile", 0.5, 0.999),
        ("load_limit_percent", 20.0, 100.0),
        ("pool_reserve_percent", 0.0, 30.0),
        ("device_load_max", 10.0, 100.0),
        ("duration_quantile", 0.5, 1.0),
        ("batch_requirement_max", 1.0, 60.0),
        ("batch_capacity_max", 30.0, 2000.0),
    ] {
        if dice.has() {
            let value = dice.number(low, high);
            set(&mut plan, field, value);
        }
    }
    for field in ["pool_out_max", "region_out_max", "batch_devices_max"] {
        if dice.has() {
            let limit = dice.limit(frame.devices / 2 + 1);
            set(&mut plan, field, limit);
        }
    }
    if dice.has() {
        set(&mut plan, "pool_members_min", dice.count(1, 12));
    }
    for (field, low, high) in [("telemetry_age_max", 5, 300), ("patience", 1, 1440), ("duration_expected", 1, 180)] {
        if dice.has() {
            let time = dice.minutes(low, high);
            set(&mut plan, field, time);
        }
    }
    plan
}

fn forecast(dice: &mut Dice, slot: i64) -> Table {
    let mut forecast = Table::new();
    let mut models: Vec<&str> = CHEAP.into_iter().filter(|_| dice.happens(50.0)).collect();
    if models.is_empty() {
        models.push("naive");
    }
    set(&mut forecast, "models", models);
    set(&mut forecast, "every", span(slot * dice.count(1, 12).max(60 / slot).min(24)));
    set(&mut forecast, "history", span(dice.count(1, 3) * 1440));
    if dice.has() {
        set(&mut forecast, "season", span(dice.pick(&[4, 12, 24]) * 60));
    }
    set(&mut forecast, "dear_series_max", 0);
    forecast
}

/// `[attempts]`; when the rollout is ended at the latest, and how long an attempt may be silent.
fn attempts(dice: &mut Dice) -> (Table, (i64, i64)) {
    let mut attempts = Table::new();
    let whole = dice.count(60, 3 * 1440);
    let silent = dice.count(10, 360);
    set(&mut attempts, "timeout", span(silent));
    set(&mut attempts, "rollout_timeout", span(whole));
    if dice.has() {
        set(&mut attempts, "attempts_max", dice.count(1, 6));
    }
    if dice.has() {
        let pause = dice.minutes(0, 180);
        set(&mut attempts, "retry_pause", pause);
    }
    (attempts, (whole, silent))
}

/// `[rollback]`, and how long a device may be held.
fn rollback(dice: &mut Dice) -> (Table, i64) {
    let mut rollback = Table::new();
    for field in ["on_capacity", "on_bad_release", "on_failures"] {
        if dice.has() {
            set(&mut rollback, field, dice.pick(&["none", "batch", "all"]));
        }
    }
    if dice.has() {
        let resumes = if dice.happens(20.0) { "off".to_owned() } else { dice.minutes(1, 240) };
        set(&mut rollback, "resume_after", resumes);
    }
    if dice.has() {
        set(&mut rollback, "resumes_max", dice.count(0, 6));
    }
    let holds = dice.count(1, 720);
    set(&mut rollback, "hold_max", span(holds));
    (rollback, holds)
}

fn scores(dice: &mut Dice) -> Table {
    let mut scores = Table::new();
    let quantile = dice.number(0.5, 0.999);
    set(&mut scores, "load_quantile", quantile);
    let mut weights = Table::new();
    for metric in ["memory", "network", "disk"] {
        let weight = dice.number(0.0, 1.0);
        set(&mut weights, metric, weight);
    }
    set(&mut scores, "metric_weights", weights);
    let default = dice.number(0.0, 100.0);
    set(&mut scores, "criticality_default", default);
    scores
}

fn priority(dice: &mut Dice) -> Table {
    let mut priority = Table::new();
    set(&mut priority, "formula", dice.pick(&["spare-first", "literal"]));
    for field in ["criticality_weight", "capacity_weight"] {
        let weight = dice.number(0.0, 3.0);
        set(&mut priority, field, weight);
    }
    priority
}

fn rate(dice: &mut Dice) -> Table {
    let mut rate = Table::new();
    let base = dice.number(0.01, 3.0);
    set(&mut rate, "base_per_minute", base);
    let factor = dice.number(1.0, 3.0);
    set(&mut rate, "increment_factor", factor);
    let field = dice.pick(&["increase_every_succeeded", "increase_every_notified"]);
    set(&mut rate, field, dice.count(1, 30));
    let most = dice.number(0.1, 10.0);
    set(&mut rate, "max_per_minute", most);
    rate
}

fn monitor(dice: &mut Dice) -> Table {
    let mut monitor = Table::new();
    for (field, low, high) in [
        ("capacity_floor", 0.0, 60.0),
        ("critical_load_percent", 50.0, 200.0),
        ("failure_percent_max", 0.0, 60.0),
        ("false_alarm_rate", 0.001, 0.5),
        ("regression_tolerance_points", 0.0, 20.0),
    ] {
        if dice.has() {
            let value = dice.number(low, high);
            set(&mut monitor, field, value);
        }
    }
    for (field, most) in [("floor_devices_min", 10), ("failure_count_min", 5), ("failure_settled_min", 20)] {
        if dice.has() {
            set(&mut monitor, field, dice.count(1, most));
        }
    }
    for field in ["watch_pools", "nowcast", "failures_abort"] {
        if dice.has() {
            let on = dice.happens(50.0);
            set(&mut monitor, field, on);
        }
    }
    if dice.has() {
        let ahead = dice.minutes(0, 360);
        set(&mut monitor, "lookahead", ahead);
    }
    monitor
}

fn waves(dice: &mut Dice) -> Vec<Value> {
    let count = dice.count(1, 4);
    let (mut share, mut opens) = (0, 0);
    let mut waves = Vec::new();
    for number in 1..=count {
        share = if number == count { 100 } else { share + dice.count(1, 90 / count) };
        let mut wave = Table::new();
        set(&mut wave, "share_percent", share);
        if dice.has() {
            let soak = dice.minutes(0, 240);
            set(&mut wave, "soak", soak);
        }
        if dice.has() {
            opens += dice.count(0, 600);
            set(&mut wave, "opens_after", span(opens));
        }
        if dice.has() {
            let spread = dice.minutes(0, 600);
            set(&mut wave, "spread", spread);
        }
        for field in ["success_percent_min", "failure_percent_max"] {
            if dice.has() {
                let percent = dice.number(1.0, 100.0);
                set(&mut wave, field, percent);
            }
        }
        if dice.has() {
            set(&mut wave, "devices_min", dice.count(0, 5));
        }
        waves.push(Value::Table(wave));
    }
    waves
}

fn window(dice: &mut Dice, least: i64, most: i64) -> Value {
    let mut window = Table::new();
    let (from, long) = (dice.count(0, 95) * 15, dice.count(least, most));
    let clock = |minute: i64| format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
    set(&mut window, "from", clock(from));
    set(&mut window, "to", clock(from + long));
    if dice.has() {
        let week = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        let mut days: Vec<&str> = week.into_iter().filter(|_| dice.happens(70.0)).collect();
        if days.is_empty() {
            days.push("mon");
        }
        set(&mut window, "days", days);
    }
    if dice.has() {
        set(&mut window, "zone", dice.pick(&["local", "local", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]));
    }
    Value::Table(window)
}

fn regions(dice: &mut Dice, frame: &Frame) -> Table {
    let mut regions = Table::new();
    for region in &frame.regions {
        let mut rules = Table::new();
        if dice.happens(60.0) {
            set(
                &mut rules,
                "zone",
                dice.pick(&["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Auckland"]),
            );
        }
        if dice.has() {
            let mbit = dice.number(0.5, 200.0);
            set(&mut rules, "link_mbit_per_s", mbit);
        }
        if dice.has() {
            let limit = dice.limit(frame.devices / 2 + 1);
            set(&mut rules, "out_max", limit);
        }
        set(&mut regions, region, rules);
    }
    regions
}
