//! From the file shape of a policy to a valid [`Policy`].

use super::fragment::{
    AttemptFragment, ForecastFragment, MonitorFragment, NumberOrWord, PlanFragment, PolicyFragment, PriorityFragment,
    RateFragment, RegionFragment, RollbackFragment, ScoresFragment, WaveFragment, WindowFragment,
};
use super::{
    AttemptRules, CountLimit, ForecastRules, MonitorRules, PlanRules, Policy, Priority, RateRules, RegionRules,
    RollbackRules, Scores, Wave,
};
use crate::document::{Document, InputError, Whole, below, format_span, range};
use crate::time::Span;
use crate::window::{Blackout, Calendar, WeeklyWindow, WindowError, Zone};
use slacktide_forecast::ModelKind;
use std::collections::BTreeMap;

const DAY: Span = Span::from_secs(86_400);
const MINUTE: Span = Span::from_secs(60);
/// A petabit a second.
const LINK_MBIT_MAX: f64 = 1e9;

/// Reads fields of one document.
struct Reader<'a>(&'a Document);

type Read<T> = Result<T, InputError>;

impl Reader<'_> {
    fn number(&self, path: &str, given: Option<f64>, default: f64, min: f64, max: f64) -> Read<f64> {
        given.map_or(Ok(default), |value| self.0.in_range(path, value, min, max))
    }

    fn count(&self, path: &str, given: Option<Whole>, default: u32, min: u32, max: u32) -> Read<u32> {
        given.map_or(Ok(default), |value| self.0.whole_in_range(path, value, min, max))
    }

    fn span(&self, path: &str, given: Option<&String>, default: Span, min: Span, max: Span) -> Read<Span> {
        given.map_or(Ok(default), |text| self.0.span(path, text, min, max))
    }

    /// A span, or "off".
    fn span_or_off(&self, path: &str, given: Option<&String>, default: Option<Span>, max: Span) -> Read<Option<Span>> {
        match given {
            None => Ok(default),
            Some(word) if word == "off" => Ok(None),
            Some(text) => match self.0.span(path, text, Span::from_secs(1), max) {
                Ok(span) => Ok(Some(span)),
                Err(error) => Err(InputError { problem: format!("{}, or \"off\"", error.problem), ..error }),
            },
        }
    }

    /// A number in a range, or `off`.
    fn limit(
        &self,
        path: &str,
        given: Option<&NumberOrWord>,
        default: Option<f64>,
        off: &str,
        min: f64,
        max: f64,
    ) -> Read<Option<f64>> {
        match given {
            None => Ok(default),
            Some(NumberOrWord::Number(value)) if *value >= min && *value <= max => Ok(Some(*value)),
            Some(NumberOrWord::Word(word)) if word == off => Ok(None),
            Some(other) => {
                Err(self.0.error(path, other, format!("must be a number {}, or \"{off}\"", range(min, max))))
            }
        }
    }

    fn count_limit(&self, path: &str, given: Option<&NumberOrWord>, default: CountLimit) -> Read<CountLimit> {
        let problem = "must be a whole number of at least 1, a share such as \"25%\" (above 0 %, at most 100 %), or \"unlimited\"";
        let word = match given {
            None => return Ok(default),
            Some(NumberOrWord::Number(value)) => {
                let whole = value.fract() == 0.0 && *value >= 1.0 && *value <= f64::from(u32::MAX);
                return if whole {
                    Ok(CountLimit::Count(*value as u32))
                } else {
                    Err(self.0.error(path, value, problem))
                };
            }
            Some(NumberOrWord::Word(word)) => word,
        };
        let percent = word.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
        match (word.as_str(), percent) {
            ("unlimited", _) => Ok(CountLimit::Unlimited),
            (_, Some(percent)) if percent > 0.0 && percent <= 100.0 => Ok(CountLimit::Percent(percent)),
            _ => Err(self.0.error(path, word, problem)),
        }
    }

    fn scores(&self, given: ScoresFragment, base: &Scores) -> Read<Scores> {
        let list = |path: &str,
                    map: Option<BTreeMap<String, f64>>,
                    base: &[(String, f64)],
                    max: f64|
         -> Read<Vec<(String, f64)>> {
            let mut merged: BTreeMap<String, f64> = base.iter().cloned().collect();
            for (name, value) in map.unwrap_or_default() {
                let value = self.0.in_range(&below(&format!("scores.{path}"), &name), value, 0.0, max)?;
                merged.insert(name, value);
            }
            Ok(merged.into_iter().collect())
        };
        Ok(Scores {
            load_quantile: self.number("scores.load_quantile", given.load_quantile, base.load_quantile, 0.5, 0.999)?,
            metric_weights: list("metric_weights", given.metric_weights, &base.metric_weights, 1.0)?,
            demand_metric: given.demand_metric.unwrap_or_else(|| base.demand_metric.clone()),
            criticality: list("criticality", given.criticality, &base.criticality, 100.0)?,
            criticality_default: self.number(
                "scores.criticality_default",
                given.criticality_default,
                base.criticality_default,
                0.0,
                100.0,
            )?,
        })
    }

    fn priority(&self, given: &PriorityFragment, base: &Priority) -> Read<Priority> {
        let weight = |path, value, default| self.number(path, value, default, 0.0, 1e6);
        Ok(Priority {
            formula: given.formula.unwrap_or(base.formula),
            criticality_weight: weight(
                "priority.criticality_weight",
                given.criticality_weight,
                base.criticality_weight,
            )?,
            capacity_weight: weight("priority.capacity_weight", given.capacity_weight, base.capacity_weight)?,
        })
    }

    fn plan(&self, given: &PlanFragment, base: &PlanRules) -> Read<PlanRules> {
        let slot =
            self.span("plan.slot", given.slot.as_ref(), base.slot, Span::from_secs(10), Span::from_secs(3600))?;
        if !DAY.as_millis().is_multiple_of(slot.as_millis()) {
            return Err(self.0.error("plan.slot", format_span(slot), "must divide a day, such as 5m, 15m or 1h"));
        }
        let horizon = self.span("plan.horizon", given.horizon.as_ref(), base.horizon, Span::from_secs(3600), DAY)?;
        let sum = |path, value: &Option<NumberOrWord>, default| {
            self.limit(path, value.as_ref(), default, "unlimited", 1e-9, 1e12)
        };
        let count = |path, value: &Option<NumberOrWord>, default| self.count_limit(path, value.as_ref(), default);
        let percent = |path, value, default, min| self.number(path, value, default, min, 100.0);
        let quantile = |path, value, default, max| self.number(path, value, default, 0.5, max);
        Ok(PlanRules {
            slot,
            horizon,
            basis: given.basis.unwrap_or(base.basis),
            demand_quantile: quantile("plan.demand_quantile", given.demand_quantile, base.demand_quantile, 0.999)?,
            demand_seen_within: self.span_or_off(
                "plan.demand_seen_within",
                given.demand_seen_within.as_ref(),
                base.demand_seen_within,
                Span::from_secs(6 * 3600),
            )?,
            load_limit_percent: percent(
                "plan.load_limit_percent",
                given.load_limit_percent,
                base.load_limit_percent,
                1.0,
            )?,
            pool_reserve_percent: percent(
                "plan.pool_reserve_percent",
                given.pool_reserve_percent,
                base.pool_reserve_percent,
                0.0,
            )?,
            pool_members_min: self.count(
                "plan.pool_members_min",
                given.pool_members_min,
                base.pool_members_min,
                1,
                1_000_000,
            )?,
            pool_out_max: count("plan.pool_out_max", &given.pool_out_max, base.pool_out_max)?,
            region_out_max: count("plan.region_out_max", &given.region_out_max, base.region_out_max)?,
            batch_requirement_max: sum(
                "plan.batch_requirement_max",
                &given.batch_requirement_max,
                base.batch_requirement_max,
            )?,
            batch_capacity_max: sum("plan.batch_capacity_max", &given.batch_capacity_max, base.batch_capacity_max)?,
            batch_devices_max: count("plan.batch_devices_max", &given.batch_devices_max, base.batch_devices_max)?,
            device_load_tolerance_points: percent(
                "plan.device_load_tolerance_points",
                given.device_load_tolerance_points,
                base.device_load_tolerance_points,
                0.0,
            )?,
            device_load_max: self.limit(
                "plan.device_load_max",
                given.device_load_max.as_ref(),
                base.device_load_max,
                "off",
                0.0,
                100.0,
            )?,
            telemetry_age_max: self.span_or_off(
                "plan.telemetry_age_max",
                given.telemetry_age_max.as_ref(),
                base.telemetry_age_max,
                DAY,
            )?,
            patience: self.span("plan.patience", given.patience.as_ref(), base.patience, MINUTE, DAY.times(7))?,
            duration_expected: self.span(
                "plan.duration_expected",
                given.duration_expected.as_ref(),
                base.duration_expected,
                MINUTE,
                DAY,
            )?,
            duration_quantile: quantile(
                "plan.duration_quantile",
                given.duration_quantile,
                base.duration_quantile,
                1.0,
            )?,
        })
    }

    fn waves(&self, given: Option<Vec<WaveFragment>>, base: &[Wave]) -> Read<Vec<Wave>> {
        let Some(given) = given else { return Ok(base.to_vec()) };
        let mut waves: Vec<Wave> = Vec::with_capacity(given.len());
        for (i, wave) in given.iter().enumerate() {
            let path = format!("waves[{i}].share_percent");
            let before = waves.last().map_or(0.0, |w| w.share_percent);
            let share = wave.share_percent.ok_or_else(|| {
                self.0.error(&path, "", "is missing: write the cumulative share, a number in 0.000001..=100")
            })?;
            self.0.in_range(&path, share, 1e-6, 100.0)?;
            if share <= before {
                return Err(self.0.error(
                    &path,
                    share,
                    format!("shares are cumulative and must rise: the wave before has {before}"),
                ));
            }
            let soak =
                self.span(&format!("waves[{i}].soak"), wave.soak.as_ref(), Span::ZERO, Span::ZERO, DAY.times(30))?;
            let (path, given) = (format!("waves[{i}].devices_min"), wave.devices_min);
            let devices_min = self.count(&path, given, if i == 0 { Wave::CANARIES_MIN } else { 0 }, 0, 1_000_000)?;
            let path = |field: &str| format!("waves[{i}].{field}");
            let span = |field: &str, text: &String| self.0.span(&path(field), text, Span::ZERO, DAY.times(90));
            let opens_after = wave.opens_after.as_ref().map(|text| span("opens_after", text)).transpose()?;
            let opened_before = waves.iter().rev().find_map(|before| before.opens_after);
            if let Some((opens, before)) = opens_after.zip(opened_before).filter(|(opens, before)| opens < before) {
                let problem = format!("a wave before opens after {}", format_span(before));
                return Err(self.0.error(&path("opens_after"), format_span(opens), problem));
            }
            let share_of = |field: &str, given: &Option<NumberOrWord>, min| {
                self.limit(&path(field), given.as_ref(), None, "off", min, 100.0)
            };
            waves.push(Wave {
                share_percent: share,
                devices_min,
                soak,
                opens_after,
                spread: wave.spread.as_ref().map_or(Ok(Span::ZERO), |text| span("spread", text))?,
                success_percent_min: share_of("success_percent_min", &wave.success_percent_min, 1e-6)?,
                failure_percent_max: share_of("failure_percent_max", &wave.failure_percent_max, 0.0)?,
            });
        }
        match waves.last() {
            Some(last) if last.share_percent < 100.0 => {
                let path = format!("waves[{}].share_percent", waves.len() - 1);
                Err(self.0.error(&path, last.share_percent, "the last wave must have 100"))
            }
            None => Err(self.0.error("waves", "[]", "there must be at least one wave; its share is 100")),
            Some(_) => Ok(waves),
        }
    }

    fn rate(&self, given: Option<RateFragment>, base: Option<&RateRules>) -> Read<Option<RateRules>> {
        const LEAST: f64 = 1e-3;
        const MOST: f64 = 1e5;
        let Some(given) = given else { return Ok(base.copied()) };
        let limit = |field: &str, given: &Option<NumberOrWord>, default, off: &str, min, max| {
            self.limit(&format!("rate.{field}"), given.as_ref(), default, off, min, max)
        };
        let first = limit(
            "base_per_minute",
            &given.base_per_minute,
            base.map(|rate| rate.base_per_minute),
            "unlimited",
            LEAST,
            MOST,
        )?;
        let Some(base_per_minute) = first else {
            let is_off = given.base_per_minute.is_some();
            let problem = "is missing: devices a minute to begin with, or \"unlimited\"";
            return if is_off || given == RateFragment::default() {
                Ok(None)
            } else {
                Err(self.0.error("rate.base_per_minute", "", problem))
            };
        };
        let every = |field: &str, given: &Option<NumberOrWord>, default: Option<u32>| -> Read<Option<u32>> {
            let value = limit(field, given, default.map(f64::from), "off", 1.0, 1e6)?;
            match value.filter(|value| value.fract() != 0.0) {
                Some(value) => Err(self.0.error(&format!("rate.{field}"), value, "must be a whole number")),
                None => Ok(value.map(|value| value as u32)),
            }
        };
        let number =
            |field: &str, given, default, min, max| self.number(&format!("rate.{field}"), given, default, min, max);
        let factor = base.map_or(1.0, |rate| rate.increment_factor);
        Ok(Some(RateRules {
            base_per_minute,
            increment_factor: number("increment_factor", given.increment_factor, factor, 1.0, 10.0)?,
            increase_every_succeeded: every(
                "increase_every_succeeded",
                &given.increase_every_succeeded,
                base.and_then(|rate| rate.increase_every_succeeded),
            )?,
            increase_every_notified: every(
                "increase_every_notified",
                &given.increase_every_notified,
                base.and_then(|rate| rate.increase_every_notified),
            )?,
            max_per_minute: number(
                "max_per_minute",
                given.max_per_minute,
                base.map_or(1000.0, |rate| rate.max_per_minute),
                LEAST,
                MOST,
            )?,
        }))
    }

    /// An error about the field of a window that holds what is wrong.
    fn window_error(&self, at: &str, given: &WindowFragment, error: &WindowError) -> InputError {
        let holds = |field: &Option<String>, text: &str| field.as_deref() == Some(text);
        let (field, value) = match error {
            WindowError::Day(day) => {
                let place = given.days.iter().flatten().position(|other| other == day).unwrap_or(0);
                (format!("days[{place}]"), day.as_str())
            }
            WindowError::Time(text) | WindowError::Moment(text) => {
                ((if holds(&given.from, text) { "from" } else { "to" }).to_owned(), text.as_str())
            }
            WindowError::Zone { name, .. } => ("zone".to_owned(), name.as_str()),
            WindowError::Backwards => ("to".to_owned(), given.to.as_deref().unwrap_or_default()),
        };
        self.0.error(&format!("{at}.{field}"), value, error.to_string())
    }

    fn calendar(
        &self,
        windows: Option<Vec<WindowFragment>>,
        blackouts: Option<Vec<WindowFragment>>,
        base: &Calendar,
    ) -> Read<Calendar> {
        let weekly = |path: &str, w: &WindowFragment| {
            let text = |part: &Option<String>, default: &str| part.clone().unwrap_or_else(|| default.to_owned());
            let days = w.days.clone().unwrap_or_default();
            WeeklyWindow::new(&days, &text(&w.from, "00:00"), &text(&w.to, "24:00"), &text(&w.zone, "UTC"))
                .map_err(|e| self.window_error(path, w, &e))
        };
        let mut calendar = base.clone();
        if let Some(windows) = windows {
            let read = windows.iter().enumerate().map(|(i, w)| weekly(&format!("windows[{i}]"), w));
            calendar.windows = read.collect::<Read<_>>()?;
        }
        if let Some(blackouts) = blackouts {
            let read = blackouts.iter().enumerate().map(|(i, b)| {
                let path = format!("blackouts[{i}]");
                match (&b.from, &b.to) {
                    (Some(from), Some(to)) if from.contains('T') => {
                        Blackout::once(from, to).map_err(|e| self.window_error(&path, b, &e))
                    }
                    _ => weekly(&path, b).map(Blackout::Weekly),
                }
            });
            calendar.blackouts = read.collect::<Read<_>>()?;
        }
        Ok(calendar)
    }

    fn regions(
        &self,
        given: Option<BTreeMap<String, RegionFragment>>,
        base: &BTreeMap<String, RegionRules>,
    ) -> Read<BTreeMap<String, RegionRules>> {
        let mut regions = base.clone();
        for (name, given) in given.unwrap_or_default() {
            let path = |key: &str| below(&below("regions", &name), key);
            let region = regions.entry(name.clone()).or_default();
            if let Some(zone) = &given.zone {
                let read = Zone::named(zone).map_err(|e| self.0.error(&path("zone"), zone, e.to_string()))?;
                region.zone = Some(read);
            }
            match &given.link_mbit_per_s {
                None => {}
                Some(NumberOrWord::Number(mbit)) if *mbit > 0.0 && *mbit <= LINK_MBIT_MAX => {
                    region.link_mbit_per_s = Some(*mbit);
                }
                Some(NumberOrWord::Word(word)) if word == "unlimited" => region.link_mbit_per_s = None,
                Some(bad) => {
                    let problem = format!("must be a number above 0 and at most {LINK_MBIT_MAX}, or \"unlimited\"");
                    return Err(self.0.error(&path("link_mbit_per_s"), bad, problem));
                }
            }
            if given.out_max.is_some() {
                region.out_max =
                    Some(self.count_limit(&path("out_max"), given.out_max.as_ref(), CountLimit::Unlimited)?);
            }
        }
        Ok(regions)
    }

    fn monitor(&self, given: &MonitorFragment, base: &MonitorRules) -> Read<MonitorRules> {
        Ok(MonitorRules {
            capacity_floor: self.limit(
                "monitor.capacity_floor",
                given.capacity_floor.as_ref(),
                base.capacity_floor,
                "off",
                0.0,
                100.0,
            )?,
            floor_devices_min: self.count(
                "monitor.floor_devices_min",
                given.floor_devices_min,
                base.floor_devices_min,
                1,
                1_000_000,
            )?,
            watch_pools: given.watch_pools.unwrap_or(base.watch_pools),
            critical_load_percent: self.number(
                "monitor.critical_load_percent",
                given.critical_load_percent,
                base.critical_load_percent,
                1.0,
                1000.0,
            )?,
            lookahead: self.span("monitor.lookahead", given.lookahead.as_ref(), base.lookahead, Span::ZERO, DAY)?,
            nowcast: given.nowcast.unwrap_or(base.nowcast),
            failure_percent_max: self.number(
                "monitor.failure_percent_max",
                given.failure_percent_max,
                base.failure_percent_max,
                0.0,
                100.0,
            )?,
            failure_count_min: self.count(
                "monitor.failure_count_min",
                given.failure_count_min,
                base.failure_count_min,
                1,
                1_000_000,
            )?,
            failure_settled_min: self.count(
                "monitor.failure_settled_min",
                given.failure_settled_min,
                base.failure_settled_min,
                0,
                1_000_000,
            )?,
            failures_abort: given.failures_abort.unwrap_or(base.failures_abort),
            false_alarm_rate: self.limit(
                "monitor.false_alarm_rate",
                given.false_alarm_rate.as_ref(),
                base.false_alarm_rate,
                "off",
                1e-9,
                0.5,
            )?,
            regression_tolerance_points: self.number(
                "monitor.regression_tolerance_points",
                given.regression_tolerance_points,
                base.regression_tolerance_points,
                0.0,
                100.0,
            )?,
        })
    }

    fn rollback(&self, given: &RollbackFragment, base: &RollbackRules) -> Read<RollbackRules> {
        Ok(RollbackRules {
            on_capacity: given.on_capacity.unwrap_or(base.on_capacity),
            on_bad_release: given.on_bad_release.unwrap_or(base.on_bad_release),
            on_failures: given.on_failures.unwrap_or(base.on_failures),
            resume_after: self.span_or_off(
                "rollback.resume_after",
                given.resume_after.as_ref(),
                base.resume_after,
                DAY.times(7),
            )?,
            resumes_max: self.count("rollback.resumes_max", given.resumes_max, base.resumes_max, 0, 1000)?,
            hold_max: self.span("rollback.hold_max", given.hold_max.as_ref(), base.hold_max, MINUTE, DAY.times(7))?,
        })
    }

    fn forecast(&self, given: &ForecastFragment, base: &ForecastRules, slot: Span) -> Read<ForecastRules> {
        let mut models = base.models.clone();
        if let Some(names) = &given.models {
            let read = names.iter().enumerate().map(|(i, name)| {
                name.parse().map_err(|e: slacktide_forecast::UnknownModel| {
                    self.0.error(&format!("forecast.models[{i}]"), name, e.to_string())
                })
            });
            models = read.collect::<Read<Vec<ModelKind>>>()?;
            models.dedup();
        }
        if models.is_empty() {
            return Err(self.0.error("forecast.models", "[]", "there must be at least one model"));
        }
        Ok(ForecastRules {
            models,
            every: self.span("forecast.every", given.every.as_ref(), base.every, slot, DAY)?,
            history: self.span("forecast.history", given.history.as_ref(), base.history, DAY, DAY.times(28))?,
            season: self.span("forecast.season", given.season.as_ref(), base.season, slot, DAY.times(7))?,
            dear_series_max: self.count(
                "forecast.dear_series_max",
                given.dear_series_max,
                base.dear_series_max as u32,
                0,
                10_000_000,
            )? as usize,
            seed: u64::from(self.count("forecast.seed", given.seed, base.seed as u32, 0, u32::MAX)?),
        })
    }

    fn attempts(&self, given: &AttemptFragment, base: &AttemptRules) -> Read<AttemptRules> {
        let year = DAY.times(366);
        Ok(AttemptRules {
            attempts_max: self.count("attempts.attempts_max", given.attempts_max, base.attempts_max, 1, 100)?,
            retry_pause: self.span(
                "attempts.retry_pause",
                given.retry_pause.as_ref(),
                base.retry_pause,
                Span::ZERO,
                DAY.times(7),
            )?,
            timeout: self.span("attempts.timeout", given.timeout.as_ref(), base.timeout, MINUTE, DAY.times(7))?,
            rollout_timeout: self.span(
                "attempts.rollout_timeout",
                given.rollout_timeout.as_ref(),
                base.rollout_timeout,
                MINUTE,
                year,
            )?,
        })
    }
}

