//! From a fleet and its history to a plan: an engine is told what has been, and asked.

use anyhow::{Context, Result, bail};
use rayon::prelude::*;
use slacktide_engine::document::nearest;
use slacktide_engine::forecasting::{FitRoom, ForecastRequest, Forecasts};
use slacktide_engine::ids::{DeviceIndex, RolloutId};
use slacktide_engine::input::{DeviceFacts, OperatorAction, TelemetryBatch};
use slacktide_engine::plan::outlook::DryPlan;
use slacktide_engine::policy::Policy;
use slacktide_engine::rollout::{LeftOut, Package};
use slacktide_engine::time::{Instant, Span};
use slacktide_engine::{Engine, Input, Output};
use slacktide_scenarios::functions::nearly_known;
use slacktide_scenarios::recorded::Recording;
use std::collections::{BTreeMap, BTreeSet};

/// A plan with all that is needed to tell of it.
pub(super) struct Looked {
    pub(super) engine: Engine,
    pub(super) package: Package,
    pub(super) at: Instant,
    pub(super) dry: DryPlan,
    /// Devices that the rollout is not for, in the order of the fleet.
    pub(super) left_out: Vec<(DeviceIndex, LeftOut)>,
    /// What a reader should know of the input.
    pub(super) remarks: Vec<String>,
}

/// A moment of the command line.
pub(super) fn moment(text: &str) -> Result<Instant> {
    let read = slacktide_scenarios::recorded::moment(text).map(Instant::from_secs);
    read.with_context(|| format!("--at {text}: write RFC 3339 such as 2024-03-04T18:00:00Z, or Unix seconds"))
}

/// Plans for `at`, or for the end of the recording.
pub(super) fn look(
    policy: Policy,
    package: Package,
    facts: Vec<DeviceFacts>,
    recording: &Recording,
    at: Option<Instant>,
) -> Result<Looked> {
    let rows = rows(&facts, recording)?;
    let slot = policy.plan.slot;
    let end = Instant::from_secs(recording.start_s + recording.steps as i64 * recording.period_s);
    let wanted = at.unwrap_or(end);
    let at = if wanted.floor_to(slot) == wanted { wanted } else { wanted.floor_to(slot) + slot };
    if at <= Instant::from_secs(recording.start_s) {
        bail!("--at {wanted} lies before the first telemetry, {}", Instant::from_secs(recording.start_s));
    }
    let remarks = remarks(&policy, &facts, recording, &rows, (wanted, at, end));
    let mut engine = Engine::new(policy, &recording.metrics);
    let devices: Vec<DeviceIndex> = (0..facts.len()).map(|d| DeviceIndex(d as u32)).collect();
    let left_out = left_out(&package, &facts);
    let first = Instant::from_secs(recording.start_s);
    say_to(&mut engine, first, Input::Enrolled { devices: facts });
    tell(&mut engine, recording, &rows, at);
    // Paused as soon as it has begun: whoever could go at once would be sent.
    let mut asked = None;
    let rollout = RolloutId(0);
    for action in [
        OperatorAction::Create { package: package.clone(), priority: 0 },
        OperatorAction::Approve { rollout },
        OperatorAction::Start { rollout },
        OperatorAction::Pause { rollout },
    ] {
        asked = say_to(&mut engine, at, Input::Operator(action)).or(asked);
    }
    asked = say_to(&mut engine, at, Input::Requests { devices }).or(asked);
    while let Some(request) = asked {
        let fits = request
            .keys
            .par_iter()
            .with_min_len(16)
            .map_init(FitRoom::default, |room, key| engine.fit(*key, room))
            .collect();
        asked = say_to(&mut engine, at, Input::Forecasts(Forecasts { round: request.round, fits }));
    }
    let Some(dry) = engine.dry_plan() else {
        let count = |why| left_out.iter().filter(|(_, w)| *w == why).count();
        bail!(
            "there is nobody to update: {} devices run {} or newer, {} do not match the target `{}`, {} match but the package does not suit them",
            count(LeftOut::Newer),
            package.version,
            count(LeftOut::NotTarget),
            package.target,
            count(LeftOut::NotCompatible)
        );
    };
    Ok(Looked { engine, package, at, dry, left_out, remarks })
}

