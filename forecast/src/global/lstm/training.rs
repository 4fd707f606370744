//! Training: windows, batches, Adam, early stopping on the newest part of the history.

use super::super::TrainingSeries;
use super::network::{Batch, LAYOUT, Pass, WEIGHTS, backward, forward, loss, range};
use super::windows::{Shape, Window};

/// Windows a batch.
const BATCH: usize = 32;
/// Windows seen an epoch at most.
const WINDOWS_PER_EPOCH: usize = 1_536;
/// Epochs without a better loss on the time kept back before training ends.
const PATIENCE: usize = 4;
/// Longest gradient.
const CLIP: f32 = 1.0;
/// Decay of weights (Loshchilov & Hutter 2019), per step and unit of the learning rate.
const DECAY: f32 = 2e-2;

/// Numbers from a seed (SplitMix64; Steele, Lea & Flood 2014).
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in [−1, 1).
    pub(super) fn signed(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    }

    /// A whole number below `end`.
    fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }
}

/// Weights before training: uniform by fan-in, the forget gate open, the mix that of the plain average.
pub(super) fn initial(chance: &mut Chance) -> Vec<f32> {
    let mut weights = Vec::with_capacity(WEIGHTS);
    for (name, rows, columns) in LAYOUT {
        let bound =
            if name.ends_with("weight") || name.contains("weight_") { 1.0 / (columns as f32).sqrt() } else { 0.0 };
        weights.extend((0..rows * columns).map(|_| bound * chance.signed()));
    }
    let hidden = super::network::HIDDEN;
    weights[range("encoder.bias")][hidden..2 * hidden].fill(1.0);
    weights[range("head.weight")].iter_mut().for_each(|w| *w *= 0.1);
    let mix = &mut weights[range("head.mix")];
    mix[0] = 1.0 / 3.0;
    mix[7] = 1.0 / 3.0;
    weights
}

/// Adam (Kingma & Ba 2015).
#[derive(Debug)]
struct Adam {
    first: Vec<f32>,
    second: Vec<f32>,
    steps: i32,
}

impl Adam {
    fn new() -> Self {
        Self { first: vec![0.0; WEIGHTS], second: vec![0.0; WEIGHTS], steps: 0 }
    }

    fn step(&mut self, weights: &mut [f32], gradient: &mut [f32], rate: f32) {
        let length = gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
        let shrink = if length > CLIP { CLIP / length } else { 1.0 };
        self.steps += 1;
        let (correct1, correct2) = (1.0 - 0.9_f32.powi(self.steps), 1.0 - 0.999_f32.powi(self.steps));
        for (i, weight) in weights.iter_mut().enumerate() {
            let g = gradient[i] * shrink;
            self.first[i] = 0.9 * self.first[i] + 0.1 * g;
            self.second[i] = 0.999 * self.second[i] + 0.001 * g * g;
            let towards = self.first[i] / correct1 / ((self.second[i] / correct2).sqrt() + 1e-8);
            *weight -= rate * (towards + DECAY * *weight);
        }
    }
}

/// One epoch over at most [`WINDOWS_PER_EPOCH`] windows in an order drawn by chance.
pub(super) fn epoch(
    weights: &mut [f32],
    windows: &[Window],
    series: &[TrainingSeries<'_>],
    shape: &Shape,
    chance: &mut Chance,
    optimiser: &mut Optimiser,
    rate: f32,
) {
    let mut order: Vec<usize> = (0..windows.len()).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, chance.below(i + 1));
    }
    order.truncate(WINDOWS_PER_EPOCH);
    let mut gradient = vec![0.0; WEIGHTS];
    for chosen in order.chunks(BATCH) {
        let batch = shape.batch(chosen.iter().map(|i| &windows[*i]), series);
        if batch.size == 0 {
            continue;
        }
        forward(weights, &batch, &mut optimiser.pass);
        gradient.fill(0.0);
        backward(weights, &batch, &optimiser.pass, &mut gradient);
        optimiser.adam.step(weights, &mut gradient, rate);
    }
}

/// What training carries from step to step.
#[derive(Debug)]
pub(super) struct Optimiser {
    adam: Adam,
    pass: Pass,
}

impl Optimiser {
    pub(super) fn new() -> Self {
        Self { adam: Adam::new(), pass: Pass::default() }
    }
}

/// Loss of the network and of the plain average over windows: mean pinball loss, and mean absolute errors of both medians.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Judgement {
    pub(super) pinball: f64,
    pub(super) error: f64,
    pub(super) plain_error: f64,
}

pub(super) fn judge(weights: &[f32], windows: &[Window], series: &[TrainingSeries<'_>], shape: &Shape) -> Judgement {
    let mut pass = Pass::default();
    let (mut judgement, mut batches, mut known) = (Judgement::default(), 0.0, 0.0);
    let stride = windows.len().div_ceil(WINDOWS_PER_EPOCH).max(1);
    let chosen: Vec<&Window> = windows.iter().step_by(stride).collect();
    for chunk in chosen.chunks(BATCH) {
        let batch = shape.batch(chunk.iter().copied(), series);
        if batch.size == 0 {
            continue;
        }
        forward(weights, &batch, &mut pass);
        judgement.pinball += f64::from(loss(&batch, &pass));
        batches += 1.0;
        for (i, target) in batch.targets.iter().enumerate().filter(|(_, t)| t.is_finite()) {
            judgement.error += f64::from((target - pass.quantiles[5 * i + 2]).abs());
            judgement.plain_error += f64::from((target - Shape::plain(&batch, i)).abs());
            known += 1.0;
        }
    }
    let known = f64::max(known, 1.0);
    judgement.pinball /= f64::max(batches, 1.0);
    judgement.error /= known;
    judgement.plain_error /= known;
    judgement
}

/// Trains until the loss on the time kept back stops falling. Returns the epochs it took.
pub(super) fn train_until_worse(
    weights: &mut Vec<f32>,
    (windows, kept_back): (&[Window], &[Window]),
    series: &[TrainingSeries<'_>],
    shape: &Shape,
    chance: &mut Chance,
    (epochs_max, rate): (usize, f32),
) -> usize {
    let mut optimiser = Optimiser::new();
    let mut best = (judge(weights, kept_back, series, shape).pinball, weights.clone(), 0);
    for number in 1..=epochs_max {
        let now = rate * (1.0 - 0.9 * (number - 1) as f32 / epochs_max as f32);
        epoch(weights, windows, series, shape, chance, &mut optimiser, now);
        let pinball = judge(weights, kept_back, series, shape).pinball;
        if pinball < best.0 {
            best = (pinball, weights.clone(), number);
        } else if number - best.2 >= PATIENCE {
            break;
        }
    }
    *weights = best.1;
    best.2
}

/// One batch, for whoever only forecasts.
pub(super) fn quantiles(weights: &[f32], batch: &Batch) -> Vec<f32> {
    let mut pass = Pass::default();
    forward(weights, batch, &mut pass);
    pass.quantiles
}
