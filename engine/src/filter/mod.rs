//! Who a rollout is for: `version < 2.4 && variant == "a" && capacity >= 40`.
//!
//! Attributes: `version variant function pool region site id capacity`. Comparisons: `==` and `!=` for all, `< <= > >=` for version and
//! capacity, `in ["a", "b"]` for the texts. Together with `&&`, `||`, `!` and brackets; `true` is everybody.
//!
//! *Capacity* changes from minute to minute: [`Filter::may_match`] leaves it open (three-valued logic after Kleene) and decides
//! membership of a rollout; [`Filter::matches`] fills it in whenever a device asks.

mod parse;

pub use parse::FilterError;

use crate::version::Version;
use std::cmp::Ordering;
use std::fmt;

/// A parsed filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter(pub(crate) Expr);

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    True,
    Text { attribute: TextAttribute, equal: bool, values: Vec<String> },
    Version { comparison: Comparison, version: Version },
    Capacity { comparison: Comparison, percent: f64 },
    Not(Box<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextAttribute {
    Variant,
    Function,
    Pool,
    Region,
    Site,
    Id,
}

impl TextAttribute {
    pub(crate) const ALL: [(&'static str, Self); 6] = [
        ("variant", Self::Variant),
        ("function", Self::Function),
        ("pool", Self::Pool),
        ("region", Self::Region),
        ("site", Self::Site),
        ("id", Self::Id),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, a)| *a == self).map_or("", |(name, _)| name)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Comparison {
    pub(crate) const ALL: [(&'static str, Self); 6] = [
        ("==", Self::Equal),
        ("!=", Self::NotEqual),
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        ("<", Self::Less),
        (">", Self::Greater),
    ];

    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::AtMost => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::AtLeast => ordering.is_ge(),
        }
    }

    fn sign(self) -> &'static str {
        Self::ALL.iter().find(|(_, c)| *c == self).map_or("", |(sign, _)| sign)
    }
}

/// What a filter may ask of a device, but for its capacity.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    /// The release it runs.
    pub version: &'a Version,
    /// Its build variant.
    pub variant: &'a str,
    /// What it does.
    pub function: &'a str,
    /// Its pool.
    pub pool: &'a str,
    /// Its region.
    pub region: &'a str,
    /// Its site.
    pub site: &'a str,
    /// Its name.
    pub id: &'a str,
}

impl Filter {
    /// Lets everybody through.
    pub const fn everything() -> Self {
        Self(Expr::True)
    }

    /// Reads a filter.
    ///
    /// # Errors
    /// [`FilterError`] pointing at the column.
    ///
    /// ```
    /// use slacktide_engine::filter::Filter;
    /// assert!(Filter::parse("version < 2.4 && capacity >= 40").is_ok());
    /// assert_eq!(Filter::parse("verson < 2").unwrap_err().column, 1);
    /// ```
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        parse::parse(text).map(Self)
    }

    /// Is there any capacity at which the device would be let through?
    pub fn may_match(&self, attributes: &Attributes<'_>) -> bool {
        eval(&self.0, attributes, None) != Some(false)
    }

    /// Is the device let through at this capacity score (0–100)?
    pub fn matches(&self, attributes: &Attributes<'_>, capacity: f64) -> bool {
        eval(&self.0, attributes, Some(capacity)) == Some(true)
    }
}

/// `decisive` when any item says so, unknown when none does and one is unknown, else its contrary.
fn kleene(items: &[Expr], of: &Attributes<'_>, capacity: Option<f64>, decisive: bool) -> Option<bool> {
    let mut unknown = false;
    for item in items {
        match eval(item, of, capacity) {
            Some(value) if value == decisive => return Some(decisive),
            Some(_) => {}
            None => unknown = true,
        }
    }
    if unknown { None } else { Some(!decisive) }
}

/// Kleene's three values: `None` is unknown.
fn eval(expr: &Expr, of: &Attributes<'_>, capacity: Option<f64>) -> Option<bool> {
    match expr {
        Expr::True => Some(true),
        Expr::Text { attribute, equal, values } => {
            let text = match attribute {
                TextAttribute::Variant => of.variant,
                TextAttribute::Function => of.function,
                TextAttribute::Pool => of.pool,
                TextAttribute::Region => of.region,
                TextAttribute::Site => of.site,
                TextAttribute::Id => of.id,
            };
            Some(values.iter().any(|v| v == text) == *equal)
        }
        Expr::Version { comparison, version } => Some(comparison.holds(of.version.cmp(version))),
        Expr::Capacity { comparison, percent } => capacity.map(|c| comparison.holds(c.total_cmp(percent))),
        Expr::Not(inner) => eval(inner, of, capacity).map(|v| !v),
        Expr::And(all) => kleene(all, of, capacity, false),
        Expr::Or(any) => kleene(any, of, capacity, true),
    }
}

