//! Many settings of a policy or a world on the same seeds: which settings to try, what a try leaves behind, what all of them say.
//!
//! Reading order: `axis` (a varied field and its values), `design` (which points of the box are tried; `sobol`, `latin`), `field` (a value put
//! into a policy or scenario text), `unit` (a point and a seed: what is run, kept and shared out), `front` (trade-off and recommendation).

mod axis;
mod design;
mod field;
pub mod front;
mod latin;
mod sobol;
mod unit;

pub use axis::{Axis, Kind, Values};
pub use design::{Design, Plan, plan};
pub use field::{SCENARIO, check_axes, fields, with_values};
pub use unit::{Shard, Unit, UnitResult, run_unit};
