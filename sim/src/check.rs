//! Promises that every run must keep, checked in the world and not in the engine's books.

use crate::device::Devices;
use crate::world::World;
use slacktide_engine::output::{Command, CommandKind};
use slacktide_engine::policy::Policy;
use slacktide_engine::time::Instant;
use std::collections::{BTreeMap, BTreeSet};

/// Most violations of one run that are told; a broken rule tends to break often.
const TOLD_MAX: usize = 20;

/// What has been seen of commands.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    commands: BTreeSet<u64>,
    outcomes: BTreeMap<u64, u32>,
    violations: Vec<String>,
}

impl Checks {
    fn violated(&mut self, text: String) {
        if self.violations.len() < TOLD_MAX {
            self.violations.push(text);
        }
    }

    /// A command leaves the engine.
    pub(crate) fn command(
        &mut self,
        now: Instant,
        command: &Command,
        policy: &Policy,
        world: &World,
        devices: &Devices,
    ) {
        let d = command.device.index();
        match command.kind {
            CommandKind::Install { command: id, .. } => {
                if !self.commands.insert(id.0) {
                    self.violated(format!("{now}: command {id} was given twice"));
                }
                if devices.is_busy(d) && !world.conditions[d].crashed {
                    self.violated(format!("{now}: device {d} was told to install while it installs"));
                }
                if !policy.calendar.is_open_at(now) {
                    self.violated(format!("{now}: device {d} was told to install outside its window"));
                }
                self.budgets(now, d, policy, world, devices);
            }
            CommandKind::Rollback { command: id, .. } => {
                if !self.commands.insert(id.0) {
                    self.violated(format!("{now}: command {id} was given twice"));
                }
            }
            CommandKind::Announce | CommandKind::Cancel { .. } | CommandKind::NotNow { .. } => {}
        }
    }

    /// The device told last is counted with those of its pool and region that are busy.
    fn budgets(&mut self, now: Instant, device: usize, policy: &Policy, world: &World, devices: &Devices) {
        let facts = &world.facts[device];
        let (mut pool, mut pool_busy, mut region, mut region_busy) = (0, 1, 0, 1);
        for (d, other) in world.facts.iter().enumerate() {
            let busy = d != device && devices.is_busy(d) && !world.conditions[d].crashed;
            if other.pool == facts.pool {
                pool += 1;
                pool_busy += u32::from(busy);
            }
            if other.region == facts.region {
                region += 1;
                region_busy += u32::from(busy);
            }
        }
        let over = |limit: Option<u32>, busy: u32| limit.is_some_and(|limit| busy > limit);
        if over(policy.plan.pool_out_max.of(pool), pool_busy) {
            self.violated(format!("{now}: {pool_busy} of {pool} members of pool {} are out", facts.pool));
        }
        if over(policy.plan.region_out_max.of(region), region_busy) {
            self.violated(format!("{now}: {region_busy} of {region} devices of region {} are out", facts.region));
        }
    }

    /// A device answers a command.
    pub(crate) fn outcome(&mut self, command: u64) {
        let n = self.outcomes.entry(command).or_default();
        *n += 1;
        let n = *n;
        if n > 1 {
            self.violated(format!("command {command} has {n} outcomes"));
        }
    }

    /// The run is over.
    pub(crate) fn finish(mut self, ended: bool, lost: u64, devices: &Devices) -> Vec<String> {
        if !ended {
            self.violated("the rollout did not end".to_owned());
        }
        if lost > 0 {
            self.violated(format!("{lost} devices run another release than the engine believes"));
        }
        if devices.double_installs > 0 {
            self.violated(format!("{} installs began while another ran", devices.double_installs));
        }
        self.violations
    }
}
