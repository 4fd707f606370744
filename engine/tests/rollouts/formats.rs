//! What is read from outside: inputs, journal lines, whole journals, damaged ones too.

use crate::rig::{Does, Rig, Script, at, fleet, package, policy, version};
use proptest::prelude::*;
use slacktide_engine::filter::Filter;
use slacktide_engine::forecasting::Forecasts;
use slacktide_engine::ids::{AttemptId, CommandId, DeviceIndex, RolloutId};
use slacktide_engine::input::{CommandResult, DeviceFacts, Input, OperatorAction, SignedOff, TelemetryBatch};
use slacktide_engine::journal::entry::{Header, JOURNAL_VERSION};
use slacktide_engine::journal::replay::replay;
use slacktide_engine::journal::{ChainReader, ChainWriter, Entry, JournalMode, Line, verify};
use slacktide_engine::rollout::{AttemptState, Package, Stone};
use slacktide_engine::time::{Instant, Span};
use std::sync::OnceLock;

fn any_facts() -> impl Strategy<Value = DeviceFacts> {
    (".{0,12}", "[a-z]{1,4}", 0.1_f64..9.0, 0.0_f64..99.0, proptest::option::of(0.0_f64..100.0), 0_u32..9).prop_map(
        |(id, pool, weight, requirement, criticality, minor)| DeviceFacts {
            id: id.as_str().into(),
            pool: pool.as_str().into(),
            criticality,
            version: version(&format!("1.{minor}")),
            weight,
            requirement,
            ..fleet(1, 1).remove(0)
        },
    )
}

fn any_package() -> impl Strategy<Value = Package> {
    let filter =
        prop::sample::select(vec!["true", "version < 2.0", "capacity > 30 && pool == \"a\"", "!(variant == \"b\")"]);
    (any::<u64>(), 0_u32..9, filter.clone(), filter, 0_usize..3).prop_map(
        |(size_bytes, minor, target, compatible, stones)| {
            let parse = |text: &str| Filter::parse(text).unwrap();
            let stone =
                |n: usize| Stone { version: version(&format!("1.{n}")), size_bytes, compatible: parse(compatible) };
            Package {
                size_bytes,
                target: parse(target),
                compatible: parse(compatible),
                stones: (0..stones).map(stone).collect(),
                ..package(&format!("2.{minor}"))
            }
        },
    )
}

fn any_telemetry() -> impl Strategy<Value = TelemetryBatch> {
    let value = prop_oneof![(0_u32..1000).prop_map(|tenths| tenths as f32 / 10.0), Just(f32::NAN)];
    let devices = proptest::option::of(proptest::collection::vec((0_u32..20).prop_map(DeviceIndex), 0..6));
    let columns = proptest::collection::vec(proptest::collection::vec(value, 0..6), 0..3);
    (devices, columns).prop_map(|(devices, columns)| TelemetryBatch { devices, columns })
}

fn any_action() -> impl Strategy<Value = OperatorAction> {
    let rollout = || (0_u32..9).prop_map(RolloutId);
    prop_oneof![
        (any_package(), any::<u8>()).prop_map(|(package, priority)| OperatorAction::Create { package, priority }),
        (rollout(), 0.0_f64..99.0).prop_map(|(rollout, high)| {
            let range = slacktide_engine::envelope::Range { low: 0.0, high };
            let ranges = slacktide_engine::envelope::Quantity::ALL.map(|quantity| (quantity, range)).into();
            let envelope = slacktide_engine::envelope::Envelope { ranges, margin_percent: 10.0 };
            let sign_off = SignedOff { text: "schema = \"…\"\n".to_owned(), envelope };
            OperatorAction::SignOff { rollout, sign_off: Box::new(sign_off) }
        }),
        rollout().prop_map(|rollout| OperatorAction::Approve { rollout }),
        rollout().prop_map(|rollout| OperatorAction::Start { rollout }),
        rollout().prop_map(|rollout| OperatorAction::Pause { rollout }),
        rollout().prop_map(|rollout| OperatorAction::Resume { rollout }),
        rollout().prop_map(|rollout| OperatorAction::Abort { rollout }),
    ]
}

fn any_input() -> impl Strategy<Value = Input> {
    let devices = || proptest::collection::vec((0_u32..20).prop_map(DeviceIndex), 0..6);
    let result = prop_oneof![
        Just(CommandResult::Succeeded),
        ".{0,20}".prop_map(|reason| CommandResult::Failed { reason }),
        ".{0,20}".prop_map(|reason| CommandResult::Rejected { reason }),
        Just(CommandResult::AlreadyCurrent),
        Just(CommandResult::Canceled),
        Just(CommandResult::TimedOut),
    ];
    prop_oneof![
        proptest::collection::vec(any_facts(), 0..3).prop_map(|devices| Input::Enrolled { devices }),
        devices().prop_map(|devices| Input::Removed { devices }),
        any_telemetry().prop_map(Input::Telemetry),
        any::<u64>().prop_map(|round| Input::Forecasts(Forecasts { round, fits: Vec::new() })),
        devices().prop_map(|devices| Input::Requests { devices }),
        (any::<u64>(), prop::sample::select(AttemptState::ALL.to_vec()))
            .prop_map(|(attempt, state)| Input::Progress { attempt: AttemptId(attempt), state }),
        (any::<u64>(), result).prop_map(|(command, result)| Input::Outcome { command: CommandId(command), result }),
        ((0_u32..20).prop_map(DeviceIndex), 0_u16..4)
            .prop_map(|(device, major)| Input::Statement { device, version: version(&format!("{major}.0")) }),
        any_action().prop_map(Input::Operator),
        Just(Input::Wake),
    ]
}

