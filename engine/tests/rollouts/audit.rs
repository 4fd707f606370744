//! The rules of both state machines and of the journal, written down a second time from what is documented, and held against
//! everything an engine is told and says.

use slacktide_engine::ids::{AttemptId, CommandId, DeviceId, RolloutId};
use slacktide_engine::input::{DeviceFacts, Input};
use slacktide_engine::journal::Entry;
use slacktide_engine::journal::entry::{SettledAttempt, StateCounts};
use slacktide_engine::output::{Command, CommandKind};
use slacktide_engine::policy::Policy;
use slacktide_engine::rollout::{AttemptState, RolloutState};
use slacktide_engine::time::Instant;
use slacktide_engine::version::Version;
use slacktide_engine::{DevicePlace, Engine, Place};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The documented way of a rollout, as text.
const WAYS: &str = "\
    draft: waiting_for_approval stopped\n\
    waiting_for_approval: ready stopped\n\
    ready: scheduled running stopped\n\
    scheduled: running stopped\n\
    running: paused aborting rolling_back finished stopped\n\
    paused: running aborting rolling_back stopped\n\
    aborting: rolling_back stopped\n\
    rolling_back: rolling_back paused rolled_back stopped\n";

fn is_way(from: RolloutState, to: RolloutState) -> bool {
    let line = WAYS.lines().find_map(|line| line.split_once(": ").filter(|(name, _)| *name == from.name()));
    line.is_some_and(|(_, tos)| tos.split(' ').any(|name| name == to.name()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Install,
    Rollback,
}

#[derive(Debug, Clone, Default)]
struct Known {
    device: String,
    rollout: RolloutId,
    ends: Vec<AttemptState>,
    rollbacks: usize,
}

/// What has been seen so far.
#[derive(Debug)]
pub(crate) struct Audit {
    names: Vec<String>,
    rollouts: BTreeMap<RolloutId, RolloutState>,
    targets: BTreeMap<RolloutId, u32>,
    attempts: BTreeMap<AttemptId, Known>,
    commands: BTreeMap<CommandId, (AttemptId, What)>,
    /// Recorded, and not sent yet.
    promised: VecDeque<(CommandId, What, Option<AttemptId>, RolloutId, String)>,
    /// By device: the attempt with something under way.
    busy: BTreeMap<String, AttemptId>,
    versions: Vec<Version>,
    /// Devices whose belief may go down in this drain.
    may_go_back: Vec<String>,
    /// Rollouts that go back and have not yet said with whom.
    first_orders: BTreeSet<RolloutId>,
    pub(crate) room: crate::rollback::Room,
}

impl Audit {
    pub(crate) fn new(policy: &Policy, facts: &[DeviceFacts]) -> Self {
        Self {
            names: facts.iter().map(|facts| facts.id.to_string()).collect(),
            rollouts: BTreeMap::new(),
            targets: BTreeMap::new(),
            attempts: BTreeMap::new(),
            commands: BTreeMap::new(),
            promised: VecDeque::new(),
            busy: BTreeMap::new(),
            versions: facts.iter().map(|facts| facts.version).collect(),
            may_go_back: Vec::new(),
            first_orders: BTreeSet::new(),
            room: crate::rollback::Room::new(policy, facts),
        }
    }

    pub(crate) fn input(&mut self, at: Instant, input: &Input) {
        self.room.input(at, input);
        match input {
            Input::Progress { attempt, state } => {
                if let Some(known) = self.attempts.get(attempt).filter(|known| known.ends.is_empty()) {
                    self.room.progress(at, &known.device, *state);
                }
            }
            Input::Outcome { command, .. } => {
                if let Some((attempt, _)) = self.commands.get(command) {
                    self.room.said(at, &self.attempts[attempt].device);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn record(&mut self, at: Instant, entry: &Entry) {
        match entry {
            Entry::Rollout { rollout, from, to, .. } => {
                let known = self.rollouts.insert(*rollout, *to).unwrap_or(RolloutState::Draft);
                assert_eq!(known, *from, "{at}: rollout {rollout} leaves a state it is not in");
                assert!(is_way(*from, *to), "{at}: rollout {rollout} goes from {from} to {to}");
                if *to == RolloutState::RollingBack && *from != RolloutState::RollingBack {
                    self.first_orders.insert(*rollout);
                }
            }
            Entry::Fleet { rollout, targets, .. } => {
                self.targets.insert(*rollout, *targets);
            }
            Entry::Batch { rollout, devices, first_command, first_attempt, .. } => {
                assert_eq!(
                    self.rollouts[rollout],
                    RolloutState::Running,
                    "{at}: a batch of a rollout that is not running"
                );
                assert_eq!(first_attempt.0, self.attempts.len() as u64, "{at}: attempts are numbered in order");
                for (i, device) in devices.iter().enumerate() {
                    let attempt = AttemptId(first_attempt.0 + i as u64);
                    let known = Known { device: device.to_string(), rollout: *rollout, ..Known::default() };
                    self.attempts.insert(attempt, known);
                    self.promise(*first_command, i, What::Install, Some(attempt), *rollout, device);
                }
            }
            Entry::Rollback { rollout, devices, remaining, first_command, deferred, held, .. } => {
                let state = self.rollouts[rollout];
                assert_eq!(state, RolloutState::RollingBack, "{at}: devices go back while {state}");
                assert_eq!(devices.len(), remaining.len(), "{at}: remaining capacity of every device");
                assert!(remaining.is_sorted(), "{at}: lowest remaining capacity first: {remaining:?}");
                let named: u32 = held.iter().map(|held| held.devices).sum();
                assert_eq!(named, *deferred, "{at}: everybody held is held for a reason: {held:?}");
                for (i, device) in devices.iter().enumerate() {
                    self.promise(*first_command, i, What::Rollback, None, *rollout, device);
                }
                self.room.rollback(at, devices, remaining);
                self.nobody_is_left_down(at, *rollout, devices);
            }
            Entry::Settled { attempts, .. } => attempts.iter().for_each(|settled| self.settled(at, settled)),
            Entry::Stated { device, .. } => self.may_go_back.push(device.to_string()),
            Entry::Ignored { reason } if reason.starts_with("late success") && reason.contains("is back on") => {
                self.may_go_back.extend(self.names.iter().cloned());
            }
            _ => {}
        }
    }

    /// Who is down already costs nothing, and goes with the first order.
    fn nobody_is_left_down(&mut self, at: Instant, rollout: RolloutId, devices: &[DeviceId]) {
        if self.first_orders.remove(&rollout) {
            for (device, attempt) in &self.busy {
                let left = self.attempts[attempt].rollout == rollout && self.room.is_out(device);
                assert!(
                    !left || devices.iter().any(|id| id.as_str() == device),
                    "{at}: {device} is down and is left so"
                );
            }
        }
    }

    fn promise(
        &mut self,
        first: CommandId,
        i: usize,
        what: What,
        attempt: Option<AttemptId>,
        rollout: RolloutId,
        device: &DeviceId,
    ) {
        let command = CommandId(first.0 + i as u64);
        assert_eq!(command.0, (self.commands.len() + self.promised.len()) as u64, "commands are numbered in order");
        self.promised.push_back((command, what, attempt, rollout, device.to_string()));
    }

    pub(crate) fn command(&mut self, at: Instant, command: &Command) {
        let device = self.names[command.device.index()].clone();
        let (id, attempt, what) = match &command.kind {
            CommandKind::Install { command, attempt, .. } => (*command, *attempt, What::Install),
            CommandKind::Rollback { command, attempt, .. } => (*command, *attempt, What::Rollback),
            CommandKind::Cancel { command } => {
                let (attempt, what) = self.commands[command];
                assert_eq!(what, What::Install, "{at}: only installs are cancelled");
                assert_eq!(self.attempts[&attempt].device, device, "{at}: the cancellation goes to another device");
                let state = self.rollouts[&self.attempts[&attempt].rollout];
                assert!(state != RolloutState::Running && !state.is_end(), "{at}: cancelled while {state}");
                return;
            }
            CommandKind::Announce | CommandKind::NotNow { .. } => return,
        };
        let Some((promised, as_what, promised_attempt, rollout, to)) = self.promised.pop_front() else {
            panic!("{at}: command {id} to {device} goes out before its record")
        };
        assert_eq!((promised, as_what, &to), (id, what, &device), "{at}: the command is not the one recorded");
        assert!(promised_attempt.is_none_or(|promised| promised == attempt), "{at}: attempt {attempt} of command {id}");
        let known = self.attempts.get_mut(&attempt).unwrap_or_else(|| panic!("{at}: attempt {attempt} is not known"));
        assert_eq!((&known.device, known.rollout), (&device, rollout), "{at}: attempt {attempt} is of another device");
        known.rollbacks += usize::from(what == What::Rollback);
        match (what, self.busy.insert(device.clone(), attempt)) {
            (_, None) => {}
            (What::Install, Some(other)) => panic!("{at}: {device} is told to install while attempt {other} is open"),
            (What::Rollback, Some(other)) => {
                assert_eq!(other, attempt, "{at}: {device} is in flight for another attempt")
            }
        }
        self.commands.insert(id, (attempt, what));
        self.room.command(command.device);
    }

    fn settled(&mut self, at: Instant, settled: &SettledAttempt) {
        let device = settled.device.to_string();
        let Some(known) = self.attempts.get_mut(&settled.attempt) else {
            panic!("{at}: attempt {} ended", settled.attempt)
        };
        assert_eq!(known.device, device, "{at}: attempt {} ended on another device", settled.attempt);
        known.ends.push(settled.end);
        let state = self.rollouts[&known.rollout];
        use AttemptState as S;
        let back = |end: &S| matches!(end, S::RolledBack | S::RollbackFailed | S::Removed);
        let sound = match known.ends.as_slice() {
            [S::RolledBack] => known.rollbacks == 1,
            [S::RollbackFailed] => known.rollbacks == 1 || state == RolloutState::RollingBack,
            [_] => known.rollbacks == 0 || settled.end == S::Removed,
            // Held for too long: given up without an order.
            [S::Succeeded | S::TimedOut | S::Failed, S::RollbackFailed] if known.rollbacks == 0 => {
                state == RolloutState::RollingBack
            }
            [S::Succeeded | S::TimedOut | S::Failed, end] => known.rollbacks == 1 && back(end),
            _ => false,
        };
        let ends = &known.ends;
        assert!(sound, "{at}: attempt {} with {} rollbacks ends as {ends:?}", settled.attempt, known.rollbacks);
        if settled.end == S::RolledBack {
            self.may_go_back.push(device.clone());
        }
        if self.busy.get(&device) == Some(&settled.attempt) {
            self.busy.remove(&device);
        }
        self.room.settled(&device);
    }

    /// All is said for this input.
    pub(crate) fn drained(&mut self, at: Instant, engine: &Engine) {
        assert!(self.promised.is_empty(), "{at}: recorded and never sent: {:?}", self.promised);
        for (d, before) in self.versions.iter_mut().enumerate() {
            let Some(facts) = engine.fleet().facts.get(d) else { continue };
            let fell = facts.version < *before && !self.may_go_back.contains(&self.names[d]);
            assert!(!fell, "{at}: {} is believed to have gone from {before} to {}", self.names[d], facts.version);
            *before = facts.version;
        }
        self.may_go_back.clear();
        for (rollout, targets) in &self.targets {
            let s = engine.state_counts(*rollout);
            let sum = s.waiting + s.staging + s.out + s.updated + s.rolling_back + s.rolled_back + s.failed;
            assert_eq!(sum, *targets, "{at}: states of rollout {rollout}: {s:?}");
        }
        self.places(at, engine);
        for (rollout, state) in engine.rollouts() {
            assert_eq!(self.rollouts.get(&rollout), Some(&state), "{at}: rollout {rollout} moved without a record");
        }
    }

    /// Where devices are said to stand agrees with the counts, and nobody waits who is at work.
    fn places(&self, at: Instant, engine: &Engine) {
        let places: Vec<DevicePlace> = engine.places().collect();
        let stand = |place| places.iter().filter(|one| one.place == place).count() as u32;
        let counts: Vec<StateCounts> = engine.rollouts().map(|(id, _)| engine.state_counts(id)).collect();
        assert_eq!(
            stand(Place::Staging),
            counts.iter().map(|s| s.staging).sum::<u32>(),
            "{at}: {places:?} and {counts:?}"
        );
        assert_eq!(stand(Place::Out), counts.iter().map(|s| s.out).sum::<u32>(), "{at}: {places:?} and {counts:?}");
        let waiting = places.iter().filter(|one| one.place == Place::Waiting);
        for one in waiting {
            let name = engine.fleet().facts[one.device.index()].id.as_str();
            assert!(!self.busy.contains_key(name), "{at}: {name} has an attempt and waits: {one:?}");
            let state = one.rollout.and_then(|rollout| self.rollouts.get(&rollout)).unwrap();
            let may_go = matches!(state, RolloutState::Running | RolloutState::Paused);
            assert!(!state.is_end() && (one.waits.is_none() || may_go), "{at}: {name} waits for {state}: {one:?}");
        }
    }

    /// A rollout that is over leaves nothing open.
    pub(crate) fn finish(&self) {
        for (device, attempt) in &self.busy {
            let known = &self.attempts[attempt];
            assert!(!self.rollouts[&known.rollout].is_end(), "{device} still has attempt {attempt} open at the end");
        }
    }

    /// Attempts and commands so far, for whoever wants to name one that exists.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.attempts.len() as u64, self.commands.len() as u64)
    }
}
