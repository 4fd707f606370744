//! One series followed against its forecast.

use super::holt::{Gains, Holt};
use crate::time::{Instant, Span};

/// Memory and damping are per this much time.
const STEP: Span = Span::from_secs(300);
/// Fast enough for a rise of half an hour to be seen by its third tick; a trend that goes unconfirmed halves in an hour.
const GAINS: Gains = Gains { level: 0.6, trend: 0.4, damping: 0.944 };
/// The correction holds for this long…
pub const HOLD: Span = Span::from_secs(3600);
/// …and is gone after this long: the next forecasts know better.
pub const GONE: Span = Span::from_secs(3 * 3600);
/// Ticks before anything is said of noise.
const TICKS_MIN: u32 = 24;
/// Noise is remembered for a day, the drift of a trend for three hours, in steps.
const NOISE_STEPS: f64 = 288.0;
const DRIFT_STEPS: f64 = 36.0;
/// A tick this many deviations off waits for the next to confirm it, and until then counts as this many.
const SPIKE: f64 = 3.5;
const SPIKE_COUNTS: f64 = 1.5;
/// A trend below this many deviations of its wobble is noise.
const TREND_MIN: f64 = 1.5;
/// After a gap this long, in steps, the residual is followed anew.
const GAP_STEPS: f64 = 12.0;

/// Steps in a span.
pub(super) fn steps(span: Span) -> f64 {
    span.as_secs_f64() / STEP.as_secs_f64()
}

/// What is forecast for a tick, and how it moves a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Expected {
    pub(super) value: f64,
    pub(super) slope: f64,
}

/// What is expected, and the standard deviation of what comes about it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ahead {
    /// Expected value.
    pub value: f64,
    /// Standard deviation.
    pub deviation: f64,
    /// Is it climbing away from its forecast faster than noise explains?
    pub climbs: bool,
}

/// Mean absolute size of something that may jump.
#[derive(Debug, Clone, Copy, Default)]
struct Scale {
    size: f64,
    ticks: u32,
}

impl Scale {
    fn learn(&mut self, value: f64, steps: f64) {
        let size = value.abs();
        // What is far out of the ordinary is not noise.
        let size = if self.ticks >= TICKS_MIN { size.min(3.0 * self.size.max(1e-12)) } else { size };
        self.ticks = self.ticks.saturating_add(1);
        let share = (1.0 / f64::from(self.ticks)).max(1.0 - libm::pow(1.0 - 1.0 / NOISE_STEPS, steps));
        self.size += share * (size - self.size);
    }

    /// As a standard deviation, were it normal.
    fn deviation(self) -> f64 {
        self.size * 1.253_314_137_315_500_1
    }
}

/// How a residual moves.
#[derive(Debug, Clone, Copy)]
struct Residual {
    holt: Holt,
    /// The last two, newest first.
    last: [f64; 2],
    /// The last tick was far off, on this side.
    far: Option<bool>,
    expected: Expected,
}

/// A series and its residual.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tracker {
    at: Option<Instant>,
    /// The series itself, smoothed alike: it tells how large errors and trends are that mean nothing.
    own: Holt,
    error: Scale,
    wobble: Scale,
    drift: f64,
    residual: Option<Residual>,
}

impl Tracker {
    /// Takes in a tick. `changed`: the forecast is another than at the tick before.
    pub(super) fn observe(&mut self, now: Instant, value: f64, expected: Option<Expected>, changed: bool) {
        if !value.is_finite() {
            return;
        }
        let Some(before) = self.at.replace(now) else {
            self.own = Holt { level: value, trend: 0.0 };
            return;
        };
        let steps = steps(now.since(before));
        if steps <= 0.0 {
            return;
        }
        if steps > GAP_STEPS {
            self.own = Holt { level: value, trend: 0.0 };
            self.residual = None;
            return;
        }
        let error = value - self.own.ahead(GAINS, steps);
        self.own.learn(GAINS, steps, error);
        self.error.learn(error, steps);
        self.drift += (1.0 - libm::pow(1.0 - 1.0 / DRIFT_STEPS, steps)) * (self.own.trend - self.drift);
        self.wobble.learn(self.own.trend - self.drift, steps);
        let noise = (self.error.ticks >= TICKS_MIN).then(|| self.error.deviation());
        let Some(expected) = expected.filter(|e| e.value.is_finite() && e.slope.is_finite()) else {
            self.residual = None;
            return;
        };
        match &mut self.residual {
            Some(residual) => {
                if changed {
                    residual.rebase(expected, steps);
                }
                residual.learn(value - expected.value, steps, noise);
                residual.expected = expected;
            }
            None => {
                let first = value - expected.value;
                let holt = Holt { level: first, trend: 0.0 };
                self.residual = Some(Residual { holt, last: [first; 2], far: None, expected });
            }
        }
    }

