//! Power loss in every state: the agent is killed there, and a new one ends what was begun. No script of a package but the health check is
//! run twice for one attempt, and the device is on one release or the other.

use super::device::Device;
use super::packages::Package;
use slacktide_live_bridge::wire::outcome::Result as Verdict;

/// Kills the agent of a device on release 1 in `state` of an update to release 2, and looks at how it ends.
fn killed_in(state: &str, hold: Hold, expected: Option<Verdict>) {
    let device = Device::new(&[], "");
    let mut one = Package::new("1.0.0");
    one.health = device.gate("health-of-1");
    let mut two = Package::new("2.0.0");
    two.precheck = Some(device.gate("precheck"));
    two.drain = Some(device.gate("drain"));
    two.install = device.gate("install");
    two.health = format!("{}\n[ ! -e {}/ill ]", device.gate("health"), device.path().display());
    device.publish(&one);
    device.publish(&two);
    let agent = device.with_release_1();
    let before = device.files("slots/a");

    match hold {
        Hold::Nothing => {}
        Hold::Download => device.controller.change(|seen| seen.hold_at = Some(5000)),
        Hold::Gate(name) => device.close_gate(name),
        Hold::Back => {
            std::fs::write(device.path().join("ill"), "").unwrap();
            device.close_gate("health-of-1");
        }
    }
    device.controller.install(2, "2.0.0");
    device.controller.reached(2, state);
    match hold {
        Hold::Gate("restart") => device.wait_for_log("restart b"),
        Hold::Gate(name) => device.wait_for_log(&format!("{name} 2")),
        Hold::Download => device.controller.wait("some bytes", |seen| {
            seen.fetched.iter().any(|(file, _, bytes)| file.starts_with("targets/app-2") && *bytes > 0).then_some(())
        }),
        Hold::Back => device.wait_for_log("health 2 2.0.0 1.0.0"),
        Hold::Nothing => {}
    }
    agent.kill();
    device.runs();
    match hold {
        Hold::Nothing => {}
        Hold::Download => device.controller.change(|seen| seen.hold_at = None),
        Hold::Gate(name) => device.open_gate(name),
        Hold::Back => device.open_gate("health-of-1"),
    }

    let agent = device.agent();
    let outcome = device.controller.outcome(2);
    if let Some(expected) = expected {
        assert_eq!(outcome.result(), expected, "{outcome:?}");
    }
    let wanted = if outcome.result() == Verdict::Succeeded { "2.0.0" } else { "1.0.0" };
    assert_eq!((device.runs().as_str(), outcome.version.as_str()), (wanted, wanted));
    assert_eq!(device.files("slots/a"), before, "the slot that was in use is as it was");
    for kind in ["precheck 2", "drain 2", "install 2"] {
        assert!(device.log(kind).len() <= 1, "{:?}", device.log(kind));
    }
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
        "rolling_back",
    ];
    let told = device.controller.wait("a session", |seen| seen.hellos.get(1).map(|hello| hello.attempt.clone()));
    assert!(told.is_none_or(|a| a.attempt == 2 && states.contains(&a.state.as_str())));

    // The command again, as after a lost answer; then another update, which must find nothing in its way.
    device.controller.ask_again(2, "2.0.0");
    std::fs::remove_file(device.path().join("ill")).ok();
    device.publish(&Package::new("3.0.0"));
    device.controller.install(3, "3.0.0");
    assert_eq!(device.controller.outcome(3).result(), Verdict::Succeeded, "{:?}", device.controller.outcome(3));
    assert_eq!(device.runs(), "3.0.0");
    assert!(device.log("install 2").len() <= 1);
    assert!(agent.terminate().success());
}

/// What keeps the device in a state.
#[derive(Debug, Clone, Copy)]
enum Hold {
    Nothing,
    Download,
    /// The script of this name, or the restart of the device.
    Gate(&'static str),
    /// Release 2 is ill, and the check of release 1 takes its time.
    Back,
}

macro_rules! killed {
    ($($name:ident: $state:expr, $hold:expr, $expected:expr;)*) => {
        $(#[test] fn $name() { killed_in($state, $hold, $expected); })*
    };
}

killed! {
    queued: "queued", Hold::Nothing, None;
    downloading: "downloading", Hold::Download, Some(Verdict::Succeeded);
    downloaded: "downloaded", Hold::Nothing, None;
    precheck: "precheck", Hold::Gate("precheck"), Some(Verdict::Failed);
    draining: "draining", Hold::Gate("drain"), Some(Verdict::Failed);
    installing: "installing", Hold::Gate("install"), Some(Verdict::Failed);
    rebooting: "rebooting", Hold::Gate("restart"), Some(Verdict::Succeeded);
    verifying: "verifying", Hold::Gate("health"), Some(Verdict::Succeeded);
    committed: "committed", Hold::Nothing, Some(Verdict::Succeeded);
    rolling_back: "rolling_back", Hold::Back, Some(Verdict::Failed);
}

#[test]
fn killed_while_a_rollback_was_carried_out() {
    let device = Device::new(&[Package::new("1.0.0"), Package::new("2.0.0")], "");
    let agent = device.with_release_1();
    device.controller.install(2, "2.0.0");
    assert_eq!(device.controller.outcome(2).result(), Verdict::Succeeded);
    device.close_gate("restart");
    device.controller.rollback(3, "1.0.0");
    device.controller.reached(3, "rolling_back");
    agent.kill();
    device.open_gate("restart");
    let _agent = device.agent();
    assert_eq!(device.controller.outcome(3).result(), Verdict::Succeeded);
    assert_eq!(device.runs(), "1.0.0");
}

#[test]
fn killed_again_and_again_at_any_moment() {
    let device = Device::new(&[Package::new("1.0.0"), Package::new("2.0.0"), Package::new("3.0.0")], "");
    let mut agent = Some(device.with_release_1());
    for (round, command) in (2..14).enumerate() {
        let running = agent.take().unwrap();
        let version = if device.runs() == "2.0.0" { "3.0.0" } else { "2.0.0" };
        device.controller.install(command, version);
        std::thread::sleep(std::time::Duration::from_millis(15 * round as u64));
        running.kill();
        let now = device.runs();
        agent = Some(device.agent());
        let outcome = device.controller.outcome(command);
        let runs = device.runs();
        assert_eq!(outcome.version, runs, "round {round}, {now} when killed: {outcome:?}");
        assert_eq!(outcome.result() == Verdict::Succeeded, runs == version, "round {round}: {outcome:?}");
        for kind in ["precheck", "drain", "install"] {
            assert!(device.log(&format!("{kind} {command} ")).len() <= 1, "round {round}: {kind} twice");
        }
    }
    let numbers = device.controller.change(|seen| seen.messages.len());
    assert!(numbers > 12 * 4, "{numbers}");
}
