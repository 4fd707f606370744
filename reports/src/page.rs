//! One self-contained HTML page of a rollout: words first, then pictures, then tables. Light and dark, prints, reads without colour.

use crate::tables::Tables;
use crate::{chart, text};
use std::fmt::Write as _;

const STYLE: &str = "
:root{color-scheme:light dark;--bg:#fff;--ink:#1b2733;--soft:#5a6b7b;--line:#dbe2e8;--first:#0b62a4;--second:#b35a00;--third:#2f7d4f;--alarm:#c0261c;--band:#e8eef4}
@media (prefers-color-scheme:dark){:root{--bg:#12181e;--ink:#e3eaf0;
--soft:#9fb0bf;--line:#2c3843;--first:#6fb6f2;--second:#f0a04b;--third:#6ccf93;--alarm:#ff7b70;--band:#1e2a35}}
body{background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin:0 0 .25rem}h2{font-size:1.15rem;margin:2rem 0 .5rem}p{margin:.3rem 0}.soft{color:var(--soft)}
table{border-collapse:collapse;font-size:.9rem;width:100%}th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.wide{overflow-x:auto}figure{margin:0}svg{width:100%;height:auto}
.bad{color:var(--alarm);font-weight:600}
svg [fill='#FFFFFF']{fill:var(--bg)}
svg [fill='#010101']{fill:var(--ink)}svg [stroke='#010101']{stroke:var(--ink)}
svg [fill='#020202']{fill:var(--line)}svg [stroke='#020202']{stroke:var(--line)}
svg [fill='#030303']{fill:var(--first)}svg [stroke='#030303']{stroke:var(--first)}
svg [fill='#040404']{fill:var(--second)}svg [stroke='#040404']{stroke:var(--second)}
svg [fill='#050505']{fill:var(--alarm)}svg [stroke='#050505']{stroke:var(--alarm)}
svg [fill='#060606']{fill:var(--band)}svg [stroke='#060606']{stroke:var(--band)}
svg [fill='#070707']{fill:var(--third)}svg [stroke='#070707']{stroke:var(--third)}
@media print{body{margin:0;max-width:none}h2{break-after:avoid}figure,table{break-inside:avoid}}
";

/// Text made safe for HTML.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

fn html_table(page: &mut String, header: &[&str], rows: &[Vec<String>]) {
    page.push_str("<div class=wide><table><thead><tr>");
    header.iter().for_each(|h| page.push_str(&format!("<th scope=col>{}</th>", escape(h))));
    page.push_str("</tr></thead><tbody>");
    for row in rows {
        page.push_str("<tr>");
        row.iter().for_each(|cell| page.push_str(&format!("<td>{}</td>", escape(cell))));
        page.push_str("</tr>");
    }
    page.push_str("</tbody></table></div>");
}

/// The page.
pub fn html(tables: &Tables) -> String {
    let (world, policy) =
        tables.header.as_ref().map_or(("rollout", ""), |h| (h.world_name.as_str(), h.policy_name.as_str()));
    let mut page = format!(
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width,initial-scale=1\">\
         <title>{} · slacktide</title><style>{STYLE}</style></head><body><main><h1>{}</h1><p class=soft>policy {}</p><h2>What happened</h2>",
        escape(world),
        escape(world),
        escape(policy)
    );
    for sentence in text::sentences(tables) {
        let class = if sentence.starts_with("PROMISE") { " class=bad" } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(page, "<p{class}>{}</p>", escape(&sentence));
    }
    for (title, note, svg) in [
        ("Fleet load", "Bands are batches.", chart::fleet_load(tables)),
        ("Tightest pool", "Demand over the members in service. Bands are batches.", chart::tightest_pool(tables)),
        ("Capacity against its floor", "Of the devices updated so far.", chart::capacity(tables)),
        ("Devices by state", "", chart::states(tables)),
    ] {
        let _ = write!(page, "<h2>{title}</h2><figure>{svg}<figcaption class=soft>{note}</figcaption></figure>");
    }
    decisions(&mut page, tables);
    plans(&mut page, tables);
    forecasts(&mut page, tables);
    page.push_str("<h2>Measures</h2>");
    let rows: Vec<Vec<String>> =
        tables.measures.iter().map(|(name, value)| vec![name.clone(), text::number(*value)]).collect();
    html_table(&mut page, &["measure", "value"], &rows);
    if let Some(header) = &tables.header {
        page.push_str("<h2>What ran</h2>");
        let facts = [
            ("program", header.program.clone()),
            ("seed", header.seed.to_string()),
            ("metrics", header.metrics.join(", ")),
        ];
        html_table(&mut page, &["", ""], &facts.map(|(name, value)| vec![name.to_owned(), value]));
        let _ = write!(
            page,
            "<details><summary>The policy, whole</summary><pre>{}</pre></details>",
            escape(&header.policy)
        );
    }
    page.push_str("</main></body></html>\n");
    page
}

fn decisions(page: &mut String, tables: &Tables) {
    let mut rows: Vec<(i64, Vec<String>)> = Vec::new();
    let mut add = |at: slacktide_engine::time::Instant, what: String, why: String| {
        rows.push((at.as_millis(), vec![at.to_string(), what, why]))
    };
    for t in &tables.transitions {
        let cause = t.cause.map(|c| format!(" ({c})")).unwrap_or_default();
        add(t.at, format!("{} → {}{cause}", t.from, t.to), t.detail.clone());
    }
    for (at, wave, devices) in &tables.waves {
        add(*at, format!("wave {} opened", wave + 1), format!("{devices} devices"));
    }
    for (at, verdict) in &tables.verdicts {
        add(*at, format!("verdict on {}", verdict.cause), verdict.evidence.clone());
    }
    for (at, devices, canceled) in &tables.rollbacks {
        add(
            *at,
            "rollback ordered".to_owned(),
            format!("{devices} devices told to go back, {canceled} called off before they began"),
        );
    }
    rows.sort_by_key(|(at, _)| *at);
    page.push_str("<h2>Decisions</h2>");
    html_table(page, &["time", "what", "evidence"], &rows.into_iter().map(|(_, row)| row).collect::<Vec<_>>());
    let rows: Vec<Vec<String>> = tables
        .batches
        .iter()
        .map(|b| {
            vec![
                b.batch.to_string(),
                b.at.to_string(),
                (b.wave + 1).to_string(),
                b.devices.to_string(),
                b.until.to_string(),
            ]
        })
        .collect();
    let _ = write!(page, "<details><summary>All {} batches</summary>", rows.len());
    html_table(page, &["batch", "start", "wave", "devices", "expected end"], &rows);
    page.push_str("</details>");
}

fn plans(page: &mut String, tables: &Tables) {
    let rows: Vec<Vec<String>> = tables
        .plans
        .iter()
        .map(|(at, plan)| {
            let waiting: Vec<String> = plan.waiting.iter().map(|(why, n)| format!("{n} {why}")).collect();
            let devices: u32 = plan.batches.iter().map(|b| b.devices).sum();
            vec![
                plan.number.to_string(),
                at.to_string(),
                plan.reason.clone(),
                format!("{devices} in {} batches", plan.batches.len()),
                format!("{} (at best {})", plan.makespan, plan.lower_bound),
                waiting.join(", "),
            ]
        })
        .collect();
    let _ = write!(page, "<h2>Plans</h2><details><summary>All {} plans, and why devices waited</summary>", rows.len());
    html_table(page, &["plan", "made", "because", "placed", "length", "waiting"], &rows);
    page.push_str("</details>");
}

fn forecasts(page: &mut String, tables: &Tables) {
    let Some((_, last)) = tables.forecasts.last() else { return };
    page.push_str("<h2>Forecasts</h2>");
    let mut sums = std::collections::BTreeMap::<&str, (f64, u32)>::new();
    for (name, mae) in tables.forecasts.iter().flat_map(|(_, f)| &f.mae_points) {
        let sum = sums.entry(name).or_default();
        *sum = (sum.0 + mae, sum.1 + 1);
    }
    let rows: Vec<Vec<String>> = sums
        .iter()
        .map(|(name, (sum, n))| {
            let now = last.champions.get(*name).copied().unwrap_or(0);
            vec![(*name).to_owned(), text::number(sum / f64::from(*n)), now.to_string()]
        })
        .collect();
    html_table(page, &["model", "mean absolute error, points", "series it forecasts at the end"], &rows);
    let coverage = |pick: fn(&slacktide_engine::journal::entry::ForecastEntry) -> Option<f64>| {
        let known: Vec<f64> = tables.forecasts.iter().filter_map(|(_, f)| pick(f)).collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    };
    for (what, value) in [
        ("window peaks stayed at or under the load score", coverage(|f| f.peak_coverage_percent)),
        ("windows of pool demand stayed at or under their bound", coverage(|f| f.demand_coverage_percent)),
    ] {
        if let Some(value) = value {
            let _ = write!(page, "<p>{} % of past {what}.</p>", text::number(value));
        }
    }
}
