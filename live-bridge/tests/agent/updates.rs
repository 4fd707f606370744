//! What an update, a refusal, a cancellation and a way back look like when nothing is lost.

use super::device::Device;
use super::packages::Package;
use super::process::Agent;
use slacktide_live_bridge::wire::Cancel;
use slacktide_live_bridge::wire::controller_message::Body as Said;
use slacktide_live_bridge::wire::device_message::Body;
use slacktide_live_bridge::wire::outcome::Result as Verdict;

#[test]
fn an_update_goes_through_every_state_and_back_on_command() {
    let device = Device::new(&[Package::new("1.0.0"), Package::new("2.0.0")], "");
    let _agent = device.with_release_1();
    device.controller.install(2, "2.0.0");
    let outcome = device.controller.outcome(2);
    assert_eq!((outcome.result(), outcome.version.as_str()), (Verdict::Succeeded, "2.0.0"));
    assert_eq!(device.runs(), "2.0.0");
    for kind in ["precheck", "drain", "install", "health"] {
        assert_eq!(device.log(kind), [format!("{kind} 1 1.0.0 0.0.0"), format!("{kind} 2 2.0.0 1.0.0")]);
    }
    let states: Vec<String> = device.controller.change(|seen| {
        let bodies = seen.messages.values().filter_map(|m| m.body.clone());
        bodies
            .filter_map(|b| if let Body::Progress(p) = b { Some(p) } else { None })
            .filter(|p| p.attempt == 2)
            .map(|p| p.state)
            .collect()
    });
    let course = [
        "queued",
        "downloading",
        "downloaded",
        "precheck",
        "draining",
        "installing",
        "rebooting",
        "verifying",
        "committed",
    ];
    assert_eq!(states, course);

    device.controller.rollback(3, "1.0.0");
    assert_eq!(device.controller.outcome(3).result(), Verdict::Succeeded);
    assert_eq!(device.runs(), "1.0.0");
    device.controller.rollback(4, "1.0.0");
    assert_eq!(device.controller.outcome(4).result(), Verdict::AlreadyCurrent);
    device.controller.rollback(5, "0.9.0");
    let outcome = device.controller.outcome(5);
    assert_eq!(outcome.result(), Verdict::Rejected);
    assert!(outcome.reason.contains("release 0.9.0 is not on this device"), "{outcome:?}");
}

#[test]
fn the_first_release_can_be_taken_back_to_the_device_as_it_came() {
    let device = Device::new(&[Package::new("1.0.0")], "");
    let _agent = device.with_release_1();
    device.controller.rollback(2, "0.0.0");
    assert_eq!(device.controller.outcome(2).result(), Verdict::Succeeded);
    assert_eq!(device.runs(), "0.0.0");
}

#[test]
fn a_known_command_is_answered_from_the_record_and_not_run_again() {
    let device = Device::new(&[Package::new("1.0.0")], "");
    let agent = device.with_release_1();
    device.controller.ask_again(1, "1.0.0");
    agent.kill();
    let _agent = device.agent();
    device.controller.wait("a session", |seen| (seen.hellos.len() == 2).then_some(()));
    device.controller.ask_again(1, "1.0.0");
    assert_eq!(device.log("install").len(), 1);
}

#[test]
fn an_older_plan_is_refused_and_an_older_controller_is_not_obeyed() {
    let device = Device::new(&[Package::new("1.0.0"), Package::new("2.0.0")], "");
    let _agent = device.with_release_1();
    device.controller.change(|seen| seen.epoch = 7);
    device.controller.install_of(2, 9, "1.0.0", 1000);
    assert_eq!(device.controller.outcome(2).result(), Verdict::AlreadyCurrent);
    device.controller.install_of(3, 8, "2.0.0", 1000);
    assert_eq!(device.controller.outcome(3).result(), Verdict::Rejected);

    let sessions = device.controller.change(|seen| {
        seen.epoch = 6;
        seen.hellos.len()
    });
    device.controller.install_of(4, 9, "2.0.0", 60_000);
    device.controller.wait("the device to hang up", |seen| (seen.hellos.len() > sessions + 1).then_some(()));
    assert!(device.controller.change(|seen| seen.outcomes(4).is_empty()));
    device.controller.change(|seen| seen.epoch = 7);
    assert_eq!(device.controller.outcome(4).result(), Verdict::Succeeded, "the newer controller says it too");
}

