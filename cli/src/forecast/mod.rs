//! `slacktide forecast`: how good are forecasts of this load, and which model should make them?

mod data;
mod document;
mod examples;
mod findings;
mod print;
mod show;
mod train;

use crate::simulate::bar;
use crate::{Outcome, out};
use anyhow::Result;
use data::{Data, steps_in_words};
use rayon::prelude::*;
use slacktide_engine::document::nearest;
use slacktide_forecast::backtest::{Backtest, Entry, Finished, Protocol};
use slacktide_forecast::global::lstm::Lstm;
use slacktide_forecast::{ModelKind, UnknownModel};
use slacktide_reports::files::Together;
use std::path::PathBuf;
use std::time::Instant;

/// What there is to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Accuracy of models at past origins: by metric, lead time, hour and class of series
    #[command(
        after_help = "A model is fitted at each origin to what was known there, and nothing after it is ever seen.\nExample:\n  slacktide forecast backtest --data load/ --metrics cpu --every 1h --context 7d --horizon 24h --models selected,arima"
    )]
    Backtest(Args),
    /// The same, and which differences are more than chance: Diebold–Mariano tests and mean ranks
    #[command(
        after_help = "`selected` is the model slacktide would have chosen for each series from its errors so far.\nExamples:\n  slacktide forecast compare --data load/ --metrics cpu --every 1h --context 7d --horizon 24h --out comparison\n  slacktide forecast compare --data hourly.csv --season 24,168 --horizon 48 --origins 1 --models mstl-arima,theta,lstm"
    )]
    Compare(Args),
    /// The forecast of one series from the end of the data, with intervals
    Show(show::Args),
    /// Trains the network on the data and saves it, for `--network`
    Train(train::Args),
}

/// What data, and how it is cut.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Source {
    /// Load to forecast: CSV or CSV.GZ, a folder is read with all its folders
    #[arg(long, value_name = "PATH", num_args = 1.., required = true)]
    pub(crate) data: Vec<PathBuf>,
    /// Columns to use (default: all that hold a number)
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub(crate) metrics: Option<Vec<String>>,
    /// Length of a step, a multiple of the recorded one: each is the mean of what lies in it
    #[arg(long, value_name = "SPAN")]
    pub(crate) every: Option<String>,
    /// Lengths of the seasons, in steps or with a unit; the main one first (default: a day, where two are known)
    #[arg(long, value_name = "S,…", value_delimiter = ',')]
    pub(crate) season: Vec<String>,
    /// Newest history a model is fitted to, in steps or with a unit (default: all of it)
    #[arg(long, value_name = "SPAN")]
    pub(crate) context: Option<String>,
    /// Steps to forecast, or a span (default: a season, or 24 steps without one)
    #[arg(long, value_name = "SPAN")]
    pub(crate) horizon: Option<String>,
    /// Skip bad rows and count them
    #[arg(long)]
    pub(crate) lenient: bool,
    /// A network that `forecast train` saved, to start from: it forecasts from origins after what it has seen, and learns on
    #[arg(long, value_name = "FILE")]
    pub(crate) network: Option<PathBuf>,
    /// Seed of what is drawn by chance: the training of the network
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = crate::worlds::seed)]
    pub(crate) seed: u64,
    /// Threads (default: all cores); results do not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
}

impl Source {
    /// The files and folders, for messages.
    pub(crate) fn named(&self) -> String {
        self.data.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    }
}

/// Arguments of `forecast backtest` and `forecast compare`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) source: Source,
    /// Models (default: all); `selected` always stands among them
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    pub(crate) models: Vec<String>,
    /// Origins of each series, the newest (default: as many as fit)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) origins: Option<u32>,
    /// Distance between origins, in steps or with a unit (default: a quarter of the horizon)
    #[arg(long, value_name = "SPAN")]
    pub(crate) stride: Option<String>,
    /// Folder for report.html, forecasts.csv, scores.csv and comparison.json
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Print one JSON document and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}

/// Runs a verb.
pub(crate) fn run(verb: &Verb) -> Result<Outcome> {
    match verb {
        Verb::Backtest(args) => compare(args, "backtest"),
        Verb::Compare(args) => compare(args, "compare"),
        Verb::Show(args) => show::run(args),
        Verb::Train(args) => train::run(args),
    }
}

