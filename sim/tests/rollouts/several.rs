//! Several rollouts at once, and releases reached by stepping stones.

use crate::lines;
use rayon::prelude::*;
use slacktide_engine::ids::RolloutId;
use slacktide_engine::journal::entry::Entry;
use slacktide_engine::rollout::{AttemptState, Cause, RolloutState};
use slacktide_scenarios::Scenario;
use slacktide_sim::{RunResult, Setup, run};

fn world(text: &str) -> Setup {
    let scenario = Scenario::from_toml("test", text).unwrap();
    let policy = scenario.policy().unwrap();
    Setup::new(scenario, policy)
}

fn simulate(text: &str, seed: u64) -> RunResult {
    let result = run(&world(text), seed, &|_| {});
    assert_eq!(result.violations, Vec::<String>::new(), "seed {seed} of {text}");
    result
}

/// A small generator of worlds, so that a seed says all there is to say.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }
}

/// Two rollouts with any priorities, beginnings and targets, on devices that may be for one, the other, or both.
fn two_rollouts(seed: u64) -> String {
    let mut draw = Draw(seed);
    let variants = ["true", "variant == \"a\"", "variant == \"b\"", "version < 1.5"];
    let targets = [variants[draw.below(4) as usize], variants[draw.below(4) as usize]];
    format!(
        "devices = {devices}\nhistory = \"1d\"\n\
         [[pools]]\npool_size = {size}\nregions = [\"eu\", \"us\"]\nvariants = {{ a = 1, b = 1 }}\nversions = {{ \"1.0\" = 1, \"1.6\" = 1 }}\n\
         load = {{ base_percent = {base}, daily_amplitude_percent = {swing}, daily_peak_hour = {peak} }}\n\
         [package]\nversion = \"2.0\"\ntarget = '{first}'\npriority = {p}\n\
         [[rollouts]]\nstarts_after = \"{after}m\"\n\
         package = {{ version = \"3.0\", target = '{second}', priority = {q} }}\n\
         [failures]\ninstall_failure_percent = {fails}\n\
         [policy_overrides.forecast]\nmodels = [\"seasonal-mean\"]\n\
         [policy_overrides.plan]\npool_out_max = \"{out}%\"\n\
         [policy_overrides.monitor]\nfailure_percent_max = 100\n",
        devices = 20 + draw.below(40),
        size = 5 + draw.below(15),
        base = 15 + draw.below(25),
        swing = draw.below(35),
        peak = draw.below(24),
        first = targets[0],
        p = draw.below(10),
        after = draw.below(600),
        second = targets[1],
        q = draw.below(10),
        fails = draw.below(4),
        out = 10 + draw.below(30),
    )
}

/// Nobody starves: whatever the priorities, every device of both rollouts comes to its end.
#[test]
fn every_device_of_two_rollouts_comes_to_an_end() {
    let ends = |seed: u64| {
        let result = simulate(&two_rollouts(seed), seed);
        for state in &result.states {
            assert_eq!(*state, RolloutState::Finished, "seed {seed}: {:?}", result.states);
        }
    };
    (0..200_u64).into_par_iter().for_each(ends);
}

/// The first rollout could keep the fleet busy for days; the second, of lower priority, gets its turn all the same.
#[test]
fn a_rollout_of_low_priority_is_served_while_a_high_one_still_has_work() {
    let text = "devices = 120\nhistory = \"1d\"\n\
         [[pools]]\npool_size = 60\nvariants = { a = 3, b = 1 }\nload = { base_percent = 30, daily_amplitude_percent = 5 }\n\
         [package]\nversion = \"2.0\"\ntarget = 'variant == \"a\"'\npriority = 9\n\
         [[rollouts]]\npackage = { version = \"3.0\", target = 'variant == \"b\"', priority = 0 }\n\
         [policy_overrides.forecast]\nmodels = [\"seasonal-mean\"]\n\
         [policy_overrides.plan]\npool_out_max = 1\npatience = \"2h\"\n\
         [[policy_overrides.waves]]\nshare_percent = 100\nsoak = \"0s\"\n";
    let result = simulate(text, 1);
    assert_eq!(result.states, [RolloutState::Finished; 2]);
    let lines = lines(&result);
    let of = |rollout: u32| {
        let is_its = move |line: &&slacktide_engine::journal::Line| matches!(line.entry, Entry::Batch { rollout: r, .. } if r == RolloutId(rollout));
        (lines.iter().find(is_its).unwrap().at, lines.iter().rfind(is_its).unwrap().at)
    };
    let ((_, high_last), (low_first, _)) = (of(0), of(1));
    assert!(low_first < high_last, "the low one began at {low_first}, when the high one was done at {high_last}");
}