/// The row of the recording of each device, where it has one.
fn rows(facts: &[DeviceFacts], recording: &Recording) -> Result<Vec<Option<usize>>> {
    let known: BTreeMap<&str, usize> =
        recording.devices.iter().enumerate().map(|(r, name)| (name.as_str(), r)).collect();
    let rows: Vec<Option<usize>> = facts.iter().map(|f| known.get(f.id.as_str()).copied()).collect();
    if let (true, Some(first)) = (rows.iter().all(Option::is_none), recording.devices.first()) {
        let name = facts.first().map_or("", |f| f.id.as_str());
        let near = nearest(name, known.keys().copied()).unwrap_or(first);
        bail!(
            "no device of the fleet has telemetry: the fleet begins with `{name}`, the history has names like `{near}`"
        );
    }
    Ok(rows)
}

fn remarks(
    policy: &Policy,
    facts: &[DeviceFacts],
    recording: &Recording,
    rows: &[Option<usize>],
    (wanted, at, end): (Instant, Instant, Instant),
) -> Vec<String> {
    let mut said = Vec::new();
    let used: BTreeSet<usize> = rows.iter().flatten().copied().collect();
    let strangers = recording.devices.len() - used.len();
    if strangers > 0 {
        said.push(format!("{strangers} devices of the history are not in the fleet: their telemetry is left out"));
    }
    if wanted != at {
        said.push(format!("{wanted} lies within a slot: the plan begins with the next, {at}"));
    }
    if at > end {
        said.push(format!("the history ends at {end}, {} before the plan begins", at.since(end)));
    }
    if !recording.metrics.contains(&policy.scores.demand_metric) {
        let (wanted, used) = (&policy.scores.demand_metric, &recording.metrics[0]);
        said.push(format!(
            "the history has no `{wanted}`: `{used}` stands for the demand that moves when a device is out"
        ));
    }
    said.extend(recording.remarks());
    said.extend(recording.shares_of_one(false));
    let by_function = facts.iter().filter(|facts| facts.criticality.is_none()).map(|facts| facts.function.as_str());
    said.extend(nearly_known(by_function, policy));
    let regions: BTreeSet<&str> = facts.iter().map(|f| f.region.as_str()).collect();
    for name in policy.regions.keys().filter(|name| !regions.contains(name.as_str())) {
        let hint = nearest(name, regions.iter().copied()).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
        said.push(format!("the policy names region `{name}`, and no device is in it{hint}"));
    }
    said
}

fn left_out(package: &Package, facts: &[DeviceFacts]) -> Vec<(DeviceIndex, LeftOut)> {
    let why = |facts: &DeviceFacts| package.left_out(&facts.attributes());
    facts.iter().enumerate().filter_map(|(d, facts)| Some((DeviceIndex(d as u32), why(facts)?))).collect()
}

/// Tells the engine the telemetry before `at`, as far back as it keeps any. A sample of a step longer than a slot holds for all of them.
fn tell(engine: &mut Engine, recording: &Recording, rows: &[Option<usize>], at: Instant) {
    let period = Span::from_secs(recording.period_s.unsigned_abs());
    let (slot, kept) = (engine.policy().plan.slot, engine.policy().forecast.history);
    let (repeats, every) = if period > slot { (period.steps_up(slot), slot) } else { (1, period) };
    for step in 0..recording.steps {
        let begin = Instant::from_secs(recording.start_s + step as i64 * recording.period_s);
        if begin + period <= at - kept || begin >= at {
            continue;
        }
        let value =
            |metric: usize, row: &Option<usize>| row.map_or(f32::NAN, |row| recording.series(metric, row)[step]);
        let column = |metric: usize| rows.iter().map(|row| value(metric, row)).collect();
        let columns: Vec<Vec<f32>> = (0..recording.metrics.len()).map(column).collect();
        for moment in (0..repeats).map(|i| begin + every.times(i)).filter(|moment| *moment < at) {
            say_to(engine, moment, Input::Telemetry(TelemetryBatch { devices: None, columns: columns.clone() }));
        }
    }
}

/// Says one thing and hears the answers; the one that matters here is a wish for forecasts.
fn say_to(engine: &mut Engine, at: Instant, input: Input) -> Option<ForecastRequest> {
    engine.handle_input(at, input);
    let mut asked = None;
    loop {
        match engine.poll_output() {
            Output::Forecast(request) => asked = Some(request),
            Output::Wake { .. } => return asked,
            Output::Record(_) | Output::Command(_) => {}
        }
    }
}
