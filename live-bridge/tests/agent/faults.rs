//! Bad packages, bad scripts, bad networks, bad disks.

use super::device::Device;
use super::packages::Package;
use super::process::Agent;
use slacktide_live_bridge::wire::outcome::Result as Verdict;
use std::fs;
use std::time::{Duration, Instant};

/// An update to a release 2 that does not go well; what the device said, after a look at that nothing has changed.
fn goes_wrong(spoil: impl FnOnce(&mut Package, &Device)) -> String {
    let device = Device::new(&[Package::new("1.0.0")], "");
    let _agent = device.with_release_1();
    let before = device.files("slots/a");
    let mut two = Package::new("2.0.0");
    spoil(&mut two, &device);
    device.publish(&two);
    device.controller.install(2, "2.0.0");
    let outcome = device.controller.outcome(2);
    assert_eq!((outcome.result(), outcome.version.as_str()), (Verdict::Failed, "1.0.0"), "{outcome:?}");
    assert_eq!((device.runs().as_str(), device.files("slots/a")), ("1.0.0", before));
    assert!(!device.path().join("slots/b.json").exists(), "nothing leads to a release that was not good");
    assert!(outcome.reason.len() <= 2048);
    outcome.reason
}

#[test]
fn a_check_that_says_no_stops_it_before_anything_is_touched() {
    let reason = goes_wrong(|package, _| package.precheck = Some("echo no room; exit 3".into()));
    assert_eq!(reason, "precheck: exit status: 3; it said: no room");
}

#[test]
fn a_failed_installation_leaves_the_device_on_its_release() {
    let reason = goes_wrong(|package, _| package.install = "echo broken >&2; kill -9 $$".into());
    assert!(reason.contains("install: signal: 9") && reason.contains("broken"), "{reason}");
}

#[test]
fn an_ill_release_is_taken_back_and_the_device_restarted_on_the_old_one() {
    let device = Device::new(&[Package::new("1.0.0")], "");
    let _agent = device.with_release_1();
    let before = device.files("slots/a");
    let mut two = Package::new("2.0.0");
    two.health = "head -c 100000 /dev/zero | tr '\\0' x; echo; echo cannot serve; exit 1".into();
    device.publish(&two);
    device.controller.install(2, "2.0.0");
    let outcome = device.controller.outcome(2);
    assert_eq!(outcome.result(), Verdict::Failed);
    assert!(outcome.reason.ends_with("cannot serve") && outcome.reason.len() <= 2048, "{outcome:?}");
    assert_eq!(device.files("slots/a"), before);
    assert_eq!(device.log("restart"), ["restart a", "restart b", "restart a"]);
    assert_eq!(
        device.log("health 2"),
        ["health 2 2.0.0 1.0.0", "health 2 2.0.0 1.0.0"],
        "the second is that of release 1"
    );
}

#[test]
fn a_script_that_hangs_and_does_not_listen_is_ended() {
    let begin = Instant::now();
    let reason = goes_wrong(|package, _| {
        package.time_limit_ms = 400;
        package.install = "trap '' TERM; while :; do sleep 0.1; done".into();
    });
    assert!(reason.starts_with("install: took longer than 0.4 s and was ended"), "{reason}");
    assert!(begin.elapsed() < Duration::from_secs(120));
}

#[test]
fn a_command_has_its_own_time_limit() {
    let device = Device::new(&[Package::new("1.0.0")], "");
    let _agent = device.with_release_1();
    device.publish(&Package::new("2.0.0"));
    device.controller.change(|seen| seen.hold_at = Some(2000));
    device.controller.install_of(2, 1, "2.0.0", 700);
    let outcome = device.controller.outcome(2);
    assert_eq!((outcome.result(), outcome.reason.as_str()), (Verdict::Failed, "out of time at downloading"));
}

