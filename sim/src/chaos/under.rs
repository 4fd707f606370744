//! Random worlds under one policy: does it keep its promises in worlds that nobody chose for it?
//!
//! Worlds, faults, fleets and packages are those that are drawn without a policy given; only the policy is another.

use super::examine::judge;
use super::{Verdict, World};
use crate::setup::Setup;
use rayon::prelude::*;
use slacktide_engine::policy::Policy;
use slacktide_engine::time::Span;
use slacktide_scenarios::Scenario;

/// A world in which the policy broke promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenUnder {
    /// The world's number.
    pub world: u64,
    /// What broke.
    pub texts: Vec<String>,
}

/// Examines worlds 0, 1, … of a seed under a policy, in parallel; every tenth also on two threads and from its journal. `done` is called
/// as each ends. Returns those that broke a promise, in the order of their numbers.
pub fn under_policy(seed: u64, worlds: u64, policy: &Policy, done: &(dyn Fn() + Sync)) -> Vec<BrokenUnder> {
    let one = |number: u64| {
        let world = World::draw(seed, number);
        let texts = match setup(&world, policy) {
            Ok(setup) => texts(judge(setup, number, world.is_deep())),
            // The worlds we draw are all valid.
            Err(problem) => vec![format!("the world cannot be read: {problem}")],
        };
        done();
        BrokenUnder { world: number, texts }
    };
    let numbers: Vec<u64> = (0..worlds).collect();
    let seen: Vec<BrokenUnder> = numbers.into_par_iter().with_max_len(1).map(one).collect();
    seen.into_iter().filter(|broken| !broken.texts.is_empty()).collect()
}

fn texts(verdict: Verdict) -> Vec<String> {
    verdict.broken.into_iter().map(|broken| broken.text).collect()
}

fn setup(world: &World, policy: &Policy) -> Result<Setup, String> {
    let mut scenario = Scenario::from_toml("chaos.toml", &world.text).map_err(|error| error.to_string())?;
    // Slots hold whole reports; the drawn period fits the drawn policy.
    scenario.tick = Span::from_millis(common_divisor(scenario.tick.as_millis(), policy.plan.slot.as_millis()));
    // Time for whatever the policy lets a rollout wait for: attempts under way are waited for, taken back, and waited for again.
    scenario.until_max = scenario.until_max
        + policy.attempts.rollout_timeout
        + policy.rollback.hold_max
        + policy.attempts.timeout.times(3)
        + policy.plan.slot.times(4);
    Ok(Setup::new(scenario, policy.clone()))
}

const fn common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use slacktide_engine::policy::library;

    #[test]
    fn periods_fit_slots() {
        assert_eq!(common_divisor(600_000, 900_000), 300_000);
        assert_eq!(common_divisor(60_000, 900_000), 60_000);
    }

    #[test]
    fn a_policy_keeps_its_promises_in_drawn_worlds() {
        let done = std::sync::atomic::AtomicU64::new(0);
        let broken = under_policy(1, 3, &library::named("all-at-once").unwrap(), &|| {
            done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!((done.into_inner(), broken), (3, Vec::new()));
    }
}
