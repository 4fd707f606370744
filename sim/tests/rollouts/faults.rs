//! Every kind of fault, in small worlds: it bites, the promises hold, and journals replay.

use crate::lines;
use rayon::prelude::*;
use slacktide_engine::input::Input;
use slacktide_engine::journal::entry::Entry;
use slacktide_engine::journal::{JournalMode, Line, replay::replay};
use slacktide_engine::rollout::{AttemptState, RolloutState};
use slacktide_engine::time::{Instant, Span};
use slacktide_scenarios::{Scenario, library};
use slacktide_sim::{RunResult, Setup, run};
use std::collections::BTreeMap;

/// 48 devices in four pools, two regions and four sites; everybody may go at once, and forecasts cost little.
fn world(faults: &str) -> Setup {
    from_file("world.toml", faults)
}

fn from_file(name: &str, faults: &str) -> Setup {
    let text = format!(
        r#"
devices = 48
history = "2d"
until_max = "4d"
pools = [{{ name = "p", pool_size = 12, regions = ["eu", "us"], load = {{ base_percent = 20, daily_amplitude_percent = 10 }} }}]
{faults}
[policy_overrides]
waves = [{{ share_percent = 100, soak = "0s" }}]
forecast = {{ models = ["average", "seasonal-mean"] }}
"#
    );
    let scenario = Scenario::from_toml(name, &text).unwrap();
    let policy = scenario.policy().unwrap();
    Setup::new(scenario, policy)
}

fn ran(setup: &Setup, seed: u64) -> RunResult {
    let result = run(setup, seed, &|_| {});
    assert_eq!(result.violations, Vec::<String>::new(), "seed {seed}");
    assert!(result.states.iter().all(|state| state.is_end()), "seed {seed}");
    result
}

fn ends(lines: &[Line]) -> Vec<(Instant, String, AttemptState)> {
    let mut ends = Vec::new();
    for line in lines {
        if let Entry::Settled { attempts, .. } = &line.entry {
            ends.extend(attempts.iter().map(|a| (line.at, a.device.to_string(), a.end)));
        }
    }
    ends
}

/// Telemetry of a full journal: moment, and a column a metric with a value a device.
fn telemetry(lines: &[Line]) -> Vec<(Instant, Vec<Vec<f32>>)> {
    let of = |line: &Line| match &line.entry {
        Entry::Input { input } => match &**input {
            Input::Telemetry(batch) if batch.devices.is_none() => Some((line.at, batch.columns.clone())),
            _ => None,
        },
        _ => None,
    };
    lines.iter().filter_map(of).collect()
}

fn begin(setup: &Setup) -> Instant {
    setup.scenario.start + setup.scenario.history
}

const MINUTE: Span = Span::from_secs(60);
const ALL: [&str; 14] = [
    "[failures.crash]\nup_scale = \"2d\"",
    "[[failures.outages]]\nof = \"site\"\nevery = \"12h\"",
    "[[failures.outages]]\nof = \"region\"\nafter = \"40m\"\nonly = [\"us\"]\nlasts = { median = \"3h\", sigma = 0.5 }",
    "[[failures.partitions]]\nof = \"region\"\nevery = \"8h\"\nlasts = { median = \"1h\", sigma = 1 }",
    "[[failures.partitions]]\nof = \"site\"\nafter = \"16m\"\ntelemetry = \"held\"\nlasts = { median = \"5h\", sigma = 0 }",
    "[failures.telemetry]\nlost_percent = 20\nlate_percent = 20\nduplicated_percent = 10\nreordered_percent = 10",
    "[failures.clock]\nskewed_percent = 50\noff_by = { median = \"45m\", sigma = 1 }",
    "[failures.agent]\nrestart_percent = 80\nrestart = { median = \"3m\", sigma = 1 }",
    "[[failures.controller]]\nafter = \"20m\"\ndown_for = \"30m\"\n[[failures.controller]]\nafter = \"70m\"\ndown_for = \"3h\"",
    "[failures.overload]\nfrom_percent = 20\ncrashes_per_hour = 2",
    "[failures.bad_release]\nleak_cpu_points_per_hour = 12\nleak_memory_points_per_hour = 12",
    "[regions.us]\nlink_mbit_per_s = 3\nbackground_daily_percent = 50\n[failures.crash]\nup_scale = \"3d\"",
    "[regions.eu]\nlink_mbit_per_s = 1\n[package]\nsize_bytes = 9e8",
    "[failures]\ninstall_failure_percent = 20\nrollback_failure_percent = 20\nagent = { restart_percent = 30 }\ncrash = { up_scale = \"3d\" }\n[[failures.partitions]]\nevery = \"6h\"\n[[failures.outages]]\nevery = \"1d\"\n[[failures.controller]]\nafter = \"1h\"",
];

