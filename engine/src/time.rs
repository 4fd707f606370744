//! Time as an argument: whole milliseconds, buildable from a number, never read from a clock.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, Sub};

/// A moment: whole milliseconds since the Unix epoch (1970-01-01T00:00:00Z).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Instant(i64);

/// A length of time: whole milliseconds, never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(u64);

impl Instant {
    /// The moment `ms` milliseconds after the Unix epoch.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// The moment `s` seconds after the Unix epoch.
    pub const fn from_secs(s: i64) -> Self {
        Self(s.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// How long ago `earlier` was; zero when it lies in the future.
    pub const fn since(self, earlier: Self) -> Span {
        let ms = self.0.saturating_sub(earlier.0);
        Span(if ms > 0 { ms.unsigned_abs() } else { 0 })
    }

    /// The last multiple of `step` (counted from the epoch) at or before this moment.
    ///
    /// # Panics
    /// When `step` is zero.
    pub const fn floor_to(self, step: Span) -> Self {
        Self(self.0.saturating_sub(self.0.rem_euclid(step.0.cast_signed())))
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// `ms` milliseconds.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms)
    }

    /// `s` seconds.
    pub const fn from_secs(s: u64) -> Self {
        Self(s.saturating_mul(1000))
    }

    /// `s` seconds, rounded to whole milliseconds; negative and non-finite values become zero.
    pub fn from_secs_f64(s: f64) -> Self {
        Self((s * 1000.0).round().max(0.0) as u64)
    }

    /// Milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Seconds, with fraction.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// How many of `step` are needed to cover this span.
    ///
    /// # Panics
    /// When `step` is zero.
    pub const fn steps_up(self, step: Self) -> usize {
        self.0.div_ceil(step.0) as usize
    }

    /// How many whole `step`s fit into this span.
    ///
    /// # Panics
    /// When `step` is zero.
    pub const fn steps_down(self, step: Self) -> usize {
        (self.0 / step.0) as usize
    }

    /// What is left of this span without another; nothing when that is longer.
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// This span `n` times over, saturating.
    pub const fn times(self, n: usize) -> Self {
        Self(self.0.saturating_mul(n as u64))
    }
}

impl Add<Span> for Instant {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add_unsigned(span.0))
    }
}

impl Sub<Span> for Instant {
    type Output = Self;
    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub_unsigned(span.0))
    }
}

impl Add for Span {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl fmt::Display for Instant {
    /// RFC 3339 in UTC to the second, such as `2024-03-04T00:15:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.as_secs()) {
            Ok(timestamp) => write!(f, "{timestamp}"),
            Err(_) => write!(f, "{} s", self.as_secs()),
        }
    }
}

impl fmt::Display for Span {
    /// The two largest units, such as `2d 3h`, `1h 05m`, `42s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0.div_ceil(1000);
        match s {
            0..60 => write!(f, "{s}s"),
            60..3600 => write!(f, "{}m {:02}s", s / 60, s % 60),
            3600..86_400 => write!(f, "{}h {:02}m", s / 3600, s % 3600 / 60),
            _ => write!(f, "{}d {:02}h", s / 86_400, s % 86_400 / 3600),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_instants_never_wrap() {
        assert_eq!(Instant::from_millis(5).since(Instant::from_millis(9)), Span::ZERO);
        assert_eq!(Instant::from_millis(i64::MAX) + Span::from_millis(9), Instant::from_millis(i64::MAX));
        assert_eq!(Span::from_secs_f64(-3.0), Span::ZERO);
        assert_eq!(Span::from_secs_f64(f64::NAN), Span::ZERO);
        assert_eq!(Span::from_secs(u64::MAX), Span::from_millis(u64::MAX));
    }

    #[test]
    fn floor_goes_down_on_both_sides_of_the_epoch() {
        let slot = Span::from_secs(900);
        assert_eq!(Instant::from_secs(901).floor_to(slot), Instant::from_secs(900));
        assert_eq!(Instant::from_secs(-1).floor_to(slot), Instant::from_secs(-900));
    }

    #[test]
    fn people_read_times_and_spans() {
        assert_eq!(Instant::from_secs(1_709_510_400).to_string(), "2024-03-04T00:00:00Z");
        assert_eq!(Span::from_secs(3900).to_string(), "1h 05m");
        assert_eq!(Span::from_secs(42).to_string(), "42s");
        assert_eq!(Span::from_secs(183_600).to_string(), "2d 03h");
    }
}
