//! The course of a rollout: what a person says, what time brings, how it ends.

use super::Engine;
use super::run::{Run, Stage};
use crate::document::counted;
use crate::filter::Filter;
use crate::ids::{CommandId, DeviceIndex, RolloutId};
use crate::input::OperatorAction;
use crate::journal::Entry;
use crate::journal::entry::{MemberFacts, PoolFacts};
use crate::output::CommandKind;
use crate::rollout::{Cause, LeftOut, Package, RolloutEvent, RolloutState};
use std::collections::BTreeMap;

/// Ended rollouts whose devices are remembered; older ones keep their figures only.
const ENDED_KEPT: usize = 8;
/// A journal names the pool and region of every device of a rollout for so many.
const MEMBERS_RECORDED_MAX: usize = 200_000;

/// `1 device`, `2 devices`.
pub(super) fn devices(n: u32) -> String {
    counted(n as usize, "device", "devices")
}

impl Engine {
    /// Moves a rollout along one edge and records it. Refused where there is no such edge.
    pub(super) fn transit(
        &mut self,
        rollout: RolloutId,
        event: RolloutEvent,
        cause: Option<Cause>,
        detail: impl Into<String>,
    ) -> bool {
        let Some(run) = self.run_mut(rollout) else {
            self.ignore(format!("there is no rollout {rollout}"));
            return false;
        };
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
            run.restoring = None;
            run.starved_since = None;
        }
        self.record(Entry::Rollout { rollout, from, to, cause, detail: detail.into() });
        if to.is_end() && self.live().is_empty() {
            self.planning.clear();
            self.forecasting.end();
        }
        true
    }

    /// Does as a person says.
    pub(super) fn obey(&mut self, action: OperatorAction) {
        match action {
            OperatorAction::Create { package, priority } => self.create(package, priority),
            OperatorAction::SignOff { rollout, sign_off } => self.sign_off(rollout, sign_off.envelope),
            OperatorAction::Approve { rollout } => {
                self.transit(rollout, RolloutEvent::Approve, None, "approved");
            }
            OperatorAction::Start { rollout } => self.start(rollout),
            OperatorAction::Pause { rollout } => {
                self.transit(rollout, RolloutEvent::Pause, Some(Cause::Operator), "paused by an operator");
            }
            OperatorAction::Resume { rollout } => {
                self.accept_divergence(rollout);
                self.resume(rollout, "resumed by an operator");
            }
            OperatorAction::Abort { rollout } => self.abort(rollout, Cause::Operator, "aborted by an operator"),
        }
    }

    fn create(&mut self, package: Package, priority: u8) {
        if self.live().len() >= Self::ROLLOUTS_MAX {
            self.ignore(format!("{} rollouts are under way already, and no more may be", Self::ROLLOUTS_MAX));
            return;
        }
        let id = RolloutId(self.rollouts.len() as u32);
        let whom =
            if package.target == Filter::everything() { "all devices".to_owned() } else { package.target.to_string() };
        let detail = format!("{} {} for {whom}", package.name, package.version);
        let rate = self.policy.monitor.false_alarm_rate;
        self.rollouts.push(Run::new(id, package, priority, self.fleet.len(), self.policy.waves.len(), rate));
        let ended: Vec<usize> = (0..self.rollouts.len()).filter(|r| self.rollouts[*r].state.is_end()).collect();
        for old in ended.iter().rev().skip(ENDED_KEPT) {
            self.rollouts[*old].shelve();
        }
        self.transit(id, RolloutEvent::Submit, None, detail);
    }

    fn start(&mut self, rollout: RolloutId) {
        let Some(run) = self.run(rollout) else {
            self.ignore(format!("there is no rollout {rollout} to start"));
            return;
        };
        let state = run.state;
        if state.after(RolloutEvent::Start).is_none() {
            self.ignore(format!("a rollout that is {state} cannot start"));
            return;
        }
        let chosen = self.choose_targets(run);
        let deadline = self.now + self.policy.attempts.rollout_timeout;
        let Some(run) = self.run_mut(rollout) else { return };
        run.deadline = Some(deadline);
        run.targets = chosen.targets;
        let targets = run.targets.clone();
        for device in &targets {
            run.set_stage(*device, Stage::Waiting);
        }
        for device in &targets {
            let version = self.fleet.facts[device.index()].version;
            self.rollouts[rollout.index()].device(*device).ran = Some(version);
        }
        self.assign_waves(rollout);
        self.record_fleet(rollout);
        let n = targets.len();
        let detail = match chosen.unsuitable {
            0 => format!("{n} devices to update"),
            more => format!("{n} devices to update; {more} more match the target but the package does not suit them"),
        };
        self.transit(rollout, RolloutEvent::Start, None, detail);
        if crate::forecasting::Forecasting::is_wanted(&self.policy) {
            self.forecasting.begin(self.now);
        }
        self.open_first_wave(rollout);
        for device in targets {
            self.command(device, CommandKind::Announce);
        }
        self.replan("a rollout began");
    }

    fn choose_targets(&self, run: &Run) -> Chosen {
        let mut chosen = Chosen { targets: Vec::new(), unsuitable: 0 };
        for device in self.fleet.present() {
            let facts = &self.fleet.facts[device.index()];
            match run.package.left_out(&facts.attributes()) {
                None => chosen.targets.push(device),
                Some(LeftOut::NotCompatible) => chosen.unsuitable += 1,
                Some(LeftOut::Newer | LeftOut::NotTarget) => {}
            }
        }
        chosen
    }

    fn record_fleet(&mut self, rollout: RolloutId) {
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
            rollout,
            devices: self.fleet.present().count() as u32,
            targets: self.run(rollout).map_or(0, |run| run.targets.len()) as u32,
            pools: self.fleet.pools.iter().map(facts).collect(),
            regions,
            members: self.members(rollout),
        });
    }

    /// Where each device of a rollout belongs; of a rollout for very many it is not said.
    fn members(&self, rollout: RolloutId) -> Vec<MemberFacts> {
        let devices = self.run(rollout).map_or(&[][..], |run| &run.targets);
        if devices.len() > MEMBERS_RECORDED_MAX {
            return Vec::new();
        }
        let mut place = vec![0; self.fleet.regions.len()];
        for (position, region) in self.fleet.regions_by_name().into_iter().enumerate() {
            place[region] = position as u32;
        }
        let one = |device: &DeviceIndex| {
            let d = device.index();
            let id = self.fleet.facts[d].id.clone();
            MemberFacts(id, self.fleet.pool_of[d].0, place[self.fleet.region_of[d].index()])
        };
        devices.iter().map(one).collect()
    }

    /// Goes on after a pause.
    pub(super) fn resume(&mut self, rollout: RolloutId, detail: &str) {
        if self.transit(rollout, RolloutEvent::Resume, None, detail) {
            if let Some(run) = self.run_mut(rollout) {
                run.resume_at = None;
            }
            self.replan("resumed");
        }
    }

    /// Stops for good: what has not taken a device out is cancelled, what has comes home.
    pub(super) fn abort(&mut self, rollout: RolloutId, cause: Cause, detail: &str) {
        if self.transit(rollout, RolloutEvent::Abort, Some(cause), detail) {
            self.leave_plan(rollout);
            if let Some(restoring) = self.run_mut(rollout).and_then(|run| run.restoring.as_mut()) {
                // What is on its way back comes back first.
                restoring.aborted = true;
            }
            let unbegun = self.unbegun(rollout);
            self.cancel(&unbegun);
        }
    }

    /// What time brings: deadlines, and the ends of pauses.
    pub(super) fn advance_course(&mut self) {
        let now = self.now;
        for id in self.live() {
            let Some(run) = self.run_mut(id) else { continue };
            let stands = matches!(run.state, RolloutState::Running | RolloutState::Paused);
            if stands && run.deadline.is_some_and(|at| at <= now) {
                let waiting = run.count(Stage::Waiting);
                run.deadline = None;
                self.abort(id, Cause::RolloutTimeout, &format!("time is up with {waiting} devices still waiting"));
            } else if run.state == RolloutState::Paused && run.resume_at.is_some_and(|at| at <= now) {
                self.resume(id, "the pause is over");
            }
        }
    }

    /// Ends rollouts that have nothing left to do.
    pub(super) fn finish_when_done(&mut self) {
        for id in self.live() {
            let Some(run) = self.run(id).filter(|run| !run.is_anything_in_flight()) else { continue };
            let (updated, failed) = (run.count(Stage::Updated), run.count(Stage::Failed));
            match run.state {
                RolloutState::Running if run.count(Stage::Waiting) == 0 => {
                    let detail = match failed {
                        0 => format!("{} updated", devices(updated)),
                        failed => format!("{} updated, {failed} could not be", devices(updated)),
                    };
                    self.transit(id, RolloutEvent::Finish, None, detail);
                }
                RolloutState::Aborting => {
                    let cause = run.cause;
                    let detail = format!("{} on the new release, {failed} failed", devices(updated));
                    self.transit(id, RolloutEvent::Stop, cause, detail);
                }
                _ => {}
            }
        }
    }

    /// Attempts of a rollout that have not taken their device out: the device and its install command.
    pub(super) fn unbegun(&self, rollout: RolloutId) -> Vec<(DeviceIndex, CommandId)> {
        let open = self.ledger.open_of(rollout).filter(|(_, attempt)| !attempt.state.is_out());
        open.map(|(_, attempt)| (attempt.device, attempt.install)).collect()
    }

    /// Calls off installs, once the decision is recorded.
    pub(super) fn cancel(&mut self, installs: &[(DeviceIndex, CommandId)]) {
        for (device, command) in installs {
            self.command(*device, CommandKind::Cancel { command: *command });
        }
    }
}

struct Chosen {
    targets: Vec<DeviceIndex>,
    unsuitable: u32,
}
