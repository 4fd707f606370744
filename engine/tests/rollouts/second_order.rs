//! Failures while failures are being dealt with: each ends in a state that has a name.

use crate::rig::{Does, Rig, Script, Told, fleet, package, policy, version};
use slacktide_engine::ids::RolloutId;
use slacktide_engine::input::OperatorAction;
use slacktide_engine::journal::Entry;
use slacktide_engine::rollout::{AttemptState, Cause, RolloutState, Stone};
use slacktide_engine::time::Span;

const MINUTE: Span = Span::from_secs(60);
const ONCE: &str = "attempts_max = 1";

/// The devices of pool p1.
fn is_bad(d: usize) -> bool {
    (6..12).contains(&d)
}

/// Four pools of six that take the update, but for p1: every device of it fails and stops the rollout, which is then taken back.
fn crash_loop(attempts: &str, rollback: &str) -> Rig {
    stopped_after(3, attempts, rollback)
}

fn stopped_after(failures: u32, attempts: &str, rollback: &str) -> Rig {
    let text = format!(
        "[plan]\npool_out_max = \"70%\"\n[monitor]\nfailure_percent_max = 10\nfailure_count_min = {failures}\n\
         [attempts]\n{attempts}\n[rollback]\nhold_max = \"6h\"\n{rollback}"
    );
    let mut rig = Rig::new(&policy(&text), fleet(24, 6));
    rig.play = Box::new(|d, told, _| match told {
        Told::Install(_) if is_bad(d) => Script { staging_s: 900, ..Script::does(Does::Fail) },
        _ => Script::GOOD,
    });
    rig.run_for(MINUTE.times(20));
    rig
}

/// Until the order to take devices back.
fn until_rolling_back(rig: &mut Rig, rollout: RolloutId) {
    rig.until(Span::from_secs(86_400), "the rollback", |rig| rig.state(rollout) == RolloutState::RollingBack);
}

fn cause_of_end(rig: &Rig) -> Option<Cause> {
    let last = rig.journal.iter().rev().find_map(|(_, entry)| match entry {
        Entry::Rollout { cause, .. } => Some(*cause),
        _ => None,
    });
    last.unwrap()
}

fn ends_of(rig: &Rig, device: usize) -> Vec<AttemptState> {
    let id = &rig.devices[device].facts.id;
    let settled = rig.journal.iter().filter_map(|(_, entry)| match entry {
        Entry::Settled { attempts, .. } => Some(attempts),
        _ => None,
    });
    settled.flatten().filter(|settled| settled.device == *id).map(|settled| settled.end).collect()
}

/// Devices held, by reason, over the whole journal.
fn was_held_for(rig: &Rig, reason: &str) -> bool {
    rig.journal.iter().any(|(_, entry)| match entry {
        Entry::Rollback { held, .. } => held.iter().any(|held| held.reason.name() == reason),
        _ => false,
    })
}

fn runs_new(rig: &Rig) -> Vec<usize> {
    (0..rig.devices.len()).filter(|d| rig.devices[*d].present && rig.devices[*d].runs != version("1.0")).collect()
}

#[test]
fn a_rollback_that_fails_on_a_device_is_named_and_the_rollout_is_incomplete() {
    let mut rig = crash_loop(ONCE, "");
    rig.play = Box::new(|d, told, _| match told {
        Told::Install(_) if is_bad(d) => Script { staging_s: 900, ..Script::does(Does::Fail) },
        Told::Rollback if d == 2 => Script::does(Does::Fail),
        _ => Script::GOOD,
    });
    let rollout = rig.start(package("2.0"), 0);
    assert_eq!(rig.until_end(rollout), RolloutState::Stopped);
    assert_eq!(cause_of_end(&rig), Some(Cause::RollbackIncomplete));
    assert_eq!(ends_of(&rig, 2), [AttemptState::Succeeded, AttemptState::RollbackFailed]);
    assert_eq!(ends_of(&rig, 1), [AttemptState::Succeeded, AttemptState::RolledBack]);
    assert_eq!(runs_new(&rig), [2]);
}

#[test]
fn a_device_that_is_removed_while_it_goes_back_holds_up_nobody() {
    let mut rig = crash_loop(ONCE, "");
    let rollout = rig.start(package("2.0"), 0);
    until_rolling_back(&mut rig, rollout);
    let gone = (0..6).find(|d| rig.devices[*d].out).unwrap();
    rig.remove(gone);
    assert_eq!(rig.until_end(rollout), RolloutState::RolledBack);
    assert_eq!(ends_of(&rig, gone).last(), Some(&AttemptState::Removed));
    assert_eq!(runs_new(&rig), [] as [usize; 0]);
}

