//! Batches as bars over time: when each was told to go, when its last device came to an end, and how.

use crate::html::Cell;
use crate::plot::{
    Canvas, Drawn, FIRST, Figure, GRID, Hold, INK, Marker, SECOND, Scale, WIDTH, draw, unknown, width_of,
};
use crate::tables::{BatchRow, Tables};
use crate::text::{number, whole};
use slacktide_engine::time::Instant;

const ROW: i32 = 18;
const TOP: i32 = 10;
/// Most rows; more batches share one, in their order.
const ROWS_MAX: usize = 40;
/// Most rows of the table.
const TABLE_MAX: usize = 400;

/// A bar: one batch, or some in a row of the same wave.
struct Bar {
    name: String,
    from: Instant,
    to: Instant,
    expected: Instant,
    devices: usize,
    updated: u32,
    open: usize,
}

impl Bar {
    /// Ended, and not on the new release.
    fn missed(&self) -> usize {
        self.devices.saturating_sub(self.updated as usize + self.open)
    }

    fn words(&self) -> String {
        let other = self.missed();
        let mut words = format!("{}/{} updated", whole(self.updated as usize), whole(self.devices));
        if other > 0 {
            words.push_str(&format!(", {} not", whole(other)));
        }
        if self.open > 0 {
            words.push_str(&format!(", {} open", whole(self.open)));
        }
        words
    }
}

/// The bars of a journal: batches of one wave and rollout put together so that they fit.
fn bars(tables: &Tables) -> Vec<Bar> {
    let (Some(last), false) = (tables.last_known(), tables.batches.is_empty()) else { return Vec::new() };
    let mut of_wave: Vec<Vec<&BatchRow>> = Vec::new();
    let mut order: Vec<&BatchRow> = tables.batches.iter().collect();
    order.sort_by_key(|batch| (batch.rollout, batch.wave, batch.at));
    for batch in order {
        match of_wave.last_mut() {
            Some(wave) if (wave[0].rollout, wave[0].wave) == (batch.rollout, batch.wave) => wave.push(batch),
            _ => of_wave.push(vec![batch]),
        }
    }
    // The smallest number of batches a bar that leaves few enough bars.
    let count = |per: usize| of_wave.iter().map(|wave| wave.len().div_ceil(per)).sum::<usize>();
    let per = (1..=tables.batches.len()).find(|per| count(*per) <= ROWS_MAX).unwrap_or(tables.batches.len());
    let mut bars: Vec<Bar> =
        of_wave.iter().flat_map(|wave| wave.chunks(per)).map(|batches| bar(tables, batches, last)).collect();
    // Hundreds of waves: what does not fit is in the table.
    bars.truncate(ROWS_MAX);
    bars
}

fn bar(tables: &Tables, batches: &[&BatchRow], last: Instant) -> Bar {
    let first = batches[0];
    let numbers = match batches {
        [one] => format!("batch {}", one.batch),
        [.., end] => format!("batches {}–{}", first.batch, end.batch),
        [] => String::new(),
    };
    let to = |batch: &&BatchRow| batch.ended.filter(|_| batch.open() == 0).unwrap_or(last);
    Bar {
        name: format!("{}wave {} · {numbers}", tables.label(first.rollout), first.wave + 1),
        from: first.at,
        to: batches.iter().map(to).max().unwrap_or(last),
        expected: batches.iter().map(|batch| batch.until).max().unwrap_or(last),
        devices: batches.iter().map(|batch| batch.devices.len()).sum(),
        updated: batches.iter().map(|batch| batch.updated()).sum(),
        open: batches.iter().map(|batch| batch.open()).sum(),
    }
}