/// A model by its name; `others` may be written in its place too.
pub(crate) fn model(name: &str, others: &[&str]) -> Result<ModelKind> {
    let said = |problem: UnknownModel| {
        let more: String = others.iter().map(|other| format!(", {other}")).collect();
        let all = ModelKind::ALL.map(ModelKind::name).into_iter().chain(others.iter().copied());
        let hint = nearest(name, all).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        anyhow::anyhow!("{problem}{more}{hint}")
    };
    name.parse().map_err(said)
}

/// Models by name; none named is all. `selected` is not a model: it chooses among the others.
pub(crate) fn models(names: &[String]) -> Result<Vec<ModelKind>> {
    let mut models: Vec<ModelKind> = Vec::new();
    for name in names.iter().filter(|n| *n != "selected") {
        let kind = model(name, &["selected"])?;
        if models.contains(&kind) {
            anyhow::bail!("`{name}` stands twice among the models");
        }
        models.push(kind);
    }
    if !models.is_empty() && models.iter().all(|m| m.is_combination()) {
        anyhow::bail!("`{}` is made of the forecasts of others: name models beside it", models[0]);
    }
    if models.is_empty() {
        // A fast form stands in for the full one where a fleet is large; both together say nothing new.
        models = ModelKind::ALL.into_iter().filter(|m| !m.is_fast_form()).collect();
    }
    Ok(models)
}

fn compare(args: &Args, verb: &str) -> Result<Outcome> {
    crate::worlds::start_threads(args.source.threads)?;
    let models = models(&args.models)?;
    let data = Data::read(&args.source)?;
    let protocol = Protocol {
        models,
        seasons: data.seasons.clone(),
        horizon: data.horizon,
        context: data.context,
        stride: args.stride.as_ref().map_or(Ok((data.horizon / 4).max(1)), |s| data.steps("--stride", s))?,
        origins: args.origins.map(|n| n as usize),
        seed: args.source.seed,
    };
    let network = train::network(&args.source, &data, &protocol.models)?;
    args.out.iter().try_for_each(|out| out::is_free(out, &[out::COMPARISON]))?;
    let finished = backtest(protocol, data.entries.clone(), network);
    if finished.lines.is_empty() {
        anyhow::bail!(
            "{}: no series is long enough: {} known at most, and {} before a horizon of {} are needed",
            args.source.named(),
            data.entries.iter().map(|e| e.values.len()).max().map_or_else(String::new, steps_in_words),
            data.needed(),
            data.horizon
        );
    }
    let document = document::document(verb, args, &data, &finished);
    let files = args.out.as_deref().map(|out| out::claim(out, &[out::COMPARISON])).transpose()?;
    if let Some(files) = files {
        write_out(files, &data, &finished, &document)?;
    }
    if args.json {
        crate::say!("{document}");
    } else {
        print::plain(&data, &finished, verb == "compare");
        if let Some(out) = &args.out {
            crate::say!("\nPage: {}", out.join("report.html").display());
        }
    }
    Ok(Outcome::Good)
}

/// Runs all rounds, the fits of each in parallel.
pub(crate) fn backtest(protocol: Protocol, entries: Vec<Entry>, network: Option<Lstm>) -> Finished {
    let began = Instant::now();
    let clock = move || began.elapsed().as_secs_f64() * 1000.0;
    let mut backtest = Backtest::new(protocol, entries);
    if let Some(network) = network {
        backtest = backtest.starting_from(network);
    }
    let total: usize = backtest.rounds().iter().map(Vec::len).sum();
    let progress = bar(total as u64, "forecasts");
    for round in 0..backtest.rounds().len() {
        backtest.begin(round, &clock);
        let origins = backtest.rounds()[round].clone();
        let fits = origins.par_iter().map(|origin| {
            let fits = backtest.fit(*origin, &clock);
            progress.inc(1);
            fits
        });
        let fits = fits.collect();
        backtest.absorb(round, fits);
    }
    progress.finish_and_clear();
    backtest.finish()
}

fn write_out(files: Together, data: &Data, finished: &Finished, document: &serde_json::Value) -> Result<()> {
    let text = serde_json::to_string_pretty(document)?;
    files.write(out::COMPARISON, text.as_bytes())?;
    files.write("report.html", slacktide_reports::comparison::html(&text)?.as_bytes())?;
    files.write("forecasts.csv", document::forecasts_csv(data, finished).as_bytes())?;
    files.write("scores.csv", document::scores_csv(finished).as_bytes())?;
    Ok(files.place()?)
}
