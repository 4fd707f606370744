//! The telemetry that a full journal holds, as CSV that `simulate --traces`, `forecast`, `calibrate` and `plan --history` read.

use slacktide_engine::input::{Input, TelemetryBatch};
use slacktide_engine::journal::JournalMode;
use slacktide_engine::journal::entry::{Entry, Line};

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// A journal of decisions leaves telemetry out.
    #[error(
        "a journal of decisions holds no telemetry: it takes a full one (`simulate --journal full`, or a controller's)"
    )]
    NotFull,
    /// A line that cannot be read.
    #[error("line {line}: {problem}")]
    Line {
        /// Counts from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// The text could not be put together.
    #[error("cannot write CSV: {0}")]
    Csv(#[from] csv::Error),
}

/// `device_id,timestamp,METRIC,…`: a row for every device and report, by time; Unix seconds, percent of capacity, empty where nothing was heard.
/// Reports of which no metric was heard are left out.
///
/// # Errors
/// [`TelemetryError`].
pub fn telemetry_csv<'a>(journal: impl IntoIterator<Item = &'a str>) -> Result<Vec<u8>, TelemetryError> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    let mut names: Vec<String> = Vec::new();
    for (i, text) in journal.into_iter().enumerate() {
        let read: Result<Line, _> = serde_json::from_str(text);
        let line = read.map_err(|error| TelemetryError::Line { line: i + 1, problem: error.to_string() })?;
        match line.entry {
            Entry::Header(header) if header.mode != JournalMode::Full => return Err(TelemetryError::NotFull),
            Entry::Header(header) => {
                let columns = ["device_id", "timestamp"].into_iter().chain(header.metrics.iter().map(String::as_str));
                csv.write_record(columns)?;
            }
            Entry::Input { input } => match *input {
                Input::Enrolled { devices } => {
                    names.extend(devices.iter().map(|device| device.id.as_str().to_owned()));
                }
                Input::Telemetry(batch) => rows(&mut csv, line.at.as_secs(), &names, &batch)?,
                _ => {}
            },
            _ => {}
        }
    }
    csv.into_inner().map_err(|error| csv::Error::from(error.into_error()).into())
}

fn rows(csv: &mut csv::Writer<Vec<u8>>, at_s: i64, names: &[String], batch: &TelemetryBatch) -> Result<(), csv::Error> {
    let count = batch.columns.first().map_or(0, Vec::len);
    let at = at_s.to_string();
    for row in 0..count {
        let device = batch.devices.as_ref().map_or(Some(row), |devices| devices.get(row).map(|device| device.index()));
        let Some(name) = device.and_then(|device| names.get(device)) else { continue };
        let value = |column: &Vec<f32>| column.get(row).copied().filter(|value| value.is_finite());
        let values: Vec<Option<f32>> = batch.columns.iter().map(value).collect();
        if values.iter().any(Option::is_some) {
            let cells = values.iter().map(|value| value.map(|value| value.to_string()).unwrap_or_default());
            csv.write_record([name.clone(), at.clone()].into_iter().chain(cells))?;
        }
    }
    Ok(())
}
