//! The `slacktide-agent` binary: `slacktide agent` and nothing else, for devices that have no room for a simulator.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod agent;
// An agent knows no bad end but an error.
#[allow(dead_code)]
mod terminal;

use clap::Parser;
use std::process::ExitCode;
use terminal::{Outcome, log_to_stderr, print_line, say, wait};

/// The program on a device: measures, reports, installs what the controller says, goes back when that is not good.
#[derive(Debug, Parser)]
#[command(name = "slacktide-agent", version, about, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    agent: agent::Args,
}

fn main() -> ExitCode {
    terminal::exit(agent::run(&Cli::parse().agent))
}
