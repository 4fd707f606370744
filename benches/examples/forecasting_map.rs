//! Where forecasting pays.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example says what it measured")]

use rayon::prelude::*;
use slacktide_scenarios::Scenario;
use slacktide_sim::{Setup, run};

const INSTALL_MINUTES: [u64; 4] = [5, 15, 60, 180];
const AMPLITUDES: [f64; 4] = [0.0, 15.0, 30.0, 50.0];
const PEAKS: [f64; 3] = [70.0, 80.0, 90.0];
const LIMITS: [f64; 6] = [60.0, 70.0, 75.0, 80.0, 85.0, 90.0];

fn setup(policy: &str, limit: f64, cell: (u64, f64, f64), peak_hour: f64, devices: usize) -> Setup {
    let (install, amplitude, peak) = cell;
    let base = peak - amplitude;
    let out = install + 6;
    let expected = (out as f64 * 1.6).ceil();
    let timeout = 2 * 60 + 4 * out;
    let text = format!(
        "devices = {devices}\nhistory = \"5d\"\nuntil_max = \"8d\"\npolicy = \"{policy}\"\n[[pools]]\nname = \"p\"\npool_size = 20\n\
         load = {{ base_percent = {base}, daily_amplitude_percent = {amplitude}, daily_peak_hour = {peak_hour}, weekend_factor = 1.0 }}\n\
         [updates]\ninstall = {{ median = \"{install}m\", sigma = 0.3 }}\n\
         [[policy_overrides.waves]]\nshare_percent = 100\nsoak = \"0s\"\n\
         [policy_overrides.plan]\nduration_expected = \"{expected}m\"\nload_limit_percent = {limit}\n\
         [policy_overrides.attempts]\ntimeout = \"{timeout}m\"\n\
         [policy_overrides.monitor]\nfalse_alarm_rate = \"off\"\n"
    );
    let scenario = Scenario::from_toml("map", &text).unwrap_or_else(|e| panic!("{e}"));
    let policy = scenario.policy().unwrap_or_else(|e| panic!("{e}"));
    Setup::new(scenario, policy)
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let n: u64 = args.first().map_or(4, |a| a.parse().unwrap());
    let devices: usize = args.get(1).map_or(80, |a| a.parse().unwrap());
    for install in INSTALL_MINUTES {
        for amplitude in AMPLITUDES {
            for peak in PEAKS {
                let cell = (install, amplitude, peak);
                let mut arms: Vec<(&str, f64)> = vec![("predictive", 90.0)];
                arms.extend(LIMITS.iter().map(|l| ("reactive", *l)));
                let jobs: Vec<(usize, u64)> = (0..arms.len()).flat_map(|a| (0..n).map(move |s| (a, s))).collect();
                let got: Vec<(f64, f64, f64, f64, String)> = jobs
                    .par_iter()
                    .map(|(a, s)| {
                        let hour = 24.0 * (*s as f64 + 0.5) / n as f64;
                        let r = run(&setup(arms[*a].0, arms[*a].1, cell, hour, devices), 1000 + s, &|_| {});
                        if !r.violations.is_empty() {
                            eprintln!("VIOLATION {cell:?} {:?} {s}: {:?}", arms[*a], r.violations);
                        }
                        (
                            r.measures["makespan_s"] / 3600.0,
                            r.measures["overload_caused_device_minutes"],
                            r.measures["updated_devices"],
                            r.measures["critical_pool_minutes"],
                            r.state.name().to_owned(),
                        )
                    })
                    .collect();
                print!("install {install:3} amp {amplitude:2} peak {peak:2} |");
                for (a, arm) in arms.iter().enumerate() {
                    let of = |f: &dyn Fn(&(f64, f64, f64, f64, String)) -> f64| {
                        got[a * n as usize..(a + 1) * n as usize].iter().map(f).sum::<f64>() / n as f64
                    };
                    let bad = got[a * n as usize..(a + 1) * n as usize].iter().filter(|g| g.4 != "finished").count();
                    print!(
                        " {}{:.0}: {:.1}h {:.0}m{}",
                        &arm.0[..1],
                        arm.1,
                        of(&|g| g.0),
                        of(&|g| g.1),
                        if bad > 0 { format!(" !{bad}({:.0})", of(&|g| g.2)) } else { String::new() }
                    );
                }
                println!();
            }
        }
    }
}
