//! The planner against its checker: traps, random fleets, and every rule broken on purpose.

mod broken;
mod fleets;
mod properties;
mod traps;
