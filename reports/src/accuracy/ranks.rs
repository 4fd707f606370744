//! The critical-difference diagram of Demšar 2006: mean ranks on an axis, and bars that join those within the critical difference.

use super::document::Metric;
use crate::html::Cell;
use crate::plot::{Canvas, Drawn, FIRST, Figure, Hold, INK, Marker, Scale, WIDTH, draw, nothing};

const SIDE: i32 = 210;
const AXIS: i32 = 64;
const BAR_GAP: i32 = 9;
const ROW: i32 = 19;

/// The longest runs of ranks, from one position to another, that lie within the critical difference; `ranks` ascend.
fn groups(ranks: &[f64], critical: f64) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (first, rank) in ranks.iter().enumerate() {
        let last = ranks.iter().rposition(|r| r - rank <= critical).unwrap_or(first);
        if last > first && found.last().is_none_or(|(_, before)| last > *before) {
            found.push((first, last));
        }
    }
    found
}

/// The diagram; the best rank stands on the left.
pub(super) fn diagram(name: &str, metric: &Metric, critical: f64) -> Figure {
    let title = format!("Mean ranks, {name}");
    let mut ranked: Vec<(&str, f64)> = metric.mean_ranks.iter().map(|(m, r)| (m.as_str(), *r)).collect();
    ranked.sort_by(|a, b| a.1.total_cmp(&b.1));
    if ranked.len() < 2 {
        return nothing(&title);
    }
    let ranks: Vec<f64> = ranked.iter().map(|(_, rank)| *rank).collect();
    let groups = groups(&ranks, critical);
    let x = Scale { low: 1.0, high: ranks.len() as f64, from: SIDE, to: WIDTH - SIDE };
    let rows = AXIS + 14 + BAR_GAP * groups.len() as i32 + 12;
    let height = rows + ROW * ranks.len().div_ceil(2) as i32;
    let description = format!(
        "axis of mean ranks, 1 is best, with a model on each mark; bars join models whose ranks differ by less than {critical:.2}"
    );
    let figure = draw(&title, &description, height, |area| {
        let canvas = Canvas(area);
        canvas.line(&[(x.from, AXIS), (x.to, AXIS)], INK, 1)?;
        for rank in 1..=ranks.len() {
            let at = x.at(rank as f64);
            canvas.line(&[(at, AXIS - 5), (at, AXIS)], INK, 1)?;
            canvas.text((at, AXIS - 14), Hold::Middle, &rank.to_string())?;
        }
        let shown = critical.min(x.high - x.low);
        let end = x.at(x.low + shown);
        canvas.line(&[(x.from, 26), (end, 26)], FIRST, 3)?;
        canvas.text((x.from, 12), Hold::Left, &format!("critical difference {critical:.2}; mean rank, 1 is best"))?;
        for (i, (first, last)) in groups.iter().enumerate() {
            let y = AXIS + 12 + BAR_GAP * i as i32;
            canvas.line(&[(x.at(ranks[*first]) - 4, y), (x.at(ranks[*last]) + 4, y)], FIRST, 5)?;
        }
        hang(&canvas, &ranked, &x, rows)
    });
    let row = |(model, rank): &(&str, f64)| vec![(*model).into(), Cell::number(format!("{rank:.2}"))];
    figure.with(["model", "mean rank (1 is best)"], ranked.iter().map(row).collect())
}

/// Hangs the better half to the left, the other to the right; the outermost highest, so that no line crosses another.
fn hang(canvas: &Canvas<'_, '_>, ranked: &[(&str, f64)], x: &Scale, rows: i32) -> Drawn {
    let left = ranked.len().div_ceil(2);
    for (i, (model, rank)) in ranked.iter().enumerate() {
        let (row, end, hold) =
            if i < left { (i, SIDE - 14, Hold::Right) } else { (ranked.len() - 1 - i, WIDTH - SIDE + 14, Hold::Left) };
        let (at, y) = (x.at(*rank), rows + ROW * row as i32);
        canvas.line(&[(at, AXIS), (at, y), (end, y)], INK, 1)?;
        canvas.marker((at, AXIS), Marker::Disc, INK)?;
        let beside = if i < left { end - 4 } else { end + 4 };
        canvas.text((beside, y), hold, &format!("{model} {rank:.2}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_the_longest_runs_within_the_difference() {
        // By hand: 1 and 2, 2 and 3.5, 3.5 and 4 lie within 1.5; 1 and 3.5, 2 and 4 do not.
        assert_eq!(groups(&[1.0, 2.0, 3.5, 4.0], 1.5), [(0, 1), (1, 2), (2, 3)]);
        // Demšar's example, 4 classifiers on 14 data sets: too few to tell any apart.
        assert_eq!(groups(&[1.964, 2.000, 2.893, 3.143], 1.25), [(0, 3)]);
        // A run within another is not said again, and who stands alone has no bar.
        assert_eq!(groups(&[1.0, 1.2, 1.4, 5.0], 0.5), [(0, 2)]);
        assert!(groups(&[1.0, 3.0], 1.5).is_empty());
    }
}
