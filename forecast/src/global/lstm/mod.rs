//! A recurrent network for all series together, with quantiles as its output.
//!
//! The architecture is MQ-RNN (Wen et al. 2017) with seasonal lags beside the encoder's state; see `network.rs`. It is trained here, on
//! one thread, from a seed: the same data and seed give the same weights on any machine and number of threads. Three networks from
//! three starts are trained and their quantiles averaged, for one alone varies with its start. Seven thousand weights each, 86 kB in
//! all for a whole fleet; a device costs nothing but its history.

mod file;
mod math;
mod network;
mod training;
mod windows;

pub use file::FileError;
pub use network::LEVELS;

use super::features::Scaled;
use super::{TrainError, TrainingSeries};
use crate::SeriesView;
use training::{Chance, Optimiser, epoch, judge, train_until_worse};
use windows::{Shape, Window};

/// Networks whose quantiles are averaged.
const MEMBERS: u64 = 3;
/// Fewest windows to train on.
const WINDOWS_MIN: usize = 96;
/// Most windows looked at: beyond, origins are taken further apart.
const WINDOWS_MAX: usize = 40_000;
/// Share of the windows, the newest, that is kept back to judge by.
const KEPT_BACK: f64 = 0.2;
/// Epochs at most, and the learning rate of the first.
const EPOCHS_MAX: usize = 40;
const RATE: f32 = 3e-3;
/// Epochs over everything after the best stop was found, and when something new is learned.
const EPOCHS_AFTER: usize = 2;
const RATE_AFTER: f32 = 5e-4;
/// Main seasons of newest windows that a later training looks at.
const SEASONS_AFTER: usize = 8;

/// A trained network.
#[derive(Debug, Clone, PartialEq)]
pub struct Lstm {
    /// Weights of each member.
    members: Vec<Vec<f32>>,
    shape: Shape,
    until: i64,
    seed: u64,
    /// Times it was trained on.
    rounds: u32,
}

/// Quantiles of the coming steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantiles {
    /// By step, then level; never falling with the level.
    pub values: Vec<[f32; LEVELS.len()]>,
}

impl Quantiles {
    /// The middle ones.
    pub fn median(&self) -> Vec<f32> {
        self.values.iter().map(|q| q[2]).collect()
    }

    /// Half the width between the 10 % and the 90 % quantile.
    pub fn spread(&self) -> Vec<f32> {
        self.values.iter().map(|q| 0.5 * (q[3] - q[1])).collect()
    }
}