/// Validates a fragment over a base policy.
pub(super) fn settle(document: &Document, given: PolicyFragment, base: &Policy) -> Result<Policy, InputError> {
    let reader = Reader(document);
    let plan = reader.plan(&given.plan.unwrap_or_default(), &base.plan)?;
    Ok(Policy {
        name: given.name.unwrap_or_else(|| base.name.clone()),
        summary: given.summary.unwrap_or_else(|| base.summary.clone()),
        scores: reader.scores(given.scores.unwrap_or_default(), &base.scores)?,
        priority: reader.priority(&given.priority.unwrap_or_default(), &base.priority)?,
        waves: reader.waves(given.waves, &base.waves)?,
        rate: reader.rate(given.rate, base.rate.as_ref())?,
        calendar: reader.calendar(given.windows, given.blackouts, &base.calendar)?,
        regions: reader.regions(given.regions, &base.regions)?,
        monitor: reader.monitor(&given.monitor.unwrap_or_default(), &base.monitor)?,
        rollback: reader.rollback(&given.rollback.unwrap_or_default(), &base.rollback)?,
        forecast: reader.forecast(&given.forecast.unwrap_or_default(), &base.forecast, plan.slot)?,
        attempts: reader.attempts(&given.attempts.unwrap_or_default(), &base.attempts)?,
        plan,
    })
}
