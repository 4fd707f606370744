//! Which of several overlapping rollouts is the bad one?
//!
//! Each rollout brings the excesses of the devices that it was the last to touch. Hypotheses, all equally likely beforehand: one rollout
//! alone is worse, all are, none is. Under "worse" the rise of a rollout is a half-normal of scale [`RISE_SCALE`] points, independent of
//! the others; the weighted mean excess of a rollout is taken to be normal around its rise. The posterior follows in closed form.
//!
//! Assumed: excesses of different rollouts are independent. Rollouts that share pools share the noise of the pool means, so that with
//! few pool-mates left the posterior is surer than it should be; [`Excess::deviation`] should then be raised by `√(1 + n/m)`.

use super::normal::{log_sum_exp, tail};

/// Scale of a bad rollout's rise, points.
pub const RISE_SCALE: f64 = 10.0;
/// An excess counts for no more than this many deviations from the median of its rollout.
const CLIP: f64 = 2.5;
/// Smallest deviation of a device, points.
const DEVIATION_MIN: f64 = 0.1;

/// How much more load a device carries than its pool-mates do, against before its update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Excess {
    /// Points.
    pub points: f64,
    /// How far devices like it drift from their mates by themselves, points.
    pub deviation: f64,
}

/// Who is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// This rollout alone, by its position.
    Alone(usize),
    /// Every rollout.
    All,
    /// None of them.
    Nobody,
}

/// One hypothesis and its posterior.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Blame {
    /// Who is worse.
    pub who: Who,
    /// Probability given what was seen, 0–1; those of all hypotheses add up to 1.
    pub posterior: f64,
    /// Rise if it is so, points.
    pub effect_points: f64,
    /// Standard error of that rise, points.
    pub standard_error: f64,
}

/// Mean excess of a rollout and its variance.
#[derive(Debug, Clone, Copy)]
struct Mean {
    points: f64,
    variance: f64,
}

/// Posterior of every hypothesis: each rollout alone in the order given, then all, then nobody. Empty without rollouts; with a single one
/// "all" is left out, for it would be the same.
pub fn blame(rollouts: &[&[Excess]]) -> Vec<Blame> {
    if rollouts.is_empty() {
        return Vec::new();
    }
    let means: Vec<Option<Mean>> = rollouts.iter().map(|excesses| mean(excesses)).collect();
    let known = |mean: &Option<Mean>| mean.as_ref().map_or(0.0, log_worse);
    let alone = (0..means.len()).map(|r| (Who::Alone(r), known(&means[r]), mean_of(&means[r..=r])));
    let all = (means.len() > 1).then(|| (Who::All, means.iter().map(known).sum(), mean_of(&means)));
    let hypotheses: Vec<(Who, f64, Mean)> =
        alone.chain(all).chain([(Who::Nobody, 0.0, Mean { points: 0.0, variance: 0.0 })]).collect();
    let total = log_sum_exp(hypotheses.iter().map(|h| h.1));
    let judge = |(who, log_odds, mean): (Who, f64, Mean)| {
        let prior = RISE_SCALE * RISE_SCALE;
        let shrink = prior / (prior + mean.variance);
        Blame {
            who,
            posterior: libm::exp(log_odds - total),
            effect_points: if mean.variance.is_finite() { mean.points * shrink } else { 0.0 },
            standard_error: if mean.variance.is_finite() { (mean.variance * shrink).sqrt() } else { RISE_SCALE },
        }
    };
    hypotheses.into_iter().map(judge).collect()
}

/// Weighted mean of the excesses of a rollout, outliers brought in; `None` where nothing is known.
fn mean(excesses: &[Excess]) -> Option<Mean> {
    let mut known: Vec<(f64, f64)> = excesses
        .iter()
        .filter(|e| e.points.is_finite() && e.deviation.is_finite())
        .map(|e| (e.points, e.deviation.max(DEVIATION_MIN)))
        .collect();
    known.sort_by(|a, b| a.0.total_cmp(&b.0));
    let median = known.get(known.len() / 2)?.0;
    let (mut weights, mut sum) = (0.0, 0.0);
    for (points, deviation) in known {
        let weight = 1.0 / (deviation * deviation);
        weights += weight;
        sum += weight * points.clamp(median - CLIP * deviation, median + CLIP * deviation);
    }
    Some(Mean { points: sum / weights, variance: 1.0 / weights })
}

fn mean_of(means: &[Option<Mean>]) -> Mean {
    let (mut weights, mut sum) = (0.0, 0.0);
    for mean in means.iter().flatten() {
        weights += 1.0 / mean.variance;
        sum += mean.points / mean.variance;
    }
    if weights > 0.0 {
        Mean { points: sum / weights, variance: 1.0 / weights }
    } else {
        Mean { points: 0.0, variance: f64::INFINITY }
    }
}

