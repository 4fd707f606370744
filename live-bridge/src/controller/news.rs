//! The newest decisions in words, as their records pass, and when each rollout last changed its state.

use serde::Serialize;
use slacktide_engine::document::counted;
use slacktide_engine::ids::{DeviceId, RolloutId};
use slacktide_engine::journal::Entry;
use slacktide_engine::journal::entry::{HeldDevices, PlanEntry, SettledAttempt};
use slacktide_engine::rollout::AttemptState;
use slacktide_engine::time::Instant;
use std::collections::{BTreeMap, VecDeque};

/// Decisions kept.
const LINES_MAX: usize = 200;
/// Devices of a line that are named; of more, how many.
const NAMED_MAX: usize = 5;

/// A decision, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Decision {
    /// The line of the journal it began with, from 0. Outcomes that follow one another are one decision, which grows.
    pub(crate) first: u64,
    /// The line of the journal it ends with so far.
    pub(crate) number: u64,
    pub(crate) at_ms: i64,
    pub(crate) rollout: Option<u32>,
    pub(crate) words: String,
}

/// The last change of a rollout's state.
#[derive(Debug, Clone)]
pub(super) struct Turn {
    pub(super) at: Instant,
    pub(super) detail: String,
}

/// What was decided lately.
#[derive(Debug, Default)]
pub(super) struct News {
    lines: VecDeque<Decision>,
    turns: BTreeMap<RolloutId, Turn>,
    /// Words of the last plan: one that changes nothing is not told again.
    planned: String,
    /// What the last line counts, where it is one of outcomes.
    outcomes: BTreeMap<AttemptState, Outcomes>,
}

/// Devices whose attempts ended in the same way.
#[derive(Debug, Default)]
struct Outcomes {
    devices: usize,
    named: Vec<DeviceId>,
}

impl News {
    pub(super) fn note(&mut self, now: Instant, number: u64, entry: &Entry) {
        if let Entry::Rollout { rollout, detail, .. } = entry {
            self.turns.insert(*rollout, Turn { at: now, detail: detail.clone() });
        }
        let last_rollout = self.lines.back().and_then(|line| line.rollout);
        let goes_on = match entry {
            Entry::Settled { rollout, .. } => !self.outcomes.is_empty() && last_rollout == Some(rollout.0),
            _ => false,
        };
        if !goes_on && !is_quiet(entry) {
            self.outcomes.clear();
        }
        let Some((rollout, words)) = self.words(entry) else { return };
        let (rollout, at_ms) = (rollout.map(|rollout| rollout.0), now.as_millis());
        let grown = if goes_on { self.lines.pop_back() } else { None };
        let first = grown.map_or(number, |line| line.first);
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(Decision { first, number, at_ms, rollout, words });
    }

    /// Outcomes, added to those of the line before where it grows.
    fn settled(&mut self, attempts: &[SettledAttempt]) -> String {
        for one in attempts {
            let outcomes = self.outcomes.entry(one.end).or_default();
            outcomes.devices += 1;
            if outcomes.named.len() < NAMED_MAX {
                outcomes.named.push(one.device.clone());
            }
        }
        let part = |(end, all): (&AttemptState, &Outcomes)| {
            format!("{}: {}", plain(end.name()), named(&all.named, all.devices))
        };
        self.outcomes.iter().map(part).collect::<Vec<String>>().join("; ")
    }

    /// The eldest first.
    pub(super) fn lines(&self) -> impl Iterator<Item = &Decision> {
        self.lines.iter()
    }

    pub(super) fn turn(&self, rollout: RolloutId) -> Option<&Turn> {
        self.turns.get(&rollout)
    }

    fn words(&mut self, entry: &Entry) -> Option<(Option<RolloutId>, String)> {
        Some(match entry {
            Entry::Header(header) => (None, format!("the journal begins, policy {}", header.policy_name)),
            Entry::Fleet { rollout, devices, targets, pools, .. } => {
                let pools = counted(pools.len(), "pool", "pools");
                (Some(*rollout), format!("is for {targets} of {}, in {pools}", count(*devices as usize)))
            }
            Entry::Rollout { rollout, from, to, cause, detail } => {
                let why = cause.map(|cause| format!(" ({cause})")).unwrap_or_default();
                let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
                (Some(*rollout), format!("{} → {}{why}{detail}", plain(from.name()), plain(to.name())))
            }
            Entry::WaveOpened { rollout, wave, waves, devices } => {
                (Some(*rollout), format!("wave {} of {waves} opens for {}", wave.0 + 1, count(*devices as usize)))
            }
            Entry::Plan(plan) => (None, self.plan(plan)?),
            Entry::PlanRefused { number, violations } => {
                (None, format!("plan {number} broke a rule and is not obeyed: {}", violations.join("; ")))
            }
            Entry::Batch { rollout, batch, devices, until, .. } => {
                (Some(*rollout), format!("batch {batch} goes: {}, back by {until}", names(devices)))
            }
            Entry::Settled { rollout, attempts } => (Some(*rollout), self.settled(attempts)),
            Entry::Rollback { rollout, devices, canceled, held, .. } => {
                (Some(*rollout), rollback(devices, canceled, held))
            }
            Entry::Verdict(verdict) => {
                let word = verdict.verdict.words();
                (Some(verdict.rollout), format!("the watch says {word}: {}", verdict.evidence))
            }
            Entry::Stated { device, believed, runs } => {
                (None, format!("{device} says that it runs {runs}; {believed} was believed"))
            }
            Entry::Ignored { reason } => (None, format!("ignored: {reason}")),
            _ => return None,
        })
    }

