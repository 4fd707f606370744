//! What a backtest learns on its way: how good each model has been on each entry, and how far off.
//!
//! Everything here is learned from errors that were known at the origin it is used at. What is *pooled* over entries comes only from
//! entries whose own origin lies no later.

use std::collections::VecDeque;

/// Weight of past rounds, per round.
const DECAY: f64 = 0.93;
/// Rounds that the pooled loss of a model counts for beside an entry's own.
const SHRINK: f64 = 6.0;
/// Rounds that the scale of the history counts for beside an entry's own errors.
const SCALE_PRIOR: f64 = 1.0;
/// Rounds whose scores are kept.
const ROUNDS_KEPT: usize = 24;
/// Furthest score: a history without any movement expects errors of next to nothing, and the first one must not rule all bounds to come.
const SCORE_MAX: f32 = 12.0;
/// Fewest scores a bucket may rest on.
const SCORES_MIN: usize = 10;
/// Half width of an interval of which nothing is known, in units of the spread.
const OFFSET_UNKNOWN: f32 = 3.0;
/// First leads of the buckets that share their errors.
const LEADS: [usize; 6] = [0, 1, 4, 12, 24, 48];

/// The bucket of a lead (0 is the next step).
pub(super) fn bucket(lead: usize) -> usize {
    LEADS.iter().rposition(|first| lead >= *first).unwrap_or(0)
}

/// Central intervals made, by nominal coverage.
pub const LEVELS: [f64; 2] = [0.80, 0.95];

/// Memory of one model on one entry.
#[derive(Debug, Clone, Default)]
pub(super) struct Record {
    loss: f64,
    weight: f64,
    /// Decayed mean absolute error by bucket, and its weight.
    spread: [(f64, f64); LEADS.len()],
    /// Errors over spread by bucket, newest rounds last.
    scores: VecDeque<[Vec<f32>; LEADS.len()]>,
}

impl Record {
    /// One round's errors became known: `errors` by lead, with the spreads they were forecast with.
    pub(super) fn learn(&mut self, errors: &[(usize, f32, f32)], scale: f32, horizon: usize) {
        if errors.is_empty() {
            return;
        }
        let mut scores: [Vec<f32>; LEADS.len()] = Default::default();
        let mut sums = [(0.0_f64, 0.0_f64); LEADS.len()];
        for (lead, error, spread) in errors {
            let b = bucket(*lead);
            scores[b].push((error / spread).clamp(-SCORE_MAX, SCORE_MAX));
            sums[b] = (sums[b].0 + f64::from(error.abs()), sums[b].1 + 1.0);
        }
        for (spread, (sum, count)) in self.spread.iter_mut().zip(sums) {
            if count > 0.0 {
                *spread = (spread.0 * DECAY + sum / count, spread.1 * DECAY + 1.0);
            }
        }
        self.scores.push_back(scores);
        while self.scores.len() > ROUNDS_KEPT {
            self.scores.pop_front();
        }
        let (sum, count) = sums.iter().fold((0.0, 0.0), |(s, c), (sum, count)| (s + sum, c + count));
        if count > 0.0 && scale > 0.0 {
            // Rounds of which little is known say less.
            let weight = (count / horizon as f64).min(1.0);
            self.loss = self.loss * DECAY + weight * sum / count / f64::from(scale);
            self.weight = self.weight * DECAY + weight;
        }
    }

    /// Expected absolute error by bucket; `scale` stands in for what was not seen yet.
    pub(super) fn spreads(&self, scale: f32, floor: f32) -> [f32; LEADS.len()] {
        let mut out = [0.0; LEADS.len()];
        for (value, (sum, weight)) in out.iter_mut().zip(self.spread) {
            let mean = (sum + SCALE_PRIOR * f64::from(scale)) / (weight + SCALE_PRIOR);
            *value = (mean as f32).max(floor).max(1e-6);
        }
        out
    }

    /// Own loss and its weight.
    pub(super) const fn loss(&self) -> (f64, f64) {
        (self.loss, self.weight)
    }

    /// The loss to choose by: its own, drawn towards what the model showed on all entries.
    pub(super) fn shrunk_loss(&self, pooled: Option<f64>) -> Option<f64> {
        match pooled {
            Some(pooled) => Some((self.loss + SHRINK * pooled) / (self.weight + SHRINK)),
            None => (self.weight > 0.0).then(|| self.loss / self.weight),
        }
    }
}

/// Scores of several records together, by bucket, sorted.
#[derive(Debug, Default)]
pub(super) struct Pool {
    buckets: [Vec<f32>; LEADS.len()],
}

