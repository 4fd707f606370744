//! TOML files with errors that say where: file, line, field, value, and what would be right.

use serde::de::DeserializeOwned;
use std::fmt;
use toml::de::{DeTable, DeValue};

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputError {
    /// The file, or what stands for it.
    pub source_name: String,
    /// Line, from 1, where it is known.
    pub line: Option<usize>,
    /// The field, dotted; empty where the trouble is not in one.
    pub field: String,
    /// The value found; empty where there is none.
    pub value: String,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source_name)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(": ")?;
        if !self.field.is_empty() {
            write!(f, "field `{}`: ", self.field)?;
        }
        if !self.value.is_empty() {
            write!(f, "value `{}`: ", self.value)?;
        }
        f.write_str(&self.problem)
    }
}

impl std::error::Error for InputError {}

/// The text of a file that has been read, kept to say where its fields stand.
#[derive(Debug, Clone)]
pub struct Document {
    source_name: String,
    text: String,
}

impl Document {
    /// Reads TOML `text` into `T`. `source_name` is the file's name for messages.
    ///
    /// # Errors
    /// [`InputError`] with the line; an unknown key names the nearest valid one.
    pub fn parse<T: DeserializeOwned>(source_name: &str, text: &str) -> Result<(T, Self), InputError> {
        let document = Self { source_name: source_name.to_owned(), text: text.to_owned() };
        match toml::from_str(text) {
            Ok(value) => Ok((value, document)),
            Err(error) => Err(document.explain(&error)),
        }
    }

    fn explain(&self, error: &toml::de::Error) -> InputError {
        let message = error.message().to_owned();
        let line = error.span().map(|span| self.line_at(span.start));
        let value = error.span().and_then(|span| self.text.get(span)).unwrap_or_default();
        let value = if value.len() <= 60 && !value.contains('\n') { value.to_owned() } else { String::new() };
        let mut parts = message.split('`');
        if message.starts_with("unknown field") {
            let found = parts.nth(1).unwrap_or_default().to_owned();
            let valid: Vec<&str> = message.split('`').skip(3).step_by(2).collect();
            let hint =
                nearest(&found, valid.iter().copied()).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
            let problem = format!("there is no such key{hint} Valid here: {}", valid.join(", "));
            return InputError {
                source_name: self.source_name.clone(),
                line,
                field: found,
                value: String::new(),
                problem,
            };
        }
        InputError { source_name: self.source_name.clone(), line, field: String::new(), value, problem: message }
    }

    /// The file, or what stands for it.
    pub fn source_name(&self) -> &str {
        &self.source_name
    }

    /// Line, from 1, of a byte position.
    fn line_at(&self, position: usize) -> usize {
        self.text.as_bytes().iter().take(position).filter(|b| **b == b'\n').count() + 1
    }

    /// Line of a field such as `waves[1].share_percent`; of the longest part of the path that is there.
    pub fn line_of(&self, path: &str) -> Option<usize> {
        let root = DeTable::parse(&self.text).ok()?;
        let mut table = root.get_ref();
        let mut found = None;
        for part in path.split('.') {
            let (key, index) = match part.split_once('[') {
                Some((key, rest)) => (key, rest.trim_end_matches(']').parse::<usize>().ok()),
                None => (part, None),
            };
            let Some((name, value)) = table.iter().find(|(name, _)| name.get_ref() == key) else { break };
            found = Some(name.span().start);
            let mut value = value.get_ref();
            if let (Some(index), DeValue::Array(items)) = (index, value) {
                let Some(item) = items.get(index) else { break };
                found = Some(item.span().start);
                value = item.get_ref();
            }
            match value {
                DeValue::Table(inner) => table = inner,
                _ => break,
            }
        }
        found.map(|position| self.line_at(position))
    }

    /// An error about a field of this document.
    pub fn error(&self, path: &str, value: impl fmt::Display, problem: impl Into<String>) -> InputError {
        InputError {
            source_name: self.source_name.clone(),
            line: self.line_of(path),
            field: path.to_owned(),
            value: value.to_string(),
            problem: problem.into(),
        }
    }

    /// `value` when it lies in `min..=max`.
    ///
    /// # Errors
    /// [`InputError`] naming the range, for NaN too.
    pub fn in_range(&self, path: &str, value: f64, min: f64, max: f64) -> Result<f64, InputError> {
        if value >= min && value <= max {
            return Ok(value);
        }
        let problem = if max >= f64::MAX {
            format!("must be a number of at least {min}")
        } else {
            format!("must be a number in {min}..={max}")
        };
        Err(self.error(path, value, problem))
    }

