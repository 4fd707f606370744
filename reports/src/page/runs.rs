//! Several runs of one world: the page tells the first of them in full, and here what all of them measured.

use super::measures::meaning;
use crate::html::{Cell, Page};
use crate::text::number;
use std::collections::{BTreeMap, BTreeSet};

/// The measures of all runs, as `measures.csv` has them.
#[derive(Debug, Default)]
pub(super) struct Runs {
    seeds: BTreeSet<u64>,
    values: BTreeMap<String, Vec<f64>>,
}

impl Runs {
    /// From lines of `seed,measure,value`; what is none of those is passed over.
    pub(super) fn read(csv: &str) -> Self {
        let mut runs = Self::default();
        for line in csv.lines() {
            let fields: Vec<&str> = line.split(',').collect();
            let [seed, measure, value] = fields.as_slice() else { continue };
            let (Ok(seed), Ok(value)) = (seed.parse(), value.parse()) else { continue };
            runs.seeds.insert(seed);
            runs.values.entry((*measure).to_owned()).or_default().push(value);
        }
        runs
    }

    /// Are there more than the one that the page tells?
    pub(super) fn are_several(&self) -> bool {
        self.seeds.len() > 1
    }

    /// Which of them the page tells.
    pub(super) fn told(&self) -> String {
        let first = self.seeds.first().map_or_else(String::new, u64::to_string);
        format!("the run of seed {first}, the first of {}", self.seeds.len())
    }
}

/// The section.
pub(super) fn section(page: &mut Page, runs: &Runs) {
    page.section(&format!("All {} runs", runs.seeds.len()));
    page.say(&format!("All other sections are {}. Over all runs:", runs.told()));
    let row = |(name, values): (&String, &Vec<f64>)| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (unit, means) = meaning(name);
        let numbers = [mean, least, most].map(|value| Cell::number(number(value)));
        let mut row = vec![Cell::from(name.as_str())];
        row.extend(numbers);
        row.extend([unit.into(), Cell::number(values.len().to_string()), Cell::quiet(means)]);
        row
    };
    let rows: Vec<Vec<Cell>> = runs.values.iter().map(row).collect();
    page.table(&["measure", "mean", "least", "most", "unit", "runs that tell", "what it says"], &rows);
    page.note("measures.csv has each run by its seed.");
}
