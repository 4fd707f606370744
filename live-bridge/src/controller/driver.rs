//! The driver: hear, hand in, drain, make durable, command. The twin of the simulator's.

use super::board::Board;
use super::desk::{Answer, Ask, Desk};
use super::fold::{Fold, Moved};
use super::gate::Gate;
use super::inbox::Received;
use super::metrics::Metrics;
use super::outbox::Outbox;
use super::overview::Overview;
use super::registry::{Device, Registry};
use super::writer::{Decided, Job};
use crate::wire::{Announce, Cancel, Install, NotNow, Rollback, controller_message::Body};
use rayon::prelude::*;
use slacktide_engine::forecasting::{Fit, FitRoom, Forecasts};
use slacktide_engine::ids::{DeviceIndex, RolloutId};
use slacktide_engine::input::{CommandResult, Input, OperatorAction};
use slacktide_engine::journal::{ChainWriter, Entry};
use slacktide_engine::output::{Command, CommandKind};
use slacktide_engine::time::{Instant, Span};
use slacktide_engine::version::Version;
use slacktide_engine::{Engine, Output};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, sync_channel};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// Most that is heard in one turn, so that its commands do not wait for too long.
const HEARD_MAX: usize = 1024;
/// A store that cannot be written is tried again after this long.
const STORE_AGAIN: Duration = Duration::from_secs(1);

/// Where the driver has its time from.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Instant;

    /// How long to listen at most before it is worth looking at the time again.
    fn patience(&self, until: Instant) -> Duration;
}

/// The wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Instant {
        crate::clock::now()
    }

    fn patience(&self, until: Instant) -> Duration {
        // At least a millisecond, the grain of time; at most so long that a changed wall clock is noticed.
        Duration::from_millis(until.since(self.now()).as_millis().clamp(1, 1000))
    }
}

/// What the driver hears.
#[derive(Debug)]
pub(super) enum Told {
    /// Devices said this, and it is stored.
    Stored { id: i64, messages: Vec<Received> },
    /// A device is there for the first time.
    Hello { device: Arc<Device>, version: Option<Version>, done: oneshot::Sender<()> },
    /// A person wants something.
    Ask { ask: Ask, by: String, reply: oneshot::Sender<Result<Answer, tonic::Status>> },
    /// Somebody looks on.
    Overview { reply: oneshot::Sender<Overview> },
    /// The end.
    Stop,
}

type Reply = (oneshot::Sender<Result<Answer, tonic::Status>>, Result<Answer, tonic::Status>);

/// The engine and all that surrounds it; lives on a thread of its own.
#[derive(Debug)]
pub(super) struct Driver {
    pub(super) engine: Engine,
    pub(super) chain: ChainWriter,
    pub(super) registry: Arc<Registry>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) board: Board,
    pub(super) desk: Desk,
    pub(super) gate: Gate,
    pub(super) fold: Fold,
    pub(super) moved: Moved,
    pub(super) tick: Span,
    pub(super) next_tick: Instant,
    pub(super) wake: Option<Instant>,
    /// Last row of the inbox that was heard.
    pub(super) heard: Option<i64>,
    pub(super) lines: Vec<(u64, String)>,
    pub(super) meta: Vec<(String, Option<String>)>,
    pub(super) jobs: Sender<Job>,
    /// Set when all is lost: nothing more is written or sent.
    pub(super) dead: Arc<AtomicBool>,
    /// Set when it should end in peace: a store that cannot be written is not waited for.
    pub(super) ending: Arc<AtomicBool>,
    pub(super) changes: watch::Sender<u64>,
    pub(super) commands: Vec<Command>,
    pub(super) queue: VecDeque<Input>,
    pub(super) inbox_done: Option<i64>,
    /// Hears recorded inputs again: forecasts that it asks for were answered by an input that follows.
    pub(super) is_replaying: bool,
}

