//! `kill -9` for the controller, and for the controller and all agents at once, in every state of a rollout: processes, TLS, signed
//! packages and scripts as they are. The rollout ends as it should.

use super::ground::{Ground, now};
use super::processes::{DEVICES, Process, told};
use super::stored::{assert_sound, stored};
use super::world::{creation, journal, start};
use slacktide_engine::journal::{Entry, Line};
use slacktide_live_bridge::wire::{FleetStatus, RolloutRequest, StatusRequest};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const ONE: RolloutRequest = RolloutRequest { rollout: 0 };
/// Everything waited for takes a second or two; so long only on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(90);

/// Who loses power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victims {
    Controller,
    Everybody,
}

/// When.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    WaitingForApproval,
    Ready,
    /// All devices are out.
    InFlight,
    /// By a person, while all devices are out.
    Paused,
    /// While all devices are out.
    Aborting,
    /// Two devices go back.
    RollingBack,
    /// One goes back and one is held, for its pool lets only one go at a time.
    Held,
    Finished,
}

impl When {
    const ALL: [Self; 8] = [
        Self::WaitingForApproval,
        Self::Ready,
        Self::InFlight,
        Self::Paused,
        Self::Aborting,
        Self::RollingBack,
        Self::Held,
        Self::Finished,
    ];

    fn state(self) -> &'static str {
        match self {
            Self::WaitingForApproval => "waiting_for_approval",
            Self::Ready => "ready",
            Self::InFlight => "running",
            Self::Paused => "paused",
            Self::Aborting => "aborting",
            Self::RollingBack | Self::Held => "rolling_back",
            Self::Finished => "finished",
        }
    }

    /// How the rollout ends, and what all devices run then.
    fn end(self) -> (&'static str, &'static str) {
        match self {
            Self::Aborting => ("stopped", "2.0"),
            Self::RollingBack | Self::Held => ("rolled_back", "1.0"),
            _ => ("finished", "2.0"),
        }
    }
}

/// A controller and its agents.
struct Site {
    ground: Ground,
    began_ms: i64,
    out_max: &'static str,
    address: SocketAddr,
    controller: Option<Process>,
    agents: Vec<Process>,
}

impl Site {
    async fn start(when: When) -> Self {
        let ground = Ground::new(DEVICES).await;
        ground.publish("2.0").await;
        let out_max = if when == When::Held { "1" } else { "unlimited" };
        let address = "127.0.0.1:0".parse().unwrap();
        let mut site =
            Self { ground, began_ms: now().as_millis(), out_max, address, controller: None, agents: Vec::new() };
        site.start_controller().await;
        site.start_agents();
        site.wait("everybody", |status| status.devices_connected as usize == DEVICES).await;
        site
    }

