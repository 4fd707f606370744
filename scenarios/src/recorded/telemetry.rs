//! Telemetry CSV: `device_id,timestamp,cpu,memory,network,disk`, more numeric columns are more metrics.
//!
//! Values are percent of a device's capacity, an empty cell is missing, timestamps are Unix seconds or RFC 3339; `.csv` or `.csv.gz`,
//! folders are read recursively in the order of their names.

use super::ReadError;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Most samples (devices × steps × metrics) for each row read, and beside it: more is nearly all gaps, from a timestamp that is far off.
const CELLS_PER_ROW_MAX: usize = 200;
const CELLS_FREE: usize = 1 << 20;

/// Largest number where any is taken: squares of it are still numbers.
const VALUE_MAX: f32 = 1e15;

/// How to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Only these columns; `None` is every numeric one that is not empty.
    pub metrics: Option<Vec<String>>,
    /// Skip bad rows and count them.
    pub lenient: bool,
    /// Bring values into 0–100 and count them.
    pub clip: bool,
    /// Take any finite number: the columns are no percentages.
    pub any_number: bool,
}

/// Load of some devices at equal steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// Length of a step, seconds.
    pub period_s: i64,
    /// First moment, Unix seconds.
    pub start_s: i64,
    /// Number of steps.
    pub steps: usize,
    /// Names, sorted.
    pub devices: Vec<String>,
    /// Column names.
    pub metrics: Vec<String>,
    /// One column a metric: devices × steps, device by device; NaN is missing.
    pub columns: Vec<Vec<f32>>,
    /// Values brought into 0–100.
    pub clipped: u64,
    /// Bad rows skipped.
    pub skipped: u64,
    /// Values that took the place of an earlier one of the same device and step: the same moment twice, or steps of uneven length.
    pub repeated: u64,
}

impl Recording {
    /// Load of a device in one metric, step by step.
    pub fn series(&self, metric: usize, device: usize) -> &[f32] {
        &self.columns[metric][device * self.steps..(device + 1) * self.steps]
    }
}

#[derive(Default)]
struct Raw {
    devices: BTreeMap<String, u32>,
    metrics: Vec<String>,
    rows: Vec<(u32, i64)>,
    /// Row by row, as many as metrics.
    values: Vec<f32>,
    clipped: u64,
    skipped: u64,
}

/// Reads files and folders into one recording.
///
/// # Errors
/// [`ReadError`] naming file, line, column, value and what to do.
pub fn read(paths: &[PathBuf], options: &ReadOptions) -> Result<Recording, ReadError> {
    let mut files = Vec::new();
    for path in paths {
        collect(path, &mut files)?;
    }
    let Some(first) = files.first() else {
        let path = paths.first().cloned().unwrap_or_default();
        return Err(ReadError::file(&path, "holds no .csv or .csv.gz file"));
    };
    let mut raw = Raw::default();
    for file in &files {
        read_file(file, options, &mut raw)?;
    }
    if raw.rows.is_empty() {
        return Err(ReadError::file(first, "holds no row of telemetry"));
    }
    assemble(first, raw)
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), ReadError> {
    let cannot = |e: std::io::Error| ReadError::file(path, format!("cannot be read: {e}"));
    if !std::fs::metadata(path).map_err(cannot)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut inside = Vec::new();
    for entry in std::fs::read_dir(path).map_err(cannot)? {
        inside.push(entry.map_err(cannot)?.path());
    }
    inside.sort();
    for path in inside {
        let name = path.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
        if path.is_dir() || name.ends_with(".csv") || name.ends_with(".csv.gz") {
            collect(&path, files)?;
        }
    }
    Ok(())
}

