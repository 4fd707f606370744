//! Runs the recorded inputs of a full journal through a fresh engine and compares what it says, entry by entry.

use super::entry::{Entry, JournalMode, Line};
use crate::engine::Engine;
use crate::output::Output;
use crate::policy::Policy;
use crate::time::Instant;
use std::collections::VecDeque;

/// What a replay found.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// Entries compared.
    pub entries: u64,
    /// The first entry that came out otherwise; `None` when all are identical.
    pub first_difference: Option<Difference>,
}

/// An entry that came out otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Line in the journal, from 1.
    pub line: u64,
    /// What stands there.
    pub recorded: String,
    /// What came out.
    pub replayed: String,
}

/// Why a journal cannot be replayed from its inputs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// No header.
    #[error("the journal has no header")]
    NoHeader,
    /// Inputs are missing.
    #[error("the journal holds decisions only; its inputs must be made again by the world that made them")]
    DecisionsOnly,
    /// The policy does not read.
    #[error("the journal's policy cannot be read: {0}")]
    Policy(String),
}

/// Replays the lines of a full journal.
///
/// # Errors
/// [`ReplayError`] when it does not hold what a replay needs. A difference is no error: it is the answer.
pub fn replay(lines: &[Line]) -> Result<Replay, ReplayError> {
    let Some(Entry::Header(header)) = lines.first().map(|l| &l.entry) else { return Err(ReplayError::NoHeader) };
    if header.mode != JournalMode::Full {
        return Err(ReplayError::DecisionsOnly);
    }
    let policy =
        Policy::from_toml("journal header", &header.policy).map_err(|error| ReplayError::Policy(error.to_string()))?;
    let mut engine = Engine::new(policy, &header.metrics);
    engine.record_inputs(true);
    let mut said: VecDeque<(Instant, Entry)> = VecDeque::new();
    let mut entries = 1;
    for (number, line) in lines.iter().enumerate().skip(1) {
        match &line.entry {
            // Written by the driver, not by the engine.
            Entry::Measures { .. } | Entry::End { .. } | Entry::Header(_) => {}
            recorded => {
                if let Entry::Input { input } = recorded {
                    engine.handle_input(line.at, (**input).clone());
                    drain(&mut engine, line.at, &mut said);
                }
                let replayed = said.pop_front();
                // As text: a missing value (NaN) equals nothing, not even itself.
                let recorded = describe(line.at, recorded);
                let replayed = replayed.map_or_else(|| "nothing".to_owned(), |(at, entry)| describe(at, &entry));
                if replayed != recorded {
                    let difference = Difference { line: number as u64 + 1, recorded, replayed };
                    return Ok(Replay { entries, first_difference: Some(difference) });
                }
            }
        }
        entries += 1;
    }
    let first_difference = said.pop_front().map(|(at, entry)| Difference {
        line: lines.len() as u64,
        recorded: "nothing more".to_owned(),
        replayed: describe(at, &entry),
    });
    Ok(Replay { entries, first_difference })
}

fn drain(engine: &mut Engine, at: Instant, said: &mut VecDeque<(Instant, Entry)>) {
    loop {
        match engine.poll_output() {
            Output::Record(entry) => said.push_back((at, *entry)),
            Output::Command(_) | Output::Forecast(_) => {}
            Output::Wake { .. } => break,
        }
    }
}

fn describe(at: Instant, entry: &Entry) -> String {
    format!("{at} {}", serde_json::to_string(entry).unwrap_or_default())
}
