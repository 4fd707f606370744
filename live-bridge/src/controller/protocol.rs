//! What a device may say and when: one message in, what is to be done out. No I/O.

use crate::wire::{DeviceMessage, Hello, device_message::Body};
use slacktide_engine::version::Version;
use std::time::{Duration, Instant};
use tonic::Status;

/// Samples of one report.
const SAMPLES_MAX: usize = 64;
/// Longest text of a device, bytes.
const TEXT_BYTES_MAX: usize = 4096;
/// Highest number of a message: no device says so much in its life, and numbers above it have no next one.
const SEQUENCE_MAX: u64 = 1 << 62;
/// Messages that may come at once after a silence, as a multiple of what may come in a second.
const BURST: f64 = 4.0;

/// Why something a device said is not taken.
#[derive(Debug)]
pub(super) struct Refused {
    /// For the counter.
    pub(super) reason: &'static str,
    /// For the device; boxed inside.
    pub(super) status: Status,
}

fn refused(reason: &'static str, status: Status) -> Refused {
    Refused { reason, status }
}

/// What to do with a message.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Store it.
    Store,
    /// It is known already.
    Known,
}

/// One conversation with a device.
#[derive(Debug)]
pub(super) struct Talk {
    /// Highest sequence number taken in.
    pub(super) taken: u64,
}

/// How fast a device may talk, over all its sessions and calls.
#[derive(Debug)]
pub(super) struct Pace {
    per_second: f64,
    tokens: f64,
    filled: Instant,
}

impl Pace {
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second);
        Self { per_second, tokens: per_second * BURST, filled: now }
    }

    /// Books a message; how long to wait before the next may be read, when the device sends too fast.
    pub(super) fn book(&mut self, now: Instant) -> Option<Duration> {
        let since = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + since * self.per_second).min(self.per_second * BURST) - 1.0;
        self.filled = now;
        (self.tokens < 0.0).then(|| Duration::from_secs_f64(-self.tokens / self.per_second))
    }
}

impl Talk {
    /// Begins after what is stored.
    pub(super) const fn new(stored: u64) -> Self {
        Self { taken: stored }
    }

    /// Takes one message.
    ///
    /// # Errors
    /// When it breaks the contract; the conversation is over then.
    pub(super) fn take(&mut self, message: &DeviceMessage) -> Result<Step, Refused> {
        match &message.body {
            None => return Err(refused("malformed", Status::invalid_argument("a message without a body"))),
            Some(Body::Hello(_)) => {
                return Err(refused("malformed", Status::invalid_argument("a hello stands first and only there")));
            }
            Some(Body::Report(report)) => {
                if report.samples.len() > SAMPLES_MAX || report.samples.iter().any(|s| s.metric.len() > TEXT_BYTES_MAX)
                {
                    let why = format!("a report has at most {SAMPLES_MAX} samples");
                    return Err(refused("oversize", Status::invalid_argument(why)));
                }
            }
            Some(Body::Outcome(outcome)) if outcome.reason.len() > TEXT_BYTES_MAX => {
                let why = format!("a reason has at most {TEXT_BYTES_MAX} bytes");
                return Err(refused("oversize", Status::invalid_argument(why)));
            }
            Some(_) => {}
        }
        match message.sequence {
            0 => Err(refused("malformed", Status::invalid_argument("messages are numbered from 1"))),
            n if n > SEQUENCE_MAX => Err(refused(
                "malformed",
                Status::invalid_argument(format!("no message has a number above {SEQUENCE_MAX}")),
            )),
            n if n <= self.taken => Ok(Step::Known),
            n if message.stands_after() <= self.taken => {
                self.taken = n;
                Ok(Step::Store)
            }
            n => {
                let why =
                    format!("message {n} after {}, and {} is the last that came", message.stands_after(), self.taken);
                Err(refused("sequence-gap", Status::failed_precondition(why)))
            }
        }
    }
}

/// Reads the first message of a session. `device` is who the certificate says it is, `epoch` the controller's.
///
/// # Errors
/// When it is no hello, another device's, or from a time after this controller's.
pub(super) fn greet(hello: &Hello, device: &str, epoch: u64) -> Result<Version, Refused> {
    if hello.device_id != device {
        return Err(refused("wrong-device", Status::permission_denied("the certificate is another device's")));
    }
    if hello.epoch > epoch {
        let why = format!("the device obeys epoch {}, and this controller has {epoch}", hello.epoch);
        return Err(refused("old-epoch", Status::failed_precondition(why)));
    }
    let version = hello.version.parse::<Version>();
    version.map_err(|error| refused("malformed", Status::invalid_argument(format!("version {error}"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::UpdateRequest;
    use proptest::prelude::*;

    fn message(sequence: u64) -> DeviceMessage {
        DeviceMessage { sequence, previous: None, at_ms: 0, body: Some(Body::Request(UpdateRequest {})) }
    }

    proptest! {
        /// Whatever comes in whatever order: every number is stored once, in order, without gaps.
        #[test]
        fn numbers_are_stored_once_and_in_order(stored in 0u64..5, said in proptest::collection::vec(0u64..12, 0..40)) {
            let mut talk = Talk::new(stored);
            let mut due = stored + 1;
            for n in said {
                match talk.take(&message(n)) {
                    Ok(Step::Store) => { prop_assert_eq!(n, due); due += 1; }
                    Ok(Step::Known) => prop_assert!(n > 0 && n < due),
                    Err(refused) => prop_assert!(n == 0 || n > due, "{:?}", refused),
                }
            }
        }
    }

    #[test]
    fn a_number_without_a_next_one_is_refused() {
        let mut talk = Talk::new(5);
        for n in [u64::MAX, SEQUENCE_MAX + 1] {
            let jump = DeviceMessage { previous: Some(5), ..message(n) };
            assert_eq!(talk.take(&jump).unwrap_err().reason, "malformed");
        }
        assert!(matches!(talk.take(&message(6)), Ok(Step::Store)), "the device goes on with its numbers");
    }

    #[test]
    fn a_device_that_sends_too_fast_waits() {
        let start = Instant::now();
        let mut pace = Pace::new(10, start);
        let waits: Vec<bool> = (0..45).map(|_| pace.book(start).is_some()).collect();
        assert_eq!(waits.iter().position(|waits| *waits), Some(40));
        // At its rate it never waits again.
        let calm = start + Duration::from_secs(2);
        assert_eq!(pace.book(calm), None);
    }
}
