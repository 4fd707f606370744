//! What a reader of results should know of the recording they come from.

use super::telemetry::Recording;

/// Load that is shares of 1 runs without a complaint, as a fleet that is nearly idle; the cure is the caller's to name.
pub const SHARES_OF_ONE: &str = "no value is above 1 percent: if these are shares of 1";

impl Recording {
    /// Values that were changed, left out, or took the place of others.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if self.clipped + self.skipped > 0 {
            remarks.push(format!("{} values were clipped, {} rows skipped", self.clipped, self.skipped));
        }
        if self.repeated > 0 {
            remarks.push(format!(
                "{} values came twice for the same step of {} s of a device (repeated or uneven timestamps): the later row counts",
                self.repeated, self.period_s
            ));
        }
        remarks
    }

    /// Says so where metrics look like shares of 1; `rescaled` is whether the scale of the first metric does not matter.
    pub fn shares_of_one(&self, rescaled: bool) -> Option<String> {
        let looks = |metric: &usize| {
            let mut known = self.columns[*metric].iter().filter(|value| value.is_finite());
            known.all(|value| *value <= 1.0) && self.columns[*metric].iter().any(|value| *value > 0.0)
        };
        let low: Vec<usize> = (usize::from(rescaled)..self.metrics.len()).filter(looks).collect();
        let which = if low.len() == self.metrics.len() {
            String::new()
        } else {
            low.iter().map(|metric| self.metrics[*metric].as_str()).collect::<Vec<_>>().join(", ") + ": "
        };
        (!low.is_empty()).then(|| format!("{which}{SHARES_OF_ONE}, multiply them by 100 first"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(cpu: [f32; 2], memory: [f32; 2]) -> Recording {
        Recording {
            period_s: 300,
            start_s: 0,
            steps: 2,
            devices: vec!["a".into()],
            metrics: vec!["cpu".into(), "memory".into()],
            columns: vec![cpu.to_vec(), memory.to_vec()],
            clipped: 0,
            skipped: 0,
            repeated: 0,
        }
    }

    #[test]
    fn shares_of_one_are_told_where_their_scale_matters() {
        let said = |cpu, memory, rescaled| recording(cpu, memory).shares_of_one(rescaled).unwrap_or_default();
        let plain = format!("{SHARES_OF_ONE}, multiply them by 100 first");
        assert_eq!(said([0.2, 1.0], [f32::NAN, 0.4], false), plain);
        assert_eq!(said([0.2, 1.0], [3.0, 40.0], false), format!("cpu: {plain}"));
        assert_eq!(said([0.2, 1.0], [0.1, 0.4], true), format!("memory: {plain}"), "only the first is rescaled");
        assert_eq!(said([0.2, 1.0], [3.0, 40.0], true), "");
        assert_eq!(said([0.0, 2.0], [0.0, 0.0], false), "", "nothing at all is no share");
    }
}
