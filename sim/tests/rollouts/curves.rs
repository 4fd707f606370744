//! Published rollouts, taken after by the baselines that imitate them: how many devices had been told to go by when.

use super::lines;
use slacktide_engine::journal::entry::Entry;
use slacktide_engine::policy::{Policy, library};
use slacktide_engine::rollout::RolloutState;
use slacktide_scenarios::Scenario;
use slacktide_sim::{Setup, run};

const DEVICES: usize = 400;
const SLOT_H: f64 = 0.25;

/// Hours from the start, and the device told then, in order: a calm fleet in which nothing fails and everybody asks at once.
fn told(policy: Policy, days: u32) -> Vec<f64> {
    let text = format!(
        "devices = {DEVICES}\nhistory = \"1d\"\nuntil_max = \"{days}d\"\ntick = \"15m\"\n[[pools]]\nname = \"p\"\npool_size = 100\n\
         load = {{ base_percent = 10, daily_amplitude_percent = 0 }}\n[updates]\ncheck_in = \"0s\"\n\
         [failures]\ninstall_failure_percent = 0\nrollback_failure_percent = 0\n"
    );
    let result = run(&Setup::new(Scenario::from_toml("calm", &text).unwrap(), policy), 1, &|_| {});
    assert_eq!((result.violations.clone(), result.state), (Vec::new(), RolloutState::Finished));
    let (mut began, mut told) = (None, Vec::new());
    for line in lines(&result) {
        match line.entry {
            Entry::Rollout { to: RolloutState::Running, .. } => began = began.or(Some(line.at)),
            Entry::Batch { devices, .. } => {
                let hours = began.map_or(0.0, |began| line.at.since(began).as_secs_f64() / 3600.0);
                told.extend(devices.iter().map(|_| hours));
            }
            _ => {}
        }
    }
    assert_eq!(told.len(), DEVICES);
    told
}

/// Percent of the fleet told before a moment.
fn share(told: &[f64], before_h: f64) -> f64 {
    told.iter().filter(|at| **at < before_h).count() as f64 / told.len() as f64 * 100.0
}

/// `timed-waves` with another table of waves: hours after the start, and the cumulative share.
fn timed(waves: &[(f64, f64)]) -> Policy {
    let wave = |(i, (opens, percent)): (usize, &(f64, f64))| {
        let spread = waves.get(i + 1).map_or(String::new(), |next| format!("spread = \"{}h\"\n", next.0 - opens));
        format!("[[waves]]\nshare_percent = {percent}\ndevices_min = 0\nopens_after = \"{opens}h\"\n{spread}")
    };
    let text: String = waves.iter().enumerate().map(wave).collect();
    let text = format!("[attempts]\nrollout_timeout = \"20d\"\n{text}");
    library::named("timed-waves").unwrap().overridden("waves", &text).unwrap()
}

/// Wave files of Bottlerocket (`sources/updater/waves` in bottlerocket-os/bottlerocket): a wave goes one by one until the next opens, the last
/// at once.
#[test]
fn timed_waves_have_the_published_shares_when_each_wave_opens() {
    let published: [(&str, &[(f64, f64)]); 4] = [
        ("default", &[(1.0, 1.0), (4.0, 5.0), (24.0, 10.0), (72.0, 25.0), (144.0, 100.0)]),
        ("accelerated", &[(1.0, 3.0), (4.0, 12.0), (8.0, 50.0), (24.0, 100.0)]),
        (
            "slow-roll",
            &[(1.0, 1.0), (24.0, 5.0), (72.0, 15.0), (168.0, 40.0), (216.0, 60.0), (288.0, 90.0), (312.0, 100.0)],
        ),
        ("ohno", &[(1.0, 5.0), (2.0, 25.0), (3.0, 100.0)]),
    ];
    assert_eq!(timed(published[0].1).waves, library::named("timed-waves").unwrap().waves, "as in the library");
    for (name, waves) in published {
        let told = told(timed(waves), 16);
        assert_eq!(share(&told, waves[0].0), 0.0, "{name}: nobody before the first wave");
        let device = 100.0 / DEVICES as f64;
        let mut before = 0.0;
        for pair in waves.windows(2) {
            let ((opens, percent), (next, _)) = (pair[0], pair[1]);
            // Devices go at the first slot at or after their turn: those of the last slot are still to come.
            let late = (percent - before) * SLOT_H / (next - opens) + device;
            let (half, end) = (share(&told, (opens + next) / 2.0), share(&told, next));
            let middle = (before + percent) / 2.0;
            assert!(half <= middle + device && half >= middle - late, "{name}: {half} % amid the wave to {percent} %");
            assert!(end <= percent && end >= percent - late, "{name}: {end} % when the wave to {percent} % ends");
            before = percent;
        }
        let last = waves[waves.len() - 1].0;
        assert_eq!(share(&told, last + 2.0 * SLOT_H), 100.0, "{name}: the rest at once");
    }
}

/// Fedora CoreOS (updates of its streams, coreos/fedora-coreos-streams): the share offered grows evenly over the duration. Rollouts that were
/// halted on the way say how far they had come.
#[test]
fn a_linear_rollout_has_offered_what_was_published_when_it_was_halted() {
    let linear = |minutes: u32| {
        let text = format!("[[waves]]\nshare_percent = 100\ndevices_min = 0\nspread = \"{minutes}m\"\n");
        told(library::named("linear-rollout").unwrap().overridden("waves", &text).unwrap(), 6)
    };
    assert_eq!(library::named("linear-rollout").unwrap().waves[0].spread.as_secs_f64(), 2880.0 * 60.0);
    // Duration in minutes, seconds from its start to the halt, percent offered then.
    let halted = [
        (1440, 12_768, 14.8),  // testing 33.20201201.2.1
        (2880, 3897, 2.3),     // stable 33.20210117.3.1
        (2880, 18_878, 10.9),  // stable 38.20231027.3.1
        (2880, 81_057, 46.9),  // stable 42.20250410.3.1
        (2880, 89_717, 51.9),  // stable 42.20250623.3.0
        (2880, 117_590, 68.0), // testing 43.20260217.2.1
    ];
    for minutes in [1440, 2880, 4320] {
        let told = linear(minutes);
        let hours = f64::from(minutes) / 60.0;
        let late = 100.0 * SLOT_H / hours + 100.0 / DEVICES as f64;
        let own = halted.iter().filter(|(duration, ..)| *duration == minutes);
        let own = own.map(|(_, seconds, percent)| (f64::from(*seconds) / 3600.0, *percent));
        for (at, percent) in own.chain([(hours / 4.0, 25.0), (hours / 2.0, 50.0)]) {
            let offered = share(&told, at);
            assert!(
                offered <= percent + 0.3 && offered >= percent - late - 0.05,
                "{minutes} min, {at} h: {offered} %, {percent} %"
            );
        }
        assert_eq!(share(&told, hours + 2.0 * SLOT_H), 100.0, "{minutes} min");
    }
}