#[test]
fn a_device_that_falls_silent_while_it_goes_back_is_given_up_by_name() {
    let mut rig = crash_loop(ONCE, "");
    rig.play = Box::new(|d, told, _| match told {
        Told::Install(_) if is_bad(d) => Script { staging_s: 900, ..Script::does(Does::Fail) },
        Told::Rollback if d == 0 => Script::does(Does::Nothing),
        _ => Script::GOOD,
    });
    let rollout = rig.start(package("2.0"), 0);
    assert_eq!(rig.until_end(rollout), RolloutState::Stopped);
    assert_eq!(cause_of_end(&rig), Some(Cause::RollbackIncomplete));
    assert_eq!(ends_of(&rig, 0), [AttemptState::Succeeded, AttemptState::RollbackFailed]);
}

/// p0 falls silent at minute 26, before the stop, and is heard again from minute `back` on.
fn with_lost_telemetry(back: u64, attempts: &str) -> Rig {
    let mut rig = crash_loop(attempts, "");
    let begin = rig.now;
    rig.load = Box::new(move |d, at| {
        let minute = at.since(begin).as_millis() / 60_000;
        if d < 6 && (26..back).contains(&minute) { f32::NAN } else { 30.0 }
    });
    rig.play = Box::new(|d, told, _| match told {
        Told::Install(_) if is_bad(d) => Script { staging_s: 2400, ..Script::does(Does::Fail) },
        _ => Script::GOOD,
    });
    rig
}

#[test]
fn a_pool_whose_telemetry_is_lost_is_held_until_it_is_back() {
    let mut rig = with_lost_telemetry(180, ONCE);
    let begin = rig.now;
    let rollout = rig.start(package("2.0"), 0);
    until_rolling_back(&mut rig, rollout);
    rig.until(MINUTE.times(60), "the hold", |rig| was_held_for(rig, "stale-telemetry"));
    assert!(rig.now < begin + MINUTE.times(180));
    assert!(runs_new(&rig).len() >= 3, "{:?}", runs_new(&rig));
    assert_eq!(rig.until_end(rollout), RolloutState::RolledBack);
    assert!(rig.now > begin + MINUTE.times(180), "it waited for telemetry");
    assert_eq!(runs_new(&rig), [] as [usize; 0]);
}

#[test]
fn a_pool_that_is_never_heard_again_is_given_up() {
    let mut rig = with_lost_telemetry(100_000, ONCE);
    let rollout = rig.start(package("2.0"), 0);
    until_rolling_back(&mut rig, rollout);
    let ordered = rig.now;
    assert_eq!(rig.until_end(rollout), RolloutState::Stopped);
    assert!(was_held_for(&rig, "stale-telemetry"));
    assert_eq!(cause_of_end(&rig), Some(Cause::RollbackIncomplete));
    assert!(rig.now.since(ordered) >= MINUTE.times(360), "held for as long as the policy says");
    let left = runs_new(&rig);
    assert!(!left.is_empty());
    left.iter().for_each(|d| assert_eq!(ends_of(&rig, *d), [AttemptState::Succeeded, AttemptState::RollbackFailed]));
}

#[test]
fn a_cancellation_that_comes_too_late_is_made_good_by_a_rollback() {
    let mut rig = crash_loop(ONCE, "");
    // The other pools still fetch when the stop falls, and do not heed it.
    rig.play = Box::new(|d, told, _| match told {
        Told::Install(_) if is_bad(d) => Script::does(Does::Fail),
        Told::Install(_) => Script { staging_s: 1200, heeds_cancel: false, ..Script::GOOD },
        Told::Rollback => Script::GOOD,
    });
    let rollout = rig.start(package("2.0"), 0);
    until_rolling_back(&mut rig, rollout);
    assert_eq!(runs_new(&rig), [] as [usize; 0], "nobody is on it when the stop falls");
    assert_eq!(rig.until_end(rollout), RolloutState::RolledBack);
    assert_eq!(runs_new(&rig), [] as [usize; 0]);
    let too_late = (0..24).filter(|d| ends_of(&rig, *d) == [AttemptState::Succeeded, AttemptState::RolledBack]).count();
    assert_eq!(too_late, 12, "{}", rig.told());
}

#[test]
fn a_silent_device_whose_cancellation_was_not_heard_is_taken_back_too() {
    let mut rig = crash_loop(ONCE, "");
    rig.play = Box::new(|d, told, _| match told {
        Told::Install(_) if is_bad(d) => Script::does(Does::Fail),
        Told::Install(_) if d < 2 => {
            Script { staging_s: 1200, heeds_cancel: false, ..Script::does(Does::SucceedUnheard) }
        }
        _ => Script { staging_s: 1200, ..Script::GOOD },
    });
    let rollout = rig.start(package("2.0"), 0);
    assert_eq!(rig.until_end(rollout), RolloutState::RolledBack);
    assert_eq!(runs_new(&rig), [] as [usize; 0], "{}", rig.told());
}

