//! What few recorded updates leave open: how long updates take, and how many fail.

use super::recorded::Recorded;
use crate::rng::{Purpose, Stream};
use rand_distr::{Beta, Distribution, StandardNormal};
use slacktide_engine::time::Span;

/// Before anything is known of a release, a fifth of a failure in thirty updates counts as seen: few fail, and few say little.
const PRIOR_FAILED: f64 = 0.2;
const PRIOR_SUCCEEDED: f64 = 30.0;
/// Spread of the logarithm of durations where too few were recorded to tell.
const SIGMA_USUAL: f64 = 0.3;
/// So many durations are needed to tell.
const DURATIONS_MIN: usize = 5;

/// How one run differs from what was recorded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spread {
    /// Share of updates that fail; `None`: those fail that did.
    pub(super) failure_share: Option<f64>,
    /// Every duration is this much longer or shorter in this run,
    factor: f64,
    /// and each by itself, for a handful of durations is not all there are: standard deviation of the logarithm.
    sigma: f64,
}

impl Spread {
    /// As it was recorded.
    pub(super) const NONE: Self = Self { failure_share: None, factor: 1.0, sigma: 0.0 };

    /// Draws a run's failure share from its posterior (beta), and its durations from a smoothed bootstrap (Silverman & Young, *The
    /// bootstrap: to smooth or not to smooth?*, Biometrika 74, 1987) about a mean that is as uncertain as their number makes it.
    pub(super) fn draw(recorded: &Recorded, seed: u64) -> Self {
        let mut stream = Stream::new(seed, Purpose::Twin, 1);
        let count = recorded.courses.len();
        let failed = recorded.courses.iter().filter(|course| !course.succeeded).count() as f64;
        let posterior = Beta::new(PRIOR_FAILED + failed, PRIOR_SUCCEEDED + count as f64 - failed);
        let logs: Vec<f64> = recorded.courses.iter().map(|c| libm::log(c.out.as_secs_f64().max(1.0))).collect();
        let mean = logs.iter().sum::<f64>() / count.max(1) as f64;
        let variance =
            logs.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count.saturating_sub(1).max(1) as f64;
        let sigma = if count < DURATIONS_MIN { SIGMA_USUAL } else { libm::sqrt(variance) };
        let normal: f64 = StandardNormal.sample(&mut stream);
        Self {
            failure_share: posterior.ok().map(|beta| beta.sample(&mut stream)),
            factor: libm::exp(normal * sigma / libm::sqrt(count.max(1) as f64)),
            // The bandwidth for a normal kernel (Silverman 1986, eq. 3.31).
            sigma: sigma * 0.9 * libm::pow(count.max(1) as f64, -0.2),
        }
    }

    /// A duration of this run, where a recorded one took `took`.
    pub(super) fn stretch(&self, took: Span, stream: &mut Stream) -> Span {
        if self.sigma == 0.0 {
            return took;
        }
        let normal: f64 = StandardNormal.sample(stream);
        Span::from_secs_f64(took.as_secs_f64() * self.factor * libm::exp(normal * self.sigma))
    }
}
