//! Published rollouts, taken after by the baselines that imitate them: how many devices had been told to go, or ran the release, by when.

use super::lines;
use rayon::prelude::*;
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

/// The rise of a phone release, in days after it was first seen.
struct Uptake {
    release: &'static str,
    /// Weibull law fitted to all points up to the peak: scale in days, and shape.
    law: (u32, f64),
    /// When 10, 25, 50, 75 and 90 % of the greatest share had been reached.
    published: [u32; 5],
}

/// Statistics of the public platform-version dashboards of Android: a point a month, straight lines between them. Taken are the releases that
/// reached a tenth of all phones, were seen from below 5 % of their peak on until shares fell again, and grew by no more than a quarter of it
/// from one point to the next.
const UPTAKES: [Uptake; 4] = [
    Uptake { release: "2.3.3", law: (193, 1.77), published: [51, 90, 161, 237, 306] },
    Uptake { release: "4.0.3", law: (232, 2.87), published: [98, 155, 204, 256, 314] },
    Uptake { release: "4.1", law: (259, 2.89), published: [102, 158, 229, 295, 360] },
    Uptake { release: "4.2", law: (366, 1.94), published: [128, 208, 300, 407, 511] },
];
const REACHED_PERCENT: [f64; 5] = [10.0, 25.0, 50.0, 75.0, 90.0];
/// The longest rollout that a policy allows.
const LAST_DAY: u32 = 366;
const PHONES: usize = 1000;
/// The laws are within 5 points of the published shares; three more are two standard errors of a share among a thousand devices.
const UPTAKE_POINTS: f64 = 8.0;

/// Percent of the fleet that runs the release, so many days after the start, when everybody who asks gets it at once.
fn uptake((scale_days, shape): (u32, f64)) -> Vec<f64> {
    let text = format!(
        "devices = {PHONES}\nhistory = \"1d\"\nuntil_max = \"{}d\"\ntick = \"1h\"\npolicy = \"all-at-once\"\n\
         [[pools]]\nname = \"p\"\npool_size = 100\nload = {{ base_percent = 10, daily_amplitude_percent = 0 }}\n\
         [updates]\ncheck_in_scale = \"{scale_days}d\"\ncheck_in_shape = {shape}\n\
         [failures]\ninstall_failure_percent = 0\nrollback_failure_percent = 0\n\
         [policy_overrides]\nplan = {{ slot = \"1h\" }}\nattempts = {{ rollout_timeout = \"{LAST_DAY}d\" }}\n",
        LAST_DAY + 2
    );
    let scenario = Scenario::from_toml("late", &text).unwrap();
    let policy = scenario.policy().unwrap();
    let result = run(&Setup::new(scenario, policy), 1, &|_| {});
    assert_eq!(result.violations, Vec::<String>::new());
    let everybody = result.measures["updated_devices"] == PHONES as f64;
    let expected = if everybody { RolloutState::Finished } else { RolloutState::Stopped };
    assert_eq!(result.state, expected, "who has not asked when time is up is left behind");
    let (mut began, mut days) = (None, vec![0.0; LAST_DAY as usize + 1]);
    for line in lines(&result) {
        match line.entry {
            Entry::Rollout { to: RolloutState::Running, .. } => began = began.or(Some(line.at)),
            Entry::Tick(tick) => {
                if let Some(began) = began {
                    let next = (line.at.since(began).as_secs_f64() / 86_400.0).ceil() as usize;
                    let percent = f64::from(tick.states.updated) / PHONES as f64 * 100.0;
                    days.iter_mut().skip(next).for_each(|day| *day = percent);
                }
            }
            _ => {}
        }
    }
    days
}

#[test]
fn late_check_ins_give_the_published_rise_of_phone_releases() {
    UPTAKES.into_par_iter().for_each(|Uptake { release, law, published }| {
        let days = uptake(law);
        for (day, reached) in published.into_iter().zip(REACHED_PERCENT).filter(|(day, _)| *day <= LAST_DAY) {
            let simulated = days[day as usize];
            assert!(
                (simulated - reached).abs() <= UPTAKE_POINTS,
                "{release}, day {day}: {simulated} %, published {reached} %"
            );
        }
    });
}