/// The bars.
pub(super) fn chart(tables: &Tables) -> Figure {
    let title = "Batches over time";
    let bars = bars(tables);
    let left = 18 + bars.iter().map(|bar| width_of(&bar.name)).max().unwrap_or(0);
    let right = WIDTH - 16 - bars.iter().map(|bar| width_of(&bar.words())).max().unwrap_or(0);
    let ends = bars.iter().flat_map(|bar| [bar.from, bar.to, bar.expected]).map(|at| tables.elapsed(at));
    let Some(x) = Scale::over(ends, left, right) else { return unknown(title, "No batch went out.") };
    let bottom = TOP + ROW * bars.len() as i32;
    let description = "a bar for each batch from the command to the last end of its devices; the solid part are devices that were updated, the striped part those that were not, the hollow part those that had not ended; the thin mark is the end that was expected";
    let figure = draw(title, description, bottom + 48, |area| {
        let canvas = Canvas(area);
        canvas.x_axis(&x, &x.ticks(10), TOP, bottom, tables.elapsed_unit().axis)?;
        for (i, bar) in bars.iter().enumerate() {
            let top = TOP + ROW * i as i32;
            canvas.text((left - 8, top + ROW / 2), Hold::Right, &bar.name)?;
            one(&canvas, tables, bar, &x, top)?;
            let words = bar.words();
            canvas.text((right + 8, top + ROW / 2), Hold::Left, &words)?;
        }
        Ok(())
    });
    figure.with(header(tables), rows(tables))
}

fn one(canvas: &Canvas<'_, '_>, tables: &Tables, bar: &Bar, x: &Scale, top: i32) -> Drawn {
    let at = |moment| x.at(tables.elapsed(moment));
    let corners = [(at(bar.from), top + 3), (at(bar.to).max(at(bar.from) + 2), top + ROW - 3)];
    let [(from, high), (to, low)] = corners;
    // Of left to right: those updated, those that were not, those that go on.
    let share = |count: usize| ((to - from) as usize * count / bar.devices.max(1)) as i32;
    let done = from + share(bar.updated as usize);
    let missed = bar.missed();
    let open = to - share(bar.open);
    // One of ten thousand must be seen too.
    let done = if missed > 0 { done.min(open - 5).max(from) } else { done };
    canvas.block([(from, high), (done, low)], FIRST)?;
    if missed > 0 {
        for stripe in (done..open - 2).step_by(5) {
            canvas.line(&[(stripe, low), ((stripe + 4).min(open), high)], SECOND, 2)?;
        }
        canvas.marker((to + 7, (high + low) / 2), Marker::Cross, SECOND)?;
    }
    canvas.frame(corners, if missed > 0 { SECOND } else { FIRST }, 1)?;
    canvas.line(&[(at(bar.to), top + ROW / 2), (at(bar.expected), top + ROW / 2)], GRID, 1)?;
    canvas.line(&[(at(bar.expected), top + 2), (at(bar.expected), top + ROW - 2)], INK, 2)
}

fn header(tables: &Tables) -> [String; 9] {
    let timed = |what: &str| format!("{what}, {}", tables.elapsed_unit().short);
    let plain = ["wave", "devices", "updated", "not updated", "open"].map(str::to_owned);
    let [wave, devices, updated, missed, open] = plain;
    ["batch".to_owned(), timed("start"), wave, devices, updated, missed, open, timed("took"), timed("expected")]
}

fn rows(tables: &Tables) -> Vec<Vec<Cell>> {
    let unit = tables.elapsed_unit();
    let row = |batch: &BatchRow| {
        let took = batch.ended.filter(|_| batch.open() == 0).map(|at| unit.of(at.since(batch.at)));
        let settled = batch.ends.values().sum::<u32>();
        let figures = [
            number(tables.elapsed(batch.at)),
            (batch.wave + 1).to_string(),
            batch.devices.len().to_string(),
            batch.updated().to_string(),
            (settled - batch.updated()).to_string(),
            batch.open().to_string(),
            took.map_or_else(|| "–".to_owned(), number),
            number(unit.of(batch.until.since(batch.at))),
        ];
        let name = format!("{}{}", tables.label(batch.rollout), batch.batch);
        [Cell::from(name)].into_iter().chain(figures.map(Cell::number)).collect()
    };
    tables.batches.iter().take(TABLE_MAX).map(row).collect()
}

/// What the table leaves out.
pub(super) fn left_out(tables: &Tables) -> usize {
    tables.batches.len().saturating_sub(TABLE_MAX)
}
