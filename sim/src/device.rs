//! A device carrying out commands: how long its steps take, what goes wrong, what it answers.

use crate::queue::Queue;
use crate::rng::{Purpose, Stream};
use crate::run::Event;
use crate::world::World;
use rand_distr::{Distribution, StandardNormal};
use slacktide_engine::ids::{AttemptId, CommandId, DeviceIndex, PlanNumber, RolloutId};
use slacktide_engine::input::{CommandResult, Input};
use slacktide_engine::output::{Command, CommandKind};
use slacktide_engine::rollout::AttemptState;
use slacktide_engine::time::{Instant, Span};
use slacktide_engine::version::Version;
use slacktide_scenarios::{BadReleaseKind, Duration, Scenario};

/// Time a word takes from a device to the engine.
const WORD: Span = Span::from_secs(1);

/// What a device does at the end of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Reach(AttemptState),
    Installed,
    Failed(&'static str),
    Restored(CommandId, Version),
    NotRestored(CommandId),
}

#[derive(Debug, Clone, Copy)]
struct Job {
    command: CommandId,
    attempt: AttemptId,
    version: Version,
    out: bool,
}

/// What an install command says.
#[derive(Debug, Clone, Copy)]
struct Order {
    command: CommandId,
    attempt: AttemptId,
    rollout: RolloutId,
    version: Version,
}

/// What the devices are doing.
#[derive(Debug)]
pub(crate) struct Devices {
    seed: u64,
    jobs: Vec<Option<Job>>,
    /// Steps of an older job than this are void.
    tokens: Vec<u32>,
    tries: Vec<u64>,
    highest_generation: Vec<PlanNumber>,
    exposed: Vec<bool>,
    /// How many are.
    pub(crate) exposed_count: usize,
    pub(crate) first_exposed: Option<Instant>,
    pub(crate) bytes_moved: f64,
    pub(crate) double_installs: u64,
}

impl Devices {
    pub(crate) fn new(count: usize, seed: u64) -> Self {
        Self {
            seed,
            jobs: vec![None; count],
            tokens: vec![0; count],
            tries: vec![0; count],
            highest_generation: vec![PlanNumber(0); count],
            exposed: vec![false; count],
            exposed_count: 0,
            first_exposed: None,
            bytes_moved: 0.0,
            double_installs: 0,
        }
    }

    /// Has it an update under way?
    pub(crate) fn is_busy(&self, device: usize) -> bool {
        self.jobs[device].is_some()
    }

    /// A command reaches its device.
    pub(crate) fn carry(
        &mut self,
        now: Instant,
        command: &Command,
        scenario: &Scenario,
        world: &mut World,
        queue: &mut Queue<Event>,
    ) {
        let d = command.device.index();
        if world.conditions[d].crashed {
            return;
        }
        match command.kind {
            CommandKind::Install { command: id, attempt, generation, rollout, version } => {
                if generation < self.highest_generation[d] {
                    let reason = format!("generation {generation} is older than {}", self.highest_generation[d]);
                    queue.push(now + WORD, outcome(id, CommandResult::Rejected { reason }));
                    return;
                }
                self.highest_generation[d] = generation;
                let order = Order { command: id, attempt, rollout, version };
                self.install(now, command.device, order, scenario, world, queue);
            }
            CommandKind::Rollback { command: id, version, .. } => {
                self.restore(now, d, (id, version), scenario, world, queue);
            }
            CommandKind::Cancel { command: id } => {
                if self.jobs[d].is_some_and(|job| job.command == id && !job.out) {
                    self.drop_job(d);
                    world.conditions[d].updating = false;
                    queue.push(now + WORD, outcome(id, CommandResult::Canceled));
                }
            }
            CommandKind::Announce | CommandKind::NotNow { .. } => {}
        }
    }

    fn install(
        &mut self,
        now: Instant,
        device: DeviceIndex,
        order: Order,
        scenario: &Scenario,
        world: &mut World,
        queue: &mut Queue<Event>,
    ) {
        let d = device.index();
        let Order { command, attempt, rollout, version } = order;
        self.double_installs += u64::from(self.jobs[d].is_some());
        if world.conditions[d].runs >= version {
            queue.push(now + WORD, outcome(command, CommandResult::AlreadyCurrent));
            return;
        }
        self.drop_job(d);
        self.jobs[d] = Some(Job { command, attempt, version, out: false });
        self.tries[d] += 1;
        world.conditions[d].updating = true;
        let mut stream = Stream::new(self.seed, Purpose::Attempt, (d as u64) << 16 | self.tries[d]);
        let physics = &scenario.updates;
        let bytes = size_of(scenario, rollout, version) as f64;
        let download = Span::from_secs_f64(bytes / physics.download_bytes_per_s);
        self.bytes_moved += bytes;
        let course = [
            (AttemptState::Downloading, download),
            (AttemptState::Precheck, Span::from_secs(2)),
            (AttemptState::Draining, draw(physics.drain, &mut stream)),
            (AttemptState::Installing, draw(physics.install, &mut stream)),
            (AttemptState::Rebooting, draw(physics.reboot, &mut stream)),
            (AttemptState::Verifying, draw(physics.verify, &mut stream)),
        ];
        let fails = stream.happens(scenario.failures.install_failure_percent);
        let crash_loop = match world.is_bad_on(d, version) {
            Some(BadReleaseKind::CrashLoop { percent }) => stream.happens(percent),
            _ => false,
        };
        let mut at = now + WORD;
        for (state, length) in course {
            self.step(d, at, Step::Reach(state), queue);
            at = at + length;
            if fails && state == AttemptState::Installing {
                // Back on the old slot needs a restart.
                self.step(
                    d,
                    at + draw(physics.reboot, &mut stream),
                    Step::Failed("the installation script failed"),
                    queue,
                );
                return;
            }
        }
        let end = if crash_loop { Step::Failed("the health check failed") } else { Step::Installed };
        self.step(d, at, end, queue);
    }

