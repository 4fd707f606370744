//! The page of a rollout: words first, then pictures, then tables. All of it is from the journal; a live one has the same sections.

mod by_group;
mod decisions;
mod gantt;
mod heat;
mod lines;
mod measures;
mod runs;
mod skill;

use crate::groups::{Group, Kind, groups};
use crate::html::{Cell, Page};
use crate::tables::Tables;
use crate::text;
use runs::Runs;
use slacktide_engine::policy::Policy;

/// Plans in the table; more are counted.
const PLANS_MAX: usize = 300;

/// The page.
pub fn html(tables: &Tables) -> String {
    html_of_runs(tables, "")
}

/// The page of the first of several runs; `measures` are those of all, as `measures.csv` has them.
pub fn html_of_runs(tables: &Tables, measures: &str) -> String {
    let runs = Runs::read(measures);
    let (world, policy) =
        tables.header.as_ref().map_or(("rollout", ""), |h| (h.world_name.as_str(), h.policy_name.as_str()));
    let kind = if tables.is_live() { "a real fleet" } else { "a simulated fleet" };
    let which = if runs.are_several() { format!(", {}", runs.told()) } else { String::new() };
    let mut page = Page::new(world, &format!("policy {policy}, {kind}{which}"));
    page.section("What happened");
    page.sentences(&text::sentences(tables));
    if runs.are_several() {
        runs::section(&mut page, &runs);
    }
    let pools = groups(tables, Kind::Pools);
    pictures(&mut page, tables, &pools);
    by_group::sections(&mut page, tables, pools);
    decisions::section(&mut page, tables);
    plans(&mut page, tables);
    skill::section(&mut page, tables);
    measures::section(&mut page, tables);
    what_ran(&mut page, tables);
    page.section("How to read it");
    page.glossary(&GLOSSARY);
    page.finish()
}

const GLOSSARY: [(&str, &str); 6] = [
    (
        "Demand of a pool",
        "What its members in service carry together, as percent of what they can. Load of a member that is out moves to the others.",
    ),
    ("Capacity left", "100 less the load, weighted by the size of the devices."),
    (
        "Floor",
        "The capacity that the updated devices must keep together, where the policy sets one (monitor.capacity_floor).",
    ),
    (
        "Lowest and highest ahead",
        "The worst value expected over the lookahead of the policy (monitor.lookahead): what the watch acts upon.",
    ),
    ("Under way", "Told to go and not ended: downloading, installing, restarting or going back."),
    ("Points", "Percentage points of load."),
];

fn pictures(page: &mut Page, tables: &Tables, pools: &[Group]) {
    let policy = tables.header.as_ref().and_then(|h| Policy::from_toml("journal header", &h.policy).ok());
    page.section("The fleet over time");
    by_group::fleet_map(page, tables, pools);
    page.section("Capacity");
    page.figure(
        &lines::capacity(tables),
        "The band reaches from the forecast to its lower bound, made before for each moment. The upright line is the beginning of the rollout.",
    );
    let critical = policy.map(|policy| policy.monitor.critical_load_percent);
    page.figure(&lines::tightest(tables, critical), "Whichever pool that is at the moment.");
    page.section("Batches");
    page.figure(
        &gantt::chart(tables),
        "Solid: devices that were updated. Striped, with a cross after the bar: those that were not. Hollow: not ended. The upright mark is the end that was expected. Batches that do not fit one by one share a bar.",
    );
    if gantt::left_out(tables) > 0 {
        let left_out = text::counted(gantt::left_out(tables), "later batch is", "later batches are");
        page.note(&format!("{left_out} not in the table."));
    }
    page.figure(
        &lines::states(tables),
        "Counted at every tick, when telemetry was taken in: what ended after the last of them is in the words above and in the measures.",
    );
}

fn plans(page: &mut Page, tables: &Tables) {
    let row = |(at, plan): &(slacktide_engine::time::Instant, slacktide_engine::journal::entry::PlanEntry)| {
        let waiting: Vec<String> =
            plan.waiting.iter().map(|(why, n)| format!("{} {why}", text::whole(*n as usize))).collect();
        let devices: u32 = plan.batches.iter().map(|b| b.devices).sum();
        vec![
            Cell::number(plan.number.to_string()),
            Cell::time(*at),
            plan.reason.as_str().into(),
            format!("{} in {}", text::whole(devices as usize), text::counted(plan.batches.len(), "batch", "batches"))
                .into(),
            format!("{} (at best {})", plan.makespan, plan.lower_bound).into(),
            waiting.join(", ").into(),
        ]
    };
    page.section("Plans");
    let rows: Vec<Vec<Cell>> = tables.plans.iter().take(PLANS_MAX).map(row).collect();
    let summary = format!("{}, and why devices waited", text::counted(rows.len(), "plan", "plans"));
    page.folded_table(&summary, &["plan", "made", "because", "devices placed", "length", "devices that wait"], &rows);
    if tables.plans.len() > PLANS_MAX {
        let left_out = text::counted(tables.plans.len() - PLANS_MAX, "later plan is", "later plans are");
        page.note(&format!("{left_out} not on this page."));
    }
}

fn what_ran(page: &mut Page, tables: &Tables) {
    let Some(header) = &tables.header else { return };
    page.section("What ran");
    page.facts(&[
        ("program", header.program.clone()),
        ("seed", if tables.is_live() { "none: a real fleet".to_owned() } else { header.seed.to_string() }),
        ("metrics", header.metrics.join(", ")),
        ("inputs that made no sense", tables.ignored.to_string()),
    ]);
    page.folded_text("The policy, whole", &header.policy);
}