impl Driver {
    /// Runs until it is told to stop.
    pub(super) fn run(mut self, told: &Receiver<Told>, clock: &dyn Clock) {
        loop {
            let mut heard = Vec::new();
            match told.recv_timeout(clock.patience(self.due())) {
                Ok(first) => heard.push(first),
                Err(RecvTimeoutError::Timeout) if clock.now() < self.due() => continue,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            heard.extend(told.try_iter().take(HEARD_MAX - 1));
            let began = std::time::Instant::now();
            let goes_on = self.turn(clock.now(), heard);
            self.metrics.turned(began.elapsed());
            if !goes_on || self.dead.load(Ordering::Acquire) {
                return;
            }
        }
    }

    /// When something is due.
    fn due(&self) -> Instant {
        self.wake.map_or(self.next_tick, |wake| wake.min(self.next_tick))
    }

    /// One turn: hear, drain, make durable, command. False when it was told to stop.
    fn turn(&mut self, now: Instant, told: Vec<Told>) -> bool {
        let mut goes_on = true;
        let mut welcome = Vec::new();
        let mut joined = Vec::new();
        let mut replies: Vec<Reply> = Vec::new();
        let mut lookers = Vec::new();
        for one in told {
            match one {
                Told::Stored { id, messages } => self.hear(now, id, messages),
                Told::Hello { device, version, done } => {
                    joined.push((device, version));
                    welcome.push(done);
                }
                Told::Ask { ask, by, reply } => {
                    self.join(now, &mut joined);
                    let answer = self.answer(now, ask, &by);
                    replies.push((reply, answer));
                }
                Told::Overview { reply } => lookers.push(reply),
                Told::Stop => goes_on = false,
            }
        }
        self.join(now, &mut joined);
        if now >= self.next_tick {
            self.tick(now);
        }
        // Answers first where something else is due too: the engine decides on what is known.
        self.answer_the_engine(now);
        if self.wake.is_some_and(|wake| wake <= now) {
            self.hand_in(now, Input::Wake);
            self.answer_the_engine(now);
        }
        self.hold_the_stop(now);
        let is_news = !self.lines.is_empty() || !self.meta.is_empty();
        // Nothing leaves before it is on disk.
        if self.make_durable() {
            self.send();
            for done in welcome {
                let _ = done.send(());
            }
            replies.into_iter().for_each(|(reply, answer)| drop(reply.send(answer)));
            if is_news {
                self.changes.send_modify(|n| *n += 1);
            }
            lookers.into_iter().for_each(|reply| drop(reply.send(self.overview(now))));
        }
        goes_on
    }

    fn answer_the_engine(&mut self, now: Instant) {
        while let Some(input) = self.queue.pop_front() {
            self.hand_in(now, input);
        }
    }

    /// Devices that are there for the first time join the engine's fleet.
    fn join(&mut self, now: Instant, joined: &mut Vec<(Arc<Device>, Option<Version>)>) {
        let mut devices = Vec::new();
        for (device, version) in std::mem::take(joined) {
            // What it runs may be other than what is believed: an outcome was lost, or somebody installed by hand.
            if let (Some(known), Some(version)) = (self.engine.fleet().find(&device.facts.id), version)
                && self.engine.fleet().facts[known.index()].version != version
            {
                self.hand_in(now, Input::Statement { device: known, version });
            }
            let is_new = self.engine.fleet().find(&device.facts.id).is_none();
            let is_twice =
                devices.iter().any(|facts: &slacktide_engine::input::DeviceFacts| facts.id == device.facts.id);
            if is_new && !is_twice {
                let version = version.unwrap_or(device.facts.version);
                devices.push(slacktide_engine::input::DeviceFacts { version, ..device.facts.clone() });
            }
        }
        if !devices.is_empty() {
            self.hand_in(now, Input::Enrolled { devices });
        }
    }

    /// What devices said: reports wait for the tick, all else goes to the engine.
    fn hear(&mut self, now: Instant, id: i64, messages: Vec<Received>) {
        self.heard = Some(id);
        self.metrics.taken(messages.len());
        let mut asking = Vec::new();
        for received in messages {
            self.hear_one(now, received.device.name(), &received.message, &mut asking);
        }
        self.ask_for(now, &mut asking);
    }

    /// Devices that asked, together.
    pub(super) fn ask_for(&mut self, now: Instant, asking: &mut Vec<DeviceIndex>) {
        if !asking.is_empty() {
            let devices = std::mem::take(asking);
            self.hand_in(now, Input::Requests { devices });
        }
    }

    pub(super) fn tick(&mut self, now: Instant) {
        let batch = self.fold.batch(self.engine.fleet().len());
        self.hand_in(now, Input::Telemetry(batch));
        self.moved.tick();
        self.inbox_done = self.heard;
        self.next_tick = now.floor_to(self.tick) + self.tick;
    }

    /// Hands one input in and drains.
    pub(super) fn hand_in(&mut self, now: Instant, input: Input) {
        self.board.note_input(&input);
        let created = match &input {
            Input::Operator(OperatorAction::Create { package, .. }) => Some(package.clone()),
            _ => None,
        };
        if let Input::Outcome { command, result } = &input
            && let Some(owner) = self.board.owner(command.0)
        {
            let name = self.name(owner);
            self.outbox.close(&name, command.0);
            if let CommandResult::Failed { reason } | CommandResult::Rejected { reason } = result {
                self.board.said(owner, reason);
            }
        }
        self.engine.handle_input(now, input);
        self.board.note_created(&self.engine, created);
        self.drain(now);
    }

    fn drain(&mut self, now: Instant) {
        loop {
            match self.engine.poll_output() {
                Output::Record(entry) => {
                    let number = self.chain.entries();
                    self.look(now, number, &entry);
                    self.lines.push((number, self.chain.line(now, *entry)));
                }
                Output::Command(command) => {
                    self.book(&command);
                    self.commands.push(command);
                }
                Output::Forecast(_) if self.is_replaying => {}
                Output::Forecast(request) => {
                    let mut fits = self.engine.spent_fits();
                    let engine = &self.engine;
                    fits.resize_with(request.keys.len(), Fit::default);
                    let keyed = request.keys.par_iter().zip(&mut fits).with_min_len(16);
                    keyed.for_each_init(FitRoom::default, |room, (key, fit)| engine.fit_into(*key, room, fit));
                    self.queue.push_back(Input::Forecasts(Forecasts { round: request.round, fits }));
                }
                Output::Wake { at, .. } => {
                    self.wake = at;
                    return;
                }
            }
        }
    }

    fn look(&mut self, now: Instant, number: u64, entry: &Entry) {
        self.board.note(&self.engine, entry);
        self.board.news.note(now, number, entry);
        if let Entry::Settled { attempts, .. } = entry {
            attempts.iter().for_each(|one| self.outbox.close_attempt(one.device.as_str(), one.attempt.0));
        }
    }

    pub(super) fn name(&self, device: DeviceIndex) -> String {
        self.engine.fleet().facts.get(device.index()).map_or_else(String::new, |facts| facts.id.as_str().to_owned())
    }

    /// Books whose a command is.
    pub(super) fn book(&mut self, command: &Command) {
        if let CommandKind::Install { command: id, attempt, .. } | CommandKind::Rollback { command: id, attempt, .. } =
            &command.kind
        {
            self.board.issued(command.device, id.0, *attempt);
        }
    }

    /// Keeps a command that wants an outcome, so that the device hears it whenever it calls. Only once it is on disk.
    pub(super) fn post(&self, device: &str, command: &Command) -> Option<Body> {
        let body = self.message(command)?;
        match &body {
            Body::Install(install) => self.outbox.install(device, install.clone()),
            Body::Rollback(rollback) => self.outbox.rollback(device, rollback.clone()),
            Body::Cancel(cancel) => self.outbox.cancel(device, cancel.command),
            _ => {}
        }
        Some(body)
    }

    /// A command as the device reads it.
    fn message(&self, command: &Command) -> Option<Body> {
        let timeout_ms = self.engine.policy().attempts.timeout.as_millis();
        Some(match &command.kind {
            CommandKind::Announce => Body::Announce(Announce {}),
            CommandKind::Install { command, attempt, generation, rollout, version } => Body::Install(Install {
                command: command.0,
                attempt: attempt.0,
                generation: generation.0,
                package: self.board.package(*rollout)?.name.clone(),
                version: version.to_string(),
                timeout_ms,
                sha256: self.archive(*rollout, *version),
            }),
            CommandKind::Rollback { command, attempt, generation, version } => Body::Rollback(Rollback {
                command: command.0,
                attempt: attempt.0,
                generation: generation.0,
                version: version.to_string(),
                timeout_ms,
            }),
            CommandKind::Cancel { command } => Body::Cancel(Cancel { command: command.0 }),
            CommandKind::NotNow { reason, earliest } => {
                Body::NotNow(NotNow { reason: reason.name().to_owned(), earliest_ms: earliest.map(Instant::as_millis) })
            }
        })
    }

    /// SHA-256 of the archive that a rollout brings; empty for its stepping stones, and where none was named.
    fn archive(&self, rollout: RolloutId, version: Version) -> String {
        let package = self.board.package(rollout).filter(|package| package.version == version);
        package.and_then(|package| package.sha256.clone()).unwrap_or_default()
    }

    /// The decisions of this turn go to disk; waits until they are there. False when the controller dies first.
    fn make_durable(&mut self) -> bool {
        let (lines, meta) = (std::mem::take(&mut self.lines), std::mem::take(&mut self.meta));
        let (marks, inbox_done) = (self.moved.take(), self.inbox_done.take());
        if lines.is_empty() && meta.is_empty() && marks.is_empty() && inbox_done.is_none() {
            return !self.dead.load(Ordering::Acquire);
        }
        loop {
            let (done, written) = sync_channel(1);
            let job = Decided { lines: lines.clone(), marks: marks.clone(), inbox_done, meta: meta.clone(), done };
            let sent = self.jobs.send(Job::Decided(job)).is_ok();
            match written.recv() {
                Ok(Ok(())) => return true,
                Ok(Err(_)) if sent && !self.dead.load(Ordering::Acquire) && !self.ending.load(Ordering::Acquire) => {
                    std::thread::sleep(STORE_AGAIN)
                }
                _ => return false,
            }
        }
    }

    fn send(&mut self) {
        for command in std::mem::take(&mut self.commands) {
            let name = self.name(command.device);
            let Some(body) = self.post(&name, &command) else { continue };
            self.metrics.command(match &body {
                Body::Install(_) => "install",
                Body::Rollback(_) => "rollback",
                Body::Cancel(_) => "cancel",
                Body::NotNow(_) => "not-now",
                _ => "announce",
            });
            let Some(device) = self.registry.find(&name) else { continue };
            let message = self.outbox.message(body);
            match command.kind {
                CommandKind::Announce | CommandKind::NotNow { .. } => device.answer(message),
                // One that is not connected hears it when it calls.
                _ => drop(device.say(message)),
            }
        }
        let states: BTreeMap<_, _> = self.engine.rollouts().collect();
        self.metrics.standing(states.into_values(), self.desk.stopped().is_some());
    }
}
