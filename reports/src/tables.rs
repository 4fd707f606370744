//! A journal's entries, sorted by kind.

use slacktide_engine::ids::{AttemptId, DeviceId, RolloutId};
use slacktide_engine::journal::entry::{
    Entry, ForecastEntry, Header, HeldDevices, Line, MemberFacts, PlanEntry, PoolFacts, SettledAttempt, TickEntry,
    VerdictEntry,
};
use slacktide_engine::rollout::{AttemptState, Cause, RolloutState};
use slacktide_engine::time::{Instant, Span};
use std::collections::BTreeMap;

/// What is shown before the first rollout and after the last.
const AROUND: Span = Span::from_secs(6 * 3600);

/// A batch as it went out.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchRow {
    /// When.
    pub at: Instant,
    /// Its number.
    pub batch: u32,
    /// Of which rollout.
    pub rollout: RolloutId,
    /// Wave, from 0.
    pub wave: u16,
    /// Its devices.
    pub devices: Vec<DeviceId>,
    /// Attempt of its first device; those of the others follow.
    pub first_attempt: AttemptId,
    /// Expected end.
    pub until: Instant,
    /// When the last attempt known to have ended did.
    pub ended: Option<Instant>,
    /// How many attempts ended how.
    pub ends: BTreeMap<AttemptState, u32>,
}

impl BatchRow {
    /// Attempts without an end in the journal.
    pub fn open(&self) -> usize {
        self.devices.len().saturating_sub(self.ends.values().sum::<u32>() as usize)
    }

    /// Attempts that ended on the new release.
    pub fn updated(&self) -> u32 {
        let of = |end| self.ends.get(&end).copied().unwrap_or(0);
        of(AttemptState::Succeeded) + of(AttemptState::AlreadyCurrent)
    }
}

/// Devices told to go back, and those that had to wait.
#[derive(Debug, Clone, PartialEq)]
pub struct RollbackRow {
    /// When.
    pub at: Instant,
    /// Of which rollout.
    pub rollout: RolloutId,
    /// Told to go back.
    pub devices: usize,
    /// Called off before they began.
    pub canceled: usize,
    /// Held, by rule.
    pub held: Vec<HeldDevices>,
}

/// A change of the rollout's state.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// When.
    pub at: Instant,
    /// Of which rollout.
    pub rollout: RolloutId,
    /// From.
    pub from: RolloutState,
    /// To.
    pub to: RolloutState,
    /// Why.
    pub cause: Option<Cause>,
    /// In words.
    pub detail: String,
}

/// Shorter rollouts are told in minutes.
const MINUTES_BELOW: Span = Span::from_secs(2 * 3600);

/// What the time of a rollout is told in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ElapsedUnit {
    millis: f64,
    pub(crate) short: &'static str,
    /// The name of an axis.
    pub(crate) axis: &'static str,
}

impl Default for ElapsedUnit {
    fn default() -> Self {
        Self::HOURS
    }
}

impl ElapsedUnit {
    const HOURS: Self = Self { millis: 3_600_000.0, short: "h", axis: "hours since the rollout began" };
    const MINUTES: Self = Self { millis: 60_000.0, short: "min", axis: "minutes since the rollout began" };

    /// A length of time in it.
    pub(crate) fn of(self, length: Span) -> f64 {
        length.as_secs_f64() * 1000.0 / self.millis
    }
}

/// All a page or a summary needs.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    /// What ran.
    pub header: Option<Header>,
    /// Devices each rollout was for.
    pub targets: BTreeMap<RolloutId, u32>,
    /// The pools.
    pub pools: Vec<PoolFacts>,
    /// Devices by region.
    pub regions: BTreeMap<String, u32>,
    /// Pool and region of the devices that rollouts are for, as positions in the two above.
    pub members: BTreeMap<DeviceId, (usize, usize)>,
    /// State of the fleet over time.
    pub ticks: Vec<(Instant, TickEntry)>,
    /// Batches.
    pub batches: Vec<BatchRow>,
    /// Course of the rollout.
    pub transitions: Vec<Transition>,
    /// Waves as they opened: of which rollout, which, and how many devices.
    pub waves: Vec<(Instant, RolloutId, u16, u32)>,
    /// What the watch said.
    pub verdicts: Vec<(Instant, VerdictEntry)>,
    /// Rounds of forecasts.
    pub forecasts: Vec<(Instant, ForecastEntry)>,
    /// Plans.
    pub plans: Vec<(Instant, PlanEntry)>,
    /// Ends of attempts.
    pub settled: Vec<(Instant, SettledAttempt)>,
    /// Devices told to go back.
    pub rollbacks: Vec<RollbackRow>,
    /// What the driver measured.
    pub measures: BTreeMap<String, f64>,
    /// Broken promises.
    pub violations: Vec<String>,
    /// Inputs that made no sense.
    pub ignored: u32,
    /// Found once the whole journal is read: every point of every picture asks for it.
    elapsed_unit: ElapsedUnit,
}

