//! The planner against its checker: traps, random fleets, and every rule broken on purpose.

mod broken;
mod exact;
mod fleets;
mod outlook;
mod properties;
mod stability;
mod traps;
mod windows;
