//! One series followed against its forecast.

use super::holt::{Gains, Holt};
use crate::time::{Instant, Span};

/// Memory and damping are per this much time.
const STEP: Span = Span::from_secs(300);
/// Fast enough for a rise of half an hour to be seen by its third tick; a trend that goes unconfirmed halves in an hour.
const GAINS: Gains = Gains { level: 0.5, trend: 0.3, damping: 0.944 };
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
const TREND_MIN: f64 = 2.0;
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
