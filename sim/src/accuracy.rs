//! How far the forecasts in force were off, measured by the world: what the decision value of a forecaster is held against.

use slacktide_engine::Engine;
use slacktide_engine::history::slot_number;
use slacktide_engine::ids::DeviceIndex;
use slacktide_engine::time::{Instant, Span};
use std::collections::BTreeMap;

/// Devices looked at, spread evenly over the fleet.
const DEVICES_MAX: usize = 256;
/// Slots ahead that are looked at, as far as the forecast reaches.
const LEADS: [usize; 6] = [1, 2, 4, 16, 48, 95];

/// Expectations that wait for their slot, and the errors of those whose slot has passed.
#[derive(Debug)]
pub(crate) struct Accuracy {
    slot: Span,
    devices: Vec<usize>,
    /// Slot under way, and the highest own load in it.
    now: i64,
    peaks: Vec<f32>,
    /// By slot: position among the devices, and expected peak in percent.
    waiting: BTreeMap<i64, Vec<(usize, f32)>>,
    errors: (f64, u64),
}

impl Accuracy {
    pub(crate) fn new(slot: Span, devices: usize) -> Self {
        let stride = devices.div_ceil(DEVICES_MAX).max(1);
        let devices: Vec<usize> = (0..devices).step_by(stride).collect();
        let peaks = vec![0.0; devices.len()];
        Self { slot, devices, now: i64::MIN, peaks, waiting: BTreeMap::new(), errors: (0.0, 0) }
    }

    /// Keeps what the forecast in force expects.
    pub(crate) fn note(&mut self, now: Instant, engine: &Engine) {
        let (horizon, _) = engine.forecast_steps();
        for lead in LEADS.into_iter().filter(|lead| *lead < horizon) {
            let at = now + self.slot.times(lead);
            let waiting = self.waiting.entry(slot_number(at, self.slot)).or_default();
            let points = self.devices.iter().enumerate();
            waiting.extend(points.filter_map(|(i, d)| Some((i, engine.load_point(DeviceIndex(*d as u32), at)?))));
        }
    }

    /// Takes in the devices' own load of a tick, percent: what they would carry if nobody was out.
    pub(crate) fn tick(&mut self, now: Instant, own: &[f32]) {
        let slot = slot_number(now, self.slot);
        if slot != self.now {
            for (i, expected) in self.waiting.remove(&self.now).unwrap_or_default() {
                self.errors = (self.errors.0 + f64::from((self.peaks[i] - expected).abs()), self.errors.1 + 1);
            }
            self.peaks.fill(0.0);
            self.now = slot;
        }
        for (peak, d) in self.peaks.iter_mut().zip(&self.devices) {
            *peak = peak.max(own[*d].clamp(0.0, 100.0));
        }
    }

    /// Mean absolute error, in points of load; `None` when no forecast was ever judged.
    pub(crate) fn mean_error(&self) -> Option<f64> {
        (self.errors.1 > 0).then(|| self.errors.0 / self.errors.1 as f64)
    }
}
