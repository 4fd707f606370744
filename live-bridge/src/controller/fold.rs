//! The reports since the last tick become one batch of telemetry.

use super::inbox::Marks;
use crate::wire::Report;
use slacktide_engine::ids::DeviceIndex;
use slacktide_engine::input::TelemetryBatch;
use std::collections::BTreeMap;

/// Sum and count of a metric.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: f64,
    count: u32,
}

/// Mean of every metric of every device that reported since the last tick.
#[derive(Debug)]
pub(super) struct Fold {
    metrics: Vec<String>,
    /// By device: one mean a metric.
    means: BTreeMap<DeviceIndex, Vec<Mean>>,
}

impl Fold {
    pub(super) fn new(metrics: &[String]) -> Self {
        Self { metrics: metrics.to_vec(), means: BTreeMap::new() }
    }

    /// Takes a report in. Values outside 0–100 count as missing, metrics that nobody plans with are left out. False when it had such a value.
    pub(super) fn take(&mut self, device: DeviceIndex, report: &Report) -> bool {
        let mut is_plausible = true;
        let means = self.means.entry(device).or_insert_with(|| vec![Mean::default(); self.metrics.len()]);
        for sample in &report.samples {
            let Some(metric) = self.metrics.iter().position(|name| *name == sample.metric) else { continue };
            if (0.0..=100.0).contains(&sample.percent) {
                means[metric].sum += f64::from(sample.percent);
                means[metric].count += 1;
            } else {
                is_plausible = false;
            }
        }
        is_plausible
    }

    /// The batch of the tick; empty when nobody reported, for time goes on all the same. `devices` is how many are enrolled.
    pub(super) fn batch(&mut self, devices: usize) -> TelemetryBatch {
        let means = std::mem::take(&mut self.means);
        let mut columns = vec![Vec::with_capacity(means.len()); self.metrics.len()];
        for of in means.values() {
            for (column, mean) in columns.iter_mut().zip(of) {
                let value = if mean.count == 0 { f64::NAN } else { mean.sum / f64::from(mean.count) };
                column.push(value as f32);
            }
        }
        // The shorter form where everybody is there.
        let devices = (means.len() != devices).then(|| means.into_keys().collect());
        TelemetryBatch { devices, columns }
    }
}

/// Marks that moved since they were last written, by device name.
#[derive(Debug, Default)]
pub(super) struct Moved {
    marks: BTreeMap<String, Marks>,
    reports: BTreeMap<String, u64>,
    changed: BTreeMap<String, Marks>,
}

impl Moved {
    pub(super) fn new(marks: BTreeMap<String, Marks>) -> Self {
        Self { marks, ..Self::default() }
    }

    pub(super) fn of(&self, device: &str) -> Marks {
        self.marks.get(device).copied().unwrap_or_default()
    }

    /// An event went to the engine.
    pub(super) fn event(&mut self, device: &str, sequence: u64) {
        let marks = self.marks.entry(device.to_owned()).or_default();
        marks.events = marks.events.max(sequence);
        self.changed.insert(device.to_owned(), *marks);
    }

    /// A report waits for the tick.
    pub(super) fn report(&mut self, device: &str, sequence: u64) {
        let highest = self.reports.entry(device.to_owned()).or_default();
        *highest = sequence.max(*highest);
    }

    /// The tick: the reports that waited are dealt with.
    pub(super) fn tick(&mut self) {
        for (device, sequence) in std::mem::take(&mut self.reports) {
            let marks = self.marks.entry(device.clone()).or_default();
            marks.reports = marks.reports.max(sequence);
            self.changed.insert(device, *marks);
        }
    }

    /// What must be written.
    pub(super) fn take(&mut self) -> BTreeMap<String, Marks> {
        std::mem::take(&mut self.changed)
    }
}
