//! `slacktide replay` and `slacktide journal …`.

use crate::difference::{Difference, difference};
use crate::whatif::{self, Question};
use crate::{Outcome, worlds};
use anyhow::{Context, Result, bail};
use serde_json::json;
use slacktide_engine::journal::{
    Broken, ChainReader, ChainWriter, Entry, JournalMode, Line, replay as engine_replay, verify,
};
use slacktide_engine::policy::Policy;
use slacktide_reports::{files, tables::Tables, telemetry::telemetry_csv, transcript::transcript};
use std::path::{Path, PathBuf};

/// Arguments of `replay`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A full journal is replayed from its recorded inputs alone. A journal of decisions is replayed by making its world\nagain from its header (recorded load must still be where it was).\n\nExample:\n  slacktide replay out/journal.jsonl\n\nWith --policy or --set it says what another policy would have done, and from where on that is no longer exact:\n  slacktide replay out/journal.jsonl --policy cautious\n  slacktide replay out/journal.jsonl --set plan.pool_out_max=10%"
)]
pub(crate) struct ReplayArgs {
    /// A .jsonl or .jsonl.zst file
    journal: PathBuf,
    /// What would this policy have done? A name of the library, or a .toml file
    #[arg(long, value_name = "P")]
    policy: Option<String>,
    /// Change one field of it, such as plan.pool_out_max=10%; with no --policy, of the recorded one
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// Answer from the recorded telemetry, though the journal says how its world was made
    #[arg(long)]
    from_telemetry: bool,
    /// Write the page and the journal of the other policy's course here
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Things to do with a journal.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Follow the hash chain; a changed, dropped or cut line is named (exit 1)
    #[command(after_help = "Example:\n  slacktide journal verify out/journal.jsonl")]
    Verify {
        /// A .jsonl or .jsonl.zst file
        journal: PathBuf,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Tell a journal in plain lines, one a decision: when, what, and why with its numbers
    #[command(after_help = "Example:\n  slacktide simulate first-rollout --out o && slacktide journal show o")]
    Show {
        /// A .jsonl or .jsonl.zst file, or an --out folder
        journal: PathBuf,
    },
    /// Write the ticks as CSV, or the journal packed (.jsonl.zst) or plain (.jsonl); from a file, a controller's store, or a controller
    #[command(
        after_help = "Examples:\n  slacktide journal export out/journal.jsonl ticks.csv\n  slacktide journal export controller.db journal.jsonl\n  slacktide journal export --telemetry out/journal.jsonl load.csv\n  slacktide journal export --controller host:7443 --identity me journal.jsonl\n\nA journal that goes on is closed in the copy, so that replay and report read it."
    )]
    Export {
        /// A .jsonl or .jsonl.zst file, or the store of a controller that does not run
        #[arg(value_name = "JOURNAL", required_unless_present = "controller")]
        journal: Option<PathBuf>,
        /// Where to: FILE.csv, FILE.jsonl or FILE.jsonl.zst
        #[arg(required_unless_present = "controller")]
        to: Option<PathBuf>,
        /// Host and port of a controller that runs; then the only file is where to
        #[arg(long, value_name = "HOST:PORT", requires = "identity")]
        controller: Option<String>,
        /// Folder of the person who asks the controller
        #[arg(long, value_name = "DIR")]
        identity: Option<PathBuf>,
        /// Write what the devices reported (FILE.csv), for `forecast`, `calibrate`, `plan --history` and `simulate --traces`
        #[arg(long)]
        telemetry: bool,
    },
}

/// Where an export comes from, and where it goes.
fn export(
    journal: Option<PathBuf>,
    to: Option<PathBuf>,
    controller: Option<String>,
    identity: Option<PathBuf>,
) -> Result<(String, PathBuf)> {
    if let (Some(controller), Some(identity)) = (controller, identity) {
        let (Some(to), None) = (journal, to) else { bail!("with --controller give one file: where to") };
        return Ok((closed(&crate::rollout::journal_of(&controller, &identity)?)?, to));
    }
    let (Some(journal), Some(to)) = (journal, to) else { bail!("give a journal and where to") };
    let text = read_any(&journal)?;
    Ok((text, to))
}

/// Is it an SQLite file?
fn is_store(path: &Path) -> Result<bool> {
    use std::io::Read as _;
    let mut file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut head = [0; 16];
    Ok(file.read_exact(&mut head).is_ok() && head == *b"SQLite format 3\0")
}

