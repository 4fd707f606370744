//! Load that is made up, for demonstrations: never mixed with what is measured, and said in the log of every start.

use super::now_ms;
use super::sampler::Load;
use crate::wire::Sample;
use slacktide_engine::document::InputError;
use std::path::Path;
use std::time::Instant;

const DAY_MS: i64 = 86_400_000;
/// Rows of a played file that are kept.
const ROWS_MAX: usize = 1_000_000;

/// A daily curve with noise, or the rows of a file one after the other.
#[derive(Debug, Clone)]
pub enum Simulated {
    /// Low at four in the morning and high at four in the afternoon (UTC), with noise from the seed.
    Daily {
        /// Of the noise, and of the shift of the curve by up to an hour.
        seed: u64,
        /// Samples given so far.
        count: u64,
    },
    /// A row for each report, from the start again after the last.
    Rows {
        /// Names of the metrics.
        metrics: Vec<String>,
        /// Percent; empty cells are none.
        rows: Vec<Vec<Option<f32>>>,
        /// The next row.
        next: usize,
    },
}

/// What may be asked for, for messages.
const FORMS: &str = "must be `daily`, `daily:SEED`, `csv:FILE` or `csv:FILE:DEVICE`";

impl Simulated {
    /// Reads what was asked for: `daily`, `daily:SEED`, `csv:FILE` or `csv:FILE:DEVICE` (rows of that device only).
    ///
    /// # Errors
    /// Not one of these forms; the file cannot be read; a value that is no percentage.
    pub fn parse(spec: &str) -> Result<Self, InputError> {
        let error = |problem: String| InputError {
            source_name: "--simulate-load".into(),
            line: None,
            field: String::new(),
            value: spec.into(),
            problem,
        };
        let (form, rest) = spec.split_once(':').map_or((spec, None), |(form, rest)| (form, Some(rest)));
        match (form, rest) {
            ("daily", None) => Ok(Self::Daily { seed: 1, count: 0 }),
            ("daily", Some(seed)) => {
                let seed = seed
                    .parse()
                    .map_err(|_| error(format!("the seed must be a whole number from 0 to {}", u64::MAX)))?;
                Ok(Self::Daily { seed, count: 0 })
            }
            ("csv", Some(rest)) => {
                let (file, device) = rest.split_once(':').map_or((rest, None), |(file, device)| (file, Some(device)));
                let text =
                    std::fs::read_to_string(Path::new(file)).map_err(|e| error(format!("cannot be read: {e}")))?;
                rows(file, &text, device)
            }
            _ => Err(error(FORMS.into())),
        }
    }

    fn at(&mut self, at_ms: i64) -> Vec<Sample> {
        match self {
            Self::Daily { seed, count } => {
                *count += 1;
                let shift = noise(*seed, 0) * 3_600_000.0;
                let of_day = ((at_ms as f64 + shift) / DAY_MS as f64).rem_euclid(1.0);
                let wave = 0.5 - 0.5 * ((of_day - 4.0 / 24.0) * std::f64::consts::TAU).cos();
                let metrics =
                    [("cpu", 15.0, 55.0), ("memory", 40.0, 20.0), ("network", 5.0, 40.0), ("disk", 5.0, 20.0)];
                let value = |(i, (metric, low, rise)): (u64, (&str, f64, f64))| {
                    let percent = low + rise * wave + 6.0 * noise(*seed, 4 * *count + i);
                    Sample { metric: metric.into(), percent: percent.clamp(0.0, 100.0) as f32 }
                };
                (0..).zip(metrics).map(value).collect()
            }
            Self::Rows { metrics, rows, next } => {
                let row = &rows[*next % rows.len()];
                *next = (*next + 1) % rows.len();
                let known = metrics.iter().zip(row).filter_map(|(metric, percent)| Some((metric.clone(), (*percent)?)));
                known.map(|(metric, percent)| Sample { metric, percent }).collect()
            }
        }
    }
}