impl Lstm {
    /// Trains a new network.
    ///
    /// # Errors
    /// [`TrainError`]: too little to learn from, or no better than the plain average on the time kept back.
    pub fn train(
        series: &[TrainingSeries<'_>],
        seasons: &[usize],
        horizon: usize,
        seed: u64,
    ) -> Result<Self, TrainError> {
        let shape = Shape::new(seasons, horizon);
        let windows = thinned(&shape, series);
        if windows.len() < WINDOWS_MIN {
            return Err(TrainError::TooLittle { found: windows.len(), needed: WINDOWS_MIN });
        }
        let (older, newer) = split(&windows, series, horizon);
        let mut members = Vec::new();
        let (mut error, mut plain) = (0.0, 0.0);
        for member in 0..MEMBERS {
            let mut chance = chance_of(seed, member, 0);
            let mut weights = training::initial(&mut chance);
            train_until_worse(&mut weights, (older, newer), series, &shape, &mut chance, (EPOCHS_MAX, RATE));
            let judged = judge(&weights, newer, series, &shape);
            error += judged.error / MEMBERS as f64;
            plain += judged.plain_error / MEMBERS as f64;
            // The newest time was only judged by: now it is learned too.
            let mut optimiser = Optimiser::new();
            for _ in 0..EPOCHS_AFTER {
                epoch(&mut weights, &windows, series, &shape, &mut chance, &mut optimiser, RATE_AFTER);
            }
            members.push(weights);
        }
        if error.is_nan() || error > plain {
            return Err(TrainError::NoBetter { loss: error.into(), plain: plain.into() });
        }
        Ok(Self { members, shape, until: end(series), seed, rounds: 0 })
    }

    /// The same network, trained on with what is new since.
    #[must_use]
    pub fn train_on(&self, series: &[TrainingSeries<'_>]) -> Self {
        let rounds = self.rounds + 1;
        let newest = end(series);
        let recent = newest - (SEASONS_AFTER * self.shape.season() + self.shape.horizon) as i64;
        let windows: Vec<Window> = thinned(&self.shape, series)
            .into_iter()
            .filter(|w| series[w.series].first_step + w.origin as i64 >= recent)
            .collect();
        let mut members = self.members.clone();
        for (member, weights) in members.iter_mut().enumerate() {
            let mut chance = chance_of(self.seed, member as u64, rounds);
            let mut optimiser = Optimiser::new();
            for _ in 0..EPOCHS_AFTER {
                epoch(weights, &windows, series, &self.shape, &mut chance, &mut optimiser, RATE_AFTER);
            }
        }
        Self { members, until: newest, rounds, ..self.clone() }
    }

    /// Lengths of the seasons it was trained with, in steps, and how many steps it was taught to forecast.
    pub fn taught(&self) -> (&[usize], usize) {
        (&self.shape.seasons, self.shape.horizon)
    }

    /// Has a main season passed until `step`?
    pub(super) const fn is_due(&self, step: i64) -> bool {
        let season = match self.shape.seasons.as_slice() {
            [first, ..] if *first > 0 => *first as i64,
            _ => 24,
        };
        step - self.until >= season
    }

    /// Step after the newest it was trained on.
    pub const fn trained_until(&self) -> i64 {
        self.until
    }

    /// Quantiles of the next `steps` steps of a series that ends with `series` and whose first step has the number `first_step`.
    /// `None` when less than a season and a half is known, or nothing moves.
    pub fn forecast(&self, series: SeriesView<'_>, first_step: i64, steps: usize) -> Option<Quantiles> {
        let scaled = Scaled::new(series, &self.shape.seasons)?;
        let (level, scale) = (scaled.level, scaled.scale);
        let end = first_step + series.len() as i64;
        let batch = self.shape.read(&[(scaled, series, end)], 0..steps);
        let mut sums = vec![0.0; steps * LEVELS.len()];
        for weights in &self.members {
            let quantiles = training::quantiles(weights, &batch);
            sums.iter_mut().zip(quantiles).for_each(|(sum, q)| *sum += q);
        }
        let back = |sum: f32| sum / self.members.len() as f32 * scale + level;
        let values = sums.chunks_exact(LEVELS.len()).map(|q| std::array::from_fn(|i| back(q[i]))).collect();
        Some(Quantiles { values })
    }
}

/// Chance of one member in one training.
const fn chance_of(seed: u64, member: u64, rounds: u32) -> Chance {
    Chance::new(
        seed ^ (member + 1).wrapping_mul(0xD134_2543_DE82_EF95) ^ (rounds as u64).wrapping_mul(0xA24B_AED4_963E_E407),
    )
}

fn end(series: &[TrainingSeries<'_>]) -> i64 {
    series.iter().map(|s| s.first_step + s.values.len() as i64).max().unwrap_or(0)
}

fn thinned(shape: &Shape, series: &[TrainingSeries<'_>]) -> Vec<Window> {
    let total: usize = series.iter().map(|s| s.values.len()).sum();
    let stride = total.div_ceil(WINDOWS_MAX).max(1);
    shape.windows(series, stride)
}

/// Older windows to learn from, newer ones to judge by. What the older ones are taught ends before the newer ones begin to forecast.
fn split<'w>(windows: &'w [Window], series: &[TrainingSeries<'_>], horizon: usize) -> (&'w [Window], &'w [Window]) {
    let at = |w: &Window| series[w.series].first_step + w.origin as i64;
    let newer = (windows.len() as f64 * (1.0 - KEPT_BACK)) as usize;
    let begin = at(&windows[newer.min(windows.len() - 1)]);
    let older = windows.partition_point(|w| at(w) + horizon as i64 <= begin);
    // A history of little more than a horizon: better to learn from windows that overlap than from none.
    (&windows[..older.max(windows.len() / 2)], &windows[newer..])
}

#[cfg(test)]
mod tests;
