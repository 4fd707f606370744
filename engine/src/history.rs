//! Bounded memory of load: for every device and metric the peak of each slot, for every pool the peak of its demand.
//!
//! A sample takes two bytes (hundredths of a percent), so a week of quarter hours of four metrics is 5.4 kB a device.
//! Gaps are explicit. Samples taken while members of the pool were out are flagged: load had moved.

use crate::time::{Instant, Span};

/// Code of a gap; fresh memory is all gaps.
const GAP: u16 = 0;
/// Value of a step of the code, percent. Multiplied, never divided by: reading whole histories is what fits wait for.
const STEP_PERCENT: f32 = 0.01;
/// Flag of a disturbed sample.
const DISTURBED: u16 = 0x8000;
const VALUE: u16 = 0x7fff;

/// Newest slots kept together, slot by slot, before they are written into the rings: 64 bytes a series, so that a ring is written a whole
/// line of memory at a time. One slot at a time, every value of every device cost a line.
const STAGED_MAX: usize = 32;

/// Codes in a line of memory.
const LINE_CODES: usize = 32;
/// Series unstaged together.
const UNSTAGED: usize = 16;

/// The slot a moment lies in, counted from the epoch.
pub fn slot_number(at: Instant, slot: Span) -> i64 {
    at.as_millis().div_euclid(slot.as_millis().max(1).cast_signed())
}

/// One sample of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Percent, 0–100.
    pub value: f32,
    /// Taken while members of the pool were out (the value is corrected for the moved share already).
    pub disturbed: bool,
}

/// Slot peaks of all devices: a ring of `slots` slots for each of `channels` metrics of each row.
#[derive(Debug, Clone)]
pub struct History {
    slots: usize,
    channels: usize,
    /// Row-major: row, channel, ring position.
    codes: Vec<u16>,
    /// The newest slots, that are not in the rings yet. Slot-major: slot, row, channel.
    staged: Vec<u16>,
    /// How many they are; the last is the newest.
    staged_slots: usize,
    /// Slot number of the newest closed slot; `None` before the first.
    newest: Option<i64>,
    /// Slot number of the oldest slot that was ever closed.
    oldest: i64,
}

impl History {
    /// Room for `slots` slots of `channels` metrics a row; no row yet.
    pub fn new(slots: usize, channels: usize) -> Self {
        Self {
            slots: slots.max(1),
            channels: channels.max(1),
            codes: Vec::new(),
            staged: Vec::new(),
            staged_slots: 0,
            newest: None,
            oldest: 0,
        }
    }

    /// Adds rows of gaps.
    pub fn grow(&mut self, rows: usize) {
        self.unstage();
        let wanted = rows * self.channels * self.slots;
        if self.codes.is_empty() || self.newest.is_none() && wanted > self.codes.len() {
            // A fresh zeroed allocation costs nothing until it is written; devices that join one by one find all gaps.
            self.codes = vec![GAP; wanted];
        } else if wanted > self.codes.len() {
            self.codes.resize(wanted, GAP);
        }
    }

    /// Number of the newest closed slot.
    pub const fn newest(&self) -> Option<i64> {
        self.newest
    }

    /// How many slots are remembered now.
    pub fn len(&self) -> usize {
        self.newest.map_or(0, |newest| ((newest - self.oldest + 1) as usize).min(self.slots))
    }

    /// Is nothing remembered yet?
    pub fn is_empty(&self) -> bool {
        self.newest.is_none()
    }

    /// Adds slot `number`, with the sample of each row and channel; one that is no percentage is a gap. Slots skipped since the newest
    /// become gaps. A slot not after the newest is refused.
    pub fn push_slot(&mut self, number: i64, sample: impl Fn(usize, usize) -> Sample) -> bool {
        match self.newest {
            Some(newest) if number <= newest => return false,
            Some(newest) => {
                let skipped = ((number - newest - 1) as usize).min(self.slots);
                if skipped > 0 {
                    self.unstage();
                }
                for step in 1..=skipped {
                    let at = self.position(number - step as i64);
                    self.codes.chunks_exact_mut(self.slots).for_each(|series| series[at] = GAP);
                }
            }
            None => self.oldest = number,
        }
        let series = self.codes.len() / self.slots;
        if self.staged_slots == STAGED_MAX.min(self.slots) {
            self.unstage();
        }
        self.newest = Some(number);
        self.staged.resize(STAGED_MAX.min(self.slots) * series, GAP);
        let slot = &mut self.staged[self.staged_slots * series..(self.staged_slots + 1) * series];
        for (row, codes) in slot.chunks_exact_mut(self.channels).enumerate() {
            for (channel, code) in codes.iter_mut().enumerate() {
                *code = encode(sample(row, channel));
            }
        }
        self.staged_slots += 1;
        true
    }