    /// A span of time in a range, written as [`parse_span`] reads it.
    ///
    /// # Errors
    /// [`InputError`] naming the form and the range.
    pub fn span(
        &self,
        path: &str,
        text: &str,
        min: crate::time::Span,
        max: crate::time::Span,
    ) -> Result<crate::time::Span, InputError> {
        let span = parse_span(text).map_err(|problem| self.error(path, text, problem))?;
        if span < min || span > max {
            let problem = format!("must be a time from {} to {}", format_span(min), format_span(max));
            return Err(self.error(path, text, problem));
        }
        Ok(span)
    }
}

/// The choice most like `word`, if one is like it at all (at most half of its letters differ, and at most four).
pub fn nearest<'a>(word: &str, choices: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 2).clamp(1, 4);
    let scored = choices.into_iter().map(|choice| (distance(word, choice), choice));
    scored.filter(|(d, _)| *d <= limit).min_by_key(|(d, _)| *d).map(|(_, choice)| choice)
}

/// Letters to change, add or drop (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("ms", 1), ("m", 60_000), ("s", 1000)];

/// Reads a time such as `15m`, `1h 30m`, `7d` or `0s`.
///
/// # Errors
/// What is wrong, for people.
pub fn parse_span(text: &str) -> Result<crate::time::Span, String> {
    let problem = || "must be a time such as 90s, 15m, 1h 30m or 7d".to_owned();
    let mut total: u64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(problem());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_| problem())?;
        rest = rest[digits..].trim_start();
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = UNITS.iter().find(|(name, _)| *name == &rest[..letters]).ok_or_else(problem)?;
        total = number.checked_mul(unit.1).and_then(|ms| total.checked_add(ms)).ok_or_else(problem)?;
        rest = rest[letters..].trim_start();
    }
    Ok(crate::time::Span::from_millis(total))
}

/// Writes a time as [`parse_span`] reads it.
pub fn format_span(span: crate::time::Span) -> String {
    let mut ms = span.as_millis();
    let mut parts = Vec::new();
    for (name, size) in [UNITS[0], UNITS[1], UNITS[3], UNITS[4], UNITS[2]] {
        if ms >= size {
            parts.push(format!("{}{name}", ms / size));
            ms %= size;
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        slot: i64,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        plan: Inner,
        #[serde(default)]
        waves: Vec<Inner>,
    }

    #[test]
    fn unknown_keys_name_line_and_nearest() {
        let error = Document::parse::<Outer>("p.toml", "[plan]\nslto = 3\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "p.toml:2: field `slto`: there is no such key; did you mean `slot`? Valid here: slot"
        );
    }

    #[test]
    fn wrong_types_name_line_and_value() {
        let error = Document::parse::<Outer>("p.toml", "[plan]\nslot = \"x\"\n").unwrap_err();
        assert!(error.to_string().starts_with("p.toml:2: value `\"x\"`: invalid type"), "{error}");
    }

    #[test]
    fn lines_are_found_in_tables_and_arrays() {
        let text = "[plan]\nslot = 3\n\n[[waves]]\nslot = 1\n[[waves]]\nslot = 2\n";
        let (outer, document) = Document::parse::<Outer>("p.toml", text).unwrap();
        assert_eq!((outer.plan.slot, outer.waves[1].slot), (3, 2));
        assert_eq!(document.line_of("plan.slot"), Some(2));
        assert_eq!(document.line_of("waves[1].slot"), Some(7));
        assert_eq!(document.line_of("nowhere"), None);
        let error = document.in_range("plan.slot", f64::NAN, 0.0, 5.0).unwrap_err();
        assert_eq!(error.to_string(), "p.toml:2: field `plan.slot`: value `NaN`: must be a number in 0..=5");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
            let _ = Document::parse::<Outer>("x", &text).map_err(|e| e.to_string());
            let _ = parse_span(&text);
        }

        #[test]
        fn spans_come_back(ms in 0u64..10_000_000_000) {
            let span = crate::time::Span::from_millis(ms);
            prop_assert_eq!(parse_span(&format_span(span)), Ok(span));
        }
    }
}
