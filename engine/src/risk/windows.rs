//! Means of load over windows of time, for many devices in little memory.
//!
//! Each device has a ring of the last three hours in bins of five minutes and one of the last 56 hours in bins of half an hour.

use crate::time::{Instant, Span};

/// Length of a fine bin. Ticks that are longer are a bin each.
pub(crate) const FINE: Span = Span::from_secs(300);
/// Fine bins remembered.
const FINE_BINS: usize = 36;
/// Fine bins in a coarse one.
pub(crate) const COARSE: i64 = 6;
/// Coarse bins remembered.
const COARSE_BINS: usize = 112;

/// A run of bins, oldest first, `end` left out. Bins are counted from the first that was closed after the start; those before have
/// negative numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) is_coarse: bool,
    pub(crate) end: i64,
    pub(crate) bins: i64,
}

/// The rings of all devices watched.
#[derive(Debug, Clone, Default)]
pub(crate) struct Windows {
    fine: Vec<f32>,
    coarse: Vec<f32>,
    /// Σ and count of the open fine bin, then of the open coarse one.
    open: Vec<[(f32, u16); 2]>,
    /// Fine bins closed so far.
    closed: i64,
    last: Option<Instant>,
}

impl Windows {
    /// Adds a device. `past` holds its load before now in steps of `step`, oldest first, gaps as NaN.
    pub(crate) fn add(&mut self, past: &[f32], step: Span) {
        let begin = self.fine.len();
        self.fine.resize(begin + FINE_BINS, f32::NAN);
        let begin_coarse = self.coarse.len();
        self.coarse.resize(begin_coarse + COARSE_BINS, f32::NAN);
        self.open.push([(0.0, 0); 2]);
        let step = step.as_secs_f64().max(1.0);
        // Mean of the steps that hold the time from `ago` bins of `length` before now up to the next bin.
        let mean = |ago: usize, length: f64| {
            let (from, to) = ((ago - 1) as f64 * length / step, ago as f64 * length / step);
            let steps = from.floor() as usize..(to.ceil() as usize).max(from.floor() as usize + 1);
            mean(steps.filter_map(|k| past.get(past.len().checked_sub(k + 1)?).copied()))
        };
        let fine = FINE.as_secs_f64();
        for ago in 1..=FINE_BINS {
            let at = position(self.closed - ago as i64, FINE_BINS);
            self.fine[begin + at] = mean(ago, fine);
        }
        let coarse = fine * COARSE as f64;
        for ago in 1..=COARSE_BINS {
            let at = position(self.closed.div_euclid(COARSE) - ago as i64, COARSE_BINS);
            self.coarse[begin_coarse + at] = mean(ago, coarse);
        }
    }

    /// Fine bins closed so far: the number of the open one.
    pub(crate) const fn closed(&self) -> i64 {
        self.closed
    }

    /// Will a fine bin be complete with the tick at `now`? The next tick is taken to come as soon as this one did.
    pub(crate) fn closes(&mut self, now: Instant) -> bool {
        let period = self.last.map_or(FINE, |last| now.since(last));
        self.last = Some(now);
        let number = |at: Instant| at.as_millis().div_euclid(FINE.as_millis().cast_signed());
        number(now + period) > number(now)
    }

    /// Takes in the load of one device in the open bin.
    pub(crate) fn push(&mut self, device: usize, load: Option<f32>) {
        if let Some(load) = load.filter(|load| load.is_finite()) {
            let (sum, count) = &mut self.open[device][0];
            *sum += load;
            *count = count.saturating_add(1);
        }
    }

    /// Forgets what the open bins know of a device: it is not what it was before.
    pub(crate) fn restart(&mut self, device: usize) {
        self.open[device] = [(0.0, 0); 2];
    }

    /// Closes the open fine bin of every device, and the coarse one when it is complete. Says whether it was.
    pub(crate) fn close(&mut self) -> bool {
        let completes = (self.closed + 1).rem_euclid(COARSE) == 0;
        let at = position(self.closed, FINE_BINS);
        let at_coarse = position(self.closed.div_euclid(COARSE), COARSE_BINS);
        for (d, [fine, coarse]) in self.open.iter_mut().enumerate() {
            self.fine[d * FINE_BINS + at] = mean_of(*fine);
            coarse.0 += fine.0;
            coarse.1 = coarse.1.saturating_add(fine.1);
            *fine = (0.0, 0);
            if completes {
                self.coarse[d * COARSE_BINS + at_coarse] = mean_of(*coarse);
                *coarse = (0.0, 0);
            }
        }
        self.closed += 1;
        completes
    }

