//! A device carrying out commands: how long its steps take, what goes wrong, what it answers.
//!
//! An install is a course of steps; the end of each begins the next. A device gives each command one answer. What was downloaded stays:
//! who crashes, or is cut off, goes on where it stopped.

use crate::faults::agent::{Restart, Then};
use crate::network::Network;
use crate::queue::Queue;
use crate::rng::{Purpose, Stream};
use crate::run::Event;
use crate::world::World;
use rand_distr::{Distribution, StandardNormal};
use slacktide_engine::ids::{AttemptId, CommandId, PlanNumber, RolloutId};
use slacktide_engine::input::{CommandResult, Input};
use slacktide_engine::output::{Command, CommandKind};
use slacktide_engine::rollout::AttemptState;
use slacktide_engine::time::{Instant, Span};
use slacktide_engine::version::Version;
use slacktide_scenarios::{BadReleaseKind, Duration, Scenario};
use std::collections::{BTreeMap, BTreeSet};

/// Time a word takes from a device to the engine.
const WORD: Span = Span::from_secs(1);

/// Steps of an install, in their order.
const COURSE: [AttemptState; 6] = [
    AttemptState::Downloading,
    AttemptState::Precheck,
    AttemptState::Draining,
    AttemptState::Installing,
    AttemptState::Rebooting,
    AttemptState::Verifying,
];
const DOWNLOADING: usize = 0;
const INSTALLING: usize = 3;
const REBOOTING: usize = 4;

/// What a device does at the end of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Begins the step at this position of its course.
    Reach(usize),
    Installed,
    Failed(&'static str),
    Restored(CommandId, Version),
    NotRestored(CommandId),
    /// Its agent dies in the middle of a step…
    AgentDies,
    /// …and is back.
    AgentIsBack(Then),
    /// The time to begin is over, where downloads may take that long.
    IsTooLate(CommandId),
}

/// What an install command says.
#[derive(Debug, Clone, Copy)]
struct Order {
    command: CommandId,
    attempt: AttemptId,
    rollout: RolloutId,
    version: Version,
}

/// An install under way.
#[derive(Debug, Clone)]
struct Job {
    order: Order,
    /// A device that has not taken itself out by then gives up: nobody waits for it any more.
    void_at: Instant,
    out: bool,
    /// Position in its course, since when, and how long that step takes from there.
    at: usize,
    since: Instant,
    left: Span,
    lengths: [Span; 6],
    /// The script fails; time to be back on the old slot.
    fails: Option<Span>,
    crash_loop: bool,
    restart: Option<Restart>,
    /// Bytes still to be loaded when the download began or went on; `None` while nothing is loaded.
    loading: Option<f64>,
}

/// What the devices are doing.
#[derive(Debug)]
pub(crate) struct Devices {
    seed: u64,
    /// Time a device has to begin, from the command on.
    begin_within: Span,
    jobs: Vec<Option<Box<Job>>>,
    /// Steps of an older job than this are void.
    tokens: Vec<u32>,
    tries: Vec<u64>,
    highest_generation: Vec<PlanNumber>,
    exposed: Vec<bool>,
    /// By device: what it has loaded of a release without coming to the end, bytes.
    fetched: BTreeMap<usize, (Version, f64)>,
    /// How many ran a bad release.
    pub(crate) exposed_count: usize,
    pub(crate) first_exposed: Option<Instant>,
    pub(crate) bytes_moved: f64,
    /// Installs of what the device ran already, or of something older.
    pub(crate) double_installs: u64,
    /// Counts ends of installs and rollbacks: a count of who is busy made before is old.
    pub(crate) ends: u64,
    /// Went down while they were out, and have been told nothing since: whoever took them out believes that they still are.
    pub(crate) lost: BTreeSet<usize>,
}

/// What a device acts upon.
pub(crate) struct Around<'a> {
    pub(crate) now: Instant,
    pub(crate) scenario: &'a Scenario,
    pub(crate) world: &'a mut World,
    pub(crate) network: &'a mut Network,
    pub(crate) queue: &'a mut Queue<Event>,
}

