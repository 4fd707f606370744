//! Random worlds under random policies, run whole, every promise checked: safety while things go wrong, and that all comes to an end once
//! they do not. `draw` makes the documents, `examine` runs one, `shrink` makes one that broke a promise smaller.
//!
//! Free of clocks: whoever calls says when to stop.

mod dice;
mod draw;
mod draw_faults;
mod draw_policy;
mod examine;
mod shrink;
mod under;

pub use examine::{Broken, Examiner, Figures, Verdict};
pub use under::{BrokenUnder, under_policy};

use rayon::prelude::*;
use std::collections::BTreeMap;

/// Worlds examined together, between two looks at whether to stop.
const TOGETHER: u64 = 32;
/// Every so manieth world is also replayed from its journal and run on another number of threads.
const DEEP_EVERY: u64 = 10;

/// A drawn world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct World {
    /// Its number, which is also the seed it runs under.
    pub number: u64,
    /// The scenario document, policy included.
    pub text: String,
}

impl World {
    /// World `number` of all that are drawn under `seed`.
    pub fn draw(seed: u64, number: u64) -> Self {
        let document = draw::world(seed, number);
        Self { number, text: document.to_string() }
    }

    fn is_deep(&self) -> bool {
        self.number.is_multiple_of(DEEP_EVERY)
    }
}

/// A world that broke promises.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The world.
    pub world: World,
    /// What broke.
    pub broken: Vec<Broken>,
    /// A smaller world that breaks the first of these promises too; the same one where none was found.
    pub shrunk: World,
    /// What breaks there.
    pub shrunk_broken: Vec<Broken>,
    /// Worlds tried to make it smaller.
    pub tries: u32,
}

/// What was run.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Worlds.
    pub worlds: u64,
    /// Of all of them together.
    pub figures: Figures,
    /// How many rollouts ended how.
    pub ends: BTreeMap<&'static str, u64>,
    /// Worlds that broke promises, in the order of their numbers.
    pub findings: Vec<Finding>,
}

/// Draws worlds `from`, `from + 1`, … under a seed and examines them.
#[derive(Debug, Clone, Copy)]
pub struct Chaos {
    /// Seed of all draws.
    pub seed: u64,
    /// The first world.
    pub from: u64,
    /// How many; `None`: until stopped.
    pub worlds: Option<u64>,
    /// Findings after which to stop.
    pub findings_max: usize,
    /// Worlds tried to make one smaller; 0: it is left as it is.
    pub shrink_tries_max: u32,
    /// How each is run.
    pub examiner: Examiner,
}

impl Chaos {
    /// Runs until all worlds are through, `stop` says so, or there are enough findings. `progress` sees the tally after every few worlds.
    pub fn run(&self, stop: &(dyn Fn() -> bool + Sync), progress: &dyn Fn(&Tally)) -> Tally {
        let mut tally = Tally::default();
        let mut next = self.from;
        let end = self.worlds.map_or(u64::MAX, |worlds| self.from.saturating_add(worlds));
        while next < end && tally.findings.len() < self.findings_max && !stop() {
            let until = end.min(next + TOGETHER);
            let numbers: Vec<u64> = (next..until).collect();
            let seen: Vec<(World, Option<Verdict>)> = numbers
                .into_par_iter()
                .with_max_len(1)
                .map(|number| {
                    let world = World::draw(self.seed, number);
                    let verdict = (!stop()).then(|| self.examiner.examine(&world, world.is_deep()));
                    (world, verdict)
                })
                .collect();
            for (world, verdict) in seen {
                let Some(verdict) = verdict else { continue };
                self.book(&mut tally, world, verdict, stop);
            }
            next = until;
            progress(&tally);
        }
        tally
    }

    fn book(&self, tally: &mut Tally, world: World, verdict: Verdict, stop: &(dyn Fn() -> bool + Sync)) {
        tally.worlds += 1;
        tally.figures.add(&verdict.figures);
        for state in verdict.states {
            *tally.ends.entry(state.name()).or_default() += 1;
        }
        if let Some(first) = verdict.broken.first()
            && tally.findings.len() < self.findings_max
        {
            let smaller = shrink::shrink(&self.examiner, &world, first, self.shrink_tries_max, stop);
            let shrunk_broken = smaller.broken.unwrap_or_else(|| verdict.broken.clone());
            tally.findings.push(Finding {
                broken: verdict.broken,
                shrunk: smaller.world,
                shrunk_broken,
                tries: smaller.tries,
                world,
            });
        }
    }
}