/// The text of a journal. A store holds one, which goes on; what is asked of a whole journal is asked of a copy.
fn read_journal(path: &Path) -> Result<String> {
    refuse_store(path)?;
    Ok(files::read_journal(path)?)
}

fn refuse_store(path: &Path) -> Result<()> {
    if path.is_file() && is_store(path)? {
        let name = path.display();
        bail!(
            "{name} is a controller's store, not a journal: `slacktide journal export {name} journal.jsonl` makes one of it"
        );
    }
    Ok(())
}

fn store_text(path: &Path) -> Result<String> {
    let mut text = String::new();
    slacktide_live_bridge::controller::Store::open_to_read(path)?.each_line(0, &mut |_, line| {
        text.push_str(&line);
        text.push('\n');
        Ok(())
    })?;
    Ok(text)
}

/// A journal that goes on, with the closing entry it would have if it ended here.
fn closed(text: &str) -> Result<String> {
    let (mut reader, mut writer) = (ChainReader::default(), ChainWriter::default());
    let mut whole = String::with_capacity(text.len() + 256);
    let mut last = None;
    for line in text.lines() {
        let read = reader.read(line).context("the chain is broken")?;
        last = Some(read.at);
        let again = writer.line(read.at, read.entry);
        if again != line {
            bail!("line {} was written by another version of this program, which must export it", writer.entries());
        }
        whole.push_str(&again);
        whole.push('\n');
    }
    let Some(at) = last else { bail!("the journal is empty") };
    whole.push_str(&writer.close(at));
    whole.push('\n');
    Ok(whole)
}

/// Follows the chain and gives its lines.
pub(crate) fn read_lines(path: &Path) -> Result<Vec<Line>> {
    checked(&read_journal(path)?, &path.display().to_string())
}

/// The journal of a controller that runs, up to now.
pub(crate) fn lines_of_controller(controller: &str, identity: &Path) -> Result<Vec<Line>> {
    checked(&closed(&crate::rollout::journal_of(controller, identity)?)?, controller)
}

fn checked(text: &str, name: &str) -> Result<Vec<Line>> {
    let mut reader = ChainReader::default();
    let mut lines = Vec::new();
    for line in text.lines() {
        lines.push(
            reader
                .read(line)
                .with_context(|| format!("{name}: the chain is broken; see `slacktide journal verify`"))?,
        );
    }
    reader.finish().with_context(|| name.to_owned())?;
    Ok(lines)
}

/// Text of a journal whose chain holds: no table or page is made of one that was cut or changed.
pub(crate) fn read_whole(path: &Path) -> Result<String> {
    let text = read_journal(path)?;
    let intact = verify(text.lines());
    intact.with_context(|| format!("{}: the chain is broken; see `slacktide journal verify`", path.display()))?;
    Ok(text)
}

/// The same, also of a controller's store, whose journal goes on: closed where it stands.
pub(crate) fn read_any(path: &Path) -> Result<String> {
    if is_store(path)? { closed(&store_text(path)?) } else { read_whole(path) }
}

/// The journal of an `--out` folder; a file is itself.
fn in_folder(path: PathBuf) -> PathBuf {
    if path.is_dir() { path.join("journal.jsonl") } else { path }
}

/// `slacktide journal …`
pub(crate) fn run(verb: Verb) -> Result<Outcome> {
    match verb {
        Verb::Verify { journal, json } => verified(&journal, json),
        Verb::Show { journal } => {
            let lines = read_lines(&in_folder(journal))?;
            crate::say!("{}", transcript(&lines).trim_end());
            Ok(Outcome::Good)
        }
        Verb::Export { journal, to, controller, identity, telemetry } => {
            let (lines, to) = export(journal, to, controller, identity)?;
            let name = to.to_string_lossy().into_owned();
            if telemetry {
                if !name.ends_with(".csv") {
                    bail!("{name}: telemetry goes to a .csv file");
                }
                files::write_aside(&to, &telemetry_csv(lines.lines())?)?;
            } else if name.ends_with(".csv") {
                let tables = Tables::read(lines.lines())?;
                files::write_aside(&to, tables.ticks_csv().as_bytes())?;
            } else if name.ends_with(".jsonl") || name.ends_with(".jsonl.zst") {
                files::write_journal(&to, &lines)?;
            } else {
                bail!("{name}: write to a .csv, .jsonl or .jsonl.zst file");
            }
            crate::say!("wrote {name}");
            Ok(Outcome::Good)
        }
    }
}

