//! Package files: `name`, `version`, `size` (or `size_bytes`), `target`, `compatible`, `[[stones]]`.

use serde::Deserialize;
use slacktide_engine::document::{Document, InputError};
use slacktide_engine::rollout::Package;
use slacktide_engine::rollout::file::{self, StoneFile};

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

/// Reads the text of a package file.
///
/// # Errors
/// [`InputError`] naming file, line, field, value and what would be right.
pub fn parse(source_name: &str, text: &str) -> Result<Package, InputError> {
    Document::read(source_name, text, settle)
}

fn settle(given: PackageFile, document: &Document) -> Result<Package, InputError> {
    let name = given.name.filter(|name| !name.is_empty());
    Ok(Package {
        name: file::needed(document, "name", name, "name = \"firmware\"")?,
        stones: file::stones(document, given.stones)?,
        sha256: None,
        version: file::version(document, "version", given.version)?,
        size_bytes: file::size(document, "", given.size.as_deref(), given.size_bytes)?,
        target: file::filter(document, "target", given.target)?,
        compatible: file::filter(document, "compatible", given.compatible)?,
    })
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
