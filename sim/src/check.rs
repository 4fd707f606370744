//! Promises that every run must keep, checked in the world and not in the engine's books.

use crate::device::Devices;
use crate::hours::Hours;
use crate::pace::Pace;
use crate::promises::{Promises, Told};
use crate::world::World;
use slacktide_engine::ids::AttemptId;
use slacktide_engine::input::CommandResult;
use slacktide_engine::journal::entry::Entry;
use slacktide_engine::output::{Command, CommandKind};
use slacktide_engine::policy::{Basis, Policy};
use slacktide_engine::rollout::AttemptState;
use slacktide_engine::time::Instant;
use slacktide_scenarios::Scenario;
use std::collections::{BTreeMap, BTreeSet};

/// Most violations of one run that are told; a broken rule tends to break often.
const TOLD_MAX: usize = 20;

/// What has been seen of commands.
#[derive(Debug)]
pub(crate) struct Checks {
    hours: Hours,
    promises: Promises,
    /// Whom each command was for.
    commands: BTreeMap<u64, usize>,
    outcomes: BTreeMap<u64, Heard>,
    violations: Vec<String>,
    busy: Busy,
    pace: Pace,
    /// Attempts begun, and how each ended; `None` while it has not.
    attempts: BTreeMap<AttemptId, Option<AttemptState>>,
    /// By device: the last attempt.
    last: BTreeMap<usize, AttemptId>,
    /// Devices that served at the last tick and were out by the books.
    mistaken: BTreeSet<usize>,
}

/// What a device has said of one command.
#[derive(Debug, Default)]
struct Heard {
    times: u32,
    /// Does it say what the device runs now?
    tells_release: bool,
}

/// The world as a command leaves the engine.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) world: &'a World,
    pub(crate) devices: &'a Devices,
    /// Does the engine hear of every device as it is?
    pub(crate) sees_true: bool,
}

/// Members of every pool and region, and how many of them are busy with an update, at one moment.
#[derive(Debug, Default)]
struct Busy {
    /// The moment, and how many installs had ended by then.
    at: Option<(Instant, u64)>,
    sets: Vec<Set>,
    /// By device: its pool and its region among the sets.
    sets_of: Vec<[usize; 2]>,
}

/// The devices that share a limit.
#[derive(Debug)]
struct Set {
    kind: &'static str,
    name: String,
    members: u32,
    busy: u32,
}

impl Busy {
    /// Finds out who shares a limit with whom.
    fn learn(&mut self, world: &World) {
        let mut known: BTreeMap<(&'static str, &str), usize> = BTreeMap::new();
        for facts in &world.facts {
            let of = [("pool", facts.pool.as_str()), ("region", facts.region.as_str())].map(|(kind, name)| {
                let set = *known.entry((kind, name)).or_insert(self.sets.len());
                if set == self.sets.len() {
                    self.sets.push(Set { kind, name: name.to_owned(), members: 0, busy: 0 });
                }
                self.sets[set].members += 1;
                set
            });
            self.sets_of.push(of);
        }
    }

    /// Whom the policy has stopped waiting for (`given_up`) counts while it is out, unless its telemetry comes late or twice (not
    /// `sees_true`): then it seems to serve.
    fn count(&mut self, now: Instant, scene: &Scene<'_>, told: usize, given_up: &dyn Fn(usize) -> bool) {
        let Scene { world, devices, sees_true, .. } = *scene;
        if self.sets_of.is_empty() {
            self.learn(world);
        }
        self.sets.iter_mut().for_each(|set| set.busy = 0);
        for (d, sets) in self.sets_of.iter().enumerate() {
            let condition = &world.conditions[d];
            let is_under_way = || {
                let is_excused = given_up(d) && !(condition.out && sees_true);
                !condition.crashed && d != told && !is_excused
            };
            if (devices.is_busy(d) || condition.out) && is_under_way() {
                sets.iter().for_each(|set| self.sets[*set].busy += 1);
            }
        }
        self.at = Some((now, devices.ends));
    }
}

impl Checks {
    pub(crate) fn new(policy: &Policy) -> Self {
        Self {
            hours: Hours::new(policy),
            promises: Promises::default(),
            commands: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            violations: Vec::new(),
            busy: Busy::default(),
            pace: Pace::default(),
            attempts: BTreeMap::new(),
            last: BTreeMap::new(),
            mistaken: BTreeSet::new(),
        }
    }

    /// Commands given so far that want an outcome.
    pub(crate) fn commands(&self) -> u64 {
        self.commands.len() as u64
    }

    pub(crate) fn violated(&mut self, text: String) {
        if self.violations.len() < TOLD_MAX {
            self.violations.push(text);
        }
    }

