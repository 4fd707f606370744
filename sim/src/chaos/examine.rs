//! Runs one world and says which promises it broke.

use super::World;
use crate::run::{RunResult, run};
use crate::setup::Setup;
use rayon::ThreadPoolBuilder;
use slacktide_engine::journal::replay::replay;
use slacktide_engine::journal::{ChainReader, JournalMode, Line, verify};
#[cfg(feature = "planted-faults")]
use slacktide_engine::planted::Fault;
use slacktide_engine::rollout::RolloutState;
use slacktide_scenarios::Scenario;
use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// What kind of promise: its text without the particulars.
    pub kind: String,
    /// What happened.
    pub text: String,
    /// Seen only by replaying the world or running it again.
    pub deep: bool,
}

impl Broken {
    fn new(text: String, deep: bool) -> Self {
        // Moments, names and numbers differ from world to world.
        let said = text.split_whitespace().filter(|word| !word.chars().any(|c| c.is_ascii_digit()));
        let kind = said.take(12).collect::<Vec<_>>().join(" ");
        Self { kind, text, deep }
    }
}

/// Sizes of what was run.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Device-days simulated.
    pub device_days: f64,
    /// Commands given that want an outcome.
    pub commands: u64,
    /// Events handled.
    pub events: u64,
    /// Faults that befell the worlds, by kind.
    pub faults: BTreeMap<&'static str, u64>,
}

impl Figures {
    pub(super) fn add(&mut self, other: &Self) {
        self.device_days += other.device_days;
        self.commands += other.commands;
        self.events += other.events;
        for (kind, times) in &other.faults {
            *self.faults.entry(kind).or_default() += times;
        }
    }
}

/// What came of one world.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// Broken promises; none is good.
    pub broken: Vec<Broken>,
    /// Sizes.
    pub figures: Figures,
    /// Where the rollouts ended.
    pub states: Vec<RolloutState>,
}

/// How worlds are run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Examiner {
    /// A fault that the engine has.
    #[cfg(feature = "planted-faults")]
    pub plant: Option<Fault>,
}

impl Examiner {
    /// Runs a world. `deep`: its journal is full and is replayed, and it runs a second time on another number of threads.
    pub fn examine(&self, world: &World, deep: bool) -> Verdict {
        match self.setup(world) {
            // The worlds we draw are all valid.
            Err(problem) => Verdict {
                broken: vec![Broken::new(format!("the world cannot be read: {problem}"), false)],
                ..Verdict::default()
            },
            Ok(setup) => judge(setup, world.number, deep),
        }
    }

    /// The setup of a world.
    ///
    /// # Errors
    /// Whatever the readers of scenarios and policies say.
    pub(super) fn setup(&self, world: &World) -> Result<Setup, String> {
        let scenario = Scenario::from_toml("chaos.toml", &world.text).map_err(|error| error.to_string())?;
        let policy = scenario.policy().map_err(|error| error.to_string())?;
        if !policy.plan.slot.as_millis().is_multiple_of(scenario.tick.as_millis()) {
            return Err(format!("ticks of {} do not divide slots of {}", scenario.tick, policy.plan.slot));
        }
        #[allow(unused_mut, reason = "changed where faults are planted")]
        let mut setup = Setup::new(scenario, policy);
        #[cfg(feature = "planted-faults")]
        {
            setup.plant = self.plant;
        }
        Ok(setup)
    }
}

/// Runs a setup and holds it to its promises.
pub(super) fn judge(mut setup: Setup, seed: u64, deep: bool) -> Verdict {
    if deep {
        setup.journal = JournalMode::Full;
    }
    let result = match attempt(|| run(&setup, seed, &|_| {})) {
        Ok(result) => result,
        Err(panic) => {
            return Verdict { broken: vec![Broken::new(panic, false)], ..Verdict::default() };
        }
    };
    let mut broken: Vec<Broken> = result.violations.iter().map(|text| Broken::new(text.clone(), false)).collect();
    for (name, value) in result.measures.iter().filter(|(_, value)| !value.is_finite()) {
        broken.push(Broken::new(format!("the measure {name} is {value}"), false));
    }
    if let Err(error) = verify(result.journal.iter().map(String::as_str)) {
        broken.push(Broken::new(format!("the journal does not hold: {error}"), false));
    }
    if deep {
        broken.extend(again(&setup, seed, &result).into_iter().map(|text| Broken::new(text, true)));
    }
    let days = result.device_ticks as f64 * setup.scenario.tick.as_secs_f64() / 86_400.0;
    let figures =
        Figures { device_days: days, commands: result.commands, events: result.events, faults: result.faults };
    Verdict { broken, figures, states: result.states }
}

/// The same once more: from the recorded inputs, and on two threads.
fn again(setup: &Setup, seed: u64, first: &RunResult) -> Vec<String> {
    let mut broken = Vec::new();
    let mut reader = ChainReader::default();
    let lines: Result<Vec<Line>, _> = first.journal.iter().map(|line| reader.read(line)).collect();
    match lines.map(|lines| attempt(|| replay(&lines))) {
        Err(error) => broken.push(format!("the journal cannot be read: {error}")),
        Ok(Err(panic)) => broken.push(format!("replay: {panic}")),
        Ok(Ok(Err(error))) => broken.push(format!("replay: {error}")),
        // An engine with a planted fault is no engine that a journal could be replayed by.
        Ok(Ok(Ok(replayed))) => {
            if let Some(difference) = replayed.first_difference.filter(|_| !is_planted(setup)) {
                broken.push(format!("the replay differs from line {} on: {}", difference.line, difference.replayed));
            }
        }
    }
    let pool = ThreadPoolBuilder::new().num_threads(2).build();
    match pool.map(|pool| attempt(|| pool.install(|| run(setup, seed, &|_| {})))) {
        Err(error) => broken.push(format!("two threads cannot be started: {error}")),
        Ok(Err(panic)) => broken.push(format!("on two threads: {panic}")),
        Ok(Ok(second)) if second.journal_hash != first.journal_hash => {
            broken.push("the journal is another on two threads".to_owned());
        }
        Ok(Ok(_)) => {}
    }
    broken
}

#[cfg(feature = "planted-faults")]
const fn is_planted(setup: &Setup) -> bool {
    setup.plant.is_some()
}

#[cfg(not(feature = "planted-faults"))]
const fn is_planted(_: &Setup) -> bool {
    false
}

/// Runs, and makes a panic an answer.
fn attempt<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| format!("panic: {}", message(&*panic)))
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_broken_promise_has_no_particulars() {
        let broken = |text: &str| Broken::new(text.to_owned(), false).kind;
        let one = broken("2024-03-04T01:00:00Z: 3 of 9 members of pool p0-1 are out");
        assert_eq!(one, broken("2024-03-05T02:00:00Z: 4 of 10 members of pool p1-2 are out"));
        assert_ne!(one, broken("2024-03-04T01:00:00Z: device 3 was told to install while it installs"));
    }

    #[test]
    fn a_panic_is_a_broken_promise() {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let said = attempt(|| panic!("no {}", "way"));
        std::panic::set_hook(hook);
        assert_eq!(said, Err::<(), _>("panic: no way".to_owned()));
        assert_eq!(attempt(|| 3), Ok(3));
    }
}