/// Log likelihood ratio of "worse" against "not worse": a half-normal mixture of normals.
fn log_worse(mean: &Mean) -> f64 {
    let (v, prior) = (mean.variance, RISE_SCALE * RISE_SCALE);
    let z = mean.points * RISE_SCALE / (v * (v + prior)).sqrt();
    let spread = 0.5 * libm::log(v / (v + prior));
    // ln(2 Φ(z)) + z² / 2, which is bounded on the left where its parts are not.
    let half = if z > -30.0 {
        libm::log((2.0 * tail(-z)).max(f64::MIN_POSITIVE)) + z * z / 2.0
    } else {
        -libm::log(-z) - 0.225_791_352_644_727_4
    };
    spread + half
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// scipy 1.17.1: `quad(lambda d: norm.pdf(x, d, sqrt(v)) * halfnorm.pdf(d, scale=10), 0, inf) / norm.pdf(x, 0, sqrt(v))`, its logarithm.
    #[test]
    fn the_half_normal_mixture_agrees_with_scipy() {
        for (points, variance, expected) in KNOWN {
            let found = log_worse(&Mean { points, variance });
            assert!(
                (found - expected).abs() < 1e-8 * expected.abs().max(1.0),
                "{points} {variance}: {found} {expected}"
            );
        }
    }

    const KNOWN: [(f64, f64, f64); 5] = [
        (0.0, 1.0, -2.3075602584206294),
        (10.0, 1.8, 25.962154103170572),
        (-3.0, 0.5, -4.369743469169448),
        (2.0, 25.0, -0.4942611366307649),
        (5.0, 4.0, 2.0617671140214693),
    ];

    /// A small generator for tests: pairs of independent normals would be more than is needed.
    struct Noise(u64);
    impl Noise {
        fn uniform(&mut self) -> f64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((self.0 >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
        }
        fn normal(&mut self) -> f64 {
            crate::risk::normal::quantile(self.uniform())
        }
    }

    fn group(noise: &mut Noise, devices: usize, rise: f64, deviation: f64) -> Vec<Excess> {
        (0..devices).map(|_| Excess { points: rise + deviation * noise.normal(), deviation }).collect()
    }

    #[test]
    fn the_culprit_is_found_and_nobody_is_blamed_for_nothing() {
        let (mut right, mut confident) = (0, 0);
        for seed in 0..200 {
            let mut noise = Noise(seed * 7919 + 1);
            for _ in 0..8 {
                noise.uniform();
            }
            let (good, bad) = (group(&mut noise, 20, 0.0, 6.0), group(&mut noise, 20, 10.0, 6.0));
            let found = blame(&[&good, &bad]);
            let top = found.iter().max_by(|a, b| a.posterior.total_cmp(&b.posterior)).unwrap();
            right += u32::from(top.who == Who::Alone(1));
            let other = group(&mut noise, 20, 0.0, 6.0);
            let is_blamed = |b: &Blame| b.who != Who::Nobody && b.posterior > 0.9;
            confident += u32::from(blame(&[&good, &other]).iter().any(is_blamed));
        }
        assert!(right >= 180, "{right} of 200");
        assert!(confident <= 4, "{confident} of 200");
    }

    proptest! {
        #[test]
        fn posteriors_add_up_and_do_not_depend_on_the_order(
            groups in proptest::collection::vec(proptest::collection::vec((-50.0f64..50.0, 0.0f64..20.0), 0..30), 1..5),
        ) {
            let groups: Vec<Vec<Excess>> = groups
                .into_iter()
                .map(|g| g.into_iter().map(|(points, deviation)| Excess { points, deviation }).collect())
                .collect();
            let forward: Vec<&[Excess]> = groups.iter().map(Vec::as_slice).collect();
            let backward: Vec<&[Excess]> = groups.iter().rev().map(Vec::as_slice).collect();
            let (a, b) = (blame(&forward), blame(&backward));
            prop_assert!((a.iter().map(|h| h.posterior).sum::<f64>() - 1.0).abs() < 1e-9);
            let n = groups.len();
            for r in 0..n {
                prop_assert!((a[r].posterior - b[n - 1 - r].posterior).abs() < 1e-9);
            }
            prop_assert!(a.iter().all(|h| h.posterior.is_finite() && h.effect_points.is_finite() && h.standard_error.is_finite()));
        }

        #[test]
        fn a_higher_excess_is_never_blamed_less(rise in 0.0f64..20.0, more in 0.1f64..10.0, devices in 3usize..30) {
            let level = |points: f64| vec![Excess { points, deviation: 4.0 }; devices];
            let (calm, before, after) = (level(0.0), level(rise), level(rise + more));
            prop_assert!(blame(&[&after, &calm])[0].posterior >= blame(&[&before, &calm])[0].posterior - 1e-9);
        }
    }
}
