//! Known defects, for tests of the checks that must find them. Compiled with the feature `planted-faults` only.

/// A defect that an engine can be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// One more member of a pool may be out than the policy says; the plan's checker believes it.
    BudgetOffByOne,
    /// Every fifth command's outcome is dropped.
    LostOutcome,
    /// The first device of every batch is told twice.
    DoubleInstall,
    /// Every hour is taken for open.
    IgnoredWindow,
    /// The first forecasts stay in force for ever.
    StaleForecast,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::BudgetOffByOne, Self::LostOutcome, Self::DoubleInstall, Self::IgnoredWindow, Self::StaleForecast];
}
