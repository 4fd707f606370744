//! Batches whose time has come go out.

use super::Engine;
use super::ledger::Attempt;
use super::run::Stage;
use crate::ids::{AttemptId, CommandId, DeviceIndex, RolloutId};
use crate::journal::Entry;
use crate::output::CommandKind;
use crate::plan::Batch;
use crate::rollout::{AttemptEvent, AttemptState, Hop};
use crate::time::Span;
use std::collections::BTreeMap;

impl Engine {
    /// Sends every batch of the plan in force that is due, less the devices that meanwhile may not.
    pub(super) fn dispatch_due(&mut self) {
        let slot_start = self.now.floor_to(self.policy.plan.slot);
        // A plan of this slot knows who is still out; an older one must be made anew before anybody goes.
        if self.is_behind(slot_start) && self.planning.planned_slot != Some(slot_start) {
            self.replan("devices are out longer than planned");
            return;
        }
        let Some(plan) = &mut self.planning.plan else { return };
        let due = plan.batches.iter().take_while(|batch| batch.start <= self.now).count();
        if due == 0 {
            return;
        }
        let batches: Vec<Batch> = plan.batches.drain(..due).collect();
        for batch in batches {
            // A batch whose slot has passed (the engine was not woken) is for the next plan.
            if self.now.since(batch.start) < self.policy.plan.slot {
                self.send_batch(&batch);
                // One batch a slot: a plan made later in this one would fill the slot a second time.
                self.planning.planned_slot = Some(slot_start);
            } else {
                self.replan("a batch was missed");
            }
        }
    }

    /// Each rollout's share of a batch is a record of its own.
    fn send_batch(&mut self, batch: &Batch) {
        let mut shares: BTreeMap<RolloutId, Vec<(DeviceIndex, Hop)>> = BTreeMap::new();
        for device in &batch.devices {
            let Some((rollout, hop)) = self.planning.chosen(*device) else { continue };
            let free = self.ledger.holder(*device).is_none()
                && self.wanted_back_by(*device).is_none()
                && !self.fleet.removed[device.index()];
            let wants = |run: &super::run::Run| run.is_running() && run.stage(*device) == Stage::Waiting;
            if free && self.run(rollout).is_some_and(wants) {
                shares.entry(rollout).or_default().push((*device, hop));
            }
        }
        for (rollout, devices) in shares {
            self.send_share(rollout, batch, &devices);
        }
    }

    fn send_share(&mut self, rollout: RolloutId, batch: &Batch, devices: &[(DeviceIndex, Hop)]) {
        let until = self.now + self.policy.plan.slot.times(self.window_slots());
        let capacity = devices.iter().map(|(d, _)| crate::score::capacity(self.load_score_at(*d, batch.start))).sum();
        let requirement = devices.iter().map(|(d, _)| self.fleet.facts[d.index()].requirement).sum();
        let ids = devices.iter().map(|(d, _)| self.fleet.facts[d.index()].id.clone()).collect();
        let (first_command, first_attempt) = (self.ledger.next_command(), self.ledger.next_attempt());
        let plan = self.planning.number;
        for (device, hop) in devices {
            self.begin_attempt(rollout, *device, *hop, until);
        }
        self.count_told(devices.len() as u32);
        let Some(run) = self.run_mut(rollout) else { return };
        run.batches += 1;
        run.starved_since = None;
        let (number, wave) = (run.batches, run.open_wave());
        self.record(Entry::Batch {
            rollout,
            batch: number,
            plan,
            wave,
            devices: ids,
            requirement,
            capacity,
            first_command,
            first_attempt,
            until,
        });
        for (position, (device, hop)) in devices.iter().enumerate() {
            let command = CommandId(first_command.0 + position as u64);
            let attempt = AttemptId(first_attempt.0 + position as u64);
            let kind = CommandKind::Install { command, attempt, generation: plan, rollout, version: hop.version };
            self.command(*device, kind);
        }
        #[cfg(feature = "planted-faults")]
        if let Some((device, hop)) = devices.first().filter(|_| self.has(crate::planted::Fault::DoubleInstall)) {
            let (command, attempt) = (self.ledger.next_command(), self.ledger.next_attempt());
            self.begin_attempt(rollout, *device, *hop, until);
            let kind = CommandKind::Install { command, attempt, generation: plan, rollout, version: hop.version };
            self.command(*device, kind);
        }
    }

    /// Books a new attempt with its install command.
    fn begin_attempt(&mut self, rollout: RolloutId, device: DeviceIndex, hop: Hop, until: crate::time::Instant) {
        let id = self.ledger.next_attempt();
        let attempt = Attempt {
            rollout,
            device,
            state: AttemptState::Queued.after(AttemptEvent::Dispatch).unwrap_or(AttemptState::Dispatched),
            install: self.ledger.next_command(),
            begun: self.now,
            until,
            from: self.fleet.facts[device.index()].version,
            to: hop.version,
            size_bytes: hop.size_bytes,
            replaced: self.ledger.brought(device).map(|(id, _)| id),
        };
        let timeout = self.now + self.policy.attempts.timeout;
        self.ledger.begin(attempt, timeout);
        let Some(run) = self.run_mut(rollout) else { return };
        run.set_stage(device, Stage::InFlight);
        let at = run.device(device);
        at.tries += 1;
        at.retry_at = None;
        at.attempt = Some(id);
    }

    /// Time a rollback is given before silence becomes its outcome.
    pub(super) const fn rollback_timeout(&self) -> Span {
        self.policy.attempts.timeout
    }
}
