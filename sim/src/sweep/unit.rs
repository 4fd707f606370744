//! A unit of work: one point under one seed. What it leaves behind is small; its journal is gone once measured, but for its hash.

use crate::run::run;
use crate::setup::Setup;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Which point, which replication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unit {
    /// Number of the point, from 0.
    pub point: usize,
    /// Number of the replication, from 0; its seed is the first seed and this many more.
    pub replication: u32,
}

impl Unit {
    /// All units of a sweep, point by point.
    pub fn all(points: usize, replications: u32) -> impl Iterator<Item = Self> {
        (0..points).flat_map(move |point| (0..replications).map(move |replication| Self { point, replication }))
    }
}

/// What came of a unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitResult {
    /// Number of the point, from 0.
    pub point: usize,
    /// The seed.
    pub seed: u64,
    /// Hash of the last line of its journal.
    pub journal_hash: String,
    /// Where its rollout ended; of several, the first that did not finish.
    pub rollout_state: String,
    /// By name.
    pub measures: BTreeMap<String, f64>,
    /// Broken promises.
    pub invariant_violations: Vec<String>,
}

impl UnitResult {
    /// Did every rollout finish?
    pub fn is_finished(&self) -> bool {
        self.rollout_state == "finished"
    }
}

/// Runs a unit. The same on any machine and any number of threads.
pub fn run_unit(setup: &Setup, point: usize, seed: u64) -> UnitResult {
    let result = run(setup, seed, &|_| {});
    UnitResult {
        point,
        seed,
        journal_hash: result.journal_hash,
        rollout_state: result.state.name().to_owned(),
        measures: result.measures,
        invariant_violations: result.violations,
    }
}

/// One of several equal shares of the work, `I/N`: units I, I + N, I + 2N… in the order of [`Unit::all`], counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Which, 1..=`of`.
    pub index: u32,
    /// Of how many.
    pub of: u32,
}

impl Shard {
    /// All of the work.
    pub const WHOLE: Self = Self { index: 1, of: 1 };
    /// Most shares.
    pub const OF_MAX: u32 = 100_000;

    /// Does the unit at a place in the order belong to this share?
    pub const fn has(self, place: usize) -> bool {
        place % self.of as usize == self.index as usize - 1
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(i, n)| Some((i.trim().parse().ok()?, n.trim().parse().ok()?)));
        match numbers {
            Some((index, of)) if (1..=Self::OF_MAX).contains(&of) && (1..=of).contains(&index) => {
                Ok(Self { index, of })
            }
            _ => Err(format!("write I/N with 1 ≤ I ≤ N ≤ {}, such as 3/8", Self::OF_MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_all_units_once() {
        for of in 1..7 {
            let shares: Vec<Shard> = (1..=of).map(|index| Shard { index, of }).collect();
            for (place, _) in Unit::all(5, 3).enumerate() {
                assert_eq!(shares.iter().filter(|share| share.has(place)).count(), 1);
            }
        }
        assert_eq!("3/8".parse(), Ok(Shard { index: 3, of: 8 }));
        for text in ["0/3", "4/3", "3", "x/2", "1/0", "1/100001"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