    fn restore(
        &mut self,
        now: Instant,
        d: usize,
        (id, version): (CommandId, Version),
        scenario: &Scenario,
        world: &mut World,
        queue: &mut Queue<Event>,
    ) {
        if let Some(job) = self.jobs[d] {
            let reason = "taken back".to_owned();
            queue.push(now + WORD, outcome(job.command, CommandResult::Failed { reason }));
        }
        self.drop_job(d);
        let mut stream = Stream::new(self.seed, Purpose::Rollback, d as u64);
        let length = draw(scenario.updates.rollback, &mut stream);
        world.conditions[d].out = true;
        world.conditions[d].updating = false;
        let failed = stream.happens(scenario.failures.rollback_failure_percent);
        let end = if failed { Step::NotRestored(id) } else { Step::Restored(id, version) };
        self.step(d, now + length.max(WORD), end, queue);
    }

    fn step(&self, d: usize, at: Instant, step: Step, queue: &mut Queue<Event>) {
        queue.push(at, Event::Step { device: d, token: self.tokens[d], step });
    }

    fn drop_job(&mut self, d: usize) {
        self.jobs[d] = None;
        self.tokens[d] += 1;
    }

    /// A step has come to its end. Returns what the engine is told.
    pub(crate) fn finish_step(
        &mut self,
        now: Instant,
        d: usize,
        token: u32,
        step: &Step,
        world: &mut World,
    ) -> Option<Input> {
        if token != self.tokens[d] || world.conditions[d].crashed {
            return None;
        }
        let condition = &mut world.conditions[d];
        match step {
            Step::Reach(state) => {
                let job = self.jobs[d].as_mut()?;
                job.out = state.is_out();
                condition.out = state.is_out();
                Some(Input::Progress { attempt: job.attempt, state: *state })
            }
            Step::Installed | Step::Failed(_) => {
                let job = self.jobs[d].take()?;
                condition.out = false;
                condition.updating = false;
                let result = match step {
                    Step::Failed(reason) => CommandResult::Failed { reason: (*reason).to_owned() },
                    _ => {
                        condition.new_since = Some(now);
                        condition.runs = job.version;
                        if world.is_bad_on(d, job.version).is_some() {
                            self.exposed_count += usize::from(!std::mem::replace(&mut self.exposed[d], true));
                            self.first_exposed.get_or_insert(now);
                        }
                        CommandResult::Succeeded
                    }
                };
                Some(Input::Outcome { command: job.command, result })
            }
            Step::Restored(command, _) | Step::NotRestored(command) => {
                condition.out = false;
                let result = if let Step::Restored(_, version) = step {
                    condition.new_since = None;
                    condition.runs = *version;
                    CommandResult::Succeeded
                } else {
                    CommandResult::Failed { reason: "could not go back".to_owned() }
                };
                Some(Input::Outcome { command: *command, result })
            }
        }
    }

    /// A crash: whatever was under way is lost without a word; the device comes back on the release it ran.
    pub(crate) fn crash(&mut self, d: usize, world: &mut World) {
        self.drop_job(d);
        let condition = &mut world.conditions[d];
        condition.crashed = true;
        condition.out = false;
        condition.updating = false;
    }
}

fn outcome(command: CommandId, result: CommandResult) -> Event {
    Event::Say(Input::Outcome { command, result })
}

/// Download size of one install of a rollout.
fn size_of(scenario: &Scenario, rollout: RolloutId, version: Version) -> u64 {
    let package = scenario.rollouts().nth(rollout.index()).map_or(&scenario.package, |(package, ..)| package);
    let stone = package.stones.iter().find(|stone| stone.version == version);
    stone.map_or(package.size_bytes, |stone| stone.size_bytes)
}

/// A lognormal duration.
pub(crate) fn draw(duration: Duration, stream: &mut Stream) -> Span {
    let z: f64 = StandardNormal.sample(stream);
    Span::from_secs_f64(duration.median.as_secs_f64() * libm::exp(duration.sigma * z))
}
