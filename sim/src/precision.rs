//! Replications until the means are known as well as was asked, rather than a guessed number of them.
//!
//! The sequential rule of Law & Kelton (Simulation Modeling and Analysis, section 9.4.1) for a relative error γ: go on until the 95 %
//! half-width is at most γ/(1 + γ) of the mean, from at least ten replications on. Its coverage was found to be near nominal for
//! γ ≤ 0.15 (Law, Kelton & Koenig 1981); asymptotic validity is Chow & Robbins' (1965). Stopping when an interval happens to be narrow makes it a
//! little too narrow; ten to begin with keep that small.

use crate::compare::{Arm, difference, measures};
use crate::replicate::Summary;

/// Replications before the first look.
pub const REPLICATIONS_MIN: u32 = 10;
/// Least growth of a round, as a share of what is there, so that looks stay few.
const GROWTH: f64 = 0.25;

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Relative error γ, such as 0.05.
    pub relative: f64,
    /// Most replications.
    pub replications_max: u32,
    /// Measures that must be known so well, each with the half-width that is always good enough: a mean near 0 has no relative error.
    pub measures: Vec<(String, f64)>,
}

/// How well a mean is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Width {
    /// The arm, or two as `a − b`.
    pub of: String,
    /// The measure.
    pub measure: String,
    /// Half of its 95 % interval.
    pub half_width: f64,
    /// What it must not exceed.
    pub target: f64,
}

impl Width {
    /// Narrow enough?
    pub fn is_settled(&self) -> bool {
        self.half_width <= self.target
    }

    /// 1 is just settled; above it is too wide by this factor.
    fn excess(&self) -> f64 {
        if self.half_width <= 0.0 { 0.0 } else { self.half_width / self.target }
    }
}

/// What was reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Reached {
    /// Replications of every arm.
    pub replications: u32,
    /// The last that became narrow enough, as it is now; the widest where all were at the first look.
    pub last: Option<Width>,
    /// Those that are still too wide.
    pub unsettled: Vec<Width>,
}

impl Rule {
    /// All means and all paired differences of two arms. A difference is measured against the largest of the two means and itself: arms
    /// that are nearly alike have a difference that is never known to a share of itself.
    pub fn widths(&self, arms: &[Arm]) -> Vec<Width> {
        let relative = self.relative / (1.0 + self.relative);
        let mut widths = Vec::new();
        for (measure, floor) in &self.measures {
            let mut add = |of: String, summary: &Summary, size: f64| {
                // What only one run has measured can be known no better by its mean.
                let half_width = summary.half_width().unwrap_or(0.0);
                widths.push(Width { of, measure: measure.clone(), half_width, target: (relative * size).max(*floor) });
            };
            let all: Vec<_> = arms.iter().map(|arm| measures(&arm.runs).get(measure).copied()).collect();
            for (arm, summary) in arms.iter().zip(&all) {
                if let Some(summary) = summary {
                    add(arm.name.clone(), summary, summary.mean.abs());
                }
            }
            for (i, a) in arms.iter().enumerate() {
                for (j, b) in arms.iter().enumerate().skip(i + 1) {
                    if let (Some(found), Some(x), Some(y)) = (difference(a, b, measure), all[i], all[j]) {
                        let size = found.summary.mean.abs().max(x.mean.abs()).max(y.mean.abs());
                        add(format!("{} − {}", a.name, b.name), &found.summary, size);
                    }
                }
            }
        }
        widths
    }

