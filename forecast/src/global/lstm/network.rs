//! The network itself: an LSTM encoder and one decoder for all leads (MQ-RNN; Wen, Torkkola, Narayanaswamy & Madeka 2017).
//!
//! The encoder (Hochreiter & Schmidhuber 1997, gates in PyTorch's order: input, forget, cell, output) reads the newest steps. The
//! decoder sees its last state and what is known of one lead (calendar, simple forecasts), and gives that lead's quantiles: a median
//! beside a learned mix of the simple forecasts, the others by positive steps away from it, so that they never cross.

use super::super::features::LAGS;
use super::math::{outer, product, product_transposed, sigmoid, softplus, tanh};

/// Inputs a step: value, value less its phase's mean, known or not, and two pairs of calendar waves.
pub(super) const INPUTS: usize = 7;
/// Inputs a lead, beside the state: calendar waves and place in the horizon, two marks of the series, simple forecasts.
pub(super) const LEAD_INPUTS: usize = 7 + LAGS;
/// Width of the state.
pub(super) const HIDDEN: usize = 32;
/// Width of the decoder.
const DECODER: usize = 32;
/// Quantiles given.
pub const LEVELS: [f32; 5] = [0.025, 0.1, 0.5, 0.9, 0.975];
const OUTPUTS: usize = LEVELS.len();
const GATES: usize = 4 * HIDDEN;
const SEEN: usize = HIDDEN + LEAD_INPUTS;

/// Where each group of weights lies, all by columns: name, rows, columns.
pub(super) const LAYOUT: [(&str, usize, usize); 8] = [
    ("encoder.weight_ih", GATES, INPUTS),
    ("encoder.weight_hh", GATES, HIDDEN),
    ("encoder.bias", GATES, 1),
    ("decoder.weight", DECODER, SEEN),
    ("decoder.bias", DECODER, 1),
    ("head.weight", OUTPUTS, DECODER),
    ("head.bias", OUTPUTS, 1),
    ("head.mix", 1, LAGS),
];

/// Number of weights.
pub(super) const WEIGHTS: usize = {
    let (mut total, mut i) = (0, 0);
    while i < LAYOUT.len() {
        total += LAYOUT[i].1 * LAYOUT[i].2;
        i += 1;
    }
    total
};

/// Range of one group.
pub(super) fn range(name: &str) -> std::ops::Range<usize> {
    let mut begin = 0;
    for (group, rows, columns) in LAYOUT {
        if group == name {
            return begin..begin + rows * columns;
        }
        begin += rows * columns;
    }
    0..0
}

/// A batch: `size` windows of the same length and horizon.
#[derive(Debug, Clone, Default)]
pub(super) struct Batch {
    pub(super) size: usize,
    /// Step by step, window by window, [`INPUTS`] numbers each.
    pub(super) inputs: Vec<f32>,
    /// Window by window, lead by lead, [`LEAD_INPUTS`] numbers each; the last [`LAGS`] are the simple forecasts.
    pub(super) leads: Vec<f32>,
    /// Window by window, lead by lead; not finite is unknown.
    pub(super) targets: Vec<f32>,
}

/// Everything a forward pass computed, and room for the backward pass.
#[derive(Debug, Default)]
pub(super) struct Pass {
    gates: Vec<f32>,
    cells: Vec<f32>,
    cell_tanh: Vec<f32>,
    states: Vec<f32>,
    seen: Vec<f32>,
    decoded: Vec<f32>,
    raw: Vec<f32>,
    /// Window by window, lead by lead, a number a level.
    pub(super) quantiles: Vec<f32>,
}

impl Pass {
    /// Last state of every window.
    #[cfg(test)]
    pub(super) fn last_states(&self, size: usize) -> &[f32] {
        &self.states[self.states.len() - size * HIDDEN..]
    }
}

/// Runs `batch` through the network.
pub(super) fn forward(weights: &[f32], batch: &Batch, pass: &mut Pass) {
    encode(weights, batch, pass);
    decode(weights, batch, pass);
}