    /// Writes what is staged into the rings.
    fn unstage(&mut self) {
        let Some(newest) = self.newest.filter(|_| self.staged_slots > 0) else { return };
        let series = self.codes.len() / self.slots;
        let first = self.position(newest - self.staged_slots as i64 + 1);
        // Some series at a time: what is read of a slot is then a run of memory, and the lines written stay at hand.
        for (b, rings) in self.codes.chunks_mut(self.slots * UNSTAGED).enumerate() {
            let mut at = first;
            for slot in self.staged.chunks_exact(series).take(self.staged_slots) {
                let codes = &slot[b * UNSTAGED..];
                rings.chunks_exact_mut(self.slots).zip(codes).for_each(|(ring, code)| ring[at] = *code);
                at = if at + 1 == self.slots { 0 } else { at + 1 };
            }
        }
        self.staged_slots = 0;
    }

    /// Codes of all series that are staged, slot by slot, oldest first.
    fn staged(&self) -> impl Iterator<Item = &[u16]> {
        let all = self.codes.len() / self.slots;
        self.staged.chunks_exact(all.max(1)).take(self.staged_slots)
    }

    fn position(&self, number: i64) -> usize {
        number.rem_euclid(self.slots as i64) as usize
    }

    /// Copies a row's channel into `out`, oldest first, gaps as NaN, each value times `factor`.
    pub fn read(&self, row: usize, channel: usize, factor: f32, out: &mut Vec<f32>) {
        let series = row * self.channels + channel;
        self.read_ring(series, factor, out);
        out.extend(self.staged().map(|slot| decode_times(slot[series], factor)));
    }

    /// Copies all channels of a row, each as [`Self::read`] does.
    pub fn read_row(&self, row: usize, factors: &[f32], out: &mut [Vec<f32>]) {
        let series = row * self.channels;
        self.fetch(series * self.slots, self.channels * self.slots);
        for (channel, (factor, out)) in factors.iter().zip(out.iter_mut()).enumerate() {
            self.read_ring(series + channel, *factor, out);
        }
        // What is staged of a row lies together: slot by slot, each line of memory is fetched once.
        for slot in self.staged() {
            for ((code, factor), out) in slot[series..].iter().zip(factors).zip(out.iter_mut()) {
                out.push(decode_times(*code, *factor));
            }
        }
    }

    /// Has a run of codes fetched from memory, a code of each line: alone, loads wait for memory together, and among the work of decoding
    /// one after the other.
    fn fetch(&self, begin: usize, length: usize) {
        let run = self.codes.get(begin..begin + length).unwrap_or_default();
        std::hint::black_box(run.iter().step_by(LINE_CODES).fold(0, |all, code| all ^ code));
    }

    /// The part of a series that is in its ring; room for the rest.
    fn read_ring(&self, series: usize, factor: f32, out: &mut Vec<f32>) {
        out.clear();
        let Some(newest) = self.newest else { return };
        let begin = series * self.slots;
        let Some(ring) = self.codes.get(begin..begin + self.slots) else { return };
        out.reserve(self.len());
        let first = self.position(newest - self.len() as i64 + 1);
        let length = self.len() - self.staged_slots;
        let (wrapped, straight) = ring.split_at(first);
        let straight = &straight[..length.min(straight.len())];
        for part in [straight, &wrapped[..length - straight.len()]] {
            out.extend(part.iter().map(|code| decode_times(*code, factor)));
        }
    }

    /// The sample of one slot, if it is remembered.
    pub fn sample(&self, row: usize, channel: usize, number: i64) -> Option<Sample> {
        let newest = self.newest?;
        if number > newest || number <= newest - self.len() as i64 {
            return None;
        }
        let series = row * self.channels + channel;
        let ago = (newest - number) as usize;
        let code = match self.staged_slots.checked_sub(ago + 1) {
            Some(slot) => self.staged.get(slot * (self.codes.len() / self.slots) + series),
            None => self.codes.get(series * self.slots + self.position(number)),
        };
        code.and_then(|code| decode(*code))
    }
}

fn encode(sample: Sample) -> u16 {
    if !(0.0..=100.0).contains(&sample.value) {
        return GAP;
    }
    let code = (sample.value * 100.0 + 0.5) as u16 + 1;
    if sample.disturbed { code | DISTURBED } else { code }
}

/// The value of a code times `factor`, NaN for a gap. Without branches: the processor decodes several at once.
fn decode_times(code: u16, factor: f32) -> f32 {
    let value = f32::from((code & VALUE).wrapping_sub(1)) * STEP_PERCENT * factor;
    if code == GAP { f32::NAN } else { value }
}