impl fmt::Display for Filter {
    /// Text that reads back as the same filter.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, items: &[Self], sign: &str| {
            f.write_str("(")?;
            for (i, item) in items.iter().enumerate() {
                write!(f, "{}{item}", if i == 0 { "" } else { sign })?;
            }
            f.write_str(")")
        };
        match self {
            Self::True => f.write_str("true"),
            Self::Text { attribute, equal: true, values } if values.len() == 1 => {
                write!(f, "{} == \"{}\"", attribute.name(), values[0])
            }
            Self::Text { attribute, equal: false, values } if values.len() == 1 => {
                write!(f, "{} != \"{}\"", attribute.name(), values[0])
            }
            Self::Text { attribute, equal, values } => {
                let quoted: Vec<String> = values.iter().map(|v| format!("\"{v}\"")).collect();
                let plain = format!("{} in [{}]", attribute.name(), quoted.join(", "));
                if *equal { f.write_str(&plain) } else { write!(f, "!({plain})") }
            }
            Self::Version { comparison, version } => write!(f, "version {} {version}", comparison.sign()),
            Self::Capacity { comparison, percent } => write!(f, "capacity {} {percent}", comparison.sign()),
            Self::Not(inner) => write!(f, "!({inner})"),
            Self::And(items) => list(f, items, " && "),
            Self::Or(items) => list(f, items, " || "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(version: &Version) -> Attributes<'_> {
        Attributes { version, variant: "a", function: "web", pool: "shop", region: "eu", site: "eu-1", id: "d7" }
    }

    fn matches(filter: &str, capacity: f64) -> bool {
        Filter::parse(filter).unwrap().matches(&of(&"2.3".parse().unwrap()), capacity)
    }

    #[test]
    fn the_example_of_the_documentation() {
        let text = r#"version < 2.4 && variant == "a" && (pool != "db" || !(capacity >= 40))"#;
        assert!(matches(text, 90.0));
        assert!(matches("version < 2.4 && capacity >= 40", 40.0));
        assert!(!matches("version < 2.4 && capacity >= 40", 39.9));
        assert!(matches(r#"region in ["us", "eu"] && true"#, 0.0));
        assert!(!matches(r#"!(region in ["us", "eu"])"#, 0.0));
    }

    #[test]
    fn membership_leaves_capacity_open() {
        let version = "2.3".parse().unwrap();
        let may = |text| Filter::parse(text).unwrap().may_match(&of(&version));
        assert!(may("capacity >= 101") && may("!(capacity >= 0)"));
        assert!(!may(r#"capacity >= 0 && pool == "db""#));
        assert!(may(r#"capacity < 0 || pool == "shop""#));
    }

    fn expr() -> impl Strategy<Value = Expr> {
        let comparison = prop::sample::select(Comparison::ALL.map(|(_, c)| c).to_vec());
        let attribute = prop::sample::select(TextAttribute::ALL.map(|(_, a)| a).to_vec());
        let leaf =
            prop_oneof![
                Just(Expr::True),
                (attribute, proptest::collection::vec("[a-z0-9-]{0,5}", 1..3))
                    .prop_map(|(attribute, values)| Expr::Text { attribute, equal: true, values }),
                (comparison.clone(), 0u32..9)
                    .prop_map(|(comparison, v)| Expr::Version { comparison, version: v.to_string().parse().unwrap() }),
                (comparison, 0u32..101)
                    .prop_map(|(comparison, p)| Expr::Capacity { comparison, percent: f64::from(p) / 2.0 }),
            ];
        leaf.prop_recursive(4, 24, 3, |inner| {
            prop_oneof![
                inner.clone().prop_map(|e| Expr::Not(Box::new(e))),
                proptest::collection::vec(inner.clone(), 2..4).prop_map(Expr::And),
                proptest::collection::vec(inner, 2..4).prop_map(Expr::Or),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back_with_the_same_meaning(e in expr(), capacity in 0.0f64..100.0) {
            let filter = Filter(e);
            let again = Filter::parse(&filter.to_string()).unwrap();
            let version = "2.3".parse().unwrap();
            prop_assert_eq!(again.matches(&of(&version), capacity), filter.matches(&of(&version), capacity));
            prop_assert_eq!(again.to_string(), filter.to_string());
        }

        #[test]
        fn whoever_matches_at_some_capacity_is_a_member(e in expr(), capacity in 0.0f64..100.0) {
            let (filter, version) = (Filter(e), "3".parse().unwrap());
            prop_assert!(!filter.matches(&of(&version), capacity) || filter.may_match(&of(&version)));
        }

        #[test]
        fn any_text_is_read_or_refused_with_a_column_inside_it(text in "\\PC{0,120}") {
            if let Err(error) = Filter::parse(&text) {
                prop_assert!(error.column >= 1 && error.column <= text.chars().count() + 1);
            }
        }

        #[test]
        fn token_soup_is_read_or_refused(words in proptest::collection::vec(prop::sample::select(vec!["(", ")", "!", "&&", "||", "version", "capacity", "pool", "==", "<", "2.1", "\"x\"", "in", "[", "]", ",", "true"]), 0..40)) {
            let _ = Filter::parse(&words.join(" "));
        }
    }
}