#[test]
fn promises_hold_under_every_fault_in_every_seed() {
    let runs: Vec<(usize, u64)> = (0..ALL.len()).flat_map(|fault| (1..=6).map(move |seed| (fault, seed))).collect();
    runs.into_par_iter().for_each(|(fault, seed)| {
        let result = run(&world(ALL[fault]), seed, &|_| {});
        assert_eq!(result.violations, Vec::<String>::new(), "seed {seed} of {}", ALL[fault]);
        assert!(result.state.is_end(), "seed {seed} of {}: {}", ALL[fault], result.state);
    });
}

/// A journal of decisions is made again to the byte, and a full one replays from its inputs.
#[test]
fn worlds_with_every_fault_at_once_replay_exactly() {
    let scenario = library::named("everything-at-once").unwrap();
    let policy = scenario.policy().unwrap();
    let mut setup = Setup::new(scenario, policy);
    setup.scenario.history = Span::from_secs(3 * 86_400);
    let hash = |setup: &Setup, threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| ran(setup, 5).journal_hash)
    };
    assert_eq!(hash(&setup, 1), hash(&setup, 3));
    setup.journal = JournalMode::Full;
    let answer = replay(&lines(&ran(&setup, 5))).unwrap();
    assert_eq!(answer.first_difference, None);
}

/// Eighty minutes are less than the policy's patience with silence: what was done is heard when the line is back.
#[test]
fn what_is_done_behind_a_partition_is_heard_when_it_heals() {
    let setup = world(
        "[failures]\ninstall_failure_percent = 0\n[[failures.partitions]]\nonly = [\"us\"]\nafter = \"18m\"\nlasts = { median = \"80m\", sigma = 0 }",
    );
    let result = ran(&setup, 1);
    assert_eq!((result.state, result.measures["updated_devices"]), (RolloutState::Finished, 48.0));
    let ends = ends(&lines(&result));
    assert!(ends.iter().all(|(_, _, end)| *end == AttemptState::Succeeded));
    let (cut, healed) = (begin(&setup) + MINUTE.times(18), begin(&setup) + MINUTE.times(98));
    // Every other device of a pool stands in the us.
    let is_us = |name: &str| name.rsplit('-').next().unwrap().parse::<usize>().unwrap().is_multiple_of(2);
    assert!(ends.iter().all(|(at, name, _)| !is_us(name) || *at <= cut || *at >= healed));
    assert!(ends.iter().any(|(at, name, _)| is_us(name) && *at == healed));
}

#[test]
fn a_site_that_is_down_is_silent_and_nobody_of_it_is_told_to_go() {
    let mut setup =
        world("[[failures.outages]]\nonly = [\"eu-1\"]\nafter = \"0s\"\nlasts = { median = \"3h\", sigma = 0 }");
    setup.journal = JournalMode::Full;
    let result = ran(&setup, 1);
    let (from, to) = (begin(&setup), begin(&setup) + MINUTE.times(180));
    let lines = lines(&result);
    let down = |columns: &[Vec<f32>]| columns[0].iter().filter(|v| v.is_nan()).count();
    for (at, columns) in telemetry(&lines).iter().filter(|(at, _)| *at < to) {
        assert!(if *at >= from { down(columns) >= 12 } else { down(columns) == 0 }, "{at}: {}", down(columns));
    }
    let is_there = |name: &str| name.rsplit('-').next().unwrap().parse::<usize>().unwrap() % 4 == 1;
    for line in lines.iter().filter(|line| line.at > from + MINUTE.times(20) && line.at < to) {
        if let Entry::Batch { devices, .. } = &line.entry {
            assert!(devices.iter().all(|device| !is_there(device.as_str())), "{devices:?}");
        }
    }
    assert_eq!(result.measures["updated_devices"] + result.measures["failed_devices"], 48.0);
}

