//! What a comparison of arms found, in sentences: only what is more than chance is called a difference.

use super::MEASURES;
use super::pairs::{ORACLE, QUESTION, Verdict};
use slacktide_engine::rollout::RolloutState;
use slacktide_reports::arms::unit;
use slacktide_reports::text::number;
use slacktide_sim::compare::{Arm, measures};

const OVERLOAD: &str = MEASURES[0];
const MAKESPAN: &str = MEASURES[1];
/// Mean absolute error of the forecasts a rollout was planned with, in points of load; not every run has it.
const FORECAST_ERROR: &str = "forecast_mae_points";

/// The sentences.
pub(super) fn findings(arms: &[Arm], verdicts: &[Verdict], ranking: &[String], forecasters: bool) -> Vec<String> {
    let mut said = Vec::new();
    said.extend(leader(arms, ranking));
    said.extend(unfinished(arms));
    if let Some(first) = arms.first() {
        let others = arms[1..].iter().filter(|b| !(forecasters && b.name == ORACLE));
        said.extend(others.map(|other| pair(first, other, verdicts, forecasters)));
    }
    let arm = |name: &str| arms.iter().find(|a| a.name == name);
    if let (true, Some(a), Some(b)) = (forecasters, arm(QUESTION.0), arm(QUESTION.1))
        && find(verdicts, &a.name, &b.name, MAKESPAN).is_some()
        && arms.first().is_some_and(|first| first.name != a.name)
    {
        said.push(pair(a, b, verdicts, forecasters));
    }
    if forecasters {
        said.extend(worth_of_accuracy(arms, verdicts));
        said.extend(what_perfect_would_buy(arms, verdicts, ranking));
    }
    said.push(format!(
        "Every arm ran the same {} seeds; intervals are of paired differences and hold for all pairs of a measure at once with 95 % confidence \
         (Student's t, Bonferroni), and a difference is called one where 0 lies outside. Noise does not show that arms are equal: more replications would show smaller differences.",
        arms.first().map_or(0, |a| a.runs.len())
    ));
    let broken = arms.iter().flat_map(|a| a.runs.iter().flat_map(move |r| r.violations.iter().map(move |v| (a, r, v))));
    said.extend(broken.map(|(arm, run, v)| format!("PROMISE BROKEN {} seed {}: {v}.", arm.name, run.seed)));
    said
}

/// Who leads by the means, which says nothing of chance.
fn leader(arms: &[Arm], ranking: &[String]) -> Option<String> {
    let best = ranking.first().and_then(|name| arms.iter().find(|a| a.name == *name))?;
    let mean = |arm: &Arm, measure: &str| measures(&arm.runs).get(measure).map(|s| s.mean);
    let (overload, makespan) = (mean(best, OVERLOAD)?, mean(best, MAKESPAN)?);
    let hours = number(makespan / 3600.0);
    Some(if arms.iter().all(|arm| mean(arm, OVERLOAD) == Some(overload)) {
        format!(
            "All arms caused {} device-minutes of overload; the shortest on average is {}, {hours} h.",
            number(overload),
            best.name
        )
    } else {
        format!(
            "By the means {} causes the least overload, {} device-minutes, and takes {hours} h.",
            best.name,
            number(overload)
        )
    })
}

fn finished(arm: &Arm) -> usize {
    arm.runs.iter().filter(|r| r.state == RolloutState::Finished).count()
}

/// Arms whose rollouts did not all finish: their makespan is the time to wherever they ended.
fn unfinished(arms: &[Arm]) -> Option<String> {
    let short = arms.iter().filter(|arm| finished(arm) < arm.runs.len());
    let said: Vec<String> = short.map(|arm| format!("{} {} of {}", arm.name, finished(arm), arm.runs.len())).collect();
    (!said.is_empty()).then(|| {
        format!("Not every rollout finished: {}; the makespan of the others is the time to their end.", said.join(", "))
    })
}

fn find<'a>(verdicts: &'a [Verdict], a: &str, b: &str, measure: &str) -> Option<&'a Verdict> {
    verdicts.iter().find(|v| v.difference.a == a && v.difference.b == b && v.difference.measure == measure)
}

/// How far off an arm's forecasts were, on average; `None` when its runs do not say.
fn forecast_error(arm: &Arm) -> Option<f64> {
    measures(&arm.runs).get(FORECAST_ERROR).map(|s| s.mean)
}

/// `−12 … 8`, in the unit people read.
fn interval(verdict: &Verdict, scale: f64) -> String {
    verdict.difference.summary.ci95.map_or_else(
        || "by an unknown amount".to_owned(),
        |[low, high]| format!("{} … {}", number(low / scale), number(high / scale)),
    )
}

fn overload_words(verdict: &Verdict) -> String {
    let mean = verdict.difference.summary.mean;
    if verdict.is_different() {
        let word = if mean < 0.0 { "less" } else { "more" };
        format!("{} device-minutes {word} overload caused ({})", number(mean.abs()), interval(verdict, 1.0))
    } else if verdict.is_nothing() {
        "the same overload caused in every run".to_owned()
    } else {
        format!("overload caused differs by {} device-minutes: noise", interval(verdict, 1.0))
    }
}

