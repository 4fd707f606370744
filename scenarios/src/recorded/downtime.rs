//! Recorded availability: `device_id,from,to`, a row for each time a device was down.

use super::{ReadError, moment, once_each};
use crate::faults::{DownTime, DownTimes};
use slacktide_engine::ids::DeviceId;
use slacktide_engine::time::Instant;
use std::path::Path;

/// Reads down-times. Times are Unix seconds or RFC 3339; rows may come in any order and may overlap.
///
/// # Errors
/// [`ReadError`] naming file, line, column and value.
pub fn read_down_times(path: &Path) -> Result<DownTimes, ReadError> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_path(path)
        .map_err(|e| ReadError::file(path, format!("cannot be read: {e}")))?;
    let bad = |e: &csv::Error| ReadError {
        path: path.to_owned(),
        line: e.position().map(csv::Position::line),
        field: String::new(),
        problem: format!("is no CSV of down-times: {e}"),
    };
    let header = reader.headers().map_err(|e| bad(&e))?.clone();
    let column = |name: &str| {
        header
            .iter()
            .position(|h| h == name)
            .ok_or_else(|| ReadError::row(path, 1, name, "is missing; the columns are device_id, from and to"))
    };
    let (id, from, to) = (column("device_id")?, column("from")?, column("to")?);
    if let Some(extra) = header.iter().find(|h| !["device_id", "from", "to"].contains(h)) {
        return Err(ReadError::row(path, 1, extra, "there is no such column; there are device_id, from and to"));
    }
    once_each(path, &header)?;
    let mut rows = Vec::new();
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(|e| bad(&e))? {
        let line = record.position().map_or(0, csv::Position::line);
        let cell = |column: usize| record.get(column).unwrap_or_default();
        let time = |column: usize, name: &str| {
            moment(cell(column)).map(Instant::from_secs).ok_or_else(|| {
                let problem = format!("`{}` is no time: write Unix seconds or RFC 3339", cell(column));
                ReadError::row(path, line, name, problem)
            })
        };
        if cell(id).is_empty() {
            return Err(ReadError::row(path, line, "device_id", "is empty"));
        }
        let row = DownTime { line, device: DeviceId::new(cell(id)), from: time(from, "from")?, to: time(to, "to")? };
        if row.to <= row.from {
            return Err(ReadError::row(path, line, "to", format!("`{}` is not after `{}`", cell(to), cell(from))));
        }
        rows.push(row);
    }
    if rows.is_empty() {
        return Err(ReadError::file(path, "holds no row"));
    }
    rows.sort_by_key(|row| (row.from, row.line));
    Ok(DownTimes { file: path.to_owned(), rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Result<DownTimes, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("down.csv");
        std::fs::write(&file, text).unwrap();
        read_down_times(&file).map_err(|e| e.to_string().replace(&folder.path().display().to_string(), "."))
    }

    #[test]
    fn rows_are_read_in_the_order_of_time() {
        let down =
            said("device_id,from,to\nb,2024-03-04T02:00:00Z,2024-03-04T03:00:00Z\na,1709510400,1709514000\n").unwrap();
        let rows: Vec<(&str, i64)> = down.rows.iter().map(|r| (r.device.as_str(), r.from.as_secs())).collect();
        assert_eq!(rows, [("a", 1_709_510_400), ("b", 1_709_517_600)]);
    }

    #[test]
    fn mistakes_name_file_and_line() {
        let error = |text: &str| said(text).unwrap_err();
        let row = "device_id,from,to\na,1,2\n";
        assert!(
            error(&format!("{row}a,5,4\n")).contains("down.csv:3: column `to`: `4` is not after `5`"),
            "{}",
            error(&format!("{row}a,5,4\n"))
        );
        assert!(
            error(&format!("{row}a,soon,4\n")).contains("down.csv:3")
                && error(&format!("{row},3,4\n")).contains("is empty")
        );
        assert!(error(&format!("{row}a,5\n")).contains("down.csv"));
        assert!(error("device_id,from\n").contains("`to`") && error("device_id,from,to\n").contains("holds no row"));
        assert!(error("device_id,from,to,why\n").contains("there is no such column"));
        assert!(error("device_id,from,to\na,1709510400000,1709510500000\n").contains("is no time"));
    }
}
