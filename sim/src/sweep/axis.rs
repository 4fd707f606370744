//! A varied field and the values it may take.

use serde_json::Value;
use slacktide_engine::document::{InputError, format_span, parse_span};
use slacktide_engine::time::Span;

/// Steps of a range on a grid when none are named.
const STEPS: usize = 5;
/// Most values of one field on a grid.
const STEPS_MAX: usize = 1000;

/// What the numbers of a range count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A plain number.
    Number,
    /// Milliseconds, written as a time such as `1h 30m`.
    Span,
    /// A share, written as `25%`.
    Percent,
}

/// The values a field takes.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Everything from one end to the other.
    Range {
        /// What is counted.
        kind: Kind,
        /// The lower end.
        low: f64,
        /// The upper end, above the lower.
        high: f64,
        /// Values on a grid, where named.
        steps: Option<usize>,
        /// Even steps of the logarithm rather than of the value.
        log: bool,
        /// The field takes whole numbers only.
        whole: bool,
    },
    /// One of these, as written.
    Choices(Vec<Value>),
}

/// A varied field.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// Its dotted name; of the scenario where it begins with `scenario.`, else of the policy.
    pub field: String,
    /// What it may be.
    pub values: Values,
}

fn wrong(field: &str, value: &str, problem: impl Into<String>) -> InputError {
    InputError {
        source_name: "--vary".to_owned(),
        line: None,
        field: field.to_owned(),
        value: value.to_owned(),
        problem: problem.into(),
    }
}

/// A number with its unit, as it stands at an end of a range.
fn end(text: &str) -> Option<(Kind, f64)> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        return number.is_finite().then_some((Kind::Number, number));
    }
    if let Some(share) = text.strip_suffix('%') {
        return share.trim().parse::<f64>().ok().filter(|v| v.is_finite()).map(|share| (Kind::Percent, share));
    }
    parse_span(text).ok().map(|span| (Kind::Span, span.as_millis() as f64))
}

impl Axis {
    /// Reads `FIELD=LO..HI[:N][:log]` or `FIELD=a,b,c`.
    ///
    /// # Errors
    /// [`InputError`] that names the field and says what is wrong with its values.
    pub fn parse(text: &str) -> Result<Self, InputError> {
        let Some((field, values)) = text.split_once('=') else {
            let problem = "write FIELD=LO..HI, FIELD=LO..HI:N or FIELD=a,b,c, such as plan.device_load_max=50..90:9";
            return Err(wrong("", text, problem));
        };
        let (field, values) = (field.trim(), values.trim());
        let values = match values.split_once("..") {
            Some((low, rest)) => Self::range(field, values, low, rest)?,
            None => Self::choices(field, values)?,
        };
        Ok(Self { field: field.to_owned(), values })
    }

    fn range(field: &str, all: &str, low: &str, rest: &str) -> Result<Values, InputError> {
        let mut parts = rest.split(':').map(str::trim);
        let high = parts.next().unwrap_or_default();
        let (mut steps, mut log) = (None, false);
        for part in parts {
            match part.parse::<usize>() {
                Ok(n) if (2..=STEPS_MAX).contains(&n) && steps.is_none() => steps = Some(n),
                _ if part == "log" && !log => log = true,
                _ => {
                    let problem = format!(
                        "after LO..HI come `:N`, the number of values (2..={STEPS_MAX}), and `:log`, each once; not `{part}`"
                    );
                    return Err(wrong(field, all, problem));
                }
            }
        }
        let ends = end(low).zip(end(high));
        let Some(((kind, low), (_, high))) = ends.filter(|(low, high)| low.0 == high.0) else {
            let problem = "both ends must be numbers (50..90), times (30m..4h) or shares (5%..40%)";
            return Err(wrong(field, all, problem));
        };
        if low >= high {
            return Err(wrong(field, all, "the lower end must come first and lie below the upper one"));
        }
        if log && low <= 0.0 {
            return Err(wrong(field, all, "a logarithmic range must begin above 0"));
        }
        Ok(Values::Range { kind, low, high, steps, log, whole: false })
    }

    fn choices(field: &str, all: &str) -> Result<Values, InputError> {
        let mut values = Vec::new();
        for word in all.split(',').map(str::trim) {
            if word.is_empty() {
                return Err(wrong(field, all, "there is nothing between two commas"));
            }
            let value = choice(word);
            if values.contains(&value) {
                return Err(wrong(field, all, format!("`{word}` stands there twice")));
            }
            values.push(value);
        }
        if values.len() < 2 {
            return Err(wrong(field, all, "one value varies nothing; fix a field of the policy by --set instead"));
        }
        Ok(Values::Choices(values))
    }

    /// The number of values on a grid.
    fn steps(&self) -> usize {
        match &self.values {
            Values::Range { steps, .. } => steps.unwrap_or(STEPS),
            Values::Choices(values) => values.len(),
        }
    }

    /// All values on a grid, each once: steps of whole numbers may fall together.
    pub(super) fn grid(&self) -> Vec<Value> {
        let steps = self.steps();
        let mut values: Vec<Value> = match &self.values {
            Values::Choices(values) => values.clone(),
            Values::Range { .. } => (0..steps).map(|i| self.at(i as f64 / (steps - 1) as f64)).collect(),
        };
        values.dedup();
        values
    }

