//! What is going on, in a sentence or two.

use crate::controller::{Overview, RolloutView};
use slacktide_engine::document::counted;

/// For people who look once and go on with their work.
pub(super) fn sentence(overview: &Overview) -> String {
    let mut sentences = Vec::new();
    if let Some(reason) = &overview.stopped {
        sentences.push(format!("Everything is stopped: {reason}."));
    }
    let under_way: Vec<&RolloutView> = overview.rollouts.iter().filter(|one| !one.is_over).collect();
    match under_way.as_slice() {
        [] => sentences.push(nothing(overview)),
        [one] => sentences.push(of_one(one)),
        several => {
            sentences.push(format!("{} rollouts are under way.", several.len()));
            // What needs a person comes first.
            sentences.extend(several.iter().filter(|one| one.state != "running").map(|one| of_one(one)));
        }
    }
    sentences.join(" ")
}

fn nothing(overview: &Overview) -> String {
    let devices = overview.devices.total;
    match overview.rollouts.first() {
        None => format!("No rollout has been made yet for the {}.", count(devices)),
        Some(last) => {
            format!("Nothing is under way. The last rollout, {}, is {}.", title(last), last.state.replace('_', " "))
        }
    }
}

fn title(one: &RolloutView) -> String {
    format!("{} ({} {})", one.number, one.package, one.version)
}

fn of_one(one: &RolloutView) -> String {
    let name = title(one);
    match one.state {
        "running" => format!("Rollout {name} is running: {}.", progress(one)),
        "paused" => {
            let why = match (one.cause, one.detail.as_str()) {
                (Some("operator"), _) => " by a person".to_owned(),
                (Some(cause), "") => format!(" ({cause})"),
                (None, "") => String::new(),
                (_, detail) => format!(": {detail}"),
            };
            format!("Rollout {name} is paused{why}. {}.", capital(&progress(one)))
        }
        "waiting_for_approval" => format!("Rollout {name} waits for somebody to approve it."),
        "ready" => format!("Rollout {name} is approved and waits to be started."),
        "aborting" => format!("Rollout {name} is being aborted: what is in flight comes home."),
        "rolling_back" => {
            format!(
                "Rollout {name} goes back: {} being taken back, {} are back.",
                are(one.counts.rolling_back),
                one.counts.rolled_back
            )
        }
        state => format!("Rollout {name} is {}.", state.replace('_', " ")),
    }
}

fn progress(one: &RolloutView) -> String {
    let counts = &one.counts;
    let all = counts.waiting
        + counts.staging
        + counts.out
        + counts.updated
        + counts.rolling_back
        + counts.rolled_back
        + counts.failed;
    let verb = if counts.updated == 1 { "is" } else { "are" };
    let mut words = format!("{} of {} {verb} updated", counts.updated, count(all as usize));
    if counts.staging > 0 {
        words.push_str(&format!(", {} getting ready", are(counts.staging)));
    }
    if counts.out > 0 {
        words.push_str(&format!(", {} out of service", are(counts.out)));
    }
    if counts.failed > 0 {
        words.push_str(&format!(", {} failed", counts.failed));
    }
    words
}

fn are(n: u32) -> String {
    if n == 1 { "1 is".to_owned() } else { format!("{n} are") }
}

fn count(devices: usize) -> String {
    counted(devices, "device", "devices")
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
