//! What may come: the rollouts of a full journal carried on from where it ends, many times, each time in another world that its telemetry
//! allows. `future` makes load to come of load that was; installs take as long, and fail as often, as the journal's own.
//!
//! Twins are held against what came: [`score`] goes back to earlier moments of the journal, looks ahead from each with what was known
//! then, and counts how often the truth lay within the bands.

mod future;

use crate::whatif::{Drive, Model, Recorded, WhatIfError};
use future::{Future, Past};
use rayon::prelude::*;
use slacktide_engine::Engine;
use slacktide_engine::journal::entry::{Entry, Line};
use slacktide_engine::policy::Policy;
use slacktide_engine::rollout::RolloutState;
use slacktide_engine::time::{Instant, Span};
use slacktide_scenarios::calibration::statistics::{between, sorted};
use std::collections::BTreeMap;

/// How to look ahead.
#[derive(Debug, Clone)]
pub struct Question {
    /// How far. Rollouts that have not ended by then count as unfinished.
    pub ahead: Span,
    /// Courses for every policy, on the same loads.
    pub runs: u64,
    /// Draws the loads.
    pub seed: u64,
    /// Policies beside the journal's own.
    pub alternatives: Vec<Policy>,
}

/// One way it may go.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    /// Capacity of the devices in service, 100 less their weighted load, at the start of each slot.
    pub capacity: Vec<(Instant, f64)>,
    /// Highest share of its members in service that a pool's demand asked for, percent.
    pub worst_pool_percent: f64,
    /// When the last rollout ended; `None` beyond the time looked ahead.
    pub ended: Option<Instant>,
    /// Where the rollouts stood at the end.
    pub states: Vec<RolloutState>,
    /// Devices updated, and those that ended without the release, at the last tick.
    pub updated: u32,
    /// See above.
    pub failed: u32,
}

/// The ways under one policy.
#[derive(Debug, Clone)]
pub struct Arm {
    /// The policy's name.
    pub policy: String,
    /// Load above which a pool is in danger, percent.
    pub critical_percent: f64,
    /// The ways, by seed.
    pub courses: Vec<Course>,
}

/// What may come.
#[derive(Debug, Clone)]
pub struct Twin {
    /// The moment from which it looks ahead.
    pub at: Instant,
    /// The journal's own policy first.
    pub arms: Vec<Arm>,
}

/// Why there is no twin.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TwinError {
    /// The journal does not hold what is needed.
    #[error(transparent)]
    Journal(#[from] WhatIfError),
    /// The journal's policy does not read.
    #[error("the journal's policy cannot be read: {0}")]
    Policy(String),
    /// An alternative differs where a running engine cannot.
    #[error("policy `{policy}` cannot take over: its {what} differs from the journal's")]
    Alternative {
        /// Which.
        policy: String,
        /// In what.
        what: &'static str,
    },
    /// Nothing is there yet to look at.
    #[error("no rollout of the journal has begun by {0}; look ahead from a later moment with --at")]
    NotBegun(Instant),
    /// Nothing is left to look at.
    #[error("every rollout of the journal has ended; cut it earlier with --at")]
    Over,
}

/// Share of the bands that [`Twin`] pages show and [`score`] judges.
pub const BANDS_PERCENT: [u32; 3] = [50, 80, 95];

impl Arm {
    /// Quantiles of capacity at each slot: `(moment, values in the order of qs)`.
    pub fn capacity(&self, qs: &[f64]) -> Vec<(Instant, Vec<f64>)> {
        let mut by_slot: BTreeMap<Instant, Vec<f64>> = BTreeMap::new();
        for (at, value) in self.courses.iter().flat_map(|course| &course.capacity) {
            by_slot.entry(*at).or_default().push(*value);
        }
        let of = |(at, values): (Instant, Vec<f64>)| {
            let sorted = sorted(values);
            (at, qs.iter().map(|q| foretold(&sorted, *q)).collect::<Vec<_>>())
        };
        by_slot.into_iter().map(of).collect()
    }

    /// Quantile of the time until the last rollout has ended, seconds; unfinished courses count as longer than any: `None` where the
    /// quantile lies among them.
    pub fn completion_s(&self, from: Instant, q: f64) -> Option<f64> {
        let took = |course: &Course| course.ended.map_or(f64::MAX, |at| at.since(from).as_secs_f64());
        Some(foretold(&sorted(self.courses.iter().map(took)), q)).filter(|s| *s < 1e15)
    }