#[test]
fn a_flipped_bit_and_a_wrong_size_are_refused_before_anything_is_touched() {
    for spoil in [|bytes: &mut Vec<u8>| bytes[500] ^= 1, |bytes: &mut Vec<u8>| bytes.push(0)] {
        let device = Device::new(&[Package::new("1.0.0"), Package::new("2.0.0")], "");
        let _agent = device.with_release_1();
        let before = device.files("slots/a");
        device.controller.change(|seen| spoil(seen.files.get_mut("targets/app-2.0.0.stp").unwrap()));
        device.controller.install(2, "2.0.0");
        let outcome = device.controller.outcome(2);
        assert_eq!(outcome.result(), Verdict::Failed);
        assert!(outcome.reason.starts_with("refused: "), "{outcome:?}");
        assert_eq!((device.files("slots/a"), device.log("precheck 2").len()), (before, 0));
        assert_eq!(device.files("state/downloads").len(), 0, "what was refused is not kept");
    }
}

#[test]
fn a_download_goes_on_where_it_was_when_the_connection_broke_and_when_the_agent_was_killed() {
    let device = Device::new(&[Package::new("1.0.0")], "");
    let mut two = Package::new("2.0.0");
    two.ballast = 200_000;
    device.publish(&two);
    let agent = device.with_release_1();
    device.controller.change(|seen| {
        seen.break_at = Some(50 * 1024);
        seen.hold_at = Some(120 * 1024);
    });
    device.controller.install(2, "2.0.0");
    let partial = device.path().join("state/downloads/targets_app-2.0.0.stp.partial");
    let until = Instant::now() + Duration::from_secs(20);
    while fs::metadata(&partial).map_or(0, |meta| meta.len()) < 120 * 1024 {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(10));
    }
    agent.kill();
    // What is held must not flow into a connection that nobody reads any more.
    while device.controller.change(|seen| seen.left_while_held) == 0 {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(10));
    }
    device.controller.change(|seen| seen.hold_at = None);
    let _agent = device.agent();
    assert_eq!(device.controller.outcome(2).result(), Verdict::Succeeded);
    let (fetched, size) = device.controller.change(|seen| {
        let of_two =
            seen.fetched.iter().filter(|(file, ..)| file == "targets/app-2.0.0.stp").cloned().collect::<Vec<_>>();
        (of_two, seen.files["targets/app-2.0.0.stp"].len() as u64)
    });
    let offsets: Vec<u64> = fetched.iter().map(|(_, offset, _)| *offset).collect();
    assert_eq!(offsets, [0, 50 * 1024, 120 * 1024]);
    assert_eq!(fetched.iter().map(|(.., bytes)| bytes).sum::<u64>(), size, "no byte came twice");
}

#[test]
fn a_long_partition_costs_old_reports_and_nothing_else() {
    let mut device = Device::new(&[Package::new("1.0.0")], "buffer_reports = 2");
    let mut two = Package::new("2.0.0");
    two.install = device.gate("install");
    device.publish(&two);
    let _agent = device.with_release_1();
    device.close_gate("install");
    device.controller.install(2, "2.0.0");
    device.wait_for_log("install 2");
    device.controller.reached(2, "installing");
    device.controller.cut_off();
    device.open_gate("install");
    let (reports, sessions) = device.controller.change(|seen| (seen.reports(), seen.hellos.len()));
    device.wait_for_log("health 2");
    std::thread::sleep(Duration::from_secs(6));
    device.controller.come_back();
    assert_eq!(device.controller.outcome(2).result(), Verdict::Succeeded);
    let (more, states) = device.controller.change(|seen| {
        let states = ["rebooting", "verifying", "committed"].map(|state| seen.reached(2, state));
        (seen.reports() - reports, states)
    });
    assert_eq!(states, [true; 3]);
    assert!(more <= 4, "two kept, perhaps one on its way before and one new: {more}");
    assert!(device.controller.change(|seen| seen.hellos.len()) > sessions);
}