impl Pool {
    /// Pools the records' scores. A bucket that hardly anything is known of takes the scores of all.
    pub(super) fn new<'a>(records: impl Iterator<Item = &'a Record>) -> Self {
        let mut buckets: [Vec<f32>; LEADS.len()] = Default::default();
        for record in records {
            for round in &record.scores {
                for (all, scores) in buckets.iter_mut().zip(round) {
                    all.extend_from_slice(scores);
                }
            }
        }
        let everything: Vec<f32> = buckets.iter().flatten().copied().collect();
        for bucket in &mut buckets {
            if bucket.len() < SCORES_MIN {
                bucket.clone_from(&everything);
            }
            bucket.sort_unstable_by(f32::total_cmp);
        }
        Self { buckets }
    }

    /// How far the bounds of a level lie under (≤ 0) and over (≥ 0) the forecast, in units of its spread; `shift` moves the level of
    /// either tail. A few errors of one sign must not push both bounds to one side of the forecast.
    pub(super) fn offsets(&self, lead: usize, level: f64, shift: (f64, f64)) -> (f32, f32) {
        let scores = &self.buckets[bucket(lead)];
        let Some(last) = scores.len().checked_sub(1) else { return (-OFFSET_UNKNOWN, OFFSET_UNKNOWN) };
        let rank = |shift: f64| {
            let tail = ((1.0 + level) / 2.0 + shift).clamp(0.5, 0.9995);
            // The split-conformal rank, as in `conformal_quantile`.
            ((((scores.len() + 1) as f64) * tail).ceil() as usize).clamp(1, last + 1) - 1
        };
        (scores[last - rank(shift.0)].min(0.0), scores[rank(shift.1)].max(0.0))
    }
}

/// Adaptive conformal inference (Gibbs & Candès 2021), both tails of both levels of one model on one entry.
#[derive(Debug, Clone, Default)]
pub(super) struct Adaptation {
    /// What is added to the level of the lower and the upper tail.
    correction: [(f64, f64); LEVELS.len()],
    /// Decayed misses of both tails, and their decayed number.
    missed: [(f64, f64); LEVELS.len()],
    count: f64,
}

/// How far a tail's level may move, as a share of the tail: beyond, the few furthest errors there are would make the bound.
const ROOM: f64 = 0.7;
/// How much of what all entries missed lately is made up for.
const GAIN: f64 = 3.0;
/// Values that the target counts for beside what was missed.
const MISSED_PRIOR: f64 = 60.0;

/// What the tails of one model have missed lately on all entries of a metric, as a shift of their levels.
pub(super) fn common_shift<'a>(adaptations: impl Iterator<Item = &'a Adaptation>) -> [(f64, f64); LEVELS.len()] {
    let (mut missed, mut count) = ([(0.0, 0.0); LEVELS.len()], 0.0);
    for adaptation in adaptations {
        for (sum, own) in missed.iter_mut().zip(adaptation.missed) {
            *sum = (sum.0 + own.0, sum.1 + own.1);
        }
        count += adaptation.count;
    }
    std::array::from_fn(|i| {
        let target = (1.0 - LEVELS[i]) / 2.0;
        let shift = |missed: f64| {
            let share = (missed + MISSED_PRIOR * target) / (count + MISSED_PRIOR);
            (GAIN * (share - target)).clamp(-target * 0.7, target * 0.8)
        };
        (shift(missed[i].0), shift(missed[i].1))
    })
}

impl Adaptation {
    /// Learns the share of values under the lower and over the upper bound among those that became known.
    pub(super) fn learn(&mut self, missed: &[(u32, u32); LEVELS.len()], count: u32) {
        const STEP: f64 = 0.03;
        if count == 0 {
            return;
        }
        self.count = self.count * DECAY + f64::from(count);
        for (i, level) in LEVELS.iter().enumerate() {
            let target = (1.0 - level) / 2.0;
            let room = target * ROOM;
            let move_by = |old: f64, missed: u32| {
                (old + STEP * (f64::from(missed) / f64::from(count) - target)).clamp(-room, room)
            };
            let (lower, upper) = self.correction[i];
            self.correction[i] = (move_by(lower, missed[i].0), move_by(upper, missed[i].1));
            let sum = &mut self.missed[i];
            *sum = (sum.0 * DECAY + f64::from(missed[i].0), sum.1 * DECAY + f64::from(missed[i].1));
        }
    }

    /// Shift of the lower and upper tail of a level: its own, and what all entries have in common.
    pub(super) fn shift(&self, level: usize, common: &[(f64, f64); LEVELS.len()]) -> (f64, f64) {
        let target = (1.0 - LEVELS[level]) / 2.0;
        let both = |own: f64, all: f64| (own + all).clamp(-target * ROOM, target * ROOM);
        (both(self.correction[level].0, common[level].0), both(self.correction[level].1, common[level].1))
    }
}
