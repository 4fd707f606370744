//! Longer steps: means over whole ones.

use super::telemetry::Recording;

/// A step length that the recording cannot be brought to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAMultiple {
    /// Length asked for, seconds.
    pub asked_s: i64,
    /// Length recorded, seconds.
    pub period_s: i64,
}

impl std::fmt::Display for NotAMultiple {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "steps of {} s cannot be made of recorded steps of {} s: choose a multiple",
            self.asked_s, self.period_s
        )
    }
}

impl std::error::Error for NotAMultiple {}

impl Recording {
    /// The same devices over some of the steps only; a range beyond the end is cut.
    pub fn between(&self, steps: std::ops::Range<usize>) -> Self {
        let (from, to) = (steps.start.min(self.steps), steps.end.min(self.steps));
        let cut =
            |metric: usize| (0..self.devices.len()).flat_map(|d| self.series(metric, d)[from..to].to_vec()).collect();
        Self {
            start_s: self.start_s + from as i64 * self.period_s,
            steps: to.saturating_sub(from),
            columns: (0..self.metrics.len()).map(cut).collect(),
            ..self.clone()
        }
    }

    /// The same load at steps of `every_s` seconds, each the mean of what is known in it; steps begin at multiples of their length in
    /// Unix time. A step of which nothing is known is a gap.
    ///
    /// # Errors
    /// [`NotAMultiple`] of the recorded period.
    pub fn every(&self, every_s: i64) -> Result<Self, NotAMultiple> {
        if every_s < self.period_s || every_s % self.period_s != 0 {
            return Err(NotAMultiple { asked_s: every_s, period_s: self.period_s });
        }
        let start = self.start_s.div_euclid(every_s);
        let end = (self.start_s + (self.steps as i64 - 1) * self.period_s).div_euclid(every_s);
        let steps = (end - start + 1) as usize;
        let step_of = |step: usize| ((self.start_s + step as i64 * self.period_s).div_euclid(every_s) - start) as usize;
        let mean = |series: &[f32]| {
            let mut sums = vec![(0.0_f64, 0_u32); steps];
            for (step, value) in series.iter().enumerate().filter(|(_, v)| v.is_finite()) {
                let sum = &mut sums[step_of(step)];
                *sum = (sum.0 + f64::from(*value), sum.1 + 1);
            }
            sums.into_iter()
                .map(|(sum, n)| if n > 0 { (sum / f64::from(n)) as f32 } else { f32::NAN })
                .collect::<Vec<_>>()
        };
        let columns = (0..self.metrics.len())
            .map(|metric| (0..self.devices.len()).flat_map(|device| mean(self.series(metric, device))).collect())
            .collect();
        Ok(Self { period_s: every_s, start_s: start * every_s, steps, columns, ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_over_known_values_begin_at_whole_steps() {
        let recording = Recording {
            period_s: 300,
            start_s: 3300,
            steps: 4,
            devices: vec!["a".into()],
            metrics: vec!["cpu".into()],
            columns: vec![vec![1.0, 2.0, f32::NAN, 4.0]],
            clipped: 0,
            skipped: 0,
            repeated: 0,
        };
        let hourly = recording.every(3600).unwrap();
        assert_eq!((hourly.start_s, hourly.steps, hourly.period_s), (0, 2, 3600));
        assert_eq!(hourly.columns[0], [1.0, 3.0]);
        let cut = recording.between(1..9);
        assert_eq!((cut.start_s, cut.steps, cut.columns[0][0]), (3600, 3, 2.0));
        assert_eq!(
            recording.every(400).unwrap_err().to_string(),
            "steps of 400 s cannot be made of recorded steps of 300 s: choose a multiple"
        );
    }
}
