//! Known worlds are generated, learned, and compared with what they were made of.

use super::*;
use slacktide_scenarios::LoadFamily;

/// What a scenario's generator makes, as if it had been recorded.
fn record(scenario: &Scenario, days: usize, seed: u64) -> Recording {
    let setup = Setup::new(scenario.clone(), scenario.policy().unwrap());
    let (facts, group_of) = setup.devices(seed);
    let mut load = Load::new(&setup, &facts, &group_of, seed);
    let period_s = (scenario.tick.as_millis() / 1000) as i64;
    let steps = days * 86_400 / period_s as usize;
    let count = facts.len();
    let mut columns = vec![vec![0.0_f32; count]; 4];
    let mut recording = Recording {
        period_s,
        start_s: scenario.start.as_millis() / 1000,
        steps,
        devices: facts.iter().map(|f| f.id.to_string()).collect(),
        metrics: Scenario::METRICS.map(str::to_owned).to_vec(),
        columns: vec![vec![0.0; count * steps]; 4],
        clipped: 0,
        skipped: 0,
        repeated: 0,
    };
    for step in 0..steps {
        load.fill(step as u64, scenario.start + scenario.tick.times(step), &mut columns);
        for (metric, column) in columns.iter().enumerate() {
            for (d, value) in column.iter().enumerate() {
                recording.columns[metric][d * steps + step] = *value;
            }
        }
    }
    recording
}

fn options(groups: Option<usize>) -> Options {
    Options { name: "learned".to_owned(), groups, devices: None }
}

fn learned(recording: &Recording) -> LoadFamily {
    let calibrated = calibrate(recording, &options(Some(1))).unwrap();
    calibrated.scenario.pools[0].load.clone()
}

fn near(what: &str, seed: u64, value: f64, wanted: f64, tolerance: f64) {
    assert!((value - wanted).abs() <= tolerance, "{what}, seed {seed}: {value} and not {wanted} ± {tolerance}");
}

const PLAIN: &str = "devices = 12\n[[pools]]\npool_size = 12\n[pools.load]\nbase_percent = 30\ndaily_amplitude_percent = 25\n\
    daily_peak_hour = 15\nweekend_factor = 0.6\nnoise_percent = 3\nnoise_correlation = 0.7\npool_noise_percent = 2\n\
    device_spread_percent = 4\nburst_rate_per_day = 1\nburst_percent = 30\nburst_duration = \"20m\"\nmemory_percent = 45\n";

#[test]
fn what_a_plain_world_was_made_of_comes_back() {
    let scenario = Scenario::from_toml("plain", PLAIN).unwrap();
    for seed in [1, 2, 3] {
        let recording = record(&scenario, 14, seed);
        let load = learned(&recording);
        let shape = load.shape.as_ref().unwrap();
        let profile = shape.profile.as_ref().unwrap();
        let week = shape.week.unwrap();
        let peak = profile.iter().copied().fold(0.0, f64::max) * week[0];
        near("height of the daily curve", seed, peak, 25.0, 2.5);
        let angle = |i: usize| (i as f64 + 0.5) / profile.len() as f64 * std::f64::consts::TAU;
        let along = |of: fn(f64) -> f64| profile.iter().enumerate().map(|(i, v)| v * of(angle(i))).sum::<f64>();
        let hour = along(libm::sin).atan2(along(libm::cos)) / std::f64::consts::TAU * 24.0;
        near("hour of the peak", seed, hour.rem_euclid(24.0), 15.0, 0.5);
        near("weekend", seed, week[6] / week[0], 0.6, 0.06);
        let own = load.noise_percent.hypot(shape.slow_noise_percent);
        near("noise of a device", seed, own, 3.0, 0.4);
        near("noise of the pool", seed, load.pool_noise_percent, 2.0, 0.4);
        near("memory of the pool's noise", seed, shape.pool_noise_correlation, 0.9, 0.05);
        near("bursts", seed, load.burst_rate_per_day, 1.0, 0.25);
        near("height of bursts", seed, load.burst_percent, 30.0, 3.0);
        near("length of bursts, minutes", seed, load.burst_duration.as_secs_f64() / 60.0, 20.0, 4.0);
        let network = shape.others[1].as_ref().unwrap();
        near("network by cpu", seed, network.cpu_factor, 0.6, 0.03);
        near("noise of the network", seed, network.noise_percent.hypot(network.slow_noise_percent), 2.0, 0.2);
    }
}