    async fn start_controller(&mut self) {
        let file = self.ground.path("address");
        std::fs::remove_file(&file).ok();
        self.controller = Some(Process::controller(&self.ground.root, self.address, self.began_ms, self.out_max));
        let began = Instant::now();
        while !file.exists() {
            let has_ended = self.controller.as_mut().is_some_and(Process::has_ended);
            assert!(!has_ended && began.elapsed() < PATIENCE, "no controller\n{}", told(&self.ground.root));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.address = std::fs::read_to_string(file).unwrap().parse().unwrap();
    }

    fn start_agents(&mut self) {
        self.agents = (0..DEVICES).map(|device| Process::agent(&self.ground.root, self.address, device)).collect();
    }

    async fn status(&self) -> FleetStatus {
        let mut viewer = self.ground.person("vera", self.address);
        viewer.status(StatusRequest { summary: false }).await.unwrap().into_inner()
    }

    async fn wait(&self, what: &str, is_so: impl Fn(&FleetStatus) -> bool) {
        let began = Instant::now();
        loop {
            let status = self.status().await;
            if is_so(&status) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "waited for {what}: {status:#?}\n{}", told(&self.ground.root));
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    async fn wait_for_state(&self, state: &str) {
        self.wait(state, |status| status.rollouts[0].state == state).await;
    }

    /// Waits until scripts have written so many lines with these words.
    async fn wait_for_log(&self, words: &str, lines: usize) {
        let began = Instant::now();
        while self.ground.log(words).len() < lines {
            assert!(began.elapsed() < PATIENCE, "waited for {words}\n{}", told(&self.ground.root));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn approve(&self) {
        self.ground.person("anna", self.address).approve_rollout(ONE).await.unwrap();
    }

    async fn begin(&self) {
        self.ground.person("olga", self.address).start_rollout(start(0)).await.unwrap();
    }

    fn gates(&self, gate: &str, is_open: bool) {
        let turn =
            |device| if is_open { self.ground.open_gate(device, gate) } else { self.ground.close_gate(device, gate) };
        (0..DEVICES).for_each(turn);
    }

    /// Brings the rollout to where the power fails.
    async fn until(&self, when: When) {
        let mut olga = self.ground.person("olga", self.address);
        olga.create_rollout(creation("2.0")).await.unwrap();
        if when == When::WaitingForApproval {
            return;
        }
        self.approve().await;
        match when {
            When::WaitingForApproval | When::Ready => {}
            When::InFlight | When::Paused | When::Aborting => {
                self.gates("health", false);
                self.begin().await;
                self.wait_for_log(" health ", DEVICES).await;
                match when {
                    When::Paused => drop(olga.pause_rollout(ONE).await.unwrap()),
                    When::Aborting => drop(olga.abort_rollout(ONE).await.unwrap()),
                    _ => {}
                }
            }
            When::RollingBack | When::Held => self.take_back(when).await,
            When::Finished => {
                self.begin().await;
                self.wait_for_state("finished").await;
            }
        }
        self.wait_for_state(when.state()).await;
    }

    /// Two devices are updated, the third is ill: those two are to go back, and do not get to the end of it.
    async fn take_back(&self, when: When) {
        let last = DEVICES - 1;
        self.ground.close_gate(last, "health");
        self.ground.make_ill(last);
        self.begin().await;
        let updated = |status: &FleetStatus| status.devices.iter().filter(|device| device.version == "2.0").count();
        self.wait("two updates", |status| updated(status) == last).await;
        self.wait_for_log(&format!("d{last} health "), 1).await;
        let restarts = self.ground.log("d0 restart").len() + self.ground.log("d1 restart").len();
        (0..last).for_each(|device| self.ground.close_gate(device, "restart"));
        self.ground.open_gate(last, "health");
        self.wait_for_state("rolling_back").await;
        let going = if when == When::Held { 1 } else { 2 };
        let began = Instant::now();
        while self.ground.log("d0 restart").len() + self.ground.log("d1 restart").len() < restarts + going {
            assert!(began.elapsed() < PATIENCE, "nobody goes back\n{}", told(&self.ground.root));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What a person does once all are back, and what had held the devices up.
    async fn go_on(&self, when: When) {
        match when {
            When::WaitingForApproval => {
                self.approve().await;
                self.begin().await;
            }
            When::Ready => self.begin().await,
            When::InFlight | When::Aborting => self.gates("health", true),
            When::Paused => {
                self.gates("health", true);
                self.ground.person("olga", self.address).resume_rollout(ONE).await.unwrap();
            }
            When::RollingBack | When::Held => {
                (0..DEVICES - 1).for_each(|device| self.ground.open_gate(device, "restart"))
            }
            When::Finished => {}
        }
    }
}

async fn kill(when: When, victims: Victims) {
    let mut site = Site::start(when).await;
    site.until(when).await;
    let mut dead: Vec<Process> = site.controller.take().into_iter().collect();
    if victims == Victims::Everybody {
        dead.append(&mut site.agents);
    }
    Process::kill(dead);
    site.start_controller().await;
    assert_eq!(site.status().await.rollouts[0].state, when.state(), "{when:?}, {victims:?}");
    if victims == Victims::Everybody {
        site.start_agents();
    }
    site.go_on(when).await;
    let (end, version) = when.end();
    site.wait_for_state(end).await;
    site.wait("everybody", |status| status.devices_connected as usize == DEVICES).await;
    let all = |status: &FleetStatus| status.devices.iter().all(|device| device.version == version);
    site.wait("what everybody runs", all).await;
    Process::kill(site.controller.take().into_iter().chain(std::mem::take(&mut site.agents)).collect());
    for device in 0..DEVICES {
        assert_eq!(site.ground.runs(device), version, "{when:?}, {victims:?}, d{device}");
    }
    site.ground.nothing_ran_twice();
    assert_eq!(site.ground.log(" install ").len(), DEVICES, "{when:?}, {victims:?}");
    let store = site.ground.path("controller.db");
    check(&journal(&store), when, victims);
    // What no tick has dealt with yet.
    stored(&store);
}

fn check(lines: &[Line], when: When, victims: Victims) {
    assert_sound(lines, &format!("{when:?}, {victims:?}"));
    let held = lines.iter().any(|line| matches!(line.entry, Entry::Rollback { deferred, .. } if deferred > 0));
    assert_eq!(held, when == When::Held, "{when:?}, {victims:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_ends_as_it_should_whenever_and_whoever_is_killed() {
    let mut cases = When::ALL.iter().flat_map(|when| [(*when, Victims::Controller), (*when, Victims::Everybody)]);
    let mut under_way = tokio::task::JoinSet::new();
    loop {
        while under_way.len() < 4
            && let Some((when, victims)) = cases.next()
        {
            under_way.spawn(async move {
                let began = Instant::now();
                kill(when, victims).await;
                format!("{when:?}, {victims:?}: {:.1} s", began.elapsed().as_secs_f64())
            });
        }
        match under_way.join_next().await {
            Some(told) => println!("{}", told.unwrap()),
            None => return,
        }
    }
}