/// Its first try was done and not heard of; the second finds nothing to do. It runs what this rollout brought all the same.
#[test]
fn a_device_found_already_current_after_silence_is_taken_back_too() {
    let mut rig = stopped_after(7, "attempts_max = 3\ntimeout = \"10m\"\nretry_pause = \"1m\"", "");
    rig.play = Box::new(|d, told, nth| match told {
        Told::Install(_) if is_bad(d) => Script::does(Does::Fail),
        Told::Install(_) if d == 0 && nth == 1 => Script::does(Does::SucceedUnheard),
        _ => Script::GOOD,
    });
    let rollout = rig.start(package("2.0"), 0);
    assert_eq!(rig.until_end(rollout), RolloutState::RolledBack);
    let found = [AttemptState::TimedOut, AttemptState::AlreadyCurrent, AttemptState::RolledBack];
    assert_eq!(ends_of(&rig, 0), found, "{}", rig.told());
    assert_eq!(runs_new(&rig), [] as [usize; 0], "{}", rig.told());
}

#[test]
fn nobody_goes_while_the_pool_needs_them_and_all_go_when_load_falls() {
    let mut rig = crash_loop(ONCE, "");
    let begin = rig.now;
    rig.load = Box::new(move |d, at| {
        let minute = at.since(begin).as_millis() / 60_000;
        if d < 6 && (30..240).contains(&minute) { 85.0 } else { 20.0 }
    });
    rig.play = Box::new(|d, told, _| match told {
        Told::Install(_) if is_bad(d) => Script { staging_s: 2400, ..Script::does(Does::Fail) },
        _ => Script::GOOD,
    });
    rig.audit.room.strict = true;
    let rollout = rig.start(package("2.0"), 0);
    until_rolling_back(&mut rig, rollout);
    assert!(was_held_for(&rig, "pool-capacity"), "{}", rig.told());
    rig.run_for(MINUTE.times(60));
    assert!(rig.devices[..6].iter().all(|device| !device.out), "85 % leaves room for nobody");
    assert_eq!(rig.until_end(rollout), RolloutState::RolledBack);
    assert!(rig.now >= begin + MINUTE.times(240));
}

/// The batch on its way back comes back; then the rollout is over and does not go on by itself.
#[test]
fn a_person_who_aborts_during_a_rollback_is_obeyed() {
    let mut rig = crash_loop(ONCE, "on_failures = \"batch\"\nresume_after = \"30m\"\n");
    rig.play = Box::new(|d, told, _| match told {
        Told::Install(_) if d == 6 => Script::does(Does::Fail),
        Told::Install(_) if is_bad(d) => Script { out_s: 400, ..Script::does(Does::Fail) },
        Told::Install(_) => Script { out_s: 3000, ..Script::GOOD },
        Told::Rollback => Script { out_s: 1200, ..Script::GOOD },
    });
    let rollout = rig.start(package("2.0"), 0);
    until_rolling_back(&mut rig, rollout);
    rig.operator(OperatorAction::Abort { rollout });
    assert_eq!(rig.state(rollout), RolloutState::RollingBack, "what is on its way back comes back first");
    assert_eq!(rig.until_end(rollout), RolloutState::Stopped);
    assert_eq!(cause_of_end(&rig), Some(Cause::Operator));
    assert_eq!(runs_new(&rig), [] as [usize; 0]);
}

#[test]
fn a_deadline_that_passes_during_a_pause_ends_the_rollout() {
    let mut rig = crash_loop(ONCE, "");
    let rollout = rig.start(package("2.0"), 0);
    rig.operator(OperatorAction::Pause { rollout });
    let begun = rig.now;
    assert_eq!(rig.until_end(rollout), RolloutState::Stopped);
    assert_eq!(cause_of_end(&rig), Some(Cause::RolloutTimeout));
    assert_eq!(rig.now.since(begun), Span::from_secs(2 * 86_400));
}

/// A deadline, and the end of a pause, that fall into a rollback are no reason to be woken again and again.
#[test]
fn a_deadline_that_passes_during_a_rollback_waits_for_its_end() {
    let mut rig = with_lost_telemetry(100_000, "attempts_max = 1\nrollout_timeout = \"3h\"");
    let rollout = rig.start(package("2.0"), 0);
    until_rolling_back(&mut rig, rollout);
    // The rig panics when the engine wants to be woken at once for ever.
    assert_eq!(rig.until_end(rollout), RolloutState::Stopped);
}

