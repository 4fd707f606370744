//! From the command line to the points of a sweep, each a setup that can be run.

use super::Args;
use crate::simulate::set_field;
use crate::worlds::{World, check_slot};
use anyhow::{Result, anyhow};
use serde_json::Value;
use slacktide_engine::document::InputError;
use slacktide_engine::policy::Policy;
use slacktide_scenarios::Scenario;
use slacktide_sim::Setup;
use slacktide_sim::sweep::{Axis, Design, Plan, SCENARIO, check_axes, plan, with_values};

/// All points, checked.
#[derive(Debug)]
pub(super) struct Points {
    /// The world and policy that all points have in common.
    pub(super) base: Setup,
    pub(super) axes: Vec<Axis>,
    pub(super) design: Design,
    pub(super) plan: Plan,
    world: World,
    policy: Option<String>,
    set: Vec<String>,
}

impl Points {
    /// Reads the command line. Every point is made once, so that one that cannot be is told before anything runs.
    pub(super) fn new(args: &Args, design: Design) -> Result<Self> {
        let mut axes = args.vary.iter().map(|text| Axis::parse(text)).collect::<Result<Vec<_>, _>>()?;
        let varies = |field: &str| axes.iter().any(|axis| axis.field == field);
        let clash = |flag: &str, field: &str| anyhow!("{flag} fixes what --vary {field} varies: leave one of them out");
        if args.world.devices.is_some() && varies("scenario.devices") {
            return Err(clash("--devices", "scenario.devices"));
        }
        if args.world.fleet.is_some() && varies("scenario.devices") {
            return Err(clash("--fleet", "scenario.devices"));
        }
        if args.policy.is_some() && varies("scenario.policy") {
            return Err(clash("--policy", "scenario.policy"));
        }
        let fixed = |text: &String| text.split_once('=').map(|(field, _)| field.trim().to_owned());
        if let Some(field) = args.set.iter().filter_map(fixed).find(|field| varies(field)) {
            return Err(clash(&format!("--set {field}"), &field));
        }
        let mut points = Self {
            base: args.world.setup()?,
            axes: Vec::new(),
            design,
            plan: Plan { points: Vec::new(), repeated: 0 },
            world: args.world.clone(),
            policy: args.policy.clone(),
            set: args.set.clone(),
        };
        points.base = points.with(points.base.clone(), "", &[])?;
        check_axes(&mut axes, |axis, value| {
            points.scenario_with("", &[(axis, value)]).and_then(|s| points.checked(s, "", &[(axis, value)])).is_ok()
        })?;
        let count = args.points.map(|n| n as usize);
        points.plan = plan(&axes, design, count, args.world.seed).map_err(|problem| anyhow!("{problem}"))?;
        points.axes = axes;
        for point in 0..points.plan.points.len() {
            points.setup(point)?;
        }
        Ok(points)
    }

    /// `point 3 (plan.device_load_max = 60)`, counted from 1.
    fn label(&self, point: usize) -> String {
        format!("point {} ({})", point + 1, words(&self.axes, &self.plan.points[point]))
    }

    /// The setup of a point.
    pub(super) fn setup(&self, point: usize) -> Result<Setup> {
        let values: Vec<(&Axis, &Value)> = self.axes.iter().zip(&self.plan.points[point]).collect();
        let label = self.label(point);
        let setup = self.scenario_with(&label, &values)?;
        self.checked(setup, &label, &values).map_err(|error| match error.downcast::<InputError>() {
            Ok(error) => error.into(),
            Err(error) => error.context(label),
        })
    }

    /// The base in a scenario with its values put in; the base itself where none is the scenario's.
    fn scenario_with(&self, label: &str, values: &[(&Axis, &Value)]) -> Result<Setup> {
        let own = values.iter().filter_map(|(axis, value)| Some((axis.field.strip_prefix(SCENARIO)?, *value)));
        let own: Vec<_> = own.collect();
        if own.is_empty() {
            return Ok(self.base.clone());
        }
        let text = edited(label, &self.base.scenario.text, &own, SCENARIO)?;
        let mut scenario = Scenario::under_any_policy(label, &text)
            .map_err(|error| InputError { field: format!("{SCENARIO}{}", error.field), ..unplaced(error) })?;
        scenario.name.clone_from(&self.base.scenario.name);
        let setup = self.world.in_scenario(&self.base, scenario)?;
        self.with(setup, label, &[])
    }

    /// The same, all values put in: only now the slot and the tick are what is run.
    fn checked(&self, setup: Setup, label: &str, values: &[(&Axis, &Value)]) -> Result<Setup> {
        let setup = self.with(setup, label, values)?;
        check_slot(&setup)?;
        Ok(setup)
    }

    /// A setup under the policy asked for, its fields set and values put in.
    fn with(&self, mut setup: Setup, label: &str, values: &[(&Axis, &Value)]) -> Result<Setup> {
        let own = values.iter().filter(|(axis, _)| !axis.field.starts_with(SCENARIO));
        let own: Vec<_> = own.map(|(axis, value)| (axis.field.as_str(), *value)).collect();
        if values.is_empty() {
            if let Some(policy) = &self.policy {
                setup = World::with_policy(&setup, policy)?;
            }
            self.set.iter().try_for_each(|text| set_field(&mut setup, text))?;
        }
        if !own.is_empty() {
            let text = edited(label, &setup.policy.to_toml(), &own, "")?;
            setup.policy = Policy::from_toml(label, &text).map_err(unplaced)?;
        }
        Ok(setup)
    }
}

/// `a = 1, b = 2h`.
pub(super) fn words(axes: &[Axis], values: &[Value]) -> String {
    let one = |(axis, value): (&Axis, &Value)| format!("{} = {}", axis.field, word(value));
    axes.iter().zip(values).map(one).collect::<Vec<_>>().join(", ")
}

/// A value as people write it.
pub(super) fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The text was put together here: its lines mean nothing to anybody.
fn unplaced(error: InputError) -> InputError {
    InputError { line: None, ..error }
}

fn edited(label: &str, text: &str, values: &[(&str, &Value)], prefix: &str) -> Result<String> {
    match with_values(text, values.iter().copied()) {
        Ok(text) => Ok(text),
        // As an error of a file: who knows the point adds no second label to it.
        Err((field, problem)) => Err(InputError {
            source_name: label.to_owned(),
            line: None,
            field: format!("{prefix}{field}"),
            value: String::new(),
            problem,
        }
        .into()),
    }
}
