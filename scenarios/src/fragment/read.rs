//! From a whole file to a valid [`Scenario`], and what the readers of its parts share.

use super::{DurationFragment, PolicyFragment, ScenarioFragment};
use crate::scenario::{Duration, Scenario};
use slacktide_engine::document::{Document, InputError, Whole, below, format_span};
use slacktide_engine::policy::{Policy, library as policies};
use slacktide_engine::time::{Instant, Span};
use std::collections::BTreeMap;

pub(super) const DAY: Span = Span::from_secs(86_400);

/// 1970 to 2199: what comes before and after still has a date that people read.
const START_S: std::ops::RangeInclusive<i64> = 0..=7_258_118_399;

pub(super) type Read<T> = Result<T, InputError>;

/// Reads fields of one document.
pub(super) struct Reader<'a>(pub(super) &'a Document);

impl Reader<'_> {
    pub(super) fn number(&self, path: &str, given: Option<f64>, default: f64, min: f64, max: f64) -> Read<f64> {
        self.0.in_range(path, given.unwrap_or(default), min, max)
    }

    pub(super) fn whole(&self, path: &str, given: Option<Whole>, default: u32, min: u32, max: u32) -> Read<u32> {
        given.map_or(Ok(default), |value| self.0.whole_in_range(path, value, min, max))
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
            let field = below(path, &name);
            let share = self.0.in_range(&field, share, 0.0, 1e9)?;
            let value = read(&name).map_err(|problem| self.0.error(&field, &name, problem))?;
            Ok((value, share))
        };
        let shares = given.into_iter().map(one).collect::<Read<Vec<_>>>()?;
        if shares.iter().map(|(_, share)| share).sum::<f64>() > 0.0 {
            Ok(shares)
        } else {
            Err(self.0.error(path, "0", "some share must be above 0: they are relative to each other"))
        }
    }

    pub(super) fn pair(&self, path: &str, given: Option<[f64; 2]>, min: f64, max: f64) -> Read<(f64, f64)> {
        let [low, high] = given.unwrap_or([1.0, 1.0]);
        self.0.in_range(&format!("{path}[0]"), low, min, max)?;
        self.0.in_range(&format!("{path}[1]"), high, low, max)?;
        Ok((low, high))
    }
}

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    /// [`InputError`] naming file, line, field, value and the valid range or choices.
    pub fn from_toml(source_name: &str, text: &str) -> Result<Self, InputError> {
        Document::read(source_name, text, |given, document| Reader(document).scenario(given, text, true))
    }

    /// The same for runs under a policy that may be another than the file's, or changed: whether its slots hold whole ticks is asked when
    /// it is known.
    ///
    /// # Errors
    /// [`InputError`] as above.
    pub fn under_any_policy(source_name: &str, text: &str) -> Result<Self, InputError> {
        Document::read(source_name, text, |given, document| Reader(document).scenario(given, text, false))
    }

    /// JSON schema of the file.
    pub fn schema() -> serde_json::Value {
        serde_json::to_value(schemars::schema_for!(ScenarioFragment)).unwrap_or_default()
    }
}

impl Reader<'_> {
    /// The first moment. Telemetry before it and a rollout after it must lie in a calendar's reach too.
    fn start(&self, given: Option<String>) -> Read<Instant> {
        let text = given.unwrap_or_else(|| "2024-03-04T00:00:00Z".to_owned());
        let read = text.parse::<jiff::Timestamp>().ok().filter(|at| START_S.contains(&at.as_second()));
        let problem = "must be a moment from 1970-01-01T00:00:00Z to 2199-12-31T23:59:59Z as RFC 3339 writes it, such as 2024-03-04T00:00:00Z";
        let at = read.ok_or_else(|| self.0.error("start", &text, problem))?;
        Ok(Instant::from_millis(at.as_millisecond()))
    }

    /// The policy named, with the overrides laid over it.
    fn policy(&self, name: &str, overrides: Option<PolicyFragment>) -> Read<Policy> {
        let named = policies::named(name).map_err(|e| self.0.error("policy", name, e.problem))?;
        named.overridden_within(&self.0.within("policy_overrides"), overrides.unwrap_or_default())
    }

    /// Slots must hold whole ticks.
    fn check_slot(&self, slot: Span, tick: Span) -> Read<()> {
        if slot.as_millis().is_multiple_of(tick.as_millis()) {
            return Ok(());
        }
        let at = |field: &str| self.0.line_of(field);
        if at("tick").is_none() && at("policy_overrides.plan.slot") > at("policy_overrides.plan") {
            let problem = format!("must be a multiple of the scenario's tick of {}", format_span(tick));
            return Err(self.0.error("policy_overrides.plan.slot", format_span(slot), problem));
        }
        let problem = format!("must divide the policy's slot of {}", format_span(slot));
        Err(self.0.error("tick", format_span(tick), problem))
    }

    fn scenario(&self, given: ScenarioFragment, text: &str, own_policy: bool) -> Read<Scenario> {
        let (reader, document) = (self, self.0);
        let written = if given.pools.is_some() { "[]" } else { "" };
        let pools = given.pools.unwrap_or_default();
        if pools.is_empty() {
            return Err(document.error("pools", written, "there must be at least one [[pools]] group"));
        }
        let start = reader.start(given.start)?;
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
        reader.groups_differ(&pools)?;
        let limit = reader.number("overload_limit_percent", given.overload_limit_percent, 90.0, 1.0, 100.0)?;
        let slot = reader.policy(&policy, given.policy_overrides.clone())?.plan.slot;
        if own_policy {
            reader.check_slot(slot, tick)?;
        }
        Ok(Scenario {
            name: given.name.unwrap_or_else(|| document.source_name().to_owned()),
            summary: given.summary.unwrap_or_default(),
            teaches: given.teaches.unwrap_or_default(),
            text: text.to_owned(),
            devices: reader.whole("devices", given.devices, 100, 1, 4_000_000)? as usize,
            start,
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
                // Longer than any policy lets a rollout last.
                DAY.times(400),
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
        })
    }
}
