//! `slacktide twin JOURNAL`: what may come, many times over, and how well earlier looks ahead came out.

use crate::{Outcome, journal, out, worlds};
use anyhow::{Context, Result, bail};
use slacktide_engine::document::parse_span;
use slacktide_engine::journal::{Entry, Line};
use slacktide_engine::policy::Policy;
use slacktide_engine::time::{Instant, Span};
use slacktide_reports::{text, twin as page};
use slacktide_sim::twin::{Arm, BANDS_PERCENT, Question, Scores, look_ahead, score};
use std::collections::BTreeMap;
use std::path::PathBuf;

const HELP: &str = "\
The engine is rebuilt from the journal as it was, and carried on from there in many worlds: load to come is drawn from the recorded load (its \
days, and stretches of what the days do not explain), updates take as long and fail as often as the recorded ones. A full journal is needed \
(`simulate --journal full`, or that of a controller). Nothing is changed.

Examples:
  slacktide simulate busy-evening --devices 100 --journal full --out o
  slacktide twin o/journal.jsonl --at 2024-03-11T22:00:00Z --out ahead
  slacktide twin o/journal.jsonl --at 2024-03-11T22:00:00Z --policies cautious,quick --runs 200
  slacktide twin o/journal.jsonl --at 2024-03-12T02:00:00Z --looks 4    # and how four earlier looks came out
  slacktide twin --controller https://controller.example:7443 --identity olive";

/// Arguments of `twin`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// A full journal, .jsonl or .jsonl.zst
    #[arg(required_unless_present = "controller")]
    journal: Option<PathBuf>,
    /// Host and port of a controller that runs: what may come of its rollouts from now on
    #[arg(long, value_name = "HOST:PORT", requires = "identity", conflicts_with = "journal")]
    controller: Option<String>,
    /// Folder of the person who asks the controller
    #[arg(long, value_name = "DIR", requires = "controller", conflicts_with = "journal")]
    identity: Option<PathBuf>,
    /// How far to look ahead
    #[arg(long, value_name = "SPAN", default_value = "24h", value_parser = span)]
    ahead: Span,
    /// Look ahead from this moment of the journal instead of its end (RFC 3339)
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    at: Option<Instant>,
    /// Courses for every policy
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(10..=100_000))]
    runs: u64,
    /// Policies to try beside the journal's own: names of the library, or .toml files
    #[arg(long, value_name = "P,…", value_delimiter = ',')]
    policies: Vec<String>,
    /// Look ahead from so many earlier moments too, and say how that came out
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    looks: u32,
    /// Draws the loads to come
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = worlds::seed)]
    seed: u64,
    /// Folder for report.html and twin.json
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print one JSON document and nothing else
    #[arg(long)]
    json: bool,
}

fn span(text: &str) -> Result<Span, String> {
    let span = parse_span(text).map_err(|error| error.to_string())?;
    let range = Span::from_secs(3600)..=Span::from_secs(14 * 86_400);
    if range.contains(&span) { Ok(span) } else { Err(format!("`{text}` is outside 1h to 14d")) }
}

fn moment(text: &str) -> Result<Instant, String> {
    let read = slacktide_scenarios::recorded::moment(text).map(Instant::from_secs);
    read.ok_or_else(|| format!("`{text}` is no moment: write RFC 3339 such as 2024-03-04T18:00:00Z, or Unix seconds"))
}

/// `slacktide twin`
pub(crate) fn run(args: &Args) -> Result<Outcome> {
    args.out.iter().try_for_each(|out| out::is_free(out, &[out::TWIN]))?;
    let (lines, name) = recorded(args)?;
    let shown = cut(args, &lines)?;
    let alternatives = alternatives(&args.policies, &lines)?;
    let arms = alternatives.len() as u64 + 1;
    let question = Question { ahead: args.ahead, runs: args.runs, seed: args.seed, alternatives };
    let bar = crate::simulate::bar(args.runs * (arms + u64::from(args.looks)), "looking ahead");
    let named = || name.clone();
    let twin = look_ahead(shown, &question, &|| bar.inc(1)).with_context(named)?;
    let scores = match args.looks {
        0 => None,
        looks => Some(score(shown, &question, looks as usize, &|| bar.inc(1)).with_context(named)?),
    };
    bar.finish_and_clear();
    let document = page::Document {
        schema: "slacktide/twin/1".to_owned(),
        journal: named(),
        at: twin.at.to_string(),
        ahead_h: args.ahead.as_secs_f64() / 3600.0,
        runs: args.runs,
        seed: args.seed,
        arms: twin.arms.iter().map(|arm| arm_of(arm, twin.at)).collect(),
        calibration: scores.as_ref().map(calibration),
    };
    let json = serde_json::to_string(&document)?;
    if let Some(out) = &args.out {
        let files = out::claim(out, &[out::TWIN])?;
        files.write(out::TWIN, json.as_bytes())?;
        files.write("report.html", page::html(&document).as_bytes())?;
        files.place()?;
    }
    if args.json {
        crate::say!("{json}");
        return Ok(Outcome::Good);
    }
    say(&document);
    if let Some(out) = &args.out {
        crate::say!("\nThe page: {}", out.join("report.html").display());
    }
    Ok(Outcome::Good)
}

/// The journal that is asked about, and what it is called.
fn recorded(args: &Args) -> Result<(Vec<Line>, String)> {
    if let (Some(controller), Some(identity)) = (&args.controller, &args.identity) {
        return Ok((journal::lines_of_controller(controller, identity)?, format!("the controller at {controller}")));
    }
    let path = args.journal.as_ref().context("give a journal, or --controller and --identity")?;
    Ok((journal::read_lines(path)?, path.display().to_string()))
}