    /// Share of the courses of which something is true, 0–1.
    pub fn chance(&self, of: impl Fn(&Course) -> bool) -> f64 {
        let count = self.courses.iter().filter(|course| of(course)).count();
        count as f64 / self.courses.len().max(1) as f64
    }
}

/// Looks ahead from the end of a journal. `progress` is called after every course.
///
/// # Errors
/// [`TwinError`].
pub fn look_ahead(lines: &[Line], question: &Question, progress: &(dyn Fn() + Sync)) -> Result<Twin, TwinError> {
    let recorded = Recorded::read(lines)?;
    let drive = follow(lines, &recorded)?;
    if drive.engine.rollouts().next().is_none() {
        return Err(TwinError::NotBegun(drive.now));
    }
    if drive.engine.rollouts().all(|(_, state)| state.is_end()) {
        return Err(TwinError::Over);
    }
    let mut drives = vec![drive];
    for policy in &question.alternatives {
        let other = drives[0].engine.under(policy.clone());
        let engine = other.map_err(|what| TwinError::Alternative { policy: policy.name.clone(), what })?;
        let mut drive = drives[0].clone();
        drive.engine = engine;
        drives.push(drive);
    }
    let past = Past::new(&recorded);
    let at = drives[0].now;
    let arm = |drive: &Drive| Arm {
        policy: drive.engine.policy().name.clone(),
        critical_percent: drive.engine.policy().monitor.critical_load_percent,
        courses: (0..question.runs)
            .into_par_iter()
            .map(|run| {
                let course = carry_on(drive, &recorded, &past, question, run);
                progress();
                course
            })
            .collect(),
    };
    Ok(Twin { at, arms: drives.iter().map(arm).collect() })
}

/// The engine as it was when the journal ended.
fn follow(lines: &[Line], recorded: &Recorded) -> Result<Drive, TwinError> {
    let policy = Policy::from_toml("journal header", &recorded.header.policy)
        .map_err(|error| TwinError::Policy(error.to_string()))?;
    let mut drive = Drive::new(Engine::new(policy, &recorded.header.metrics), recorded.start, false);
    for line in lines {
        if let Entry::Input { input } = &line.entry {
            drive.hand_in(line.at, (**input).clone());
            drive.commands.clear();
            drive.entries.clear();
        }
    }
    drive.begin_to_fit();
    Ok(drive)
}

fn carry_on(drive: &Drive, recorded: &Recorded, past: &Past, question: &Question, run: u64) -> Course {
    let seed = question.seed.wrapping_add(run.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut drive = drive.clone();
    let from = drive.now;
    let mut model = Model::new(recorded, Box::new(Future::new(past, seed)), from, seed);
    model.spread_by_doubt();
    model.go_on_with(from);
    let mut course = Course {
        capacity: Vec::new(),
        worst_pool_percent: 0.0,
        ended: None,
        states: Vec::new(),
        updated: 0,
        failed: 0,
    };
    let slot = drive.engine.policy().plan.slot;
    drive.go_on(&mut model, from + question.ahead, &mut |drive| {
        for (at, entry) in drive.entries.drain(..) {
            if let Entry::Tick(tick) = entry {
                course.worst_pool_percent = course.worst_pool_percent.max(tick.worst_pool_percent);
                (course.updated, course.failed) = (tick.states.updated, tick.states.failed);
                if at == at.floor_to(slot) {
                    course.capacity.push((at, 100.0 - tick.fleet_load));
                }
            }
        }
    });
    course.states = drive.engine.rollouts().map(|(_, state)| state).collect();
    course.ended = course.states.iter().all(|state| state.is_end()).then_some(drive.now);
    course
}

/// How often the truth lay within the bands, at one distance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Longest distance counted here, seconds.
    pub lead_s: u64,
    /// Pairs of forecast and truth.
    pub count: u64,
    /// How many of them lay within each of [`BANDS_PERCENT`].
    pub within: [u64; 3],
}

/// What came of earlier looks ahead.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scores {
    /// Capacity, by distance.
    pub capacity: Vec<Score>,
    /// Time until the last rollout ended, of looks at rollouts whose end the journal holds.
    pub completion: Option<Score>,
}

/// Longest distances that are told apart, hours.
const LEADS_H: [u64; 5] = [1, 3, 6, 12, 24];

