//! Rollouts that were signed off, and leave what was signed.

use crate::rig::{Does, Rig, Script, fleet, package, policy};
use slacktide_engine::envelope::{Envelope, Quantity, Range};
use slacktide_engine::ids::RolloutId;
use slacktide_engine::input::{OperatorAction, SignedOff};
use slacktide_engine::journal::Entry;
use slacktide_engine::journal::entry::Verdict;
use slacktide_engine::rollout::{Cause, RolloutState};
use slacktide_engine::time::Span;

const ROLLOUT: RolloutId = RolloutId(0);

/// A rollout that was signed off with one range and has begun.
fn signed(policy_more: &str, quantity: Quantity, (low, high): (f64, f64)) -> Rig {
    let mut rig = Rig::new(&policy(policy_more), fleet(20, 10));
    rig.operator(OperatorAction::Create { package: package("2.0"), priority: 0 });
    rig.operator(sign_off(quantity, (low, high)));
    rig.operator(OperatorAction::Approve { rollout: ROLLOUT });
    rig.operator(OperatorAction::Start { rollout: ROLLOUT });
    rig
}

fn sign_off(quantity: Quantity, (low, high): (f64, f64)) -> OperatorAction {
    let envelope = Envelope { ranges: [(quantity, Range { low, high })].into(), margin_percent: 10.0 };
    let sign_off = Box::new(SignedOff { text: "as signed".to_owned(), envelope });
    OperatorAction::SignOff { rollout: ROLLOUT, sign_off }
}

fn departures(rig: &Rig) -> Vec<(f64, f64, String)> {
    let verdict = |entry: &Entry| match entry {
        Entry::Verdict(verdict) if verdict.cause == Cause::Divergence => {
            assert_eq!(verdict.verdict, Verdict::Bad);
            Some((verdict.value, verdict.threshold, verdict.evidence.clone()))
        }
        _ => None,
    };
    rig.journal.iter().filter_map(|(_, entry)| verdict(entry)).collect()
}

#[test]
fn what_stays_inside_is_left_alone() {
    let mut rig = signed("", Quantity::InstallNinetyNineS, (200.0, 400.0));
    assert_eq!(rig.until_end(ROLLOUT), RolloutState::Finished);
    assert!(departures(&rig).is_empty());
}

#[test]
fn installs_that_take_longer_pause_it_until_a_person_goes_on() {
    let mut rig = signed("[plan]\npool_out_max = 1\n", Quantity::InstallNinetyNineS, (200.0, 280.0));
    rig.play =
        Box::new(|device, _, _| if device % 10 == 4 { Script { out_s: 900, ..Script::GOOD } } else { Script::GOOD });
    rig.until(Span::from_secs(86_400), "a pause", |rig| rig.state(ROLLOUT) == RolloutState::Paused);
    assert_eq!(rig.engine.pause_cause(ROLLOUT), Some(Cause::Divergence));
    let told = departures(&rig);
    assert_eq!(told.len(), 1);
    assert!(told[0].0 >= 900.0 && (told[0].1 - 308.0).abs() < 1e-9, "{told:?}");
    // It does not go on by itself, and what a person has seen does not stop it a second time.
    rig.run_for(Span::from_secs(6 * 3600));
    assert_eq!(rig.state(ROLLOUT), RolloutState::Paused);
    rig.operator(OperatorAction::Resume { rollout: ROLLOUT });
    assert_eq!(rig.until_end(ROLLOUT), RolloutState::Finished);
    assert_eq!(departures(&rig).len(), 1);
}

#[test]
fn failures_pause_it_before_the_policy_would_stop_it() {
    let more = "[monitor]\nfailure_percent_max = 50\nfailure_count_min = 10\n[attempts]\nattempts_max = 1\n";
    let mut rig = signed(more, Quantity::FailureSharePercent, (0.0, 2.0));
    rig.play = Box::new(|device, _, _| Script::does(if device % 2 == 0 { Does::Fail } else { Does::Succeed }));
    rig.until(Span::from_secs(86_400), "a pause", |rig| rig.state(ROLLOUT) == RolloutState::Paused);
    assert_eq!(rig.engine.pause_cause(ROLLOUT), Some(Cause::Divergence));
    let words = &departures(&rig)[0].2;
    assert!(words.contains("failure_share_percent") && words.contains("failed"), "{words}");
}

#[test]
fn more_load_than_was_simulated_pauses_it() {
    let mut rig = signed("", Quantity::FleetLoadMaxPercent, (10.0, 30.0));
    rig.load = Box::new(|_, now| if now >= crate::rig::at(0, 10) { 45.0 } else { 20.0 });
    rig.until(Span::from_secs(7200), "a pause", |rig| rig.state(ROLLOUT) == RolloutState::Paused);
    assert_eq!(rig.engine.pause_cause(ROLLOUT), Some(Cause::Divergence));
}

#[test]
fn a_later_sign_off_counts_and_none_once_it_has_begun() {
    let mut rig = Rig::new(&policy(""), fleet(4, 4));
    rig.operator(sign_off(Quantity::InstallNinetyNineS, (1.0, 1.0)));
    rig.operator(OperatorAction::Create { package: package("2.0"), priority: 0 });
    rig.operator(sign_off(Quantity::InstallNinetyNineS, (1.0, 1.0)));
    rig.operator(OperatorAction::Approve { rollout: ROLLOUT });
    rig.operator(sign_off(Quantity::InstallNinetyNineS, (1.0, 1000.0)));
    rig.operator(OperatorAction::Start { rollout: ROLLOUT });
    rig.operator(sign_off(Quantity::InstallNinetyNineS, (1.0, 1.0)));
    assert_eq!(rig.until_end(ROLLOUT), RolloutState::Finished);
    let ignored = rig.journal.iter().filter(|(_, entry)| matches!(entry, Entry::Ignored { .. })).count();
    assert_eq!(ignored, 2, "before there is a rollout, and while it runs\n{}", rig.told());
}