    /// What to add to the forecast of `at`; `None` where too little is known, or `at` is too far.
    pub(super) fn ahead(&self, at: Instant) -> Option<Ahead> {
        let (residual, now) = (self.residual?, self.at?);
        let lead = at.since(now);
        if self.error.ticks < TICKS_MIN || lead >= GONE {
            return None;
        }
        let left = GONE.as_secs_f64() - lead.as_secs_f64();
        let fade = (left / (GONE.as_secs_f64() - HOLD.as_secs_f64())).min(1.0);
        let Holt { level, trend } = residual.holt;
        let noise = self.error.deviation();
        let believed = significance(trend, TREND_MIN * self.wobble.deviation());
        // Half of a level as large as the noise is believed, nearly all of one that is far from it.
        let level = if level == 0.0 { 0.0 } else { level * level * level / (level * level + noise * noise) };
        let steps = steps(lead);
        Some(Ahead {
            value: fade * (level + believed * trend * GAINS.reach(steps)),
            deviation: noise * GAINS.deviation(steps),
            climbs: believed > 0.0 && trend > 0.0,
        })
    }
}

/// Share of a value that is believed (James & Stein's positive part): none up to `noise`, nearly all far above it.
fn significance(value: f64, noise: f64) -> f64 {
    if value.abs() <= noise { 0.0 } else { 1.0 - (noise / value) * (noise / value) }
}

impl Residual {
    /// The forecast changed: what is expected of the series stays where it is.
    fn rebase(&mut self, to: Expected, steps: f64) {
        let moved = self.expected.value + self.expected.slope * steps - to.value;
        self.holt.level += moved;
        self.holt.trend += self.expected.slope - to.slope;
        self.last.iter_mut().for_each(|last| *last += moved);
    }

    fn learn(&mut self, value: f64, steps: f64, noise: Option<f64>) {
        let error = value - self.holt.ahead(GAINS, steps);
        let side = noise.filter(|noise| error.abs() > SPIKE * noise).map(|_| error > 0.0);
        match (side, self.far, noise) {
            (Some(side), Some(before), _) if side == before => {
                let climb = smaller(value - self.last[0], self.last[0] - self.last[1]) / steps;
                self.holt = Holt { level: value, trend: climb };
            }
            (Some(side), _, Some(noise)) => {
                let counts = SPIKE_COUNTS * noise;
                self.holt.learn(GAINS, steps, if side { counts } else { -counts });
            }
            _ => self.holt.learn(GAINS, steps, error),
        }
        self.far = side;
        self.last = [value, self.last[0]];
    }
}

