//! From a policy back to the file that says all of it.

use super::fragment::{
    AttemptFragment, ForecastFragment, MonitorFragment, NumberOrWord, PlanFragment, PolicyFragment, PriorityFragment,
    RateFragment, RegionFragment, RollbackFragment, ScoresFragment, WaveFragment, WindowFragment,
};
use super::{CountLimit, PlanRules, Policy, RateRules, RegionRules, Wave};
use crate::document::format_span;
use crate::time::Span;
use crate::window::{Blackout, WeeklyWindow};

fn limit(value: Option<f64>, off: &str) -> Option<NumberOrWord> {
    Some(value.map_or_else(|| NumberOrWord::Word(off.to_owned()), NumberOrWord::Number))
}

fn count(value: CountLimit) -> Option<NumberOrWord> {
    Some(match value {
        CountLimit::Unlimited => NumberOrWord::Word("unlimited".to_owned()),
        CountLimit::Count(n) => NumberOrWord::Number(f64::from(n)),
        CountLimit::Percent(p) => NumberOrWord::Word(format!("{p}%")),
    })
}

fn span(value: Span) -> Option<String> {
    Some(format_span(value))
}

fn span_or_off(value: Option<Span>) -> Option<String> {
    Some(value.map_or_else(|| "off".to_owned(), format_span))
}

fn region(rules: &RegionRules) -> RegionFragment {
    RegionFragment {
        zone: rules.zone.as_ref().map(|zone| zone.name().to_owned()),
        link_mbit_per_s: limit(rules.link_mbit_per_s, "unlimited"),
        out_max: rules.out_max.and_then(count),
    }
}

fn plan(plan: &PlanRules) -> PlanFragment {
    PlanFragment {
        slot: span(plan.slot),
        horizon: span(plan.horizon),
        basis: Some(plan.basis),
        demand_quantile: Some(plan.demand_quantile),
        demand_seen_within: span_or_off(plan.demand_seen_within),
        load_limit_percent: Some(plan.load_limit_percent),
        pool_reserve_percent: Some(plan.pool_reserve_percent),
        pool_members_min: Some(plan.pool_members_min.into()),
        pool_out_max: count(plan.pool_out_max),
        region_out_max: count(plan.region_out_max),
        batch_requirement_max: limit(plan.batch_requirement_max, "unlimited"),
        batch_capacity_max: limit(plan.batch_capacity_max, "unlimited"),
        batch_devices_max: count(plan.batch_devices_max),
        device_load_max: limit(plan.device_load_max, "off"),
        device_load_tolerance_points: Some(plan.device_load_tolerance_points),
        telemetry_age_max: span_or_off(plan.telemetry_age_max),
        patience: span(plan.patience),
        duration_expected: span(plan.duration_expected),
        duration_quantile: Some(plan.duration_quantile),
    }
}

fn wave(wave: &Wave) -> WaveFragment {
    WaveFragment {
        share_percent: Some(wave.share_percent),
        devices_min: Some(wave.devices_min.into()),
        soak: span(wave.soak),
        // What hardly any wave has would only be noise in most files.
        opens_after: wave.opens_after.and_then(span),
        spread: Some(wave.spread).filter(|spread| *spread > Span::ZERO).and_then(span),
        success_percent_min: wave.success_percent_min.map(NumberOrWord::Number),
        failure_percent_max: wave.failure_percent_max.map(NumberOrWord::Number),
    }
}

fn rate(rules: Option<&RateRules>) -> RateFragment {
    let Some(rules) = rules else {
        return RateFragment { base_per_minute: limit(None, "unlimited"), ..RateFragment::default() };
    };
    let every = |count: Option<u32>| limit(count.map(f64::from), "off");
    RateFragment {
        base_per_minute: limit(Some(rules.base_per_minute), "unlimited"),
        increment_factor: Some(rules.increment_factor),
        increase_every_succeeded: every(rules.increase_every_succeeded),
        increase_every_notified: every(rules.increase_every_notified),
        max_per_minute: Some(rules.max_per_minute),
    }
}

