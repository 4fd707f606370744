//! What is compared, on what, and from which origins.

use crate::{ModelKind, SeriesView};

/// Rounds before the first measured one, beyond those that only fill the horizon: selection and intervals learn from them.
const WARM_UP: usize = 8;

/// How a backtest is run. All lengths are in steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Protocol {
    /// Models that compete.
    pub models: Vec<ModelKind>,
    /// Lengths of the seasons, the main one first; errors are scaled by it.
    pub seasons: Vec<usize>,
    /// Steps to forecast, ≥ 1.
    pub horizon: usize,
    /// Newest steps a model is fitted to; `None` is all there are.
    pub context: Option<usize>,
    /// Steps between origins, ≥ 1.
    pub stride: usize,
    /// Origins measured a series; `None` is as many as fit.
    pub origins: Option<usize>,
    /// Seed of whatever is drawn by chance (the training of networks).
    pub seed: u64,
}

impl Protocol {
    /// The main season, 1 when there is none.
    pub fn season(&self) -> usize {
        self.seasons.first().map_or(1, |s| (*s).max(1))
    }

    /// Fewest steps known at a measured origin.
    fn context_min(&self) -> usize {
        self.context.unwrap_or_else(|| (2 * self.season()).max(8))
    }

    /// Fewest steps known at an origin that is only learned from.
    fn warm_up_min(&self) -> usize {
        (self.context_min() / 2).max(2 * self.season() + 1).min(self.context_min()).max(4)
    }
}

/// One series of a backtest.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Whose it is.
    pub name: String,
    /// What it measures.
    pub metric: String,
    /// Values from the first known to the last known one; gaps are not finite.
    pub values: Vec<f32>,
    /// Number of its first step on the scale all entries share.
    pub first_step: i64,
}

impl Entry {
    /// Trims gaps off both ends. `None` when nothing is known.
    pub fn trimmed(name: String, metric: String, values: &[f32]) -> Option<Self> {
        let first = values.iter().position(|v| v.is_finite())?;
        let last = values.iter().rposition(|v| v.is_finite())?;
        Some(Self { name, metric, values: values[first..=last].to_vec(), first_step: first as i64 })
    }

    /// What was known at an origin, no more than `context` steps of it.
    pub fn known(&self, origin: usize, context: Option<usize>) -> SeriesView<'_> {
        let begin = context.map_or(0, |c| origin.saturating_sub(c));
        SeriesView::new(&self.values[begin..origin])
    }

    /// What came after it.
    pub fn actual(&self, origin: usize, horizon: usize) -> &[f32] {
        &self.values[origin..(origin + horizon).min(self.values.len())]
    }

    /// The origin on the scale all entries share.
    pub const fn step_of(&self, origin: usize) -> i64 {
        self.first_step + origin as i64
    }
}

/// An origin of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Position of the entry.
    pub entry: usize,
    /// Steps known.
    pub known: usize,
    /// Counted, or only learned from.
    pub measured: bool,
}

/// All origins, round by round from the oldest to the newest. Within a round every entry has at most one, as far from its end as the
/// others from theirs.
pub fn rounds(protocol: &Protocol, entries: &[Entry]) -> Vec<Vec<Origin>> {
    let mut rounds: Vec<Vec<Origin>> = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let Some(newest) = entry.values.len().checked_sub(protocol.horizon) else { continue };
        if newest < protocol.context_min() {
            continue;
        }
        let fitting = (newest - protocol.context_min()) / protocol.stride + 1;
        let measured = protocol.origins.map_or(fitting, |wanted| wanted.clamp(1, fitting));
        let warm_up = WARM_UP + protocol.horizon.div_ceil(protocol.stride);
        for back in 0..measured + warm_up {
            let Some(known) = newest.checked_sub(back * protocol.stride) else { break };
            if known < protocol.warm_up_min() {
                break;
            }
            if rounds.len() <= back {
                rounds.push(Vec::new());
            }
            rounds[back].push(Origin { entry: index, known, measured: back < measured });
        }
    }
    rounds.reverse();
    rounds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protocol() -> Protocol {
        let models = vec![ModelKind::Naive];
        Protocol { models, seasons: vec![24], horizon: 24, context: Some(168), stride: 6, origins: None, seed: 1 }
    }

    #[test]
    fn origins_reach_back_from_the_end_and_the_first_ones_are_learned_from() {
        let entry = |n: usize| Entry::trimmed("a".into(), "cpu".into(), &vec![1.0; n]).unwrap();
        let rounds = rounds(&protocol(), &[entry(336), entry(100)]);
        let measured: Vec<Origin> = rounds.iter().flatten().copied().filter(|o| o.measured).collect();
        // 168, 174 … 312: 25 origins; the second entry is too short for any.
        assert_eq!((measured.len(), measured[0].known, measured[24].known), (25, 168, 312));
        assert_eq!((rounds.len(), rounds[0][0].known), (25 + 12, 168 - 72));
        assert!(rounds.iter().flatten().all(|o| o.entry == 0));
    }

    #[test]
    fn gaps_at_the_ends_are_trimmed_and_place_is_kept() {
        let nan = f32::NAN;
        let entry = Entry::trimmed("a".into(), "cpu".into(), &[nan, 1.0, nan, 3.0, nan]).unwrap();
        assert_eq!((entry.values.len(), entry.first_step, entry.step_of(2)), (3, 1, 3));
        assert_eq!(Entry::trimmed("a".into(), "cpu".into(), &[nan]), None);
    }
}