    fn plan(&mut self, plan: &PlanEntry) -> Option<String> {
        let devices: u32 = plan.batches.iter().map(|batch| batch.devices).sum();
        let first = plan.batches.first()?;
        let waiting: Vec<String> = plan.waiting.iter().map(|(why, n)| format!("{n} {why}")).collect();
        let rest =
            if waiting.is_empty() { String::new() } else { format!("; without a place: {}", waiting.join(", ")) };
        let batches = counted(plan.batches.len(), "batch", "batches");
        let words = format!(
            "{} in {batches}, the first of {} at {}{rest}",
            count(devices as usize),
            first.devices,
            first.start
        );
        if words == self.planned {
            return None;
        }
        self.planned.clone_from(&words);
        Some(format!("plan {} ({}): {words}", plan.number, plan.reason))
    }
}

/// `rolling_back` as people write it.
pub(super) fn plain(name: &str) -> String {
    name.replace('_', " ")
}

fn count(devices: usize) -> String {
    counted(devices, "device", "devices")
}

fn names(devices: &[DeviceId]) -> String {
    named(&devices[..devices.len().min(NAMED_MAX)], devices.len())
}

fn named(some: &[DeviceId], total: usize) -> String {
    let words: Vec<&str> = some.iter().map(DeviceId::as_str).collect();
    let more = total - words.len();
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{} ({}{rest})", count(total), words.join(" "))
}

/// Comes between outcomes and is no decision.
const fn is_quiet(entry: &Entry) -> bool {
    matches!(entry, Entry::Input { .. } | Entry::Tick(_) | Entry::Forecast(_))
}

fn rollback(devices: &[DeviceId], canceled: &[DeviceId], held: &[HeldDevices]) -> String {
    let mut parts = Vec::new();
    if !devices.is_empty() {
        parts.push(format!("{} go back", names(devices)));
    }
    if !canceled.is_empty() {
        parts.push(format!("called off: {}", names(canceled)));
    }
    let held = held.iter().map(|one| format!("{} held ({})", one.devices, one.reason.name()));
    parts.extend(held);
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use slacktide_engine::ids::AttemptId;

    fn ended(device: &str, end: AttemptState) -> Entry {
        let attempt = SettledAttempt {
            attempt: AttemptId(0),
            device: DeviceId::from(device),
            end,
            took: slacktide_engine::time::Span::ZERO,
            to: None,
        };
        Entry::Settled { rollout: RolloutId(0), attempts: vec![attempt] }
    }

    #[test]
    fn outcomes_that_follow_one_another_are_one_line_that_grows() {
        let mut news = News::default();
        let at = Instant::from_secs(1);
        news.note(at, 4, &ended("a", AttemptState::Succeeded));
        news.note(at, 6, &ended("b", AttemptState::Failed));
        news.note(at, 8, &ended("c", AttemptState::Succeeded));
        let line = news.lines().next().unwrap().clone();
        assert_eq!((line.first, line.number), (4, 8));
        assert_eq!(line.words, "succeeded: 2 devices (a c); failed: 1 device (b)");
        news.note(at, 9, &ignored(9));
        news.note(at, 10, &ended("d", AttemptState::Succeeded));
        let words: Vec<&str> = news.lines().map(|line| line.words.as_str()).collect();
        assert_eq!(words[1..], ["ignored: word 9", "succeeded: 1 device (d)"]);
    }

    fn ignored(number: u64) -> Entry {
        Entry::Ignored { reason: format!("word {number}") }
    }

    #[test]
    fn the_newest_lines_are_kept_and_no_more() {
        let mut news = News::default();
        (0..500).for_each(|n| news.note(Instant::from_secs(1), n, &ignored(n)));
        let lines: Vec<u64> = news.lines().map(|line| line.number).collect();
        assert_eq!(lines, (300..500).collect::<Vec<u64>>());
    }

    #[test]
    fn many_devices_are_counted_and_some_named() {
        let devices: Vec<DeviceId> = (0..7).map(|n| DeviceId::from(format!("d{n}").as_str())).collect();
        assert_eq!(names(&devices), "7 devices (d0 d1 d2 d3 d4 and 2 more)");
        assert_eq!(names(&devices[..1]), "1 device (d0)");
    }
}
