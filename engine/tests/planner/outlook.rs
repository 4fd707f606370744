//! When everybody will go.

use crate::fleets::{any_fleet, calm, device};
use proptest::prelude::*;
use slacktide_engine::ids::{DeviceIndex, PlanNumber, WaveIndex};
use slacktide_engine::plan::outlook::{Expected, ExpectedBasis, LaterWave, Outlook, outlook};
use slacktide_engine::plan::{PlanDevice, PlanInput, WaitingOn, planner::plan};
use slacktide_engine::time::{Instant, Span};

const DAY: Span = Span::from_secs(86_400);

fn looked(input: &PlanInput, later: &[LaterWave]) -> Vec<Outlook> {
    let (made, report) = plan(input, PlanNumber(1), None);
    outlook(input, &made, &report, later)
}

fn starts(input: &PlanInput, all: &[Outlook]) -> Vec<Option<(u64, ExpectedBasis)>> {
    let of = |e: Expected| (e.start.since(input.start).as_millis() / 900_000, e.basis);
    all.iter().map(|o| o.expected.map(of)).collect()
}

/// Waits for its wave.
fn closed(n: u32, wave: u16) -> PlanDevice {
    let on = WaitingOn::WaveNotOpen { wave: WaveIndex(wave), open: WaveIndex(0) };
    PlanDevice { wave: WaveIndex(wave), barred: Some((on, None)), ..device(n, 0) }
}

#[test]
fn waves_follow_one_another_and_then_days_do() {
    use ExpectedBasis::{BeyondHorizon, LaterWave as Later, Planned};
    // Two at a time for two slots, eight slots a day.
    let input = calm(2);
    let wave = |soak: u64, devices: Vec<PlanDevice>| LaterWave {
        soak: Span::from_secs(soak),
        load_scores: vec![30.0; devices.len() * 8],
        devices,
        ..LaterWave::default()
    };
    let later = [wave(900, vec![closed(2, 1), closed(3, 1), closed(4, 1)]), wave(0, vec![closed(5, 2)])];
    let all = looked(&input, &later);
    let day = 96;
    assert_eq!(
        starts(&input, &all),
        [
            Some((0, Planned)),
            Some((0, Planned)),
            Some((3, Later)),
            Some((3, Later)),
            Some((5, Later)),
            Some((day, BeyondHorizon))
        ]
    );
    assert_eq!((all[1].on.name(), all[5].on.name()), ("planned", "wave-not-open"));
    // Eight go a day; the thousandth goes on the day it takes.
    let crowd = looked(&calm(1000), &[]);
    let last = crowd.iter().filter_map(|o| o.expected).map(|e| e.start).max();
    assert_eq!(last.map(|at| at.since(input.start).steps_down(DAY)), Some(124));
}

/// A wave that opens by the clock waits for nobody, and its devices for their turns.
#[test]
fn a_timed_wave_begins_when_the_clock_says() {
    use ExpectedBasis::LaterWave as Later;
    let mut input = calm(2);
    let slots = |n: u64| Span::from_secs(900 * n);
    let turn = input.start + slots(5);
    input.devices[1].barred = Some((WaitingOn::NotItsTurn { turn }, Some(turn)));
    let timed = LaterWave {
        soak: DAY,
        opens_at: Some(input.start + slots(1)),
        turns: vec![slots(0), slots(2)],
        load_scores: vec![30.0; 16],
        devices: vec![closed(2, 1), closed(3, 1)],
    };
    let all = looked(&input, &[timed]);
    assert_eq!(starts(&input, &all)[1..], [Some((5, Later)), Some((1, Later)), Some((3, Later))]);
    assert_eq!((all[1].on.name(), all[1].earliest), ("not-its-turn", Some(turn)));
}

