//! A driver small enough to be seen through: telemetry from a closure, devices that follow a script, time that moves by wakes.

use crate::audit::Audit;
use slacktide_engine::ids::{AttemptId, CommandId, DeviceIndex, RolloutId};
use slacktide_engine::input::{CommandResult, DeviceFacts, Input, OperatorAction, TelemetryBatch};
use slacktide_engine::journal::Entry;
use slacktide_engine::output::{Command, CommandKind};
use slacktide_engine::policy::Policy;
use slacktide_engine::rollout::{AttemptState, Package, RolloutState};
use slacktide_engine::time::{Instant, Span};
use slacktide_engine::version::Version;
use slacktide_engine::{Engine, Output};
use std::collections::BTreeMap;

/// Telemetry and the world tick at this pace.
const TICK: Span = Span::from_secs(300);
/// More wakes than this at one moment, and the engine stands still.
const WAKES_MAX: u32 = 200;

/// How a device carries out a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Does {
    Succeed,
    Fail,
    /// Never heard of again, and not done.
    Nothing,
    /// Done, but the word of it is lost.
    SucceedUnheard,
}

/// What a device makes of one command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Script {
    pub(crate) does: Does,
    /// Seconds before an install takes the device out.
    pub(crate) staging_s: u64,
    /// Seconds it is out.
    pub(crate) out_s: u64,
    /// Does it obey a cancellation that comes in time?
    pub(crate) heeds_cancel: bool,
}

impl Script {
    pub(crate) const GOOD: Self = Self { does: Does::Succeed, staging_s: 30, out_s: 240, heeds_cancel: true };

    pub(crate) const fn does(does: Does) -> Self {
        Self { does, ..Self::GOOD }
    }
}

/// What a device is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    Install(Version),
    Rollback,
}

#[derive(Debug, Clone, Copy)]
struct Job {
    command: CommandId,
    is_install: bool,
    out: bool,
    heeds_cancel: bool,
    token: u64,
}

/// The truth about a device, as far as the engine cannot see it.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) facts: DeviceFacts,
    pub(crate) runs: Version,
    pub(crate) present: bool,
    pub(crate) out: bool,
    job: Option<Job>,
    told: u32,
}

#[derive(Debug, Clone)]
enum Event {
    Tick,
    Say(Input),
    GoesOut { device: usize, token: u64, attempt: AttemptId },
    Ends { device: usize, token: u64, script: Script, to: Version },
}

type Load = Box<dyn Fn(usize, Instant) -> f32>;
type Play = Box<dyn Fn(usize, Told, u32) -> Script>;

pub(crate) struct Rig {
    pub(crate) engine: Engine,
    pub(crate) now: Instant,
    pub(crate) devices: Vec<Device>,
    /// Everything said, with its moment.
    pub(crate) journal: Vec<(Instant, Entry)>,
    pub(crate) commands: Vec<(Instant, Command)>,
    pub(crate) audit: Audit,
    /// Own load of a device in percent; NaN reports nothing.
    pub(crate) load: Load,
    pub(crate) play: Play,
    events: BTreeMap<(Instant, u64), Event>,
    count: u64,
    wake: Option<Instant>,
    wakes_here: u32,
}

pub(crate) fn at(hour: u64, minute: u64) -> Instant {
    Instant::from_secs(1_709_510_400) + Span::from_secs(hour * 3600 + minute * 60)
}

pub(crate) fn version(text: &str) -> Version {
    text.parse().unwrap()
}

/// `count` devices on 1.0, `pool_size` to a pool, all of one weight and region.
pub(crate) fn fleet(count: usize, pool_size: usize) -> Vec<DeviceFacts> {
    let facts = |d: usize| DeviceFacts {
        id: format!("d{d:02}").as_str().into(),
        pool: format!("p{}", d / pool_size).as_str().into(),
        region: "eu".into(),
        site: "s".into(),
        function: "web".to_owned(),
        criticality: None,
        version: version("1.0"),
        variant: "a".to_owned(),
        weight: 1.0,
        requirement: 10.0,
    };
    (0..count).map(facts).collect()
}

pub(crate) fn package(to: &str) -> Package {
    let filter = |text: &str| slacktide_engine::filter::Filter::parse(text).unwrap();
    Package {
        name: "os".to_owned(),
        version: version(to),
        size_bytes: 1,
        target: filter("true"),
        compatible: filter("true"),
        stones: Vec::new(),
        sha256: None,
    }
}