impl Around<'_> {
    /// When something that goes wrong is over: nothing is wrong any more from the calm on.
    pub(crate) fn over(&self, at: Instant) -> Instant {
        self.scenario.calm_from().map_or(at, |calm| at.min(calm.max(self.now)))
    }

    fn say(&mut self, device: usize, command: CommandId, result: CommandResult) {
        let input = Input::Outcome { command, result };
        self.queue.push(self.now + WORD, Event::Word { device, input });
    }
}

impl Devices {
    /// `timeout` is how long the controller waits for the outcome of a command.
    pub(crate) fn new(count: usize, seed: u64, timeout: Span) -> Self {
        Self {
            seed,
            // The last quarter is left for the install itself: nobody is to go out when its command is about to be given up.
            begin_within: Span::from_millis(timeout.as_millis() / 4 * 3),
            jobs: vec![None; count],
            tokens: vec![0; count],
            tries: vec![0; count],
            highest_generation: vec![PlanNumber(0); count],
            exposed: vec![false; count],
            fetched: BTreeMap::new(),
            exposed_count: 0,
            first_exposed: None,
            bytes_moved: 0.0,
            double_installs: 0,
            ends: 0,
            lost: BTreeSet::new(),
        }
    }

    /// Has it an update under way?
    pub(crate) fn is_busy(&self, device: usize) -> bool {
        self.jobs[device].is_some()
    }

    /// The attempt that a device is busy with.
    pub(crate) fn busy_with(&self, device: usize) -> Option<AttemptId> {
        self.jobs[device].as_ref().map(|job| job.order.attempt)
    }

    /// A command reaches its device.
    pub(crate) fn carry(&mut self, command: &Command, around: &mut Around<'_>) {
        let d = command.device.index();
        if around.world.conditions[d].crashed {
            return;
        }
        match command.kind {
            CommandKind::Install { command: id, attempt, generation, rollout, version } => {
                if generation < self.highest_generation[d] {
                    let reason = format!("generation {generation} is older than {}", self.highest_generation[d]);
                    around.say(d, id, CommandResult::Rejected { reason });
                    return;
                }
                self.highest_generation[d] = generation;
                self.take_order(d, Order { command: id, attempt, rollout, version }, around);
            }
            CommandKind::Rollback { command: id, version, .. } => self.restore(d, (id, version), around),
            CommandKind::Cancel { command: id } => {
                if self.jobs[d].as_ref().is_some_and(|job| job.order.command == id && !job.out) {
                    self.drop_job(d, around);
                    around.world.conditions[d].updating = false;
                    around.say(d, id, CommandResult::Canceled);
                }
            }
            CommandKind::Announce | CommandKind::NotNow { .. } => {}
        }
    }

    /// An install is begun once: an order for what is being installed already takes that over, and the order before it has failed.
    fn take_order(&mut self, d: usize, order: Order, around: &mut Around<'_>) {
        if around.world.conditions[d].runs >= order.version {
            around.say(d, order.command, CommandResult::AlreadyCurrent);
            return;
        }
        let void_at = around.now + self.begin_within;
        let Some(job) = &mut self.jobs[d] else {
            self.install(d, order, void_at, around);
            return;
        };
        if job.order.version != order.version {
            let reason = format!("{} is being installed", job.order.version);
            around.say(d, order.command, CommandResult::Rejected { reason });
            return;
        }
        let before = std::mem::replace(&mut job.order, order);
        job.void_at = void_at;
        let input = Input::Progress { attempt: order.attempt, state: COURSE[job.at] };
        around.say(d, before.command, CommandResult::Failed { reason: "a newer command took over".to_owned() });
        around.queue.push(around.now + WORD, Event::Word { device: d, input });
        self.step(d, void_at, Step::IsTooLate(order.command), around.queue);
    }

