//! Latin hypercubes: each field takes every one of `count` even steps once. Of many drawn at random the one whose two closest points lie
//! furthest apart is kept (maximin, Johnson, Moore & Ylvisaker 1990, Journal of Statistical Planning and Inference 26(2)).

use crate::rng::{Purpose, Stream};

/// Hypercubes drawn.
const TRIES: u64 = 200;
/// Above so many pairs of points the search ends early: the closest pair is looked for in each draw.
const PAIRS_MAX: u64 = 20_000_000;

/// `count` points of the unit cube, each in the middle of its cell.
pub(super) fn points(dimensions: usize, count: usize, seed: u64) -> Vec<Vec<f64>> {
    let pairs = (count as u64 * count.saturating_sub(1) as u64 / 2).max(1);
    let tries = (PAIRS_MAX / pairs).clamp(1, TRIES);
    let mut best = (f64::NEG_INFINITY, Vec::new());
    for index in 0..tries {
        let cube = cube(dimensions, count, &mut Stream::new(seed, Purpose::Design, index));
        let apart = if tries == 1 { 0.0 } else { closest(&cube) };
        if apart > best.0 {
            best = (apart, cube);
        }
    }
    best.1
}

fn cube(dimensions: usize, count: usize, stream: &mut Stream) -> Vec<Vec<f64>> {
    let mut points = vec![vec![0.0; dimensions]; count];
    for d in 0..dimensions {
        let mut order: Vec<usize> = (0..count).collect();
        // Fisher and Yates.
        (1..count).rev().for_each(|i| order.swap(i, stream.below(i + 1)));
        points.iter_mut().zip(order).for_each(|(point, cell)| point[d] = (cell as f64 + 0.5) / count as f64);
    }
    points
}

/// Squared distance of the two closest points; infinite with fewer than two.
fn closest(points: &[Vec<f64>]) -> f64 {
    let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f64>();
    let pairs = points.iter().enumerate().flat_map(|(i, a)| points[i + 1..].iter().map(move |b| distance(a, b)));
    pairs.fold(f64::INFINITY, f64::min)
}
