//! Regions and pools: what became of the devices of each, and how much of it was used.

use super::heat::{Words, map};
use crate::groups::{Group, Kind, groups};
use crate::html::{Cell, Page};
use crate::tables::Tables;
use crate::text::{counted, whole};

/// Pools in the table that stands open, and in the one that unfolds.
const OPEN_MAX: usize = 20;
const FOLDED_MAX: usize = 300;

/// The map of the whole fleet.
pub(super) fn fleet_map(page: &mut Page, tables: &Tables, pools: &[Group]) {
    let words = Words {
        title: "Demand by pool over time",
        description: "a row for each pool, the fullest on top, a column for each stretch of time; the stronger the shade, the more of what is in service is used; the line under a row says that devices of the pool were under way",
        plural: "pool",
    };
    page.figure(
        &map(tables, pools, &words),
        "Highest demand as percent of the members in service. What is over 100 % has a frame. On the right the highest of the row.",
    );
}

/// A section for regions, if there are several, and one for pools.
pub(super) fn sections(page: &mut Page, tables: &Tables, pools: Vec<Group>) {
    let regions = groups(tables, Kind::Regions);
    page.section("Region by region");
    if regions.len() > 1 {
        let words = Words {
            title: "Load by region over time",
            description: "a row for each region, the fullest on top, a column for each stretch of time; the stronger the shade, the higher the weighted mean load of its devices in service; the line under a row says that devices of the region were under way",
            plural: "region",
        };
        page.figure(
            &map(tables, &regions, &words),
            "Weighted mean load of the devices in service, percent. On the right the highest of the row.",
        );
    }
    table(page, tables, regions, "region", "highest load, %");
    page.section("Pool by pool");
    table(page, tables, pools, "pool", "highest demand, %");
}

fn table(page: &mut Page, tables: &Tables, mut groups: Vec<Group>, name: &str, peak: &str) {
    if groups.is_empty() {
        page.note("The journal has no rollout that began: nothing is known of them.");
        return;
    }
    if tables.members.is_empty() {
        page.note(
            "Which device belongs where cannot be known: the journal was written by a version that did not say it, or the rollout was for more than 200,000 devices.",
        );
    }
    groups.sort_by(|a, b| b.peak.map_or(0.0, |p| p.0).total_cmp(&a.peak.map_or(0.0, |p| p.0)));
    let at = format!("at, {} into the rollout", tables.elapsed_unit().short);
    let header = [
        name,
        "devices",
        "targets",
        "updated",
        "rolled back",
        "failed",
        "not reached",
        "most under way at once",
        peak,
        &at,
    ];
    let rows: Vec<Vec<Cell>> = groups.iter().take(FOLDED_MAX).map(|group| row(tables, group)).collect();
    page.table(&header, &rows[..rows.len().min(OPEN_MAX)]);
    if rows.len() > OPEN_MAX {
        page.folded_table(&format!("{} more {name}s", rows.len() - OPEN_MAX), &header, &rows[OPEN_MAX..]);
    }
    if groups.len() > FOLDED_MAX {
        let one = format!("{name} with a lower peak is");
        let many = format!("{name}s with lower peaks are");
        page.note(&format!("{} not on this page.", counted(groups.len() - FOLDED_MAX, &one, &many)));
    }
}

fn row(tables: &Tables, group: &Group) -> Vec<Cell> {
    let count = |n: u32| Cell::number(whole(n as usize));
    let share = f64::from(group.most_under_way) / f64::from(group.members.max(1)) * 100.0;
    vec![
        group.name.as_str().into(),
        count(group.members),
        count(group.targets),
        count(group.updated),
        count(group.rolled_back),
        count(group.failed),
        count(group.not_reached()),
        Cell::number(format!("{} ({share:.0} %)", whole(group.most_under_way as usize))),
        Cell::number(group.peak.map_or_else(|| "–".to_owned(), |(peak, _)| format!("{peak:.0}"))),
        Cell::number(group.peak.map_or_else(|| "–".to_owned(), |(_, at)| format!("{:.1}", tables.elapsed(at)))),
    ]
}