    fn install(&mut self, d: usize, order: Order, void_at: Instant, around: &mut Around<'_>) {
        self.tries[d] += 1;
        self.lost.remove(&d);
        around.world.conditions[d].updating = true;
        let mut stream = Stream::new(self.seed, Purpose::Attempt, (d as u64) << 16 | self.tries[d]);
        let (physics, failures) = (&around.scenario.updates, &around.scenario.failures);
        let bytes = size_of(around.scenario, order) as f64;
        let lengths = [
            Span::from_secs_f64(bytes / physics.download_bytes_per_s),
            Span::from_secs(2),
            draw(physics.drain, &mut stream),
            draw(physics.install, &mut stream),
            draw(physics.reboot, &mut stream),
            draw(physics.verify, &mut stream),
        ];
        let is_calm = around.scenario.is_calm(around.now);
        let fails = stream.happens(failures.install_failure_percent) && !is_calm;
        let crash_loop = match around.world.is_bad_on(d, order.version) {
            Some(BadReleaseKind::CrashLoop { percent }) => stream.happens(percent),
            _ => false,
        };
        let restart = failures.agent.filter(|_| !is_calm).and_then(|agent| {
            Restart::draw(
                agent,
                &lengths,
                &mut Stream::new(self.seed, Purpose::Agent, (d as u64) << 16 | self.tries[d]),
            )
        });
        self.jobs[d] = Some(Box::new(Job {
            order,
            void_at,
            out: false,
            at: DOWNLOADING,
            since: around.now,
            left: Span::ZERO,
            lengths,
            // Back on the old slot needs a restart.
            fails: fails.then(|| draw(physics.reboot, &mut stream)),
            crash_loop,
            restart,
            loading: None,
        }));
        self.step(d, around.now + WORD, Step::Reach(DOWNLOADING), around.queue);
    }

    fn restore(&mut self, d: usize, (id, version): (CommandId, Version), around: &mut Around<'_>) {
        self.lost.remove(&d);
        if let Some(job) = &self.jobs[d] {
            around.say(d, job.order.command, CommandResult::Failed { reason: "taken back".to_owned() });
        }
        self.drop_job(d, around);
        let mut stream = Stream::new(self.seed, Purpose::Rollback, d as u64);
        let length = draw(around.scenario.updates.rollback, &mut stream);
        around.world.conditions[d].out = true;
        around.world.conditions[d].updating = false;
        let failed =
            stream.happens(around.scenario.failures.rollback_failure_percent) && !around.scenario.is_calm(around.now);
        let end = if failed { Step::NotRestored(id) } else { Step::Restored(id, version) };
        self.step(d, around.now + length.max(WORD), end, around.queue);
    }

    fn step(&self, d: usize, at: Instant, step: Step, queue: &mut Queue<Event>) {
        queue.push(at, Event::Step { device: d, token: self.tokens[d], step });
    }

    fn drop_job(&mut self, d: usize, around: &mut Around<'_>) {
        self.pause_download(d, around);
        self.ends += u64::from(self.jobs[d].take().is_some());
        self.tokens[d] += 1;
    }

    /// The step a device is in goes on for `length`; a download for as long as the network needs.
    fn go_on(&mut self, d: usize, length: Span, around: &mut Around<'_>) {
        let Some(job) = &mut self.jobs[d] else { return };
        (job.since, job.left) = (around.now, length);
        let dies = job.restart.filter(|restart| restart.step == job.at);
        let next = match job.at {
            INSTALLING if job.fails.is_some() => Step::Failed("the installation script failed"),
            at if at + 1 < COURSE.len() => Step::Reach(at + 1),
            _ if job.crash_loop => Step::Failed("the health check failed"),
            _ => Step::Installed,
        };
        let back = job.fails.filter(|_| job.at == INSTALLING).unwrap_or(Span::ZERO);
        if job.at == DOWNLOADING {
            self.load(d, around);
        } else {
            self.step(d, around.now + length + back, next, around.queue);
        }
        if let Some(restart) = dies {
            let after = Span::from_secs_f64(length.as_secs_f64() * restart.share);
            self.step(d, around.now + after, Step::AgentDies, around.queue);
        }
    }