fn makespan_words(verdict: &Verdict) -> String {
    let mean = verdict.difference.summary.mean;
    if verdict.is_different() {
        let word = if mean < 0.0 { "shorter" } else { "longer" };
        format!("{} h {word} ({})", number(mean.abs() / 3600.0), interval(verdict, 3600.0))
    } else if verdict.is_nothing() {
        "as long in every run".to_owned()
    } else {
        format!("makespan differs by {} h: noise", interval(verdict, 3600.0))
    }
}

/// The first arm against another one.
fn pair(first: &Arm, other: &Arm, verdicts: &[Verdict], forecasters: bool) -> String {
    let about = |measure| find(verdicts, &first.name, &other.name, measure);
    let parts = [about(OVERLOAD).map(overload_words), about(MAKESPAN).map(makespan_words)];
    let mut parts: Vec<String> = parts.into_iter().flatten().collect();
    let else_where = MEASURES[2..].iter().filter_map(|m| about(m)).filter(|v| v.is_different());
    parts.extend(else_where.map(|v| {
        let word = if v.difference.summary.mean < 0.0 { "less" } else { "more" };
        let (label, scale) =
            unit(&v.difference.measure).map_or((v.difference.measure.as_str(), 1.0), |u| (u.label, u.scale));
        format!("{label}: {} {word}", number(v.difference.summary.mean.abs() / scale))
    }));
    let accuracy = match (forecast_error(first), forecast_error(other)) {
        (Some(own), Some(its)) if forecasters => {
            format!(" (forecasts off by {} points on average, against {})", number(own), number(its))
        }
        _ => String::new(),
    };
    format!("{} against {}{accuracy}: {}.", first.name, other.name, parts.join("; "))
}

/// Did better forecasts make a better rollout? Judged over the pairs whose forecasts and outcomes are both known. The oracle has a sentence
/// of its own: nobody can have its forecasts.
fn worth_of_accuracy(arms: &[Arm], verdicts: &[Verdict]) -> Option<String> {
    let said = worth_without_the_oracle(arms, verdicts)?;
    let has_oracle = arms.iter().any(|arm| arm.name == ORACLE);
    Some(if has_oracle { format!("{said} (The oracle is left out of this; what it gains stands next.)") } else { said })
}

fn worth_without_the_oracle(arms: &[Arm], verdicts: &[Verdict]) -> Option<String> {
    let main = |v: &&Verdict| [OVERLOAD, MAKESPAN].contains(&v.difference.measure.as_str());
    let of_models = |v: &&Verdict| v.difference.a != ORACLE && v.difference.b != ORACLE;
    let pairs: Vec<&Verdict> = verdicts.iter().filter(main).filter(of_models).collect();
    if pairs.is_empty() {
        return None;
    }
    let different: Vec<&&Verdict> = pairs.iter().filter(|v| v.is_different()).collect();
    if different.is_empty() {
        let errors: Vec<f64> = arms.iter().filter(|a| a.name != ORACLE).filter_map(forecast_error).collect();
        let low = errors.iter().copied().reduce(f64::min);
        let high = errors.iter().copied().reduce(f64::max);
        return Some(match (low, high) {
            (Some(low), Some(high)) if high > low => format!(
                "Forecasts were off by {} to {} points; accuracy bought nothing measurable in this world.",
                number(low),
                number(high)
            ),
            _ => "Which forecaster is used made no measurable difference to overload or makespan in this world."
                .to_owned(),
        });
    }
    let error_of = |name: &str| arms.iter().find(|a| a.name == name).and_then(forecast_error);
    let accurate_gained = |v: &Verdict| {
        let (own, its) = (error_of(&v.difference.a), error_of(&v.difference.b));
        own.zip(its).map(|(own, its)| (own < its) == (v.difference.summary.mean < 0.0))
    };
    let gained: Option<Vec<bool>> = different.iter().map(|v| accurate_gained(v)).collect();
    let said = match gained.map(|g| (g.contains(&true), g.contains(&false))) {
        Some((true, false)) => "Where arms differ, the more accurate forecasts made the better rollout.",
        Some((false, _)) => "Where arms differ, the more accurate forecasts made the worse rollout.",
        Some((true, true)) => "Where arms differ, the more accurate forecasts bought one thing and cost another.",
        None => {
            "These runs do not measure how far off their forecasts were, so whether accuracy made the difference is not known."
        }
    };
    Some(said.to_owned())
}

/// What the best arm still leaves to a perfect forecast.
fn what_perfect_would_buy(arms: &[Arm], verdicts: &[Verdict], ranking: &[String]) -> Option<String> {
    let best = ranking.iter().find(|name| *name != ORACLE)?;
    let oracle = arms.iter().find(|a| a.name == ORACLE)?;
    // The first arm may be the best one: then the pair stands the other way round.
    let words = |measure: &str, words: fn(&Verdict) -> String| {
        find(verdicts, ORACLE, best, measure)
            .cloned()
            .or_else(|| find(verdicts, best, ORACLE, measure).map(reversed))
            .map(|v| words(&v))
    };
    let parts: Vec<String> =
        [words(OVERLOAD, overload_words), words(MAKESPAN, makespan_words)].into_iter().flatten().collect();
    let caution = if finished(oracle) < oracle.runs.len() { " (not all of its rollouts finished)" } else { "" };
    Some(format!("A perfect forecast (oracle) against the best of the others, {best}: {}{caution}.", parts.join("; ")))
}

