//! The rollout's own course: what a person says, what time brings, how it ends.

use super::Engine;
use super::run::{Run, Stage};
use crate::ids::DeviceIndex;
use crate::input::OperatorAction;
use crate::journal::Entry;
use crate::journal::entry::PoolFacts;
use crate::output::CommandKind;
use crate::rollout::{Cause, Package, RolloutEvent, RolloutState};
use std::collections::BTreeMap;

impl Engine {
    /// Moves the rollout along one edge and records it. Refused where there is no such edge.
    pub(super) fn transit(&mut self, event: RolloutEvent, cause: Option<Cause>, detail: impl Into<String>) -> bool {
        let Some(run) = &mut self.run else { return false };
        let from = run.state;
        let Some(to) = from.after(event) else {
            self.ignore(format!("a rollout that is {from} cannot {event:?}").to_lowercase());
            return false;
        };
        run.state = to;
        run.cause = cause;
        if to.is_end() {
            run.soak_until = None;
            run.resume_at = None;
            run.deadline = None;
        }
        self.record(Entry::Rollout { from, to, cause, detail: detail.into() });
        if to.is_end() {
            self.forecasting.end();
        }
        true
    }

    /// Does as a person says.
    pub(super) fn obey(&mut self, action: OperatorAction) {
        match action {
            OperatorAction::Create(package) => self.create(package),
            OperatorAction::Approve => {
                self.transit(RolloutEvent::Approve, None, "approved");
            }
            OperatorAction::Start => self.start(),
            OperatorAction::Pause => {
                self.transit(RolloutEvent::Pause, Some(Cause::Operator), "paused by an operator");
            }
            OperatorAction::Resume => self.resume("resumed by an operator"),
            OperatorAction::Abort => self.abort(Cause::Operator, "aborted by an operator"),
        }
    }

    fn create(&mut self, package: Package) {
        if self.run.as_ref().is_some_and(|run| !run.state.is_end()) {
            self.ignore("a rollout is under way already".to_owned());
            return;
        }
        let detail = format!("{} {} for {}", package.name, package.version, package.target);
        let rate = self.policy.monitor.false_alarm_rate;
        self.run = Some(Run::new(package, self.fleet.len(), self.policy.waves.len(), rate));
        self.transit(RolloutEvent::Submit, None, detail);
    }

    fn start(&mut self) {
        let chosen = self.choose_targets();
        let Some(run) = &mut self.run else {
            self.ignore("there is no rollout to start".to_owned());
            return;
        };
        if run.state.after(RolloutEvent::Start).is_none() {
            let state = run.state;
            self.ignore(format!("a rollout that is {state} cannot start"));
            return;
        }
        run.deadline = Some(self.now + self.policy.attempts.rollout_timeout);
        run.targets = chosen.targets;
        for device in run.targets.clone() {
            run.set_stage(device, Stage::Waiting);
        }
        let targets = run.targets.len();
        self.assign_waves();
        self.record_fleet();
        let detail = match chosen.unsuitable {
            0 => format!("{targets} devices to update"),
            n => format!("{targets} devices to update; {n} more match the target but the package does not suit them"),
        };
        self.transit(RolloutEvent::Start, None, detail);
        if crate::forecasting::Forecasting::is_wanted(&self.policy) {
            self.forecasting.begin(self.now);
        }
        self.open_wave(0);
        for device in self.run.as_ref().map(|run| run.targets.clone()).unwrap_or_default() {
            self.command(device, CommandKind::Announce);
        }
        self.replan("the rollout began");
    }

    fn choose_targets(&self) -> Chosen {
        let mut chosen = Chosen { targets: Vec::new(), unsuitable: 0 };
        let Some(run) = &self.run else { return chosen };
        for device in self.fleet.present() {
            let facts = &self.fleet.facts[device.index()];
            let attributes = super::planning::attributes(facts);
            if facts.version >= run.package.version || !run.package.target.may_match(&attributes) {
                continue;
            }
            if run.package.compatible.may_match(&attributes) {
                chosen.targets.push(device);
            } else {
                chosen.unsuitable += 1;
            }
        }
        chosen
    }

    fn record_fleet(&mut self) {
        let mut regions = BTreeMap::new();
        for region in &self.fleet.regions {
            regions.insert(region.id.to_string(), region.members);
        }
        let facts = |pool: &crate::fleet::Pool| PoolFacts {
            name: pool.id.to_string(),
            members: pool.members.len() as u32,
            weight: pool.weight_total,
        };
        self.record(Entry::Fleet {
            devices: self.fleet.present().count() as u32,
            targets: self.run.as_ref().map_or(0, |run| run.targets.len()) as u32,
            pools: self.fleet.pools.iter().map(facts).collect(),
            regions,
        });
    }

    /// Goes on after a pause.
    pub(super) fn resume(&mut self, detail: &str) {
        if self.transit(RolloutEvent::Resume, None, detail) {
            if let Some(run) = &mut self.run {
                run.resume_at = None;
            }
            self.replan("resumed");
        }
    }

    /// Stops for good: what has not taken a device out is cancelled, what has comes home.
    pub(super) fn abort(&mut self, cause: Cause, detail: &str) {
        if !self.transit(RolloutEvent::Abort, Some(cause), detail) {
            return;
        }
        self.drop_plan();
        self.cancel_unbegun();
    }

    /// What time brings: the rollout's deadline, the end of a pause, and calls for a person nobody heard.
    pub(super) fn advance_course(&mut self) {
        let Some(run) = &self.run else { return };
        let now = self.now;
        if run.deadline.is_some_and(|at| at <= now) && matches!(run.state, RolloutState::Running | RolloutState::Paused)
        {
            let waiting = run.count(Stage::Waiting);
            if let Some(run) = &mut self.run {
                run.deadline = None;
            }
            self.abort(Cause::RolloutTimeout, &format!("time is up with {waiting} devices still waiting"));
            return;
        }
        if run.state == RolloutState::Paused && run.resume_at.is_some_and(|at| at <= now) {
            self.resume("the pause is over");
        }
    }

    /// Ends the rollout when nothing is left to do.
    pub(super) fn finish_when_done(&mut self) {
        let Some(run) = &self.run else { return };
        if run.is_anything_in_flight() {
            return;
        }
        let (updated, failed) = (run.count(Stage::Updated), run.count(Stage::Failed));
        match run.state {
            RolloutState::Running if run.count(Stage::Waiting) == 0 => {
                let detail = format!("{updated} devices updated, {failed} could not be");
                self.transit(RolloutEvent::Finish, None, detail);
            }
            RolloutState::Aborting => {
                let cause = run.cause;
                self.transit(RolloutEvent::Stop, cause, format!("{updated} devices stay updated, {failed} failed"));
            }
            _ => {}
        }
    }

    pub(super) fn drop_plan(&mut self) {
        if let Some(run) = &mut self.run {
            run.plan = None;
        }
    }

    /// Calls off every attempt that has not taken its device out. Returns those devices.
    pub(super) fn cancel_unbegun(&mut self) -> Vec<DeviceIndex> {
        let Some(run) = &self.run else { return Vec::new() };
        let unbegun: Vec<_> = run
            .in_flight()
            .filter(|(_, attempt)| !attempt.state.is_out())
            .map(|(_, attempt)| (attempt.device, attempt.install))
            .collect();
        for (device, command) in &unbegun {
            self.command(*device, CommandKind::Cancel { command: *command });
        }
        unbegun.into_iter().map(|(device, _)| device).collect()
    }
}

struct Chosen {
    targets: Vec<DeviceIndex>,
    unsuitable: u32,
}