/// `slacktide journal verify`
fn verified(path: &Path, json: bool) -> Result<Outcome> {
    refuse_store(path)?;
    let (text, cut) = files::read_journal_as_far(path)?;
    let lines = text.lines().count() as u64;
    let mut result = verify(text.lines());
    if let Some(cut) = cut {
        // What could be unpacked has its own say on where it ends; behind a chain that is closed there is more than should be.
        let line = result.as_ref().err().map_or(lines + 1, |broken| broken.line);
        let problem = format!("is damaged or cut off here: {:#}", anyhow::Error::from(cut));
        result = Err(Broken { line, problem });
    }
    let (intact, entries, broken_at) = match &result {
        Ok((entries, _)) => (true, *entries, None),
        Err(broken) => (false, lines, Some(broken.line)),
    };
    let name = path.display();
    if json {
        let problem = result.as_ref().err().map(|b| b.problem.clone());
        crate::say!(
            "{}",
            json!({"schema": "slacktide/journal-verify/1", "journal": name.to_string(), "intact": intact, "entries": entries, "broken_at": broken_at, "problem": problem})
        );
    } else {
        match &result {
            Ok((entries, hash)) => crate::say!("{name}: intact: {entries} entries, hash {hash}"),
            Err(broken) => crate::say!("{name}: broken: {broken}"),
        }
    }
    Ok(if intact { Outcome::Good } else { Outcome::Bad })
}

struct Answer {
    entries: u64,
    /// Line, what stands there, what came out.
    difference: Option<(u64, String, String)>,
}

/// `slacktide replay`
pub(crate) fn replay(args: &ReplayArgs) -> Result<Outcome> {
    let lines = read_lines(&args.journal)?;
    let Some(Entry::Header(header)) = lines.first().map(|l| &l.entry) else {
        bail!("{} has no header", args.journal.display())
    };
    if args.policy.is_some() || !args.set.is_empty() {
        let named = args.policy.as_deref().map(worlds::policy).transpose()?;
        let policy = named.map_or_else(|| Policy::from_toml("journal header", &header.policy), Ok)?;
        let policy = args.set.iter().try_fold(policy, |policy, text| worlds::with_field(&policy, text))?;
        return whatif::answer(&Question {
            lines: &lines,
            header,
            policy,
            from_telemetry: args.from_telemetry,
            out: args.out.as_deref(),
            json: args.json,
        });
    }
    if args.from_telemetry || args.out.is_some() {
        bail!("--from-telemetry and --out belong to a question: add --policy or --set");
    }
    let answer = if header.mode == JournalMode::Full {
        let replay = engine_replay::replay(&lines)?;
        Answer {
            entries: replay.entries,
            difference: replay.first_difference.map(|d| (d.line, d.recorded, d.replayed)),
        }
    } else {
        let policy = Policy::from_toml("journal header", &header.policy)?;
        let setup = worlds::from_origin(&header.world, policy)?;
        let again = slacktide_sim::run(&setup, header.seed, &|_| {});
        let text = read_journal(&args.journal)?;
        compare_lines(&text, &again.journal)
    };
    let identical = answer.difference.is_none();
    if args.json {
        let first = answer.difference.map(|(line, recorded, replayed)| {
            let Difference { field, character, .. } = difference(&recorded, &replayed);
            json!({"line": line, "field": field, "character": character, "recorded": recorded, "replayed": replayed})
        });
        crate::say!(
            "{}",
            json!({"schema": "slacktide/replay/1", "identical": identical, "entries": answer.entries, "first_difference": first})
        );
    } else if let Some((line, recorded, replayed)) = answer.difference {
        let Difference { field, character, around: [recorded, replayed] } = difference(&recorded, &replayed);
        let field = field.map(|field| format!("field `{field}`, ")).unwrap_or_default();
        crate::say!(
            "different from line {line} on: {field}character {character}\n  recorded: {recorded}\n  replayed: {replayed}"
        );
    } else {
        crate::say!("identical: {} entries", answer.entries);
    }
    Ok(if identical { Outcome::Good } else { Outcome::Bad })
}

fn compare_lines(recorded: &str, replayed: &[String]) -> Answer {
    let mut entries = 0;
    let mut others = replayed.iter();
    for (number, line) in recorded.lines().enumerate() {
        let other = others.next();
        if other.is_none_or(|other| other != line) {
            let said = other.cloned().unwrap_or_else(|| "nothing".to_owned());
            return Answer { entries, difference: Some((number as u64 + 1, line.to_owned(), said)) };
        }
        entries += 1;
    }
    let difference = others.next().map(|more| (entries + 1, "nothing".to_owned(), more.clone()));
    Answer { entries, difference }
}