#[test]
fn memory_leaks_until_the_device_starts_anew() {
    let mut setup = world(
        "[failures.bad_release]\nleak_memory_points_per_hour = 10\n[failures.crash]\nup_scale = \"4h\"\nup_shape = 8\nrepair = { median = \"6m\", sigma = 0 }",
    );
    setup.journal = JournalMode::Full;
    setup.policy = setup.policy.with_field("monitor.failure_percent_max", "100").unwrap();
    let lines = lines(&ran(&setup, 2));
    let memory: Vec<Vec<f32>> = telemetry(&lines).into_iter().map(|(_, columns)| columns[1].clone()).collect();
    let highest = |ticks: &[Vec<f32>]| ticks.iter().flatten().copied().fold(0.0, f32::max);
    // 45 % of memory and its noise; four hours or so of leaking; never more, for everybody crashes about that often.
    let before = highest(&memory[..500]);
    let after = highest(&memory);
    assert!(before < 65.0 && after > before + 15.0 && after < before + 75.0, "{before} {after}");
}

/// The run is its own witness: nothing is heard while the controller is down, and everything goes on as if made by one that never died.
#[test]
fn a_controller_that_died_twice_goes_on_from_its_journal() {
    let faults = "[failures]\ninstall_failure_percent = 0\n[[failures.controller]]\nafter = \"20m\"\ndown_for = \"25m\"\n[[failures.controller]]\nafter = \"80m\"\ndown_for = \"10m\"";
    for mode in [JournalMode::Decisions, JournalMode::Full] {
        let mut setup = world(faults);
        setup.journal = mode;
        let result = ran(&setup, 3);
        assert_eq!((result.state, result.measures["updated_devices"]), (RolloutState::Finished, 48.0));
        let lines = lines(&result);
        let down = |from: usize, to: usize| {
            let (from, to) = (begin(&setup) + MINUTE.times(from), begin(&setup) + MINUTE.times(to));
            lines.iter().filter(|line| line.at > from && line.at < to).count()
        };
        assert_eq!((down(20, 45), down(80, 90)), (0, 0));
        assert!(down(0, 20) > 0 && down(45, 80) > 0);
        let mut tries: BTreeMap<String, u32> = BTreeMap::new();
        ends(&lines).into_iter().for_each(|(_, device, _)| *tries.entry(device).or_default() += 1);
        assert!(tries.len() == 48 && tries.values().all(|n| *n == 1), "{tries:?}");
        if mode == JournalMode::Full {
            assert_eq!(replay(&lines).unwrap().first_difference, None);
        }
    }
}

/// Packages without a size: a download that goes on where it stopped may be over before its agent would have died.
#[test]
fn agents_that_restart_go_on_begin_anew_or_say_that_they_failed() {
    let with = |shares: &str| {
        let setup = world(&format!(
            "[failures]\ninstall_failure_percent = 0\nagent = {{ restart_percent = 100, restart = {{ median = \"5m\", sigma = 0 }}, {shares} }}\n[package]\nsize_bytes = 0"
        ));
        ran(&Setup { policy: setup.policy.with_field("monitor.failure_percent_max", "100").unwrap(), ..setup }, 1)
    };
    let took = |result: &RunResult| {
        let mut took: Vec<u64> = Vec::new();
        for line in lines(result) {
            if let Entry::Settled { attempts, .. } = line.entry {
                took.extend(attempts.iter().map(|attempt| attempt.took.as_millis() / 1000));
            }
        }
        took.iter().sum::<u64>() / took.len() as u64
    };
    let without = ran(&world("[failures]\ninstall_failure_percent = 0\n[package]\nsize_bytes = 0"), 1);
    let (resumed, anew) = (with("anew = 0, gives_up = 0"), with("resumes = 0, gives_up = 0"));
    assert!(resumed.measures["updated_devices"] == 48.0 && anew.measures["updated_devices"] == 48.0);
    // The same draws in all three: five minutes more where steps go on, and part of a step on top where they begin anew.
    let (plain, more, most) = (took(&without), took(&resumed), took(&anew));
    assert!(more.abs_diff(plain + 300) < 30 && most > more + 60, "{plain} {more} {most}");
    let failed = with("resumes = 0, anew = 0");
    let succeeded: Vec<_> =
        ends(&lines(&failed)).into_iter().filter(|(_, _, end)| *end != AttemptState::Failed).collect();
    assert_eq!(succeeded, Vec::new());
    assert_eq!((failed.measures["updated_devices"], failed.measures["failed_devices"]), (0.0, 48.0));
}

