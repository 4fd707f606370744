//! How wide a forecast must be: conformal bounds from its own past errors.

/// The split-conformal quantile: the smallest bound that a new score stays under with probability at least `level` when it is
/// exchangeable with `scores` (Vovk et al. 2005; the `⌈(n + 1)·level⌉`-th smallest). With too few scores for the level the largest
/// is returned: nothing larger was ever seen. `None` without scores. May reorder `scores`.
pub fn conformal_quantile(scores: &mut [f32], level: f32) -> Option<f32> {
    if scores.is_empty() {
        return None;
    }
    let rank = ((scores.len() + 1) as f32 * level).ceil() as usize;
    let index = rank.clamp(1, scores.len()) - 1;
    let from_top = scores.len() - index;
    if from_top <= TOP_MAX {
        return Some(nth_largest(scores, from_top));
    }
    let (_, quantile, _) = scores.select_nth_unstable_by(index, f32::total_cmp);
    Some(*quantile)
}

/// Up to this many of the largest scores are found by insertion in one pass: high levels of few scores, asked for by every fit of a fleet.
const TOP_MAX: usize = 8;

/// The `n`-th largest of at least `n` scores, 1 ≤ `n` ≤ [`TOP_MAX`].
fn nth_largest(scores: &[f32], n: usize) -> f32 {
    let (first, rest) = scores.split_at(n);
    let mut top = [0.0; TOP_MAX];
    let top = &mut top[..n];
    top.copy_from_slice(first);
    top.sort_unstable_by(f32::total_cmp);
    for score in rest {
        // The plain comparison is the cheap one, and most scores are lower.
        if *score > top[0] || score.is_nan() {
            let Some(place) = top.iter().take_while(|t| t.total_cmp(score).is_lt()).count().checked_sub(1) else {
                continue;
            };
            top.copy_within(1..=place, 0);
            top[place] = *score;
        }
    }
    top[0]
}

/// Adaptive conformal inference (Gibbs & Candès 2021): a level that moves so that the long-run share of misses meets its target even
/// when the errors drift.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdaptiveLevel {
    target: f32,
    level: f32,
    step: f32,
}

impl AdaptiveLevel {
    /// Aims at coverage `target` in (0, 1) with step `step` (the paper uses 0.005 to 0.05), from where `level` has moved so far
    /// (`None` at first).
    pub fn new(target: f32, step: f32, level: Option<f32>) -> Self {
        Self { target, level: level.unwrap_or(target), step }
    }

    /// The level to ask [`conformal_quantile`] for next.
    pub const fn level(&self) -> f32 {
        self.level.clamp(0.5, 0.999)
    }

    /// Learns whether the newest value was covered.
    pub fn update(&mut self, covered: bool) {
        let miss = if covered { 0.0 } else { 1.0 };
        self.level = (self.level + self.step * (miss - (1.0 - self.target))).clamp(0.5, 0.999);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_rank_has_the_finite_sample_correction() {
        let mut scores: Vec<f32> = (1..=9).map(|i| i as f32).collect();
        assert_eq!(conformal_quantile(&mut scores, 0.9), Some(9.0));
        let mut scores: Vec<f32> = (1..=99).rev().map(|i| i as f32).collect();
        assert_eq!(conformal_quantile(&mut scores, 0.9), Some(90.0));
        assert_eq!(conformal_quantile(&mut [3.0], 0.9), Some(3.0));
        assert_eq!(conformal_quantile(&mut [], 0.9), None);
    }

    #[test]
    fn the_adaptive_level_rises_on_misses_and_falls_on_hits() {
        let mut level = AdaptiveLevel::new(0.9, 0.01, None);
        level.update(false);
        assert!(level.level() > 0.9);
        for _ in 0..50 {
            level.update(true);
        }
        assert!(level.level() < 0.9);
    }

    proptest! {
        /// Found by insertion or by selection: the same score.
        #[test]
        fn the_nth_largest_is_the_sorted_one(scores in proptest::collection::vec(-5.0f32..5.0, 8..60), n in 1usize..=TOP_MAX) {
            let mut sorted = scores.clone();
            sorted.sort_by(f32::total_cmp);
            prop_assert_eq!(nth_largest(&scores, n), sorted[sorted.len() - n]);
        }

        /// An independent count: at least ⌈(n+1)·level⌉ scores (or all) lie at or under the quantile.
        #[test]
        fn enough_scores_lie_under_the_quantile(mut scores in proptest::collection::vec(-50.0f32..50.0, 1..80), level in 0.5f32..0.99) {
            let copy = scores.clone();
            let q = conformal_quantile(&mut scores, level).unwrap();
            let under = copy.iter().filter(|s| **s <= q).count();
            prop_assert!(under >= (((copy.len() + 1) as f32 * level).ceil() as usize).min(copy.len()));
        }
    }
}
