//! `slacktide simulate --chaos`: random worlds, every promise checked, and what broke one made smaller.

use crate::Outcome;
use crate::simulate::Args;
use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use slacktide_engine::document::{format_span, parse_span};
use slacktide_engine::time::Span;
use slacktide_reports::files;
use slacktide_sim::chaos::{Broken, Chaos, Examiner, Finding, Tally, World};
use std::cell::Cell;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Findings after which to stop: more of them tend to be the same one.
const FINDINGS_MAX: usize = 5;

/// Runs the verb's chaos.
pub(crate) fn run(args: &Args) -> Result<Outcome> {
    quiet_panics();
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("slacktide-out"));
    if let Some(scenario) = &args.world.scenario {
        return one(args, scenario);
    }
    let limit = args.chaos_for.as_deref().map(read_span).transpose()?;
    // Without a limit of either kind, as long as a cup of coffee takes.
    let limit = limit.or_else(|| args.worlds.is_none().then(|| Duration::from_secs(60)));
    let chaos = Chaos {
        seed: args.world.seed,
        from: args.from,
        worlds: args.worlds,
        findings_max: FINDINGS_MAX,
        shrink_tries_max: args.shrink_tries,
        examiner: Examiner::default(),
    };
    let began = Instant::now();
    let stop = || limit.is_some_and(|limit| began.elapsed() >= limit);
    let said = Cell::new(Duration::ZERO);
    let tally = chaos.run(&stop, &|tally| progress(tally, began, &said));
    if std::io::stderr().is_terminal() {
        eprintln!();
    }
    let wall_s = began.elapsed().as_secs_f64();
    let saved = tally.findings.iter().map(|finding| save(&out, chaos.seed, finding)).collect::<Result<Vec<_>>>()?;
    if args.json {
        crate::say!("{}", document(&chaos, &tally, &saved, wall_s));
    } else {
        print(&tally, &saved, chaos.seed, wall_s);
    }
    Ok(if tally.findings.is_empty() { Outcome::Good } else { Outcome::Bad })
}

/// One world of a file or of the library, every promise checked.
fn one(args: &Args, scenario: &str) -> Result<Outcome> {
    let text = crate::worlds::scenario(scenario)?.text;
    let verdict = Examiner::default().examine(&World { number: args.world.seed, text }, true);
    let texts = texts(&verdict.broken);
    if args.json {
        let ends: Vec<&str> = verdict.states.iter().map(|state| state.name()).collect();
        crate::say!(
            "{}",
            json!({"schema": "slacktide/chaos/1", "seed": args.world.seed, "worlds": 1, "ends": ends, "broken": texts})
        );
    } else if texts.is_empty() {
        crate::say!("{scenario} with seed {}: every promise was kept", args.world.seed);
    } else {
        crate::say!("{scenario} with seed {}:", args.world.seed);
        texts.iter().for_each(|text| crate::say!("  PROMISE BROKEN: {text}"));
    }
    Ok(if texts.is_empty() { Outcome::Good } else { Outcome::Bad })
}

/// A panic of the engine is a finding, and told as one: here only where it was, once.
fn quiet_panics() {
    let said = std::sync::Mutex::new(std::collections::BTreeSet::new());
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map_or_else(String::new, ToString::to_string);
        if said.lock().is_ok_and(|mut said| said.insert(place.clone())) {
            eprintln!("slacktide: panic at {place}");
        }
    }));
}

fn read_span(text: &str) -> Result<Duration> {
    let span = parse_span(text).map_err(|error| anyhow!("--for {text}: {error}"))?;
    if span == Span::ZERO {
        bail!("--for {text}: must be more than nothing");
    }
    Ok(Duration::from_millis(span.as_millis()))
}

