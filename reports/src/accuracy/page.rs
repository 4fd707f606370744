//! The page itself: what was compared, what was found, and the evidence metric by metric.

use super::document::{Document, Example, Metric, Model, SIGNIFICANT, Test};
use super::{charts, ranks};
use crate::html::{Cell, Page};
use crate::text::{counted, number};
use slacktide_engine::document::format_span;
use slacktide_engine::time::{Instant, Span};

const GLOSSARY: [(&str, &str); 10] = [
    (
        "MASE",
        "Mean absolute scaled error: the error divided by the mean change of the history from one season to the next. Under 1 is better than that; it compares series of any size. Lower is better.",
    ),
    (
        "MAE, RMSE",
        "Mean absolute and root mean squared error in the unit of the series; the second punishes large errors more.",
    ),
    ("sMAPE", "Symmetric mean absolute percentage error, 0 to 200. It exaggerates where loads are near 0."),
    (
        "Pinball loss",
        "Error of the quantiles 2.5, 10, 50, 90 and 97.5 %: intervals count, not points alone. Lower is better.",
    ),
    (
        "WIS",
        "Weighted interval score of those quantiles, scaled like the MASE: wide intervals cost, and so do values outside of them. Lower is better.",
    ),
    (
        "Coverage",
        "Share of values that came to lie within the interval. 80 % should be near 80: less is overconfident, more is needlessly wide.",
    ),
    (
        "selected",
        "No model of its own: for each series, the one whose past errors were the lowest at that moment. What slacktide uses.",
    ),
    (
        "Trivial",
        "Costs next to nothing: repeats or averages what was. A model that does not beat it is not worth its time here.",
    ),
    (
        "Diebold–Mariano, Holm",
        "Tests whether the difference of two models' errors is more than chance; the probability is corrected for the number of pairs. Noise means that chance explains it, not that the two are equal.",
    ),
    (
        "Critical difference",
        "Mean ranks over the series that lie closer than this may be equal (Nemenyi test at 5 %). With few series it is wide.",
    ),
];

/// The page.
pub fn html(document: &Document) -> String {
    let span = |steps: usize| format_span(Span::from_secs(document.step_s.max(0) as u64 * steps as u64));
    let under = format!("{} series, steps of {}, {} ahead", document.series, span(1), span(document.horizon));
    let mut page = Page::new("Which model forecasts this load best?", &under);
    page.section("What was compared");
    let seasons: Vec<String> = document.seasons.iter().map(|s| span(*s)).collect();
    let or = |text: String, empty: &str| if text.is_empty() { empty.to_owned() } else { text };
    let facts = [
        ("data", document.data.join(", ")),
        ("series", document.series.to_string()),
        ("step", span(1)),
        ("horizon", span(document.horizon)),
        ("season", or(seasons.join(" and "), "none")),
        ("context: history a model is fitted to", document.context.map_or_else(|| "all".to_owned(), span)),
        ("origins: moments at which forecasts are made", origins(document, &span(document.stride))),
        ("seed", document.seed.to_string()),
        ("the selection changed its mind", counted(document.champion_changes as usize, "time", "times")),
    ];
    page.facts(&facts);
    page.remarks(&document.remarks);
    page.section("What was found");
    for (name, sentences) in &document.findings {
        page.part(name);
        page.sentences(sentences);
    }
    for (name, metric) in &document.by_metric {
        one_metric(&mut page, name, metric, document);
    }
    page.section("How to read it");
    page.glossary(&GLOSSARY);
    page.finish()
}

fn origins(document: &Document, stride: &str) -> String {
    let forecasts = document.by_metric.values().flat_map(|m| &m.models);
    let most = forecasts.map(|m| m.forecasts.div_ceil(m.series.max(1))).max().unwrap_or(0);
    format!("{most} a series, every {stride}")
}

fn one_metric(page: &mut Page, name: &str, metric: &Metric, document: &Document) {
    page.section(name);
    scores(page, metric);
    page.figure(
        &charts::errors(name, metric),
        "Squares are trivial models, discs the others. Lower is better; left of the thick line is better than a season ago.",
    );
    page.part("By lead time");
    page.figure(&charts::by_lead(name, metric, document), "How the error grows with the distance.");
    if let Some(plot) = charts::by_phase(name, metric, document) {
        page.part("By phase of the season");
        page.figure(&plot, "When the load is hard to foresee.");
    }
    classes(page, metric);
    page.part("Intervals: promised and kept");
    page.figure(&charts::coverage(name, metric), "Left of its line an interval was too narrow, right of it too wide.");
    page.part("Mean ranks over series");
    match metric.critical_difference {
        Some(critical) => page.figure(
            &ranks::diagram(name, metric, critical),
            "The best rank is on the left. A bar joins models that this many series cannot tell apart (Demšar 2006).",
        ),
        None => page.note("Ranks need at least two series and at most twenty models."),
    }
    matrix(page, name, metric, &document.tests);
    chosen(page, metric);
    let examples = document.examples.get(name).map_or(&[][..], Vec::as_slice);
    if !examples.is_empty() {
        page.part("Forecasts to look at");
        page.note(
            "The last origin of a series each. Inner and outer bands: the 80 and 95 % intervals of the selection.",
        );
    }
    examples.iter().for_each(|example| look(page, name, example, document));
}

