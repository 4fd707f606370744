//! Models against each other on many series: how good each would have been, which would have been chosen, and how wide its intervals
//! would have had to be, always from what was known at each origin.
//!
//! A [`Backtest`] moves over its rounds of origins from the oldest to the newest. A driver calls [`Backtest::begin`] (what has become
//! known is learned; global models are trained), [`Backtest::fit`] for every origin of the round (a pure function, in any order, on any
//! number of threads), and [`Backtest::absorb`]. The newest state of memory is what the next round's choice and intervals rest on.

mod blend;
mod memory;
mod origins;
mod protocol;
mod scores;
pub mod significance;
#[cfg(test)]
mod tests;

pub use memory::LEVELS;
pub use origins::{OriginResult, rolling_origin};
pub use protocol::{Entry, Origin, Protocol, rounds};
pub use scores::{CLASSES, MetricScores, Pair, Part, Score, TestKind};

use crate::global::lstm::Lstm;
use crate::global::{Trained, TrainingSeries};
use crate::trivial::{Room, Trivials};
use crate::{ModelKind, SeriesView, measure};
use memory::{Adaptation, Pool, Record, bucket, common_shift};
use std::collections::BTreeMap;

/// Share of the metric's typical movement below which no entry's spread is believed.
const SPREAD_FLOOR: f32 = 0.05;

/// Who takes part: a model, or the one that would have been chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contestant {
    /// A model or a combination.
    Model(ModelKind),
    /// The one chosen for each entry by its past errors.
    Selected,
}

impl Contestant {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Model(kind) => kind.name(),
            Self::Selected => "selected",
        }
    }
}

/// One forecast of one contestant.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Position of the contestant.
    pub contestant: usize,
    /// From where.
    pub origin: Origin,
    /// Points, `horizon` long.
    pub points: Vec<f32>,
    /// Lower and upper bounds, by [`LEVELS`].
    pub bounds: [(Vec<f32>, Vec<f32>); LEVELS.len()],
    /// The model could not be fitted: these are the points of the average of three trivial forecasts.
    pub fell_back: bool,
    /// Whom the selection chose.
    pub chosen: Option<ModelKind>,
}

/// What one origin's fits came to.
#[derive(Debug, Clone, Default)]
pub struct Fits {
    /// By model of the protocol: points and, where the model has one, its own spread. `None` for combinations.
    forecasts: Vec<Option<Points>>,
    /// Time of the fit and of the forecast, in the clock's unit.
    times: Vec<(f64, f64)>,
}

#[derive(Debug, Clone)]
struct Points {
    values: Vec<f32>,
    spread: Option<Vec<f32>>,
    fell_back: bool,
}

/// A forecast that waits for what will come.
#[derive(Debug, Clone)]
struct Waiting {
    known: usize,
    learned: usize,
    lines: Vec<WaitingLine>,
}

#[derive(Debug, Clone)]
struct WaitingLine {
    points: Vec<f32>,
    spread: Vec<f32>,
    bounds: [(Vec<f32>, Vec<f32>); LEVELS.len()],
}

#[derive(Debug, Clone, Default)]
struct EntryMemory {
    records: Vec<Record>,
    adaptations: Vec<Adaptation>,
    champion: Option<usize>,
    champion_changes: u32,
    waiting: Vec<Waiting>,
    scale: f32,
    at: Option<i64>,
}

/// A backtest under way.
#[derive(Debug)]
pub struct Backtest {
    protocol: Protocol,
    entries: Vec<Entry>,
    contestants: Vec<Contestant>,
    rounds: Vec<Vec<Origin>>,
    memory: Vec<EntryMemory>,
    trained: BTreeMap<ModelKind, Trained>,
    notes: Vec<String>,
    lines: Vec<Line>,
    times: Vec<(f64, f64, u32)>,
    training_time: BTreeMap<ModelKind, f64>,
}

impl Backtest {
    /// A backtest before its first round.
    pub fn new(protocol: Protocol, entries: Vec<Entry>) -> Self {
        let contestants: Vec<Contestant> =
            protocol.models.iter().map(|m| Contestant::Model(*m)).chain([Contestant::Selected]).collect();
        let rounds = rounds(&protocol, &entries);
        let empty = EntryMemory {
            records: vec![Record::default(); contestants.len()],
            adaptations: vec![Adaptation::default(); contestants.len()],
            ..EntryMemory::default()
        };
        let memory = vec![empty; entries.len()];
        let times = vec![(0.0, 0.0, 0); protocol.models.len()];
        Self {
            protocol,
            entries,
            contestants,
            rounds,
            memory,
            trained: BTreeMap::new(),
            notes: Vec::new(),
            lines: Vec::new(),
            times,
            training_time: BTreeMap::new(),
        }
    }

