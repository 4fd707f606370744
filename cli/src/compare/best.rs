//! Which arm is best: least overload caused first, then the shortest makespan, as far as chance allows to say.

use super::MEASURES;
use serde_json::{Value, json};
use slacktide_engine::rollout::RolloutState;
use slacktide_sim::compare::Arm;
use slacktide_sim::selection::{METHOD, Selection, select};

/// Both statements hold with this probability at least.
const CONFIDENCE: f64 = 0.95;
/// So each may fail with half of what is left.
const EACH: f64 = 1.0 - (1.0 - CONFIDENCE) / 2.0;

/// What may be said of the best arm.
#[derive(Debug)]
pub(super) struct Best {
    overload: Selection,
    /// Among the arms that may cause the least overload; none where that is one arm, or where makespans cannot be held together.
    makespan: Option<Selection>,
    /// Arms left out of the second question: not all of their rollouts finished.
    unfinished: Vec<String>,
}

impl Best {
    /// Judges arms that ran the same seeds; `None` where they have too few runs. `comparisons` is the number of pairs that are told apart
    /// beside this.
    pub(super) fn of(arms: &[Arm], comparisons: usize) -> Option<Self> {
        let all: Vec<&Arm> = arms.iter().collect();
        let overload = select(&all, MEASURES[0], EACH, comparisons)?;
        let finished = |arm: &&Arm| arm.runs.iter().all(|run| run.state == RolloutState::Finished);
        let may: Vec<&Arm> = arms.iter().filter(|arm| overload.subset.contains(&arm.name)).collect();
        // A rollout that was stopped is short: its makespan says nothing beside that of one that finished.
        let (done, short): (Vec<&Arm>, Vec<&Arm>) = may.into_iter().partition(finished);
        let makespan = select(&done, MEASURES[1], EACH, comparisons);
        let unfinished =
            if makespan.is_some() { short.iter().map(|arm| arm.name.clone()).collect() } else { Vec::new() };
        Some(Self { overload, makespan, unfinished })
    }

    /// Arms that may be the best.
    fn subset(&self) -> &[String] {
        self.makespan.as_ref().map_or(&self.overload.subset, |makespan| &makespan.subset)
    }

    /// The best arm, where chance leaves one.
    pub(super) fn name(&self) -> Option<&str> {
        match self.subset() {
            [one] => Some(one),
            _ => None,
        }
    }

    /// Arms that may cause the least overload.
    #[cfg(test)]
    pub(super) fn overload_subset(&self) -> &[String] {
        &self.overload.subset
    }

    /// In words.
    pub(super) fn sentence(&self) -> String {
        let percent = CONFIDENCE * 100.0;
        let first = match self.overload.subset.as_slice() {
            [one] => {
                return format!("With at least {percent:.0} % confidence {one} causes the least overload of all arms.");
            }
            may => format!(
                "With at least {percent:.0} % confidence the arm that causes the least overload is among {}",
                may.join(", ")
            ),
        };
        let left_out = match self.unfinished.as_slice() {
            [] => String::new(),
            some => format!(" (of those whose rollouts all finished, so without {})", some.join(", ")),
        };
        match self.makespan.as_ref().map(|m| m.subset.as_slice()) {
            None => format!("{first}."),
            Some([one]) => format!("{first}; of these {one} has the shortest makespan{left_out}."),
            Some(may) => format!(
                "{first}; of these the shortest makespan{left_out} may be that of {}: more replications would tell more of them apart.",
                may.join(", ")
            ),
        }
    }

    /// For the document.
    pub(super) fn json(&self) -> Value {
        let selection = |found: &Selection| {
            let interval = |(arm, s): &(String, slacktide_sim::Summary)| json!({"arm": arm, "less_best_of_others": s.mean, "ci": s.ci95});
            json!({
                "measure": found.measure,
                "subset": found.subset,
                "intervals": found.intervals.iter().map(interval).collect::<Vec<_>>(),
            })
        };
        let mut json = selection(&self.overload);
        json["best"] = self.name().into();
        json["method"] = METHOD.into();
        json["confidence"] = CONFIDENCE.into();
        json["then"] = self.makespan.as_ref().map_or(Value::Null, selection);
        json
    }
}
