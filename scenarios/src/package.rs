//! Package files: `name`, `version`, `size` (or `size_bytes`), `target`, `compatible`, `[[stones]]`.

use serde::Deserialize;
use slacktide_engine::document::{Document, InputError};
use slacktide_engine::filter::Filter;
use slacktide_engine::rollout::{Package, Stone};
use slacktide_engine::version::Version;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PackageFile {
    name: Option<String>,
    version: Option<String>,
    size: Option<String>,
    size_bytes: Option<f64>,
    target: Option<String>,
    compatible: Option<String>,
    #[serde(default)]
    stones: Vec<StoneFile>,
}

/// A stepping stone.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoneFile {
    version: Option<String>,
    size: Option<String>,
    size_bytes: Option<f64>,
    compatible: Option<String>,
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

/// Reads the text of a package file.
///
/// # Errors
/// [`InputError`] naming file, line, field, value and what would be right.
pub fn parse(source_name: &str, text: &str) -> Result<Package, InputError> {
    Document::read(source_name, text, settle)
}

fn settle(file: PackageFile, document: &Document) -> Result<Package, InputError> {
    let missing = |field: &str, example: &str| document.error(field, "", format!("is missing; write {example}"));
    let name = file.name.filter(|name| !name.is_empty()).ok_or_else(|| missing("name", "name = \"firmware\""))?;
    let version = |at: &str, given: Option<String>| {
        let field = format!("{at}version");
        let text = given.ok_or_else(|| missing(&field, "version = \"2.4.1\""))?;
        let read: Result<Version, _> = text.parse();
        read.map_err(|e| document.error(&field, &text, e.to_string()))
    };
    let filter = |field: &str, given: Option<String>| {
        let text = given.unwrap_or_else(|| "true".to_owned());
        Filter::parse(&text).map_err(|e| document.error(field, &text, e.to_string()))
    };
    if file.stones.len() > Package::STONES_MAX {
        return Err(document.error(
            "stones",
            file.stones.len(),
            format!("there may be at most {}", Package::STONES_MAX),
        ));
    }
    let stone = |(i, given): (usize, StoneFile)| {
        let at = format!("stones[{i}].");
        Ok(Stone {
            version: version(&at, given.version)?,
            size_bytes: size(document, &at, given.size.as_deref(), given.size_bytes)?,
            compatible: filter(&format!("{at}compatible"), given.compatible)?,
        })
    };
    Ok(Package {
        version: version("", file.version)?,
        size_bytes: size(document, "", file.size.as_deref(), file.size_bytes)?,
        stones: file.stones.into_iter().enumerate().map(stone).collect::<Result<_, InputError>>()?,
        target: filter("target", file.target)?,
        compatible: filter("compatible", file.compatible)?,
        name,
    })
}

fn size(document: &Document, at: &str, size: Option<&str>, size_bytes: Option<f64>) -> Result<u64, InputError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let bytes = |size: &str| {
            let text = format!("name = \"p\"\nversion = \"2\"\n{size}\n");
            parse("p.toml", &text).map(|package| package.size_bytes).map_err(|e| e.to_string())
        };
        assert_eq!(bytes("size = \"200 MB\""), Ok(200_000_000));
        assert_eq!(bytes("size = \"1.5GiB\""), Ok(1_610_612_736));
        assert_eq!(bytes("size_bytes = 7"), Ok(7));
        for bad in [
            "size = \"200\"",
            "size = \"-1 MB\"",
            "size = \"many MB\"",
            "size = \"99 TB\"",
            "size = \"\"",
            "size = \"ä\"",
        ] {
            assert!(bytes(bad).unwrap_err().starts_with("p.toml:3: field `size`: "), "{:?}", bytes(bad));
        }
        assert!(bytes("").unwrap_err().contains("field `size`: is missing"));
        assert!(bytes("size = \"1 MB\"\nsize_bytes = 5").unwrap_err().contains("one of them"));
    }
}
