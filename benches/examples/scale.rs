//! How far one run scales: time, processor time and peak memory of whole rollouts of 1,000 to 1,000,000 devices, and of two replications
//! side by side.
//!
//! `cargo run --release -p slacktide-benches --example scale [-- --million] [-- --largest N]`
//!
//! The world is `busy-evening` (25 or 20 members a pool, four metrics every five minutes) with a history of six days and eight hours, then
//! one rollout of every device from eight in the morning to its end, past midnight: about seven days. `--million` adds one day of a million
//! devices: 18 hours of history and six of the rollout.
//! Every run is a process of its own, so that its peak memory is its own; Linux only.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example says what it measured")]

use rayon::prelude::*;
use slacktide_benches::busy_evening;
use slacktide_engine::time::Span;
use slacktide_sim::Setup;
use std::process::{Command, ExitCode};
use std::time::Instant;

/// One run: devices, threads, replications side by side, hours of history, hours of rollout at most.
#[derive(Clone, Copy)]
struct Job {
    devices: usize,
    threads: usize,
    replications: usize,
    history_h: u64,
    rollout_h: u64,
}

impl Job {
    /// About seven days, the rollout whole.
    const fn week(devices: usize, threads: usize, replications: usize) -> Self {
        Self { devices, threads, replications, history_h: 152, rollout_h: 96 }
    }

    const fn million_day(threads: usize) -> Self {
        Self { devices: 1_000_000, threads, replications: 1, history_h: 18, rollout_h: 6 }
    }

    fn setup(self) -> Setup {
        let mut setup = busy_evening(self.devices);
        setup.scenario.history = Span::from_secs(self.history_h * 3600);
        setup.scenario.until_max = Span::from_secs(self.rollout_h * 3600);
        setup
    }
}

/// What a run printed of itself.
struct Figures {
    wall_s: f64,
    user_s: f64,
    device_ticks: f64,
    peak_mib: f64,
    end: String,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "run") {
        return run(&args[1..]);
    }
    let largest = args.iter().position(|arg| arg == "--largest").and_then(|at| args.get(at + 1)?.parse().ok());
    let largest: usize = largest.unwrap_or(100_000);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("machine: {}, {cores} cores, load {}", processor(), load());
    println!("devices      threads  wall s   user s  user ns/device-sample  M device-metrics/s/core  peak MiB  end");
    let sizes = [1_000, 10_000, 100_000].into_iter().filter(|devices| *devices <= largest);
    let mut jobs: Vec<Job> = sizes.map(|devices| Job::week(devices, 1, 1)).collect();
    jobs.extend((cores > 1).then(|| Job::week(largest, cores, 1)));
    jobs.extend(args.iter().any(|arg| arg == "--million").then(|| Job::million_day(cores)));
    for job in jobs {
        let Some(figures) = child(job) else { return ExitCode::FAILURE };
        let per_sample = figures.user_s / figures.device_ticks;
        println!(
            "{:<12} {:<7} {:>7.2} {:>8.2} {:>22.1} {:>24.1} {:>9.0}  {}",
            job.devices,
            job.threads,
            figures.wall_s,
            figures.user_s,
            per_sample * 1e9,
            4e-6 / per_sample,
            figures.peak_mib,
            figures.end
        );
    }
    let pair = largest.min(10_000);
    let (Some(one), Some(two)) = (child(Job::week(pair, 1, 1)), child(Job::week(pair, 2, 2))) else {
        return ExitCode::FAILURE;
    };
    println!(
        "two replications of {pair} devices side by side: {:.2} s, one: {:.2} s, ratio {:.2}",
        two.wall_s,
        one.wall_s,
        two.wall_s / one.wall_s
    );
    ExitCode::SUCCESS
}

/// Runs a job in a process of its own.
fn child(job: Job) -> Option<Figures> {
    let numbers = [job.devices as u64, job.threads as u64, job.replications as u64, job.history_h, job.rollout_h]
        .map(|n| n.to_string());
    let output = Command::new(std::env::current_exe().ok()?).arg("run").args(numbers).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut words = text.trim().splitn(4, ' ');
    let mut number = || words.next()?.parse::<f64>().ok();
    let (wall_s, device_ticks, peak_mib) = (number()?, number()?, number()?);
    let (user, end) = words.next()?.split_once(' ')?;
    Some(Figures { wall_s, device_ticks, peak_mib, user_s: user.parse().ok()?, end: end.to_owned() })
}

/// The child: prints wall seconds, device samples, peak MiB, user seconds, and how the first run ended.
fn run(args: &[String]) -> ExitCode {
    let numbers: Vec<u64> = args.iter().filter_map(|n| n.parse().ok()).collect();
    let [devices, threads, replications, history_h, rollout_h] = numbers[..] else { return ExitCode::from(2) };
    let job = Job {
        devices: devices as usize,
        threads: threads as usize,
        replications: replications as usize,
        history_h,
        rollout_h,
    };
    let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(job.threads).build() else { return ExitCode::FAILURE };
    let setup = job.setup();
    let began = Instant::now();
    let results = pool.install(|| {
        let seeds: Vec<u64> = (1..=replications).collect();
        let run = |seed| slacktide_sim::run(&setup, seed, &|_| {});
        seeds.into_par_iter().map(run).collect::<Vec<_>>()
    });
    let wall_s = began.elapsed().as_secs_f64();
    let samples: u64 = results.iter().map(|result| result.device_ticks).sum();
    let first = &results[0];
    let measure = |name: &str| first.measures.get(name).copied().unwrap_or(0.0);
    println!(
        "{wall_s} {samples} {} {} {}, {:.0} updated in {:.1} h, violations {:?}, journal {}",
        peak_mib(),
        user_s(),
        first.state,
        measure("updated_devices"),
        measure("makespan_s") / 3600.0,
        first.violations,
        &first.journal_hash[..8]
    );
    ExitCode::SUCCESS
}

fn status(name: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.to_owned()
}

fn peak_mib() -> f64 {
    status("VmHWM:").split_whitespace().next().and_then(|kb| kb.parse::<f64>().ok()).map_or(0.0, |kb| kb / 1024.0)
}

/// Processor time of this process outside the kernel: field 14 of its `stat`, in hundredths of a second on every Linux.
fn user_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    after_name.split_whitespace().nth(11).and_then(|ticks| ticks.parse::<f64>().ok()).map_or(0.0, |ticks| ticks / 100.0)
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    model.trim_start_matches(['\t', ' ', ':']).to_owned()
}

fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().to_owned()
}
