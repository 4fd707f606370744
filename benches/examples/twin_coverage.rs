//! Do twins hold what they say? Simulated journals are cut in the middle of their rollout, each is looked ahead from, and what came is held
//! against the bands.
//!
//! `cargo run --release -p slacktide-benches --example twin_coverage [-- SEEDS [RUNS [SCENARIO]]]` (200 seeds of 100 runs: `busy-evening`
//! with 100 devices)
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example says what it measured")]

use slacktide_engine::journal::entry::{Entry, Line};
use slacktide_engine::journal::{ChainReader, JournalMode};
use slacktide_engine::rollout::RolloutState;
use slacktide_engine::time::{Instant, Span};
use slacktide_scenarios::library;
use slacktide_sim::twin::{BANDS_PERCENT, Question, Scores, look_ahead};
use slacktide_sim::{Setup, run};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let mut number = |default: u64| args.next().map_or(Ok(default), |text| text.parse());
    let (seeds, runs) = (number(200)?, number(100)?);
    let name = args.next().unwrap_or_else(|| "busy-evening".to_owned());
    let mut scenario = library::named(&name)?;
    scenario.devices = 100;
    let policy = scenario.policy()?;
    let slot = policy.plan.slot;
    let mut setup = Setup::new(scenario, policy);
    setup.journal = JournalMode::Full;
    let mut scores = Scores::default();
    for seed in 0..seeds {
        let lines = journal(&setup, seed)?;
        let Some(at) = middle(&lines) else { continue };
        let cut = lines.partition_point(|line| line.at <= at);
        let ahead = Span::from_secs(48 * 3600);
        let question = Question { ahead, runs, seed: 1000 + seed, alternatives: Vec::new() };
        let twin = look_ahead(&lines[..cut], &question, &|| {})?;
        scores.add(&twin, &lines[cut..], slot);
        eprint!("\r{} of {seeds}", seed + 1);
    }
    eprintln!();
    println!("{name}: {seeds} seeds, {runs} runs each; share of truths within the bands");
    println!("what                 count {}", BANDS_PERCENT.map(|band| format!("{band:>6} %")).join(" "));
    let rows = scores.capacity.iter().map(|score| (format!("capacity to {} h", score.lead_s / 3600), *score));
    for (what, score) in rows.chain(scores.completion.map(|score| ("completion".to_owned(), score))) {
        let shares = score.within.map(|n| format!("{:>8.1}", n as f64 / score.count.max(1) as f64 * 100.0));
        println!("{what:<20} {:>5} {}", score.count, shares.join(" "));
    }
    Ok(())
}

fn journal(setup: &Setup, seed: u64) -> Result<Vec<Line>, Box<dyn Error>> {
    let mut reader = ChainReader::default();
    run(setup, seed, &|_| {}).journal.iter().map(|line| Ok(reader.read(line)?)).collect()
}

/// The middle of the time between the start of the first rollout and the end of the last.
fn middle(lines: &[Line]) -> Option<Instant> {
    let at = |wanted: fn(RolloutState) -> bool| {
        lines
            .iter()
            .filter(move |line| matches!(&line.entry, Entry::Rollout { to, .. } if wanted(*to)))
            .map(|line| line.at)
    };
    let begun = at(|state| state == RolloutState::Running).next()?;
    let ended = at(RolloutState::is_end).next_back()?;
    Some(begun + Span::from_millis(ended.since(begun).as_millis() / 2))
}
