//! One small world, once simulated and once through the controller: the same commands to the same devices at the same moments.

use super::agent::Agent;
use super::world::{Plan, World, journal, start};
use slacktide_engine::ids::DeviceId;
use slacktide_engine::input::{CommandResult, DeviceFacts, Input, OperatorAction};
use slacktide_engine::journal::{ChainReader, Entry, JournalMode, Line};
use slacktide_engine::rollout::Package;
use slacktide_engine::time::{Instant, Span};
use slacktide_live_bridge::trust::Role;
use slacktide_live_bridge::wire::{
    CreateRolloutRequest, Outcome, Progress, Report, RolloutRequest, Sample, UpdateRequest, device_message::Body,
    outcome,
};
use slacktide_scenarios::Scenario;
use slacktide_sim::Setup;
use std::collections::BTreeMap;

const WORLD: &str = "devices = 6\nhistory = \"12h 2m\"\ntick = \"5m\"\n[[pools]]\n";

/// The commands of a journal: when, what, to whom, and the number of the first.
fn commands(lines: &[Line]) -> Vec<(Instant, &'static str, Vec<DeviceId>, u64)> {
    let one = |line: &Line| match &line.entry {
        Entry::Batch { devices, first_command, .. } => Some((line.at, "install", devices.clone(), first_command.0)),
        Entry::Rollback { devices, first_command, .. } => Some((line.at, "rollback", devices.clone(), first_command.0)),
        _ => None,
    };
    lines.iter().filter_map(one).collect()
}

/// Whose each command and each attempt is.
fn owners(lines: &[Line]) -> (BTreeMap<u64, DeviceId>, BTreeMap<u64, DeviceId>) {
    let (mut commands, mut attempts) = (BTreeMap::new(), BTreeMap::new());
    for line in lines {
        match &line.entry {
            Entry::Batch { devices, first_command, first_attempt, .. } => {
                for (n, device) in devices.iter().enumerate() {
                    commands.insert(first_command.0 + n as u64, device.clone());
                    attempts.insert(first_attempt.0 + n as u64, device.clone());
                }
            }
            Entry::Rollback { devices, first_command, .. } => {
                for (n, device) in devices.iter().enumerate() {
                    commands.insert(first_command.0 + n as u64, device.clone());
                }
            }
            _ => {}
        }
    }
    (commands, attempts)
}

fn simulated() -> (Vec<Line>, slacktide_engine::policy::Policy) {
    let scenario = Scenario::from_toml("small", WORLD).unwrap();
    let policy = scenario.policy().unwrap();
    let mut setup = Setup::new(scenario, policy.clone());
    setup.journal = JournalMode::Full;
    let result = slacktide_sim::run(&setup, 1, &|_| {});
    let mut reader = ChainReader::default();
    (result.journal.iter().map(|line| reader.read(line).unwrap()).collect(), policy)
}

struct Stage {
    world: World,
    agents: Vec<Agent>,
    metrics: Vec<String>,
    commands: BTreeMap<u64, DeviceId>,
    attempts: BTreeMap<u64, DeviceId>,
}

impl Stage {
    fn agent(&mut self, device: &DeviceId) -> &mut Agent {
        self.agents.iter_mut().find(|agent| agent.name == device.as_str()).unwrap()
    }

    async fn say(&mut self, at: Instant, device: &DeviceId, body: Body) {
        let world = &self.world;
        let agent = self.agents.iter_mut().find(|agent| agent.name == device.as_str()).unwrap();
        agent.say(at.as_millis(), body);
        world.link(&agent.name).poll(agent.poll_request()).await.map(|answer| agent.heard(answer)).unwrap();
    }

    /// Everybody's load of one tick, at the same time.
    async fn reports(&mut self, before: Instant, columns: &[Vec<f32>]) {
        let mut calls = tokio::task::JoinSet::new();
        for (d, agent) in self.agents.iter_mut().enumerate() {
            let samples = self.metrics.iter().zip(columns).filter(|(_, column)| column[d].is_finite());
            let samples = samples.map(|(metric, column)| Sample { metric: metric.clone(), percent: column[d] });
            agent.say(before.as_millis(), Body::Report(Report { samples: samples.collect() }));
            let (mut link, request) = (self.world.link(&agent.name), agent.poll_request());
            calls.spawn(async move { (d, link.poll(request).await.unwrap()) });
        }
        while let Some(called) = calls.join_next().await {
            let (d, answer) = called.unwrap();
            self.agents[d].heard(answer);
        }
    }

    async fn operator(&mut self, action: &OperatorAction) {
        let mut olga = self.world.operator("olga", Role::Operator);
        let one = |rollout: &slacktide_engine::ids::RolloutId| RolloutRequest { rollout: rollout.0 };
        match action {
            OperatorAction::Create { package, priority } => {
                let (package, version) = (package.name.clone(), package.version.to_string());
                let request = CreateRolloutRequest {
                    package,
                    version,
                    priority: u32::from(*priority),
                    ..CreateRolloutRequest::default()
                };
                olga.create_rollout(request).await.map(drop)
            }
            OperatorAction::SignOff { .. } => panic!("the simulated world signs nothing off"),
            OperatorAction::Approve { rollout } => {
                self.world.operator("anna", Role::Approver).approve_rollout(one(rollout)).await.map(drop)
            }
            OperatorAction::Start { rollout } => olga.start_rollout(start(rollout.0)).await.map(drop),
            OperatorAction::Pause { rollout } => olga.pause_rollout(one(rollout)).await.map(drop),
            OperatorAction::Resume { rollout } => olga.resume_rollout(one(rollout)).await.map(drop),
            OperatorAction::Abort { rollout } => olga.abort_rollout(one(rollout)).await.map(drop),
        }
        .unwrap();
    }