    /// Mean load of a device over a window; `None` where less than half of it is known or remembered.
    pub(crate) fn mean(&self, device: usize, window: Window) -> Option<f64> {
        let (ring, bins, open) = if window.is_coarse {
            (&self.coarse, COARSE_BINS, self.closed.div_euclid(COARSE))
        } else {
            (&self.fine, FINE_BINS, self.closed)
        };
        if window.end - window.bins < open - bins as i64 || window.end > open {
            return None;
        }
        let ring = &ring[device * bins..(device + 1) * bins];
        let first = position(window.end - window.bins, bins);
        let straight = &ring[first..(first + window.bins as usize).min(bins)];
        let wrapped = &ring[..window.bins as usize - straight.len()];
        let parts = [straight, wrapped].map(sum_known);
        let (sum, known) = (parts[0].0 + parts[1].0, parts[0].1 + parts[1].1);
        (i64::from(known) * 2 >= window.bins && known > 0).then(|| sum / f64::from(known))
    }
}

/// Sum and number of the finite values. Four at once: every look of the bad-release test asks for three windows of every device watched.
fn sum_known(values: &[f32]) -> (f64, u32) {
    let known = |value: f32| if value.is_finite() { (f64::from(value), 1) } else { (0.0, 0) };
    let (mut sums, mut counts) = ([0.0_f64; 4], [0_u32; 4]);
    let (chunks, rest) = values.as_chunks::<4>();
    for chunk in chunks {
        for (lane, value) in chunk.iter().enumerate() {
            let (value, count) = known(*value);
            sums[lane] += value;
            counts[lane] += count;
        }
    }
    let tail = rest.iter().fold((0.0, 0), |(sum, count), value| {
        let (value, one) = known(*value);
        (sum + value, count + one)
    });
    (sums.iter().sum::<f64>() + tail.0, counts.iter().sum::<u32>() + tail.1)
}

fn position(number: i64, bins: usize) -> usize {
    number.rem_euclid(bins as i64) as usize
}

fn mean_of((sum, count): (f32, u16)) -> f32 {
    if count == 0 { f32::NAN } else { sum / f32::from(count) }
}

fn mean(values: impl Iterator<Item = f32>) -> f32 {
    let (sum, count) = values.filter(|v| v.is_finite()).fold((0.0, 0_u16), |(sum, count), v| (sum + v, count + 1));
    mean_of((sum, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_fills_the_rings_and_new_bins_follow_it() {
        let mut windows = Windows::default();
        let past: Vec<f32> = (0..96).map(|k| k as f32).collect();
        windows.add(&past, Span::from_secs(900));
        let fine = |end, bins| Window { is_coarse: false, end, bins };
        assert_eq!(windows.mean(0, fine(0, 3)), Some(95.0));
        assert_eq!(windows.mean(0, fine(0, 12)), Some(93.5));
        assert_eq!(windows.mean(0, Window { is_coarse: true, end: 0, bins: 2 }), Some(93.5));
        windows.push(0, Some(10.0));
        windows.push(0, Some(20.0));
        assert!(!windows.close());
        assert_eq!(windows.mean(0, fine(1, 1)), Some(15.0));
        for _ in 0..4 {
            assert!(!windows.close());
        }
        assert!(windows.close());
        assert_eq!(windows.mean(0, Window { is_coarse: true, end: 1, bins: 1 }), Some(15.0));
        // Gaps: one bin of six is known.
        assert_eq!(windows.mean(0, fine(6, 6)), None);
        assert_eq!((windows.mean(0, fine(-30, 3)), windows.mean(0, fine(7, 1))), (None, None));
    }

    #[test]
    fn bins_close_with_the_last_tick_in_them() {
        let mut windows = Windows::default();
        let closes: Vec<bool> = (0..10).map(|m| windows.closes(Instant::from_secs(m * 60))).collect();
        assert_eq!(closes.iter().filter(|c| **c).count(), 3, "the first tick's period is not known: {closes:?}");
        assert!(closes[4] && closes[9]);
        let mut windows = Windows::default();
        assert!((0..5).all(|m| windows.closes(Instant::from_secs(m * 300))));
        assert!((5..9).all(|m| windows.closes(Instant::from_secs(m * 900))));
    }
}
