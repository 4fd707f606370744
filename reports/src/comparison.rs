//! From the text of a comparison.json to its page, by the schema it names.

use crate::{accuracy, arms, calibration, sweep, twin};
use serde::Deserialize;

/// Schemas that have a page.
const SCHEMAS: [&str; 6] = [
    "slacktide/forecast-backtest/1",
    "slacktide/forecast-compare/1",
    "slacktide/compare/1",
    "slacktide/sweep/1",
    "slacktide/calibrate/1",
    "slacktide/twin/1",
];

/// A document that has no page.
#[derive(Debug, thiserror::Error)]
pub enum ComparisonError {
    /// It names no schema.
    #[error("this is no JSON document that names its schema")]
    NoSchema(#[source] serde_json::Error),
    /// Its schema is not one of ours, or newer than this program.
    #[error("`{0}` is no schema that has a page; these have: {known}", known = SCHEMAS.join(", "))]
    UnknownSchema(String),
    /// It does not hold what its schema asks for.
    #[error("this does not have the shape of `{schema}`; write it again with this version of slacktide")]
    Shape {
        /// The schema it names.
        schema: String,
        /// What is amiss, and where.
        #[source]
        source: serde_json::Error,
    },
}

#[derive(Debug, Deserialize)]
struct Head {
    schema: String,
}

/// The page of a document.
///
/// # Errors
/// [`ComparisonError`] when the document is not one of ours.
pub fn html(text: &str) -> Result<String, ComparisonError> {
    let Head { schema } = serde_json::from_str(text).map_err(ComparisonError::NoSchema)?;
    let page = match schema.as_str() {
        "slacktide/forecast-backtest/1" | "slacktide/forecast-compare/1" => {
            serde_json::from_str(text).map(|document| accuracy::html(&document))
        }
        "slacktide/compare/1" => serde_json::from_str(text).map(|document| arms::html(&document)),
        "slacktide/sweep/1" => serde_json::from_str(text).map(|document| sweep::html(&document)),
        "slacktide/calibrate/1" => serde_json::from_str(text).map(|document| calibration::html(&document)),
        "slacktide/twin/1" => serde_json::from_str(text).map(|document| twin::html(&document)),
        _ => return Err(ComparisonError::UnknownSchema(schema)),
    };
    page.map_err(|source| ComparisonError::Shape { schema, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ours_is_refused_in_words() {
        let said = |text: &str| html(text).unwrap_err().to_string();
        assert!(said("{").contains("no JSON document"));
        assert!(said(r#"{"schema": "slacktide/compare/9"}"#).contains("`slacktide/compare/9`"));
        assert!(said(r#"{"schema": "slacktide/compare/1"}"#).contains("the shape of `slacktide/compare/1`"));
        SCHEMAS.iter().for_each(|s| assert!(said(&format!(r#"{{"schema": "{s}"}}"#)).contains("shape")));
    }
}
