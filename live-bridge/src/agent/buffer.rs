//! What the device has to say and the controller has not stored yet: numbered, bounded, telemetry dropped first.

use crate::wire::{DeviceMessage, Report, device_message::Body};
use std::collections::VecDeque;

/// Messages that may be under way without having been acknowledged.
pub const UNACKED_MAX: usize = 16;
/// Numbers are reserved on the disk in blocks, so that one write serves many messages.
pub const BLOCK: u64 = 1000;

/// The messages. Reports get their number when they are first sent, so that one that is dropped leaves no gap; all others at once.
#[derive(Debug)]
pub struct Buffer {
    reports_max: usize,
    /// Not stored yet, ascending.
    numbered: VecDeque<DeviceMessage>,
    /// How many of `numbered` were sent in this session.
    sent: usize,
    waiting: VecDeque<(i64, Report)>,
    next: u64,
    dropped: u64,
    /// The highest number known to be stored; 0 before the controller has said so.
    acked: u64,
}

impl Buffer {
    /// An empty buffer that keeps at most `reports_max` unsent reports and whose first number follows `used`.
    pub fn new(reports_max: usize, used: u64) -> Self {
        let (numbered, waiting) = (VecDeque::new(), VecDeque::new());
        Self { reports_max: reports_max.max(1), numbered, sent: 0, waiting, next: used + 1, dropped: 0, acked: 0 }
    }

    /// The number that the next message gets.
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// Reports dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Messages that wait, numbered or not.
    pub fn len(&self) -> usize {
        self.numbered.len() + self.waiting.len()
    }

    /// Is there nothing left to say?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A report to send; the oldest unsent one goes when there are too many.
    pub fn push_report(&mut self, at_ms: i64, report: Report) {
        if self.waiting.len() == self.reports_max {
            self.waiting.pop_front();
            self.dropped += 1;
        }
        self.waiting.push_back((at_ms, report));
    }

    /// Anything but a report: numbered now, never dropped. There are only a few for each command that was taken on, and none is taken on
    /// while the device is cut off. The number must have been reserved. Returns it.
    pub fn push(&mut self, at_ms: i64, body: Body) -> u64 {
        let sequence = self.next;
        self.next += 1;
        self.numbered.push_back(DeviceMessage { sequence, previous: None, at_ms, body: Some(body) });
        sequence
    }

    /// A message of an earlier life, with the number it had; these come first, in order.
    pub fn restore(&mut self, message: DeviceMessage) {
        self.numbered.push_back(message);
    }

    /// Is a message like this waiting?
    pub fn has(&self, like: impl Fn(&Body) -> bool) -> bool {
        self.numbered.iter().any(|m| m.body.as_ref().is_some_and(&like))
    }

    /// Would [`Self::next_to_send`] need a number for a report?
    pub fn wants_number(&self) -> bool {
        self.sent < UNACKED_MAX && self.sent == self.numbered.len() && !self.waiting.is_empty()
    }

    /// The next message to send in this session; none while [`UNACKED_MAX`] are not acknowledged.
    pub fn next_to_send(&mut self) -> Option<DeviceMessage> {
        if self.wants_number()
            && let Some((at_ms, report)) = self.waiting.pop_front()
        {
            self.push(at_ms, Body::Report(report));
        }
        let mut message = if self.sent < UNACKED_MAX { self.numbered.get(self.sent).cloned() } else { None };
        if let Some(message) = &mut message {
            let before = self.sent.checked_sub(1).and_then(|before| self.numbered.get(before));
            message.previous = Some(before.map_or(self.acked, |before| before.sequence));
        }
        self.sent += usize::from(message.is_some());
        message
    }

    /// Everything up to `sequence` is stored.
    pub fn ack(&mut self, sequence: u64) {
        self.acked = self.acked.max(sequence);
        while self.numbered.front().is_some_and(|m| m.sequence <= sequence) {
            self.numbered.pop_front();
            self.sent = self.sent.saturating_sub(1);
        }
    }

    /// A new session: everything up to `resume_after` is stored, what is after it is sent again. Returns whether the controller has stored
    /// higher numbers than this device remembers having used: it has lost its memory and goes on after them.
    pub fn resume(&mut self, resume_after: u64) -> bool {
        self.ack(resume_after);
        self.sent = 0;
        let forgot = resume_after >= self.next;
        self.next = self.next.max(resume_after + 1);
        forgot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Progress, UpdateRequest};
    use proptest::prelude::*;

    fn report() -> Report {
        Report { samples: Vec::new() }
    }

    fn sent(buffer: &mut Buffer) -> Vec<u64> {
        std::iter::from_fn(|| buffer.next_to_send()).map(|m| m.sequence).collect()
    }

    #[test]
    fn at_most_sixteen_are_under_way_and_a_new_session_begins_after_what_is_stored() {
        let mut buffer = Buffer::new(100, 40);
        (0..30).for_each(|at| buffer.push_report(at, report()));
        assert_eq!(sent(&mut buffer), (41..=56).collect::<Vec<_>>());
        buffer.ack(43);
        assert_eq!(sent(&mut buffer), [57, 58, 59]);
        assert!(!buffer.resume(50));
        assert_eq!(sent(&mut buffer), (51..=66).collect::<Vec<_>>());
    }

    #[test]
    fn a_full_buffer_drops_the_oldest_reports_and_never_a_state() {
        let mut buffer = Buffer::new(10, 0);
        for at in 0..1000 {
            buffer.push_report(at, report());
            if at % 100 == 0 {
                buffer.push(at, Body::Progress(Progress { attempt: 1, state: "queued".into() }));
            }
        }
        assert_eq!((buffer.len(), buffer.dropped()), (20, 990));
        let first_report = std::iter::from_fn(|| {
            let message = buffer.next_to_send();
            buffer.ack(u64::MAX - 1);
            message
        })
        .find(|m| matches!(m.body, Some(Body::Report(_))));
        assert_eq!(first_report.map(|m| m.at_ms), Some(990));
    }

    #[test]
    fn a_device_that_forgot_its_numbers_goes_on_after_those_that_are_stored() {
        let mut buffer = Buffer::new(10, 0);
        assert!(buffer.resume(5000));
        assert_eq!(buffer.push(0, Body::Request(UpdateRequest {})), 5001);
    }

    proptest! {
        /// Whatever happens, numbers go up by one in the order of sending within a session, and nothing that is not a report gets lost.
        #[test]
        fn numbers_ascend_without_gaps(steps in proptest::collection::vec(0u8..5, 1..400)) {
            let mut buffer = Buffer::new(5, 0);
            let (mut stored, mut last, mut pushed, mut seen) = (0, 0, 0u64, std::collections::BTreeSet::new());
            for step in steps {
                match step {
                    0 => buffer.push_report(0, report()),
                    1 => { buffer.push(0, Body::Request(UpdateRequest {})); pushed += 1; }
                    2 => if let Some(message) = buffer.next_to_send() {
                        prop_assert_eq!(message.sequence, last + 1);
                        last = message.sequence;
                        if matches!(message.body, Some(Body::Request(_))) { seen.insert(message.sequence); }
                        prop_assert!(last - stored <= UNACKED_MAX as u64);
                    },
                    3 => { stored = last; buffer.ack(stored); }
                    _ => { buffer.resume(stored); last = stored; }
                }
            }
            while let Some(message) = { buffer.ack(last); buffer.next_to_send() } {
                if matches!(message.body, Some(Body::Request(_))) { seen.insert(message.sequence); }
                last = message.sequence;
            }
            prop_assert_eq!(seen.len() as u64, pushed);
        }
    }
}