    fn load(&mut self, d: usize, around: &mut Around<'_>) {
        let Some(job) = &mut self.jobs[d] else { return };
        let (command, void_at) = (job.order.command, job.void_at);
        if around.world.conditions[d].cut {
            self.step(d, void_at, Step::IsTooLate(command), around.queue);
            return;
        }
        let has =
            self.fetched.get(&d).filter(|(version, _)| *version == job.order.version).map_or(0.0, |(_, has)| *has);
        let bytes = (size_of(around.scenario, job.order) as f64 - has).max(0.0);
        (job.loading, job.since) = (Some(bytes), around.now);
        if around.network.is_shared(d) {
            around.network.begin(around.now, d, bytes, around.queue);
            self.step(d, void_at, Step::IsTooLate(command), around.queue);
        } else {
            let length = Span::from_secs_f64(bytes / around.scenario.updates.download_bytes_per_s);
            if around.now + length >= void_at {
                self.step(d, void_at, Step::IsTooLate(command), around.queue);
            }
            self.step(d, around.now + length, Step::Reach(DOWNLOADING + 1), around.queue);
        }
    }

    /// A download that is under way stops; what has arrived is kept.
    pub(crate) fn pause_download(&mut self, d: usize, around: &mut Around<'_>) {
        let Some(job) = &mut self.jobs[d] else { return };
        let Some(bytes) = job.loading.take() else { return };
        let arrived = if around.network.is_shared(d) {
            bytes - around.network.cut(around.now, d, around.queue)
        } else {
            let rate = around.scenario.updates.download_bytes_per_s;
            (around.now.since(job.since).as_secs_f64() * rate).min(bytes)
        };
        self.bytes_moved += arrived;
        let fetched = self.fetched.entry(d).or_insert((job.order.version, 0.0));
        if fetched.0 != job.order.version {
            *fetched = (job.order.version, 0.0);
        }
        fetched.1 += arrived;
        self.tokens[d] += 1;
    }

    /// A download that was stopped goes on.
    pub(crate) fn resume_download(&mut self, d: usize, around: &mut Around<'_>) {
        let waits = self.jobs[d].as_ref().is_some_and(|job| job.at == DOWNLOADING && job.loading.is_none());
        if waits && !around.world.conditions[d].crashed {
            // Its first step may still be on its way.
            self.tokens[d] += 1;
            self.step(d, around.now, Step::Reach(DOWNLOADING), around.queue);
        }
    }

    /// The last byte of a download over a shared link has come.
    pub(crate) fn downloaded(&mut self, d: usize, queue: &mut Queue<Event>, now: Instant) {
        self.step(d, now, Step::Reach(DOWNLOADING + 1), queue);
    }

    /// A step has come to its end. Returns what the engine is told.
    pub(crate) fn finish_step(&mut self, d: usize, token: u32, step: &Step, around: &mut Around<'_>) -> Option<Input> {
        if let Step::IsTooLate(command) = step {
            return self.is_too_late(d, *command, around);
        }
        if token != self.tokens[d] || around.world.conditions[d].crashed {
            return None;
        }
        match step {
            Step::IsTooLate(_) => None,
            Step::Reach(at) => self.reach(d, *at, around),
            Step::AgentDies => self.agent_dies(d, around),
            Step::AgentIsBack(then) => self.agent_is_back(d, *then, around),
            Step::Installed => self.end(d, None, around),
            Step::Failed(reason) => {
                around.world.befall("failed installs", 1);
                self.end(d, Some(reason), around)
            }
            Step::Restored(command, _) | Step::NotRestored(command) => {
                self.ends += 1;
                let condition = &mut around.world.conditions[d];
                condition.out = false;
                let result = if let Step::Restored(_, version) = step {
                    condition.new_since = None;
                    condition.fresh_since = None;
                    condition.runs = *version;
                    CommandResult::Succeeded
                } else {
                    around.world.befall("failed rollbacks", 1);
                    CommandResult::Failed { reason: "could not go back".to_owned() }
                };
                Some(Input::Outcome { command: *command, result })
            }
        }
    }

    fn reach(&mut self, d: usize, at: usize, around: &mut Around<'_>) -> Option<Input> {
        let job = self.jobs[d].as_mut()?;
        if let Some(bytes) = job.loading.take_if(|_| at > DOWNLOADING) {
            self.bytes_moved += bytes;
            self.fetched.remove(&d);
        }
        let state = COURSE[at];
        job.at = at;
        job.out = state.is_out();
        around.world.conditions[d].out = state.is_out();
        let (attempt, length) = (job.order.attempt, job.lengths[at]);
        self.go_on(d, length, around);
        Some(Input::Progress { attempt, state })
    }