/// A policy that needs no forecasts and goes in one wave, with `more` over it.
pub(crate) fn policy(more: &str) -> Policy {
    let base = "[plan]\nbasis = \"current\"\nhorizon = \"2h\"\nduration_expected = \"10m\"\ndevice_load_max = \"off\"\n\
                [[waves]]\nshare_percent = 100\n\
                [monitor]\nlookahead = \"0s\"\nfalse_alarm_rate = \"off\"\ncapacity_floor = \"off\"\n\
                [attempts]\ntimeout = \"1h\"\nrollout_timeout = \"2d\"\nretry_pause = \"10m\"\n";
    Policy::from_toml("rig", base).unwrap().overridden("test", more).unwrap()
}

impl Rig {
    pub(crate) fn new(policy: &Policy, facts: Vec<DeviceFacts>) -> Self {
        let mut engine = Engine::new(policy.clone(), &["cpu".to_owned()]);
        engine.record_inputs(true);
        let device = |facts: &DeviceFacts| Device {
            facts: facts.clone(),
            runs: facts.version,
            present: true,
            out: false,
            job: None,
            told: 0,
        };
        let mut rig = Self {
            engine,
            now: at(0, 0),
            devices: facts.iter().map(device).collect(),
            journal: Vec::new(),
            commands: Vec::new(),
            audit: Audit::new(policy, &facts),
            load: Box::new(|_, _| 20.0),
            play: Box::new(|_, _, _| Script::GOOD),
            events: BTreeMap::new(),
            count: 0,
            wake: None,
            wakes_here: 0,
        };
        rig.put(Input::Enrolled { devices: facts });
        rig.later(Span::ZERO, Event::Tick);
        rig
    }

    fn later(&mut self, after: Span, event: Event) {
        self.count += 1;
        self.events.insert((self.now + after, self.count), event);
    }

    /// Hands in one input now and carries out what comes of it.
    pub(crate) fn put(&mut self, input: Input) {
        self.audit.input(self.now, &input);
        self.engine.handle_input(self.now, input);
        loop {
            match self.engine.poll_output() {
                Output::Record(entry) => {
                    self.audit.record(self.now, &entry);
                    self.journal.push((self.now, *entry));
                }
                Output::Command(command) => {
                    self.audit.command(self.now, &command);
                    self.carry(&command);
                    self.commands.push((self.now, command));
                }
                Output::Forecast(request) => panic!("no forecast is wanted: {request:?}"),
                Output::Wake { at, .. } => {
                    self.wake = at;
                    break;
                }
            }
        }
        self.audit.drained(self.now, &self.engine);
    }

    pub(crate) fn put_later(&mut self, after: Span, input: Input) {
        self.later(after, Event::Say(input));
    }

    pub(crate) fn operator(&mut self, action: OperatorAction) {
        self.put(Input::Operator(action));
    }

    /// Creates, approves and starts a rollout.
    pub(crate) fn start(&mut self, package: Package, priority: u8) -> RolloutId {
        let rollout = RolloutId(self.engine.rollouts().count() as u32);
        self.operator(OperatorAction::Create { package, priority });
        self.operator(OperatorAction::Approve { rollout });
        self.operator(OperatorAction::Start { rollout });
        rollout
    }

    pub(crate) fn remove(&mut self, device: usize) {
        if let Some(device) = self.devices.get_mut(device) {
            device.present = false;
            device.job = None;
        }
        self.put(Input::Removed { devices: vec![DeviceIndex(device as u32)] });
    }

    pub(crate) fn state(&self, rollout: RolloutId) -> RolloutState {
        self.engine.rollout_state(rollout).unwrap()
    }

    /// The next event, or the wake the engine asked for.
    pub(crate) fn step(&mut self) {
        let event_at = self.events.first_key_value().map(|((at, _), _)| *at);
        let wakes_first = self.wake.is_some_and(|wake| event_at.is_none_or(|event| wake < event));
        let next = if wakes_first { self.wake } else { event_at };
        let Some(next) = next else { panic!("nothing is left to happen") };
        self.wakes_here = if wakes_first && next <= self.now { self.wakes_here + 1 } else { 0 };
        assert!(self.wakes_here < WAKES_MAX, "{}: the engine wants to be woken at once for ever", self.now);
        self.now = self.now.max(next);
        if wakes_first {
            self.put(Input::Wake);
        } else if let Some((_, event)) = self.events.pop_first() {
            self.happen(event);
        }
    }

    /// Lets time go on until `done`. Panics when that does not come within `within`.
    pub(crate) fn until(&mut self, within: Span, what: &str, done: impl Fn(&Self) -> bool) {
        let limit = self.now + within;
        while !done(self) {
            assert!(self.now < limit, "{}: {what} did not come\n{}", self.now, self.told());
            self.step();
        }
    }

    pub(crate) fn until_end(&mut self, rollout: RolloutId) -> RolloutState {
        self.until(Span::from_secs(4 * 86_400), "the end", |rig| rig.state(rollout).is_end());
        self.audit.finish();
        self.state(rollout)
    }

