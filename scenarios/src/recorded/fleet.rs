//! Fleet CSV or TOML: `device_id,pool,region,site,function,criticality,version,variant,weight,requirement`; all but the id optional.

use super::ReadError;
use serde::Deserialize;
use slacktide_engine::document::Document;
use slacktide_engine::ids::{DeviceId, PoolId, RegionId, SiteId};
use slacktide_engine::input::DeviceFacts;
use std::collections::BTreeMap;
use std::path::Path;

/// A device of a fleet file; what is absent stays absent, so that the caller may fill it in.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetRow {
    /// Its name.
    pub device_id: String,
    /// Default `default`; not empty.
    pub pool: Option<String>,
    /// Default `default`.
    pub region: Option<String>,
    /// Default: its region.
    pub site: Option<String>,
    /// Default `web`.
    pub function: Option<String>,
    /// 0–100; default by function.
    pub criticality: Option<f64>,
    /// Default 1.0; not empty.
    pub version: Option<String>,
    /// Default `a`.
    pub variant: Option<String>,
    /// Above 0; default 1.
    pub weight: Option<f64>,
    /// Points, 0 or more; default 1.
    pub requirement: Option<f64>,
}

/// Largest weight and requirement: the same as in a scenario, and sums of millions of them stay numbers.
const NUMBER_MAX: f64 = 1e9;

const COLUMNS: [&str; 10] =
    ["device_id", "pool", "region", "site", "function", "criticality", "version", "variant", "weight", "requirement"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FleetFile {
    devices: Vec<FleetRow>,
}

/// Reads a fleet from a `.csv` or `.toml` file (`[[devices]]` tables).
///
/// # Errors
/// [`ReadError`] naming file, line, column, value and range.
pub fn read_fleet(path: &Path) -> Result<Vec<DeviceFacts>, ReadError> {
    let text = std::fs::read_to_string(path).map_err(|e| ReadError::file(path, format!("cannot be read: {e}")))?;
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("toml")) {
        return read_toml(path, &text);
    }
    let rows = read_csv(path, &text)?;
    settle(path, rows, |line| format!("line {line}"))
}

fn settle(
    path: &Path,
    rows: Vec<(u64, FleetRow)>,
    place: impl Fn(u64) -> String,
) -> Result<Vec<DeviceFacts>, ReadError> {
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    let mut fleet = Vec::with_capacity(rows.len());
    for (line, row) in rows {
        if let Some(before) = seen.insert(row.device_id.clone(), line) {
            return Err(ReadError::row(
                path,
                line,
                "device_id",
                format!("`{}` stands in {} already", row.device_id, place(before)),
            ));
        }
        fleet.push(facts(path, line, row)?);
    }
    if fleet.is_empty() { Err(ReadError::file(path, "holds no device")) } else { Ok(fleet) }
}

fn read_toml(path: &Path, text: &str) -> Result<Vec<DeviceFacts>, ReadError> {
    let settle = |file: FleetFile, document: &Document| {
        let rows = (0_u64..).zip(file.devices).collect();
        // Counted from 0 instead of lines, which are looked up only for the row that is wrong.
        settle(path, rows, |i| format!("devices[{i}]")).map_err(|error| {
            let at = error.line.map_or_else(|| "devices".to_owned(), |i| format!("devices[{i}].{}", error.field));
            document.error(&at, "", error.problem)
        })
    };
    Document::read(&path.display().to_string(), text, settle).map_err(|error| {
        let value = if error.value.is_empty() { String::new() } else { format!("`{}` ", error.value) };
        let line = error.line.map(|line| line as u64);
        ReadError { path: path.to_owned(), line, field: error.field, problem: format!("{value}{}", error.problem) }
    })
}

fn read_csv(path: &Path, text: &str) -> Result<Vec<(u64, FleetRow)>, ReadError> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let bad = |e: &csv::Error| ReadError {
        path: path.to_owned(),
        line: e.position().map(csv::Position::line),
        field: String::new(),
        problem: format!("is no fleet CSV: {e}"),
    };
    let header = reader.headers().map_err(|e| bad(&e))?.clone();
    if !header.iter().any(|h| h == "device_id") {
        return Err(ReadError::row(
            path,
            1,
            "device_id",
            "is missing; the columns are device_id and, all optional, pool, region, site, function, criticality, version, variant, weight, requirement",
        ));
    }
    if let Some(unknown) = header.iter().find(|h| !COLUMNS.contains(h)) {
        let hint = slacktide_engine::document::hint(unknown, COLUMNS);
        let problem = format!("there is no such column{hint} Valid here: {}", COLUMNS.join(", "));
        return Err(ReadError::row(path, 1, unknown, problem));
    }
    super::once_each(path, &header)?;
    let mut rows = Vec::new();
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(|e| bad(&e))? {
        let line = record.position().map_or(0, csv::Position::line);
        let cell =
            |name: &str| header.iter().position(|h| h == name).and_then(|i| record.get(i)).filter(|c| !c.is_empty());
        let text = |name: &str| cell(name).map(str::to_owned);
        // Empty where the column is there: such a cell is told below, not filled in.
        let written = |name: &str| header.iter().position(|h| h == name).and_then(|i| record.get(i)).map(str::to_owned);
        let number = |name: &str| match cell(name) {
            None => Ok(None),
            Some(cell) => cell
                .parse::<f64>()
                .map(Some)
                .map_err(|_| ReadError::row(path, line, name, format!("`{cell}` is no number"))),
        };
        rows.push((
            line,
            FleetRow {
                device_id: text("device_id").unwrap_or_default(),
                pool: written("pool"),
                region: text("region"),
                site: text("site"),
                function: text("function"),
                criticality: number("criticality")?,
                version: written("version"),
                variant: text("variant"),
                weight: number("weight")?,
                requirement: number("requirement")?,
            },
        ));
    }
    Ok(rows)
}

