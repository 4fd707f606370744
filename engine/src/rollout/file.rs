//! The fields that every file about a package has: version, download size, what it suits, stepping stones.

use super::{Package, Stone};
use crate::document::{Document, InputError};
use crate::filter::Filter;
use crate::version::Version;
use serde::{Deserialize, Serialize, Serializer};

/// A stepping stone as it is written.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StoneFile {
    /// Its version.
    pub version: Option<String>,
    /// Download size with a unit, such as `200 MB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// The same in bytes; one of them.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "whole")]
    pub size_bytes: Option<f64>,
    /// What it may be installed over (default: anything).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compatible: Option<String>,
}

/// Ten terabytes: no package is larger, a slip of the unit is.
const BYTES_MAX: f64 = 1e13;
const UNITS: [(&str, f64); 8] = [
    ("B", 1.0),
    ("kB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("TB", 1e12),
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
];

/// A field that must be there; the error gives an example of it.
///
/// # Errors
/// [`InputError`] naming the field.
pub fn needed<T>(document: &Document, field: &str, given: Option<T>, example: &str) -> Result<T, InputError> {
    given.ok_or_else(|| document.error(field, "", format!("is missing; write {example}")))
}

/// A version.
///
/// # Errors
/// [`InputError`] where it is missing or none.
pub fn version(document: &Document, field: &str, given: Option<String>) -> Result<Version, InputError> {
    let text = needed(document, field, given, "version = \"2.4.1\"")?;
    // A number without quotation marks is the most common slip, and is told by this same sentence.
    let problem = "must be a version in quotation marks: one to four numbers with dots between, such as \"2.4.1\"";
    text.parse().map_err(|_| document.error(field, &text, problem))
}

/// A filter over devices; with none given, all of them.
///
/// # Errors
/// [`InputError`] with the column of the mistake.
pub fn filter(document: &Document, field: &str, given: Option<String>) -> Result<Filter, InputError> {
    let text = given.unwrap_or_else(|| "true".to_owned());
    Filter::parse(&text).map_err(|e| document.error(field, &text, e.to_string()))
}

/// Stepping stones.
///
/// # Errors
/// [`InputError`] naming the first field that is wrong, or their number.
pub fn stones(document: &Document, given: Vec<StoneFile>) -> Result<Vec<Stone>, InputError> {
    if given.len() > Package::STONES_MAX {
        return Err(document.error("stones", given.len(), format!("there may be at most {}", Package::STONES_MAX)));
    }
    let stone = |(i, given): (usize, StoneFile)| {
        let at = format!("stones[{i}].");
        Ok(Stone {
            version: version(document, &format!("{at}version"), given.version)?,
            size_bytes: size(document, &at, given.size.as_deref(), given.size_bytes)?,
            compatible: filter(document, &format!("{at}compatible"), given.compatible)?,
        })
    };
    given.into_iter().enumerate().map(stone).collect()
}

/// A download size: `size` with a unit or `size_bytes`, whose names begin with `at`.
///
/// # Errors
/// [`InputError`] where it is missing, given twice or no size.
pub fn size(document: &Document, at: &str, size: Option<&str>, size_bytes: Option<f64>) -> Result<u64, InputError> {
    let (field, bytes_field) = (format!("{at}size"), format!("{at}size_bytes"));
    match (size, size_bytes) {
        (Some(text), None) => {
            let problem =
                || document.error(&field, text, "must be a size such as \"200 MB\", \"1.5 GB\" or \"700 KiB\"");
            let digits = text.trim().trim_end_matches(|c: char| c.is_ascii_alphabetic());
            let unit = &text.trim()[digits.len()..];
            let factor = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(problem)?.1;
            let number: f64 = digits.trim().parse().map_err(|_| problem())?;
            document.in_range(&field, number * factor, 0.0, BYTES_MAX).map(|bytes| bytes.round() as u64)
        }
        (None, Some(bytes)) => document.in_range(&bytes_field, bytes, 0.0, BYTES_MAX).map(|bytes| bytes as u64),
        (Some(text), Some(_)) => Err(document.error(&field, text, "stands beside `size_bytes`: write one of them")),
        (None, None) => {
            Err(document.error(&field, "", "is missing; write size = \"200 MB\", or size_bytes = 200000000"))
        }
    }
}

/// Writes a whole number without a point.
///
/// # Errors
/// The serializer's.
pub fn whole<S: Serializer>(number: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match number {
        Some(number) if number.fract() == 0.0 && number.abs() < 9e15 => serializer.serialize_i64(*number as i64),
        Some(number) => serializer.serialize_f64(*number),
        None => serializer.serialize_none(),
    }
}