    pub(crate) fn run_for(&mut self, span: Span) {
        let limit = self.now + span;
        while self.now < limit {
            self.step();
        }
    }

    /// The decisions so far, for messages of failed tests.
    pub(crate) fn told(&self) -> String {
        let is_decision = |entry: &Entry| !matches!(entry, Entry::Tick(_) | Entry::Input { .. } | Entry::Plan(_));
        let lines = self.journal.iter().filter(|(_, entry)| is_decision(entry));
        lines.map(|(at, entry)| format!("{at} {entry:?}\n")).collect()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Tick => {
                self.later(TICK, Event::Tick);
                let column = self.column();
                self.put(Input::Telemetry(TelemetryBatch { devices: None, columns: vec![column] }));
            }
            Event::Say(input) => self.put(input),
            Event::GoesOut { device, token, attempt } => {
                if let Some(job) = self.devices[device].job.as_mut().filter(|job| job.token == token) {
                    job.out = true;
                    self.devices[device].out = true;
                    self.put(Input::Progress { attempt, state: AttemptState::Installing });
                }
            }
            Event::Ends { device, token, script, to } => self.end(device, token, script, to),
        }
    }

    /// What the members of a pool in service report: its demand shared by weight.
    fn column(&self) -> Vec<f32> {
        let mut pools: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for (d, device) in self.devices.iter().enumerate().filter(|(_, device)| device.present) {
            let (demand, serving) = pools.entry(device.facts.pool.as_str()).or_default();
            let own = (self.load)(d, self.now);
            *demand += device.facts.weight * f64::from(if own.is_finite() { own } else { 0.0 }) / 100.0;
            *serving += if device.out { 0.0 } else { device.facts.weight };
        }
        let value = |(d, device): (usize, &Device)| {
            let reports = device.present && !device.out && (self.load)(d, self.now).is_finite();
            let (demand, serving) = pools.get(device.facts.pool.as_str()).copied().unwrap_or_default();
            if reports { (demand / serving * 100.0).min(100.0) as f32 } else { f32::NAN }
        };
        self.devices.iter().enumerate().map(value).collect()
    }

    fn carry(&mut self, command: &Command) {
        let d = command.device.index();
        let (id, told, attempt, to) = match command.kind {
            CommandKind::Announce => {
                self.put_later(Span::from_secs(1), Input::Requests { devices: vec![command.device] });
                return;
            }
            CommandKind::NotNow { .. } => return,
            CommandKind::Cancel { command: id } => {
                let device = &mut self.devices[d];
                if device.job.is_some_and(|job| job.command == id && !job.out && job.heeds_cancel) {
                    device.job = None;
                    self.say(id, CommandResult::Canceled);
                }
                return;
            }
            CommandKind::Install { command: id, attempt, version, .. } => {
                (id, Told::Install(version), attempt, version)
            }
            CommandKind::Rollback { command: id, attempt, version, .. } => (id, Told::Rollback, attempt, version),
        };
        let device = &mut self.devices[d];
        assert!(device.present, "{}: command {id} goes to device {d}, which has left", self.now);
        device.told += 1;
        let script = (self.play)(d, told, device.told);
        let is_install = told != Told::Rollback;
        if is_install && device.runs >= to {
            self.say(id, CommandResult::AlreadyCurrent);
            return;
        }
        let token = self.count;
        let job = Job { command: id, is_install, out: !is_install, heeds_cancel: script.heeds_cancel, token };
        device.out |= !is_install;
        if let Some(old) = device.job.replace(job).filter(|old| old.is_install) {
            self.say(old.command, CommandResult::Failed { reason: "taken back".to_owned() });
        }
        let staging = Span::from_secs(if is_install { script.staging_s } else { 0 });
        if is_install {
            self.later(staging, Event::GoesOut { device: d, token, attempt });
        }
        self.later(staging + Span::from_secs(script.out_s), Event::Ends { device: d, token, script, to });
    }

    fn say(&mut self, command: CommandId, result: CommandResult) {
        self.put_later(Span::from_secs(1), Input::Outcome { command, result });
    }

    fn end(&mut self, d: usize, token: u64, script: Script, to: Version) {
        let device = &mut self.devices[d];
        let Some(job) = device.job.filter(|job| job.token == token) else { return };
        device.out = false;
        device.job = None;
        if matches!(script.does, Does::Succeed | Does::SucceedUnheard) {
            device.runs = to;
        }
        let result = match script.does {
            Does::Succeed => CommandResult::Succeeded,
            Does::Fail => CommandResult::Failed { reason: "scripted".to_owned() },
            Does::Nothing | Does::SucceedUnheard => return,
        };
        self.put(Input::Outcome { command: job.command, result });
    }
}