    /// The same, with a network trained before. It forecasts, and is trained on, from the first origin that lies no earlier than the
    /// end of what it has seen.
    #[must_use]
    pub fn starting_from(mut self, network: Lstm) -> Self {
        self.trained.insert(ModelKind::Lstm, Trained::Lstm(Box::new(network)));
        self
    }

    /// Origins by round, oldest round first. Empty when every series is too short.
    pub fn rounds(&self) -> &[Vec<Origin>] {
        &self.rounds
    }

    /// Begins a round: learns what has become known, and trains the global models that are due. `clock` tells the time in any unit.
    pub fn begin(&mut self, round: usize, clock: &dyn Fn() -> f64) {
        for origin in self.rounds[round].clone() {
            self.learn(origin);
        }
        let earliest = self.rounds[round].iter().map(|o| self.entries[o.entry].step_of(o.known)).min();
        let Some(earliest) = earliest else { return };
        for kind in self.protocol.models.clone().into_iter().filter(|m| m.is_global()) {
            let begun = clock();
            self.train(kind, earliest);
            *self.training_time.entry(kind).or_default() += clock() - begun;
        }
    }

    fn train(&mut self, kind: ModelKind, until: i64) {
        let before = self.trained.get(&kind);
        // One that has seen more than this, trained before all this began, is not due either: it waits for its time.
        if before.is_some_and(|trained| !trained.is_due(until)) {
            return;
        }
        let series: Vec<TrainingSeries<'_>> = self
            .entries
            .iter()
            .filter_map(|entry| {
                let known = usize::try_from(until - entry.first_step).ok()?.min(entry.values.len());
                Some(TrainingSeries { values: &entry.values[..known], first_step: entry.first_step })
            })
            .collect();
        // The newest word is the one that counts: origins before may have known still less.
        let prefix = format!("{kind}: ");
        self.notes.retain(|note| !note.starts_with(&prefix));
        match Trained::train(kind, before, &series, &self.protocol.seasons, self.protocol.horizon, self.protocol.seed) {
            Ok(trained) => {
                self.trained.insert(kind, trained);
            }
            Err(reason) => self.notes.push(format!("{prefix}{reason}")),
        }
    }

    /// Fits every model at one origin. `clock` tells the time in any unit.
    pub fn fit(&self, origin: Origin, clock: &dyn Fn() -> f64) -> Fits {
        let entry = &self.entries[origin.entry];
        let series = entry.known(origin.known, self.protocol.context);
        let first_step = entry.step_of(origin.known - series.len());
        let horizon = self.protocol.horizon;
        let mut fits = Fits::default();
        for kind in &self.protocol.models {
            let begun = clock();
            let (mut points, mut fitted_at) = (None, begun);
            if kind.is_global() {
                let known = entry.step_of(origin.known);
                points = self.trained.get(kind).filter(|t| t.trained_until() <= known).and_then(|trained| {
                    let (values, spread) = trained.forecast(series, first_step, &self.protocol.seasons, horizon)?;
                    Some(Points { values, spread, fell_back: false })
                });
            } else if let Some(model) = kind.model() {
                let fitted = model.fit(series, &self.protocol.seasons).ok();
                fitted_at = clock();
                points = fitted.map(|f| Points { values: f.forecast(horizon), spread: None, fell_back: false });
            }
            let sound = points.filter(|p| p.values.len() == horizon && p.values.iter().all(|v| v.is_finite()));
            fits.times.push((fitted_at - begun, clock() - fitted_at));
            fits.forecasts.push(match sound {
                None if !kind.is_combination() => {
                    let mut values = vec![0.0; horizon];
                    Trivials::new(series, self.protocol.season(), &mut Room::default())
                        .forecast(ModelKind::Average, &mut values);
                    Some(Points { values, spread: None, fell_back: true })
                }
                other => other,
            });
        }
        fits
    }