impl Load for Simulated {
    fn sample(&mut self, _now: Instant) -> Vec<Sample> {
        self.at(now_ms())
    }
}

/// From −1 to 1: splitmix64 of seed and number.
fn noise(seed: u64, number: u64) -> f64 {
    let mut z = seed.wrapping_add((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

fn rows(file: &str, text: &str, device: Option<&str>) -> Result<Simulated, InputError> {
    let error = |line: usize, field: &str, value: &str, problem: String| InputError {
        source_name: file.into(),
        line: Some(line),
        field: field.into(),
        value: value.into(),
        problem,
    };
    let mut lines = (1..).zip(text.lines().map(|line| line.trim_end_matches('\r')));
    let header: Vec<&str> = lines.next().map(|(_, line)| line.split(',').map(str::trim).collect()).unwrap_or_default();
    let device_column = header.iter().position(|name| *name == "device_id");
    let plain = |name: &str| matches!(name, "device_id" | "timestamp");
    let metrics: Vec<String> = header.iter().filter(|name| !plain(name)).map(|name| (*name).to_owned()).collect();
    if metrics.iter().any(String::is_empty) || metrics.is_empty() {
        return Err(error(
            1,
            "",
            "",
            "the first line must name the columns: metrics, and perhaps device_id and timestamp".into(),
        ));
    }
    let mut rows = Vec::new();
    for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        if cells.len() != header.len() {
            return Err(error(
                number,
                "",
                line,
                format!("has {} cells and not {} as the first line", cells.len(), header.len()),
            ));
        }
        if device.is_some_and(|wanted| device_column.is_some_and(|column| cells[column] != wanted)) {
            continue;
        }
        let mut row = Vec::new();
        for (name, cell) in header.iter().zip(&cells).filter(|(name, _)| !plain(name)) {
            let percent: Option<f32> = if cell.is_empty() { None } else { cell.parse().ok() };
            if !cell.is_empty() && percent.is_none_or(|p| !(0.0..=100.0).contains(&p)) {
                return Err(error(number, name, cell, "must be a percentage in 0..=100, or empty".into()));
            }
            row.push(percent);
        }
        if rows.len() == ROWS_MAX {
            return Err(error(number, "", "", format!("has more than {ROWS_MAX} rows")));
        }
        rows.push(row);
    }
    if rows.is_empty() {
        let whose = device.map_or_else(String::new, |device| format!(" for device {device}"));
        return Err(error(1, "", "", format!("has no rows{whose}")));
    }
    Ok(Simulated::Rows { metrics, rows, next: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_has_a_low_and_a_high_and_a_seed_gives_the_same_again() {
        let at = |hour: i64| Simulated::parse("daily:7").unwrap().at(hour * 3_600_000)[0].percent;
        assert!(at(4) < 30.0 && at(16) > 60.0, "{} {}", at(4), at(16));
        assert_eq!(at(9).to_bits(), at(9).to_bits());
        let other = Simulated::parse("daily:8").unwrap().at(9 * 3_600_000)[0].percent;
        assert!((other - at(9)).abs() > f32::EPSILON);
    }

    #[test]
    fn rows_are_played_one_after_the_other() {
        let text = "device_id,timestamp,cpu,disk\na,1,10,\nb,1,99,99\na,2,20,5\n";
        let mut load = rows("f.csv", text, Some("a")).unwrap();
        let cpus: Vec<f32> = (0..3).map(|_| load.at(0)[0].percent).collect();
        assert_eq!(cpus, [10.0, 20.0, 10.0]);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, wanted) in [
            ("cpu\n101\n", "f.csv:2: field `cpu`: value `101`: must be a percentage"),
            ("cpu\n1,2\n", "f.csv:2: value `1,2`: has 2 cells"),
            ("cpu\n", "has no rows"),
        ] {
            assert!(rows("f.csv", text, None).unwrap_err().to_string().contains(wanted));
        }
        assert!(Simulated::parse("hourly").unwrap_err().to_string().contains(FORMS));
    }
}