    /// How the last attempt on a device ended.
    fn last_end(&self, device: usize) -> Option<AttemptState> {
        self.last.get(&device).and_then(|last| self.attempts.get(last)).copied().flatten()
    }

    /// How the attempt that a device is busy with has ended in the engine's books; `None` when it is busy with none.
    fn end_of_work(&self, device: usize, devices: &Devices) -> Option<Option<AttemptState>> {
        devices.busy_with(device).and_then(|attempt| self.attempts.get(&attempt).copied())
    }

    /// A command leaves the engine.
    pub(crate) fn command(&mut self, now: Instant, command: &Command, scene: &Scene<'_>) {
        let Scene { policy, world, devices, sees_true } = *scene;
        let d = command.device.index();
        match command.kind {
            CommandKind::Install { command: id, attempt, generation, rollout, .. } => {
                if self.commands.insert(id.0, d).is_some() {
                    self.violated(format!("{now}: command {id} was given twice"));
                }
                // Who was silent for as long as the policy allows may be told again; nobody else.
                let before = self.last.insert(d, attempt).and_then(|last| self.attempts.get(&last).copied());
                let is_given_up = self.end_of_work(d, devices).or(before) == Some(Some(AttemptState::TimedOut));
                if before == Some(None) || devices.is_busy(d) && !world.conditions[d].crashed && !is_given_up {
                    self.violated(format!("{now}: device {d} was told to install while it installs"));
                }
                self.attempts.insert(attempt, None);
                if !self.hours.are_open(world.facts[d].region.as_str(), now) {
                    self.violated(format!("{now}: device {d} was told to install outside its window"));
                }
                self.budgets(now, d, scene);
                let requirement = world.facts[d].requirement;
                let told = Told { command: id, attempt, generation, rollout, requirement };
                let broken = [self.pace.told(now, d, policy), self.promises.install(now, told, policy)];
                broken.into_iter().flatten().for_each(|broken| self.violated(broken));
            }
            CommandKind::Rollback { command: id, attempt, .. } => {
                if self.commands.insert(id.0, d).is_some() {
                    self.violated(format!("{now}: command {id} was given twice"));
                }
                self.attempts.insert(attempt, None);
                self.last.insert(d, attempt);
                self.promises.rollback(id, attempt);
                let condition = &world.conditions[d];
                // Who is down already costs nothing.
                if !condition.crashed && !condition.out {
                    self.budgets(now, d, scene);
                    if sees_true {
                        self.demand(now, d, scene);
                    }
                }
            }
            CommandKind::Announce | CommandKind::Cancel { .. } | CommandKind::NotNow { .. } => {}
        }
    }

    /// The engine says that an attempt has ended.
    fn settled(&mut self, now: Instant, attempt: AttemptId, end: AttemptState) {
        self.attempts.insert(attempt, Some(end));
        if let Some(broken) = self.promises.settled(now, attempt, end) {
            self.violated(broken);
        }
    }

    /// A record leaves the engine.
    pub(crate) fn record(&mut self, now: Instant, entry: &Entry, policy: &Policy, scenario: &Scenario) {
        if let Some(broken) = self.promises.record(now, entry, policy, scenario) {
            self.violated(broken);
        }
        match entry {
            Entry::Fleet { targets, .. } => self.pace.began(now, *targets),
            Entry::Settled { attempts, .. } => {
                attempts.iter().for_each(|settled| self.settled(now, settled.attempt, settled.end));
            }
            _ => {}
        }
    }

    /// Telemetry is taken.
    pub(crate) fn tick(&mut self, devices: &Devices) {
        self.mistaken = self.mistaken_now(devices).collect();
    }

    /// Devices that lost their work without a word and serve, while the engine waits for them.
    fn mistaken_now(&self, devices: &Devices) -> impl Iterator<Item = usize> {
        devices.lost.iter().copied().filter(|d| self.last_end(*d).is_none())
    }

    /// The controller dies.
    pub(crate) const fn dies(&mut self, now: Instant) {
        self.promises.dies(now);
    }

    /// A controller was made again from its journal.
    pub(crate) fn rebuilt(&mut self, now: Instant, difference: Option<String>) {
        self.promises.is_back(now);
        if let Some(difference) = difference {
            self.violated(format!("{now}: the rebuilt controller is not the one that died: {difference}"));
        }
    }

