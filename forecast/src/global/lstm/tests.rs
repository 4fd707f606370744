//! The network against other software and against finite differences.

use super::file::read_weights;
use super::network::{Batch, INPUTS, LEAD_INPUTS, Pass, WEIGHTS, backward, forward, loss, range};
use super::training::{Chance, initial};
use super::*;
use crate::SeriesView;
use proptest::prelude::any;
use safetensors::SafeTensors;

/// `steps` steps, `size` windows, `horizon` leads of numbers by chance.
fn batch(chance: &mut Chance, steps: usize, size: usize, horizon: usize) -> Batch {
    let mut numbers = |n: usize| (0..n).map(|_| chance.signed()).collect::<Vec<f32>>();
    Batch {
        size,
        inputs: numbers(steps * size * INPUTS),
        leads: numbers(size * horizon * LEAD_INPUTS),
        targets: numbers(size * horizon),
    }
}

/// Numbers of a tensor, by rows.
fn numbers(file: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let bytes = file.tensor(name).unwrap().data();
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn furthest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

/// `tests/lstm_vectors/make.py`: the encoder by ONNX Runtime 1.32.0, the whole network and its derivatives by JAX 0.10.2.
#[test]
fn forward_and_backward_pass_are_those_of_onnx_runtime_and_jax() {
    let bytes = include_bytes!("../../../tests/lstm_vectors/vectors.safetensors");
    let file = SafeTensors::deserialize(bytes).unwrap();
    let weights = read_weights(&file, "weights").unwrap();
    let size = file.tensor("leads").unwrap().shape()[0];
    let batch = Batch {
        size,
        inputs: numbers(&file, "inputs"),
        leads: numbers(&file, "leads"),
        targets: numbers(&file, "targets"),
    };
    let mut pass = Pass::default();
    forward(&weights, &batch, &mut pass);
    assert!(furthest(pass.last_states(size), &numbers(&file, "states")) < 1e-5);
    assert!(furthest(&pass.quantiles, &numbers(&file, "quantiles")) < 1e-5);
    assert!((loss(&batch, &pass) - numbers(&file, "loss")[0]).abs() < 1e-6);
    let mut gradient = vec![0.0; WEIGHTS];
    backward(&weights, &batch, &pass, &mut gradient);
    let known = read_weights(&file, "gradient").unwrap();
    assert!(known.iter().filter(|g| g.abs() > 1e-3).count() > WEIGHTS / 8, "the gradient is not nothing");
    assert!(furthest(&gradient, &known) < 1e-5, "{}", furthest(&gradient, &known));
}

#[test]
fn gradients_equal_finite_differences() {
    let mut chance = Chance::new(3);
    let mut weights = initial(&mut chance);
    // A new network hardly listens to its encoder: make it.
    weights.iter_mut().for_each(|w| *w *= 2.0);
    weights[range("head.weight")].iter_mut().for_each(|w| *w *= 10.0);
    let mut batch = batch(&mut chance, 6, 3, 4);
    batch.targets[5] = f32::NAN;
    let mut pass = Pass::default();
    forward(&weights, &batch, &mut pass);
    let mut gradient = vec![0.0; WEIGHTS];
    backward(&weights, &batch, &pass, &mut gradient);
    let mut checked = 0;
    for at in (0..WEIGHTS).step_by(37) {
        let middle = weights[at];
        let mut side = |value: f32| {
            weights[at] = value;
            forward(&weights, &batch, &mut pass);
            f64::from(loss(&batch, &pass))
        };
        let slope = (side(middle + 4e-3) - side(middle - 4e-3)) / 8e-3;
        weights[at] = middle;
        let error = (slope - f64::from(gradient[at])).abs();
        assert!(error < 4e-5 + 0.02 * slope.abs(), "{at}: {slope} {}", gradient[at]);
        checked += usize::from(slope.abs() > 1e-4);
    }
    assert!(checked > 100, "{checked} slopes that are not nothing");
}

fn waves(count: usize, steps: usize) -> Vec<Vec<f32>> {
    let mut chance = Chance::new(11);
    (0..count)
        .map(|k| {
            let wave = |t: usize| libm::sinf((t + 3 * k) as f32 / 24.0 * std::f32::consts::TAU);
            (0..steps).map(|t| 40.0 + (5 + k) as f32 * wave(t) + 2.0 * chance.signed()).collect()
        })
        .collect()
}

fn training(data: &[Vec<f32>], steps: usize) -> Vec<TrainingSeries<'_>> {
    data.iter().map(|v| TrainingSeries { values: &v[..steps], first_step: 0 }).collect()
}