/// A full journal with a stop, a rollback and an incomplete end.
fn whole_journal() -> &'static [Line] {
    static LINES: OnceLock<Vec<Line>> = OnceLock::new();
    LINES.get_or_init(|| {
        let policy =
            policy("[attempts]\nattempts_max = 1\n[monitor]\nfailure_count_min = 2\nfailure_percent_max = 10\n");
        let mut rig = Rig::new(&policy, fleet(8, 4));
        rig.play =
            Box::new(|d, _, told| Script::does(if d < 3 || d == 5 && told > 1 { Does::Fail } else { Does::Succeed }));
        rig.run_for(Span::from_secs(600));
        let rollout = rig.start(package("2.0"), 0);
        rig.until_end(rollout);
        let header = Header {
            version: JOURNAL_VERSION,
            program: "test".to_owned(),
            mode: JournalMode::Full,
            seed: 0,
            world_name: String::new(),
            policy_name: String::new(),
            policy: policy.to_toml(),
            world: serde_json::Value::Null,
            metrics: vec!["cpu".to_owned()],
            remarks: Vec::new(),
        };
        let entries = std::iter::once((at(0, 0), Entry::Header(Box::new(header)))).chain(rig.journal);
        let mut writer = ChainWriter::default();
        let lines = entries.map(|(at, entry)| writer.line(at, entry));
        lines.map(|text| serde_json::from_str(&text).unwrap()).collect()
    })
}

fn texts() -> Vec<String> {
    whole_journal().iter().map(|line| serde_json::to_string(line).unwrap()).collect()
}

#[test]
fn the_journal_that_is_damaged_below_replays_when_it_is_not() {
    let replayed = replay(whole_journal()).unwrap();
    assert_eq!(replayed.first_difference, None);
    assert!(whole_journal().iter().any(|line| matches!(line.entry, Entry::Rollback { .. })), "it has a rollback");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_input_comes_back_from_json_as_it_was(input in any_input()) {
        let text = serde_json::to_string(&input).unwrap();
        let read: Input = serde_json::from_str(&text).unwrap();
        // As text: a missing value (NaN) equals nothing, not even itself.
        prop_assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = serde_json::from_slice::<Input>(&bytes);
        let _ = serde_json::from_slice::<Line>(&bytes);
        let text = String::from_utf8_lossy(&bytes);
        let _ = ChainReader::default().read(&text);
        let _ = verify(text.lines());
    }

    /// Bytes that are nearly right get further than bytes that are not.
    #[test]
    fn no_damage_to_a_line_makes_a_reader_panic(
        line in any::<prop::sample::Index>(), place in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let mut texts = texts();
        let line = line.index(texts.len());
        let mut bytes = texts[line].clone().into_bytes();
        let place = place.index(bytes.len());
        if cut { bytes.truncate(place) } else { bytes[place] = byte }
        let damaged = String::from_utf8_lossy(&bytes).into_owned();
        let changed = damaged != texts[line];
        let _ = serde_json::from_str::<Line>(&damaged);
        texts[line] = damaged;
        let last = line + 1 == texts.len();
        let found = verify(texts.iter().map(String::as_str)).is_err();
        prop_assert!(found || !changed || last, "a changed line {} is found", line);
    }
}

/// What may be done to the lines of a journal.
#[derive(Debug, Clone)]
enum Damage {
    Cut(prop::sample::Index),
    Drop(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    Twice(prop::sample::Index),
    Moment(prop::sample::Index, i64),
    Input(prop::sample::Index, Input),
}

fn any_damage() -> impl Strategy<Value = Damage> {
    let index = || any::<prop::sample::Index>();
    // Any moment at all, and the ends of time more often than chance would have them.
    let moment = prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX), -10_000_i64..10_000];
    prop_oneof![
        index().prop_map(Damage::Cut),
        index().prop_map(Damage::Drop),
        (index(), index()).prop_map(|(a, b)| Damage::Swap(a, b)),
        index().prop_map(Damage::Twice),
        (index(), moment).prop_map(|(line, moment)| Damage::Moment(line, moment)),
        (index(), any_input()).prop_map(|(line, input)| Damage::Input(line, input)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_damaged_journal_is_replayed_to_a_difference_and_never_to_a_panic(
        damages in proptest::collection::vec(any_damage(), 1..8),
    ) {
        let mut lines = whole_journal().to_vec();
        for damage in damages {
            let place = |index: prop::sample::Index, lines: &[Line]| 1 + index.index(lines.len().max(3) - 2).min(lines.len().max(2) - 2);
            if lines.len() < 4 {
                break;
            }
            match damage {
                Damage::Cut(index) => lines.truncate(place(index, &lines)),
                Damage::Drop(index) => drop(lines.remove(place(index, &lines))),
                Damage::Swap(a, b) => {
                    let (a, b) = (place(a, &lines), place(b, &lines));
                    lines.swap(a, b);
                }
                Damage::Twice(index) => {
                    let line = lines[place(index, &lines)].clone();
                    lines.insert(place(index, &lines), line);
                }
                Damage::Moment(index, moment) => {
                    let place = place(index, &lines);
                    lines[place].at = Instant::from_millis(moment);
                }
                Damage::Input(index, input) => {
                    let place = place(index, &lines);
                    lines[place].entry = Entry::Input { input: Box::new(input) };
                }
            }
        }
        // The driver of a real replay stops at the first difference; go on behind it, where the state no longer fits the inputs.
        let mut engine = slacktide_engine::Engine::new(policy(""), &["cpu".to_owned()]);
        for line in &lines {
            if let Entry::Input { input } = &line.entry {
                engine.handle_input(line.at, (**input).clone());
                while !matches!(engine.poll_output(), slacktide_engine::Output::Wake { .. }) {}
            }
        }
        prop_assert!(replay(&lines).is_ok());
    }
}
