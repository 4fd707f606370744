//! From what was learned to a scenario file.

use super::{CalibrationError, Group};
use crate::fragment::{KindFragment, LoadFragment, PoolFragment, ScenarioFragment};
use slacktide_engine::document::format_span;
use slacktide_engine::policy::fragment::{PlanFragment, PolicyFragment};
use slacktide_engine::time::Span;

/// Kinds of a group at most; more devices are put together by their level.
const KINDS_MAX: usize = 24;

/// Three decimals: a thousandth of a percent is less than anybody measures.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// A correlation from tick to tick, within what a scenario takes.
pub(super) fn correlation(phi: f64) -> f64 {
    ((phi * 1e5).round() / 1e5).clamp(0.0, 0.999_99)
}

/// A length of time in whole seconds.
pub(super) fn duration(seconds: f64) -> String {
    format_span(Span::from_secs(seconds.round() as u64))
}

/// The policy's slot for a tick: its own where the tick divides that, else the tick.
fn slot(period_s: i64) -> Result<Option<Span>, CalibrationError> {
    match period_s {
        period if !(10..=3600).contains(&period) => Err(CalibrationError::Period { period_s: period }),
        period if 900 % period == 0 => Ok(None),
        period if period >= 60 && 86_400 % period == 0 => Ok(Some(Span::from_secs(period.unsigned_abs()))),
        period => Err(CalibrationError::Period { period_s: period }),
    }
}

/// The scenario of some groups.
pub(super) fn fragment(
    name: &str,
    devices: usize,
    period_s: i64,
    groups: &[Group],
) -> Result<ScenarioFragment, CalibrationError> {
    let plan = slot(period_s)?.map(|slot| PlanFragment { slot: Some(format_span(slot)), ..PlanFragment::default() });
    Ok(ScenarioFragment {
        name: Some(name.to_owned()),
        summary: Some(
            "Load as a recorded fleet has it, made by a generator that was learned from the recording.".to_owned(),
        ),
        teaches: Some("What a rollout meets on load like that which was recorded.".to_owned()),
        devices: Some((devices as u32).into()),
        tick: Some(format_span(Span::from_secs(period_s.unsigned_abs()))),
        policy_overrides: plan.map(|plan| PolicyFragment { plan: Some(plan), ..PolicyFragment::default() }),
        pools: Some(groups.iter().map(pool).collect()),
        ..ScenarioFragment::default()
    })
}

fn pool(group: &Group) -> PoolFragment {
    PoolFragment {
        name: Some(group.name.clone()),
        share: Some(group.devices.len() as f64),
        pool_size: Some((group.pool_size as u32).into()),
        load: Some(load(group)),
        ..PoolFragment::default()
    }
}

fn load(group: &Group) -> LoadFragment {
    let size = group.noise_percent;
    let part = |share: f64| Some(rounded((size * share.max(0.0).sqrt()).min(50.0)));
    let base = group.levels.iter().sum::<f64>() / group.levels.len().max(1) as f64;
    let base = rounded(base.clamp(0.0, 100.0));
    let [memory, network, disk] = [0, 1, 2].map(|m| group.others[m].as_ref().map(|fit| fit.fragment.clone()));
    LoadFragment {
        base_percent: Some(base),
        daily_amplitude_percent: Some(0.0),
        weekend_factor: Some(1.0),
        noise_percent: part(1.0 - group.memory.slow_share - group.shared.share),
        noise_correlation: Some(correlation(group.memory.fast_phi).min(0.999)),
        pool_noise_percent: part(group.shared.share),
        device_spread_percent: Some(0.0),
        burst_rate_per_day: Some(rounded(group.bursts.rate_per_day)),
        burst_percent: Some(rounded(group.bursts.height)),
        burst_duration: Some(duration(group.bursts.duration_s)),
        profile: (!group.daily.curve.is_empty())
            .then(|| group.daily.curve.iter().map(|v| rounded(v.clamp(0.0, 100.0))).collect()),
        week: group.week.map(|week| week.map(rounded)),
        floor_percent: Some(rounded(group.floor_percent)),
        slow_noise_percent: part(group.memory.slow_share),
        slow_noise_correlation: Some(correlation(group.memory.slow_phi)),
        pool_noise_correlation: Some(correlation(group.shared.phi)),
        marginal: group.marginal.as_ref().map(|table| table.iter().copied().map(rounded).collect()),
        burst_sigma: Some(rounded(group.bursts.sigma)),
        kinds: Some(kinds(group, base)),
        memory,
        network,
        disk,
        ..LoadFragment::default()
    }
}

/// A kind for every device, or for every few devices of nearly the same level.
fn kinds(group: &Group, base: f64) -> Vec<KindFragment> {
    let count = group.levels.len();
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|a, b| group.levels[*a].total_cmp(&group.levels[*b]).then(a.cmp(b)));
    let kinds = count.min(KINDS_MAX);
    let one = |k: usize| {
        let members = &order[k * count / kinds..(k + 1) * count / kinds];
        let mean = |of: &dyn Fn(usize) -> f64| members.iter().map(|d| of(*d)).sum::<f64>() / members.len() as f64;
        let strongest = members
            .iter()
            .copied()
            .max_by(|a, b| group.daily.factors[*a].total_cmp(&group.daily.factors[*b]).then(b.cmp(a)));
        let other = |m: usize| {
            let devices = &group.others[m].as_ref()?.devices;
            let size = mean(&|d| devices[d][2].powi(2)).sqrt();
            let clamped = |value: f64, min: f64| rounded(value.clamp(min, 100.0));
            Some([
                clamped(mean(&|d| devices[d][0]), -100.0),
                clamped(mean(&|d| devices[d][1]), 0.0),
                clamped(size, 0.0),
            ])
        };
        KindFragment {
            level_percent: Some(rounded((mean(&|d| group.levels[d]) - base).clamp(-100.0, 100.0))),
            daily_factor: Some(rounded(mean(&|d| group.daily.factors[d]).min(100.0))),
            shift_hours: strongest.map(|d| rounded(group.daily.shifts_hours[d])),
            noise_factor: Some(rounded(mean(&|d| group.noise_factors[d].powi(2)).sqrt().min(100.0))),
            burst_factor: Some(rounded(mean(&|d| group.bursts.factors[d]).min(1000.0))),
            slow_share: Some(rounded(mean(&|d| group.slow_shares[d]))),
            memory: other(0),
            network: other(1),
            disk: other(2),
        }
    };
    (0..kinds).map(one).collect()
}

/// The file: what it is, then the fields.
pub(super) fn text(fragment: &ScenarioFragment, remarks: &[String]) -> Result<String, CalibrationError> {
    let body = toml::to_string(fragment).map_err(|e| CalibrationError::Unwritable { problem: e.to_string() })?;
    let mut text =
        "# A generator of load that `slacktide calibrate` learned from recordings. Times of day are UTC.\n".to_owned();
    for remark in remarks {
        text.push_str(&format!("# {}\n", remark.replace(['\n', '\r'], " ")));
    }
    text.push('\n');
    text.push_str(&body);
    Ok(text)
}
