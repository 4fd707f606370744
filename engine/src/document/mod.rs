//! TOML files with errors that say where: file, line, field, value, and what would be right.

mod explain;
mod place;
mod whole;

pub use place::below;
pub use whole::Whole;

use serde::de::DeserializeOwned;
use std::fmt;

/// Longest value that an error shows, in characters: one more is an accident, and not worth a screen.
const SHOWN_MAX: usize = 200;

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputError {
    /// The file, or what stands for it.
    pub source_name: String,
    /// Line, from 1, where it is known.
    pub line: Option<usize>,
    /// The field, dotted, odd names in quotation marks; empty where the trouble is not in one.
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
    /// The table that the fields stand in, with its dot; empty for the whole file.
    within: String,
}

impl Document {
    /// Reads TOML `text` into `T` and settles it into a valid `U`. `source_name` is the file's name for messages.
    ///
    /// # Errors
    /// [`InputError`] with the line; an unknown key names the nearest valid one, and a value of the wrong type is told what `settle` says
    /// of a value that is out of range there.
    pub fn read<T: DeserializeOwned, U>(
        source_name: &str,
        text: &str,
        settle: impl Fn(T, &Self) -> Result<U, InputError>,
    ) -> Result<U, InputError> {
        let document = Self { source_name: source_name.to_owned(), text: text.to_owned(), within: String::new() };
        let trouble = match toml::from_str::<T>(text) {
            Ok(given) => return settle(given, &document),
            Err(error) => document.explain(&error),
        };
        let mut error = trouble.error;
        if let Some((place, instead)) = trouble.probe
            && let (Some(before), Some(after)) = (text.get(..place.start), text.get(place.end..))
        {
            let probe = Self { text: format!("{before}{instead}{after}"), ..document };
            let asked = match toml::from_str::<T>(&probe.text) {
                Ok(given) => settle(given, &probe).err(),
                Err(error) => Some(probe.explain(&error).error),
            };
            if let Some(asked) = asked.filter(|asked| asked.field == error.field) {
                error.problem = asked.problem;
            }
        }
        Err(error)
    }

    /// The same document, seen from one of its tables: fields are named from there.
    #[must_use]
    pub fn within(&self, table: &str) -> Self {
        Self { within: format!("{}{table}.", self.within), ..self.clone() }
    }

    /// The file, or what stands for it.
    pub fn source_name(&self) -> &str {
        &self.source_name
    }

    /// An error about a field of this document.
    pub fn error(&self, path: &str, value: impl fmt::Display, problem: impl Into<String>) -> InputError {
        InputError {
            source_name: self.source_name.clone(),
            line: self.line_of(path),
            field: format!("{}{path}", self.within),
            value: shown(&value.to_string()),
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
        Err(self.error(path, value, format!("must be a number {}", range(min, max))))
    }

    /// `value` when it is whole and lies in `min..=max`.
    ///
    /// # Errors
    /// [`InputError`] naming the range, for NaN too.
    pub fn whole_in_range(&self, path: &str, value: Whole, min: u32, max: u32) -> Result<u32, InputError> {
        let number = f64::from(value);
        if number.fract() == 0.0 && number >= f64::from(min) && number <= f64::from(max) {
            return Ok(number as u32);
        }
        let problem = format!("must be a whole number {}", range(f64::from(min), f64::from(max)));
        Err(self.error(path, number, problem))
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
        let range = format!("from {} to {}", format_span(min), format_span(max));
        let span = parse_span(text).map_err(|problem| self.error(path, text, format!("{problem}; here {range}")))?;
        if span < min || span > max {
            return Err(self.error(path, text, format!("must be a time {range}")));
        }
        Ok(span)
    }
}

/// A range in words, for messages.
pub fn range(min: f64, max: f64) -> String {
    if max >= f64::MAX { format!("of at least {min}") } else { format!("in {min}..={max}") }
}

/// A value as an error shows it: on one line, and not too long.
fn shown(value: &str) -> String {
    let mut characters = value.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let short: String = characters.by_ref().take(SHOWN_MAX).collect();
    if characters.next().is_some() { format!("{short}…") } else { short }
}

/// The choice most like `word`, if one is like it at all (at most half of its letters differ, and at most four).
pub fn nearest<'a>(word: &str, choices: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    let limit = (length / 2).clamp(1, 4);
    let alike = choices.into_iter().filter(|choice| choice.chars().count().abs_diff(length) <= limit);
    let scored = alike.map(|choice| (distance(word, choice), choice));
    scored.filter(|(d, _)| *d <= limit).min_by_key(|(d, _)| *d).map(|(_, choice)| choice)
}

