//! The driver: pop an event, hand it in, drain, schedule. The twin of a live controller's driver.

use crate::accuracy::Accuracy;
use crate::check::{Checks, Scene};
use crate::device::{Around, Devices, Step};
use crate::faults::{Fault, Faults, controller};
use crate::fitting;
use crate::load::Load;
use crate::network::Network;
use crate::oracle::Oracle;
use crate::queue::Queue;
use crate::rng::{Purpose, Stream};
use crate::setup::Setup;
use crate::world::World;
use slacktide_engine::forecasting::{Fit, FitRoom, SeriesKey};
use slacktide_engine::ids::{DeviceIndex, RolloutId};
use slacktide_engine::input::{DeviceFacts, Input, OperatorAction, TelemetryBatch};
use slacktide_engine::journal::entry::{Entry, Header, JOURNAL_VERSION, StateCounts};
use slacktide_engine::journal::{ChainWriter, JournalMode};
use slacktide_engine::output::{Command, CommandKind};
use slacktide_engine::rollout::{Cause, Package, RolloutState};
use slacktide_engine::time::{Instant, Span};
use slacktide_engine::version::Version;
use slacktide_engine::{Engine, Output};
use slacktide_scenarios::CheckIn;
use std::collections::BTreeMap;

/// The highest version that a rollout of the setup would bring a device to.
fn goal(setup: &Setup, facts: &DeviceFacts) -> Option<Version> {
    let attributes = facts.attributes();
    let wants = |package: &&Package| package.left_out(&attributes).is_none();
    setup.scenario.rollouts().map(|(package, ..)| package).filter(wants).map(|package| package.version).max()
}

/// Times an engine may ask to be woken at one moment.
const WAKES_MAX: u32 = 1000;

/// What happens in the world.
#[derive(Debug)]
pub(crate) enum Event {
    Tick(u64),
    Step {
        device: usize,
        token: u32,
        step: Step,
    },
    /// Somebody who is always heard says something: people, the driver, late telemetry.
    Say(Input),
    /// A device says something.
    Word {
        device: usize,
        input: Input,
    },
    Downloaded {
        pipe: usize,
        token: u32,
    },
    Fault(Fault),
    Resume(RolloutId),
}

/// What came of one run.
#[derive(Debug, Clone)]
pub struct RunResult {
    /// The seed it ran under.
    pub seed: u64,
    /// The journal, line by line.
    pub journal: Vec<String>,
    /// Hash of its last line.
    pub journal_hash: String,
    /// Where each rollout ended.
    pub states: Vec<RolloutState>,
    /// Where the rollout ended; of several, the first that did not finish.
    pub state: RolloutState,
    /// By name.
    pub measures: BTreeMap<String, f64>,
    /// Broken promises.
    pub violations: Vec<String>,
    /// Events handled.
    pub events: u64,
    /// Device ticks simulated.
    pub device_ticks: u64,
    /// Commands given that want an outcome.
    pub commands: u64,
    /// Faults that befell the world, by kind.
    pub faults: BTreeMap<&'static str, u64>,
}

struct Driver<'a> {
    setup: &'a Setup,
    engine: Engine,
    queue: Queue<Event>,
    world: World,
    devices: Devices,
    load: Load,
    columns: Vec<Vec<f32>>,
    memory: Option<usize>,
    network: Network,
    faults: Faults,
    seed: u64,
    chain: ChainWriter,
    journal: Vec<String>,
    checks: Checks,
    seen: Seen,
    /// By rollout: how often a person let it go on.
    resumes: Vec<u32>,
    /// By rollout: how often it stopped for capacity.
    capacity_stops: Vec<u32>,
    /// By device: the highest version a rollout would bring it to.
    goals: Vec<Option<Version>>,
    events: u64,
    ticks: u64,
    rollout_at: Instant,
    oracle: Option<Oracle>,
    accuracy: Accuracy,
}

/// What the driver reads off the records as they pass.
#[derive(Default)]
struct Seen {
    began: Option<Instant>,
    ended: Option<Instant>,
    stopped: Option<Instant>,
    false_stops: f64,
    gaps: Vec<f64>,
    states: StateCounts,
}