#[test]
fn the_late_success_of_a_rollback_is_believed_and_changes_no_end() {
    let mut rig = crash_loop(ONCE, "");
    rig.play = Box::new(|d, told, _| match told {
        Told::Install(_) if is_bad(d) => Script { staging_s: 900, ..Script::does(Does::Fail) },
        Told::Rollback if d == 0 => Script { out_s: 3 * 3600, ..Script::GOOD },
        _ => Script::GOOD,
    });
    let rollout = rig.start(package("2.0"), 0);
    assert_eq!(rig.until_end(rollout), RolloutState::Stopped);
    assert_eq!(cause_of_end(&rig), Some(Cause::RollbackIncomplete));
    assert_eq!(rig.engine.fleet().facts[0].version, version("2.0"));
    rig.run_for(MINUTE.times(240));
    assert_eq!(rig.engine.fleet().facts[0].version, version("1.0"), "back after all");
    assert_eq!(ends_of(&rig, 0), [AttemptState::Succeeded, AttemptState::RollbackFailed]);
    assert_eq!(rig.state(rollout), RolloutState::Stopped);
}

/// Two hops up, the second of which fails in p1: everybody goes down both, also those that only ever reached the stone.
#[test]
fn devices_are_taken_back_over_their_stepping_stone() {
    let mut rig = crash_loop(ONCE, "");
    rig.play = Box::new(|d, told, _| match told {
        Told::Install(to) if is_bad(d) && to == version("2.0") => Script { staging_s: 900, ..Script::does(Does::Fail) },
        _ => Script::GOOD,
    });
    let filter = |text: &str| slacktide_engine::filter::Filter::parse(text).unwrap();
    let mut package = package("2.0");
    package.compatible = filter("version >= 1.5");
    package.stones = vec![Stone { version: version("1.5"), size_bytes: 1, compatible: filter("true") }];
    let rollout = rig.start(package, 0);
    assert_eq!(rig.until_end(rollout), RolloutState::RolledBack, "{}", rig.told());
    assert_eq!(runs_new(&rig), [] as [usize; 0], "{}", rig.told());
}

/// While a device waits to be taken back from one rollout, no other installs on top of it.
#[test]
fn a_device_that_is_to_go_back_is_left_alone_by_other_rollouts() {
    let mut rig = crash_loop(ONCE, "");
    let begin = rig.now;
    rig.load = Box::new(move |d, at| {
        let minute = at.since(begin).as_millis() / 60_000;
        // It falls with a slot: there is room for an install and for a rollback at the same moment.
        if d < 6 && (30..220).contains(&minute) { 85.0 } else { 20.0 }
    });
    rig.play = Box::new(|d, told, _| match told {
        Told::Install(to) if is_bad(d) && to == version("2.0") => {
            Script { staging_s: 2400, ..Script::does(Does::Fail) }
        }
        _ => Script::GOOD,
    });
    let first = rig.start(package("2.0"), 5);
    until_rolling_back(&mut rig, first);
    let second = rig.start(package("3.0"), 1);
    assert_eq!(rig.until_end(first), RolloutState::RolledBack);
    assert_eq!(rig.until_end(second), RolloutState::Finished);
    assert!(rig.devices.iter().all(|device| device.runs == version("3.0")));
}

/// Silent devices may be down, or serve where their word does not reach the engine: if they serve, a stop must not take them all out.
#[test]
fn silent_devices_go_back_no_more_at_once_than_may_be_out() {
    let text = "[plan]\npool_out_max = 2\n[monitor]\nfailure_percent_max = 5\nfailure_count_min = 2\n[attempts]\nattempts_max = 1\n";
    let mut rig = Rig::new(&policy(text), fleet(24, 6));
    rig.play = Box::new(|d, told, _| match told {
        Told::Install(_) if is_bad(d) => Script { staging_s: 6600, ..Script::does(Does::Fail) },
        _ => Script::GOOD,
    });
    rig.run_for(MINUTE.times(20));
    let begin = rig.now;
    rig.load = Box::new(move |d, at| if d < 3 && at.since(begin) >= MINUTE.times(95) { f32::NAN } else { 30.0 });
    let rollout = rig.start(package("2.0"), 0);
    until_rolling_back(&mut rig, rollout);
    assert!((0..3).all(|d| runs_new(&rig).contains(&d)), "{:?}", runs_new(&rig));
    let first = rig.journal.iter().find_map(|(_, entry)| match entry {
        Entry::Rollback { devices, .. } => Some(devices),
        _ => None,
    });
    let silent = (0..3).filter(|d| first.unwrap().contains(&rig.devices[*d].facts.id)).count();
    assert_eq!(silent, 2, "{}", rig.told());
    assert_eq!(rig.until_end(rollout), RolloutState::RolledBack);
    assert_eq!(runs_new(&rig), [] as [usize; 0]);
}
