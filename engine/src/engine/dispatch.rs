//! Batches whose time has come go out.

use super::Engine;
use super::run::{Attempt, CommandFor, DeviceRun, Issued, Run, Stage};
use crate::ids::{AttemptId, CommandId, DeviceIndex};
use crate::journal::Entry;
use crate::output::CommandKind;
use crate::plan::Batch;
use crate::rollout::{AttemptEvent, AttemptState, RolloutState};
use crate::time::{Instant, Span};

impl Engine {
    /// Sends every batch of the plan in force that is due, less the devices that meanwhile may not.
    pub(super) fn dispatch_due(&mut self) {
        let slot_start = self.now.floor_to(self.policy.plan.slot);
        let behind = self.is_behind(slot_start);
        let Some(run) = &mut self.run else { return };
        if run.state != RolloutState::Running {
            return;
        }
        // A plan of this slot knows who is still out; an older one must be made anew before anybody goes.
        if behind && run.planned_slot != Some(slot_start) {
            self.replan("devices are out longer than planned");
            return;
        }
        let Some(plan) = &mut run.plan else { return };
        let due = plan.batches.iter().take_while(|batch| batch.start <= self.now).count();
        if due == 0 {
            return;
        }
        let batches: Vec<Batch> = plan.batches.drain(..due).collect();
        for batch in batches {
            // A batch whose slot has passed (the engine was not woken) is for the next plan.
            if self.now.since(batch.start) < self.policy.plan.slot {
                self.send_batch(&batch);
            } else {
                self.replan("a batch was missed");
            }
        }
    }

    fn send_batch(&mut self, batch: &Batch) {
        let until = self.now + self.policy.plan.slot.times(self.window_slots());
        let may = |device: &DeviceIndex, run: &Run| {
            run.devices[device.index()].stage == Stage::Waiting && !self.fleet.removed[device.index()]
        };
        let Some(run) = &self.run else { return };
        let devices: Vec<DeviceIndex> = batch.devices.iter().copied().filter(|d| may(d, run)).collect();
        if devices.is_empty() {
            return;
        }
        let capacity = devices.iter().map(|d| crate::score::capacity(self.load_score_at(*d, batch.start))).sum();
        let requirement = devices.iter().map(|d| self.fleet.facts[d.index()].requirement).sum();
        let ids = devices.iter().map(|d| self.fleet.facts[d.index()].id.clone()).collect();
        let Some(run) = &mut self.run else { return };
        run.batches += 1;
        let (first_command, first_attempt) =
            (CommandId(run.commands.len() as u64), AttemptId(run.attempts.len() as u64));
        let (number, plan, wave) = (run.batches, run.plan_number, run.open_wave);
        let timeout = self.now + self.policy.attempts.timeout;
        for device in &devices {
            run.begin_attempt(*device, self.now, until, timeout);
        }
        self.record(Entry::Batch {
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
        for (position, device) in devices.into_iter().enumerate() {
            let command = CommandId(first_command.0 + position as u64);
            let attempt = AttemptId(first_attempt.0 + position as u64);
            self.command(device, CommandKind::Install { command, attempt, generation: plan });
        }
    }

    /// Time a rollback is given before silence becomes its outcome.
    pub(super) const fn rollback_timeout(&self) -> Span {
        self.policy.attempts.timeout
    }
}

impl Run {
    /// Books a new attempt with its install command.
    fn begin_attempt(&mut self, device: DeviceIndex, now: Instant, until: Instant, timeout: Instant) {
        let install = CommandId(self.commands.len() as u64);
        let id = AttemptId(self.attempts.len() as u64);
        let state = AttemptState::Queued.after(AttemptEvent::Dispatch).unwrap_or(AttemptState::Dispatched);
        self.attempts.push(Attempt { device, state, install, begun: now, until });
        self.commands.push(Issued { attempt: id, what: CommandFor::Install, open: true });
        self.timeouts.push_back((timeout, install));
        self.set_stage(device, Stage::InFlight);
        let DeviceRun { tries, retry_at, attempt, .. } = self.device(device);
        *tries += 1;
        *retry_at = None;
        *attempt = Some(id);
    }
}
