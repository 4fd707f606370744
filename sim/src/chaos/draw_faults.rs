//! Draws what goes wrong, and the person in the loop.

use super::dice::{Dice, set, span};
use super::draw::Frame;
use toml::{Table, Value};

/// `[failures]`: each kind in some of the worlds, all of it over by the time of the frame.
pub(super) fn failures(dice: &mut Dice, frame: &Frame) -> Table {
    let mut failures = Table::new();
    set(&mut failures, "until", span(frame.until));
    for (field, most) in [("install_failure_percent", 60.0), ("rollback_failure_percent", 50.0)] {
        if dice.has() {
            let percent = dice.number(0.0, most);
            set(&mut failures, field, percent);
        }
    }
    if dice.has() {
        set(&mut failures, "bad_release", bad_release(dice));
    }
    if dice.has() {
        let mut crash = Table::new();
        let scale = dice.minutes(6 * 60, 20 * 1440);
        set(&mut crash, "up_scale", scale);
        let shape = dice.number(0.4, 2.0);
        set(&mut crash, "up_shape", shape);
        let repair = dice.duration(1, 300);
        set(&mut crash, "repair", repair);
        set(&mut failures, "crash", crash);
    }
    for kind in ["outages", "partitions"] {
        if dice.has() {
            let spells: Vec<Value> = (0..dice.count(1, 2)).map(|_| spell(dice, frame, kind)).collect();
            set(&mut failures, kind, spells);
        }
    }
    if dice.has() {
        let mut telemetry = Table::new();
        for field in ["lost_percent", "late_percent", "duplicated_percent", "reordered_percent"] {
            if dice.happens(60.0) {
                let percent = dice.number(0.0, 25.0);
                set(&mut telemetry, field, percent);
            }
        }
        let late = dice.duration(1, 120);
        set(&mut telemetry, "late_by", late);
        set(&mut failures, "telemetry", telemetry);
    }
    if dice.has() {
        let mut clock = Table::new();
        let percent = dice.number(0.0, 60.0);
        set(&mut clock, "skewed_percent", percent);
        let off = dice.duration(1, 300);
        set(&mut clock, "off_by", off);
        set(&mut failures, "clock", clock);
    }
    if dice.has() {
        set(&mut failures, "agent", agent(dice));
    }
    if dice.has() {
        set(&mut failures, "controller", controller(dice, frame));
    }
    if dice.has() {
        let mut overload = Table::new();
        let from = dice.number(40.0, 99.0);
        set(&mut overload, "from_percent", from);
        let crashes = dice.number(0.0, 10.0);
        set(&mut overload, "crashes_per_hour", crashes);
        let repair = dice.duration(1, 60);
        set(&mut overload, "repair", repair);
        set(&mut failures, "overload", overload);
    }
    failures
}

fn bad_release(dice: &mut Dice) -> Table {
    let mut bad = Table::new();
    match dice.count(0, 3) {
        0 => {
            let points = dice.number(1.0, 60.0);
            set(&mut bad, "regression_cpu_points", points);
            let ramp = dice.minutes(0, 600);
            set(&mut bad, "ramp", ramp);
        }
        1 => {
            let points = dice.number(0.1, 20.0);
            set(&mut bad, "leak_memory_points_per_hour", points);
        }
        2 => {
            let points = dice.number(0.1, 20.0);
            set(&mut bad, "leak_cpu_points_per_hour", points);
        }
        _ => {
            let percent = dice.number(5.0, 100.0);
            set(&mut bad, "crash_loop_percent", percent);
        }
    }
    if dice.has() {
        set(&mut bad, "variants", vec!["a"]);
    }
    if dice.has() {
        set(&mut bad, "version", dice.pick(&["1.8", "2.0", "2.1"]));
    }
    bad
}

fn spell(dice: &mut Dice, frame: &Frame, kind: &str) -> Value {
    let mut spell = Table::new();
    set(&mut spell, "of", dice.pick(&["site", "region"]));
    if dice.happens(50.0) {
        let after = dice.minutes(0, frame.until);
        set(&mut spell, "after", after);
    } else {
        let every = dice.minutes(60, 4 * 1440);
        set(&mut spell, "every", every);
    }
    let lasts = dice.duration(1, 400);
    set(&mut spell, "lasts", lasts);
    if kind == "partitions" && dice.happens(50.0) {
        set(&mut spell, "telemetry", "held");
    }
    Value::Table(spell)
}

fn agent(dice: &mut Dice) -> Table {
    let mut agent = Table::new();
    let percent = dice.number(0.0, 80.0);
    set(&mut agent, "restart_percent", percent);
    let restart = dice.duration(0, 90);
    set(&mut agent, "restart", restart);
    for field in ["resumes", "anew", "gives_up"] {
        let share = dice.number(0.1, 1.0);
        set(&mut agent, field, share);
    }
    agent
}

/// Crashes of the controller, one after the other.
fn controller(dice: &mut Dice, frame: &Frame) -> Vec<Value> {
    let mut at = 0;
    let mut crashes = Vec::new();
    for _ in 0..dice.count(1, 3) {
        at += dice.count(1, (frame.until / 2).max(2));
        let down = dice.count(1, 240);
        let mut crash = Table::new();
        set(&mut crash, "after", span(at));
        set(&mut crash, "down_for", span(down));
        crashes.push(Value::Table(crash));
        at += down;
    }
    crashes
}

/// `[operator]`, and how long it takes to approve, minutes.
pub(super) fn operator(dice: &mut Dice) -> (Table, i64) {
    let mut operator = Table::new();
    let approves = if dice.has() { dice.count(0, 360) } else { 0 };
    set(&mut operator, "approves_after", span(approves));
    if dice.has() {
        let resumes = if dice.happens(30.0) { "never".to_owned() } else { dice.minutes(0, 300) };
        set(&mut operator, "resumes_after", resumes);
    }
    if dice.has() {
        set(&mut operator, "resumes_max", dice.count(0, 5));
    }
    for field in ["pauses_after", "aborts_after"] {
        // Most rollouts should come to an end of their own.
        if dice.has() && dice.happens(50.0) {
            let after = dice.minutes(0, 1440);
            set(&mut operator, field, after);
        }
    }
    (operator, approves)
}
