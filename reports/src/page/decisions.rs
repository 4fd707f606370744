//! Decisions with their evidence: on a time line, and one by one in a table.

use crate::html::{Cell, Page};
use crate::plot::{ALARM, Canvas, Drawn, FIRST, Figure, GRID, Hold, INK, INNER, Marker, SECOND, THIRD, WIDTH};
use crate::plot::{Scale, draw, unknown, width_of};
use crate::tables::Tables;
use crate::text::counted;
use plotters::style::RGBColor;
use slacktide_engine::ids::RolloutId;
use slacktide_engine::journal::entry::Verdict;
use slacktide_engine::rollout::RolloutState;
use slacktide_engine::time::{Instant, Span};

const ROW: i32 = 30;
const TOP: i32 = 8;
const LEFT: i32 = 108;
const RIGHT: i32 = WIDTH - 16;
/// Rollouts with a row of their own.
const ROLLOUTS_MAX: usize = 6;
/// Decisions that stand open on the page; more are folded.
const OPEN_MAX: usize = 40;
/// Decisions that are told at all.
const TOLD_MAX: usize = 400;

/// Where on the time line a decision stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    State,
    Wave,
    Watch,
    Back,
}

struct Decision {
    at: Instant,
    rollout: RolloutId,
    lane: Lane,
    marker: (Marker, RGBColor),
    what: String,
    why: String,
}

/// All of them, in the order of time.
fn decisions(tables: &Tables) -> Vec<Decision> {
    let mut all = Vec::new();
    for t in &tables.transitions {
        let cause = t.cause.map(|c| format!(" ({c})")).unwrap_or_default();
        let (from, to) = (words(t.from), words(t.to));
        let what = format!("{}{from} → {to}{cause}", tables.label(t.rollout));
        all.push(Decision {
            at: t.at,
            rollout: t.rollout,
            lane: Lane::State,
            marker: (Marker::Disc, INK),
            what,
            why: t.detail.clone(),
        });
    }
    for (at, rollout, wave, devices) in &tables.waves {
        let what = format!("{}wave {} opened", tables.label(*rollout), wave + 1);
        let why = counted(*devices as usize, "device", "devices");
        all.push(Decision {
            at: *at,
            rollout: *rollout,
            lane: Lane::Wave,
            marker: (Marker::Triangle, FIRST),
            what,
            why,
        });
    }
    for (at, verdict) in &tables.verdicts {
        let word = verdict.verdict.words();
        let marker = match verdict.verdict {
            Verdict::Good => (Marker::Disc, THIRD),
            Verdict::Bad => (Marker::Cross, ALARM),
            Verdict::Inconclusive => (Marker::Ring, SECOND),
        };
        let what = format!("{}watch: {word} ({})", tables.label(verdict.rollout), verdict.cause);
        all.push(Decision {
            at: *at,
            rollout: verdict.rollout,
            lane: Lane::Watch,
            marker,
            what,
            why: verdict.evidence.clone(),
        });
    }
    for row in &tables.rollbacks {
        let told = counted(row.devices, "device", "devices");
        let mut why = format!("{told} told to go back, {} called off before they began", row.canceled);
        for held in &row.held {
            why.push_str(&format!(", {} held ({})", held.devices, held.reason.name()));
        }
        let what = format!("{}rollback ordered", tables.label(row.rollout));
        all.push(Decision {
            at: row.at,
            rollout: row.rollout,
            lane: Lane::Back,
            marker: (Marker::Square, ALARM),
            what,
            why,
        });
    }
    all.sort_by_key(|decision| decision.at);
    all
}

/// The section: the line, then the table its numbers refer to.
pub(super) fn section(page: &mut Page, tables: &Tables) {
    let decisions = decisions(tables);
    page.section("Decisions and their evidence");
    page.figure(
        &line(tables, &decisions),
        "Numbers are those of the table below. Discs: the watch saw nothing wrong; rings: too little was known; crosses: it saw something wrong.",
    );
    let told = decisions.iter().enumerate().take(TOLD_MAX);
    let row = |(i, decision): (usize, &Decision)| {
        vec![
            Cell::number((i + 1).to_string()),
            Cell::time(decision.at),
            Cell::number(after(tables, decision)),
            decision.what.as_str().into(),
            decision.why.as_str().into(),
        ]
    };
    let rows: Vec<Vec<Cell>> = told.map(row).collect();
    let header = ["no.", "time", "into the rollout", "what", "evidence"];
    if rows.len() <= OPEN_MAX {
        page.table(&header, &rows);
    } else {
        page.folded_table(&format!("{} decisions", rows.len()), &header, &rows);
    }
    if decisions.len() > TOLD_MAX {
        page.note(&format!(
            "{} not on this page; `slacktide journal show` tells them all.",
            counted(decisions.len() - TOLD_MAX, "later decision is", "later decisions are")
        ));
    }
}

/// A state as people write it.
fn words(state: RolloutState) -> String {
    state.name().replace('_', " ")
}

/// `−5m 00s` or `1h 20m`, since the decision's own rollout began.
fn after(tables: &Tables, decision: &Decision) -> String {
    let at = decision.at;
    match tables.rollout_began(decision.rollout) {
        None => "–".to_owned(),
        Some(began) if at < began => format!("−{}", began.since(at)),
        Some(began) if at == began => Span::ZERO.to_string(),
        Some(began) => at.since(began).to_string(),
    }
}

