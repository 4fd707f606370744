//! Values at equal steps, oldest first, with gaps.

/// A borrowed series. A value that is not finite is a gap and is never handed out.
#[derive(Debug, Clone, Copy)]
pub struct SeriesView<'a> {
    values: &'a [f32],
}

impl<'a> SeriesView<'a> {
    /// A view of `values`, oldest first; anything not finite is a gap.
    pub const fn new(values: &'a [f32]) -> Self {
        Self { values }
    }

    /// Steps, gaps included.
    pub const fn len(&self) -> usize {
        self.values.len()
    }

    /// Is there no step at all?
    pub const fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The value of a step; `None` for a gap or a step outside.
    pub fn get(&self, step: usize) -> Option<f32> {
        self.values.get(step).copied().filter(|v| v.is_finite())
    }

    /// The first `steps` steps: what was known at that origin.
    #[must_use]
    pub fn until(&self, steps: usize) -> Self {
        Self { values: &self.values[..steps.min(self.values.len())] }
    }

    /// The newest known value.
    pub fn last(&self) -> Option<f32> {
        self.values.iter().rev().copied().find(|v| v.is_finite())
    }

    /// All known values, oldest first.
    pub fn known(&self) -> impl Iterator<Item = f32> + 'a {
        self.values.iter().copied().filter(|v| v.is_finite())
    }

    /// The raw steps; gaps are not finite.
    pub const fn raw(&self) -> &'a [f32] {
        self.values
    }

    /// A copy without gaps: inner gaps are drawn straight between their neighbours, outer ones take the nearest value.
    /// `None` when nothing is known.
    pub fn filled(&self) -> Option<Vec<f64>> {
        let first = self.values.iter().position(|v| v.is_finite())?;
        let mut filled = Vec::with_capacity(self.values.len());
        filled.resize(first + 1, f64::from(self.values[first]));
        let mut before = first;
        for (step, value) in self.values.iter().enumerate().skip(first + 1) {
            if value.is_finite() {
                let (a, b) = (filled[before], f64::from(*value));
                let gap = (step - before) as f64;
                filled.extend((before + 1..=step).map(|s| a + (b - a) * (s - before) as f64 / gap));
                before = step;
            }
        }
        let last = filled[before];
        filled.resize(self.values.len(), last);
        Some(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_drawn_straight_and_ends_are_held() {
        let nan = f32::NAN;
        let values = [nan, 2.0, nan, nan, 8.0, f32::INFINITY];
        let view = SeriesView::new(&values);
        assert_eq!(view.filled().unwrap(), [2.0, 2.0, 4.0, 6.0, 8.0, 8.0]);
        assert_eq!(view.last(), Some(8.0));
        assert_eq!(view.get(2), None);
        assert_eq!(SeriesView::new(&[nan, nan]).filled(), None);
    }
}
