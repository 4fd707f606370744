//! The fleet as a map: a row for each pool or region, a column for each stretch of time, a shade for how much of it is used.

use crate::groups::Group;
use crate::html::Cell;
use crate::plot::{ALARM, Canvas, Drawn, Figure, Hold, INK, SHADES, Scale, WIDTH, draw, unknown, width_of};
use crate::tables::Tables;
use crate::text::{number, whole};
use slacktide_engine::time::Instant;

const ROW: i32 = 20;
const TOP: i32 = 40;
const RIGHT: i32 = WIDTH - 58;
/// Pools shown one by one; the rest share a row.
const ROWS_MAX: usize = 20;
/// Most columns; more are put together by their highest.
const COLUMNS_MAX: usize = 96;
/// Longest name beside a row; a longer one is cut in the middle of the picture, not in the table.
const NAME_CHARS_MAX: usize = 24;
/// Where a shade ends and the next begins, percent.
const EDGES: [f64; 6] = [25.0, 50.0, 65.0, 80.0, 90.0, 100.0];
const WORDS: [&str; 7] = ["< 25 %", "25–50 %", "50–65 %", "65–80 %", "80–90 %", "90–100 %", "≥ 100 %"];
/// What the legend takes, from the first shade to its last word.
const LEGEND: i32 = 830;

/// A row: its name, its value in every column, and in which columns devices of it were under way.
struct Row {
    name: String,
    values: Vec<Option<f64>>,
    busy: Vec<bool>,
}

/// What a map is called.
pub(super) struct Words<'a> {
    pub(super) title: &'a str,
    pub(super) description: &'a str,
    /// Of the groups.
    pub(super) plural: &'a str,
}

/// The map of groups, the fullest on top; those beyond the first rows share one.
pub(super) fn map(tables: &Tables, groups: &[Group], words: &Words<'_>) -> Figure {
    let times: Vec<Instant> = groups.first().map_or_else(Vec::new, |g| g.load.iter().map(|(at, _)| *at).collect());
    if times.len() < 2 {
        return unknown(
            words.title,
            "It cannot be known: the journal was written by an older version, or of more than 20,000 pools, which are not recorded one by one, or ends too soon.",
        );
    }
    let per_column = times.len().div_ceil(COLUMNS_MAX);
    let edges: Vec<Instant> = times.chunks(per_column).filter_map(|chunk| chunk.last().copied()).collect();
    let width = times[1].since(times[0]);
    let mut from = vec![times[0] - width];
    from.extend(edges.iter().take(edges.len() - 1));
    let mut order: Vec<&Group> = groups.iter().collect();
    order.sort_by(|a, b| b.peak.map_or(0.0, |p| p.0).total_cmp(&a.peak.map_or(0.0, |p| p.0)));
    let row = |group: &Group| row_of(group, per_column, &from, &edges);
    let single = if order.len() <= ROWS_MAX + 1 { order.len() } else { ROWS_MAX };
    let mut rows: Vec<Row> = order.iter().take(single).map(|group| row(group)).collect();
    if order.len() > single {
        let rest: Vec<Row> = order[single..].iter().map(|group| row(group)).collect();
        rows.push(highest(&rest, format!("{} others, highest", whole(rest.len()))));
    }
    let unit = tables.elapsed_unit().short;
    let elapsed = |at: &Instant| tables.elapsed(*at);
    let (Some(first), Some(last)) = (from.first().map(elapsed), edges.last().map(elapsed)) else {
        return unknown(words.title, "There is nothing to draw.");
    };
    let left = 18 + rows.iter().map(|row| width_of(&short(&row.name))).max().unwrap_or(0);
    let x = Scale { low: first, high: last, from: left, to: RIGHT };
    let columns: Vec<(i32, i32)> = from.iter().zip(&edges).map(|(a, b)| (x.at(elapsed(a)), x.at(elapsed(b)))).collect();
    let bottom = TOP + ROW * rows.len() as i32;
    let figure = draw(words.title, words.description, bottom + 48, |area| {
        let canvas = Canvas(area);
        // Beside long names it begins further left, so that it ends within the picture.
        legend(&canvas, left.min(WIDTH - LEGEND))?;
        for (i, row) in rows.iter().enumerate() {
            cells(&canvas, row, &columns, TOP + ROW * i as i32)?;
            canvas.text((left - 8, TOP + ROW * i as i32 + ROW / 2), Hold::Right, &short(&row.name))?;
            let peak = row.values.iter().flatten().copied().reduce(f64::max);
            let peak = peak.map_or_else(String::new, |peak| format!("{peak:.0} %"));
            canvas.text((RIGHT + 8, TOP + ROW * i as i32 + ROW / 2), Hold::Left, &peak)?;
        }
        canvas.line(&[(left, bottom + 1), (RIGHT, bottom + 1)], INK, 1)?;
        for (value, label) in x.ticks(12) {
            canvas.line(&[(x.at(value), bottom + 1), (x.at(value), bottom + 5)], INK, 1)?;
            canvas.text((x.at(value), bottom + 14), Hold::Middle, &label)?;
        }
        canvas.text(((left + RIGHT) / 2, bottom + 34), Hold::Middle, tables.elapsed_unit().axis)
    });
    let picked: Vec<usize> = (0..edges.len()).step_by(edges.len().div_ceil(12).max(1)).collect();
    let header = [words.plural.to_owned()]
        .into_iter()
        .chain(picked.iter().map(|c| format!("{} {unit}, %", number(elapsed(&edges[*c])))));
    let cell = |value: Option<f64>| Cell::number(value.map_or_else(|| "–".to_owned(), |v| format!("{v:.0}")));
    let line = |row: &Row| {
        [Cell::from(row.name.as_str())].into_iter().chain(picked.iter().map(|c| cell(row.values[*c]))).collect()
    };
    figure.with(header, rows.iter().map(line).collect())
}

