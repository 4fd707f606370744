//! `slacktide replay JOURNAL --policy P`: what would this policy have done?

use crate::{Outcome, out, worlds};
use anyhow::{Result, bail};
use serde_json::json;
use slacktide_engine::journal::entry::Header;
use slacktide_engine::journal::{Entry, JournalMode, Line};
use slacktide_engine::policy::Policy;
use slacktide_reports::tables::Tables;
use slacktide_reports::{page, text};
use slacktide_sim::whatif::{Parting, WhatIf, what_if};
use std::path::Path;

/// What is asked.
pub(crate) struct Question<'a> {
    pub(crate) lines: &'a [Line],
    pub(crate) header: &'a Header,
    pub(crate) policy: Policy,
    /// Answer from the recorded telemetry, though the journal says how its world was made.
    pub(crate) from_telemetry: bool,
    pub(crate) out: Option<&'a Path>,
    pub(crate) json: bool,
}

/// Answers it.
pub(crate) fn answer(question: &Question<'_>) -> Result<Outcome> {
    let files = question.out.map(|out| out::claim(out, &[out::JOURNAL])).transpose()?;
    let made_again = !question.header.world.is_null() && !question.from_telemetry;
    let answer = if made_again {
        in_the_same_world(question)?
    } else if question.header.mode == JournalMode::Full {
        let bar = crate::simulate::bar(0, "replaying");
        let answer = what_if(question.lines, &question.policy, &|_| bar.tick())?;
        bar.finish_and_clear();
        answer
    } else {
        bail!("the journal holds decisions only, and its telemetry is needed; record it with --journal full");
    };
    let recorded: Vec<String> = question.lines.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
    let before = Tables::read(recorded.iter().map(String::as_str))?;
    let after = Tables::read(answer.journal.iter().map(String::as_str))?;
    if let Some(files) = files {
        files.write("report.html", page::html(&after).as_bytes())?;
        files.write(out::JOURNAL, (answer.journal.join("\n") + "\n").as_bytes())?;
        files.place()?;
    }
    let exact = exactness(answer.parted.as_ref(), made_again);
    if question.json {
        let parted = answer.parted.as_ref().map(
            |p| json!({"at": p.at.to_string(), "recorded": p.recorded, "instead": p.instead, "afterwards": model_name(made_again)}),
        );
        crate::say!(
            "{}",
            json!({
                "schema": "slacktide/replay-what-if/1",
                "policy": question.policy.name,
                "recorded_policy": question.header.policy_name,
                "first_difference": parted,
                "exact_to_the_end": answer.parted.is_none(),
                "rollout_states": answer.states.iter().map(|s| s.name()).collect::<Vec<_>>(),
                "recorded": before.course(),
                "instead": after.course(),
            })
        );
        return Ok(Outcome::Good);
    }
    crate::say!("{exact}\n");
    let names = after.course();
    let recorded = before.course();
    let cell = |value: Option<&f64>| value.map_or_else(|| "–".to_owned(), |v| text::number(*v));
    let rows: Vec<Vec<String>> = names
        .iter()
        .map(|(name, value)| vec![(*name).to_owned(), cell(recorded.get(name)), text::number(*value)])
        .collect();
    let (then, now) = (question.header.policy_name.as_str(), question.policy.name.as_str());
    crate::say!("{}", text::table(&["", &format!("recorded ({then})"), &format!("instead ({now})")], &rows).trim_end());
    if let Some(out) = question.out {
        crate::say!("The page: {}", out.join("report.html").display());
    }
    Ok(Outcome::Good)
}

/// A simulated journal says how its world was made: the same world, the same chance, another policy.
fn in_the_same_world(question: &Question<'_>) -> Result<WhatIf> {
    let setup = worlds::from_origin(&question.header.world, question.policy.clone())?;
    let run = slacktide_sim::run(&setup, question.header.seed, &|_| {});
    let decisions = |lines: &[Line]| -> Vec<(String, String)> {
        let told = |line: &Line| match &line.entry {
            Entry::Batch { rollout, devices, .. } => {
                Some(format!("rollout {rollout}: a batch goes: {}", shortened(devices)))
            }
            Entry::Rollback { rollout, devices, .. } => {
                Some(format!("rollout {rollout}: taken back: {}", shortened(devices)))
            }
            Entry::Rollout { rollout, to, .. } => Some(format!("rollout {rollout} is {to}")),
            _ => None,
        };
        lines.iter().filter_map(|line| told(line).map(|what| (line.at.to_string(), what))).collect()
    };
    let mut reader = slacktide_engine::journal::ChainReader::default();
    let again = run.journal.iter().map(|line| reader.read(line)).collect::<Result<Vec<Line>, _>>()?;
    let (then, now) = (decisions(question.lines), decisions(&again));
    let first = (0..then.len().max(now.len())).find(|i| then.get(*i) != now.get(*i));
    let parted = first.map(|i| {
        let words =
            |d: Option<&(String, String)>| d.map_or_else(|| "nothing".to_owned(), |(at, d)| format!("{at}: {d}"));
        let position = |lines: &[Line]| {
            let is_decision =
                |l: &&Line| matches!(l.entry, Entry::Batch { .. } | Entry::Rollback { .. } | Entry::Rollout { .. });
            lines.iter().filter(is_decision).nth(i).map(|line| line.at)
        };
        let at = position(question.lines).into_iter().chain(position(&again)).min();
        Parting { at: at.unwrap_or(again[0].at), recorded: words(then.get(i)), instead: words(now.get(i)) }
    });
    Ok(WhatIf { journal: run.journal, parted, states: run.states })
}

fn shortened(devices: &[slacktide_engine::ids::DeviceId]) -> String {
    let named: Vec<&str> = devices.iter().take(4).map(slacktide_engine::ids::DeviceId::as_str).collect();
    let more = devices.len().saturating_sub(named.len());
    if more > 0 { format!("{} and {more} more", named.join(", ")) } else { named.join(", ") }
}

const fn model_name(made_again: bool) -> &'static str {
    if made_again { "the simulated world itself" } else { "a world model made of the journal" }
}

fn exactness(parted: Option<&Parting>, made_again: bool) -> String {
    let Some(parting) = parted else {
        return "Every decision would have been the same: the answer is exact.".to_owned();
    };
    let after = if made_again {
        "From then on the same simulated world goes on with the same chance, so the answer is as exact as that world."
    } else {
        "From then on the recorded outcomes no longer apply. A world model takes over: devices carry their recorded load \
         (beyond the recording, that of the same time a day before), moved by who is out; updates take as long and fail as often as the recorded ones. \
         What the release itself did to the load of devices updated in the recording is not taken out."
    };
    format!(
        "Exact until {}: there the courses part.\n  recorded: {}\n  instead:  {}\n{after}",
        parting.at, parting.recorded, parting.instead
    )
}
