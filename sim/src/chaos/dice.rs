//! Draws of values for documents: numbers people could have written, mostly moderate, sometimes at the ends of what is valid.

use crate::rng::{Purpose, Stream};
use toml::{Table, Value};

/// The chance of one world.
#[derive(Debug)]
pub(super) struct Dice {
    stream: Stream,
    /// Share of the features that this world has.
    features: f64,
    /// Share of the values that come from the ends of their range.
    extreme: f64,
}

impl Dice {
    pub(super) fn new(seed: u64, number: u64) -> Self {
        let mut stream = Stream::new(seed, Purpose::Chaos, number);
        // Swarm testing: a world with everything in it hides what only shows where something is missing.
        let features = [0.15, 0.35, 0.6][stream.below(3)];
        let extreme = [0.0, 0.05, 0.25][stream.below(3)];
        Self { stream, features, extreme }
    }

    /// Does this world have a feature?
    pub(super) fn has(&mut self) -> bool {
        self.stream.uniform() < self.features
    }

    pub(super) fn happens(&mut self, percent: f64) -> bool {
        self.stream.happens(percent)
    }

    pub(super) fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.stream.below(choices.len())].clone()
    }

    /// A whole number in `low..=high`; an extreme one is either end.
    pub(super) fn count(&mut self, low: i64, high: i64) -> i64 {
        if self.stream.uniform() < self.extreme {
            return self.pick(&[low, high]);
        }
        low + self.stream.below((high - low + 1) as usize) as i64
    }

    /// A number in `low..=high` in three digits; an extreme one is either end.
    pub(super) fn number(&mut self, low: f64, high: f64) -> f64 {
        if self.stream.uniform() < self.extreme {
            return self.pick(&[low, high]);
        }
        let value = low + (high - low) * self.stream.uniform();
        let unit = 10_f64.powi(libm::floor(libm::log10(value.abs().max(1e-6))) as i32 - 2);
        let rounded = (value / unit).round() * unit;
        // In decimals as they are written: no tails of nines.
        format!("{rounded:.6}").parse::<f64>().unwrap_or(low).clamp(low, high)
    }

    /// Minutes in `low..=high`.
    pub(super) fn minutes(&mut self, low: i64, high: i64) -> String {
        span(self.count(low, high))
    }

    /// A lognormal duration with a median in `low..=high` minutes.
    pub(super) fn duration(&mut self, low: i64, high: i64) -> Value {
        let mut table = Table::new();
        set(&mut table, "median", self.minutes(low, high));
        let sigma = self.number(0.0, 1.0);
        set(&mut table, "sigma", sigma);
        Value::Table(table)
    }

    /// A count, a share, or no limit.
    pub(super) fn limit(&mut self, most: i64) -> Value {
        match self.count(0, 2) {
            0 => Value::Integer(self.count(1, most)),
            1 => Value::String(format!("{}%", self.count(1, 100))),
            _ => Value::String("unlimited".to_owned()),
        }
    }
}

/// Minutes as they are written.
pub(super) fn span(minutes: i64) -> String {
    format!("{minutes}m")
}

/// Sets a field.
pub(super) fn set(table: &mut Table, field: &str, value: impl Into<Value>) {
    table.insert(field.to_owned(), value.into());
}