    /// The device told last is counted with those of its pool and region that are busy. Counted once a moment, then
    /// carried on until somebody is free again.
    fn budgets(&mut self, now: Instant, device: usize, scene: &Scene<'_>) {
        let Scene { policy, world, devices, .. } = *scene;
        if self.busy.at != Some((now, devices.ends)) {
            let mut busy = std::mem::take(&mut self.busy);
            // The device that is told is added below.
            // A rollback that ended without the device's word was given up as well; one that the device says has failed is over.
            let given_up = |d: usize| {
                let end = self.end_of_work(d, devices).unwrap_or_else(|| self.last_end(d));
                matches!(end, Some(AttemptState::TimedOut | AttemptState::RollbackFailed))
            };
            busy.count(now, scene, device, &given_up);
            self.busy = busy;
        }
        let facts = &world.facts[device];
        let region_max = policy.region(facts.region.as_str()).out_max.unwrap_or(policy.plan.region_out_max);
        for (set, limit) in self.busy.sets_of[device].into_iter().zip([policy.plan.pool_out_max, region_max]) {
            let Set { kind, name, members, busy } = &mut self.busy.sets[set];
            *busy += 1;
            if limit.of(*members).is_some_and(|max| *busy > max) {
                let broken = format!("{now}: {busy} of {members} members of {kind} {name} are out");
                self.violated(broken);
            }
        }
    }

    /// A device that is taken back while it serves must leave its pool able to serve what was asked of it at the last tick. Where a member
    /// has crashed since, or served then though it was told to go out, the engine cannot have known.
    fn demand(&mut self, now: Instant, device: usize, scene: &Scene<'_>) {
        let Scene { policy, world, devices, .. } = *scene;
        let (demand, members) = world.pool_demand(device);
        let rules = &policy.plan;
        if rules.basis == Basis::Ignore || (members.len() as u32) < rules.pool_members_min {
            return;
        }
        let is_mistaken = self.mistaken.iter().copied().chain(self.mistaken_now(devices)).any(|d| members.contains(&d));
        if is_mistaken || members.iter().any(|d| world.conditions[*d].crashed) {
            return;
        }
        let serves = |d: &&usize| !world.conditions[**d].out;
        let before: f64 = members.iter().filter(serves).map(|d| world.facts[*d].weight).sum();
        let usable_of = |weight: f64| weight * rules.load_limit_percent / 100.0;
        let usable = usable_of(before - world.facts[device].weight);
        let slack = 1e-6 * (1.0 + demand);
        // A pool that cannot serve all as it is hides what it does not serve.
        if demand > usable + slack && demand <= usable_of(before) + slack {
            let pool = world.facts[device].pool.as_str();
            self.violated(format!(
                "{now}: pool {pool} can serve {usable:.3} and is asked for {demand:.3} once {device} goes back"
            ));
        }
    }

    /// A device answers a command.
    pub(crate) fn outcome(&mut self, command: u64, result: &CommandResult) {
        if *result == CommandResult::Succeeded {
            self.pace.succeeded();
        }
        self.promises.answered(command, result);
        let outcome = self.outcomes.entry(command).or_default();
        outcome.times += 1;
        outcome.tells_release |= matches!(result, CommandResult::Succeeded | CommandResult::AlreadyCurrent);
        let n = outcome.times;
        if n > 1 {
            self.violated(format!("command {command} has {n} outcomes"));
        }
    }

    /// Devices from which no word of their newest work has come: what they run nobody can know.
    fn unheard(&self) -> BTreeSet<usize> {
        let mut unheard = BTreeSet::new();
        for (command, device) in &self.commands {
            match self.outcomes.get(command) {
                None => unheard.insert(*device),
                Some(outcome) if outcome.tells_release => unheard.remove(device),
                Some(_) => false,
            };
        }
        unheard
    }

    /// The run is over.
    /// `wrong` are devices that run another release than the engine believes.
    pub(crate) fn finish(mut self, ended: bool, wrong: &[usize], devices: &Devices) -> Vec<String> {
        if !ended {
            self.violated("the rollout did not end".to_owned());
        }
        let open = self.attempts.values().filter(|end| end.is_none()).count();
        if ended && open > 0 {
            self.violated(format!("{open} attempts have no end"));
        }
        // Who was never heard of again, or could not go back, may be on either release; the engine says `failed`.
        let is_unknown =
            |d: &usize| matches!(self.last_end(*d), Some(AttemptState::TimedOut | AttemptState::RollbackFailed));
        let unheard = self.unheard();
        let lost: Vec<usize> = wrong.iter().copied().filter(|d| !is_unknown(d) && !unheard.contains(d)).collect();
        if let Some(first) = lost.first().filter(|_| ended) {
            let n = lost.len();
            self.violated(format!("{n} devices run another release than the engine believes, such as device {first}"));
        }
        if devices.double_installs > 0 {
            self.violated(format!(
                "{} installs were of what the device ran already, or of something older",
                devices.double_installs
            ));
        }
        self.violations
    }
}