fn row_of(group: &Group, per_column: usize, from: &[Instant], to: &[Instant]) -> Row {
    let values = group.load.chunks(per_column).map(|chunk| chunk.iter().map(|(_, v)| *v).reduce(f64::max)).collect();
    let busy = from.iter().zip(to).map(|(from, to)| {
        let before = group.under_way.partition_point(|(at, _)| at <= from);
        let was = before.checked_sub(1).is_some_and(|last| group.under_way[last].1 > 0);
        was || group.under_way[before..].iter().take_while(|(at, _)| at <= to).any(|(_, count)| *count > 0)
    });
    Row { name: group.name.clone(), values, busy: busy.collect() }
}

/// One row for many: the highest of each column.
fn highest(rows: &[Row], name: String) -> Row {
    let columns = rows.iter().map(|row| row.values.len()).max().unwrap_or(0);
    let value = |c: usize| rows.iter().filter_map(|row| *row.values.get(c)?).reduce(f64::max);
    let busy = |c: usize| rows.iter().any(|row| row.busy.get(c) == Some(&true));
    Row { name, values: (0..columns).map(value).collect(), busy: (0..columns).map(busy).collect() }
}

fn shade(value: f64) -> usize {
    EDGES.iter().filter(|edge| value >= **edge).count()
}

/// Neighbours of the same shade are one rectangle.
fn cells(canvas: &Canvas<'_, '_>, row: &Row, columns: &[(i32, i32)], top: i32) -> Drawn {
    let shades: Vec<Option<usize>> = row.values.iter().map(|value| value.map(shade)).collect();
    runs(&shades, |from, to, shade| {
        let Some(shade) = shade else { return Ok(()) };
        let corners = [(columns[from].0, top + 1), (columns[to].1, top + ROW - 5)];
        canvas.block(corners, SHADES[shade])?;
        // What has too little in service must be seen without a sense of shades.
        if shade == SHADES.len() - 1 { canvas.frame(corners, ALARM, 2) } else { Ok(()) }
    })?;
    runs(&row.busy, |from, to, busy| {
        if busy {
            canvas.line(&[(columns[from].0, top + ROW - 2), (columns[to].1, top + ROW - 2)], INK, 2)
        } else {
            Ok(())
        }
    })
}

/// Calls for every stretch of equal values, with its first and last position.
fn runs<T: PartialEq + Copy>(values: &[T], mut each: impl FnMut(usize, usize, T) -> Drawn) -> Drawn {
    let mut from = 0;
    for to in 0..values.len() {
        if values.get(to + 1) != Some(&values[to]) {
            each(from, to, values[to])?;
            from = to + 1;
        }
    }
    Ok(())
}

fn legend(canvas: &Canvas<'_, '_>, left: i32) -> Drawn {
    let mut x = left;
    for (i, word) in WORDS.iter().enumerate() {
        let corners = [(x, 8), (x + 18, 22)];
        canvas.block(corners, SHADES[i])?;
        canvas.frame(corners, if i + 1 == WORDS.len() { ALARM } else { INK }, 1)?;
        canvas.text((x + 24, 15), Hold::Left, word)?;
        // Further from the word before than from its own.
        x += 46 + width_of(word);
    }
    canvas.line(&[(x + 6, 15), (x + 30, 15)], INK, 2)?;
    canvas.text((x + 36, 15), Hold::Left, "under way")
}

/// A name that fits beside a row.
pub(super) fn short(name: &str) -> String {
    if name.chars().count() <= NAME_CHARS_MAX {
        return name.to_owned();
    }
    let chars: Vec<char> = name.chars().collect();
    let half = NAME_CHARS_MAX / 2;
    chars[..half].iter().chain(&['…']).chain(&chars[chars.len() - half + 1..]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_of_equal_values_are_one() {
        let mut found = Vec::new();
        let drawn = runs(&[1, 1, 2, 1], |from, to, value| {
            found.push((from, to, value));
            Ok(())
        });
        assert!(drawn.is_ok());
        assert_eq!(found, [(0, 1, 1), (2, 2, 2), (3, 3, 1)]);
    }

    #[test]
    fn the_legend_fits_its_room() {
        let words: i32 = WORDS.iter().map(|word| 46 + width_of(word)).sum();
        assert!(words + 36 + width_of("under way") <= LEGEND, "{words}");
    }

    #[test]
    fn shades_begin_where_the_legend_says() {
        assert_eq!([0.0, 24.9, 25.0, 89.0, 100.0, 250.0].map(shade), [0, 0, 1, 4, 6, 6]);
        assert_eq!(short("pool-of-the-very-long-name-17").chars().count(), NAME_CHARS_MAX);
    }
}
