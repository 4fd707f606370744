//! Both state machines under any input in any order; what must hold is in [`crate::audit`].

use crate::rig::{Does, Rig, Script, fleet, package, policy};
use proptest::prelude::*;
use slacktide_engine::ids::{AttemptId, CommandId, DeviceIndex, RolloutId};
use slacktide_engine::input::{CommandResult, Input, OperatorAction, TelemetryBatch};
use slacktide_engine::journal::Entry;
use slacktide_engine::rollout::{AttemptState, RolloutState};
use slacktide_engine::time::{Instant, Span};

const DEVICES: usize = 9;

/// One input, or time.
#[derive(Debug, Clone)]
enum Op {
    Create {
        version: u8,
        priority: u8,
    },
    Launch {
        version: u8,
        priority: u8,
    },
    Operator {
        kind: u8,
        rollout: u32,
    },
    /// Of an attempt counted from the newest back; far back there is none.
    Progress {
        back: u64,
        state: AttemptState,
    },
    Outcome {
        back: u64,
        result: CommandResult,
    },
    State {
        device: u32,
        version: u8,
    },
    Remove {
        device: u32,
    },
    Telemetry {
        load: u8,
        mask: u16,
    },
    Malformed,
    Requests {
        device: u32,
    },
    Wake,
    Pass {
        seconds: u64,
    },
}

fn any_result() -> impl Strategy<Value = CommandResult> {
    let reason = || "said so".to_owned();
    prop_oneof![
        4 => Just(CommandResult::Succeeded),
        2 => Just(CommandResult::Failed { reason: reason() }),
        1 => Just(CommandResult::Rejected { reason: reason() }),
        1 => Just(CommandResult::AlreadyCurrent),
        1 => Just(CommandResult::Canceled),
        1 => Just(CommandResult::TimedOut),
    ]
}

fn any_op() -> impl Strategy<Value = Op> {
    let seconds = prop::sample::select(vec![0_u64, 1, 60, 300, 900, 900, 3600, 3600, 10_000, 100_000]);
    let state = prop::sample::select(AttemptState::ALL.to_vec());
    prop_oneof![
        1 => (0_u8..5, 0_u8..3).prop_map(|(version, priority)| Op::Create { version, priority }),
        2 => (1_u8..5, 0_u8..3).prop_map(|(version, priority)| Op::Launch { version, priority }),
        4 => (0_u8..5, 0_u32..5).prop_map(|(kind, rollout)| Op::Operator { kind, rollout }),
        6 => (0_u64..12, state).prop_map(|(back, state)| Op::Progress { back, state }),
        8 => (0_u64..12, any_result()).prop_map(|(back, result)| Op::Outcome { back, result }),
        1 => (0_u32..14).prop_map(|device| Op::Remove { device }),
        4 => (0_u8..101, any::<u16>()).prop_map(|(load, mask)| Op::Telemetry { load, mask }),
        1 => Just(Op::Malformed),
        2 => (0_u32..14).prop_map(|device| Op::Requests { device }),
        2 => (0_u32..14, 1_u8..5).prop_map(|(device, version)| Op::State { device, version }),
        2 => Just(Op::Wake),
        8 => seconds.prop_map(|seconds| Op::Pass { seconds }),
    ]
}