/// The smaller of two steps to the same side, else none.
fn smaller(a: f64, b: f64) -> f64 {
    if a * b <= 0.0 {
        0.0
    } else if a.abs() < b.abs() {
        a
    } else {
        b
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FLAT: Expected = Expected { value: 50.0, slope: 0.0 };

    fn at(tick: usize) -> Instant {
        Instant::from_secs(0) + STEP.times(tick)
    }

    /// A day of noise in which the forecast is right, then whatever is given, against the same forecast.
    fn after_noise(noise: &[f64], then: &[f64]) -> Tracker {
        let mut tracker = Tracker::default();
        for (n, value) in noise.iter().chain(then).enumerate() {
            tracker.observe(at(n), *value, Some(FLAT), false);
        }
        tracker
    }

    /// Even noise between 49 and 51 from a Weyl sequence.
    fn noise(ticks: usize, seed: f64) -> Vec<f64> {
        (0..ticks).map(|n| 49.0 + 2.0 * (seed + n as f64 * n as f64 * 0.618_033_988_75).fract()).collect()
    }

    fn ahead(tracker: &Tracker, steps: usize) -> Ahead {
        tracker.ahead(tracker.at.unwrap() + STEP.times(steps)).unwrap()
    }

    #[test]
    fn a_constant_residual_is_corrected_whole() {
        let tracker = after_noise(&[50.0; 100], &[58.0; 24]);
        let near = ahead(&tracker, 3);
        assert!((near.value - 8.0).abs() < 0.1, "{near:?}");
        // Holds, fades, and is gone.
        assert!((ahead(&tracker, 12).value - near.value).abs() < 0.1);
        assert!((ahead(&tracker, 24).value - near.value / 2.0).abs() < 0.1);
        assert_eq!(tracker.ahead(at(123 + 36)), None);
    }

    #[test]
    fn a_climb_is_seen_by_its_third_tick_and_a_spike_or_a_jump_is_no_climb() {
        let quiet = noise(200, 0.3);
        let climb = after_noise(&quiet, &[53.0, 56.0, 59.0]);
        let seen = ahead(&climb, 6);
        assert!(seen.climbs && seen.value > 15.0 && seen.value < 9.0 + 18.0, "{seen:?}");
        let spike = ahead(&after_noise(&quiet, &[80.0]), 6);
        assert!(spike.value < 3.0, "{spike:?}");
        let gone = ahead(&after_noise(&quiet, &[80.0, 50.0, 50.0]), 6);
        assert!(gone.value.abs() < 1.5, "{gone:?}");
        let jump = ahead(&after_noise(&quiet, &[60.0; 12]), 6);
        assert!((jump.value - 10.0).abs() < 1.5, "{jump:?}");
    }

    #[test]
    fn a_new_forecast_changes_nothing_of_what_is_expected() {
        let mut tracker = after_noise(&noise(200, 0.1), &[53.0, 56.0, 59.0, 62.0]);
        let mut other = tracker;
        tracker.observe(at(204), 65.0, Some(FLAT), true);
        // The new forecast has half of the climb and all that came before.
        other.observe(at(204), 65.0, Some(Expected { value: 65.0, slope: 1.0 }), true);
        let (old, new) = (ahead(&tracker, 3), ahead(&other, 3));
        assert!((50.0 + old.value - (68.0 + new.value)).abs() < 1.5, "{old:?} {new:?}");
    }

    #[test]
    fn too_little_known_says_nothing() {
        assert_eq!(Tracker::default().ahead(at(1)), None);
        assert_eq!(after_noise(&noise(20, 0.5), &[]).ahead(at(21)), None);
        let mut unforeseen = Tracker::default();
        (0..100).for_each(|n| unforeseen.observe(at(n), 50.0, None, false));
        assert_eq!(unforeseen.ahead(at(101)), None);
    }

    /// Noise alone seldom raises a trend to speak of: in nineteen of twenty cases it carries less in an hour than the noise is wide, and
    /// never twice that.
    #[test]
    fn noise_is_no_climb() {
        let carried = |n: usize| {
            let tracker = after_noise(&noise(300 + n % 200, n as f64 * 0.001_7), &[]);
            let (near, far) = (ahead(&tracker, 0), ahead(&tracker, 12));
            assert!(near.value.abs() < 1.5, "{near:?}");
            (far.value - near.value).abs()
        };
        let carried: Vec<f64> = (0..500).map(carried).collect();
        let wide = carried.iter().filter(|c| **c > 2.0).count();
        assert!(wide <= 25, "{wide} of 500");
        assert!(carried.iter().all(|c| *c < 4.0));
    }

    proptest! {

        /// Whatever is handed in, what comes out is a number and no further out than what went in allows.
        #[test]
        fn bounded(values in proptest::collection::vec((-1e6f64..1e6, 0u64..7_200, any::<bool>(), any::<bool>()), 1..200)) {
            let mut tracker = Tracker::default();
            let mut now = Instant::from_secs(0);
            for (value, wait, forecast, changed) in values {
                now = now + Span::from_secs(wait);
                let expected = forecast.then_some(Expected { value: value / 2.0, slope: 1.0 });
                tracker.observe(now, if wait == 13 { f64::NAN } else { value }, expected, changed);
                for steps in [0, 1, 6, 35] {
                    let ahead = tracker.ahead(now + STEP.times(steps));
                    let sound = |a: Ahead| a.value.abs() < 1e9 && (0.0..1e9).contains(&a.deviation);
                    prop_assert!(ahead.is_none_or(sound), "{ahead:?}");
                }
            }
        }
    }
}
