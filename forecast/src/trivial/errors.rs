//! What the trivial models erred by at a past origin, all of them in one pass: the inner loop of live selection.

use crate::ModelKind;
use crate::measure::LANES;

/// What the four trivial models erred by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TrivialErrors(pub(super) [f32; 4]);

impl TrivialErrors {
    /// Mean absolute error of a model; `None` of one that is not trivial.
    pub(crate) const fn of(&self, kind: ModelKind) -> Option<f32> {
        match kind {
            ModelKind::Naive => Some(self.0[0]),
            ModelKind::SeasonalNaive => Some(self.0[1]),
            ModelKind::SeasonalMean => Some(self.0[2]),
            ModelKind::Average => Some(self.0[3]),
            _ => None,
        }
    }
}

/// Sums of absolute errors of the four trivial models, in lanes.
pub(super) struct ErrorSums {
    last: f32,
    level: f32,
    cap: f32,
    lanes: [[f32; LANES]; 4],
    tails: [f32; 4],
}

impl ErrorSums {
    pub(super) fn new(last: f32, level: f32, cap: f32) -> Self {
        Self { last, level, cap, lanes: [[0.0; LANES]; 4], tails: [0.0; 4] }
    }

    /// Adds the steps of a season, or of its beginning.
    pub(super) fn add(&mut self, actual: &[f32], newest: &[f32], means: &[f32]) {
        let Self { level, cap, .. } = *self;
        let last = bound(self.last, cap);
        self.add_one(0, actual, newest, |_| last);
        self.add_one(1, actual, newest, |value| bound(value, cap));
        self.add_one(2, actual, means, |mean| bound(mean, cap));
        self.add_one(3, actual, means, |mean| bound(level + mean / 3.0, cap));
    }

    /// Adds what one model erred by, whose forecast is a function of what stands in the place of each step.
    #[inline(always)]
    fn add_one(&mut self, model: usize, actual: &[f32], from: &[f32], forecast: impl Fn(f32) -> f32) {
        let (chunks, rest) = actual.as_chunks::<LANES>();
        let mut lanes = self.lanes[model];
        for (actual, from) in chunks.iter().zip(from.as_chunks::<LANES>().0) {
            for (lane, (actual, from)) in lanes.iter_mut().zip(actual.iter().zip(from)) {
                *lane += (actual - forecast(*from)).abs();
            }
        }
        self.lanes[model] = lanes;
        let off = |(actual, from): (&f32, &f32)| (actual - forecast(*from)).abs();
        self.tails[model] += rest.iter().zip(&from[chunks.len() * LANES..]).map(off).sum::<f32>();
    }

    /// The sums; `None` where something was not known.
    pub(super) fn finish(&self) -> Option<[f32; 4]> {
        let mut sums = self.tails;
        sums.iter_mut().zip(&self.lanes).for_each(|(sum, lanes)| *sum += lanes.iter().sum::<f32>());
        sums.iter().all(|sum| sum.is_finite()).then_some(sums)
    }
}

/// A forecast brought into its range, 0 to `cap`: as comparisons, which the processor does for several at once; `clamp` makes sure of its
/// bounds at each.
pub(crate) fn bound(value: f32, cap: f32) -> f32 {
    let above = if value > 0.0 { value } else { 0.0 };
    if above < cap { above } else { cap }
}