    /// Nobody goes out when its command is about to be given up; what was downloaded stays.
    fn is_too_late(&mut self, d: usize, command: CommandId, around: &mut Around<'_>) -> Option<Input> {
        let job = self.jobs[d].as_ref()?;
        let is_waiting = job.order.command == command && job.at == DOWNLOADING && around.now >= job.void_at;
        if !is_waiting || around.world.conditions[d].crashed {
            return None;
        }
        self.pause_download(d, around);
        self.tokens[d] += 1;
        self.end(d, Some("the download took too long"), around)
    }

    fn end(&mut self, d: usize, failed: Option<&str>, around: &mut Around<'_>) -> Option<Input> {
        let job = self.jobs[d].take()?;
        self.ends += 1;
        let condition = &mut around.world.conditions[d];
        condition.out = false;
        condition.updating = false;
        let result = match failed {
            Some(reason) => CommandResult::Failed { reason: reason.to_owned() },
            None => {
                self.double_installs += u64::from(condition.runs >= job.order.version);
                condition.new_since = Some(around.now);
                condition.fresh_since = Some(around.now);
                condition.runs = job.order.version;
                if around.world.is_bad_on(d, job.order.version).is_some() {
                    self.exposed_count += usize::from(!std::mem::replace(&mut self.exposed[d], true));
                    self.first_exposed.get_or_insert(around.now);
                }
                CommandResult::Succeeded
            }
        };
        Some(Input::Outcome { command: job.order.command, result })
    }

    /// The agent is gone in the middle of a step: the step stands still, and nobody says so.
    fn agent_dies(&mut self, d: usize, around: &mut Around<'_>) -> Option<Input> {
        let job = self.jobs[d].as_mut()?;
        let restart = job.restart.take_if(|restart| restart.step == job.at)?;
        around.world.befall("agent restarts", 1);
        let passed = around.now.since(job.since).as_millis();
        job.left = Span::from_millis(job.left.as_millis().saturating_sub(passed));
        self.pause_download(d, around);
        self.tokens[d] += 1;
        self.step(d, around.now + restart.away, Step::AgentIsBack(restart.then), around.queue);
        None
    }

    fn agent_is_back(&mut self, d: usize, then: Then, around: &mut Around<'_>) -> Option<Input> {
        let job = self.jobs[d].as_ref()?;
        let (left, whole, reboot, out) = (job.left, job.lengths[job.at], job.lengths[REBOOTING], job.out);
        match then {
            Then::Resumes => self.go_on(d, left, around),
            Then::Anew => self.go_on(d, whole, around),
            Then::GivesUp if out => {
                self.step(d, around.now + reboot, Step::Failed("the agent restarted"), around.queue);
            }
            Then::GivesUp => return self.end(d, Some("the agent restarted"), around),
        }
        None
    }

    /// A device goes down: whatever was under way is lost without a word; it comes back on the release it ran.
    pub(crate) fn crash(&mut self, d: usize, around: &mut Around<'_>) {
        if around.world.conditions[d].out {
            self.lost.insert(d);
        }
        self.drop_job(d, around);
        let condition = &mut around.world.conditions[d];
        condition.crashed = true;
        condition.out = false;
        condition.updating = false;
    }
}

/// Download size of one install of a rollout.
fn size_of(scenario: &Scenario, order: Order) -> u64 {
    let package = scenario.rollouts().nth(order.rollout.index()).map_or(&scenario.package, |(package, ..)| package);
    let stone = package.stones.iter().find(|stone| stone.version == order.version);
    stone.map_or(package.size_bytes, |stone| stone.size_bytes)
}

/// A lognormal duration.
pub(crate) fn draw(duration: Duration, stream: &mut Stream) -> Span {
    let z: f64 = StandardNormal.sample(stream);
    Span::from_secs_f64(duration.median.as_secs_f64() * libm::exp(duration.sigma * z))
}
