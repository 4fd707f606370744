//! A journal in plain lines, one a decision: when, what, and why with its numbers. Ticks, forecasts and plans without a batch are left
//! out. The same journal makes the same lines.

use slacktide_engine::ids::{DeviceId, RolloutId};
use slacktide_engine::journal::entry::{BatchFacts, Entry, HeldDevices, Line, PlanEntry, SettledAttempt};
use slacktide_engine::rollout::{AttemptState, HoldReason};
use slacktide_engine::time::{Instant, Span};
use std::fmt::Write as _;

/// Devices of one line that are named; of more, how many.
const NAMED_MAX: usize = 8;
/// Batches of a plan whose start is told.
const STARTS_MAX: usize = 4;
const DAY: Span = Span::from_secs(86_400);

/// What became of attempts since the last other decision.
#[derive(Debug, Default)]
struct Settled {
    at: Instant,
    rollout: RolloutId,
    ends: Vec<(String, Vec<DeviceId>)>,
}

#[derive(Debug, Default)]
struct Transcript {
    text: String,
    day_zero: Instant,
    several: bool,
    settled: Settled,
    /// Evidence of the last verdict, which the stop that follows repeats.
    evidence: String,
    /// Words of the last plan: one that changes nothing is not told again.
    planned: String,
}

/// The lines of a journal.
pub fn transcript(lines: &[Line]) -> String {
    let several = lines.iter().any(|line| matches!(&line.entry, Entry::Rollout { rollout, .. } if rollout.0 > 0));
    let day_zero = lines.first().map_or_else(Instant::default, |line| line.at.floor_to(DAY));
    let mut transcript = Transcript { several, day_zero, ..Transcript::default() };
    for line in lines {
        transcript.take(line.at, &line.entry);
    }
    transcript.flush();
    transcript.text
}

impl Transcript {
    fn take(&mut self, at: Instant, entry: &Entry) {
        match entry {
            Entry::Settled { rollout, attempts } => {
                if self.settled.rollout != *rollout {
                    self.flush();
                }
                self.settled.rollout = *rollout;
                self.settled.at = at;
                for one in attempts {
                    let end = end(one);
                    match self.settled.ends.iter_mut().find(|(known, _)| *known == end) {
                        Some((_, devices)) => devices.push(one.device.clone()),
                        None => self.settled.ends.push((end, vec![one.device.clone()])),
                    }
                }
            }
            Entry::Tick(_) | Entry::Forecast(_) | Entry::Input { .. } => {}
            Entry::Plan(plan) if plan.batches.is_empty() => {}
            decision => {
                self.flush();
                self.decision(at, decision);
            }
        }
    }

    fn decision(&mut self, at: Instant, entry: &Entry) {
        match entry {
            Entry::Header(header) => {
                let _ =
                    writeln!(self.text, "{}, policy {}, seed {}", header.world_name, header.policy_name, header.seed);
            }
            Entry::Fleet { rollout, devices, targets, pools, .. } => {
                let n = pools.len();
                self.say(at, Some(*rollout), &format!("for {targets} of {devices} devices, in {n} pools"));
            }
            Entry::Rollout { rollout, from, to, cause, detail } => {
                let why = cause.map(|cause| format!(" ({cause})")).unwrap_or_default();
                let words = if *detail == self.evidence { String::new() } else { format!(": {detail}") };
                self.say(at, Some(*rollout), &format!("{from} → {to}{why}{words}"));
            }
            Entry::WaveOpened { rollout, wave, waves, devices } => {
                self.say(at, Some(*rollout), &format!("wave {} of {waves} opens: {devices} devices", wave.0 + 1));
            }
            Entry::Plan(plan) => self.plan(at, plan),
            Entry::PlanRefused { number, violations } => {
                self.say(at, None, &format!("plan {number} is refused: {}", violations.join("; ")));
            }
            Entry::Batch { rollout, batch, devices, until, requirement, capacity, .. } => {
                let (names, until) = (names(devices), self.clock(*until));
                let sums = format!("requirement {requirement:.0}, capacity {capacity:.0}");
                self.say(at, Some(*rollout), &format!("batch {batch} goes: {names}; {sums}; back by {until}"));
            }
            Entry::Rollback { rollout, devices, remaining, canceled, held, .. } => {
                let words = rollback(devices, remaining, canceled, held);
                self.say(at, Some(*rollout), &words);
            }
            Entry::Verdict(verdict) => {
                let word = verdict.verdict.words();
                self.say(at, Some(verdict.rollout), &format!("watch: {word}: {}", verdict.evidence));
                self.evidence.clone_from(&verdict.evidence);
            }
            Entry::Stated { device, believed, runs } => {
                self.say(at, None, &format!("{device} states that it runs {runs}; {believed} was believed"));
            }
            Entry::Ignored { reason } => self.say(at, None, &format!("ignored: {reason}")),
            Entry::Measures { measures, invariant_violations } => {
                let figure = |name: &str| measures.get(name).copied().unwrap_or(0.0);
                let (updated, failed, back) =
                    (figure("updated_devices"), figure("failed_devices"), figure("rolled_back_devices"));
                self.say(at, None, &format!("in all {updated} updated, {failed} failed, {back} taken back"));
                invariant_violations.iter().for_each(|broken| self.say(at, None, &format!("PROMISE BROKEN: {broken}")));
            }
            _ => {}
        }
    }