fn decode(code: u16) -> Option<Sample> {
    if code == GAP {
        return None;
    }
    Some(Sample { value: f32::from((code & VALUE) - 1) * STEP_PERCENT, disturbed: code & DISTURBED != 0 })
}

/// A bounded series of full precision, for the few series that are not percentages (pool demand).
#[derive(Debug, Clone)]
pub struct DemandHistory {
    slots: usize,
    values: std::collections::VecDeque<f32>,
    newest: Option<i64>,
}

impl DemandHistory {
    /// Room for `slots` slots.
    pub fn new(slots: usize) -> Self {
        Self { slots: slots.max(1), values: std::collections::VecDeque::new(), newest: None }
    }

    /// Closes slot `number` with its peak demand; skipped slots become gaps.
    pub fn push(&mut self, number: i64, value: f32) {
        if let Some(newest) = self.newest {
            if number <= newest {
                return;
            }
            let skipped = ((number - newest - 1) as usize).min(self.slots);
            self.values.extend(std::iter::repeat_n(f32::NAN, skipped));
        }
        self.values.push_back(value);
        while self.values.len() > self.slots {
            self.values.pop_front();
        }
        self.newest = Some(number);
    }

    /// Number of the newest closed slot.
    pub const fn newest(&self) -> Option<i64> {
        self.newest
    }

    /// Copies the series into `out`, oldest first, gaps as NaN.
    pub fn read(&self, out: &mut Vec<f32>) {
        out.clear();
        out.extend(self.values.iter().copied());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GAP_SAMPLE: Sample = Sample { value: f32::NAN, disturbed: false };

    #[test]
    fn a_ring_forgets_the_oldest_and_keeps_the_order() {
        let mut history = History::new(4, 1);
        history.grow(2);
        for number in 10..16 {
            let sample = Sample { value: number as f32, disturbed: number == 14 };
            assert!(history.push_slot(number, |row, _| if row == 1 { sample } else { GAP_SAMPLE }));
        }
        let mut out = Vec::new();
        history.read(1, 0, 1.0, &mut out);
        assert_eq!(out, [12.0, 13.0, 14.0, 15.0]);
        history.read(0, 0, 1.0, &mut out);
        assert!(out.len() == 4 && out.iter().all(|v| v.is_nan()));
        assert_eq!(history.sample(1, 0, 14), Some(Sample { value: 14.0, disturbed: true }));
        assert_eq!(history.sample(1, 0, 11), None);
    }

    #[test]
    fn skipped_slots_are_gaps_and_old_slots_are_refused() {
        let mut history = History::new(8, 1);
        history.grow(1);
        let all = |value| move |_, _| Sample { value, disturbed: false };
        history.push_slot(1, all(5.0));
        assert!(history.push_slot(4, all(6.0)));
        assert!(!history.push_slot(4, all(7.0)) && !history.push_slot(2, all(7.0)));
        let mut out = Vec::new();
        history.read(0, 0, 1.0, &mut out);
        assert!(out[0] == 5.0 && out[1].is_nan() && out[2].is_nan() && out[3] == 6.0);
    }

    proptest! {
        #[test]
        fn a_sample_comes_back_to_a_hundredth(value in 0.0f32..=100.0, disturbed: bool) {
            let back = decode(encode(Sample { value, disturbed })).unwrap();
            prop_assert!((back.value - value).abs() <= 0.0051 && back.disturbed == disturbed);
        }

        #[test]
        fn what_is_no_percentage_is_a_gap(value in prop_oneof![Just(f32::NAN), Just(-0.5), Just(100.5), Just(f32::INFINITY)]) {
            prop_assert_eq!(decode(encode(Sample { value, disturbed: false })), None);
        }

        #[test]
        fn the_ring_agrees_with_a_plain_list(steps in proptest::collection::vec((1i64..4, 0.0f32..100.0), 1..40), slots in 1usize..12) {
            let mut history = History::new(slots, 1);
            history.grow(1);
            let mut plain: Vec<f32> = Vec::new();
            let mut number = -7;
            for (step, value) in steps {
                if !plain.is_empty() {
                    number += step;
                    plain.extend(std::iter::repeat_n(f32::NAN, (step - 1) as usize));
                }
                let pushed = history.push_slot(number, |_, _| Sample { value, disturbed: false });
                prop_assert!(pushed);
                plain.push(value);
            }
            let mut out = Vec::new();
            history.read(0, 0, 1.0, &mut out);
            let tail = &plain[plain.len().saturating_sub(slots)..];
            prop_assert_eq!(out.len(), tail.len());
            for (a, b) in out.iter().zip(tail) {
                prop_assert!((a.is_nan() && b.is_nan()) || (a - b).abs() < 0.006);
            }
        }
    }
}