    /// Takes in the fits of a round, in the order of its origins: combines, chooses, bounds.
    pub fn absorb(&mut self, round: usize, fits: Vec<Fits>) {
        let origins = self.rounds[round].clone();
        for origin in &origins {
            let entry = &self.entries[origin.entry];
            let known = entry.known(origin.known, self.protocol.context);
            let memory = &mut self.memory[origin.entry];
            memory.scale = scale_of(known, self.protocol.season());
            memory.at = Some(entry.step_of(origin.known));
        }
        let mut groups: BTreeMap<(String, i64), Group> = BTreeMap::new();
        for (origin, fits) in origins.into_iter().zip(fits) {
            for (total, (fit, forecast)) in self.times.iter_mut().zip(&fits.times) {
                *total = (total.0 + fit, total.1 + forecast, total.2 + 1);
            }
            let entry = &self.entries[origin.entry];
            let key = (entry.metric.clone(), entry.step_of(origin.known));
            if !groups.contains_key(&key) {
                groups.insert(key.clone(), self.group(&key));
            }
            let lines = self.lines_of(origin, fits, &groups[&key]);
            self.keep(origin, lines);
        }
    }

    /// What may be learned from the entries of a metric at a step: those whose own origin lies no later.
    fn group(&self, key: &(String, i64)) -> Group {
        let members: Vec<usize> = (0..self.entries.len())
            .filter(|e| self.entries[*e].metric == key.0 && self.memory[*e].at.is_some_and(|at| at <= key.1))
            .collect();
        let mean_scale = members.iter().map(|e| self.memory[*e].scale).sum::<f32>() / members.len().max(1) as f32;
        let loss = |contestant: usize| {
            let own = members.iter().map(|e| self.memory[*e].records[contestant].loss());
            let (sum, weight) = own.fold((0.0, 0.0), |(s, w), (sum, weight)| (s + sum, w + weight));
            (weight > 0.0).then(|| sum / weight)
        };
        let pool = |contestant: usize| Pool::new(members.iter().map(|e| &self.memory[*e].records[contestant]));
        Group {
            floor: mean_scale * SPREAD_FLOOR,
            losses: (0..self.contestants.len()).map(loss).collect(),
            pools: (0..self.contestants.len()).map(pool).collect(),
            shifts: (0..self.contestants.len())
                .map(|c| common_shift(members.iter().map(|e| &self.memory[*e].adaptations[c])))
                .collect(),
        }
    }

    fn lines_of(&mut self, origin: Origin, fits: Fits, group: &Group) -> Vec<(Line, Vec<f32>)> {
        let memory = &mut self.memory[origin.entry];
        let losses: Vec<Option<f64>> =
            memory.records.iter().zip(&group.losses).map(|(record, pooled)| record.shrunk_loss(*pooled)).collect();
        let mut forecasts = fits.forecasts;
        blend::combine(&self.protocol.models, &mut forecasts, &losses);
        let before = memory.champion;
        let rounds = memory.records.iter().map(|r| r.loss().1).fold(0.0, f64::max);
        let champion = blend::choose(&self.protocol.models, &forecasts, &losses, before, rounds);
        memory.champion_changes += u32::from(before.is_some_and(|b| b != champion));
        memory.champion = Some(champion);
        forecasts.push(forecasts[champion].clone());
        let mut lines = Vec::with_capacity(forecasts.len());
        for (contestant, forecast) in forecasts.into_iter().enumerate() {
            let Some(points) = forecast else { continue };
            let chosen = (contestant + 1 == self.contestants.len()).then(|| self.protocol.models[champion]);
            let own = memory.records[contestant].spreads(memory.scale, group.floor);
            let spread: Vec<f32> = match points.spread {
                Some(spread) => spread.into_iter().map(|s| s.max(group.floor).max(1e-6)).collect(),
                None => (0..points.values.len()).map(|h| own[bucket(h)]).collect(),
            };
            let bounds = {
                let adaptation = &memory.adaptations[contestant];
                let shifts = std::array::from_fn(|level| adaptation.shift(level, &group.shifts[contestant]));
                bounds(&points.values, &spread, &group.pools[contestant], &shifts)
            };
            let line = Line { contestant, origin, points: points.values, bounds, fell_back: points.fell_back, chosen };
            lines.push((line, spread));
        }
        lines
    }

    fn keep(&mut self, origin: Origin, lines: Vec<(Line, Vec<f32>)>) {
        let waiting = lines.iter().map(|(line, spread)| WaitingLine {
            points: line.points.clone(),
            spread: spread.clone(),
            bounds: line.bounds.clone(),
        });
        let waiting = Waiting { known: origin.known, learned: 0, lines: waiting.collect() };
        self.memory[origin.entry].waiting.push(waiting);
        if origin.measured {
            self.lines.extend(lines.into_iter().map(|(line, _)| line));
        }
    }

