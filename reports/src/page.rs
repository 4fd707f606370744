//! The page of a rollout: words first, then pictures, then tables.

use crate::html::{Cell, Page};
use crate::tables::Tables;
use crate::{chart, text};

/// The page.
pub fn html(tables: &Tables) -> String {
    let (world, policy) =
        tables.header.as_ref().map_or(("rollout", ""), |h| (h.world_name.as_str(), h.policy_name.as_str()));
    let mut page = Page::new(world, &format!("policy {policy}"));
    page.section("What happened");
    page.sentences(&text::sentences(tables));
    for (title, note, svg) in [
        ("Fleet load", "Bands are batches.", chart::fleet_load(tables)),
        ("Tightest pool", "Demand over the members in service. Bands are batches.", chart::tightest_pool(tables)),
        ("Capacity against its floor", "Of the devices updated so far.", chart::capacity(tables)),
        ("Devices by state", "", chart::states(tables)),
    ] {
        page.section(title);
        page.figure(&svg, note);
    }
    decisions(&mut page, tables);
    plans(&mut page, tables);
    forecasts(&mut page, tables);
    page.section("Measures");
    let row = |(name, value): (&String, &f64)| vec![name.as_str().into(), Cell::number(text::number(*value))];
    page.table(&["measure", "value"], &tables.measures.iter().map(row).collect::<Vec<_>>());
    if let Some(header) = &tables.header {
        page.section("What ran");
        let facts = [
            ("program", header.program.clone()),
            ("seed", header.seed.to_string()),
            ("metrics", header.metrics.join(", ")),
        ];
        page.table(&["", ""], &facts.map(|(name, value)| vec![name.into(), value.into()]));
        page.folded_text("The policy, whole", &header.policy);
    }
    page.finish()
}

fn decisions(page: &mut Page, tables: &Tables) {
    let mut rows: Vec<(i64, Vec<Cell>)> = Vec::new();
    let mut add = |at: slacktide_engine::time::Instant, what: String, why: String| {
        rows.push((at.as_millis(), vec![at.to_string().into(), what.into(), why.into()]))
    };
    for t in &tables.transitions {
        let cause = t.cause.map(|c| format!(" ({c})")).unwrap_or_default();
        add(t.at, format!("{}{} → {}{cause}", tables.label(t.rollout), t.from, t.to), t.detail.clone());
    }
    for (at, rollout, wave, devices) in &tables.waves {
        add(*at, format!("{}wave {} opened", tables.label(*rollout), wave + 1), format!("{devices} devices"));
    }
    for (at, verdict) in &tables.verdicts {
        add(*at, format!("{}verdict on {}", tables.label(verdict.rollout), verdict.cause), verdict.evidence.clone());
    }
    for row in &tables.rollbacks {
        let mut words =
            format!("{} devices told to go back, {} called off before they began", row.devices, row.canceled);
        for held in &row.held {
            words.push_str(&format!(", {} held ({})", held.devices, held.reason.name()));
        }
        add(row.at, format!("{}rollback ordered", tables.label(row.rollout)), words);
    }
    rows.sort_by_key(|(at, _)| *at);
    page.section("Decisions");
    page.table(&["time", "what", "evidence"], &rows.into_iter().map(|(_, row)| row).collect::<Vec<_>>());
    let rows: Vec<Vec<Cell>> = tables
        .batches
        .iter()
        .map(|b| {
            vec![
                Cell::number(b.batch.to_string()),
                b.at.to_string().into(),
                Cell::number((b.wave + 1).to_string()),
                Cell::number(b.devices.to_string()),
                b.until.to_string().into(),
            ]
        })
        .collect();
    let summary = format!("All {} batches", rows.len());
    page.folded_table(&summary, &["batch", "start", "wave", "devices", "expected end"], &rows);
}

fn plans(page: &mut Page, tables: &Tables) {
    let rows: Vec<Vec<Cell>> = tables
        .plans
        .iter()
        .map(|(at, plan)| {
            let waiting: Vec<String> = plan.waiting.iter().map(|(why, n)| format!("{n} {why}")).collect();
            let devices: u32 = plan.batches.iter().map(|b| b.devices).sum();
            vec![
                Cell::number(plan.number.to_string()),
                at.to_string().into(),
                plan.reason.as_str().into(),
                format!("{devices} in {} batches", plan.batches.len()).into(),
                format!("{} (at best {})", plan.makespan, plan.lower_bound).into(),
                waiting.join(", ").into(),
            ]
        })
        .collect();
    page.section("Plans");
    let summary = format!("All {} plans, and why devices waited", rows.len());
    page.folded_table(&summary, &["plan", "made", "because", "placed", "length", "waiting"], &rows);
}

fn forecasts(page: &mut Page, tables: &Tables) {
    let Some((_, last)) = tables.forecasts.last() else { return };
    page.section("Forecasts");
    let mut sums = std::collections::BTreeMap::<&str, (f64, u32)>::new();
    for (name, mae) in tables.forecasts.iter().flat_map(|(_, f)| &f.mae_points) {
        let sum = sums.entry(name).or_default();
        *sum = (sum.0 + mae, sum.1 + 1);
    }
    let rows: Vec<Vec<Cell>> = sums
        .iter()
        .map(|(name, (sum, n))| {
            let now = last.champions.get(*name).copied().unwrap_or(0);
            vec![(*name).into(), Cell::number(text::number(sum / f64::from(*n))), Cell::number(now.to_string())]
        })
        .collect();
    page.table(&["model", "mean absolute error, points", "series it forecasts at the end"], &rows);
    let coverage = |pick: fn(&slacktide_engine::journal::entry::ForecastEntry) -> Option<f64>| {
        let known: Vec<f64> = tables.forecasts.iter().filter_map(|(_, f)| pick(f)).collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    };
    for (what, value) in [
        ("window peaks stayed at or under the load score", coverage(|f| f.peak_coverage_percent)),
        ("windows of pool demand stayed at or under their bound", coverage(|f| f.demand_coverage_percent)),
    ] {
        if let Some(value) = value {
            page.say(&format!("{} % of past {what}.", text::number(value)));
        }
    }
}
