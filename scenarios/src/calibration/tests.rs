//! Whatever is recorded gives a valid scenario or an error in words.

use super::*;
use proptest::prelude::*;

fn recording(period_s: i64, devices: usize, columns: Vec<Vec<f32>>) -> Recording {
    let steps = columns[0].len() / devices;
    Recording {
        period_s,
        start_s: 1_700_000_000 / period_s * period_s,
        steps,
        devices: (0..devices).map(|d| format!("d{d}")).collect(),
        metrics: ["cpu", "memory", "network", "disk", "other"]
            .iter()
            .take(columns.len())
            .map(|&m| m.to_owned())
            .collect(),
        columns,
        clipped: 0,
        skipped: 0,
        repeated: 0,
    }
}

fn options() -> Options {
    Options { name: "learned".to_owned(), groups: None, devices: Some(50) }
}

fn wave(devices: usize, steps: usize) -> Vec<f32> {
    let one = |d: usize, t: usize| 20.0 + d as f32 + 5.0 * ((t * 7919 + d * 31) % 101) as f32 / 101.0;
    (0..devices).flat_map(|d| (0..steps).map(move |t| one(d, t))).collect()
}

#[test]
fn too_little_and_steps_that_are_no_tick_are_said() {
    let said = |r: &Recording| calibrate(r, &options()).unwrap_err().to_string();
    let short = recording(300, 1, vec![vec![1.0, 2.0]]);
    assert_eq!(said(&short), "no device has more than 2 known values of the first metric; at least 12 are needed");
    assert!(said(&recording(7200, 1, vec![wave(1, 50)])).contains("steps of 7200 s cannot be the tick"));
    assert!(said(&recording(7, 1, vec![wave(1, 50)])).contains("--every 15m"));
    assert!(calibrate(&recording(3600, 2, vec![wave(2, 50)]), &options()).is_ok(), "hours make slots of hours");
}

#[test]
fn what_is_not_known_is_remarked_and_the_file_reads_again_as_it_was_written() {
    let columns = vec![wave(3, 400), vec![50.0; 1200]];
    let learned = calibrate(&recording(300, 3, columns), &options()).unwrap();
    let said = learned.remarks.join("\n");
    assert!(said.contains("not recorded, so the defaults stand: network, disk"), "{said}");
    assert!(said.contains("14 are needed to tell weekends") && said.contains("no daily curve can be told"), "{said}");
    let again = Scenario::from_toml(&learned.scenario.name, &learned.scenario.text).unwrap();
    assert_eq!(again, learned.scenario);
    assert_eq!((again.devices, again.pools[0].name.as_str()), (50, "load"));
    let memory = again.pools[0].load.shape.clone().unwrap().others[0].clone().unwrap();
    assert_eq!((memory.level_percent, memory.noise_percent, memory.marginal), (50.0, 0.0, None));
    assert_eq!(calibrate(&recording(300, 3, vec![wave(3, 400), vec![50.0; 1200]]), &options()).unwrap(), learned);
}

fn value() -> impl Strategy<Value = f32> {
    prop_oneof![3 => 0.0f32..100.0, 1 => Just(f32::NAN), 1 => Just(0.0f32), 1 => Just(100.0f32), 1 => 0.0f32..1e-4]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn any_recording_gives_a_valid_scenario_or_an_error(
        period in prop::sample::select(vec![1_i64, 7, 60, 300, 420, 900, 1200, 3600, 86_400]),
        devices in 1_usize..6,
        steps in 1_usize..120,
        metrics in 1_usize..6,
        groups in prop::option::of(1_usize..8),
        constant in prop::option::of(0.0f32..100.0),
        values in prop::collection::vec(value(), 5 * 120 * 5),
    ) {
        let cut = |m: usize| match constant {
            Some(value) if m == 0 => vec![value; devices * steps],
            _ => values[m * 600..m * 600 + devices * steps].to_vec(),
        };
        let recording = recording(period, devices, (0..metrics).map(cut).collect());
        let options = Options { groups, ..options() };
        match calibrate(&recording, &options) {
            Ok(learned) => {
                prop_assert!(Scenario::from_toml("again", &learned.scenario.text).is_ok());
                prop_assert_eq!(learned.group_sizes.iter().sum::<usize>(), learned.order.len());
            }
            Err(CalibrationError::TooShort { values }) => prop_assert!(values < VALUES_MIN),
            Err(CalibrationError::Period { period_s }) => prop_assert!(![60, 300, 900, 1200, 3600].contains(&period_s)),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn pools_hold_everybody_once(devices in 1_usize..500, size in 1_usize..60) {
        let all: Vec<usize> = pools(devices, size).into_iter().flatten().collect();
        prop_assert_eq!(all, (0..devices).collect::<Vec<_>>());
    }
}
