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
    if scores.len() <= COLUMNS * ROWS_MAX && crate::measure::all_known(scores) {
        return Some(nth_largest(scores, scores.len() - index));
    }
    let (_, quantile, _) = scores.select_nth_unstable_by(index, f32::total_cmp);
    Some(*quantile)
}

/// Scores looked at side by side.
const COLUMNS: usize = 8;
/// Up to so many rows of them are sorted by columns: every fit of a fleet asks for the quantiles of a few dozen scores.
const ROWS_MAX: usize = 8;

/// The `n`-th largest of at least `n` and at most `COLUMNS * ROWS_MAX` scores without a NaN, `n` ≥ 1.
fn nth_largest(scores: &[f32], n: usize) -> f32 {
    let mut rows = [[f32::NEG_INFINITY; COLUMNS]; ROWS_MAX];
    let (chunks, rest) = scores.as_chunks::<COLUMNS>();
    rows[..chunks.len()].copy_from_slice(chunks);
    if let Some(row) = rows.get_mut(chunks.len()) {
        row[..rest.len()].copy_from_slice(rest);
    }
    // Each column in order, the largest first: comparisons without branches, which the processor does for all columns at once.
    let rows = &mut rows[..scores.len().div_ceil(COLUMNS)];
    for last in 1..rows.len() {
        for row in (0..last).rev() {
            let (upper, lower) = (rows[row], rows[row + 1]);
            for column in 0..COLUMNS {
                let (a, b) = (upper[column], lower[column]);
                rows[row][column] = if a > b { a } else { b };
                rows[row + 1][column] = if a > b { b } else { a };
            }
        }
    }
    // Of what heads the columns the largest is taken off, n times.
    let mut heads = rows[0];
    let mut taken = [0; COLUMNS];
    let mut largest = heads[0];
    for _ in 0..n {
        let mut column = 0;
        for (c, head) in heads.iter().enumerate() {
            column = if *head > heads[column] { c } else { column };
        }
        largest = heads[column];
        taken[column] += 1;
        heads[column] = rows.get(taken[column]).map_or(f32::NEG_INFINITY, |row| row[column]);
    }
    largest
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
        /// Found by columns or by sorting all: the same score. Few different scores in some cases, so that many are equal.
        #[test]
        fn the_nth_largest_is_the_sorted_one(
            scores in prop_oneof![
                proptest::collection::vec(-5.0f32..5.0, 1..=COLUMNS * ROWS_MAX),
                proptest::collection::vec((-3i8..3).prop_map(f32::from), 1..=COLUMNS * ROWS_MAX),
            ],
            n in 0usize..COLUMNS * ROWS_MAX,
        ) {
            let n = 1 + n % scores.len();
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
