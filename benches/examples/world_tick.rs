//! How fast parts of the simulator are by themselves, for comparison with other simulators: `benches/peers/run.sh` runs it.
//!
//! `cargo run --release -p slacktide-benches --example world_tick -- world N TICKS | engine N | hold LENGTH EVENTS`
//! Prints seconds and how much was done (device-metrics, or events) as two numbers; one thread.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example says what it measured")]

use slacktide_benches::busy_evening;
use slacktide_sim::measure::{queue_hold, world_only};
use std::hint::black_box;
use std::time::Instant;

fn main() -> std::process::ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize| args.get(i).and_then(|n| n.parse::<u64>().ok());
    let began = Instant::now();
    let done = match (args.first().map(String::as_str), number(1), number(2)) {
        (Some("world"), Some(devices), Some(ticks)) => {
            black_box(world_only(&busy_evening(devices as usize), 1, ticks as usize));
            devices * ticks * 4
        }
        (Some("engine"), Some(devices), None) => {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
            let Ok(pool) = pool else { return std::process::ExitCode::FAILURE };
            pool.install(|| slacktide_sim::run(&busy_evening(devices as usize), 1, &|_| {})).device_ticks * 4
        }
        (Some("hold"), Some(length), Some(events)) => {
            black_box(queue_hold(length as usize, events, 1));
            events
        }
        _ => {
            eprintln!("write one of: world N TICKS, engine N, hold LENGTH EVENTS");
            return std::process::ExitCode::from(2);
        }
    };
    println!("{} {done}", began.elapsed().as_secs_f64());
    std::process::ExitCode::SUCCESS
}
