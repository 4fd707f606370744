//! Recorded load and fleets, from CSV files people have.

mod downtime;
mod fleet;
mod remarks;
mod resample;
mod telemetry;

pub use downtime::read_down_times;
pub use fleet::{FleetRow, read_fleet};
pub use remarks::SHARES_OF_ONE;
pub use resample::NotAMultiple;
pub use telemetry::{ReadOptions, Recording, moment, read};

use std::fmt;
use std::path::{Path, PathBuf};

/// What is wrong with a file, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadError {
    /// The file or folder.
    pub path: PathBuf,
    /// Line, from 1, where it is known.
    pub line: Option<u64>,
    /// The column; empty where the trouble is not in one.
    pub field: String,
    /// What is wrong, with the value, and what would be right.
    pub problem: String,
}

impl ReadError {
    fn file(path: &Path, problem: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: None, field: String::new(), problem: problem.into() }
    }

    fn row(path: &Path, line: u64, field: &str, problem: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: Some(line), field: field.to_owned(), problem: problem.into() }
    }
}

/// A column that stands twice leaves open which of the two is meant. Columns without a name may be many: spreadsheets leave them at the end.
fn once_each(path: &Path, header: &csv::StringRecord) -> Result<(), ReadError> {
    let is_twice = |(i, name): &(usize, &str)| !name.is_empty() && header.iter().take(*i).any(|other| other == *name);
    let twice = header.iter().enumerate().find(is_twice);
    twice
        .map_or(Ok(()), |(_, name)| Err(ReadError::row(path, 1, name, "stands twice; a header names each column once")))
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(": ")?;
        if !self.field.is_empty() {
            write!(f, "column `{}`: ", self.field)?;
        }
        f.write_str(&self.problem)
    }
}

impl std::error::Error for ReadError {}