    /// The value at a share `u` of the way, 0 the lower end and 1 the upper.
    pub(super) fn at(&self, u: f64) -> Value {
        match &self.values {
            Values::Choices(values) => values[((u * values.len() as f64) as usize).min(values.len() - 1)].clone(),
            Values::Range { kind, low, high, log, whole, .. } => {
                let value = if *log {
                    libm::exp(libm::log(*low) + u * (libm::log(*high) - libm::log(*low)))
                } else {
                    low + u * (high - low)
                };
                written(*kind, tidied(*kind, value, [*low, *high], *log, *whole).clamp(*low, *high))
            }
        }
    }

    /// The middle of a range, not rounded to whole numbers: a field that will not have it takes whole numbers only.
    pub fn fraction(&self) -> Option<Value> {
        match &self.values {
            Values::Range { kind: Kind::Number, low, high, .. } => {
                let middle = 0.5 * (low + high);
                let value = if middle.fract() == 0.0 { middle + 0.5 * (high - middle).min(1.0) } else { middle };
                (value.fract() != 0.0).then(|| value.into())
            }
            _ => None,
        }
    }

    /// The lower end, or the first choice.
    pub fn first(&self) -> Value {
        self.at(0.0)
    }

    /// Takes whole numbers only from now on.
    pub const fn make_whole(&mut self) {
        if let Values::Range { whole, .. } = &mut self.values {
            *whole = true;
        }
    }
}

/// A choice as it is meant: a number or a truth where it reads as one, else a text.
fn choice(word: &str) -> Value {
    match (word.parse::<bool>(), word.parse::<f64>()) {
        (Ok(truth), _) => truth.into(),
        (_, Ok(number)) if number.is_finite() => plain(number),
        _ => word.trim_matches('"').into(),
    }
}

/// Nobody sets a threshold to seventeen places. Numbers keep a thousandth of their range (of their size on a logarithmic one); times whole
/// minutes where both ends are and half an hour lies between them, else whole seconds where both ends are.
fn tidied(kind: Kind, value: f64, [low, high]: [f64; 2], log: bool, whole: bool) -> f64 {
    let divides = |step: f64| low % step == 0.0 && high % step == 0.0;
    let step = match kind {
        _ if whole => 1.0,
        Kind::Span if divides(60_000.0) && high - low >= 1_800_000.0 => 60_000.0,
        Kind::Span if divides(1000.0) => 1000.0,
        Kind::Span => 1.0,
        Kind::Number | Kind::Percent => {
            let size = if log { value } else { high - low };
            return decimal(value, 3 - libm::floor(libm::log10(size)) as i32);
        }
    };
    (value / step).round() * step
}

/// Rounded to so many places after the point. Divided by a whole power of ten, so that the nearest number to the decimal comes out.
fn decimal(value: f64, places: i32) -> f64 {
    let power = 10_f64.powi(places.abs());
    if places >= 0 { (value * power).round() / power } else { (value / power).round() * power }
}

fn plain(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 { (value as i64).into() } else { value.into() }
}

fn written(kind: Kind, value: f64) -> Value {
    match kind {
        Kind::Number => plain(value),
        Kind::Percent => format!("{value}%").into(),
        Kind::Span => format_span(Span::from_millis(value as u64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(text: &str) -> Vec<String> {
        Axis::parse(text).unwrap().grid().iter().map(|v| v.to_string().replace('"', "")).collect()
    }

    #[test]
    fn ranges_are_written_as_people_would() {
        assert_eq!(grid("a=50..90:3"), ["50", "70", "90"]);
        assert_eq!(grid("a=0.5..0.99:3"), ["0.5", "0.745", "0.99"]);
        assert_eq!(grid("a=30m..4h:3"), ["30m", "2h 15m", "4h"]);
        assert_eq!(grid("a=5%..40%:2"), ["5%", "40%"]);
        assert_eq!(grid("a=0.0001..0.1:4:log"), ["0.0001", "0.001", "0.01", "0.1"]);
        assert_eq!(grid("a=forecast,current"), ["forecast", "current"]);
        assert_eq!(grid("a=true,3,x"), ["true", "3", "x"]);
        assert_eq!(grid("a=1..2").len(), 5);
        let mut whole = Axis::parse("a=1..3:9").unwrap();
        whole.make_whole();
        assert_eq!(whole.grid(), [1, 2, 3].map(Value::from));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, said) in [
            ("plan.slot", "write FIELD=LO..HI"),
            ("a=5..x", "both ends must be"),
            ("a=5..30m", "both ends must be"),
            ("a=9..5", "the lower end must come first"),
            ("a=0..5:log", "must begin above 0"),
            ("a=0..5:1", "after LO..HI come"),
            ("a=0..5:3:4", "after LO..HI come"),
            ("a=1,,2", "nothing between two commas"),
            ("a=1,1", "stands there twice"),
            ("a=7", "varies nothing"),
        ] {
            let error = Axis::parse(text).unwrap_err().to_string();
            assert!(error.starts_with("--vary") && error.contains(said), "{text}: {error}");
        }
    }
}
