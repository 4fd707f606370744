//! The newest decisions in words, as their records pass, and when each rollout last changed its state.

use serde::Serialize;
use slacktide_engine::ids::{DeviceId, RolloutId};
use slacktide_engine::journal::Entry;
use slacktide_engine::journal::entry::{HeldDevices, PlanEntry, SettledAttempt, Verdict};
use slacktide_engine::time::Instant;
use std::collections::{BTreeMap, VecDeque};

/// Decisions kept.
const LINES_MAX: usize = 200;
/// Devices of a line that are named; of more, how many.
const NAMED_MAX: usize = 5;

/// A decision, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Decision {
    /// Line of the journal, from 0.
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
}

impl News {
    pub(super) fn note(&mut self, now: Instant, number: u64, entry: &Entry) {
        if let Entry::Rollout { rollout, detail, .. } = entry {
            self.turns.insert(*rollout, Turn { at: now, detail: detail.clone() });
        }
        let Some((rollout, words)) = self.words(entry) else { return };
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        let rollout = rollout.map(|rollout| rollout.0);
        self.lines.push_back(Decision { number, at_ms: now.as_millis(), rollout, words });
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
                (Some(*rollout), format!("is for {targets} of {devices} devices, in {} pools", pools.len()))
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
                (Some(*rollout), format!("batch {batch} goes: {}, back by {until}", names(devices.iter())))
            }
            Entry::Settled { rollout, attempts } => (Some(*rollout), settled(attempts)),
            Entry::Rollback { rollout, devices, canceled, held, .. } => {
                (Some(*rollout), rollback(devices, canceled, held))
            }
            Entry::Verdict(verdict) => {
                let word = match verdict.verdict {
                    Verdict::Good => "good",
                    Verdict::Bad => "bad",
                    Verdict::Inconclusive => "not enough is known",
                };
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
        let batches = plan.batches.len();
        let words = format!(
            "{} in {batches} batches, the first of {} at {}{rest}",
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
    if devices == 1 { "1 device".to_owned() } else { format!("{devices} devices") }
}

fn names<'a>(devices: impl ExactSizeIterator<Item = &'a DeviceId>) -> String {
    let total = devices.len();
    let named: Vec<&str> = devices.take(NAMED_MAX).map(DeviceId::as_str).collect();
    let more = total - named.len();
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{} ({}{rest})", count(total), named.join(" "))
}

fn settled(attempts: &[SettledAttempt]) -> String {
    let mut ends: BTreeMap<_, Vec<&DeviceId>> = BTreeMap::new();
    attempts.iter().for_each(|one| ends.entry(one.end).or_default().push(&one.device));
    let parts: Vec<String> = ends
        .into_iter()
        .map(|(end, devices)| format!("{}: {}", plain(end.name()), names(devices.into_iter())))
        .collect();
    parts.join("; ")
}

fn rollback(devices: &[DeviceId], canceled: &[DeviceId], held: &[HeldDevices]) -> String {
    let mut parts = Vec::new();
    if !devices.is_empty() {
        parts.push(format!("{} go back", names(devices.iter())));
    }
    if !canceled.is_empty() {
        parts.push(format!("called off: {}", names(canceled.iter())));
    }
    let held = held.iter().map(|one| format!("{} held ({})", one.devices, one.reason.name()));
    parts.extend(held);
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(names(devices.iter()), "7 devices (d0 d1 d2 d3 d4 and 2 more)");
        assert_eq!(names(devices[..1].iter()), "1 device (d0)");
    }
}