    /// Runs rounds until everything is settled or [`Rule::replications_max`] is reached. `more` adds the named number of replications to
    /// every arm, under the same new seeds.
    pub fn reach(&self, arms: &mut [Arm], more: &mut dyn FnMut(&mut [Arm], u32)) -> Reached {
        let mut done = REPLICATIONS_MIN.min(self.replications_max);
        more(arms, done);
        let mut last: Option<Width> = None;
        loop {
            let widths = self.widths(arms);
            let widest = widths.iter().max_by(|a, b| a.excess().total_cmp(&b.excess())).cloned();
            let excess = widest.as_ref().map_or(0.0, Width::excess);
            if excess <= 1.0 || done >= self.replications_max {
                let now = last.or(widest).and_then(|l| widths.iter().find(|w| w.of == l.of && w.measure == l.measure));
                let last = now.filter(|width| width.is_settled()).cloned();
                let unsettled = widths.into_iter().filter(|width| !width.is_settled()).collect();
                return Reached { replications: done, last, unsettled };
            }
            last = widest;
            // Half-widths fall with the root of the number; not more than twice what is there, for the variance is a guess.
            let n = f64::from(done);
            let wanted = (n * excess * excess).ceil().clamp((n * (1.0 + GROWTH)).ceil(), 2.0 * n);
            let next = (wanted as u32).min(self.replications_max);
            more(arms, next - done);
            done = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Stream};
    use crate::run::RunResult;
    use rand_distr::{Distribution, StandardNormal};
    use slacktide_engine::rollout::RolloutState;

    fn result(seed: u64, value: f64) -> RunResult {
        RunResult {
            seed,
            journal: Vec::new(),
            journal_hash: String::new(),
            states: Vec::new(),
            state: RolloutState::Finished,
            measures: [("m".to_owned(), value)].into(),
            violations: Vec::new(),
            events: 0,
            device_ticks: 0,
            commands: 0,
            faults: std::collections::BTreeMap::new(),
        }
    }

    /// Arms with given means; they share a chance of size 1 and have one of size `own` each.
    fn reach(rule: &Rule, means: &[f64], own: f64, draw: u64) -> (Reached, Vec<Arm>) {
        let mut arms: Vec<Arm> =
            means.iter().map(|mean| Arm { name: format!("arm{mean}"), runs: Vec::new() }).collect();
        let mut stream = Stream::new(draw, Purpose::Noise, 0);
        let reached = rule.reach(&mut arms, &mut |arms, count| {
            for _ in 0..count {
                let common: f64 = StandardNormal.sample(&mut stream);
                for (arm, mean) in arms.iter_mut().zip(means) {
                    let particular: f64 = StandardNormal.sample(&mut stream);
                    arm.runs.push(result(arm.runs.len() as u64, mean + common + own * particular));
                }
            }
        });
        (reached, arms)
    }

    fn rule(relative: f64, floor: f64, replications_max: u32) -> Rule {
        Rule { relative, replications_max, measures: vec![("m".to_owned(), floor)] }
    }

    #[test]
    fn rounds_end_when_all_is_known_well_enough() {
        let (reached, arms) = reach(&rule(0.05, 0.0, 1000), &[10.0, 12.0], 0.1, 1);
        assert!(reached.unsettled.is_empty() && reached.last.is_some(), "{reached:?}");
        assert!((11..60).contains(&reached.replications), "{reached:?}");
        assert!(arms.iter().all(|arm| arm.runs.len() == reached.replications as usize));
        // 1/√n × 1.96 ≤ 10 × 0.05/1.05 needs some 17.
        let calm = reach(&rule(0.5, 0.0, 1000), &[10.0, 12.0], 0.1, 1).0;
        assert_eq!(calm.replications, REPLICATIONS_MIN);
    }

    #[test]
    fn means_near_nothing_end_at_the_floor_or_at_the_most() {
        let (reached, _) = reach(&rule(0.05, 0.0, 40), &[0.0, 0.0], 1.0, 2);
        assert_eq!((reached.replications, reached.unsettled.len(), reached.last), (40, 3, None));
        let (reached, _) = reach(&rule(0.05, 0.5, 400), &[0.0, 0.0], 1.0, 2);
        assert!(reached.unsettled.is_empty() && reached.replications < 100, "{reached:?}");
    }

    /// The intervals at the end still hold nearly as often as they say: 95 % less what stopping costs.
    #[test]
    fn coverage_survives_stopping() {
        let covered = |draw: u64| {
            let (_, arms) = reach(&rule(0.05, 0.0, 2000), &[10.0], 0.0, draw);
            let [low, high] = measures(&arms[0].runs)["m"].ci95.unwrap();
            low <= 10.0 && 10.0 <= high
        };
        let share = (0..2000).filter(|draw| covered(*draw)).count() as f64 / 2000.0;
        assert!((0.92..0.97).contains(&share), "{share}");
    }
}