fn line(tables: &Tables, decisions: &[Decision]) -> Figure {
    let title = "Decisions over time";
    let last = tables.last_known();
    let from_plans = tables.plans.iter().map(|(at, _)| *at).filter(|at| tables.began().is_none_or(|b| *at >= b));
    let moments = decisions.iter().map(|d| d.at).chain(from_plans).chain(last);
    let Some(x) = Scale::over(moments.map(|at| tables.elapsed(at)), LEFT, RIGHT) else {
        return unknown(title, "Nothing was decided.");
    };
    let mut rollouts: Vec<RolloutId> = tables.transitions.iter().map(|t| t.rollout).collect();
    rollouts.sort_unstable();
    rollouts.dedup();
    rollouts.truncate(ROLLOUTS_MAX);
    let mut lanes: Vec<String> = rollouts
        .iter()
        .map(|id| if tables.targets.len() > 1 { format!("rollout {id}") } else { "rollout".to_owned() })
        .collect();
    let marked = lanes.len();
    lanes.extend(["waves", "watch", "rollbacks", "plans", "forecasts"].map(str::to_owned));
    let bottom = TOP + ROW * lanes.len() as i32;
    let middle = |lane: usize| TOP + ROW * lane as i32 + ROW / 2;
    let description = "a row for the states of each rollout and a row each for waves, the watch, rollbacks, plans and forecasts; numbers name the rows of the table of decisions";
    draw(title, description, bottom + 48, |area| {
        let canvas = Canvas(area);
        canvas.x_axis(&x, &x.ticks(10), TOP, bottom, tables.elapsed_unit().axis)?;
        for (i, lane) in lanes.iter().enumerate() {
            canvas.line(&[(LEFT, TOP + ROW * i as i32), (RIGHT, TOP + ROW * i as i32)], GRID, 1)?;
            canvas.text((LEFT - 8, middle(i)), Hold::Right, lane)?;
        }
        for (i, id) in rollouts.iter().enumerate() {
            states(&canvas, tables, *id, &x, middle(i))?;
        }
        for (offset, lane) in [Lane::Wave, Lane::Watch, Lane::Back].into_iter().enumerate() {
            marks(&canvas, tables, decisions, lane, &x, middle(marked + offset))?;
        }
        let shown = |at: &Instant| (x.low..=x.high).contains(&tables.elapsed(*at));
        let plans = tables.plans.iter().map(|(at, _)| *at).filter(shown);
        let forecasts = tables.forecasts.iter().map(|(at, _)| *at).filter(shown);
        ticks(&canvas, plans.map(|at| x.at(tables.elapsed(at))), middle(marked + 3))?;
        ticks(&canvas, forecasts.map(|at| x.at(tables.elapsed(at))), middle(marked + 4))
    })
}

/// States of a rollout as stretches with their names.
fn states(canvas: &Canvas<'_, '_>, tables: &Tables, id: RolloutId, x: &Scale, middle: i32) -> Drawn {
    let own: Vec<_> = tables.transitions.iter().filter(|t| t.rollout == id).collect();
    for (i, t) in own.iter().enumerate() {
        let from = x.at(tables.elapsed(t.at));
        let until = own.get(i + 1).map(|next| next.at).or_else(|| tables.last_known());
        let to = until.map_or(from, |at| x.at(tables.elapsed(at))).max(from + 2);
        let corners = [(from, middle - 9), (to, middle + 9)];
        canvas.block(corners, INNER)?;
        let (colour, width) = match t.to {
            RolloutState::Paused => (SECOND, 2),
            RolloutState::RollingBack | RolloutState::Aborting | RolloutState::RolledBack | RolloutState::Stopped => {
                (ALARM, 2)
            }
            RolloutState::Running | RolloutState::Finished => (FIRST, 2),
            _ => (GRID, 1),
        };
        canvas.frame(corners, colour, width)?;
        let word = words(t.to);
        if width_of(&word) + 6 < to - from {
            canvas.text(((from + to) / 2, middle), Hold::Middle, &word)?;
        }
    }
    Ok(())
}

fn marks(
    canvas: &Canvas<'_, '_>,
    tables: &Tables,
    decisions: &[Decision],
    lane: Lane,
    x: &Scale,
    middle: i32,
) -> Drawn {
    let (mut free_from, mut last) = (i32::MIN, None);
    for (i, decision) in decisions.iter().enumerate().filter(|(_, d)| d.lane == lane) {
        let at = x.at(tables.elapsed(decision.at));
        // A fleet that is watched for weeks has more to say than a line has room for.
        if last != Some((at, decision.marker.0)) {
            canvas.marker((at, middle), decision.marker.0, decision.marker.1)?;
            last = Some((at, decision.marker.0));
        }
        let number = (i + 1).to_string();
        if at >= free_from && at + 8 + width_of(&number) < WIDTH {
            canvas.text((at + 7, middle), Hold::Left, &number)?;
            free_from = at + 20 + width_of(&number);
        }
    }
    Ok(())
}

fn ticks(canvas: &Canvas<'_, '_>, places: impl Iterator<Item = i32>, middle: i32) -> Drawn {
    let mut places: Vec<i32> = places.collect();
    places.dedup();
    places.iter().try_for_each(|x| canvas.line(&[(*x, middle - 7), (*x, middle + 7)], FIRST, 1))
}