    /// Learns the errors that have become known since the entry's last origin.
    fn learn(&mut self, origin: Origin) {
        let entry = &self.entries[origin.entry];
        let horizon = self.protocol.horizon;
        let memory = &mut self.memory[origin.entry];
        for contestant in 0..self.contestants.len() {
            let mut errors = Vec::new();
            let (mut missed, mut count) = ([(0_u32, 0_u32); LEVELS.len()], 0_u32);
            for waiting in &memory.waiting {
                let Some(line) = waiting.lines.get(contestant) else { continue };
                for lead in waiting.learned..(origin.known - waiting.known).min(horizon) {
                    let actual = entry.values[waiting.known + lead];
                    if !actual.is_finite() {
                        continue;
                    }
                    errors.push((lead, actual - line.points[lead], line.spread[lead]));
                    count += 1;
                    for (missed, (lower, upper)) in missed.iter_mut().zip(&line.bounds) {
                        missed.0 += u32::from(actual < lower[lead]);
                        missed.1 += u32::from(actual > upper[lead]);
                    }
                }
            }
            memory.records[contestant].learn(&errors, memory.scale, horizon);
            memory.adaptations[contestant].learn(&missed, count);
        }
        for waiting in &mut memory.waiting {
            waiting.learned = (origin.known - waiting.known).min(horizon);
        }
        memory.waiting.retain(|waiting| waiting.learned < horizon);
    }

    /// Ends: everything that was forecast.
    pub fn finish(self) -> Finished {
        let champion_changes = self.memory.iter().map(|m| m.champion_changes).sum();
        Finished {
            protocol: self.protocol,
            entries: self.entries,
            contestants: self.contestants,
            lines: self.lines,
            times: self.times,
            training_time: self.training_time,
            notes: self.notes,
            champion_changes,
        }
    }
}

/// Typical movement of a history: over a season, or, where that shows none, about its mean.
fn scale_of(known: SeriesView<'_>, season: usize) -> f32 {
    let seasonal = measure::seasonal_scale(known.raw(), season).filter(|s| *s > 0.0);
    seasonal.unwrap_or_else(|| {
        let values: Vec<f32> = known.known().collect();
        let mean = values.iter().sum::<f32>() / values.len().max(1) as f32;
        f64::from(values.iter().map(|v| (v - mean).abs()).sum::<f32>()) / values.len().max(1) as f64
    }) as f32
}

/// What a group of entries taught together.
#[derive(Debug)]
struct Group {
    floor: f32,
    losses: Vec<Option<f64>>,
    pools: Vec<Pool>,
    /// Shifts of the tails, by contestant and level.
    shifts: Vec<[(f64, f64); LEVELS.len()]>,
}

fn bounds(
    points: &[f32],
    spread: &[f32],
    pool: &Pool,
    shifts: &[(f64, f64); LEVELS.len()],
) -> [(Vec<f32>, Vec<f32>); LEVELS.len()] {
    let mut levels: [(Vec<f32>, Vec<f32>); LEVELS.len()] = std::array::from_fn(|level| {
        let bound = |(h, (point, spread)): (usize, (&f32, &f32))| {
            let (low, high) = pool.offsets(h, LEVELS[level], shifts[level]);
            (point + spread * low, point + spread * high)
        };
        points.iter().zip(spread).enumerate().map(bound).unzip()
    });
    // Levels move each for itself; a wider interval holds the narrower one all the same.
    for level in 1..levels.len() {
        let (inner, outer) = levels.split_at_mut(level);
        let (inner, outer) = (&inner[level - 1], &mut outer[0]);
        outer.0.iter_mut().zip(&inner.0).for_each(|(low, narrower)| *low = low.min(*narrower));
        outer.1.iter_mut().zip(&inner.1).for_each(|(high, narrower)| *high = high.max(*narrower));
    }
    levels
}

/// A backtest that is over.
#[derive(Debug)]
pub struct Finished {
    /// How it was run.
    pub protocol: Protocol,
    /// On what.
    pub entries: Vec<Entry>,
    /// Who took part.
    pub contestants: Vec<Contestant>,
    /// Every measured forecast, by round, entry and contestant.
    pub lines: Vec<Line>,
    /// Total time of fits and forecasts and their number, by model.
    pub times: Vec<(f64, f64, u32)>,
    /// Total time spent training, by global model.
    pub training_time: BTreeMap<ModelKind, f64>,
    /// What the reader should know.
    pub notes: Vec<String>,
    /// How often the selection changed its mind.
    pub champion_changes: u32,
}
