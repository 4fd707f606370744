//! What would another policy have done? Asked of a full journal, from its recorded inputs.
//!
//! The other policy's engine is handed the recorded inputs, with forecasts of its own, for as long as it decides as was decided then:
//! so far the answer is **exact**. From its first other decision on the recorded outcomes belong to a course that was not taken, and
//! a world model made of the journal takes over (`model`): every device carries the load it was recorded with, less what it took over
//! from others; new updates take as long, and fail as often, as the recorded ones did.

mod doubt;
mod drive;
mod model;
mod own;
mod recorded;

pub(crate) use drive::Drive;
pub(crate) use model::{Model, OwnLoads};
pub(crate) use own::OwnLoad;
pub(crate) use recorded::Recorded;
use slacktide_engine::Engine;
use slacktide_engine::ids::{CommandId, DeviceId, RolloutId};
use slacktide_engine::input::Input;
use slacktide_engine::journal::entry::{Entry, Header, Line};
use slacktide_engine::journal::{ChainWriter, JournalMode};
use slacktide_engine::policy::Policy;
use slacktide_engine::rollout::RolloutState;
use slacktide_engine::time::Instant;

/// What the other policy would have done.
#[derive(Debug, Clone)]
pub struct WhatIf {
    /// Its journal, line by line.
    pub journal: Vec<String>,
    /// The first decision that differs; `None` when all are the same, and the whole answer is exact.
    pub parted: Option<Parting>,
    /// Where each rollout ended.
    pub states: Vec<RolloutState>,
}

/// Where the two courses part.
#[derive(Debug, Clone, PartialEq)]
pub struct Parting {
    /// When. Everything before is exact.
    pub at: Instant,
    /// What was decided then, in words.
    pub recorded: String,
    /// What the other policy decides.
    pub instead: String,
}

/// Why the question cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WhatIfError {
    /// No header.
    #[error("the journal has no header")]
    NoHeader,
    /// Inputs are missing.
    #[error("the journal holds decisions only; record it with `--journal full`")]
    DecisionsOnly,
    /// Nothing to ask about.
    #[error("the journal has no {0}")]
    Lacks(&'static str),
}

/// A decision, as far as devices feel it. The words and figures of two policies may differ where their commands do not.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Decision {
    Batch { rollout: RolloutId, devices: Vec<DeviceId>, first_command: CommandId },
    Rollback { rollout: RolloutId, devices: Vec<DeviceId>, canceled: Vec<DeviceId> },
    State { rollout: RolloutId, to: RolloutState },
}

impl Decision {
    fn of(entry: &Entry) -> Option<Self> {
        Some(match entry {
            Entry::Batch { rollout, devices, first_command, .. } => {
                Self::Batch { rollout: *rollout, devices: devices.clone(), first_command: *first_command }
            }
            Entry::Rollback { rollout, devices, canceled, .. } => {
                Self::Rollback { rollout: *rollout, devices: devices.clone(), canceled: canceled.clone() }
            }
            Entry::Rollout { rollout, to, .. } => Self::State { rollout: *rollout, to: *to },
            _ => return None,
        })
    }

    fn words(&self) -> String {
        match self {
            Self::Batch { rollout, devices, .. } => {
                format!("rollout {rollout}: a batch of {} devices goes", devices.len())
            }
            Self::Rollback { rollout, devices, .. } => {
                format!("rollout {rollout}: {} devices are taken back", devices.len())
            }
            Self::State { rollout, to } => format!("rollout {rollout} is {to}"),
        }
    }
}

/// Asks what `policy` would have done in the journal `lines`. `progress` is told the moment reached.
///
/// # Errors
/// [`WhatIfError`] when the journal does not hold what the question needs.
pub fn what_if(lines: &[Line], policy: &Policy, progress: &dyn Fn(Instant)) -> Result<WhatIf, WhatIfError> {
    let recorded = Recorded::read(lines)?;
    let mut asked = Asked::new(&recorded, policy.clone());
    let parted = asked.follow(lines, &recorded);
    if let Some((parting, rest)) = &parted {
        let mut model = Model::new(&recorded, Box::new(OwnLoad::new(&recorded)), asked.drive.now, 0);
        model.keep_what_holds(&lines[*rest..], parting.at);
        asked.go_on(&mut model, parting.at, &recorded, progress);
    }
    let closing = asked.chain.close(asked.drive.now);
    asked.journal.push(closing);
    Ok(WhatIf {
        journal: asked.journal,
        parted: parted.map(|(parting, _)| parting),
        states: asked.drive.engine.rollouts().map(|(_, state)| state).collect(),
    })
}