/// A quarter of every pool is down; with overload on, the rest loses work and falls over too.
#[test]
fn overload_makes_one_outage_into_more() {
    let load = "[[failures.outages]]\nonly = [\"eu-1\"]\nafter = \"0s\"\nlasts = { median = \"20h\", sigma = 0 }\n";
    let lost = |more: &str| {
        let mut setup = world(&format!("{load}{more}"));
        setup.scenario.pools[0].load.base_percent = 66.0;
        setup.scenario.until_max = Span::from_secs(20 * 3600);
        setup.policy = setup.policy.with_field("attempts.rollout_timeout", "10h").unwrap();
        run(&setup, 1, &|_| {}).measures["unserved_demand_percent"]
    };
    let (plain, overloaded) = (lost(""), lost("[failures.overload]\nfrom_percent = 80\ncrashes_per_hour = 4\n"));
    assert!(overloaded > plain + 2.0, "{plain} {overloaded}");
}

#[test]
fn recorded_down_times_are_followed_to_the_tick() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("down.csv"),
        "device_id,from,to\np-00002,2024-03-04T06:00:00Z,2024-03-04T09:00:00Z\np-00002,2024-03-04T08:00:00Z,2024-03-04T10:00:00Z\np-00005,1709596800,1709600400\n",
    )
    .unwrap();
    let file = folder.path().join("world.toml").display().to_string();
    let mut setup = from_file(&file, "[failures.crash]\nrecorded = \"down.csv\"");
    setup.check_names().unwrap();
    setup.journal = JournalMode::Full;
    for (at, columns) in telemetry(&lines(&ran(&setup, 1))).iter().filter(|(at, _)| *at < begin(&setup)) {
        let hour = at.since(setup.scenario.start).as_secs_f64() / 3600.0;
        let down: Vec<usize> = (0..48).filter(|d| columns[0][*d].is_nan()).collect();
        let expected = if (6.0..10.0).contains(&hour) {
            vec![1]
        } else if (24.0..25.0).contains(&hour) {
            vec![4]
        } else {
            vec![]
        };
        assert_eq!(down, expected, "{at}");
    }
    setup.scenario.devices = 4;
    let said = setup.check_names().unwrap_err().to_string();
    assert!(
        said.ends_with("down.csv:4: column `device_id`: there is no device `p-00005`; did you mean `p-00001`?"),
        "{said}"
    );
    let missing =
        Scenario::from_toml(&file, "[[pools]]\n[failures.crash]\nrecorded = \"dawn.csv\"\n").unwrap_err().to_string();
    assert!(
        missing.contains("world.toml:3: field `failures.crash.recorded`") && missing.contains("cannot be read"),
        "{missing}"
    );
}

/// One batch of one pool over one line: the first is drained when all have downloaded, for all get the same rate.
#[test]
fn a_batch_downloads_at_the_rate_its_line_allows() {
    // 40 Mbit/s for 200 MB each.
    let setup = world(
        "[failures]\ninstall_failure_percent = 0\n[regions.eu]\nlink_mbit_per_s = 40\n[package]\nsize_bytes = 2e8\ntarget = 'region == \"eu\"'",
    );
    let result = ran(&setup, 1);
    assert_eq!((result.measures["updated_devices"], result.measures["bytes_moved"]), (24.0, 24.0 * 2e8));
    let free = ran(
        &world("[failures]\ninstall_failure_percent = 0\n[package]\nsize_bytes = 2e8\ntarget = 'region == \"eu\"'"),
        1,
    );
    let took = |result: &RunResult| {
        let lines = lines(result);
        let (first, devices) = lines
            .iter()
            .find_map(|line| {
                if let Entry::Batch { devices, .. } = &line.entry { Some((line.at, devices.len())) } else { None }
            })
            .unwrap();
        (ends(&lines)[0].0.since(first).as_secs_f64(), devices as f64)
    };
    let ((slow, devices), (fast, others)) = (took(&result), took(&free));
    assert_eq!(devices, others);
    // Alone a device takes 100 s; on the line, all of them end after `devices` × 40 s.
    assert!((slow - fast - (devices * 40.0 - 100.0)).abs() < 2.0, "{slow} {fast} {devices}");
}

/// Nothing is wrong with the release, and a great deal with what is heard of it.
#[test]
fn bad_telemetry_raises_no_false_alarm() {
    let faults = "[failures]\ninstall_failure_percent = 0\n[failures.telemetry]\nlost_percent = 5\nlate_percent = 10\nduplicated_percent = 5\nreordered_percent = 5\n[failures.clock]\nskewed_percent = 20\noff_by = { median = \"20m\", sigma = 1 }";
    (1..=16_u64).into_par_iter().for_each(|seed| {
        let result = ran(&world(faults), seed);
        assert_eq!((result.measures["false_stops"], result.state), (0.0, RolloutState::Finished), "seed {seed}");
    });
}