#[test]
fn a_download_can_be_cancelled_and_a_draining_device_cannot() {
    let device = Device::new(&[Package::new("1.0.0")], "");
    let mut two = Package::new("2.0.0");
    two.drain = Some(device.gate("drain"));
    device.publish(&two);
    let _agent = device.with_release_1();
    device.controller.change(|seen| seen.hold_at = Some(4096));
    device.controller.install(2, "2.0.0");
    device.controller.reached(2, "downloading");
    device.controller.send(Said::Cancel(Cancel { command: 2 }));
    assert_eq!(device.controller.outcome(2).result(), Verdict::Canceled);
    assert!(device.log("precheck 2").is_empty());

    device.controller.change(|seen| seen.hold_at = None);
    device.close_gate("drain");
    device.controller.install(3, "2.0.0");
    device.wait_for_log("drain 3");
    device.controller.send(Said::Cancel(Cancel { command: 3 }));
    device.open_gate("drain");
    assert_eq!(device.controller.outcome(3).result(), Verdict::Succeeded);
}

#[test]
fn a_rollback_that_comes_while_the_release_is_checked_takes_it_back() {
    let device = Device::new(&[Package::new("1.0.0")], "");
    let mut two = Package::new("2.0.0");
    two.health = device.gate("health");
    device.publish(&two);
    let _agent = device.with_release_1();
    device.close_gate("health");
    device.controller.install(2, "2.0.0");
    device.wait_for_log("health 2");
    device.controller.rollback(3, "1.0.0");
    // Said again, as a controller does that lost a session: known.
    device.controller.rollback(3, "1.0.0");
    std::thread::sleep(std::time::Duration::from_millis(200));
    device.open_gate("health");
    assert_eq!(device.controller.outcome(3).result(), Verdict::AlreadyCurrent);
    assert_eq!(device.controller.outcome(2).result(), Verdict::Failed);
    assert_eq!(device.runs(), "1.0.0");
}

#[test]
fn a_device_that_calls_now_and_then_does_all_of_it_in_one_call() {
    let device = Device::new(&[Package::new("1.0.0")], "");
    device.controller.install(1, "1.0.0");
    assert!(Agent::once(&device.config()).success());
    assert_eq!(device.controller.outcome(1).result(), Verdict::Succeeded);
    assert_eq!((device.runs().as_str(), device.controller.change(|seen| seen.reports())), ("1.0.0", 1));
    assert!(Agent::once(&device.config()).success());
    let numbers: Vec<u64> = device.controller.change(|seen| seen.messages.keys().copied().collect());
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "orderly ends leave no gap");
}

#[test]
fn an_orderly_stop_between_steps_loses_nothing() {
    let device = Device::new(&[Package::new("1.0.0")], "");
    let mut two = Package::new("2.0.0");
    two.precheck = Some(device.gate("precheck"));
    device.publish(&two);
    let agent = device.with_release_1();
    device.close_gate("precheck");
    device.controller.install(2, "2.0.0");
    device.wait_for_log("precheck 2");
    let opener = {
        let gate = device.path().join("precheck.closed");
        std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(300));
            std::fs::remove_file(gate).unwrap();
        })
    };
    assert!(agent.terminate().success());
    opener.join().unwrap();
    assert!(device.controller.change(|seen| seen.outcomes(2).is_empty()));
    let _agent = device.agent();
    assert_eq!(device.controller.outcome(2).result(), Verdict::Succeeded);
    assert_eq!((device.log("precheck 2").len(), device.log("install 2").len()), (1, 1));
}