type Column = (&'static str, fn(&Model) -> Option<f64>, usize);

/// Columns of scores of which the lowest is the best, and their decimals.
const LOWEST: [Column; 6] = [
    ("MASE", |m| m.mase, 3),
    ("sMAPE, %", |m| m.smape, 1),
    ("MAE", |m| m.mae, 3),
    ("RMSE", |m| m.rmse, 3),
    ("pinball", |m| m.pinball, 3),
    ("WIS", |m| m.wis_scaled, 3),
];

fn scores(page: &mut Page, metric: &Metric) {
    let models = metric.sorted();
    let best = LOWEST.map(|(_, pick, _)| models.iter().filter_map(|m| pick(m)).reduce(f64::min));
    let row = |(i, model): (usize, &&Model)| {
        let trivial = if model.trivial { " (trivial)" } else { "" };
        let first = if i == 0 && model.mase.is_some() { " ★" } else { "" };
        let mut row: Vec<Cell> = vec![format!("{}{trivial}{first}", model.name).into()];
        for ((_, pick, decimals), best) in LOWEST.iter().zip(best) {
            let text = pick(model).map_or_else(|| "–".to_owned(), |v| format!("{v:.decimals$}"));
            row.push(if best.is_some() && pick(model) == best { Cell::best(text) } else { Cell::number(text) });
        }
        let percent = |share: Option<f64>| share.map_or_else(|| "–".to_owned(), |v| format!("{:.1}", v * 100.0));
        let ms = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), number);
        let rest = [
            percent(model.coverage80),
            percent(model.coverage95),
            model.fell_back.to_string(),
            ms(model.ms_per_fit),
            ms(model.ms_per_forecast),
            model.training_ms.map_or_else(|| "–".to_owned(), |v| format!("{} s", number(v / 1000.0))),
        ];
        row.extend(rest.map(Cell::number));
        row
    };
    let rest = [
        "in the 80 % interval, %",
        "in the 95 % interval, %",
        "could not be fitted",
        "a fit, ms",
        "a forecast, ms",
        "training",
    ];
    let header: Vec<&str> = ["model"].into_iter().chain(LOWEST.map(|(name, _, _)| name)).chain(rest).collect();
    page.small_table(&header, &models.iter().enumerate().map(row).collect::<Vec<_>>());
    page.note("★ lowest MASE; the best of each column is bold. MAE, RMSE and pinball loss have the unit of the data, MASE and WIS none. Times are of the machine that compared.");
}

fn classes(page: &mut Page, metric: &Metric) {
    if metric.mase_by_class.is_empty() {
        return;
    }
    page.part("MASE by class of series");
    let header: Vec<&str> = ["model"].into_iter().chain(metric.mase_by_class.keys().map(String::as_str)).collect();
    let row = |model: &&Model| {
        let mut row: Vec<Cell> = vec![model.name.as_str().into()];
        for part in metric.mase_by_class.values() {
            let best = part.values().copied().flatten().reduce(f64::min);
            let own = part.get(&model.name).copied().flatten();
            let text = own.map_or_else(|| "–".to_owned(), |v| format!("{v:.3}"));
            row.push(if own.is_some() && own == best { Cell::best(text) } else { Cell::number(text) });
        }
        row
    };
    page.table(&header, &metric.sorted().iter().map(row).collect::<Vec<_>>());
    page.note("Classes by how much of its movement the season explains.");
}

fn matrix(page: &mut Page, name: &str, metric: &Metric, tests: &[Test]) {
    let tests: Vec<&Test> = tests.iter().filter(|t| t.metric == name).collect();
    page.part("Pairs: is the difference more than chance?");
    let Some(any) = tests.first() else {
        page.note("Too few forecasts to tell any difference from chance.");
        return;
    };
    let models = metric.sorted();
    let cell = |a: &Model, b: &Model| -> Cell {
        let found = tests.iter().find(|t| (t.a == a.name && t.b == b.name) || (t.a == b.name && t.b == a.name));
        match found {
            _ if a.name == b.name => Cell::quiet("·"),
            None => Cell::quiet("same"),
            Some(test) if test.p_corrected >= SIGNIFICANT => Cell::quiet("noise"),
            Some(test) => {
                let is_better = (test.statistic < 0.0) == (test.a == a.name);
                let p = if test.p_corrected < 0.001 {
                    "<.001".to_owned()
                } else {
                    format!("{:.3}", test.p_corrected).trim_start_matches('0').to_owned()
                };
                format!("{} {p}", if is_better { "▲" } else { "▼" }).into()
            }
        }
    };
    let row = |a: &&Model| {
        let cells = models.iter().map(|b| cell(a, b));
        [Cell::from(a.name.as_str())].into_iter().chain(cells).collect::<Vec<_>>()
    };
    let header: Vec<&str> = [""].into_iter().chain(models.iter().map(|m| m.name.as_str())).collect();
    page.small_table(&header, &models.iter().map(row).collect::<Vec<_>>());
    page.note(&format!(
        "The row against the column: ▲ its errors are lower, ▼ higher, with the corrected probability. Diebold–Mariano over {} {}, Holm-corrected for {} pairs.",
        any.count,
        any.over,
        tests.len()
    ));
}

fn chosen(page: &mut Page, metric: &Metric) {
    let mut chosen: Vec<(&String, &u64)> = metric.chosen.iter().collect();
    chosen.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    if chosen.is_empty() {
        return;
    }
    page.part("Whom the selection chose");
    let rows: Vec<_> = chosen.iter().map(|(m, n)| vec![m.as_str().into(), Cell::number(n.to_string())]).collect();
    page.table(&["model", "forecasts"], &rows);
}

fn look(page: &mut Page, name: &str, example: &Example, document: &Document) {
    let by = example.chosen.as_ref().map_or_else(String::new, |m| format!(", which used {m} here"));
    let caption = format!(
        "{}: {}, MASE {} of the selection{by}; made for {} and after.",
        example.device,
        example.why,
        number(example.mase),
        Instant::from_millis(example.origin_s * 1000)
    );
    page.figure(&charts::example(name, example, document), &caption);
}
