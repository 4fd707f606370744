//! The world model: what goes on once the recorded outcomes no longer apply.

use super::doubt::Spread;
use super::recorded::{Course, Recorded};
use crate::queue::Queue;
use crate::rng::{Purpose, Stream};
use crate::world::World;
use slacktide_engine::Engine;
use slacktide_engine::ids::{AttemptId, CommandId, DeviceIndex, RolloutId};
use slacktide_engine::input::{CommandResult, Input, OperatorAction, TelemetryBatch};
use slacktide_engine::journal::entry::{Entry, Line};
use slacktide_engine::output::{Command, CommandKind};
use slacktide_engine::rollout::{AttemptState, Cause, RolloutState};
use slacktide_engine::time::{Instant, Span};
use slacktide_scenarios::Scenario;
use std::collections::BTreeMap;

/// Time a word takes from a device to the engine.
const WORD: Span = Span::from_secs(1);
/// How an update goes where none was recorded.
const COURSE: Course = Course { serving: Span::from_secs(120), out: Span::from_secs(840), succeeded: true };
/// How long a rollback takes where none was recorded.
const ROLLBACK: Span = Span::from_secs(300);
/// A person looks at a paused rollout after this long, and lets it go on at most so often.
const PERSON_AFTER: Span = Span::from_secs(7200);
const PERSON_MAX: u32 = 3;

/// Load of their own that devices carry.
pub(crate) trait OwnLoads: std::fmt::Debug {
    /// Time between ticks.
    fn period(&self) -> Span;

    /// Percent by metric, then device, at a moment no earlier than any asked for before; `None` where nothing is known.
    fn at(&mut self, at: Instant) -> Option<Vec<Vec<f32>>>;
}

#[derive(Debug)]
enum Event {
    Tick,
    Say { device: Option<DeviceIndex>, token: u32, input: Input },
    Person(RolloutId),
}

fn result_of(succeeded: bool) -> CommandResult {
    if succeeded {
        return CommandResult::Succeeded;
    }
    CommandResult::Failed { reason: "as a recorded update failed".to_owned() }
}

#[derive(Debug)]
pub(crate) struct Model<'a> {
    recorded: &'a Recorded,
    load: Box<dyn OwnLoads + 'a>,
    seed: u64,
    spread: Spread,
    world: World,
    queue: Queue<Event>,
    /// Words of an older job than this are void.
    tokens: Vec<u32>,
    jobs: BTreeMap<usize, CommandId>,
    tries: Vec<u64>,
    resumes: BTreeMap<RolloutId, u32>,
    called: BTreeMap<RolloutId, bool>,
}

impl<'a> Model<'a> {
    /// How long beyond the recording the model goes on at most.
    pub(crate) const BEYOND: Span = Span::from_secs(14 * 86_400);

    /// A world in which devices carry `load` of their own; `now` is the moment reached.
    pub(crate) fn new(recorded: &'a Recorded, load: Box<dyn OwnLoads + 'a>, now: Instant, seed: u64) -> Self {
        let mut scenario =
            Scenario::from_toml("journal", "[[pools]]\n").unwrap_or_else(|_| unreachable!("a whole scenario"));
        scenario.devices = recorded.facts.len();
        let period = load.period();
        let mut model = Self {
            world: World::new(&scenario, recorded.facts.clone()),
            tokens: vec![0; recorded.facts.len()],
            tries: vec![0; recorded.facts.len()],
            jobs: BTreeMap::new(),
            queue: Queue::new(),
            resumes: BTreeMap::new(),
            called: BTreeMap::new(),
            load,
            recorded,
            seed,
            spread: Spread::NONE,
        };
        let last = recorded.ticks.iter().rev().find(|(at, _)| *at <= now).map_or(now, |(at, _)| *at);
        let next = std::iter::successors(Some(last), |at| Some(*at + period)).find(|at| *at > now);
        model.queue.push(next.unwrap_or(now), Event::Tick);
        model
    }

