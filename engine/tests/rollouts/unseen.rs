//! What telemetry does not show: how much more a pool at its limit is asked for, and whether a device that was given up serves.

use crate::rig::{Does, Rig, Script, Told, fleet, package, policy};
use slacktide_engine::input::{CommandResult, Input};
use slacktide_engine::output::{Command, CommandKind};
use slacktide_engine::rollout::RolloutState;
use slacktide_engine::time::{Instant, Span};

const MINUTE: Span = Span::from_secs(60);
const STOPS: &str = "[monitor]\nfailure_percent_max = 10\nfailure_count_min = 1\n\
                     [plan]\npool_out_max = 2\n[attempts]\nattempts_max = 1\n[rollback]\nhold_max = \"6h\"\n";

fn until_rolling_back(rig: &mut Rig) {
    let is_back = |rig: &Rig| rig.engine.rollouts().any(|(_, state)| state == RolloutState::RollingBack);
    rig.until(Span::from_secs(86_400), "the rollback", is_back);
}

/// Rollbacks ordered of the first pool: when, and of whom.
fn sent_back(rig: &Rig) -> Vec<(Instant, usize)> {
    let is_one = |(at, command): &(Instant, Command)| {
        let d = command.device.index();
        (d < 6 && matches!(command.kind, CommandKind::Rollback { .. })).then_some((*at, d))
    };
    rig.commands.iter().filter_map(is_one).collect()
}

/// Two of six are away when demand rises to eight tenths of the pool: the four that are left report 100 %, four weights, though nearly
/// five are asked for. When the two are back the pool seems to have room for a third, and has not.
#[test]
fn a_pool_at_its_limit_is_taken_to_be_asked_for_all_it_has() {
    let mut rig = Rig::new(&policy(STOPS), fleet(12, 6));
    rig.play = Box::new(|d, told, _| match told {
        Told::Install(_) if d >= 6 => Script { staging_s: 2400, ..Script::does(Does::Fail) },
        Told::Install(_) => Script::GOOD,
        Told::Rollback => Script { out_s: 330, ..Script::GOOD },
    });
    rig.run_for(MINUTE.times(20));
    let rollout = rig.start(package("2.0"), 0);
    until_rolling_back(&mut rig);
    let first = rig.now;
    assert_eq!(sent_back(&rig).len(), 2, "{}", rig.told());
    rig.load = Box::new(|_, _| 80.0);
    rig.run_for(MINUTE.times(20));
    assert!(rig.devices[..6].iter().all(|device| !device.out), "{}: both are back", first);
    assert_eq!(sent_back(&rig).len(), 2, "{}", rig.told());
    rig.load = Box::new(|_, _| 20.0);
    assert_eq!(rig.until_end(rollout), RolloutState::RolledBack);
    assert_eq!(sent_back(&rig).len(), 6);
}

/// The silence of the last device stops the rollout at the moment at which it is given up. Whether it serves is not known before telemetry.
#[test]
fn who_was_given_up_just_now_is_not_sent_back_before_the_next_tick() {
    let more = format!("{STOPS}timeout = \"32m\"\n").replace("[rollback]\nhold_max = \"6h\"\n", "");
    let mut rig = Rig::new(&policy(&more), fleet(12, 6));
    rig.play = Box::new(|d, told, _| match told {
        Told::Install(_) if d == 0 => Script { out_s: 1500, ..Script::does(Does::Nothing) },
        _ => Script::GOOD,
    });
    rig.run_for(MINUTE.times(20));
    let rollout = rig.start(package("2.0"), 0);
    until_rolling_back(&mut rig);
    let stopped = rig.now;
    assert!(!rig.devices[0].out, "it serves, and nobody knows");
    rig.until(MINUTE.times(60), "its way back", |rig| sent_back(rig).iter().any(|(_, d)| *d == 0));
    assert!(rig.now > stopped, "{}", rig.told());
    assert_eq!(rig.until_end(rollout), RolloutState::RolledBack);
}

/// A device that was given up while it was out refuses another order, for it is still at the first: it is not back in service.
#[test]
fn a_refusal_is_no_sign_of_service() {
    let more = "[attempts]\ntimeout = \"12m\"\nretry_pause = \"1m\"\nattempts_max = 5\n[monitor]\nfailure_count_min = 50\n[plan]\nbasis = \"ignore\"\ntelemetry_age_max = \"off\"\npool_out_max = 2\n";
    let mut rig = Rig::new(&policy(more), fleet(6, 6));
    rig.play = Box::new(|d, told, _| match told {
        Told::Install(_) if d == 0 => Script { staging_s: 30, out_s: 86_400, ..Script::does(Does::Nothing) },
        _ => Script::GOOD,
    });
    rig.run_for(MINUTE.times(20));
    rig.start(package("2.0"), 0);
    let installs = |rig: &Rig| {
        let of = |(_, command): &(Instant, Command)| match command.kind {
            CommandKind::Install { command: id, .. } => (command.device.index() == 0).then_some(id),
            _ => None,
        };
        rig.commands.iter().filter_map(of).collect::<Vec<_>>()
    };
    rig.until(Span::from_secs(86_400), "another order", |rig| installs(rig).len() == 2);
    let command = installs(&rig)[1];
    assert!(!rig.engine.fleet().is_serving(0, rig.now));
    rig.put(Input::Outcome {
        command,
        result: CommandResult::Rejected { reason: "2.0 is being installed".to_owned() },
    });
    assert!(!rig.engine.fleet().is_serving(0, rig.now), "{}", rig.told());
}
