//! Devices that say anything in any order: absurd values, texts at their limits, numbers that repeat, jump and go back, attempts and
//! commands of others; and bytes that are no messages. What makes no sense is refused or left out, with a counted reason.

use super::agent::{Agent, Manner, everybody, live};
use super::proxy::Chance;
use super::wire_body::device_call;
use super::world::{Plan, World, journal};
use prost::Message as _;
use slacktide_engine::input::Input;
use slacktide_engine::journal::Entry;
use slacktide_engine::journal::replay::replay;
use slacktide_engine::rollout::AttemptState;
use slacktide_engine::time::Span;
use slacktide_live_bridge::wire::device_message::Body;
use slacktide_live_bridge::wire::{
    DeviceMessage, Hello, Outcome, PollRequest, Progress, Report, Sample, UpdateRequest, controller_message,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

/// `SLACKTIDE_TEST_SEED` names another.
const SEED: u64 = 20_240_304;
const HOSTILE: usize = 6;
const CONVERSATIONS: usize = 60;
const DAMAGED: u64 = 250;
const PATIENCE: Duration = Duration::from_secs(30);

fn seed() -> u64 {
    let seed = std::env::var("SLACKTIDE_TEST_SEED").map_or(SEED, |text| text.parse().unwrap());
    println!("seed {seed}");
    seed
}

fn pick<T: Copy>(chance: &mut Chance, of: &[T]) -> T {
    of[chance.below(of.len() as u64) as usize]
}

/// A device that says anything.
struct Liar {
    name: String,
    chance: Chance,
    stored: u64,
    epoch: u64,
    commands: Vec<u64>,
    attempts: Vec<u64>,
    refused: u64,
}

impl Liar {
    fn text(&mut self) -> String {
        let length = pick(&mut self.chance, &[0, 1, 20, 500, 501, 4096, 4097, 20_000]);
        let letter = pick(&mut self.chance, &["x", "é", "\0", "\n", "😀", "\""]);
        letter.repeat(length / letter.len())
    }

    fn report(&mut self) -> Body {
        const VALUES: [f32; 12] = [
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            f32::MIN_POSITIVE,
            -0.0,
            -1.0,
            0.0,
            50.0,
            100.0,
            100.1,
            1e30,
        ];
        let count = pick(&mut self.chance, &[0, 1, 2, 3, 64, 65, 500]);
        let sample = |liar: &mut Self| {
            let metric = match liar.chance.below(12) {
                0 => liar.text(),
                n if n < 7 => "cpu".to_owned(),
                _ => "memory".to_owned(),
            };
            // Not more than a message may have.
            let metric = if count > 3 { metric.chars().take(40).collect() } else { metric };
            Sample { metric, percent: pick(&mut liar.chance, &VALUES) }
        };
        Body::Report(Report { samples: (0..count).map(|_| sample(self)).collect() })
    }

    /// A number of its own, of somebody else, or of nobody.
    fn number(&mut self, own: &[u64]) -> u64 {
        match self.chance.below(3) {
            0 if !own.is_empty() => pick(&mut self.chance, own),
            1 => self.chance.below(20),
            _ => pick(&mut self.chance, &[u64::MAX, u64::MAX - 1, 1 << 63, 1 << 32, 1 << 20]),
        }
    }

    fn body(&mut self) -> Option<Body> {
        Some(match self.chance.below(12) {
            0..=4 => self.report(),
            5 | 6 => {
                let attempt = self.number(&self.attempts.clone());
                let known = AttemptState::ALL[self.chance.below(AttemptState::ALL.len() as u64) as usize];
                let state = if self.chance.below(4) == 0 { self.text() } else { known.name().to_owned() };
                Body::Progress(Progress { attempt, state })
            }
            7 | 8 => {
                let command = self.number(&self.commands.clone());
                let result = pick(&mut self.chance, &[-1, 0, 1, 2, 3, 4, 5, 6, i32::MAX, i32::MIN]);
                let (reason, version) = (self.text(), self.text());
                Body::Outcome(Outcome { command, result, reason, version })
            }
            9 | 10 => Body::Request(UpdateRequest {}),
            _ if self.chance.below(3) > 0 => return None,
            _ => Body::Hello(Hello::default()),
        })
    }

    /// Messages that mostly follow each other.
    fn messages(&mut self) -> Vec<DeviceMessage> {
        let count = 1 + self.chance.below(12);
        let mut next = self.stored + 1;
        let mut messages = Vec::new();
        for _ in 0..count {
            let (sequence, previous) = match self.chance.below(14) {
                0 => (0, None),
                1 => (next.saturating_sub(1 + self.chance.below(3)), None),
                2 => (next + 1 + self.chance.below(3), None),
                3 => (pick(&mut self.chance, &[u64::MAX, u64::MAX - 1, 1 << 63, i64::MAX as u64]), Some(next - 1)),
                4 => (next + 5, Some(next - 1)),
                5 => (next, Some(pick(&mut self.chance, &[u64::MAX, next, next + 7]))),
                _ => (next, None),
            };
            next = if (next..next + 10).contains(&sequence) { sequence + 1 } else { next };
            let at_ms = pick(&mut self.chance, &[0, i64::MIN, i64::MAX, -1, 1 << 50]);
            messages.push(DeviceMessage { sequence, previous, at_ms, body: self.body() });
        }
        if self.chance.below(5) == 0 {
            let [one, other] = [self.chance.below(count), self.chance.below(count)];
            messages.swap(one as usize, other as usize);
        }
        messages
    }

    fn hello(&mut self) -> Hello {
        let mut hello = Hello { epoch: self.epoch, ..Agent::new(&self.name).hello() };
        match self.chance.below(20) {
            0 => hello.device_id = "d99".to_owned(),
            1 => hello.version = self.text(),
            2 => hello.epoch = u64::MAX,
            3 => hello.generation = u64::MAX,
            4 => hello.agent_version = self.text(),
            5 => hello.version = "4294967295.4294967295.4294967295".to_owned(),
            _ => {}
        }
        hello
    }

    fn hear(&mut self, said: Option<controller_message::Body>) {
        match said {
            Some(controller_message::Body::Welcome(welcome)) => {
                assert!(welcome.resume_after >= self.stored, "what was stored is no longer");
                self.stored = welcome.resume_after;
            }
            Some(controller_message::Body::Ack(ack)) => {
                assert!(ack.sequence >= self.stored);
                self.stored = ack.sequence;
            }
            Some(controller_message::Body::Install(install)) => {
                self.commands.push(install.command);
                self.attempts.push(install.attempt);
            }
            _ => {}
        }
    }

    fn refused(&mut self, status: &Status) {
        let wanted = [Code::InvalidArgument, Code::FailedPrecondition, Code::PermissionDenied, Code::OutOfRange];
        assert!(wanted.contains(&status.code()), "{}: {status:?}", self.name);
        // What is too large is not even read.
        self.refused += u64::from(status.code() != Code::OutOfRange);
    }

    async fn call(&mut self, world: &World) {
        let request = PollRequest { hello: Some(self.hello()), messages: self.messages() };
        let mut link = world.link(&self.name);
        match tokio::time::timeout(PATIENCE, link.poll(request)).await.expect("an answer") {
            Ok(answer) => answer.into_inner().messages.into_iter().for_each(|message| self.hear(message.body)),
            Err(status) => self.refused(&status),
        }
    }

    async fn session(&mut self, world: &World) {
        let (say, said) = mpsc::channel(20);
        let body = Some(Body::Hello(self.hello()));
        say.send(DeviceMessage { body, ..DeviceMessage::default() }).await.unwrap();
        for message in self.messages() {
            say.send(message).await.unwrap();
        }
        drop(say);
        let mut heard = world.link(&self.name).session(ReceiverStream::new(said)).await.unwrap().into_inner();
        loop {
            match tokio::time::timeout(PATIENCE, heard.message()).await.expect("an end") {
                Ok(Some(message)) => self.hear(message.body),
                Ok(None) => return,
                Err(status) => return self.refused(&status),
            }
        }
    }
}

/// Devices that were told to install something, and say anything from now on.
async fn under_way(world: &World) -> Vec<Agent> {
    let mut agents: Vec<Agent> = (0..HOSTILE).map(|device| Agent::new(&format!("d{device}"))).collect();
    agents.iter_mut().for_each(|agent| agent.manner = Manner::Hangs);
    everybody(world, &mut agents).await;
    world.create("2.0").await;
    world.approve(0).await;
    world.begin(0).await;
    agents.iter_mut().for_each(|agent| agent.asks(world.now().as_millis()));
    live(world, &mut agents, 20, "finished").await;
    assert!(agents.iter().all(|agent| agent.obeyed.len() == 1), "{agents:?}");
    agents
}

async fn lie(world: Arc<World>, agent: Agent, seed: u64) -> Liar {
    let mut liar = Liar {
        chance: Chance(seed + agent.name.bytes().map(u64::from).sum::<u64>()),
        stored: agent.stored,
        epoch: agent.epoch,
        commands: agent.obeyed.keys().copied().collect(),
        attempts: agent.obeyed.values().copied().collect(),
        name: agent.name,
        refused: 0,
    };
    for _ in 0..CONVERSATIONS {
        if liar.chance.below(3) == 0 { liar.session(&world).await } else { liar.call(&world).await }
    }
    liar
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_devices_say_the_controller_serves_the_others() {
    let seed = seed();
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan { devices: HOSTILE + 1, ..Plan::default() };
    let world = Arc::new(World::start(folder.path(), &plan).await);
    let mut liars = tokio::task::JoinSet::new();
    for agent in under_way(&world).await {
        liars.spawn(lie(Arc::clone(&world), agent, seed));
    }
    let mut calm = Agent::new(&format!("d{HOSTILE}"));
    let (mut refused, mut reports) = (0, 0);
    while !liars.is_empty() {
        calm.report(0, 20.0);
        reports += 1;
        tokio::time::timeout(PATIENCE, calm.call(&world)).await.expect("an answer").unwrap();
        world.go_on(Span::from_secs(60)).await;
        while let Some(liar) = liars.try_join_next() {
            refused += liar.unwrap().refused;
        }
    }
    assert!(refused > 50, "{refused} refusals");
    assert!(calm.stored >= reports, "{} of {reports}", calm.stored);
    let metrics = world.controller.metrics();
    assert!(world.counted("slacktide_refused_total") >= refused);
    let reasons = ["malformed", "oversize", "sequence-gap", "wrong-device", "old-epoch"];
    let left_out = ["implausible-load", "foreign-attempt", "foreign-command", "unknown-state", "unknown-result"];
    for reason in reasons.into_iter().chain(left_out) {
        assert!(metrics.refusals(reason) > 0, "{reason} never happened");
    }
    // A refusal that quotes what it refuses quotes little of it.
    let long = Hello { version: "9".repeat(50_000), ..Agent::new("d0").hello() };
    let long = PollRequest { hello: Some(long), messages: Vec::new() };
    let status = world.link("d0").poll(long).await.unwrap_err();
    assert_eq!((status.code(), status.message().len() < 500), (Code::InvalidArgument, true), "{status:?}");
    let store = world.store.clone();
    world.controller.finish();
    let lines = journal(&store);
    assert_eq!(replay(&lines).unwrap().first_difference, None);
    for line in &lines {
        if let Entry::Input { input } = &line.entry
            && let Input::Telemetry(batch) = &**input
        {
            let values = batch.columns.iter().flatten();
            assert!(values.copied().all(|value| value.is_nan() || (0.0..=100.0).contains(&value)));
        }
    }
    println!("{refused} refusals, {reports} calm reports, {} lines", lines.len());
}

/// The committed corpus and seeded damage to it.
#[test]
fn bytes_that_are_no_messages_are_refused() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/device_call");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let files: Vec<Vec<u8>> = files.iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(files.iter().any(|bytes| PollRequest::decode(bytes.as_slice()).is_ok()));
    files.iter().for_each(|bytes| device_call(bytes, Path::new("")));
    let mut chance = Chance(seed());
    for _ in 0..DAMAGED {
        let mut bytes = files[chance.below(files.len() as u64) as usize].clone();
        for _ in 0..=chance.below(4) {
            let at = chance.below(bytes.len() as u64 + 1) as usize;
            match chance.below(4) {
                0 if at < bytes.len() => bytes[at] = chance.next() as u8,
                1 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
                2 => bytes.truncate(at),
                _ => bytes.insert(at, chance.next() as u8),
            }
        }
        device_call(&bytes, Path::new(""));
    }
}

/// Writes the corpus anew: one call of everything a device may say, and its parts.
#[test]
#[ignore = "makes the files of the corpus"]
fn make_corpus() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/device_call");
    std::fs::create_dir_all(&folder).unwrap();
    let sample = |metric: &str, percent| Sample { metric: metric.to_owned(), percent };
    let bodies = [
        Body::Report(Report { samples: vec![sample("cpu", 20.0), sample("memory", f32::NAN)] }),
        Body::Request(UpdateRequest {}),
        Body::Progress(Progress { attempt: 0, state: "installing".to_owned() }),
        Body::Outcome(Outcome { command: 0, result: 2, reason: "why".to_owned(), version: "1.0".to_owned() }),
    ];
    let message = |(n, body): (usize, &Body)| DeviceMessage {
        sequence: n as u64 + 1,
        previous: (n == 0).then_some(0),
        at_ms: 1,
        body: Some(body.clone()),
    };
    let messages: Vec<DeviceMessage> = bodies.iter().enumerate().map(message).collect();
    let hello = Some(Agent::new("d0").hello());
    let write = |name: &str, request: PollRequest| std::fs::write(folder.join(name), request.encode_to_vec()).unwrap();
    write("usual", PollRequest { hello: hello.clone(), messages: messages.clone() });
    write("gap", PollRequest { hello: hello.clone(), messages: messages[2..].to_vec() });
    write("nobody", PollRequest { hello: None, messages });
    write("greeting", PollRequest { hello, messages: Vec::new() });
}
