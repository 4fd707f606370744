//! Running the arms: a given number of replications, or as many as a precision asks for.

use super::{Args, MEASURES};
use crate::simulate::bar;
use anyhow::Result;
use serde_json::{Value, json};
use slacktide_reports::arms::unit;
use slacktide_reports::text::number;
use slacktide_sim::compare::Arm;
use slacktide_sim::precision::{Reached, Rule, Width};
use slacktide_sim::{Setup, replicate};

/// A relative precision from the command line: `0.05` or `5%`.
pub(super) fn precision(text: &str) -> Result<f64, String> {
    let share = match text.trim().strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|p| p / 100.0),
        None => text.trim().parse::<f64>(),
    };
    share
        .ok()
        .filter(|share| (0.001..=0.5).contains(share))
        .ok_or_else(|| "must be a share of the mean from 0.001 to 0.5, such as 0.05 or 5%".to_owned())
}

/// Runs all arms on the same seeds; what was reached, where a precision was asked for.
pub(super) fn run(args: &Args, base: &Setup, setups: &[(String, Setup)]) -> (Vec<Arm>, Option<Reached>) {
    let mut arms: Vec<Arm> = setups.iter().map(|(name, _)| Arm { name: name.clone(), runs: Vec::new() }).collect();
    let progress = bar(0, "runs");
    let mut more = |arms: &mut [Arm], count: u32| {
        progress.inc_length(u64::from(count) * setups.len() as u64);
        for (arm, (_, setup)) in arms.iter_mut().zip(setups) {
            let seed = args.world.seed.wrapping_add(arm.runs.len() as u64);
            arm.runs.extend(replicate(setup, seed, count, &|_| progress.inc(1)));
        }
    };
    let reached = match args.precision {
        None => {
            more(&mut arms, args.replications);
            None
        }
        Some(relative) => Some(rule(relative, args.replications_max, base).reach(&mut arms, &mut more)),
    };
    progress.finish_and_clear();
    (arms, reached)
}

/// What is always good enough: six tenths of a second of overload a device, and one report of telemetry.
fn rule(relative: f64, replications_max: u32, base: &Setup) -> Rule {
    let floors = [base.scenario.devices as f64 / 100.0, base.scenario.tick.as_secs_f64()];
    let measures = MEASURES[..2].iter().zip(floors).map(|(measure, floor)| ((*measure).to_owned(), floor)).collect();
    Rule { relative, replications_max, measures }
}

/// `makespan, h of predictive − reactive, ± 0.21 of 0.25 allowed`.
fn width(width: &Width) -> String {
    let (label, scale) = unit(&width.measure).map_or((width.measure.as_str(), 1.0), |u| (u.label, u.scale));
    let n = |v: f64| number(v / scale);
    format!("{label} of {}, ± {} with {} allowed", width.of, n(width.half_width), n(width.target))
}

/// What was reached, in words.
pub(super) fn sentence(args: &Args, reached: &Reached) -> Option<String> {
    let asked = number(args.precision? * 100.0);
    let n = reached.replications;
    Some(if reached.unsettled.is_empty() {
        let last = reached.last.as_ref().map(|last| format!("; the last to settle was {}", width(last)));
        format!("{n} replications give the precision of {asked} % asked for{}.", last.unwrap_or_default())
    } else {
        let all: Vec<String> = reached.unsettled.iter().map(width).collect();
        format!(
            "{n} replications, the most allowed, do not give the precision of {asked} % asked for: {}.",
            all.join("; ")
        )
    })
}

/// For the document.
pub(super) fn json(args: &Args, reached: &Reached) -> Value {
    let width = |w: &Width| json!({"of": w.of, "measure": w.measure, "half_width": w.half_width, "allowed": w.target});
    json!({
        "asked": args.precision,
        "reached": reached.unsettled.is_empty(),
        "replications": reached.replications,
        "last_to_settle": reached.last.as_ref().map(width),
        "unsettled": reached.unsettled.iter().map(width).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_precision_is_a_share() {
        assert_eq!((precision("0.05"), precision("5%"), precision(" 50 % ")), (Ok(0.05), Ok(0.05), Ok(0.5)));
        for text in ["5", "0", "-1%", "x", "0.0001", "NaN", "%"] {
            assert!(precision(text).is_err(), "{text}");
        }
    }
}
