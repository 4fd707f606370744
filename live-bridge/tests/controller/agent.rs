//! A device that does what it is told, and remembers.

use super::world::World;
use slacktide_live_bridge::wire::{
    ControllerMessage, DeviceMessage, Hello, Install, Outcome, PollRequest, PollResponse, Progress, Report, Rollback,
    Sample, UpdateRequest, controller_message, device_message::Body, outcome,
};
use std::collections::{BTreeMap, BTreeSet};

/// What a device does with an install.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Succeeds,
    Fails,
    /// Begins and never ends.
    Hangs,
}

#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) manner: Manner,
    pub(crate) epoch: u64,
    next: u64,
    /// Not known to be stored yet.
    unacked: Vec<DeviceMessage>,
    /// Commands it has obeyed, with the attempt.
    pub(crate) obeyed: BTreeMap<u64, u64>,
    /// Commands it was told.
    pub(crate) told: BTreeSet<u64>,
    /// Install scripts it has run, by attempt.
    pub(crate) runs: BTreeMap<u64, u32>,
    pub(crate) not_now: Vec<String>,
    /// Highest number it was told is stored.
    pub(crate) stored: u64,
}

impl Agent {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: "1.0".to_owned(),
            manner: Manner::Succeeds,
            epoch: 0,
            next: 1,
            unacked: Vec::new(),
            obeyed: BTreeMap::new(),
            told: BTreeSet::new(),
            runs: BTreeMap::new(),
            not_now: Vec::new(),
            stored: 0,
        }
    }

    pub(crate) fn hello(&self) -> Hello {
        Hello {
            device_id: self.name.clone(),
            version: self.version.clone(),
            agent_version: "test".to_owned(),
            epoch: self.epoch,
            ..Hello::default()
        }
    }

    pub(crate) fn say(&mut self, at_ms: i64, body: Body) {
        self.unacked.push(DeviceMessage { sequence: self.next, previous: None, at_ms, body: Some(body) });
        self.next += 1;
    }

    pub(crate) fn report(&mut self, at_ms: i64, cpu: f32) {
        let sample = |metric: &str, percent| Sample { metric: metric.to_owned(), percent };
        self.say(at_ms, Body::Report(Report { samples: vec![sample("cpu", cpu), sample("memory", 30.0)] }));
    }

    pub(crate) fn asks(&mut self, at_ms: i64) {
        self.say(at_ms, Body::Request(UpdateRequest {}));
    }

    /// Calls with what it has to say, and does as it is told.
    pub(crate) async fn call(&mut self, world: &World) -> Result<Vec<ControllerMessage>, tonic::Status> {
        let request = PollRequest { hello: Some(self.hello()), messages: self.unacked.clone() };
        let answer = world.link(&self.name).poll(request).await?.into_inner().messages;
        for message in &answer {
            self.obey(message);
        }
        Ok(answer)
    }

    /// What it has to say, as a call.
    pub(crate) fn poll_request(&self) -> PollRequest {
        PollRequest { hello: Some(self.hello()), messages: self.unacked.clone() }
    }

    /// Hears an answer and only remembers what it was told: somebody else says what comes of it.
    pub(crate) fn heard(&mut self, answer: tonic::Response<PollResponse>) {
        for message in answer.into_inner().messages {
            match message.body {
                Some(controller_message::Body::Install(install)) => {
                    self.told.insert(install.command);
                }
                Some(controller_message::Body::Rollback(rollback)) => {
                    self.told.insert(rollback.command);
                }
                _ => self.obey(&message),
            }
        }
    }

    pub(crate) fn obey(&mut self, message: &ControllerMessage) {
        assert!(message.epoch >= self.epoch, "an older controller speaks");
        self.epoch = message.epoch;
        let Some(body) = &message.body else { return };
        match body {
            controller_message::Body::Welcome(welcome) => self.acked(welcome.resume_after),
            controller_message::Body::Ack(ack) => self.acked(ack.sequence),
            controller_message::Body::Install(install) => self.install(install),
            controller_message::Body::Rollback(rollback) => self.roll_back(rollback),
            controller_message::Body::NotNow(not_now) => self.not_now.push(not_now.reason.clone()),
            _ => {}
        }
    }

    fn roll_back(&mut self, rollback: &Rollback) {
        if self.obeyed.insert(rollback.command, rollback.attempt).is_none() {
            self.version.clone_from(&rollback.version);
            self.outcome(rollback.command, outcome::Result::Succeeded);
        }
    }

    fn acked(&mut self, sequence: u64) {
        assert!(
            sequence >= self.stored,
            "{}: what was stored is no longer: {} then {sequence}",
            self.name,
            self.stored
        );
        self.stored = sequence;
        self.unacked.retain(|message| message.sequence > sequence);
    }

    fn install(&mut self, install: &Install) {
        // Known commands are answered from memory: the outcome is on its way already.
        if self.obeyed.insert(install.command, install.attempt).is_some() {
            return;
        }
        assert_eq!(install.package, "app");
        *self.runs.entry(install.attempt).or_default() += 1;
        self.say(0, Body::Progress(Progress { attempt: install.attempt, state: "installing".to_owned() }));
        match self.manner {
            Manner::Succeeds => {
                self.version.clone_from(&install.version);
                self.outcome(install.command, outcome::Result::Succeeded);
            }
            Manner::Fails => self.outcome(install.command, outcome::Result::Failed),
            Manner::Hangs => {}
        }
    }

    pub(crate) fn outcome(&mut self, command: u64, result: outcome::Result) {
        let reason = if result == outcome::Result::Failed { "the script said 1" } else { "" }.to_owned();
        let version = self.version.clone();
        self.say(0, Body::Outcome(Outcome { command, result: result.into(), reason, version }));
    }
}

/// Three devices, d0 to d2.
pub(crate) fn three() -> Vec<Agent> {
    (0..3).map(|n| Agent::new(&format!("d{n}"))).collect()
}

/// Everybody reports and calls.
pub(crate) async fn everybody(world: &World, agents: &mut [Agent]) {
    for agent in agents {
        agent.report(world.now().as_millis(), 20.0);
        agent.call(world).await.unwrap();
    }
}

/// Minutes of ordinary life, until the rollout is in `state` or `minutes` have passed.
pub(crate) async fn live(world: &World, agents: &mut [Agent], minutes: u32, state: &str) -> String {
    for _ in 0..minutes {
        everybody(world, agents).await;
        world.go_on(slacktide_engine::time::Span::from_secs(60)).await;
        let now = world.state(0).await;
        if now == state {
            return now;
        }
    }
    world.state(0).await
}