impl Scores {
    /// Adds what one look ahead (its own policy) was worth: `rest` is what came after it.
    pub fn add(&mut self, twin: &Twin, rest: &[Line], slot: Span) {
        if self.capacity.is_empty() {
            self.capacity = LEADS_H.map(|hours| Score { lead_s: hours * 3600, count: 0, within: [0; 3] }).to_vec();
        }
        let Some(arm) = twin.arms.first() else { return };
        let qs: Vec<f64> = BANDS_PERCENT.iter().flat_map(|band| tails(*band)).collect();
        let forecast: BTreeMap<Instant, Vec<f64>> = arm.capacity(&qs).into_iter().collect();
        for line in rest {
            let Entry::Tick(tick) = &line.entry else { continue };
            let Some(bands) = forecast.get(&line.at).filter(|_| line.at == line.at.floor_to(slot)) else { continue };
            let lead = line.at.since(twin.at).as_millis() / 1000;
            if let Some(score) = self.capacity.iter_mut().find(|score| lead <= score.lead_s) {
                score.judge(100.0 - tick.fleet_load, bands);
            }
        }
        let ended = rest.iter().rev().find_map(|line| match &line.entry {
            Entry::Rollout { to, .. } if to.is_end() => Some(line.at),
            _ => None,
        });
        if let Some(ended) = ended {
            let band: Vec<f64> = qs.iter().map(|q| arm.completion_s(twin.at, *q).unwrap_or(f64::INFINITY)).collect();
            let score = self.completion.get_or_insert(Score { lead_s: 0, count: 0, within: [0; 3] });
            score.judge(ended.since(twin.at).as_secs_f64(), &band);
        }
    }
}

impl Score {
    fn judge(&mut self, truth: f64, bands: &[f64]) {
        self.count += 1;
        for (within, band) in self.within.iter_mut().zip(bands.chunks(2)) {
            *within += u64::from(band.len() == 2 && band[0] <= truth && truth <= band[1]);
        }
    }
}

/// What one more course will stay under with this chance, given sorted values of those there are: the k-th of n with chance k/(n+1), and straight
/// lines between (definition 6 of Hyndman and Fan, *Sample quantiles in statistical packages*, 1996). Quantiles of the sample itself would
/// be too narrow for a newcomer: of 40 courses they would hold 76 in place of 80 percent. NaN of none.
fn foretold(sorted: &[f64], p: f64) -> f64 {
    between(sorted, p * (sorted.len() + 1) as f64 - 1.0)
}

/// Both ends of the band of so many percent in the middle, as shares.
fn tails(band_percent: u32) -> [f64; 2] {
    let tail = (100.0 - f64::from(band_percent)) / 200.0;
    [tail, 1.0 - tail]
}

/// Looks ahead from `looks` earlier moments of the journal, evenly spread between the start of its first rollout and its end, each with
/// what was known then, and says how it came.
///
/// # Errors
/// [`TwinError`].
pub fn score(
    lines: &[Line],
    question: &Question,
    looks: usize,
    progress: &(dyn Fn() + Sync),
) -> Result<Scores, TwinError> {
    let recorded = Recorded::read(lines)?;
    let policy = Policy::from_toml("journal header", &recorded.header.policy)
        .map_err(|error| TwinError::Policy(error.to_string()))?;
    let begun = lines.iter().find(|line| matches!(&line.entry, Entry::Rollout { to: RolloutState::Running, .. }));
    let Some(begun) = begun.map(|line| line.at) else { return Ok(Scores::default()) };
    let span = recorded.end.since(begun).as_millis();
    let mut scores = Scores::default();
    let own = Question { alternatives: Vec::new(), ..question.clone() };
    for look in 0..looks {
        let at = begun + Span::from_millis(span * (look as u64 + 1) / (looks as u64 + 1));
        let cut = lines.partition_point(|line| line.at <= at);
        match look_ahead(&lines[..cut], &own, progress) {
            Ok(twin) => scores.add(&twin, &lines[cut..], policy.plan.slot),
            Err(TwinError::Over) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(scores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newcomer_lies_within_a_band_as_often_as_it_says() {
        let nine: Vec<f64> = (1..=9).map(f64::from).collect();
        assert_eq!([0.1, 0.5, 0.9].map(|p| foretold(&nine, p)), [1.0, 5.0, 9.0]);
        assert_eq!((foretold(&nine, 0.01), foretold(&nine, 0.99), foretold(&[], 0.5).is_nan()), (1.0, 9.0, true));
        // Of 40 and a newcomer each of the 41 places is as likely: between the ends of the 80 % band lie 32.8 of them.
        let forty: Vec<f64> = (1..=40).map(f64::from).collect();
        let [low, high] = tails(80).map(|p| foretold(&forty, p));
        assert!(((high - low) / 41.0 - 0.8).abs() < 1e-9, "{low} to {high}");
    }
}