/// A line that is no journal entry.
#[derive(Debug, thiserror::Error)]
#[error("line {line} is no journal entry: {source}; `slacktide journal verify` says more")]
pub struct NotAJournal {
    line: usize,
    source: serde_json::Error,
}

impl Tables {
    /// Sorts the lines of a journal.
    ///
    /// # Errors
    /// [`NotAJournal`] naming the line.
    pub fn read<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Self, NotAJournal> {
        let mut tables = Self::default();
        for (number, text) in lines.enumerate() {
            let line: Line = serde_json::from_str(text).map_err(|source| NotAJournal { line: number + 1, source })?;
            tables.take(line.at, line.entry);
        }
        tables.elapsed_unit = tables.find_elapsed_unit();
        Ok(tables)
    }

    fn take(&mut self, at: Instant, entry: Entry) {
        match entry {
            Entry::Header(header) => self.header = Some(*header),
            Entry::Fleet { rollout, targets, pools, regions, members, .. } => {
                self.targets.insert(rollout, targets);
                (self.pools, self.regions) = (pools, regions);
                let places = members.into_iter().map(|MemberFacts(id, pool, region)| (id, (pool, region)));
                self.members.extend(places.map(|(id, (pool, region))| (id, (pool as usize, region as usize))));
            }
            Entry::Rollout { rollout, from, to, cause, detail } => {
                self.transitions.push(Transition { at, rollout, from, to, cause, detail })
            }
            Entry::WaveOpened { rollout, wave, devices, .. } => self.waves.push((at, rollout, wave.0, devices)),
            Entry::Plan(plan) => self.plans.push((at, *plan)),
            Entry::Batch { rollout, batch, wave, devices, until, first_attempt, .. } => {
                let (wave, ended, ends) = (wave.0, None, BTreeMap::new());
                self.batches.push(BatchRow { at, batch, rollout, wave, devices, first_attempt, until, ended, ends });
            }
            Entry::Settled { attempts, .. } => {
                attempts.iter().for_each(|attempt| self.settle(at, attempt));
                self.settled.extend(attempts.into_iter().map(|a| (at, a)));
            }
            Entry::Rollback { rollout, devices, canceled, held, .. } => {
                let (devices, canceled) = (devices.len(), canceled.len());
                self.rollbacks.push(RollbackRow { at, rollout, devices, canceled, held });
            }
            Entry::Tick(tick) => self.ticks.push((at, *tick)),
            Entry::Forecast(forecast) => self.forecasts.push((at, *forecast)),
            Entry::Verdict(verdict) => self.verdicts.push((at, *verdict)),
            Entry::Ignored { .. } => self.ignored += 1,
            Entry::Measures { measures, invariant_violations } => {
                self.measures = measures;
                self.violations = invariant_violations;
            }
            Entry::PlanRefused { number, violations } => {
                self.violations.extend(violations.iter().map(|v| format!("plan {number} was refused: {v}")));
            }
            Entry::Input { .. } | Entry::Stated { .. } | Entry::End { .. } => {}
        }
    }

    /// Tells the batch of an attempt how it ended. Attempts are numbered in the order of their batches.
    fn settle(&mut self, at: Instant, attempt: &SettledAttempt) {
        let after = self.batches.partition_point(|batch| batch.first_attempt <= attempt.attempt);
        let Some(batch) = after.checked_sub(1).and_then(|position| self.batches.get_mut(position)) else { return };
        if attempt.attempt.0 - batch.first_attempt.0 < batch.devices.len() as u64 {
            batch.ended = Some(at);
            *batch.ends.entry(attempt.end).or_default() += 1;
        }
    }