/// The file that says all of a policy.
pub(super) fn unsettle(policy: &Policy) -> PolicyFragment {
    let (monitor, attempts) = (&policy.monitor, &policy.attempts);
    let weekly = |w: &WeeklyWindow| WindowFragment {
        days: Some(w.day_names()),
        from: Some(w.from_text()),
        to: Some(w.to_text()),
        zone: Some(w.zone_name().to_owned()),
    };
    let blackout = |b: &Blackout| match b {
        Blackout::Weekly(w) => weekly(w),
        Blackout::Once { from, to } => {
            WindowFragment { days: None, from: Some(from.to_string()), to: Some(to.to_string()), zone: None }
        }
    };
    PolicyFragment {
        name: Some(policy.name.clone()),
        summary: Some(policy.summary.clone()),
        scores: Some(ScoresFragment {
            load_quantile: Some(policy.scores.load_quantile),
            metric_weights: Some(policy.scores.metric_weights.iter().cloned().collect()),
            demand_metric: Some(policy.scores.demand_metric.clone()),
            criticality: Some(policy.scores.criticality.iter().cloned().collect()),
            criticality_default: Some(policy.scores.criticality_default),
        }),
        priority: Some(PriorityFragment {
            formula: Some(policy.priority.formula),
            criticality_weight: Some(policy.priority.criticality_weight),
            capacity_weight: Some(policy.priority.capacity_weight),
        }),
        plan: Some(plan(&policy.plan)),
        waves: Some(policy.waves.iter().map(wave).collect()),
        rate: Some(rate(policy.rate.as_ref())),
        windows: Some(policy.calendar.windows.iter().map(weekly).collect()),
        blackouts: Some(policy.calendar.blackouts.iter().map(blackout).collect()),
        regions: Some(policy.regions.iter().map(|(name, rules)| (name.clone(), region(rules))).collect()),
        monitor: Some(MonitorFragment {
            capacity_floor: limit(monitor.capacity_floor, "off"),
            floor_devices_min: Some(monitor.floor_devices_min.into()),
            watch_pools: Some(monitor.watch_pools),
            critical_load_percent: Some(monitor.critical_load_percent),
            lookahead: span(monitor.lookahead),
            nowcast: Some(monitor.nowcast),
            failure_percent_max: Some(monitor.failure_percent_max),
            failure_count_min: Some(monitor.failure_count_min.into()),
            failure_settled_min: Some(monitor.failure_settled_min.into()),
            failures_abort: Some(monitor.failures_abort),
            false_alarm_rate: limit(monitor.false_alarm_rate, "off"),
            regression_tolerance_points: Some(monitor.regression_tolerance_points),
        }),
        rollback: Some(RollbackFragment {
            on_capacity: Some(policy.rollback.on_capacity),
            on_bad_release: Some(policy.rollback.on_bad_release),
            on_failures: Some(policy.rollback.on_failures),
            resume_after: span_or_off(policy.rollback.resume_after),
            resumes_max: Some(policy.rollback.resumes_max.into()),
            hold_max: span(policy.rollback.hold_max),
        }),
        forecast: Some(ForecastFragment {
            models: Some(policy.forecast.models.iter().map(ToString::to_string).collect()),
            every: span(policy.forecast.every),
            history: span(policy.forecast.history),
            season: span(policy.forecast.season),
            dear_series_max: Some((policy.forecast.dear_series_max as u32).into()),
            seed: Some((policy.forecast.seed as u32).into()),
        }),
        attempts: Some(AttemptFragment {
            attempts_max: Some(attempts.attempts_max.into()),
            retry_pause: span(attempts.retry_pause),
            timeout: span(attempts.timeout),
            rollout_timeout: span(attempts.rollout_timeout),
        }),
    }
}