fn read_file(path: &Path, options: &ReadOptions, raw: &mut Raw) -> Result<(), ReadError> {
    let file = File::open(path).map_err(|e| ReadError::file(path, format!("cannot be opened: {e}")))?;
    let packed = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz"));
    if file.metadata().is_ok_and(|m| m.is_file() && m.len() == 0) {
        return Err(ReadError::file(path, "is empty"));
    }
    let source: Box<dyn Read> = if packed { Box::new(flate2::read::MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(source);
    let header = reader.headers().map_err(|e| broken(path, &e))?.clone();
    super::once_each(path, &header)?;
    let column = |name: &str| {
        header.iter().position(|h| h == name).ok_or_else(|| {
            let found: Vec<&str> = header.iter().collect();
            ReadError::file(path, format!("has no column `{name}`; its header is `{}`", found.join(",")))
        })
    };
    let (device, timestamp) = (column("device_id")?, column("timestamp")?);
    let wanted: Vec<(usize, String)> = match &options.metrics {
        Some(names) => names.iter().map(|name| Ok((column(name)?, name.clone()))).collect::<Result<_, ReadError>>()?,
        None => header
            .iter()
            .enumerate()
            .filter(|(i, _)| *i != device && *i != timestamp)
            .map(|(i, n)| (i, n.to_owned()))
            .collect(),
    };
    let names: Vec<String> = wanted.iter().map(|(_, name)| name.clone()).collect();
    for (i, name) in names.iter().enumerate() {
        if name.is_empty() || name == "device_id" || name == "timestamp" || names[..i].contains(name) {
            let problem = "is no metric, or stands twice; --metrics names each metric once";
            return Err(ReadError::row(path, 1, name, problem));
        }
    }
    if raw.metrics.is_empty() {
        raw.metrics = names;
    } else if raw.metrics != names {
        let problem = format!(
            "has the metrics {} where the files before have {}; choose with --metrics",
            names.join(","),
            raw.metrics.join(",")
        );
        return Err(ReadError::file(path, problem));
    }
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(|e| broken(path, &e))? {
        let line = record.position().map_or(0, csv::Position::line);
        let before = raw.values.len();
        if record.len() != header.len() && !options.lenient {
            let problem =
                format!("has {} cells where the header has {}; is a comma a decimal sign?", record.len(), header.len());
            return Err(ReadError { path: path.to_owned(), line: Some(line), field: String::new(), problem });
        }
        if record.len() != header.len() {
            raw.skipped += 1;
            continue;
        }
        match read_row(path, line, &record, device, timestamp, &wanted, options, raw) {
            Ok(()) => {}
            Err(_) if options.lenient => {
                raw.values.truncate(before);
                raw.skipped += 1;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn broken(path: &Path, error: &csv::Error) -> ReadError {
    let problem = match error.kind() {
        csv::ErrorKind::Io(io) => format!("ends in the middle or is damaged ({io}); fetch the file again"),
        _ => format!("is no CSV: {error}"),
    };
    ReadError { path: path.to_owned(), line: error.position().map(csv::Position::line), field: String::new(), problem }
}

#[expect(clippy::too_many_arguments, reason = "one call, and a struct would only repeat these names")]
fn read_row(
    path: &Path,
    line: u64,
    record: &csv::StringRecord,
    device: usize,
    timestamp: usize,
    wanted: &[(usize, String)],
    options: &ReadOptions,
    raw: &mut Raw,
) -> Result<(), ReadError> {
    let id = record.get(device).unwrap_or_default();
    if id.is_empty() {
        return Err(ReadError::row(path, line, "device_id", "is empty"));
    }
    let at = moment(record.get(timestamp).unwrap_or_default()).ok_or_else(|| {
        let value = record.get(timestamp).unwrap_or_default();
        ReadError::row(
            path,
            line,
            "timestamp",
            format!("`{value}` is neither Unix seconds nor RFC 3339 such as 2024-03-04T00:00:00Z (milliseconds are not read)"),
        )
    })?;
    let mut clipped = 0;
    for (index, name) in wanted {
        let cell = record.get(*index).unwrap_or_default();
        if cell.is_empty() {
            raw.values.push(f32::NAN);
            continue;
        }
        let value: f32 = cell.parse().map_err(|_| {
            ReadError::row(
                path,
                line,
                name,
                format!("`{cell}` is no number; leave missing values empty, or pick columns with --metrics"),
            )
        })?;
        if options.any_number && value.abs() > VALUE_MAX {
            let problem = format!("`{cell}` is too large: at most {VALUE_MAX:e} on either side of 0");
            return Err(ReadError::row(path, line, name, problem));
        }
        if !value.is_finite() {
            return Err(ReadError::row(path, line, name, format!("`{cell}` is no load; leave missing values empty")));
        }
        let inside = if options.any_number { value } else { value.clamp(0.0, 100.0) };
        if inside != value {
            if !options.clip {
                let problem = format!(
                    "`{cell}` is not in 0..=100 percent of capacity; is the column in other units? Choose columns with --metrics cpu,memory, or bring values into range with --clip"
                );
                return Err(ReadError::row(path, line, name, problem));
            }
            clipped += 1;
        }
        raw.values.push(inside);
    }
    raw.clipped += clipped;
    let next = raw.devices.len() as u32;
    let index = match raw.devices.get(id) {
        Some(index) => *index,
        None => *raw.devices.entry(id.to_owned()).or_insert(next),
    };
    raw.rows.push((index, at));
    Ok(())
}

/// A moment in Unix seconds, from Unix seconds or RFC 3339; `None` for anything else.
pub fn moment(text: &str) -> Option<i64> {
    // Years 0001 to 9999.
    let sane = |s: &i64| (-62_135_596_800..=253_402_300_799).contains(s);
    let seconds = text
        .parse::<i64>()
        .ok()
        .or_else(|| text.parse::<f64>().ok().filter(|s| s.is_finite()).map(|s| s.floor() as i64));
    seconds.or_else(|| text.parse::<jiff::Timestamp>().ok().map(|t| t.as_second())).filter(sane)
}

/// Lengths of a step that people choose, seconds.
const USUAL_S: [i64; 16] = [1, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 86_400];

/// The most common difference between successive moments of a device, whatever the order of the rows. Where moments jitter, so that no
/// difference is the rule, the usual length that their median lies within 2 % of.
fn period(rows: &[(u32, i64)]) -> i64 {
    let mut moments = rows.to_vec();
    moments.sort_unstable();
    moments.dedup();
    let mut gaps: Vec<i64> =
        moments.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| pair[1].1 - pair[0].1).collect();
    gaps.sort_unstable();
    let Some(median) = gaps.get(gaps.len() / 2).copied() else { return 300 };
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    gaps.iter().for_each(|gap| *counts.entry(*gap).or_default() += 1);
    let common = counts.into_iter().max_by_key(|(gap, count)| (*count, std::cmp::Reverse(*gap)));
    let usual = USUAL_S.into_iter().find(|usual| (median - usual).abs() * 50 <= *usual);
    match (common, usual) {
        (Some((_, count)), Some(usual)) if count * 10 < gaps.len() * 9 => usual,
        (Some((gap, _)), _) => gap,
        (None, _) => median,
    }
}

fn assemble(first_file: &Path, raw: Raw) -> Result<Recording, ReadError> {
    let period_s = period(&raw.rows);
    let start_s = raw.rows.iter().map(|(_, at)| at.div_euclid(period_s) * period_s).min().unwrap_or(0);
    let end = raw.rows.iter().map(|(_, at)| at.div_euclid(period_s)).max().unwrap_or(0);
    let steps = (end - start_s.div_euclid(period_s) + 1) as usize;
    let order: BTreeMap<u32, usize> =
        raw.devices.values().enumerate().map(|(position, index)| (*index, position)).collect();
    let metrics = raw.metrics.len();
    let cells = steps
        .checked_mul(raw.devices.len())
        .and_then(|c| c.checked_mul(metrics.max(1)))
        .filter(|c| *c <= CELLS_FREE + raw.rows.len() * CELLS_PER_ROW_MAX);
    let Some(cells) = cells else {
        let problem = format!(
            "{} devices over {steps} steps of {period_s} s are nearly all gaps; is a timestamp far off?",
            raw.devices.len()
        );
        return Err(ReadError::file(first_file, problem));
    };
    let per_metric = cells / metrics.max(1);
    let mut columns = vec![vec![f32::NAN; per_metric]; metrics];
    let mut repeated = 0;
    for (row, (device, at)) in raw.rows.iter().enumerate() {
        let step = (at - start_s).div_euclid(period_s) as usize;
        for (metric, column) in columns.iter_mut().enumerate() {
            let value = raw.values[row * metrics + metric];
            if value.is_finite() {
                let place = &mut column[order[device] * steps + step];
                repeated += u64::from(place.is_finite());
                *place = value;
            }
        }
    }
    let known: Vec<bool> = columns.iter().map(|c| c.iter().any(|v| v.is_finite())).collect();
    if !known.contains(&true) {
        return Err(ReadError::file(first_file, "holds no value at all in the chosen columns"));
    }
    let keep = |i: &usize| known[*i];
    Ok(Recording {
        period_s,
        start_s,
        steps,
        metrics: (0..metrics).filter(keep).map(|i| raw.metrics[i].clone()).collect(),
        columns: columns.into_iter().zip(&known).filter(|(_, k)| **k).map(|(c, _)| c).collect(),
        devices: raw.devices.into_keys().collect(),
        clipped: raw.clipped,
        skipped: raw.skipped,
        repeated,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(dir.path().join(name), bytes).unwrap();
        }
        dir
    }

    fn read_text(text: &str, options: &ReadOptions) -> Result<Recording, String> {
        let dir = folder(&[("a.csv", text.as_bytes())]);
        read(&[dir.path().to_owned()], options).map_err(|e| e.to_string())
    }

    const HEAD: &str = "device_id,timestamp,cpu,memory\n";

    #[test]
    fn rows_become_equal_steps_and_empty_metrics_go() {
        let text = format!("{HEAD}b,600,20,\na,300,10,\na,2024-03-04T00:00:00Z,1,\n");
        assert!(read_text(&text, &ReadOptions::default()).is_ok());
        let text = format!("{HEAD}b,600,20,\na,300,10,\na,600,11,\na,1200,12,\na,1500,13,\n");
        let recording = read_text(&text, &ReadOptions::default()).unwrap();
        assert_eq!((recording.period_s, recording.start_s, recording.steps), (300, 300, 5));
        assert_eq!(recording.metrics, ["cpu"]);
        assert_eq!(recording.series(0, 0)[1], 11.0);
        assert!(recording.series(0, 0)[2].is_nan());
        assert_eq!(recording.series(0, 1)[1], 20.0);
    }

    #[test]
    fn every_mistake_names_line_column_value_and_cure() {
        let said = |rows: &str| read_text(&format!("{HEAD}{rows}"), &ReadOptions::default()).unwrap_err();
        assert!(said("a,1,x,\n").contains("a.csv:2: column `cpu`: `x` is no number"));
        assert!(said("a,1,NaN,\n").contains("`NaN` is no load"));
        assert!(
            said("a,1,5,\na,2,140,\n").contains(":3: column `cpu`: `140` is not in 0..=100")
                && said("a,1,140,\n").contains("--clip")
        );
        assert!(said("a,noon,5,\n").contains("neither Unix seconds nor RFC 3339"));
        assert!(said(",1,5,\n").contains("`device_id`: is empty"));
        assert!(said("").contains("no row of telemetry"));
        assert!(said("a,1,,\n").contains("no value at all"));
        assert!(said("a,0,1,\na,300,1,\na,90000000000,1,\n").contains("far off"));
        let missing = read_text("device,timestamp,cpu\n", &ReadOptions::default()).unwrap_err();
        assert!(missing.contains("has no column `device_id`; its header is `device,timestamp,cpu`"));
        let absent = read(&[PathBuf::from("nowhere-at-all")], &ReadOptions::default()).unwrap_err().to_string();
        assert!(absent.contains("nowhere-at-all: cannot be read"));
        for metrics in [None, Some(vec!["cpu".to_owned()])] {
            let options = ReadOptions { metrics, lenient: true, ..ReadOptions::default() };
            let twice = read_text("device_id,timestamp,cpu,cpu\na,0,1,2\n", &options).unwrap_err();
            assert!(twice.contains("a.csv:1: column `cpu`: stands twice"), "{twice}");
        }
        let empty = folder(&[("notes.txt", b"x")]);
        assert!(read(&[empty.path().to_owned()], &ReadOptions::default()).unwrap_err().to_string().contains("no .csv"));
    }

    #[test]
    fn lenient_skips_and_clip_clips_and_both_count() {
        let text = format!("{HEAD}a,0,5,\na,300,x,\na,600,140,\n");
        let options =
            ReadOptions { lenient: true, clip: true, metrics: Some(vec!["cpu".to_owned()]), any_number: false };
        let recording = read_text(&text, &options).unwrap();
        assert_eq!((recording.skipped, recording.clipped), (1, 1));
        assert_eq!(recording.series(0, 0).last(), Some(&100.0));
    }

    #[test]
    fn a_truncated_gzip_is_said() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        let rows: String = (0..4000).map(|i| format!("d{i},{},{}\n", i * 300, i % 97)).collect();
        encoder.write_all(format!("device_id,timestamp,cpu\n{rows}").as_bytes()).unwrap();
        let whole = encoder.finish().unwrap();
        let dir = folder(&[("a.csv.gz", &whole[..whole.len() / 2])]);
        let said = read(&[dir.path().to_owned()], &ReadOptions::default()).unwrap_err().to_string();
        assert!(said.contains("ends in the middle or is damaged"), "{said}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300), packed: bool) {
            let dir = folder(&[(if packed { "a.csv.gz" } else { "a.csv" }, &bytes)]);
            let _ = read(&[dir.path().to_owned()], &ReadOptions::default());
        }

        #[test]
        fn any_cells_are_read_or_refused(cells in proptest::collection::vec("[0-9eE.+:TZaN-]{0,12}", 9)) {
            let text = format!("{HEAD}{}\n{}\n{}\n", cells[..3].join(","), cells[3..6].join(","), cells[6..].join(","));
            let _ = read_text(&text, &ReadOptions { lenient: true, ..ReadOptions::default() });
        }
    }

    #[test]
    fn the_step_is_found_in_rows_of_any_order_and_in_moments_that_jitter() {
        let rows = |moments: &[i64]| moments.iter().map(|at| (0, *at)).collect::<Vec<_>>();
        assert_eq!(period(&rows(&[900, 1800, 2700, 0, 3600])), 900);
        assert_eq!(period(&rows(&[3600, 2700, 1800, 900, 0])), 900);
        assert_eq!(period(&rows(&[0, 302, 599, 901, 1198, 1502])), 300);
        assert_eq!(period(&rows(&[0, 700, 1400, 2100])), 700, "an odd step that is the rule");
        assert_eq!(period(&rows(&[5])), 300);
    }
}
