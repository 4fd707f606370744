//! A controller that dies and is rebuilt from its journal: the engine is thrown away, and its recorded inputs make it again.
//!
//! Meanwhile telemetry is lost, devices keep what they have to say, and people wait. The inputs are kept in memory, so that a journal of
//! decisions does as well as a full one.

use super::Fault;
use crate::queue::Queue;
use crate::run::Event;
use crate::setup::Setup;
use slacktide_engine::ids::DeviceIndex;
use slacktide_engine::input::Input;
use slacktide_engine::journal::ChainWriter;
use slacktide_engine::journal::JournalMode;
use slacktide_engine::journal::entry::{Entry, Header};
use slacktide_engine::time::Instant;
use slacktide_engine::{Engine, Output};
use slacktide_scenarios::faults::ControllerCrash;
use std::fmt::Write;

/// Fleets up to this size are compared in every part of the engine's state, larger ones by all they have said and will say next.
const DEVICES_PRINTED_MAX: usize = 2000;

#[derive(Debug)]
pub(crate) struct Controller {
    crashes: Vec<ControllerCrash>,
    /// Crashes still to come.
    left: usize,
    is_down: bool,
    record: Vec<(Instant, Input)>,
    /// What people and the driver itself have to say meanwhile.
    waiting: Vec<Input>,
}

impl Controller {
    pub(crate) fn new(crashes: &[ControllerCrash]) -> Self {
        Self { crashes: crashes.to_vec(), left: crashes.len(), is_down: false, record: Vec::new(), waiting: Vec::new() }
    }

    pub(crate) fn schedule(&self, crashes: &[ControllerCrash], rollout_at: Instant, queue: &mut Queue<Event>) {
        for (n, crash) in crashes.iter().enumerate() {
            queue.push(rollout_at + crash.after, Event::Fault(Fault::ControllerDies(n)));
        }
    }

    pub(crate) const fn is_down(&self) -> bool {
        self.is_down
    }

    /// Will it never die?
    pub(crate) const fn is_immortal(&self) -> bool {
        self.crashes.is_empty()
    }

    /// Keeps an input, as long as it may be needed.
    pub(crate) fn note(&mut self, at: Instant, input: &Input) {
        if self.left > 0 {
            self.record.push((at, input.clone()));
        }
    }

    /// What reaches a controller that is down waits, or is lost.
    pub(crate) fn miss(&mut self, input: Input) {
        // Nobody sends a report again, and a wake-up is asked for anew.
        if !matches!(input, Input::Telemetry(_) | Input::Wake) {
            self.waiting.push(input);
        }
    }

    pub(crate) fn die(&mut self, now: Instant, n: usize, queue: &mut Queue<Event>) {
        self.is_down = true;
        if let Some(crash) = self.crashes.get(n) {
            queue.push(now + crash.down_for, Event::Fault(Fault::ControllerIsBack));
        }
    }

    /// It is back. Returns what waited for it.
    pub(crate) fn come_back(&mut self) -> Vec<Input> {
        self.is_down = false;
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            self.record = Vec::new();
        }
        std::mem::take(&mut self.waiting)
    }

    /// Makes the engine again, and the hash of the journal it wrote.
    pub(crate) fn rebuild(&self, setup: &Setup, header: Header) -> (Engine, String) {
        let mut engine = Engine::new(setup.policy.clone(), &header.metrics);
        engine.record_inputs(setup.journal == JournalMode::Full);
        #[cfg(feature = "planted-faults")]
        if let Some(fault) = setup.plant {
            engine.plant(fault);
        }
        let mut chain = ChainWriter::default();
        chain.line(setup.scenario.start, Entry::Header(Box::new(header)));
        for (at, input) in &self.record {
            engine.handle_input(*at, input.clone());
            loop {
                match engine.poll_output() {
                    Output::Record(entry) => {
                        chain.line(*at, *entry);
                    }
                    // Carried out, or answered, when it was said first.
                    Output::Command(_) | Output::Forecast(_) => {}
                    Output::Wake { .. } => break,
                }
            }
        }
        (engine, chain.hash().to_owned())
    }
}

/// How a rebuilt engine differs from the one that was lost; `None` when it does not. Both must have been drained.
pub(crate) fn difference(lost: &mut Engine, again: &mut Engine) -> Option<String> {
    let (before, after) = (lost.poll_output(), again.poll_output());
    if before != after {
        return Some(format!("it would say {after:?} and not {before:?}"));
    }
    if !lost.rollouts().eq(again.rollouts()) {
        return Some("its rollouts stand elsewhere".to_owned());
    }
    let differs = |(id, _): &(slacktide_engine::ids::RolloutId, _)| lost.state_counts(*id) != again.state_counts(*id);
    if let Some((id, _)) = lost.rollouts().find(differs) {
        return Some(format!("devices of rollout {id} stand elsewhere"));
    }
    let (known, now) = (&lost.fleet().facts, &again.fleet().facts);
    if let Some(d) = (0..known.len().max(now.len())).find(|d| known.get(*d) != now.get(*d)) {
        return Some(format!("it believes otherwise of device {}", DeviceIndex(d as u32)));
    }
    let is_small = known.len() <= DEVICES_PRINTED_MAX;
    (is_small && digest(lost) != digest(again)).then(|| "some part of its state is another".to_owned())
}

/// FNV-1a over everything an engine is, as it prints itself.
fn digest(engine: &Engine) -> u64 {
    struct Fnv(u64);
    impl Write for Fnv {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            for byte in text.bytes() {
                self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
            Ok(())
        }
    }
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    // Writing into a number cannot fail.
    let _ = write!(hash, "{engine:?}");
    hash.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use slacktide_engine::input::TelemetryBatch;
    use slacktide_engine::time::Span;
    use slacktide_scenarios::Scenario;

    /// One sample that the other has not heard is found, though nothing was said of it yet.
    #[test]
    fn an_engine_that_missed_something_is_not_the_same() {
        let scenario = Scenario::from_toml("t", "devices = 4\n[[pools]]\n").unwrap();
        let setup = Setup::new(scenario.clone(), scenario.policy().unwrap());
        let facts = setup.devices(1).0;
        let engine = |value: f32| {
            let mut engine = Engine::new(setup.policy.clone(), &setup.metrics());
            engine.handle_input(scenario.start, Input::Enrolled { devices: facts.clone() });
            for (n, value) in [20.0, value].into_iter().enumerate() {
                let batch = TelemetryBatch { devices: None, columns: vec![vec![value; 4]; 4] };
                engine.handle_input(scenario.start + Span::from_secs(300 * n as u64), Input::Telemetry(batch));
            }
            while !matches!(engine.poll_output(), Output::Wake { .. }) {}
            engine
        };
        assert_eq!(difference(&mut engine(30.0), &mut engine(30.0)), None);
        let said = difference(&mut engine(30.0), &mut engine(30.5));
        assert_eq!(said.as_deref(), Some("some part of its state is another"));
    }
}
