//! What a comparison found, in sentences.

use slacktide_forecast::backtest::{Contestant, Finished, MetricScores, TestKind};

/// A difference is called one below this corrected probability.
const SIGNIFICANT: f64 = 0.05;

/// Who wins, and where the difference is noise.
pub(crate) fn sentences(metric: &str, scores: &MetricScores, finished: &Finished) -> Vec<String> {
    let name = |position: usize| finished.contestants[position].name();
    let mut order: Vec<usize> = (0..scores.scores.len()).filter(|p| scores.scores[*p].mase.is_finite()).collect();
    order.sort_by(|a, b| scores.scores[*a].mase.total_cmp(&scores.scores[*b].mase));
    let Some(best) = order.first().copied() else {
        return vec![format!("{metric}: no series ever changes; there is nothing to compare.")];
    };
    let (worse, equal): (Vec<usize>, Vec<usize>) =
        order[1..].iter().copied().partition(|other| p_of(scores, best, *other).is_some_and(|p| p < SIGNIFICANT));
    let list = |positions: &[usize]| positions.iter().map(|p| name(*p)).collect::<Vec<_>>().join(", ");
    let over = match scores.test_kind {
        TestKind::Origins => "origins",
        TestKind::Series => "series (too few origins to test over time)",
    };
    let mut out = vec![format!("{metric}: lowest MASE {} ({:.3}).", name(best), scores.scores[best].mase)];
    if scores.pairs.is_empty() {
        out.push("Too few forecasts to tell any difference from chance.".to_owned());
    } else {
        if !equal.is_empty() {
            out.push(format!("Within chance of it (Diebold–Mariano over {over}, Holm-corrected): {}.", list(&equal)));
        }
        if !worse.is_empty() {
            out.push(format!("Worse by more than chance: {}.", list(&worse)));
        }
    }
    out.extend(of_the_selection(scores, finished, &order));
    out.extend(of_the_trivial(scores, finished, &order));
    out
}

/// The probability that two are equally good, corrected; `None` when they were not tested.
fn p_of(scores: &MetricScores, one: usize, other: usize) -> Option<f64> {
    let pair = scores.pairs.iter().find(|p| (p.a, p.b) == (one.min(other), one.max(other)));
    pair.map(|p| p.p_corrected)
}

/// The selection against the best of the models in hindsight.
fn of_the_selection(scores: &MetricScores, finished: &Finished, order: &[usize]) -> Option<String> {
    let selected = finished.position(Contestant::Selected).filter(|s| scores.scores[*s].mase.is_finite())?;
    let single = order.iter().copied().find(|p| *p != selected)?;
    let share = (scores.scores[selected].mase / scores.scores[single].mase - 1.0) * 100.0;
    let how = match share {
        share if share.abs() < 0.05 => "as good as".to_owned(),
        share if share < 0.0 => format!("{:.1} % better than", share.abs()),
        share => format!("{share:.1} % worse than"),
    };
    let chance = match p_of(scores, selected, single) {
        Some(p) if p < SIGNIFICANT => ", by more than chance",
        Some(_) => ", within chance",
        None => "",
    };
    Some(format!(
        "selected is {how} the best of the models in hindsight, {}{chance}.",
        finished.contestants[single].name()
    ))
}

/// Which dear models lose to the best trivial one.
fn of_the_trivial(scores: &MetricScores, finished: &Finished, order: &[usize]) -> Option<String> {
    let is_dear = |p: usize| match finished.contestants[p] {
        Contestant::Model(kind) => Some(kind.is_dear()),
        Contestant::Selected => None,
    };
    let trivial = order.iter().copied().find(|p| is_dear(*p) == Some(false))?;
    let behind = order.iter().copied().filter(|p| scores.scores[*p].mase > scores.scores[trivial].mase);
    let (surely, perhaps): (Vec<usize>, Vec<usize>) = behind
        .filter(|p| is_dear(*p) == Some(true))
        .partition(|p| p_of(scores, trivial, *p).is_some_and(|p| p < SIGNIFICANT));
    let list =
        |positions: &[usize]| positions.iter().map(|p| finished.contestants[*p].name()).collect::<Vec<_>>().join(", ");
    let said = match (surely.is_empty(), perhaps.is_empty()) {
        (true, true) => return None,
        (false, true) => format!("beats {} by more than chance", list(&surely)),
        (true, false) => format!("is ahead of {}, within chance", list(&perhaps)),
        (false, false) => {
            format!("beats {} by more than chance, and is ahead of {} within chance", list(&surely), list(&perhaps))
        }
    };
    Some(format!("The trivial {} {said}.", finished.contestants[trivial].name()))
}
