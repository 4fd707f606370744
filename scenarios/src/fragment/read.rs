//! From a whole file to a valid [`Scenario`], and what the readers of its parts share.

use super::{DurationFragment, ScenarioFragment};
use crate::scenario::{Duration, Scenario};
use slacktide_engine::document::{Document, InputError, format_span};
use slacktide_engine::time::{Instant, Span};
use std::collections::BTreeMap;

pub(super) const DAY: Span = Span::from_secs(86_400);

pub(super) type Read<T> = Result<T, InputError>;

/// Reads fields of one document.
pub(super) struct Reader<'a>(pub(super) &'a Document);

impl Reader<'_> {
    pub(super) fn number(&self, path: &str, given: Option<f64>, default: f64, min: f64, max: f64) -> Read<f64> {
        self.0.in_range(path, given.unwrap_or(default), min, max)
    }

    pub(super) fn span(&self, path: &str, given: Option<&String>, default: Span, min: Span, max: Span) -> Read<Span> {
        given.map_or(Ok(default), |text| self.0.span(path, text, min, max))
    }

    pub(super) fn duration(
        &self,
        path: &str,
        given: Option<DurationFragment>,
        median_s: u64,
        sigma: f64,
    ) -> Read<Duration> {
        let given = given.unwrap_or_default();
        Ok(Duration {
            median: self.span(
                &format!("{path}.median"),
                given.median.as_ref(),
                Span::from_secs(median_s),
                Span::ZERO,
                DAY,
            )?,
            sigma: self.number(&format!("{path}.sigma"), given.sigma, sigma, 0.0, 3.0)?,
        })
    }

    pub(super) fn shares<T>(
        &self,
        path: &str,
        given: BTreeMap<String, f64>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Read<Vec<(T, f64)>> {
        let one = |(name, share): (String, f64)| {
            let field = format!("{path}.{name}");
            let share = self.0.in_range(&field, share, 0.0, 1e9)?;
            let value = read(&name).map_err(|problem| self.0.error(&field, &name, problem))?;
            Ok((value, share))
        };
        let shares = given.into_iter().map(one).collect::<Read<Vec<_>>>()?;
        if shares.iter().map(|(_, share)| share).sum::<f64>() > 0.0 {
            Ok(shares)
        } else {
            Err(self.0.error(path, "", "some share must be above 0"))
        }
    }

    pub(super) fn pair(&self, path: &str, given: Option<[f64; 2]>, min: f64, max: f64) -> Read<(f64, f64)> {
        let [low, high] = given.unwrap_or([1.0, 1.0]);
        self.0.in_range(path, low, min, max)?;
        self.0.in_range(path, high, low, max)?;
        Ok((low, high))
    }
}

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    /// [`InputError`] naming file, line, field, value and the valid range or choices.
    pub fn from_toml(source_name: &str, text: &str) -> Result<Self, InputError> {
        let (given, document) = Document::parse::<ScenarioFragment>(source_name, text)?;
        let reader = Reader(&document);
        let pools = given.pools.unwrap_or_default();
        if pools.is_empty() {
            return Err(document.error("pools", "", "there must be at least one [[pools]] group"));
        }
        let start = given.start.unwrap_or_else(|| "2024-03-04T00:00:00Z".to_owned());
        let start: jiff::Timestamp = start.parse().map_err(|_| {
            document.error("start", &start, "must be a moment as RFC 3339 writes it, such as 2024-03-04T00:00:00Z")
        })?;
        let tick = reader.span(
            "tick",
            given.tick.as_ref(),
            Span::from_secs(300),
            Span::from_secs(10),
            Span::from_secs(3600),
        )?;
        let policy = given.policy.unwrap_or_else(|| "predictive".to_owned());
        let package = given.package.unwrap_or_default();
        let priority = package.priority.unwrap_or(0);
        let package = reader.package("package", package)?;
        let also = given.rollouts.unwrap_or_default();
        if also.len() >= slacktide_engine::Engine::ROLLOUTS_MAX {
            let problem = format!("there may be at most {}", slacktide_engine::Engine::ROLLOUTS_MAX - 1);
            return Err(document.error("rollouts", also.len(), problem));
        }
        let pools: Vec<_> = pools.into_iter().enumerate().map(|(i, pool)| reader.pool(i, pool)).collect::<Read<_>>()?;
        let limit = reader.number("overload_limit_percent", given.overload_limit_percent, 90.0, 1.0, 100.0)?;
        let scenario = Self {
            name: given.name.unwrap_or_else(|| source_name.to_owned()),
            summary: given.summary.unwrap_or_default(),
            teaches: given.teaches.unwrap_or_default(),
            text: text.to_owned(),
            devices: reader.number("devices", given.devices.map(f64::from), 100.0, 1.0, 4e6)? as usize,
            start: Instant::from_millis(start.as_millisecond()),
            history: reader.span(
                "history",
                given.history.as_ref(),
                DAY.times(7),
                Span::from_secs(3600),
                DAY.times(60),
            )?,
            until_max: reader.span(
                "until_max",
                given.until_max.as_ref(),
                DAY.times(8),
                Span::from_secs(3600),
                DAY.times(60),
            )?,
            tick,
            overload_limit_percent: limit,
            priority,
            also: reader.also(also)?,
            updates: reader.updates(given.updates.unwrap_or_default())?,
            failures: reader.failures(given.failures.unwrap_or_default(), package.version, &pools, limit)?,
            links: reader.links(given.regions.unwrap_or_default(), &pools)?,
            pools,
            package,
            operator: reader.operator(&given.operator.unwrap_or_default())?,
            policy_overrides: given.policy_overrides.and_then(|p| toml::to_string(&p).ok()).unwrap_or_default(),
            policy,
        };
        let named = scenario.policy().map_err(|e| document.error("policy", &scenario.policy, e.to_string()))?;
        if !named.plan.slot.as_millis().is_multiple_of(tick.as_millis()) {
            return Err(document.error(
                "tick",
                format_span(tick),
                format!("must divide the policy's slot of {}", format_span(named.plan.slot)),
            ));
        }
        Ok(scenario)
    }

    /// JSON schema of the file.
    pub fn schema() -> serde_json::Value {
        serde_json::to_value(schemars::schema_for!(ScenarioFragment)).unwrap_or_default()
    }
}
