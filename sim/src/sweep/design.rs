//! Which points of the box of all settings are tried.

use super::axis::{Axis, Values};
use super::{latin, sobol};
use serde_json::Value;

/// How points are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Design {
    /// Every value of each field with every value of all others.
    Grid,
    /// A maximin Latin hypercube.
    Latin,
    /// The first points of a Sobol sequence.
    Sobol,
}

impl Design {
    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grid => "grid",
            Self::Latin => "lhs",
            Self::Sobol => "sobol",
        }
    }
}

/// The points of a design: a value for each axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// All points, each once, in the order of the design; the last axis changes fastest on a grid.
    pub points: Vec<Vec<Value>>,
    /// Points left out because rounding or a short list made them the same as an earlier one.
    pub repeated: usize,
}

/// Most points of a sweep.
const POINTS_MAX: usize = 100_000;
/// Points for each field when none are named (Loeppky, Sacks & Welch 2009, Technometrics 51(4)).
const POINTS_A_FIELD: usize = 10;

/// The points of a design. `count` is for designs other than a grid: 10 a field when not given, and then the next power of two for Sobol,
/// whose balance needs one. `seed` draws the hypercube.
///
/// # Errors
/// What does not go together, for people.
pub fn plan(axes: &[Axis], design: Design, count: Option<usize>, seed: u64) -> Result<Plan, String> {
    if axes.is_empty() {
        return Err("nothing is varied: name a field by --vary FIELD=LO..HI".to_owned());
    }
    let wanted = count.unwrap_or(POINTS_A_FIELD * axes.len());
    let unit = match design {
        Design::Grid if count.is_some() => {
            return Err("--points is for --design lhs and sobol; a grid has the points of its ranges: FIELD=LO..HI:N"
                .to_owned());
        }
        Design::Grid => return grid(axes),
        Design::Latin | Design::Sobol => {
            let stepped = |axis: &&Axis| matches!(axis.values, Values::Range { steps: Some(_), .. });
            if let Some(axis) = axes.iter().find(stepped) {
                return Err(format!(
                    "`{}` names a number of values, which only a grid has; with --design {} name --points instead",
                    axis.field,
                    design.name()
                ));
            }
            match design {
                Design::Sobol if axes.len() > sobol::DIMENSIONS_MAX => {
                    return Err(format!(
                        "{} fields are varied; Sobol points have at most {} here: use --design lhs",
                        axes.len(),
                        sobol::DIMENSIONS_MAX
                    ));
                }
                Design::Sobol if count.is_none() => sobol::points(axes.len(), wanted.next_power_of_two()),
                Design::Sobol => sobol::points(axes.len(), wanted),
                _ => latin::points(axes.len(), wanted, seed),
            }
        }
    };
    let at = |point: Vec<f64>| axes.iter().zip(point).map(|(axis, u)| axis.at(u)).collect();
    Ok(without_repeats(unit.into_iter().map(at).collect()))
}

fn grid(axes: &[Axis]) -> Result<Plan, String> {
    let values: Vec<Vec<Value>> = axes.iter().map(Axis::grid).collect();
    let count = values.iter().try_fold(1_usize, |product, v| product.checked_mul(v.len())).unwrap_or(usize::MAX);
    if count > POINTS_MAX {
        return Err(format!(
            "this grid has {count} points, at most {POINTS_MAX} are allowed: fewer values a field, or --design lhs"
        ));
    }
    let mut points: Vec<Vec<Value>> = vec![Vec::new()];
    for values in &values {
        let with = |point: &Vec<Value>, value: &Value| [point.as_slice(), std::slice::from_ref(value)].concat();
        points = points.iter().flat_map(|point| values.iter().map(move |value| with(point, value))).collect();
    }
    Ok(without_repeats(points))
}

fn without_repeats(points: Vec<Vec<Value>>) -> Plan {
    let all = points.len();
    let mut seen = std::collections::BTreeSet::new();
    let points: Vec<_> = points.into_iter().filter(|point| seen.insert(format!("{point:?}"))).collect();
    Plan { repeated: all - points.len(), points }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axes(texts: &[&str]) -> Vec<Axis> {
        texts.iter().map(|text| Axis::parse(text).unwrap()).collect()
    }

    #[test]
    fn a_grid_is_every_value_with_every_other() {
        let plan = plan(&axes(&["a=1..3:3", "b=x,y"]), Design::Grid, None, 1).unwrap();
        let said: Vec<String> = plan.points.iter().map(|p| format!("{}{}", p[0], p[1].as_str().unwrap())).collect();
        assert_eq!(said, ["1x", "1y", "2x", "2y", "3x", "3y"]);
        assert_eq!(plan.repeated, 0);
    }

    #[test]
    fn a_hypercube_takes_every_step_of_each_field_once() {
        let three = axes(&["a=0..16", "b=0..16", "c=0..16"]);
        let made = plan(&three, Design::Latin, Some(16), 7).unwrap();
        for d in 0..3 {
            let mut seen: Vec<f64> = made.points.iter().map(|p| p[d].as_f64().unwrap()).collect();
            seen.sort_by(f64::total_cmp);
            assert_eq!(seen, (0..16).map(|i| f64::from(i) + 0.5).collect::<Vec<_>>());
        }
        assert_eq!(plan(&three, Design::Latin, Some(16), 7).unwrap(), made);
        assert_ne!(plan(&three, Design::Latin, Some(16), 8).unwrap(), made);
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let two = axes(&["a=1..3:3", "b=x,y"]);
        let said = |axes: &[Axis], design, count| plan(axes, design, count, 1).unwrap_err();
        assert!(said(&[], Design::Grid, None).contains("nothing is varied"));
        assert!(said(&two, Design::Grid, Some(4)).contains("--points is for"));
        assert!(said(&two, Design::Sobol, Some(4)).contains("only a grid has"));
        let many: Vec<String> = (0..11).map(|i| format!("f{i}=0..1")).collect();
        let many = axes(&many.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(said(&many, Design::Sobol, None).contains("at most 10"));
        assert!(said(&many, Design::Grid, None).contains("points, at most 100000"));
    }

    #[test]
    fn points_that_fall_together_are_tried_once() {
        let plan = plan(&axes(&["a=x,y"]), Design::Latin, Some(8), 1).unwrap();
        assert_eq!((plan.points.len(), plan.repeated), (2, 6));
    }
}
