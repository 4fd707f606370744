//! Who goes first.

use super::{Priority, PriorityFormula};

/// Priority of a device with `criticality` and `load` scores 0–100: the higher goes first.
///
/// - [`PriorityFormula::SpareFirst`]: `w_crit·(1 − criticality/100) + w_cap·(100 − load)/100`. What matters least and has most to spare
///   goes first; high criticality with low capacity goes last.
/// - [`PriorityFormula::Literal`]: `w_crit·criticality/100 + w_cap·(1 − load/100)`. The same capacity term, but what matters most goes
///   first.
///
/// The two differ only in the direction of criticality. A score that is not a number counts as 100.
///
/// ```
/// use slacktide_engine::policy::{Priority, PriorityFormula, priority::priority};
/// let spare = Priority { formula: PriorityFormula::SpareFirst, criticality_weight: 0.5, capacity_weight: 0.5 };
/// assert!(priority(&spare, 10.0, 20.0) > priority(&spare, 90.0, 80.0));
/// let literal = Priority { formula: PriorityFormula::Literal, ..spare };
/// assert!(priority(&literal, 90.0, 50.0) > priority(&literal, 10.0, 50.0));
/// ```
pub fn priority(rule: &Priority, criticality: f64, load: f64) -> f64 {
    let share = |score: f64| if score.is_nan() { 1.0 } else { score.clamp(0.0, 100.0) / 100.0 };
    let capacity = rule.capacity_weight * (1.0 - share(load));
    match rule.formula {
        PriorityFormula::SpareFirst => rule.criticality_weight * (1.0 - share(criticality)) + capacity,
        PriorityFormula::Literal => rule.criticality_weight * share(criticality) + capacity,
    }
}
