//! The `slacktide` binary: reads the command line, calls the rooms, prints. Exit 0 = done and good, 1 = done and bad, 2 = could not.
// Printing is this room's business; nowhere else is it allowed.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod agent;
mod calibrate;
mod chaos;
mod compare;
mod difference;
mod forecast;
mod journal;
mod libraries;
mod manual;
mod out;
mod package;
mod pki;
mod plan;
mod report;
mod rollout;
mod serve;
mod signoff;
mod simulate;
mod sweep;
mod terminal;
mod twin;
mod whatif;
mod worlds;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use std::process::ExitCode;
use terminal::{Outcome, log_to_stderr, print_line, say, wait};

/// Updates fleets of machines at the moment the fleet can spare them.
#[derive(Debug, Parser)]
#[command(name = "slacktide", version, about, max_term_width = 110)]
#[command(
    after_help = "Start here:\n  slacktide simulate                      a small fleet, a plain summary and a page\n  slacktide scenario list                 worlds to try\n  slacktide compare busy-evening --policies predictive,all-at-once\n\nExit status: 0 done and good, 1 done and bad (aborted, rolled back, chain broken), 2 could not (usage, file, network)."
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Simulate one rollout: forecasts, plans, batches, failures, and what came of it
    Simulate(simulate::Args),
    /// One plan for a fleet as it is, from its telemetry: who would go when, and who waits for what. Changes nothing
    Plan(plan::Args),
    /// Compare policies (or forecasters) on the same worlds, with paired intervals
    Compare(compare::Args),
    /// Many settings of a policy or a world on the same seeds: what each costs, and which to take
    Sweep(sweep::Args),
    /// Accuracy of forecasting models on recorded load, and which differences are more than chance
    #[command(subcommand)]
    Forecast(forecast::Verb),
    /// Learn a generator of synthetic load from recorded load: a scenario file, and how well it fits
    Calibrate(calibrate::Args),
    /// Worlds: list, show, validate, schema
    #[command(subcommand)]
    Scenario(libraries::Verb),
    /// Policies: list, show, validate, schema
    #[command(subcommand)]
    Policy(libraries::Verb),
    /// Run a journal again and say whether everything came out the same
    Replay(journal::ReplayArgs),
    /// What may come of the rollouts of a journal: many courses from where it ends, under its policy and others
    Twin(twin::Args),
    /// Journals: show as plain lines, verify the chain, export as CSV or packed
    #[command(subcommand)]
    Journal(journal::Verb),
    /// Make the HTML page of a journal or of an --out folder
    Report(report::Args),
    /// Run the controller of real devices
    Serve(serve::Args),
    /// Rollouts on real devices: create, approve, start, pause, resume, abort, status, watch, stop-everything
    #[command(subcommand)]
    Rollout(rollout::Verb),
    /// Packages: build, sign into a repository, verify as a device would, inspect, rotate keys
    #[command(subcommand)]
    Package(package::Verb),
    /// What was simulated is what may go live: run it, sign it, verify it
    #[command(subcommand)]
    SignOff(signoff::Verb),
    /// Who may speak to whom: an authority for devices, operators and controllers, and its certificates
    #[command(subcommand)]
    Pki(pki::Verb),
    /// The program on a device: measures, reports, installs what the controller says, goes back when that is not good
    Agent(agent::Args),
    /// The script that makes a shell complete verbs and options
    Completions(manual::CompletionsArgs),
    /// The manual pages, one a verb
    Man(manual::ManArgs),
}

/// Reads the command line.
fn command_line() -> Cli {
    let mut command = with_negative_numbers(Cli::command());
    let read = Cli::from_arg_matches_mut(&mut command.get_matches_mut());
    read.unwrap_or_else(|error| error.format(&mut command).exit())
}

/// A number below 0 is the value of the option before it, whose own reader says what its range is; else it would be told to be an option
/// that there is not, with a tip that cannot work.
fn with_negative_numbers(command: clap::Command) -> clap::Command {
    let has_value = |arg: &clap::Arg| !arg.is_positional() && arg.get_action().takes_values();
    let with = move |arg: clap::Arg| if has_value(&arg) { arg.allow_negative_numbers(true) } else { arg };
    command.mut_args(with).mut_subcommands(with_negative_numbers)
}

fn main() -> ExitCode {
    let result = match command_line().verb {
        Verb::Simulate(args) => simulate::run(args),
        Verb::Plan(args) => plan::run(&args),
        Verb::Compare(args) => compare::run(&args),
        Verb::Sweep(args) => sweep::run(&args),
        Verb::Forecast(verb) => forecast::run(&verb),
        Verb::Calibrate(args) => calibrate::run(&args),
        Verb::Scenario(verb) => libraries::scenario(verb),
        Verb::Policy(verb) => libraries::policy(verb),
        Verb::Replay(args) => journal::replay(&args),
        Verb::Twin(args) => twin::run(&args),
        Verb::Journal(verb) => journal::run(verb),
        Verb::Report(args) => report::run(&args),
        Verb::Serve(args) => serve::run(&args),
        Verb::Rollout(verb) => rollout::run(verb),
        Verb::Package(verb) => package::run(&verb),
        Verb::SignOff(verb) => signoff::run(&verb),
        Verb::Pki(verb) => pki::run(verb),
        Verb::Agent(args) => agent::run(&args),
        Verb::Completions(args) => manual::completions(&args),
        Verb::Man(args) => manual::man(&args),
    };
    terminal::exit(result)
}