fn apply(rig: &mut Rig, op: Op) {
    let (attempts, commands) = rig.audit.counts();
    match op {
        Op::Create { version, priority } => {
            rig.operator(OperatorAction::Create { package: package(&format!("{version}.0")), priority });
        }
        Op::Launch { version, priority } => {
            rig.start(package(&format!("{version}.0")), priority);
        }
        Op::Operator { kind, rollout } => {
            let rollout = RolloutId(rollout);
            rig.operator(match kind {
                0 => OperatorAction::Approve { rollout },
                1 => OperatorAction::Start { rollout },
                2 => OperatorAction::Pause { rollout },
                3 => OperatorAction::Resume { rollout },
                _ => OperatorAction::Abort { rollout },
            });
        }
        Op::Progress { back, state } => {
            rig.put(Input::Progress { attempt: AttemptId(attempts.saturating_sub(back)), state });
        }
        Op::Outcome { back, result } => {
            rig.put(Input::Outcome { command: CommandId(commands.saturating_sub(back)), result });
        }
        Op::Remove { device } => rig.remove(device as usize),
        Op::Telemetry { load, mask } => {
            let value = |d: usize| if mask >> d & 1 == 1 { f32::from(load) } else { f32::NAN };
            let columns = vec![(0..DEVICES).map(value).collect()];
            rig.put(Input::Telemetry(TelemetryBatch { devices: None, columns }));
        }
        Op::Malformed => {
            rig.put(Input::Telemetry(TelemetryBatch {
                devices: Some(vec![DeviceIndex(99)]),
                columns: vec![vec![5.0]],
            }));
            rig.put(Input::Telemetry(TelemetryBatch { devices: None, columns: vec![vec![5.0]; 3] }));
        }
        Op::State { device, version } => {
            let version = package(&format!("{version}.0")).version;
            rig.put(Input::Statement { device: DeviceIndex(device), version });
        }
        Op::Requests { device } => rig.put(Input::Requests { devices: vec![DeviceIndex(device)] }),
        Op::Wake => rig.put(Input::Wake),
        Op::Pass { seconds } => rig.run_for(Span::from_secs(seconds)),
    }
}

/// What devices do by themselves while the inputs are thrown at the engine.
fn any_script() -> impl Strategy<Value = Script> {
    let does =
        prop::sample::select(vec![Does::Succeed, Does::Fail, Does::Nothing, Does::Nothing, Does::SucceedUnheard]);
    (does, 1_u64..2000, 1_u64..5000, any::<bool>()).prop_map(|(does, staging_s, out_s, heeds_cancel)| Script {
        does,
        staging_s,
        out_s,
        heeds_cancel,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// The audit looks at every word; then devices behave, time goes on, and every rollout that was started comes to its end.
    #[test]
    fn any_input_in_any_order_keeps_both_machines(
        ops in proptest::collection::vec(any_op(), 1..60),
        scripts in proptest::collection::vec(any_script(), DEVICES),
        scope in prop::sample::select(vec!["none", "batch", "all"]),
    ) {
        let text = format!(
            "[plan]\npool_out_max = \"50%\"\n[[waves]]\nshare_percent = 30\n[[waves]]\nshare_percent = 100\n\
             [rollback]\non_failures = \"{scope}\"\non_capacity = \"{scope}\"\nhold_max = \"3h\"\nresumes_max = 2\n\
             [monitor]\nfailure_percent_max = 40\nfailure_count_min = 2\n"
        );
        let mut rig = Rig::new(&policy(&text), fleet(DEVICES, 3));
        rig.play = Box::new(move |d, _, _| scripts[d]);
        for op in ops {
            apply(&mut rig, op);
        }
        rig.play = Box::new(|_, _, _| Script::GOOD);
        let is_begun = |state: RolloutState| state.is_active();
        let within = Span::from_secs(4 * 86_400);
        rig.until(within, "the end of every rollout", |rig| rig.engine.rollouts().all(|(_, state)| !is_begun(state)));
        rig.audit.finish();
    }
}

/// What a device states is believed, once nothing is under way on it; rollouts count it anew.
#[test]
fn a_device_that_states_its_release_is_believed() {
    let mut rig = Rig::new(
        &policy("[[waves]]\nshare_percent = 100\n[monitor]\nfailure_percent_max = 100\n[attempts]\nattempts_max = 1\n"),
        fleet(3, 1),
    );
    rig.play = Box::new(|_, _, _| Script::does(Does::SucceedUnheard));
    let rollout = rig.start(package("2.0"), 0);
    rig.run_for(Span::from_secs(2 * 86_400));
    let failed = rig.engine.state_counts(rollout).failed;
    assert!(failed > 0, "{}", rig.told());
    let state = |rig: &mut Rig, d: u32, version: &str| {
        let version = package(version).version;
        rig.put(Input::Statement { device: DeviceIndex(d), version });
    };
    for d in 0..3 {
        state(&mut rig, d, "2.0");
    }
    assert!(rig.engine.fleet().facts.iter().all(|facts| facts.version == package("2.0").version));
    state(&mut rig, 0, "1.0");
    assert_eq!(rig.engine.fleet().facts[0].version, package("1.0").version);
    let stated = |(_, entry): &&(Instant, Entry)| matches!(entry, Entry::Stated { .. });
    assert_eq!(rig.journal.iter().filter(stated).count(), 4);
}
