//! Chance as a tree: every device and purpose has its own stream, so that one more draw here changes nothing there.

use rand::TryRng;
use rand_distr::{Distribution, StandardNormal};
use slacktide_engine::time::Span;
use std::convert::Infallible;

/// A SplitMix64 stream (Steele, Lea & Flood 2014): eight bytes of state, one for every device.
#[derive(Debug, Clone)]
pub(crate) struct Stream(u64);

/// What a stream is for; no two purposes share draws.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Fleet = 1,
    Level,
    Noise,
    PoolNoise,
    Tape,
    CheckIn,
    Attempt,
    Rollback,
    Crash,
    Design,
    Learned,
    LearnedPool,
    LearnedKind,
    LearnedOther,
    Outage,
    Partition,
    Telemetry,
    Clock,
    Agent,
    Overload,
    Chaos,
    Twin,
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Stream {
    /// The stream of one purpose of one thing under a seed.
    pub(crate) fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        Self(mix(mix(mix(seed) ^ (purpose as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
            ^ index.wrapping_mul(0xd1b5_4a32_d192_ed03)))
    }

    #[inline]
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// The bound to give [`Self::is_below`] for a probability.
    pub(crate) fn below_share(probability: f64) -> u64 {
        // A power of two changes no digit: `is_below` of it is `uniform() < probability`, to the bit.
        (probability.clamp(0.0, 1.0) * (1_u64 << 53) as f64).ceil() as u64
    }

    /// True with the probability that `bound` was made of; costs a comparison.
    #[inline]
    pub(crate) fn is_below(&mut self, bound: u64) -> bool {
        self.next() >> 11 < bound
    }

    /// Uniform in [0, 1).
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A standard normal number.
    #[inline]
    pub(crate) fn normal(&mut self) -> f32 {
        StandardNormal.sample(self)
    }

    /// Uniform whole number below `n` (0 for `n` = 0).
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.uniform() * n as f64) as usize
    }

    /// A Weibull time.
    pub(crate) fn weibull(&mut self, scale: Span, shape: f64) -> Span {
        let u = 1.0 - self.uniform();
        Span::from_secs_f64(scale.as_secs_f64() * libm::pow(-libm::log(u), 1.0 / shape))
    }

    /// True with `percent` percent.
    pub(crate) fn happens(&mut self, percent: f64) -> bool {
        self.uniform() * 100.0 < percent
    }
}

impl TryRng for Stream {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.next() >> 32) as u32)
    }

    #[inline]
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.next())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weibull_times_are_spread_as_scale_and_shape_say() {
        let scale = Span::from_secs(3600);
        for shape in [0.5, 1.0, 2.9] {
            let draw = |i: u64| Stream::new(3, Purpose::CheckIn, i).weibull(scale, shape).as_secs_f64() / 3600.0;
            let times: Vec<f64> = (0..10_000).map(draw).collect();
            for hours in [0.1, 0.5, 1.0, 2.0, 5.0] {
                let share = times.iter().filter(|time| **time <= hours).count() as f64 / 10_000.0;
                let expected = 1.0 - libm::exp(-libm::pow(hours, shape));
                assert!((share - expected).abs() < 0.02, "shape {shape}, {hours} h: {share}, {expected}");
            }
        }
    }

    /// Chi-square over 16 cells, 15 degrees of freedom: 37.7 is the 0.1 % point.
    #[test]
    fn uniform_is_uniform_within_and_between_streams() {
        let mut within = [0_u32; 16];
        let mut stream = Stream::new(7, Purpose::Noise, 0);
        let mut between = [0_u32; 16];
        for i in 0..16_000 {
            within[(stream.uniform() * 16.0) as usize] += 1;
            between[(Stream::new(7, Purpose::Noise, i).uniform() * 16.0) as usize] += 1;
        }
        for cells in [within, between] {
            let chi: f64 = cells.iter().map(|c| (f64::from(*c) - 1000.0).powi(2) / 1000.0).sum();
            assert!(chi < 37.7, "{chi}");
        }
    }
}