/// The library's world: everybody gets there, the oldest through the stone, and the fix is done first.
#[test]
fn the_two_rollouts_of_the_library_share_the_fleet_and_both_end() {
    let mut setup = crate::setup("two-rollouts", "predictive");
    setup.policy = setup.policy.with_field("forecast.models", "[\"seasonal-mean\"]").unwrap();
    let result = run(&setup, 1, &|_| {});
    assert_eq!((result.violations.clone(), result.states.clone()), (Vec::new(), vec![RolloutState::Finished; 2]));
    let mut through = 0;
    let mut ended = Vec::new();
    let mut hops = std::collections::BTreeMap::<String, u32>::new();
    for line in lines(&result) {
        match line.entry {
            Entry::Settled { attempts, .. } => {
                for settled in attempts.iter().filter(|s| s.end == AttemptState::Succeeded) {
                    through += u32::from(settled.to.is_some_and(|to| to.to_string() == "1.5"));
                    *hops.entry(settled.device.to_string()).or_default() += 1;
                }
            }
            Entry::Rollout { rollout, to: RolloutState::Finished, .. } => ended.push(rollout),
            _ => {}
        }
    }
    let both = hops.values().filter(|n| **n >= 2).count();
    assert_eq!(ended, [RolloutId(0), RolloutId(1)]);
    assert!(through > 20 && both > 60, "{through} through the stone, {both} installed twice or more");
}

/// A policy whose windows never open says so instead of waiting for ever.
#[test]
fn a_calendar_that_never_opens_pauses_the_rollout() {
    let text = "devices = 10\nhistory = \"1d\"\n[[pools]]\n\
         [policy_overrides.forecast]\nmodels = [\"seasonal-mean\"]\n\
         [[policy_overrides.windows]]\nfrom = \"01:00\"\nto = \"02:00\"\n\
         [[policy_overrides.blackouts]]\nfrom = \"00:00\"\nto = \"24:00\"\n";
    let result = simulate(text, 1);
    assert_eq!(result.state, RolloutState::Stopped);
    let closed = |line: &slacktide_engine::journal::Line| {
        matches!(line.entry, Entry::Rollout { to: RolloutState::Paused, cause: Some(Cause::WindowClosed), .. })
    };
    assert!(lines(&result).iter().any(closed));
}

/// A device two releases behind is brought to the stone first, and to the release after; the rest go straight.
#[test]
fn devices_too_far_behind_pass_through_a_stepping_stone() {
    let text = "devices = 40\nhistory = \"1d\"\n\
         [[pools]]\npool_size = 20\nversions = { \"1.0\" = 1, \"2.1\" = 1 }\n\
         load = { base_percent = 20, daily_amplitude_percent = 10 }\n\
         [package]\nversion = \"3.0\"\ncompatible = \"version >= 2.0\"\n\
         stones = [{ version = \"2.0\", size_bytes = 1e6 }]\n\
         [failures]\ninstall_failure_percent = 0\n\
         [policy_overrides.forecast]\nmodels = [\"seasonal-mean\"]\n";
    let result = simulate(text, 3);
    assert_eq!((result.state, result.measures["updated_devices"]), (RolloutState::Finished, 40.0));
    let mut hops = std::collections::BTreeMap::<String, Vec<String>>::new();
    for line in lines(&result) {
        if let Entry::Settled { attempts, .. } = line.entry {
            for settled in attempts {
                assert_eq!(settled.end, AttemptState::Succeeded);
                hops.entry(settled.device.to_string()).or_default().push(settled.to.unwrap().to_string());
            }
        }
    }
    let through = hops.values().filter(|way| **way == ["2.0", "3.0"]).count();
    let straight = hops.values().filter(|way| **way == ["3.0"]).count();
    assert_eq!(through + straight, 40, "{hops:?}");
    assert!(through > 5 && straight > 5, "{through} through the stone, {straight} straight");
}

/// Of two rollouts in the same pools one is bad: it is stopped, the other finishes, and the verdict blames the right one; where the few
/// devices seen by then do not say, it does not claim to know.
#[test]
fn a_bad_release_of_one_rollout_is_blamed_and_leaves_the_other_alone() {
    let text = "devices = 400\n\
         [[pools]]\npool_size = 40\nvariants = { a = 1, b = 1 }\nload = { base_percent = 20, daily_amplitude_percent = 15 }\n\
         [package]\nversion = \"2.0\"\ntarget = 'variant == \"a\"'\n\
         [[rollouts]]\npackage = { version = \"3.0\", target = 'variant == \"b\"' }\n\
         [failures]\nrollback_failure_percent = 0\n\
         [failures.bad_release]\nregression_cpu_points = 10\nversion = \"3.0\"\n\
         [policy_overrides.forecast]\nmodels = [\"seasonal-mean\"]\n";
    let right = |seed: &u64| {
        let result = simulate(text, *seed);
        assert_eq!(result.states, [RolloutState::Finished, RolloutState::RolledBack], "seed {seed}");
        let lines = lines(&result);
        let release = lines.iter().find_map(|line| match &line.entry {
            Entry::Verdict(verdict) => verdict.release.as_ref(),
            _ => None,
        });
        let blame = &release.unwrap().blame;
        let likely = blame.iter().max_by(|a, b| a.posterior.total_cmp(&b.posterior)).unwrap();
        let is_right = likely.rollouts == [RolloutId(1)];
        assert!(is_right || likely.posterior < 0.9, "seed {seed}: {blame:?}");
        is_right
    };
    let seeds: Vec<u64> = (1..=10).collect();
    let rightly = seeds.par_iter().filter(|seed| right(seed)).count();
    assert!(rightly >= 8, "the right rollout was blamed in {rightly} of 10 worlds");
}