/// How a sentence on an unknown `word` goes on before all choices are named: with the nearest of them, or with its full stop.
pub fn hint<'a>(word: &str, choices: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, choices).map_or_else(|| ".".to_owned(), |near| format!("; did you mean `{near}`?"))
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

/// `1 device`, `2 devices`: for people.
pub fn counted(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
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

    fn parse(text: &str) -> Result<(Outer, Document), InputError> {
        Document::read("p.toml", text, |outer: Outer, document| Ok((outer, document.clone())))
    }

    #[test]
    fn unknown_keys_name_line_and_nearest() {
        let error = parse("[plan]\nslto = 3\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "p.toml:2: field `plan.slto`: there is no such key; did you mean `slot`? Valid here: slot"
        );
    }

    #[test]
    fn wrong_types_name_line_and_value() {
        let said = |text: &str| parse(text).unwrap_err().to_string();
        assert_eq!(
            said("[plan]\nslot = \"x\"\n"),
            "p.toml:2: field `plan.slot`: value `\"x\"`: must be a whole number"
        );
        assert_eq!(
            said("plan = { slot = 7 }\n[[waves]]\nslot = 1\n[[waves]]\nslot = [1]\n"),
            "p.toml:5: field `waves[1].slot`: value `[1]`: must be a whole number"
        );
        assert_eq!(said("plan = { slot = 7 }\nwaves = 3\n"), "p.toml:2: field `waves`: value `3`: must be a list");
        assert_eq!(said("plan = 3\n"), "p.toml:1: field `plan`: value `3`: must be a table of keys");
    }

    #[test]
    fn a_wrong_type_is_told_the_range_that_holds_there() {
        let settle = |outer: Outer, document: &Document| {
            document.in_range("plan.slot", outer.plan.slot as f64, 1.0, 9.0).map(|_| ())
        };
        let error = Document::read("p.toml", "[plan]\nslot = \"x\"\n", settle).unwrap_err();
        assert_eq!(error.to_string(), "p.toml:2: field `plan.slot`: value `\"x\"`: must be a number in 1..=9");
    }

    #[test]
    fn text_that_is_no_toml_names_the_line_and_the_field() {
        let said = |text: &str| parse(text).unwrap_err().to_string();
        let double = said("[plan]\nslot = 3\nslot = 4\n");
        assert!(
            double.starts_with("p.toml:3: field `plan.slot`: ") && double.contains("each key stands once"),
            "{double}"
        );
        assert!(
            said("[plan]\nslot = \n").starts_with("p.toml:2: field `plan.slot`: "),
            "{}",
            said("[plan]\nslot = \n")
        );
        assert!(said("[plan\n").starts_with("p.toml:1: "), "{}", said("[plan\n"));
    }

    #[test]
    fn lines_are_found_in_tables_and_arrays() {
        let text = "[plan]\nslot = 3\n\n[[waves]]\nslot = 1\n[[waves]]\nslot = 2\n";
        let (outer, document) = parse(text).unwrap();
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
            let _ = parse(&text).map_err(|e| e.to_string());
            let _ = parse_span(&text);
        }

        #[test]
        fn spans_come_back(ms in 0u64..10_000_000_000) {
            let span = crate::time::Span::from_millis(ms);
            prop_assert_eq!(parse_span(&format_span(span)), Ok(span));
        }
    }
}
