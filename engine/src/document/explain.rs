//! From what the TOML reader says to what a person can act on.

use super::{Document, InputError, hint, nearest, shown};
use std::ops::Range;

/// What is wrong, and how to ask what would be right.
pub(super) struct Trouble {
    pub(super) error: InputError,
    /// Bytes of a value of the wrong type, and one of the right type that is surely out of range.
    pub(super) probe: Option<(Range<usize>, &'static str)>,
}

impl Document {
    pub(super) fn explain(&self, error: &toml::de::Error) -> Trouble {
        let message = error.message();
        let place = error.span().unwrap_or(0..0);
        let line = error.span().map(|span| self.line_at(span.start));
        let found = self.path_at(place.start);
        let value = self.text.get(found.as_ref().map_or(place, |found| found.place.clone())).unwrap_or_default();
        let value = if value.contains('\n') { "" } else { value };
        let field = match (&found, line) {
            (Some(found), _) => found.path.clone(),
            (None, Some(line)) => self.written_at(line),
            (None, None) => String::new(),
        };
        let mut error = InputError {
            source_name: self.source_name.clone(),
            line,
            field,
            value: shown(value),
            problem: message.replace('\n', "; "),
        };
        let mut probe = None;
        if let Some(listed) = message.strip_prefix("unknown field ") {
            let (name, valid) = listed_words(listed);
            error.field = found.map_or_else(|| name.to_owned(), |found| found.path);
            error.value = String::new();
            let hint = hint(name, valid.iter().copied());
            error.problem = format!("there is no such key{hint} Valid here: {}", valid.join(", "));
        } else if let Some(listed) = message.strip_prefix("unknown variant ") {
            let (name, valid) = listed_words(listed);
            let hint = nearest(name, valid.iter().copied()).map(|n| format!("; did you mean `{n}`?"));
            error.problem = format!("must be one of {}{}", valid.join(", "), hint.unwrap_or_default());
        } else if let Some((_, expected)) =
            message.split_once(", expected ").filter(|_| message.starts_with("invalid "))
        {
            let (wanted, instead) = wanted(expected);
            error.problem = format!("must be {wanted}");
            probe = found.map(|found| found.place).zip(instead);
        } else if message.starts_with("wanted string") {
            error.problem = "must be a word in quotation marks".to_owned();
            probe = found.map(|found| found.place).zip(Some("\"?\""));
        } else if message.contains("duplicate key") {
            error.problem = "is there already: each key stands once, and so does each table".to_owned();
        }
        Trouble { error, probe }
    }
}

/// The word that was found and those that are valid, out of "`a`, expected one of `b`, `c`".
fn listed_words(text: &str) -> (&str, Vec<&str>) {
    let mut words = text.split('`').skip(1).step_by(2);
    (words.next().unwrap_or_default(), words.collect())
}

/// A type in plain words, and a value of it that no range takes.
fn wanted(expected: &str) -> (String, Option<&'static str>) {
    let list = |words: &str| (format!("a list{words}"), None);
    match expected {
        "f64" | "f32" => ("a number".to_owned(), Some("nan")),
        "a whole number" => (expected.to_owned(), Some("nan")),
        "u8" => ("a whole number in 0..=255".to_owned(), None),
        "a number or a word" => ("a number, or a word in quotation marks".to_owned(), Some("nan")),
        "a string" => ("text in quotation marks".to_owned(), Some("\"?\"")),
        "a boolean" => ("true or false".to_owned(), None),
        "a sequence" => list(""),
        "a map" => ("a table of keys".to_owned(), None),
        _ if expected.starts_with("struct ") => ("a table of keys".to_owned(), None),
        _ => match (expected.strip_prefix("an array of length "), expected.strip_prefix('i')) {
            (Some(length), _) => list(&format!(" of {length} values")),
            (_, Some("64")) => ("a whole number".to_owned(), Some("-9223372036854775807")),
            _ => (expected.to_owned(), None),
        },
    }
}