fn progress(tally: &Tally, began: Instant, said: &Cell<Duration>) {
    let passed = began.elapsed();
    let is_terminal = std::io::stderr().is_terminal();
    let wait = if is_terminal { Duration::from_millis(200) } else { Duration::from_secs(30) };
    if passed.checked_sub(said.get()).is_none_or(|since| since < wait) {
        return;
    }
    said.set(passed);
    let (before, after) = if is_terminal { ("\r", "") } else { ("", "\n") };
    eprint!(
        "{before}{} worlds in {}, {:.1} a second, {} findings{after}",
        tally.worlds,
        format_span(Span::from_secs(passed.as_secs())),
        tally.worlds as f64 / passed.as_secs_f64(),
        tally.findings.len()
    );
    // A terminal that is gone is no reason to stop.
    let _ = std::io::stderr().flush();
}

/// A finding on disk.
struct Saved {
    file: PathBuf,
    shrunk: PathBuf,
}

fn save(out: &Path, seed: u64, finding: &Finding) -> Result<Saved> {
    std::fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
    let name = format!("chaos-{seed}-{}", finding.world.number);
    let saved = Saved { file: out.join(format!("{name}.toml")), shrunk: out.join(format!("{name}-small.toml")) };
    files::write_aside(&saved.file, finding.world.text.as_bytes())?;
    files::write_aside(&saved.shrunk, finding.shrunk.text.as_bytes())?;
    Ok(saved)
}

fn command(file: &Path, world: &World) -> String {
    format!("slacktide simulate {} --chaos --seed {}", file.display(), world.number)
}

fn texts(broken: &[Broken]) -> Vec<&str> {
    broken.iter().map(|broken| broken.text.as_str()).collect()
}

fn print(tally: &Tally, saved: &[Saved], seed: u64, wall_s: f64) {
    for (finding, saved) in tally.findings.iter().zip(saved) {
        crate::say!("World {} of seed {seed} broke a promise:", finding.world.number);
        texts(&finding.broken).iter().for_each(|text| crate::say!("  {text}"));
        crate::say!("  again: slacktide simulate --chaos --seed {seed} --from {} --worlds 1", finding.world.number);
        crate::say!("  again: {}", command(&saved.file, &finding.world));
        crate::say!("  smaller, after {} tries: {}", finding.tries, command(&saved.shrunk, &finding.shrunk));
        texts(&finding.shrunk_broken).iter().take(3).for_each(|text| crate::say!("    {text}"));
    }
    let figures = &tally.figures;
    let list = |counts: &std::collections::BTreeMap<&'static str, u64>| {
        let each: Vec<String> = counts.iter().map(|(name, n)| format!("{n} {name}")).collect();
        if each.is_empty() { "none".to_owned() } else { each.join(", ") }
    };
    crate::say!(
        "{} worlds, {:.0} device-days and {} commands in {wall_s:.1} s ({:.1} worlds a second): {} broke a promise",
        tally.worlds,
        figures.device_days,
        figures.commands,
        tally.worlds as f64 / wall_s.max(1e-3),
        tally.findings.len()
    );
    crate::say!("Rollouts ended: {}", list(&tally.ends));
    crate::say!("Faults: {}", list(&figures.faults));
}

fn document(chaos: &Chaos, tally: &Tally, saved: &[Saved], wall_s: f64) -> Value {
    let findings = tally.findings.iter().zip(saved).map(|(finding, saved)| {
        json!({
            "world": finding.world.number,
            "broken": texts(&finding.broken),
            "file": saved.file,
            "command": command(&saved.file, &finding.world),
            "shrunk_file": saved.shrunk,
            "shrunk_command": command(&saved.shrunk, &finding.shrunk),
            "shrunk_broken": texts(&finding.shrunk_broken),
            "tries": finding.tries,
        })
    });
    json!({
        "schema": "slacktide/chaos/1",
        "seed": chaos.seed,
        "from": chaos.from,
        "worlds": tally.worlds,
        "device_days": tally.figures.device_days,
        "commands": tally.figures.commands,
        "events": tally.figures.events,
        "ends": tally.ends,
        "faults": tally.figures.faults,
        "findings": findings.collect::<Vec<_>>(),
        "performance": {"wall_s": wall_s, "peak_rss_bytes": crate::simulate::peak_rss_bytes()},
    })
}