fn facts(path: &Path, line: u64, row: FleetRow) -> Result<DeviceFacts, ReadError> {
    let bad = |field: &str, problem: String| Err(ReadError::row(path, line, field, problem));
    if row.device_id.is_empty() {
        return bad("device_id", "is empty".to_owned());
    }
    // What a device runs and whom it stands in for decide who is updated and when: nobody guesses them for one device among others.
    for (field, written, default) in
        [("pool", &row.pool, "all are in pool `default`"), ("version", &row.version, "all run 1.0")]
    {
        if written.as_ref().is_some_and(String::is_empty) {
            return bad(field, format!("is empty: write it, or name no {field} for any device, and {default}"));
        }
    }
    let (weight, requirement) = (row.weight.unwrap_or(1.0), row.requirement.unwrap_or(1.0));
    if !(weight > 0.0 && weight <= NUMBER_MAX) {
        return bad("weight", format!("`{weight}` must be a number above 0, at most {NUMBER_MAX}"));
    }
    if !(0.0..=NUMBER_MAX).contains(&requirement) {
        return bad("requirement", format!("`{requirement}` must be a number in 0..={NUMBER_MAX}"));
    }
    if let Some(criticality) = row.criticality.filter(|c| !(0.0..=100.0).contains(c)) {
        return bad("criticality", format!("`{criticality}` must be a number in 0..=100"));
    }
    let version = row.version.unwrap_or_else(|| "1.0".to_owned());
    let Ok(version) = version.parse() else {
        return bad("version", format!("`{version}` is no version such as 2.4.1"));
    };
    let region = row.region.unwrap_or_else(|| "default".to_owned());
    Ok(DeviceFacts {
        id: DeviceId::new(row.device_id),
        pool: PoolId::new(row.pool.unwrap_or_else(|| "default".to_owned())),
        site: SiteId::new(row.site.unwrap_or_else(|| region.clone())),
        region: RegionId::new(region),
        function: row.function.unwrap_or_else(|| "web".to_owned()),
        criticality: row.criticality,
        version,
        variant: row.variant.unwrap_or_else(|| "a".to_owned()),
        weight,
        requirement,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(name: &str, text: &str) -> Result<Vec<DeviceFacts>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        read_fleet(&path).map_err(|e| e.to_string())
    }

    #[test]
    fn only_the_id_is_needed_in_either_form() {
        let fleet = read_text("f.csv", "device_id,region,weight\na,north,2.5\nb,,\n").unwrap();
        assert_eq!(
            (fleet[0].region.as_str(), fleet[0].weight, fleet[1].region.as_str(), fleet[1].weight),
            ("north", 2.5, "default", 1.0)
        );
        assert_eq!((fleet[1].pool.as_str(), fleet[1].version.to_string()), ("default", "1.0".to_owned()));
        assert_eq!(
            read_text("f.toml", "[[devices]]\ndevice_id = \"a\"\nversion = \"2.4\"\n").unwrap()[0].version.to_string(),
            "2.4"
        );
    }

    #[test]
    fn every_mistake_is_named() {
        let said = |text: &str| read_text("f.csv", text).unwrap_err();
        assert!(said("device_id,weight\na,-2\n").contains("f.csv:2: column `weight`: `-2` must be a number above 0"));
        assert!(said("device_id,weight\na,heavy\n").contains("`heavy` is no number"));
        assert!(said("device_id,criticality\na,NaN\n").contains("must be a number in 0..=100"));
        assert!(said("device_id\na\na\n").contains("f.csv:3: column `device_id`: `a` stands in line 2 already"));
        assert!(said("device_id,wieght\na,1\n").contains("did you mean `weight`?"));
        assert!(said("device_id,qqqqqqqqqq\na,1\n").contains("there is no such column. Valid here: device_id"));
        assert!(said("pool\nx\n").contains("`device_id`: is missing"));
        assert!(said("device_id,version\na,x\n").contains("is no version"));
        let empty = said("device_id,version,pool\na,1.0,p\nb,,p\n");
        assert!(empty.contains("f.csv:3: column `version`: is empty") && empty.contains("all run 1.0"), "{empty}");
        assert!(said("device_id,pool\na,\n").contains("f.csv:2: column `pool`: is empty"));
        let toml = read_text("f.toml", "[[devices]]\ndevice_id = \"a\"\nversion = \"\"\n").unwrap_err();
        assert!(toml.contains("f.toml:3") && toml.contains("is empty"), "{toml}");
        assert!(said("device_id\n").contains("holds no device"));
    }
}