/// Runs a setup once. `progress` is told the share of the world's time that is done.
pub fn run(setup: &Setup, seed: u64, progress: &(dyn Fn(f64) + Sync)) -> RunResult {
    run_watched(setup, seed, progress, &mut |_| {})
}

/// What somebody who looks over the engine's shoulder sees after a tick of telemetry.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'a> {
    /// Now.
    pub now: Instant,
    /// The engine.
    pub engine: &'a Engine,
    /// First moment a device ran a bad release.
    pub first_exposed: Option<Instant>,
    /// Devices that ever ran a bad release.
    pub exposed: usize,
}

/// [`run`], and `watcher` sees every tick of telemetry once the engine has dealt with it.
pub fn run_watched(
    setup: &Setup,
    seed: u64,
    progress: &(dyn Fn(f64) + Sync),
    watcher: &mut dyn FnMut(&Sight<'_>),
) -> RunResult {
    let mut driver = Driver::new(setup, seed);
    let end = driver.rollout_at + setup.scenario.until_max;
    let span = end.since(setup.scenario.start).as_secs_f64();
    let mut wake = driver.drain(setup.scenario.start);
    let mut now = setup.scenario.start;
    let mut wakes = 0_u32;
    while !driver.is_over() && now < end {
        let before = now;
        // Events first where times are equal: the engine plans on what has happened.
        let event_at = driver.queue.next_at();
        now = match (event_at, wake) {
            (Some(event), Some(wake)) => event.min(wake),
            (Some(at), None) | (None, Some(at)) => at,
            (None, None) => break,
        };
        wakes = if now == before && event_at != Some(now) { wakes + 1 } else { 0 };
        if wakes > WAKES_MAX {
            driver.checks.violated(format!("{now}: the engine asks to be woken again and again at the same moment"));
            break;
        }
        let input = if event_at == Some(now) { driver.happen() } else { Some(Input::Wake) };
        // A controller that is down asks for nothing; one that comes back looks at what is due.
        if driver.faults.controller.is_down() {
            wake = None;
        }
        driver.events += 1;
        if let Some(input) = input {
            let is_tick = matches!(input, Input::Telemetry(_));
            wake = driver.hand_in(now, input);
            if is_tick {
                watcher(&driver.sight(now));
            }
        }
        if driver.events.is_multiple_of(4096) {
            progress(now.since(setup.scenario.start).as_secs_f64() / span);
        }
    }
    driver.finish(now)
}

impl<'a> Driver<'a> {
    fn new(setup: &'a Setup, seed: u64) -> Self {
        let (facts, group_of) = setup.devices(seed);
        let metrics = setup.metrics();
        let count = facts.len();
        let rollout_at = setup.scenario.start + setup.scenario.history;
        let mut driver = Self {
            engine: Engine::new(setup.policy.clone(), &metrics),
            queue: Queue::new(),
            devices: Devices::new(count, seed, setup.policy.attempts.timeout),
            load: Load::new(setup, &facts, &group_of, seed),
            world: World::new(&setup.scenario, facts.clone()),
            columns: vec![vec![0.0; count]; metrics.len()],
            memory: metrics.iter().position(|metric| metric == "memory"),
            network: Network::new(&setup.scenario, &facts),
            faults: Faults::new(setup, &facts, seed),
            seed,
            chain: ChainWriter::default(),
            journal: Vec::new(),
            checks: Checks::new(&setup.policy),
            seen: Seen::default(),
            resumes: vec![0; setup.scenario.rollouts().count()],
            capacity_stops: vec![0; setup.scenario.rollouts().count()],
            goals: facts.iter().map(|facts| goal(setup, facts)).collect(),
            events: 0,
            ticks: 0,
            rollout_at,
            accuracy: Accuracy::new(setup.policy.plan.slot, count),
            oracle: setup.oracle.then(|| Oracle::new(setup, &facts, &group_of, seed)),
            setup,
        };
        driver.world.breaches.critical_percent = setup.policy.monitor.critical_load_percent;
        driver.engine.record_inputs(setup.journal == JournalMode::Full);
        #[cfg(feature = "planted-faults")]
        if let Some(fault) = setup.plant {
            driver.engine.plant(fault);
        }
        driver.append(setup.scenario.start, Entry::Header(Box::new(driver.header())));
        let enrolled = Input::Enrolled { devices: facts };
        driver.faults.controller.note(setup.scenario.start, &enrolled);
        driver.engine.handle_input(setup.scenario.start, enrolled);
        driver.schedule_first();
        driver
    }

    fn header(&self) -> Header {
        Header {
            version: JOURNAL_VERSION,
            program: concat!("slacktide ", env!("CARGO_PKG_VERSION")).to_owned(),
            mode: self.setup.journal,
            seed: self.seed,
            world_name: self.setup.scenario.name.clone(),
            policy_name: self.setup.policy.name.clone(),
            policy: self.setup.policy.to_toml(),
            world: self.setup.origin.clone(),
            metrics: self.setup.metrics(),
            remarks: self.setup.remarks(),
        }
    }

    fn schedule_first(&mut self) {
        let scenario = &self.setup.scenario;
        self.faults.schedule_first(self.setup, self.rollout_at, &mut self.queue);
        self.queue.push(scenario.start, Event::Tick(0));
        let say = |action| Event::Say(Input::Operator(action));
        for (n, (package, priority, after)) in scenario.rollouts().enumerate() {
            let rollout = RolloutId(n as u32);
            let created = self.rollout_at + after;
            let approved = created + scenario.operator.approves_after;
            self.queue.push(created, say(OperatorAction::Create { package: package.clone(), priority }));
            self.queue.push(approved, say(OperatorAction::Approve { rollout }));
            self.queue.push(approved, say(OperatorAction::Start { rollout }));
            self.check_in(approved, package);
            if let Some(after) = scenario.operator.pauses_after {
                self.queue.push(approved + after, say(OperatorAction::Pause { rollout }));
            }
            if let Some(after) = scenario.operator.aborts_after {
                self.queue.push(approved + after, say(OperatorAction::Abort { rollout }));
            }
        }
    }

    /// Has every rollout there will be come to its end?
    fn is_over(&self) -> bool {
        let mut states = self.engine.rollouts();
        states.by_ref().filter(|(_, state)| state.is_end()).count() == self.resumes.len()
    }

    /// Devices that are told of an update ask for it at the first tick at or after their check-in time. Some may ask too late: the engine
    /// leaves behind who has not asked when `attempts.rollout_timeout` is over.
    fn check_in(&mut self, announced: Instant, package: &Package) {
        let tick = self.setup.scenario.tick;
        let check_in = self.setup.scenario.updates.check_in;
        let mut asking: BTreeMap<Instant, Vec<DeviceIndex>> = BTreeMap::new();
        for d in 0..self.world.facts.len() {
            let mut stream = Stream::new(self.seed, Purpose::CheckIn, d as u64);
            let wait = match check_in {
                CheckIn::Evenly { within } => Span::from_secs_f64(stream.uniform() * within.as_secs_f64()),
                CheckIn::Weibull { scale, shape } => stream.weibull(scale, shape),
            };
            let at = announced + tick.times(wait.steps_up(tick));
            asking.entry(at).or_default().push(DeviceIndex(d as u32));
        }
        for (at, devices) in asking {
            let is_target = |d: &DeviceIndex| self.world.facts[d.index()].version < package.version;
            let devices: Vec<DeviceIndex> = devices.into_iter().filter(is_target).collect();
            self.queue.push(at, Event::Say(Input::Requests { devices }));
        }
    }

    /// What a device acts upon, beside the devices and the faults themselves.
    fn parts(&mut self, now: Instant) -> (&mut Devices, &mut Faults, Around<'_>) {
        let around = Around {
            now,
            scenario: &self.setup.scenario,
            world: &mut self.world,
            network: &mut self.network,
            queue: &mut self.queue,
        };
        (&mut self.devices, &mut self.faults, around)
    }

    /// The next event happens. Returns what the engine hears of it.
    fn happen(&mut self) -> Option<Input> {
        let (now, event) = self.queue.pop()?;
        match event {
            Event::Tick(n) => self.tick(now, n),
            Event::Say(input) => self.say(input),
            Event::Word { device, input } => self.word(device, input),
            Event::Step { device, token, step } => {
                let (devices, _, mut around) = self.parts(now);
                let said = devices.finish_step(device, token, &step, &mut around)?;
                self.word(device, said)
            }
            Event::Downloaded { pipe, token } => {
                for device in self.network.ended(now, pipe, token, &mut self.queue) {
                    self.devices.downloaded(device, &mut self.queue, now);
                }
                None
            }
            Event::Fault(Fault::ControllerDies(n)) => {
                self.world.befall("controller crashes", 1);
                self.checks.dies(now);
                self.faults.controller.die(now, n, &mut self.queue);
                None
            }
            Event::Fault(Fault::ControllerIsBack) => Some(self.controller_is_back(now)),
            Event::Fault(fault) => {
                let (devices, faults, mut around) = self.parts(now);
                let free = faults.happen(fault, devices, &mut around);
                if !faults.controller.is_down() {
                    faults.partitions.release(&free, now, around.queue);
                }
                None
            }
            Event::Resume(rollout) => {
                let action = self.operator_decides(rollout);
                self.say(Input::Operator(action))
            }
        }
    }

    /// People and the driver are heard unless the controller is down.
    fn say(&mut self, input: Input) -> Option<Input> {
        if self.faults.controller.is_down() {
            self.faults.controller.miss(input);
            return None;
        }
        match input {
            Input::Requests { devices } => {
                let devices = self.faults.partitions.hear_requests(devices, &self.world);
                (!devices.is_empty()).then_some(Input::Requests { devices })
            }
            other => Some(other),
        }
    }

    /// A device says something; it is heard now, or later.
    fn word(&mut self, device: usize, input: Input) -> Option<Input> {
        let heard = self.faults.word(device, input, self.world.conditions[device].cut)?;
        if let Input::Outcome { command, result } = &heard {
            self.checks.outcome(command.0, result);
        }
        Some(heard)
    }

    /// The controller has been rebuilt from its journal: it must be the one that died, and goes on.
    fn controller_is_back(&mut self, now: Instant) -> Input {
        let (mut again, hash) = self.faults.controller.rebuild(self.setup, self.header());
        let mut difference = controller::difference(&mut self.engine, &mut again);
        if hash != self.chain.hash() {
            difference.get_or_insert_with(|| "it would have written another journal".to_owned());
        }
        self.checks.rebuilt(now, difference);
        self.engine = again;
        for input in self.faults.controller.come_back() {
            self.queue.push(now, Event::Say(input));
        }
        let speakers = self.faults.partitions.speakers();
        let can = |d: &usize| !self.world.conditions[*d].cut && !self.world.conditions[*d].crashed;
        let free: Vec<usize> = speakers.into_iter().filter(can).collect();
        self.faults.partitions.release(&free, now, &mut self.queue);
        Input::Wake
    }

    /// Hands an input in and drains. Returns when the engine wants to be woken.
    fn hand_in(&mut self, now: Instant, input: Input) -> Option<Instant> {
        self.faults.controller.note(now, &input);
        self.engine.handle_input(now, input);
        self.drain(now)
    }

    fn operator_decides(&mut self, rollout: RolloutId) -> OperatorAction {
        self.resumes[rollout.index()] += 1;
        let operator = &self.setup.scenario.operator;
        let goes_on = operator.resumes_after.is_some() && self.resumes[rollout.index()] <= operator.resumes_max;
        if goes_on { OperatorAction::Resume { rollout } } else { OperatorAction::Abort { rollout } }
    }

    fn tick(&mut self, now: Instant, n: u64) -> Option<Input> {
        let tick = self.setup.scenario.tick;
        let book = now >= self.rollout_at;
        self.load.fill(n, now, &mut self.columns);
        self.accuracy.tick(now, &self.columns[0]);
        if let Some(memory) = self.memory {
            self.world.leak(now, &mut self.columns[memory]);
        }
        self.world.serve(now, tick, book, &mut self.columns);
        self.checks.tick(&self.devices);
        self.ticks += 1;
        self.queue.push(now + tick, Event::Tick(n + 1));
        self.network.tick(now, &mut self.queue);
        let columns = std::mem::take(&mut self.columns);
        let (devices, faults, mut around) = self.parts(now);
        let heard = faults.report(n, &columns, &mut around);
        faults.overload(n, &columns, book, devices, &mut around);
        let is_heard = !faults.controller.is_down();
        self.columns = columns;
        is_heard.then_some(Input::Telemetry(TelemetryBatch { devices: None, columns: heard }))
    }

    fn sight(&self, now: Instant) -> Sight<'_> {
        Sight {
            now,
            engine: &self.engine,
            first_exposed: self.devices.first_exposed,
            exposed: self.devices.exposed_count,
        }
    }

    /// Drains the engine. Returns when it wants to be woken.
    fn drain(&mut self, now: Instant) -> Option<Instant> {
        loop {
            match self.engine.poll_output() {
                Output::Record(entry) => {
                    self.look(now, &entry);
                    self.append(now, *entry);
                }
                Output::Command(command) => self.carry(now, &command),
                Output::Forecast(request) => {
                    let spent = self.engine.spent_fits();
                    let engine = &self.engine;
                    let oracle = self.oracle.as_ref();
                    let fit = |room: &mut FitRoom, key: SeriesKey, fit: &mut Fit| match oracle {
                        Some(oracle) => *fit = oracle.fit(engine, key, now),
                        None => engine.fit_into(key, room, fit),
                    };
                    let answers = fitting::answers(&request, spent, fit);
                    self.queue.push(now, Event::Say(Input::Forecasts(answers)));
                }
                Output::Wake { at, .. } => return at,
            }
        }
    }

    fn append(&mut self, now: Instant, entry: Entry) {
        let line = self.chain.line(now, entry);
        self.journal.push(line);
    }

    fn carry(&mut self, now: Instant, command: &Command) {
        if !matches!(command.kind, CommandKind::Announce | CommandKind::NotNow { .. }) {
            let sees_true = self.faults.is_telemetry_true();
            self.checks.command(
                now,
                command,
                &Scene { policy: &self.setup.policy, world: &self.world, devices: &self.devices, sees_true },
            );
        }
        let (devices, _, mut around) = self.parts(now);
        // Nothing reaches a device that is cut off; the engine takes its silence for an answer.
        if !around.world.conditions[command.device.index()].cut {
            devices.carry(command, &mut around);
        }
    }

    fn look(&mut self, now: Instant, entry: &Entry) {
        self.checks.record(now, entry, &self.setup.policy, &self.setup.scenario);
        match entry {
            Entry::Rollout { rollout, to, cause, .. } => self.look_at_state(now, *rollout, *to, *cause),
            Entry::Plan(plan) if plan.lower_bound > Span::ZERO => {
                self.seen.gaps.push((plan.makespan.as_secs_f64() / plan.lower_bound.as_secs_f64() - 1.0) * 100.0);
            }
            Entry::Tick(tick) => self.seen.states = tick.states,
            Entry::Forecast(_) => self.accuracy.note(now, &self.engine),
            _ => {}
        }
    }

    fn look_at_state(&mut self, now: Instant, rollout: RolloutId, to: RolloutState, cause: Option<Cause>) {
        if to == RolloutState::Running {
            self.seen.began.get_or_insert(now);
        }
        if to.is_end() {
            self.seen.ended = Some(now);
        }
        if to != RolloutState::Paused {
            return;
        }
        let bad = self.setup.scenario.failures.bad_release.is_some();
        match cause {
            Some(Cause::BadRelease) if !bad => self.seen.false_stops += 1.0,
            Some(Cause::BadRelease | Cause::FailureThreshold) if bad => {
                self.seen.stopped.get_or_insert(now);
            }
            _ => {}
        }
        // The engine goes on by itself after capacity stops, as long as the policy lets it; then a person decides.
        let policy = &self.setup.policy.rollback;
        let is_capacity = matches!(cause, Some(Cause::CapacityFloor | Cause::ForecastBreach));
        self.capacity_stops[rollout.index()] += u32::from(is_capacity);
        let own = is_capacity && policy.resume_after.is_some();
        if !(own && self.capacity_stops[rollout.index()] <= policy.resumes_max) && cause != Some(Cause::StaleTelemetry)
        {
            let wait = self.setup.scenario.operator.resumes_after.unwrap_or(Span::from_secs(3600));
            self.queue.push(now + wait.max(policy.resume_after.unwrap_or(Span::ZERO)), Event::Resume(rollout));
        }
    }

    fn finish(mut self, now: Instant) -> RunResult {
        let states: Vec<RolloutState> = self.engine.rollouts().map(|(_, state)| state).collect();
        let unfinished = states.iter().copied().find(|state| *state != RolloutState::Finished);
        let state = unfinished.or_else(|| states.first().copied()).unwrap_or(RolloutState::Draft);
        let counts: Vec<StateCounts> = self.engine.rollouts().map(|(id, _)| self.engine.state_counts(id)).collect();
        let (failed, rolled_back) = counts.iter().fold((0, 0), |(f, r), c| (f + c.failed, r + c.rolled_back));
        let believed = &self.engine.fleet().facts;
        let is_wrong = |d: &usize| believed.get(*d).is_none_or(|facts| facts.version != self.world.conditions[*d].runs);
        let wrong: Vec<usize> = (0..self.world.conditions.len()).filter(is_wrong).collect();
        let measures = self.measures(now, failed, rolled_back);
        let commands = self.checks.commands();
        let checks = std::mem::replace(&mut self.checks, Checks::new(&self.setup.policy));
        let violations = checks.finish(self.is_over(), &wrong, &self.devices);
        self.append(now, Entry::Measures { measures: measures.clone(), invariant_violations: violations.clone() });
        let closing = self.chain.close(now);
        self.journal.push(closing);
        RunResult {
            seed: self.seed,
            journal_hash: self.chain.hash().to_owned(),
            journal: self.journal,
            states,
            state,
            measures,
            violations,
            events: self.events,
            device_ticks: self.ticks * self.world.facts.len() as u64,
            commands,
            faults: self.world.befallen,
        }
    }

    fn measures(&self, now: Instant, failed: u32, rolled_back: u32) -> BTreeMap<String, f64> {
        let is_there = |d: &usize| self.goals[*d].is_some_and(|goal| self.world.conditions[*d].runs >= goal);
        let began = self.seen.began.unwrap_or(self.rollout_at);
        let ended = self.seen.ended.unwrap_or(now);
        let waited = |d: usize| {
            let until = self.world.conditions[d].new_since.filter(|_| is_there(&d)).unwrap_or(ended);
            until.since(began).as_secs_f64() / 3600.0
        };
        let is_target = |d: &usize| self.goals[*d].is_some();
        let latency: f64 = (0..self.goals.len()).filter(is_target).map(waited).sum();
        let new = (0..self.goals.len()).filter(is_there).count();
        let (actual, without) = (&self.world.actual, &self.world.without);
        let mean =
            |values: &[f64]| if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 };
        let mut measures: BTreeMap<String, f64> = [
            ("updated_devices", new as f64),
            ("failed_devices", f64::from(failed)),
            ("rolled_back_devices", f64::from(rolled_back)),
            ("makespan_s", ended.since(began).as_secs_f64()),
            ("overload_device_minutes", actual.overload_device_minutes),
            ("overload_caused_device_minutes", actual.overload_device_minutes - without.overload_device_minutes),
            (
                "unserved_demand_percent",
                if actual.demand > 0.0 { actual.unserved / actual.demand * 100.0 } else { 0.0 },
            ),
            ("patch_latency_device_hours", latency),
            ("exposed_devices", self.devices.exposed_count as f64),
            ("false_stops", self.seen.false_stops),
            ("critical_pool_minutes", self.world.breaches.pool_minutes),
            ("bytes_moved", self.devices.bytes_moved),
            ("planner_gap_percent", mean(&self.seen.gaps)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        if let (Some(exposed), Some(stopped)) = (self.devices.first_exposed, self.seen.stopped) {
            measures.insert("stop_delay_s".to_owned(), stopped.since(exposed).as_secs_f64());
        }
        if let Some(first) = self.world.breaches.first {
            measures.insert("critical_after_s".to_owned(), first.since(self.rollout_at).as_secs_f64());
        }
        if let Some(error) = self.accuracy.mean_error() {
            measures.insert("forecast_mae_points".to_owned(), error);
        }
        measures
    }
}