fn encode(weights: &[f32], batch: &Batch, pass: &mut Pass) {
    let b = batch.size;
    let steps = batch.inputs.len() / INPUTS / b;
    let bias = &weights[range("encoder.bias")];
    pass.gates.clear();
    (0..steps * b).for_each(|_| pass.gates.extend_from_slice(bias));
    product(&weights[range("encoder.weight_ih")], &batch.inputs, &mut pass.gates, GATES, INPUTS);
    for cleared in [&mut pass.cells, &mut pass.cell_tanh, &mut pass.states] {
        cleared.clear();
        // The state before the first step is zero and stands first.
        cleared.resize((steps + 1) * b * HIDDEN, 0.0);
    }
    let recurrent = &weights[range("encoder.weight_hh")];
    for t in 0..steps {
        let gates = &mut pass.gates[t * b * GATES..(t + 1) * b * GATES];
        let (before, after) = pass.states.split_at_mut((t + 1) * b * HIDDEN);
        product(recurrent, &before[t * b * HIDDEN..], gates, GATES, HIDDEN);
        let (cells_before, cells_after) = pass.cells.split_at_mut((t + 1) * b * HIDDEN);
        let cell_tanh = &mut pass.cell_tanh[(t + 1) * b * HIDDEN..(t + 2) * b * HIDDEN];
        for w in 0..b {
            let (input, rest) = gates[w * GATES..(w + 1) * GATES].split_at_mut(HIDDEN);
            let (forget, rest) = rest.split_at_mut(HIDDEN);
            let (cell, output) = rest.split_at_mut(HIDDEN);
            input.iter_mut().for_each(|x| *x = sigmoid(*x));
            forget.iter_mut().for_each(|x| *x = sigmoid(*x));
            cell.iter_mut().for_each(|x| *x = tanh(*x));
            output.iter_mut().for_each(|x| *x = sigmoid(*x));
            let old = &cells_before[(t * b + w) * HIDDEN..(t * b + w + 1) * HIDDEN];
            for j in 0..HIDDEN {
                let value = forget[j] * old[j] + input[j] * cell[j];
                cells_after[w * HIDDEN + j] = value;
                let squashed = tanh(value);
                cell_tanh[w * HIDDEN + j] = squashed;
                after[w * HIDDEN + j] = output[j] * squashed;
            }
        }
    }
}

fn decode(weights: &[f32], batch: &Batch, pass: &mut Pass) {
    let b = batch.size;
    let total = batch.leads.len() / LEAD_INPUTS;
    let horizon = total / b;
    let last = pass.states.len() - b * HIDDEN;
    pass.seen.clear();
    for (i, lead) in batch.leads.chunks_exact(LEAD_INPUTS).enumerate() {
        let window = i / horizon;
        pass.seen.extend_from_slice(&pass.states[last + window * HIDDEN..last + (window + 1) * HIDDEN]);
        pass.seen.extend_from_slice(lead);
    }
    pass.decoded.clear();
    (0..total).for_each(|_| pass.decoded.extend_from_slice(&weights[range("decoder.bias")]));
    product(&weights[range("decoder.weight")], &pass.seen, &mut pass.decoded, DECODER, SEEN);
    pass.decoded.iter_mut().for_each(|x| *x = tanh(*x));
    pass.raw.clear();
    (0..total).for_each(|_| pass.raw.extend_from_slice(&weights[range("head.bias")]));
    product(&weights[range("head.weight")], &pass.decoded, &mut pass.raw, OUTPUTS, DECODER);
    let mix = &weights[range("head.mix")];
    pass.quantiles.clear();
    for (raw, lead) in pass.raw.chunks_exact(OUTPUTS).zip(batch.leads.chunks_exact(LEAD_INPUTS)) {
        let mixed: f32 = mix.iter().zip(&lead[LEAD_INPUTS - LAGS..]).map(|(m, x)| m * x).sum();
        let median = mixed + raw[2];
        let (low, high) = (median - softplus(raw[1]), median + softplus(raw[3]));
        pass.quantiles.extend([low - softplus(raw[0]), low, median, high, high + softplus(raw[4])]);
    }
}

/// Mean pinball loss over levels and known targets of a batch that was run forward.
pub(super) fn loss(batch: &Batch, pass: &Pass) -> f32 {
    let (mut sum, mut count) = (0.0_f64, 0_u32);
    for (target, quantiles) in batch.targets.iter().zip(pass.quantiles.chunks_exact(OUTPUTS)) {
        if target.is_finite() {
            for (level, quantile) in LEVELS.iter().zip(quantiles) {
                let error = target - quantile;
                sum += f64::from(if error >= 0.0 { level * error } else { (level - 1.0) * error });
            }
            count += OUTPUTS as u32;
        }
    }
    (sum / f64::from(count.max(1))) as f32
}