#[test]
fn what_the_controller_did_not_store_is_sent_again() {
    let mut device = Device::new(&[Package::new("1.0.0")], "");
    let _agent = device.with_release_1();
    device.publish(&Package::new("2.0.0"));
    device.controller.change(|seen| seen.deaf = true);
    device.controller.install(2, "2.0.0");
    device.wait_for_log("health 2");
    device.controller.cut_off();
    device.controller.change(|seen| seen.deaf = false);
    device.controller.come_back();
    assert_eq!(device.controller.outcome(2).result(), Verdict::Succeeded);
    let states = [
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
    assert!(device.controller.change(|seen| states.iter().all(|state| seen.reached(2, state))));
}

#[test]
fn a_damaged_state_is_replaced_by_the_copy_before_it_and_two_are_for_a_person() {
    let device = Device::new(&[Package::new("1.0.0"), Package::new("2.0.0")], "");
    let mut agent = device.with_release_1();
    agent.kill();
    fs::write(device.path().join("state/state"), "slacktide-agent-state 1\nrubbish").unwrap();
    agent = device.agent();
    let high = device.controller.change(|seen| *seen.messages.keys().next_back().unwrap());
    device.controller.install(2, "2.0.0");
    assert_eq!(device.controller.outcome(2).result(), Verdict::Succeeded);
    assert!(device.controller.change(|seen| seen.messages.range(high + 1..).count()) > 8, "numbers went on");
    agent.kill();
    fs::write(device.path().join("state/state"), "").unwrap();
    fs::write(device.path().join("state/state.previous"), "").unwrap();
    assert_eq!(device.agent().wait().code(), Some(2));
    let error = fs::read_to_string(device.config().with_extension("error")).unwrap();
    assert!(error.contains("move the folder away"), "{error}");
}

#[test]
fn a_state_that_was_damaged_while_a_script_ran_does_not_run_it_again() {
    let device = Device::new(&[Package::new("1.0.0")], "");
    let mut two = Package::new("2.0.0");
    two.install = device.gate("install");
    device.publish(&two);
    let agent = device.with_release_1();
    device.close_gate("install");
    device.controller.install(2, "2.0.0");
    device.wait_for_log("install 2");
    agent.kill();
    device.open_gate("install");
    fs::write(device.path().join("state/state"), "").unwrap();
    let _agent = device.agent();
    let outcome = device.controller.outcome(2);
    assert_eq!(outcome.result(), Verdict::Failed);
    assert!(outcome.reason.contains("the record was damaged"), "{outcome:?}");
    assert_eq!((device.log("install 2").len(), device.runs().as_str()), (1, "1.0.0"));
}

#[test]
fn two_agents_do_not_work_on_one_device() {
    let device = Device::new(&[Package::new("1.0.0")], "");
    let _agent = device.with_release_1();
    assert_eq!(device.agent().wait().code(), Some(2));
    let error = fs::read_to_string(device.config().with_extension("error")).unwrap();
    assert!(error.contains("another agent works in"), "{error}");
}

#[test]
fn a_call_that_reaches_nobody_says_so() {
    let mut device = Device::new(&[], "");
    device.controller.cut_off();
    assert_eq!(Agent::once(&device.config()).code(), Some(2));
    let error = fs::read_to_string(device.config().with_extension("error")).unwrap();
    assert!(error.contains("the controller was not reached"), "{error}");
}

#[test]
fn what_a_script_left_running_is_gone_after_it_and_after_the_agent_was_killed() {
    let device = Device::new(&[Package::new("1.0.0")], "");
    let mut two = Package::new("2.0.0");
    // A nap of a length of its own, so that it can be found: in the group, out of the group, and twice removed.
    let nap = format!("9{:08}", std::process::id());
    two.install = format!(
        "sleep {nap} & setsid sleep {nap} & (setsid sh -c 'sleep {nap} & exec sleep {nap}' &) ; {}",
        device.gate("install")
    );
    device.publish(&two);
    let agent = device.with_release_1();
    device.controller.install(2, "2.0.0");
    assert_eq!(device.controller.outcome(2).result(), Verdict::Succeeded);
    assert_eq!(naps(&nap), 0);

    device.close_gate("install");
    device.controller.rollback(3, "1.0.0");
    assert_eq!(device.controller.outcome(3).result(), Verdict::Succeeded);
    device.controller.install(4, "2.0.0");
    let until = Instant::now() + Duration::from_secs(20);
    while naps(&nap) < 4 {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(20));
    }
    agent.kill();
    assert_eq!(naps(&nap), 4, "a kill of the agent alone does not reach them");
    let _agent = device.agent();
    assert_eq!(device.controller.outcome(4).result(), Verdict::Failed);
    assert_eq!(naps(&nap), 0);
    assert_eq!(device.runs(), "1.0.0");
}

fn naps(length: &str) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|p| fs::read(p.path().join("cmdline")).ok());
    let wanted = format!("sleep\0{length}\0");
    lines.filter(|line| line == wanted.as_bytes()).count()
}