/// The other policy's engine under way.
struct Asked {
    drive: Drive,
    /// Decisions said so far.
    decisions: Vec<(Instant, Decision)>,
    chain: ChainWriter,
    journal: Vec<String>,
}

impl Asked {
    fn new(recorded: &Recorded, policy: Policy) -> Self {
        let mut chain = ChainWriter::default();
        let header = Header {
            mode: JournalMode::Decisions,
            policy_name: policy.name.clone(),
            policy: policy.to_toml(),
            world: serde_json::Value::Null,
            remarks: vec![format!(
                "what the policy `{}` would have done in a journal recorded under `{}`",
                policy.name, recorded.header.policy_name
            )],
            ..recorded.header.clone()
        };
        let journal = vec![chain.line(recorded.start, Entry::Header(Box::new(header)))];
        let engine = Engine::new(policy, &recorded.header.metrics);
        Self { drive: Drive::new(engine, recorded.start, true), decisions: Vec::new(), chain, journal }
    }

    /// Hands in recorded inputs while the decisions agree. Returns where they part, and the position of the first line not handed in.
    fn follow(&mut self, lines: &[Line], recorded: &Recorded) -> Option<(Parting, usize)> {
        for (n, line) in lines.iter().enumerate().skip(1) {
            let Entry::Input { input } = &line.entry else { continue };
            while let Some(at) = self.drive.due_before(line.at) {
                self.drive.serve(at);
                self.write();
                if let Some(parting) = self.parting(recorded, at) {
                    return Some((parting, n));
                }
            }
            // What was decided by now and is not any more ends it before the outcomes of that are handed in.
            if let Some(parting) = self.parting(recorded, line.at) {
                return Some((parting, n));
            }
            match &**input {
                // Its own forecasts come when the recorded ones came, so that equal policies stay equal to the end.
                Input::Forecasts(_) => self.drive.answer(line.at),
                Input::Wake => {
                    if self.drive.wake.is_some_and(|at| at <= line.at) {
                        self.drive.hand_in(line.at, Input::Wake);
                    }
                }
                input => self.drive.hand_in(line.at, input.clone()),
            }
            self.write();
            if let Some(parting) = self.parting(recorded, line.at) {
                return Some((parting, n + 1));
            }
        }
        None
    }

    /// The first decision up to `at` that was not made then, or was made then and is not now.
    fn parting(&self, recorded: &Recorded, at: Instant) -> Option<Parting> {
        let words = |decision: Option<&(Instant, Decision)>| {
            decision.map_or_else(|| "nothing".to_owned(), |(at, decision)| format!("{at}: {}", decision.words()))
        };
        let pairs = self.decisions.len().max(recorded.decisions.partition_point(|(when, _)| *when < at));
        let differs = |i: &usize| self.decisions.get(*i) != recorded.decisions.get(*i);
        // Those before were compared when they were made.
        let from = self.decisions.len().saturating_sub(64).min(pairs);
        let i = (from..pairs).find(differs)?;
        let times = [self.decisions.get(i), recorded.decisions.get(i)].into_iter().flatten().map(|(at, _)| *at);
        Some(Parting {
            at: times.min().unwrap_or(at),
            recorded: words(recorded.decisions.get(i)),
            instead: words(self.decisions.get(i)),
        })
    }

    /// What was said since goes into the journal.
    fn write(&mut self) {
        for (at, entry) in self.drive.entries.drain(..) {
            self.decisions.extend(Decision::of(&entry).map(|decision| (at, decision)));
            let line = self.chain.line(at, entry);
            self.journal.push(line);
        }
    }

    /// The world model carries the commands from the parting on.
    fn go_on(&mut self, model: &mut Model<'_>, parted: Instant, recorded: &Recorded, progress: &dyn Fn(Instant)) {
        self.drive.commands.retain(|(at, _)| *at >= parted);
        let end = recorded.end + Model::BEYOND;
        let mut drive = self.drive.clone();
        drive.go_on(model, end, &mut |drive| {
            std::mem::swap(&mut self.drive.entries, &mut drive.entries);
            self.write();
            progress(drive.now);
        });
        self.drive = drive;
    }
}
