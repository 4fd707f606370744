//! Several rollouts at once: which of them a device goes for, and which goes first.

use super::Engine;
use super::run::{Run, Stage};
use crate::filter::Attributes;
use crate::ids::{DeviceIndex, RolloutId};
use crate::plan::WaitingOn;
use crate::rollout::Hop;
use crate::score;
use crate::time::Instant;

/// Why a device may not go now, and the earliest time at which that may change.
pub(super) type Bar = (WaitingOn, Option<Instant>);

/// What a device would go for now.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Candidate {
    pub(super) rollout: RolloutId,
    /// Its next install on the way; `None` where there is no way (it is barred then).
    pub(super) hop: Option<Hop>,
    pub(super) barred: Option<Bar>,
}

impl Engine {
    /// Most rollouts that are not over at once.
    pub const ROLLOUTS_MAX: usize = 16;

    /// Running rollouts, those that go first in front: who has gone without for longer than the policy's patience, then by priority,
    /// then the elder. So no rollout waits for ever for one of higher priority.
    pub(super) fn standing(&self) -> Vec<RolloutId> {
        self.standing_of(Run::is_running)
    }

    /// Those of the rollouts that `counts` holds for, in the order they stand in.
    pub(super) fn standing_of(&self, counts: impl Fn(&Run) -> bool) -> Vec<RolloutId> {
        let patience = self.policy.plan.patience;
        let mut running: Vec<&Run> = self.rollouts.iter().filter(|run| counts(run)).collect();
        running.sort_by_key(|run| (!run.is_starved(self.now, patience), std::cmp::Reverse(run.priority), run.id));
        running.into_iter().map(|run| run.id).collect()
    }

    /// The first of `standing` that wants the device and may have it; else the first that wants it, with why it may not.
    pub(super) fn candidate(&self, device: DeviceIndex, standing: &[RolloutId], capacity: f64) -> Option<Candidate> {
        let mut first = None;
        for id in standing {
            let Some(run) = self.run(*id).filter(|run| run.stage(device) == Stage::Waiting) else { continue };
            let hop = self.next_hop(device, run);
            let candidate = Candidate { rollout: *id, hop, barred: self.barred(device, run, hop, capacity) };
            if candidate.barred.is_none() {
                return Some(candidate);
            }
            first.get_or_insert(candidate);
        }
        first
    }

    fn next_hop(&self, device: DeviceIndex, run: &Run) -> Option<Hop> {
        let attributes = self.fleet.facts[device.index()].attributes();
        // Most devices go straight; the way through stones is only looked for where there are any.
        let package = &run.package;
        if package.stones.is_empty() {
            let straight = attributes.version < &package.version && package.compatible.may_match(&attributes);
            return straight.then_some(Hop { version: package.version, size_bytes: package.size_bytes });
        }
        package.path(&attributes).and_then(|path| path.first().copied())
    }

    fn barred(&self, device: DeviceIndex, run: &Run, hop: Option<Hop>, capacity: f64) -> Option<Bar> {
        let at = &run.devices[device.index()];
        let facts = &self.fleet.facts[device.index()];
        if let Some((_, attempt)) = self.ledger.holder(device) {
            return Some((WaitingOn::OtherRollout { rollout: attempt.rollout }, Some(attempt.until)));
        }
        if let Some(rollout) = self.wanted_back_by(device) {
            return Some((WaitingOn::OtherRollout { rollout }, None));
        }
        if !at.asked {
            return Some((WaitingOn::NotRequested, None));
        }
        match run.turn(device) {
            None => {
                let on = WaitingOn::WaveNotOpen { wave: at.wave, open: run.open_wave() };
                return Some((on, self.wave_opens_at(run, at.wave)));
            }
            Some(turn) if turn > self.now => return Some((WaitingOn::NotItsTurn { turn }, Some(turn))),
            Some(_) => {}
        }
        if hop.is_none() {
            let (version, required) = (facts.version.to_string(), run.package.compatible.to_string());
            return Some((WaitingOn::NotCompatible { version, required }, None));
        }
        if let Some(retry_at) = at.retry_at.filter(|retry_at| *retry_at > self.now) {
            return Some((WaitingOn::RetryPause { attempts: at.tries }, Some(retry_at)));
        }
        let ran = at.ran.unwrap_or(facts.version);
        let matches = run.package.target.matches(&Attributes { version: &ran, ..facts.attributes() }, capacity);
        (!matches).then_some((WaitingOn::CapacityFilter { capacity }, None))
    }

    /// The rollout that waits for room to take a device back: until it has, nobody installs anything on top.
    pub(super) fn wanted_back_by(&self, device: DeviceIndex) -> Option<RolloutId> {
        self.rollouts.iter().find(|run| run.is_to_go_back(device)).map(|run| run.id)
    }

    /// Capacity score of a device now.
    pub(super) fn capacity_now(&self, device: DeviceIndex) -> f64 {
        score::capacity(self.load_score_at(device, self.now))
    }

    /// A device runs another release than before: rollouts whose release it has reached count it, those whose it has lost take it up again.
    /// The rollout that changed it, if one did, has counted it already.
    pub(super) fn version_changed(&mut self, device: DeviceIndex, by: Option<RolloutId>) {
        let version = self.fleet.facts[device.index()].version;
        for run in self.rollouts.iter_mut().filter(|run| Some(run.id) != by && !run.state.is_end()) {
            match run.stage(device) {
                Stage::Waiting if version >= run.package.version => run.set_stage(device, Stage::Updated),
                Stage::Updated if version < run.package.version => run.set_stage(device, Stage::Waiting),
                _ => {}
            }
        }
    }
}