/// The policies beside the journal's own, which stands among the arms already.
fn alternatives(names: &[String], lines: &[Line]) -> Result<Vec<Policy>> {
    let own = match lines.first().map(|line| &line.entry) {
        // One that does not read is told where the engine is rebuilt under it.
        Some(Entry::Header(header)) => Policy::from_toml("journal header", &header.policy).ok(),
        _ => None,
    };
    let mut policies: Vec<Policy> = Vec::new();
    for (i, name) in names.iter().enumerate() {
        if names[..i].contains(name) {
            bail!("--policies: `{name}` stands twice");
        }
        let mut policy = worlds::policy(name)?;
        if own.as_ref().is_some_and(|own| policy.name == own.name && policy.to_toml() == own.to_toml()) {
            bail!("--policies: `{name}` is the journal's own policy, under which it looks ahead anyway: leave it out");
        }
        // Of the same name and yet another: a field was changed with --set, or a file has the name of the library's.
        if own.iter().chain(&policies).any(|other| other.name == policy.name) {
            policy.name = format!("{} (as named)", policy.name);
        }
        policies.push(policy);
    }
    Ok(policies)
}

/// The lines up to `--at`.
fn cut<'a>(args: &Args, lines: &'a [Line]) -> Result<&'a [Line]> {
    let Some(at) = args.at else { return Ok(lines) };
    let (Some(first), Some(last)) = (lines.first(), lines.last()) else { return Ok(lines) };
    if at <= first.at || at > last.at {
        bail!("--at {at} lies outside the journal, which runs from {} to {}", first.at, last.at);
    }
    Ok(&lines[..lines.partition_point(|line| line.at <= at)])
}

fn arm_of(arm: &Arm, from: Instant) -> page::Arm {
    let hours = |q: f64| arm.completion_s(from, q).map(|s| s / 3600.0);
    let point = |(at, q): (Instant, Vec<f64>)| page::Point {
        h: at.since(from).as_secs_f64() / 3600.0,
        p2: q[0],
        p10: q[1],
        p50: q[2],
        p90: q[3],
        p97: q[4],
    };
    let chances = [
        ("critical_pool", arm.chance(|course| course.worst_pool_percent > arm.critical_percent)),
        ("unfinished", arm.chance(|course| course.ended.is_none())),
        ("stopped_or_rolled_back", arm.chance(|course| course.states.iter().any(|state| state.is_unhappy_end()))),
        ("failed_devices", arm.chance(|course| course.failed > 0)),
    ];
    let updated = arm.courses.iter().map(|course| f64::from(course.updated)).sum::<f64>();
    page::Arm {
        policy: arm.policy.clone(),
        completion: page::Hours { p10: hours(0.1), p50: hours(0.5), p90: hours(0.9) },
        chances: chances.map(|(name, share)| (name.to_owned(), share)).into_iter().collect::<BTreeMap<_, _>>(),
        capacity: arm.capacity(&[0.025, 0.1, 0.5, 0.9, 0.975]).into_iter().map(point).collect(),
        updated_devices: updated / arm.courses.len().max(1) as f64,
    }
}

fn calibration(scores: &Scores) -> page::Calibration {
    let row = |what: String, score: &slacktide_sim::twin::Score| page::Score {
        what,
        count: score.count,
        within_percent: score
            .within
            .iter()
            .map(|n| (score.count > 0).then(|| *n as f64 / score.count as f64 * 100.0))
            .collect(),
    };
    let capacity = scores.capacity.iter().map(|s| row(format!("capacity up to {} h ahead", s.lead_s / 3600), s));
    let completion = scores.completion.iter().map(|score| row("completion".to_owned(), score));
    page::Calibration { bands_percent: BANDS_PERCENT.to_vec(), scores: capacity.chain(completion).collect() }
}

fn say(document: &page::Document) {
    crate::say!("from {}, {} courses for each policy\n", document.at, document.runs);
    let hours = |h: Option<f64>| h.map_or_else(|| "–".to_owned(), text::number);
    let percent = |arm: &page::Arm, name: &str| format!("{} %", text::number(arm.chances[name] * 100.0));
    let row = |arm: &page::Arm| {
        vec![
            arm.policy.clone(),
            hours(arm.completion.p10),
            hours(arm.completion.p50),
            hours(arm.completion.p90),
            percent(arm, "critical_pool"),
            percent(arm, "unfinished"),
            percent(arm, "stopped_or_rolled_back"),
        ]
    };
    let header = ["policy", "ended h: 10 %", "half", "90 %", "pool past critical", "unfinished", "stopped or back"];
    crate::say!("{}", text::table(&header, &document.arms.iter().map(row).collect::<Vec<_>>()).trim_end());
    let Some(calibration) = &document.calibration else { return };
    crate::say!("\nHow earlier looks ahead came out: percent of the truths within each band\n");
    let row = |score: &page::Score| {
        let share = |share: &Option<f64>| share.map_or_else(|| "–".to_owned(), text::number);
        let mut cells = vec![score.what.clone(), score.count.to_string()];
        cells.extend(score.within_percent.iter().map(share));
        cells
    };
    let header = ["foretold", "times", "50 % band", "80 % band", "95 % band"];
    crate::say!("{}", text::table(&header, &calibration.scores.iter().map(row).collect::<Vec<_>>()).trim_end());
}