#[test]
fn it_learns_waves_keeps_its_quantiles_in_order_and_is_the_same_from_the_same_seed() {
    let data = waves(8, 240);
    let lstm = Lstm::train(&training(&data, 216), &[24], 24, 5).unwrap();
    let (mut error, mut covered) = (0.0, 0);
    for series in &data {
        let quantiles = lstm.forecast(SeriesView::new(&series[..216]), 0, 24).unwrap();
        for (h, q) in quantiles.values.iter().enumerate() {
            assert!(q.is_sorted(), "{q:?}");
            error += (q[2] - series[216 + h]).abs();
            covered += usize::from(q[1] <= series[216 + h] && series[216 + h] <= q[3]);
        }
    }
    let (error, covered) = (error / 192.0, covered as f32 / 192.0);
    assert!(error < 1.6, "noise alone is 1.0: {error}");
    assert!((0.6..=0.98).contains(&covered), "{covered}");
    assert_eq!(lstm, Lstm::train(&training(&data, 216), &[24], 24, 5).unwrap());
    assert_ne!(lstm, Lstm::train(&training(&data, 216), &[24], 24, 6).unwrap());
    let later = lstm.train_on(&training(&data, 240));
    assert_eq!((later.trained_until(), later.rounds), (240, 1));
}

#[test]
fn too_little_is_said() {
    let data = waves(1, 60);
    assert!(matches!(Lstm::train(&training(&data, 60), &[24], 24, 5), Err(TrainError::TooLittle { .. })));
    let lstm = Lstm::train(&training(&waves(8, 240), 216), &[24], 24, 5).unwrap();
    assert_eq!(lstm.forecast(SeriesView::new(&[5.0; 100]), 0, 24), None);
    assert_eq!(lstm.forecast(SeriesView::new(&data[0][..20]), 0, 24), None);
}

#[test]
fn a_file_brings_it_back_and_a_damaged_one_is_named() {
    let weights = initial(&mut Chance::new(9));
    let lstm = Lstm {
        members: vec![weights.clone(), weights],
        shape: Shape::new(&[24, 168], 24),
        until: 77,
        seed: 4,
        rounds: 2,
    };
    let bytes = lstm.to_bytes();
    assert!(Lstm::from_bytes(&bytes).unwrap() == lstm && (0..20).all(|_| lstm.to_bytes() == bytes));
    assert!(Lstm::from_bytes(&bytes[..bytes.len() - 3]).is_err());
    assert!(Lstm::from_bytes(b"").is_err());
    let other = String::from_utf8_lossy(&bytes[..2600]).contains("slacktide/lstm/1");
    assert!(other, "the header is readable");
    let text = "slacktide/lstm/1".as_bytes();
    let at = bytes.windows(text.len()).position(|w| w == text).unwrap();
    let mut changed = bytes.clone();
    changed[at + text.len() - 1] = b'9';
    assert!(Lstm::from_bytes(&changed).unwrap_err().to_string().contains("slacktide/lstm/9"));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]

    /// A file that was damaged anywhere is refused or is a network of finite weights: never a panic, never a number that is none.
    #[test]
    fn no_bytes_break_the_reader(
        at in 0usize..60_000, value in any::<u8>(), cut in 0usize..60_000, noise in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut chance = Chance::new(9);
        let lstm = Lstm { members: vec![initial(&mut chance)], shape: Shape::new(&[24], 24), until: 77, seed: 4, rounds: 2 };
        let mut bytes = lstm.to_bytes();
        let place = at % bytes.len();
        bytes[place] = value;
        if let Ok(read) = Lstm::from_bytes(&bytes) {
            proptest::prop_assert!(read.members.iter().flatten().all(|w| w.is_finite()));
        }
        bytes.truncate(cut % bytes.len());
        proptest::prop_assert!(Lstm::from_bytes(&bytes).is_err());
        proptest::prop_assert!(Lstm::from_bytes(&noise).is_err());
    }
}