    fn plan(&mut self, at: Instant, plan: &PlanEntry) {
        let devices: u32 = plan.batches.iter().map(|batch| batch.devices).sum();
        let start = |batch: &BatchFacts| format!("{} at {}", batch.devices, self.clock(batch.start));
        let mut starts: Vec<String> = plan.batches.iter().take(STARTS_MAX).map(start).collect();
        if let Some(later) = plan.batches.len().checked_sub(STARTS_MAX).filter(|later| *later > 0) {
            starts.push(format!("{later} batches later"));
        }
        let waiting: Vec<String> = plan.waiting.iter().map(|(why, n)| format!("{n} {why}")).collect();
        let rest = if waiting.is_empty() { String::new() } else { format!("; not planned: {}", waiting.join(", ")) };
        let words = format!("{devices} devices, {}{rest}", starts.join(", "));
        if words != self.planned {
            self.say(at, None, &format!("plan {} ({}): {words}", plan.number, plan.reason));
            self.planned = words;
        }
    }

    fn flush(&mut self) {
        let Settled { at, rollout, ends } = std::mem::take(&mut self.settled);
        for (end, devices) in ends {
            self.say(at, Some(rollout), &format!("{end}: {}", names(&devices)));
        }
    }

    fn say(&mut self, at: Instant, rollout: Option<RolloutId>, words: &str) {
        let label = rollout.filter(|_| self.several).map(|id| format!("[{id}] ")).unwrap_or_default();
        let _ = writeln!(self.text, "{}  {label}{words}", self.clock(at));
    }

    /// Day of the journal, and the time of day.
    fn clock(&self, at: Instant) -> String {
        let minutes = at.since(self.day_zero).as_millis() / 60_000;
        let (days, hours, minutes) = (minutes / 1440, minutes / 60 % 24, minutes % 60);
        format!("{days}d {hours:02}:{minutes:02}")
    }
}

/// The end of an attempt; of a success also what was installed, which may be a stepping stone.
fn end(settled: &SettledAttempt) -> String {
    match settled.to {
        Some(to) if settled.end == AttemptState::Succeeded => format!("{} on {to}", settled.end),
        _ => settled.end.to_string(),
    }
}

fn names(devices: &[DeviceId]) -> String {
    let named: Vec<&str> = devices.iter().take(NAMED_MAX).map(DeviceId::as_str).collect();
    let more = devices.len().saturating_sub(NAMED_MAX);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{} ({}{rest})", devices.len(), named.join(" "))
}

fn rollback(devices: &[DeviceId], remaining: &[f64], canceled: &[DeviceId], held: &[HeldDevices]) -> String {
    let mut parts = Vec::new();
    if !devices.is_empty() {
        let pairs = devices.iter().zip(remaining).take(NAMED_MAX);
        let pairs: Vec<String> = pairs.map(|(device, left)| format!("{device} {left:.1}")).collect();
        let more = devices.len().saturating_sub(NAMED_MAX);
        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
        parts.push(format!("go back, least capacity left first: {}{rest}", pairs.join(", ")));
    }
    if !canceled.is_empty() {
        parts.push(format!("called off: {}", names(canceled)));
    }
    for HeldDevices { devices, reason } in held {
        let numbers = match reason {
            HoldReason::PoolCapacity { weight, spare } => format!(", weight {weight:.1} of {spare:.1} to spare"),
            _ => String::new(),
        };
        parts.push(format!("{devices} held ({}{numbers})", reason.name()));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use slacktide_engine::ids::CommandId;

    fn line(n: u64, minute: u64, entry: Entry) -> Line {
        Line { n, at: Instant::default() + Span::from_secs(minute * 60), prev: String::new(), entry }
    }

    fn back(devices: &[&str], remaining: &[f64], held: Vec<HeldDevices>) -> Entry {
        Entry::Rollback {
            rollout: RolloutId(0),
            devices: devices.iter().map(|name| (*name).into()).collect(),
            remaining: remaining.to_vec(),
            canceled: Vec::new(),
            deferred: 0,
            held,
            first_command: CommandId(0),
        }
    }

    #[test]
    fn who_goes_back_and_who_is_held_is_told_with_numbers() {
        let held = vec![HeldDevices { devices: 2, reason: HoldReason::PoolCapacity { weight: 1.0, spare: 0.25 } }];
        let text = transcript(&[line(0, 1445, back(&["a", "b"], &[0.0, 41.25], held))]);
        assert_eq!(
            text,
            "0d 00:05  go back, least capacity left first: a 0.0, b 41.2; 2 held (pool-capacity, weight 1.0 of 0.2 to spare)\n"
        );
    }

    #[test]
    fn many_devices_are_counted_and_several_rollouts_are_told_apart() {
        let devices: Vec<DeviceId> = (0..11).map(|d| DeviceId::new(format!("d{d}"))).collect();
        assert_eq!(names(&devices), "11 (d0 d1 d2 d3 d4 d5 d6 d7 and 3 more)");
        let moved = |rollout, detail: &str| Entry::Rollout {
            rollout: RolloutId(rollout),
            from: slacktide_engine::rollout::RolloutState::Ready,
            to: slacktide_engine::rollout::RolloutState::Running,
            cause: None,
            detail: detail.to_owned(),
        };
        let text = transcript(&[line(0, 1, moved(0, "x")), line(1, 2, moved(1, "y"))]);
        assert_eq!(text, "0d 00:01  [0] ready → running: x\n0d 00:02  [1] ready → running: y\n");
    }
}