    async fn outcome(&mut self, at: Instant, command: u64, result: &CommandResult) {
        let device = self.commands[&command].clone();
        self.call(&device).await;
        assert!(self.agent(&device).told.contains(&command), "{device} was never told command {command}");
        let (result, reason) = match result {
            CommandResult::Succeeded => (outcome::Result::Succeeded, ""),
            CommandResult::Failed { reason } => (outcome::Result::Failed, reason.as_str()),
            CommandResult::Rejected { reason } => (outcome::Result::Rejected, reason.as_str()),
            CommandResult::AlreadyCurrent => (outcome::Result::AlreadyCurrent, ""),
            CommandResult::Canceled => (outcome::Result::Canceled, ""),
            CommandResult::TimedOut => panic!("devices do not say so"),
        };
        let body = Outcome { command, result: result.into(), reason: reason.to_owned(), version: String::new() };
        self.say(at, &device, Body::Outcome(body)).await;
    }

    async fn call(&mut self, device: &DeviceId) {
        let link = self.world.link(device.as_str());
        let agent = self.agent(device);
        let mut link = link;
        let answer = link.poll(agent.poll_request()).await.unwrap();
        agent.heard(answer);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controller_commands_as_the_simulator_does() {
    let (lines, policy) = simulated();
    let Entry::Header(header) = &lines[0].entry else { panic!("no header") };
    let mut fleet: Vec<DeviceFacts> = Vec::new();
    let mut package: Option<Package> = None;
    for line in &lines {
        let Entry::Input { input } = &line.entry else { continue };
        match &**input {
            Input::Enrolled { devices } => fleet.extend(devices.iter().cloned()),
            Input::Operator(OperatorAction::Create { package: made, .. }) => package = Some(made.clone()),
            _ => {}
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let (start, tick) = (lines[0].at, Span::from_secs(300));
    let plan =
        Plan { fleet: Some(fleet.clone()), metrics: header.metrics.clone(), policy, tick, package, ..Plan::default() };
    let world = World::start_at(folder.path(), &plan, start - Span::from_millis(1)).await;
    let store = world.store.clone();
    let (of_commands, of_attempts) = owners(&lines);
    let agents = fleet.iter().map(|facts| {
        let mut agent = Agent::new(facts.id.as_str());
        agent.version = facts.version.to_string();
        agent
    });
    let mut stage = Stage {
        world,
        agents: agents.collect(),
        metrics: header.metrics.clone(),
        commands: of_commands,
        attempts: of_attempts,
    };
    for facts in &fleet {
        stage.call(&facts.id).await;
    }
    for line in &lines {
        let Entry::Input { input } = &line.entry else { continue };
        // Everything but ticks and what follows from them happens between ticks in this world.
        if let Input::Telemetry(batch) = &**input {
            stage.reports(line.at - Span::from_millis(1), &batch.columns).await;
        }
        stage.world.set_clock(line.at.max(stage.world.now()));
        stage.world.status().await;
        match &**input {
            Input::Requests { devices } => {
                for device in devices {
                    stage.say(line.at, &fleet[device.index()].id, Body::Request(UpdateRequest {})).await;
                }
            }
            Input::Progress { attempt, state } => {
                let device = stage.attempts[&attempt.0].clone();
                let progress = Progress { attempt: attempt.0, state: state.name().to_owned() };
                stage.say(line.at, &device, Body::Progress(progress)).await;
            }
            Input::Outcome { command, result } => stage.outcome(line.at, command.0, result).await,
            Input::Operator(action) => stage.operator(action).await,
            _ => {}
        }
        stage.world.status().await;
    }
    stage.world.controller.finish();
    let wanted = commands(&lines);
    assert!(wanted.len() > 1, "a world without commands shows nothing");
    let real = journal(&store);
    assert_eq!(commands(&real), wanted);
    // Whoever knows the page of the one knows that of the other: the same sections, the same pictures.
    let (real, simulated) = (page_of(&real), page_of(&lines));
    assert_eq!(headings(&real), headings(&simulated));
    assert_eq!(real.matches("<svg ").count(), simulated.matches("<svg ").count());
    assert!(real.contains("a real fleet") && real.contains("6 of 6 devices run the new release"), "{real}");
}

fn page_of(lines: &[Line]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| serde_json::to_string(line).unwrap()).collect();
    slacktide_reports::page::html(&slacktide_reports::tables::Tables::read(lines.iter().map(String::as_str)).unwrap())
}

fn headings(page: &str) -> Vec<&str> {
    page.split("<h2 id=s").skip(1).filter_map(|part| part.split_once("</h2>").map(|(text, _)| text)).collect()
}