    /// From the beginning of the first rollout, or of the journal where none began, in the unit of [`Self::elapsed_unit`].
    pub(crate) fn elapsed(&self, at: Instant) -> f64 {
        let began = self.began().or_else(|| self.ticks.first().map(|(at, _)| *at)).unwrap_or(at);
        (at.as_millis() - began.as_millis()) as f64 / self.elapsed_unit.millis
    }

    /// What this rollout is told in: thousandths of an hour say nothing to anybody.
    pub(crate) const fn elapsed_unit(&self) -> ElapsedUnit {
        self.elapsed_unit
    }

    fn find_elapsed_unit(&self) -> ElapsedUnit {
        let ends = self.ended();
        let over = ends.values().map(|(at, _)| *at).max().filter(|_| ends.values().all(|(_, state)| state.is_end()));
        let took = self.began().zip(over.or_else(|| self.last_known()));
        match took {
            Some((began, until)) if until.since(began) < MINUTES_BELOW => ElapsedUnit::MINUTES,
            _ => ElapsedUnit::HOURS,
        }
    }

    /// The last moment that anything is known of.
    pub(crate) fn last_known(&self) -> Option<Instant> {
        let ticks = self.ticks.last().map(|(at, _)| *at);
        ticks.max(self.transitions.last().map(|t| t.at)).max(self.settled.last().map(|(at, _)| *at))
    }

    /// Was the world a real one?
    pub fn is_live(&self) -> bool {
        self.header.as_ref().is_some_and(|header| header.world.is_null())
    }

    /// `rollout 1: ` where there are several, else nothing. Counted from 0, as people name them to a controller.
    pub fn label(&self, rollout: RolloutId) -> String {
        if self.targets.len() > 1 { format!("rollout {rollout}: ") } else { String::new() }
    }

    /// Name and version of what a rollout brings: how its draft was recorded.
    pub fn package(&self, rollout: RolloutId) -> Option<&str> {
        let drafted = self.transitions.iter().find(|t| t.rollout == rollout && t.from == RolloutState::Draft)?;
        drafted.detail.split_once(" for ").map(|(package, _)| package)
    }

    /// When a rollout began to run.
    pub fn rollout_began(&self, rollout: RolloutId) -> Option<Instant> {
        self.transitions.iter().find(|t| t.rollout == rollout && t.to == RolloutState::Running).map(|t| t.at)
    }

    /// When the first rollout began to run.
    pub fn began(&self) -> Option<Instant> {
        self.transitions.iter().find(|t| t.to == RolloutState::Running).map(|t| t.at)
    }

    /// Every rollout's last state and when it was reached.
    pub fn ended(&self) -> BTreeMap<RolloutId, (Instant, RolloutState)> {
        self.transitions.iter().map(|t| (t.rollout, (t.at, t.to))).collect()
    }

    /// Ticks from six hours before the first rollout to six hours after the last, so that pictures show what they went into and what came of it.
    pub fn shown_ticks(&self) -> &[(Instant, TickEntry)] {
        let from = self.began().map_or(Instant::from_millis(i64::MIN), |at| at - AROUND);
        let ends = self.ended();
        let is_over = !ends.is_empty() && ends.values().all(|(_, state)| state.is_end());
        let to = ends.values().map(|(at, _)| *at + AROUND).max().filter(|_| is_over);
        let first = self.ticks.partition_point(|(at, _)| *at < from);
        let last = to.map_or(self.ticks.len(), |to| self.ticks.partition_point(|(at, _)| *at <= to));
        &self.ticks[first..last.max(first)]
    }

    /// The ticks as CSV.
    pub fn ticks_csv(&self) -> String {
        let mut csv = "timestamp,fleet_load,worst_pool_percent,updated_capacity,waiting,staging,out,updated,rolling_back,rolled_back,failed\n".to_owned();
        for (at, t) in &self.ticks {
            let s = &t.states;
            let capacity = t.updated_capacity.map(|c| format!("{c:.3}")).unwrap_or_default();
            csv.push_str(&format!(
                "{},{:.3},{:.3},{capacity},{},{},{},{},{},{},{}\n",
                at.as_secs(),
                t.fleet_load,
                t.worst_pool_percent,
                s.waiting,
                s.staging,
                s.out,
                s.updated,
                s.rolling_back,
                s.rolled_back,
                s.failed
            ));
        }
        csv
    }
}