fn reversed(verdict: &Verdict) -> Verdict {
    let mut other = verdict.clone();
    let difference = &mut other.difference;
    std::mem::swap(&mut difference.a, &mut difference.b);
    difference.summary.mean = -difference.summary.mean;
    difference.summary.ci95 = difference.summary.ci95.map(|[low, high]| [-high, -low]);
    other
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::best::Best;
    use crate::compare::pairs::{pairs, verdicts};
    use slacktide_sim::RunResult;
    use slacktide_sim::compare::ranking;

    fn arm(name: &str, error: Option<f64>, overload: [f64; 4]) -> Arm {
        let run = |(seed, overload): (usize, f64)| {
            let mut measures = std::collections::BTreeMap::new();
            measures.insert(OVERLOAD.to_owned(), overload);
            measures.insert(MAKESPAN.to_owned(), 3600.0);
            measures.extend(error.map(|e| (FORECAST_ERROR.to_owned(), e)));
            RunResult {
                seed: seed as u64,
                journal: Vec::new(),
                journal_hash: String::new(),
                states: vec![RolloutState::Finished],
                state: RolloutState::Finished,
                measures,
                violations: Vec::new(),
                events: 0,
                device_ticks: 0,
                commands: 0,
                faults: std::collections::BTreeMap::new(),
            }
        };
        Arm { name: name.to_owned(), runs: overload.into_iter().enumerate().map(run).collect() }
    }

    fn said(arms: Vec<Arm>) -> String {
        let verdicts = verdicts(&arms, &MEASURES, true);
        findings(&arms, &verdicts, &ranking(&arms), true).join("\n")
    }

    #[test]
    fn accuracy_that_bought_nothing_is_said_to() {
        let arms = vec![
            arm("arima", Some(3.1), [10.0, 30.0, 20.0, 25.0]),
            arm("naive", Some(6.0), [30.0, 10.0, 25.0, 21.0]),
            arm("oracle", Some(0.0), [9.0, 31.0, 20.0, 24.0]),
        ];
        let said = said(arms);
        assert!(said.contains("arima against naive (forecasts off by 3.10 points on average, against 6)"), "{said}");
        assert!(said.contains("noise") && said.contains("accuracy bought nothing measurable"), "{said}");
        assert!(said.contains("The oracle is left out of this"), "{said}");
        assert!(said.contains("A perfect forecast (oracle) against the best of the others, arima"), "{said}");
    }

    #[test]
    fn a_difference_is_laid_to_accuracy_only_when_that_was_measured() {
        let low = [1.0, 2.0, 1.0, 2.0];
        let high = [50.0, 52.0, 51.0, 50.0];
        let known = said(vec![arm("arima", Some(3.0), low), arm("naive", Some(6.0), high)]);
        assert!(known.contains("device-minutes less overload") && known.contains("made the better rollout"), "{known}");
        let worse = said(vec![arm("arima", Some(3.0), high), arm("naive", Some(6.0), low)]);
        assert!(worse.contains("made the worse rollout") && !worse.contains("oracle"), "{worse}");
        assert!(said(vec![arm("arima", None, low), arm("naive", None, high)]).contains("is not known"));
    }

    /// Chance may tell arms apart in one sentence only where it does in all of them: pairs, and the statement on the best.
    #[test]
    fn no_sentence_excludes_what_another_calls_noise() {
        let mut contradicted = 0;
        for spread in 1..120 {
            let spread = f64::from(spread) / 10.0;
            let overload = |mean: f64, sign: f64| [0.0, 1.0, -1.0, 0.5].map(|v| mean + sign * spread * v);
            let arms = vec![
                arm("naive", Some(6.0), overload(30.0, 1.0)),
                arm("seasonal-mean", Some(5.0), overload(20.0, 0.0)),
                arm("arima", Some(3.0), overload(50.0, -0.5)),
                arm("lstm", Some(3.0), overload(50.0, 0.5)),
                arm("oracle", Some(0.0), overload(40.0, 0.2)),
            ];
            let verdicts = verdicts(&arms, &MEASURES, true);
            let best = Best::of(&arms, pairs(&arms, true).len()).unwrap();
            for verdict in verdicts.iter().filter(|v| v.difference.measure == OVERLOAD) {
                let [low, high] = verdict.difference.summary.ci95.unwrap();
                assert_eq!(verdict.is_different(), low > 0.0 || high < 0.0);
            }
            let naive = find(&verdicts, "naive", "seasonal-mean", OVERLOAD).unwrap();
            contradicted += usize::from(naive.is_different() == best.overload_subset().contains(&"naive".to_owned()));
        }
        assert_eq!(contradicted, 0);
    }
}