#[test]
fn whoever_cannot_go_gets_its_reason_and_no_date() {
    let mut input = calm(4);
    input.devices[0].weight = 50.0;
    input.devices[1].telemetry_age = None;
    let until = input.start + Span::from_secs(1800);
    input.devices[2].barred = Some((WaitingOn::RetryPause { attempts: 1 }, Some(until)));
    let all = looked(&input, &[]);
    let names: Vec<&str> = all.iter().map(|o| o.on.name()).collect();
    assert_eq!(names, ["pool-capacity", "no-telemetry", "retry-pause", "planned"]);
    assert_eq!((all[0].expected, all[1].expected), (None, None));
    assert_eq!(all[2].expected, Some(Expected { start: until, basis: ExpectedBasis::LaterWave }));
    // Closed for the whole horizon: the next opening.
    let opens = input.start + DAY.times(3);
    input.regions[0].slot_open.fill(false);
    input.regions[0].next_open = Some(opens);
    let expected = looked(&input, &[])[3].expected;
    assert_eq!(expected, Some(Expected { start: opens, basis: ExpectedBasis::BeyondHorizon }));
}

/// The devices of a fleet, dealt to the open wave and two later ones.
fn dealt(mut input: PlanInput, soak: u64) -> (PlanInput, Vec<LaterWave>) {
    let slots = input.slots;
    let mut later = vec![LaterWave { soak: Span::from_secs(soak), ..LaterWave::default() }; 2];
    let all = std::mem::take(&mut input.devices);
    let scores = std::mem::take(&mut input.load_scores);
    for (device, row) in all.into_iter().zip(scores.chunks(slots)) {
        let n = device.index.0 as u16 % 3;
        if n == 0 {
            input.load_scores.extend_from_slice(row);
            input.devices.push(device);
        } else {
            let on = WaitingOn::WaveNotOpen { wave: WaveIndex(n), open: WaveIndex(0) };
            let barred = device.barred.clone().or(Some((on, None)));
            let wave = &mut later[usize::from(n) - 1];
            wave.load_scores.extend_from_slice(row);
            wave.devices.push(PlanDevice { wave: WaveIndex(n), barred, ..device });
        }
    }
    (input, later)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn nobody_too_early_and_nobody_forgotten(fleet in any_fleet(), soak in 0u64..100_000) {
        let (input, later) = dealt(fleet, soak);
        let all = looked(&input, &later);
        let candidates: Vec<&PlanDevice> = input.devices.iter().chain(later.iter().flat_map(|w| &w.devices)).collect();
        prop_assert_eq!(all.iter().map(|o| o.device).collect::<Vec<_>>(), candidates.iter().map(|d| d.index).collect::<Vec<DeviceIndex>>());
        let mut end: Instant = input.start;
        let mut from = 0;
        for (wave, size) in std::iter::once(input.devices.len()).chain(later.iter().map(|w| w.devices.len())).enumerate() {
            let begin = if wave == 0 { input.start } else { end + Span::from_secs(soak) };
            for (device, seen) in candidates[from..from + size].iter().zip(&all[from..from + size]) {
                if let Some(expected) = seen.expected {
                    prop_assert!(expected.start >= begin, "{:?} before {}", seen, begin);
                    end = end.max(expected.start + input.slot.times(device.out_slots.max(1)));
                }
            }
            end = end.max(begin);
            from += size;
        }
        // Alone on a day on which nothing else is out.
        let rows: Vec<&[f32]> = input.load_scores.chunks(input.slots).chain(later.iter().flat_map(|w| w.load_scores.chunks(input.slots))).collect();
        for ((device, seen), row) in candidates.iter().zip(&all).zip(rows) {
            let mut alone = input.clone();
            let by_wave = matches!(device.barred, Some((WaitingOn::WaveNotOpen { .. }, _)));
            alone.devices = vec![PlanDevice { barred: device.barred.clone().filter(|_| !by_wave), ..(*device).clone() }];
            alone.load_scores = row.to_vec();
            for pool in &mut alone.pools {
                pool.out_weight = vec![*pool.out_weight.last().unwrap(); input.slots];
                pool.out_count = vec![*pool.out_count.last().unwrap(); input.slots];
            }
            alone.regions.iter_mut().for_each(|region| region.downloading_bytes.fill(0.0));
            let could = plan(&alone, PlanNumber(1), None).1.placed == 1;
            prop_assert!(!could || seen.expected.is_some(), "{:?} could go", seen);
        }
    }
}