/// Gradient of [`loss`] in all weights, added to `gradient`.
pub(super) fn backward(weights: &[f32], batch: &Batch, pass: &Pass, gradient: &mut [f32]) {
    let (b, total) = (batch.size, batch.targets.len());
    let known = batch.targets.iter().filter(|t| t.is_finite()).count().max(1);
    let each = 1.0 / (known * OUTPUTS) as f32;
    let mut raw = vec![0.0; total * OUTPUTS];
    for i in 0..total {
        let target = batch.targets[i];
        if !target.is_finite() {
            continue;
        }
        let quantiles = &pass.quantiles[i * OUTPUTS..(i + 1) * OUTPUTS];
        let slope: [f32; OUTPUTS] = std::array::from_fn(|q| {
            let below = if target < quantiles[q] { 1.0 } else { 0.0 };
            (below - LEVELS[q]) * each
        });
        let given = &pass.raw[i * OUTPUTS..(i + 1) * OUTPUTS];
        let median: f32 = slope.iter().sum();
        raw[i * OUTPUTS..(i + 1) * OUTPUTS].copy_from_slice(&[
            -slope[0] * sigmoid(given[0]),
            -(slope[0] + slope[1]) * sigmoid(given[1]),
            median,
            (slope[3] + slope[4]) * sigmoid(given[3]),
            slope[4] * sigmoid(given[4]),
        ]);
        let lags = &batch.leads[(i + 1) * LEAD_INPUTS - LAGS..(i + 1) * LEAD_INPUTS];
        gradient[range("head.mix")].iter_mut().zip(lags).for_each(|(g, x)| *g += median * x);
    }
    let states = backward_decoder(weights, batch, pass, &raw, gradient);
    backward_encoder(weights, batch, pass, states, gradient, b);
}

/// Returns the gradient in the last states.
fn backward_decoder(weights: &[f32], batch: &Batch, pass: &Pass, raw: &[f32], gradient: &mut [f32]) -> Vec<f32> {
    let total = raw.len() / OUTPUTS;
    outer(raw, &pass.decoded, &mut gradient[range("head.weight")], OUTPUTS, DECODER);
    sum_columns(raw, &mut gradient[range("head.bias")]);
    let mut decoded = vec![0.0; total * DECODER];
    product_transposed(&weights[range("head.weight")], raw, &mut decoded, OUTPUTS, DECODER);
    decoded.iter_mut().zip(&pass.decoded).for_each(|(g, y)| *g *= 1.0 - y * y);
    outer(&decoded, &pass.seen, &mut gradient[range("decoder.weight")], DECODER, SEEN);
    sum_columns(&decoded, &mut gradient[range("decoder.bias")]);
    let mut seen = vec![0.0; total * SEEN];
    product_transposed(&weights[range("decoder.weight")], &decoded, &mut seen, DECODER, SEEN);
    let horizon = total / batch.size;
    let mut states = vec![0.0; batch.size * HIDDEN];
    for (i, seen) in seen.chunks_exact(SEEN).enumerate() {
        let window = i / horizon;
        states[window * HIDDEN..(window + 1) * HIDDEN].iter_mut().zip(seen).for_each(|(g, s)| *g += s);
    }
    states
}

fn backward_encoder(weights: &[f32], batch: &Batch, pass: &Pass, mut state: Vec<f32>, gradient: &mut [f32], b: usize) {
    let steps = batch.inputs.len() / INPUTS / b;
    let mut gates = vec![0.0; steps * b * GATES];
    let mut cell = vec![0.0; b * HIDDEN];
    let recurrent = &weights[range("encoder.weight_hh")];
    for t in (0..steps).rev() {
        let slopes = &mut gates[t * b * GATES..(t + 1) * b * GATES];
        for w in 0..b {
            let given = &pass.gates[(t * b + w) * GATES..(t * b + w + 1) * GATES];
            let at = (t + 1) * b * HIDDEN + w * HIDDEN;
            for j in 0..HIDDEN {
                let (input, forget) = (given[j], given[HIDDEN + j]);
                let (candidate, output) = (given[2 * HIDDEN + j], given[3 * HIDDEN + j]);
                let squashed = pass.cell_tanh[at + j];
                let dh = state[w * HIDDEN + j];
                let dc = cell[w * HIDDEN + j] + dh * output * (1.0 - squashed * squashed);
                let old = pass.cells[at - b * HIDDEN + j];
                let slope = &mut slopes[w * GATES..(w + 1) * GATES];
                slope[j] = dc * candidate * input * (1.0 - input);
                slope[HIDDEN + j] = dc * old * forget * (1.0 - forget);
                slope[2 * HIDDEN + j] = dc * input * (1.0 - candidate * candidate);
                slope[3 * HIDDEN + j] = dh * squashed * output * (1.0 - output);
                cell[w * HIDDEN + j] = dc * forget;
            }
        }
        state.fill(0.0);
        product_transposed(recurrent, slopes, &mut state, GATES, HIDDEN);
    }
    outer(&gates, &batch.inputs, &mut gradient[range("encoder.weight_ih")], GATES, INPUTS);
    let before = &pass.states[..steps * b * HIDDEN];
    outer(&gates, before, &mut gradient[range("encoder.weight_hh")], GATES, HIDDEN);
    sum_columns(&gates, &mut gradient[range("encoder.bias")]);
}

fn sum_columns(matrix: &[f32], sums: &mut [f32]) {
    for column in matrix.chunks_exact(sums.len()) {
        sums.iter_mut().zip(column).for_each(|(sum, value)| *sum += value);
    }
}