const SHAPED: &str = "devices = 16\n[[pools]]\npool_size = 16\n[pools.load]\nbase_percent = 40\ndaily_amplitude_percent = 0\n\
    noise_percent = 4\nnoise_correlation = 0.5\nslow_noise_percent = 3\nslow_noise_correlation = 0.99\npool_noise_percent = 0\n\
    device_spread_percent = 3\nburst_rate_per_day = 0\n";

#[test]
fn slow_and_fast_noise_are_told_apart_in_a_world() {
    let scenario = Scenario::from_toml("shaped", SHAPED).unwrap();
    for seed in [1, 2, 3] {
        let load = learned(&record(&scenario, 14, seed));
        let shape = load.shape.as_ref().unwrap();
        near("fast noise", seed, load.noise_percent, 4.0, 0.4);
        near("slow noise", seed, shape.slow_noise_percent, 3.0, 0.5);
        near("memory of the fast", seed, load.noise_correlation, 0.5, 0.08);
        near("memory of the slow", seed, shape.slow_noise_correlation, 0.99, 0.005);
    }
}

#[test]
fn a_learned_world_fits_the_one_it_was_learned_from() {
    let scenario = Scenario::from_toml("plain", PLAIN).unwrap();
    let recording = record(&scenario, 14, 5);
    let calibrated = calibrate(&recording, &options(None)).unwrap();
    let samples = generated(&recording, &calibrated, 1).unwrap();
    let all = goodness(&recording, &calibrated, &samples);
    assert_eq!(all.iter().map(|g| g.metric.as_str()).collect::<Vec<_>>(), Scenario::METRICS);
    let poor: Vec<_> = all[0].judged.iter().filter(|j| j.verdict == Verdict::Poor).collect();
    assert!(poor.is_empty(), "{poor:#?}");
    let good = all[0].judged.iter().filter(|j| j.verdict == Verdict::Good).count();
    assert!(good >= 12, "{:#?}", all[0].judged);
    let held = held_out(&recording, &options(None), 1).unwrap().unwrap();
    assert_eq!((held.days, held.fitted.len()), (7, held.halves.len()));
}

#[test]
fn a_wrong_generator_is_called_poor() {
    let scenario = Scenario::from_toml("plain", PLAIN).unwrap();
    let calm = PLAIN
        .replace("noise_percent = 3\n", "noise_percent = 9\n")
        .replace("daily_peak_hour = 15", "daily_peak_hour = 3");
    let other = Scenario::from_toml("calm", &calm).unwrap();
    let recording = record(&scenario, 7, 1);
    let calibrated = calibrate(&recording, &options(Some(1))).unwrap();
    let other = calibrate(&record(&other, 7, 1), &options(Some(1))).unwrap();
    let samples = generated(&recording, &Calibrated { scenario: other.scenario, ..calibrated.clone() }, 1).unwrap();
    let judged = &goodness(&recording, &calibrated, &samples)[0].judged;
    for name in ["daily curve, its form", "daily curve", "spread within a device"] {
        let row = judged.iter().find(|j| j.name == name).unwrap();
        assert_eq!(row.verdict, Verdict::Poor, "{row:?}");
    }
}

#[test]
fn too_short_to_be_halved_is_said_and_a_constant_world_is_learned() {
    let flat = "devices = 2\n[[pools]]\n[pools.load]\nbase_percent = 20\ndaily_amplitude_percent = 0\nnoise_percent = 0\n\
        pool_noise_percent = 0\nburst_rate_per_day = 0\ndevice_spread_percent = 0\n";
    let scenario = Scenario::from_toml("flat", flat).unwrap();
    let recording = record(&scenario, 1, 1);
    assert_eq!(held_out(&recording, &options(None), 1), Ok(None));
    let calibrated = calibrate(&recording, &options(None)).unwrap();
    let samples = generated(&recording, &calibrated, 1).unwrap();
    assert!(samples[0].devices.iter().flatten().all(|v| *v == 20.0));
    let judged = &goodness(&recording, &calibrated, &samples)[0].judged;
    let verdict = |name: &str| judged.iter().find(|j| j.name == name).unwrap().verdict;
    assert_eq!(verdict("distribution"), Verdict::Good);
    assert_eq!(verdict("autocorrelation, one step"), Verdict::NotMeasured);
}
