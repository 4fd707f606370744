//! A calibration in plain text.

use super::Done;
use slacktide_reports::text;
use slacktide_sim::goodness::{Judged, Verdict};
use std::path::Path;

pub(crate) fn plain(done: &Done, out: Option<&Path>) {
    done.remarks.iter().for_each(|remark| crate::say!("  {remark}"));
    for goodness in &done.goodness {
        crate::say!("\n{}: recorded and generated\n{}", goodness.metric, rows(&goodness.judged));
        crate::say!("{}", count(&goodness.judged));
    }
    if let Some(held) = &done.held_out {
        let header = ["statistic", "generator of the first half", "", "first half itself", ""];
        let row = |(fitted, half): (&Judged, &Judged)| {
            let cells = |j: &Judged| [text::number(j.distance), j.verdict.name().to_owned()];
            let ([a, b], [c, d]) = (cells(fitted), cells(half));
            vec![fitted.name.to_owned(), a, b, c, d]
        };
        let rows: Vec<Vec<String>> = held.fitted.iter().zip(&held.halves).map(row).collect();
        crate::say!(
            "\nHeld out: distances to the second half ({} days), which neither has seen\n{}",
            held.days,
            text::table(&header, &rows)
        );
        crate::say!("Generator: {}\nFirst half: {}", count(&held.fitted), count(&held.halves));
    }
    if let Some(out) = out {
        let scenario = out.join("scenario.toml");
        crate::say!("\nThe page: {}", out.join("report.html").display());
        crate::say!("Run it: slacktide simulate {}", scenario.display());
    }
}

fn rows(judged: &[Judged]) -> String {
    let row = |j: &Judged| {
        vec![
            j.name.to_owned(),
            text::number(j.recorded),
            text::number(j.fitted),
            text::number(j.distance),
            format!("{} / {}", text::number(j.good), text::number(j.fair)),
            j.verdict.name().to_owned(),
        ]
    };
    let header = ["statistic", "recorded", "generated", "distance", "good / fair up to", "verdict"];
    text::table(&header, &judged.iter().map(row).collect::<Vec<_>>())
}

fn count(judged: &[Judged]) -> String {
    let of = |verdict: Verdict| judged.iter().filter(|j| j.verdict == verdict).count();
    format!(
        "{} good, {} fair, {} poor, {} not measured",
        of(Verdict::Good),
        of(Verdict::Fair),
        of(Verdict::Poor),
        of(Verdict::NotMeasured)
    )
}