    /// What was said in the recorded lines `rest`, which were not handed in, of attempts begun before the parting still holds, and so does
    /// what persons began and devices asked.
    pub(crate) fn keep_what_holds(&mut self, rest: &[Line], parted: Instant) {
        for line in rest {
            let Entry::Input { input } = &line.entry else { continue };
            let device = match &**input {
                Input::Progress { attempt, .. } => self.begun_before(*attempt, parted),
                Input::Outcome { command, .. } => {
                    self.recorded.commands.get(command).and_then(|attempt| self.begun_before(*attempt, parted))
                }
                Input::Requests { .. } | Input::Removed { .. } => None,
                Input::Operator(
                    OperatorAction::Create { .. } | OperatorAction::Approve { .. } | OperatorAction::Start { .. },
                ) => None,
                _ => continue,
            };
            if device.is_none() && matches!(**input, Input::Progress { .. } | Input::Outcome { .. }) {
                continue;
            }
            self.queue.push(line.at, Event::Say { device, token: 0, input: (**input).clone() });
        }
    }

    /// The device of an attempt that began before the courses parted.
    fn begun_before(&self, attempt: AttemptId, parted: Instant) -> Option<DeviceIndex> {
        let (begun, d) = self.recorded.attempts.get(&attempt)?;
        (*begun < parted).then_some(DeviceIndex(*d as u32))
    }

    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.queue.next_at()
    }

    /// The next event happens. Returns what the engine hears of it.
    pub(crate) fn next(&mut self, engine: &Engine) -> Option<Input> {
        let (now, event) = self.queue.pop()?;
        match event {
            Event::Tick => Some(self.tick(now, engine)),
            Event::Say { device: Some(device), token, .. } if self.tokens[device.index()] != token => None,
            Event::Say { device, input, .. } => {
                if let (Some(device), Input::Outcome { command, .. }) = (device, &input)
                    && self.jobs.get(&device.index()) == Some(command)
                {
                    self.jobs.remove(&device.index());
                }
                Some(input)
            }
            Event::Person(rollout) => {
                self.called.remove(&rollout);
                let paused = engine.rollout_state(rollout) == Some(RolloutState::Paused);
                let resumes = self.resumes.entry(rollout).or_default();
                *resumes += u32::from(paused);
                let action = if *resumes > PERSON_MAX {
                    OperatorAction::Abort { rollout }
                } else {
                    OperatorAction::Resume { rollout }
                };
                paused.then_some(Input::Operator(action))
            }
        }
    }

    /// Telemetry of a tick: the devices' own load, moved by who is out now.
    fn tick(&mut self, now: Instant, engine: &Engine) -> Input {
        let period = self.load.period();
        let devices = self.recorded.facts.len();
        let nothing = || vec![vec![f32::NAN; devices]; self.recorded.header.metrics.len()];
        let mut columns = self.load.at(now).unwrap_or_else(nothing);
        let fleet = engine.fleet();
        for d in 0..devices {
            let condition = &mut self.world.conditions[d];
            condition.out = fleet.out[d];
            // Who was silent then for no reason of ours is silent now.
            condition.crashed = !columns.iter().any(|column| column[d].is_finite());
            if condition.crashed {
                columns.iter_mut().for_each(|column| column[d] = 0.0);
            }
        }
        self.world.serve(now, period, true, &mut columns);
        self.queue.push(now + period, Event::Tick);
        self.call_persons(now, engine);
        Input::Telemetry(TelemetryBatch { devices: None, columns })
    }

    /// A rollout that is paused and does not go on by itself gets a person's attention.
    fn call_persons(&mut self, now: Instant, engine: &Engine) {
        let paused: Vec<RolloutId> =
            engine.rollouts().filter(|(_, state)| *state == RolloutState::Paused).map(|(id, _)| id).collect();
        for rollout in paused {
            let waits = engine.pause_cause(rollout) == Some(Cause::StaleTelemetry);
            if !waits && self.called.insert(rollout, true).is_none() {
                self.queue.push(now + PERSON_AFTER, Event::Person(rollout));
            }
        }
    }

    /// Commands reach their devices.
    pub(crate) fn carry(&mut self, now: Instant, commands: &[Command]) {
        for command in commands {
            let d = command.device.index();
            match command.kind {
                CommandKind::Install { command: id, attempt, .. } => self.install(now, command.device, id, attempt),
                CommandKind::Rollback { command: id, .. } => {
                    self.tokens[d] += 1;
                    self.jobs.insert(d, id);
                    let mut stream = Stream::new(self.seed, Purpose::Rollback, d as u64);
                    let known = &self.recorded.rollbacks;
                    let took = known.get(stream.below(known.len())).copied().unwrap_or(ROLLBACK);
                    let input = Input::Outcome { command: id, result: CommandResult::Succeeded };
                    self.say(now + took.max(WORD), command.device, input);
                }
                CommandKind::Cancel { command: id } => {
                    // Whoever is out already goes on to its end.
                    if self.jobs.get(&d).is_none_or(|job| *job == id) {
                        self.tokens[d] += 1;
                        self.jobs.remove(&d);
                        self.say(
                            now + WORD,
                            command.device,
                            Input::Outcome { command: id, result: CommandResult::Canceled },
                        );
                    }
                }
                CommandKind::Announce => {
                    self.say(now + WORD, command.device, Input::Requests { devices: vec![command.device] });
                }
                CommandKind::NotNow { .. } => {}
            }
        }
    }

    fn install(&mut self, now: Instant, device: DeviceIndex, command: CommandId, attempt: AttemptId) {
        let d = device.index();
        self.tokens[d] += 1;
        self.tries[d] += 1;
        self.jobs.insert(d, command);
        let mut stream = Stream::new(self.seed, Purpose::Attempt, (d as u64) << 16 | self.tries[d]);
        let known = &self.recorded.courses;
        let course = known.get(stream.below(known.len())).copied().unwrap_or(COURSE);
        let drained = now + course.serving.max(WORD);
        self.say(drained, device, Input::Progress { attempt, state: AttemptState::Draining });
        let result = result_of(!self.fails(course.succeeded, &mut stream));
        let out = self.spread.stretch(course.out, &mut stream);
        self.say(drained + out, device, Input::Outcome { command, result });
    }

    /// What was under way when the recording ended goes on: it takes as long as a recorded update that had taken longer so far.
    pub(crate) fn go_on_with(&mut self, now: Instant) {
        for (command, (attempt, is_rollback, told)) in &self.recorded.open.commands {
            let Some((_, d)) = self.recorded.attempts.get(attempt).copied() else { continue };
            let mut stream = Stream::new(self.seed, Purpose::Attempt, (d as u64) << 16);
            let fails = !is_rollback && self.fails(true, &mut stream);
            let so_far = now.since(*told);
            let known = self.recorded.courses.iter().filter(|_| !is_rollback).map(|course| course.serving + course.out);
            let known = known.chain(self.recorded.rollbacks.iter().filter(|_| *is_rollback).copied());
            let longer: Vec<Span> = known.filter(|took| *took > so_far).collect();
            let usual = if *is_rollback { ROLLBACK } else { COURSE.serving + COURSE.out };
            let took = longer.get(stream.below(longer.len())).copied().unwrap_or(usual);
            self.jobs.insert(d, *command);
            let end = (*told + self.spread.stretch(took, &mut stream)).max(now + WORD);
            let input = Input::Outcome { command: *command, result: result_of(!fails) };
            self.say(end, DeviceIndex(d as u32), input);
        }
    }

    /// How sure the few recorded updates are: this run's own share of failures and length of an update, drawn from what they leave open.
    pub(crate) fn spread_by_doubt(&mut self) {
        self.spread = Spread::draw(self.recorded, self.seed);
    }

    fn fails(&self, course_succeeded: bool, stream: &mut Stream) -> bool {
        match self.spread.failure_share {
            None => !course_succeeded,
            Some(share) => stream.uniform() < share,
        }
    }

    fn say(&mut self, at: Instant, device: DeviceIndex, input: Input) {
        let token = self.tokens[device.index()];
        self.queue.push(at, Event::Say { device: Some(device), token, input });
    }
}
