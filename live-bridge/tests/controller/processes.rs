//! A controller and agents as processes of their own: this test binary, started anew with the one "test" that runs the one or the other.

use super::crew::{Counting, parts};
use super::door::{Door, plan};
use super::ground::Ground;
use super::world::{Plan, START};
use slacktide_engine::time::{Instant, Span};
use slacktide_live_bridge::agent::run;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const ROOT: &str = "SLACKTIDE_TEST_ROOT";
/// Where the controller listens; it writes down where that is.
const ADDRESS: &str = "SLACKTIDE_TEST_ADDRESS";
/// When its time began, milliseconds since the Unix epoch.
const BEGAN: &str = "SLACKTIDE_TEST_BEGAN";
const OUT_MAX: &str = "SLACKTIDE_TEST_OUT_MAX";
const DEVICE: &str = "SLACKTIDE_TEST_DEVICE";
/// Devices of the fleet of such a controller.
pub(crate) const DEVICES: usize = 3;
/// Its time goes so many times faster.
const SPEED: u32 = 60;

fn variable(name: &str) -> String {
    std::env::var(name).unwrap()
}

/// A process ends with the one that started it, however that one ends: its standard input is closed then.
fn end_with_the_starter() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
}

/// No test: the body of the controller's process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it is the process that others start"]
async fn controller_process() {
    end_with_the_starter();
    let ground = Ground::at(Path::new(&variable(ROOT)));
    // A tick a second: what is held up is judged by what was heard.
    let mut plan = Plan { tick: Span::from_secs(60), ..plan(&ground, DEVICES) };
    plan.policy = plan.policy.with_field("plan.pool_out_max", &variable(OUT_MAX)).unwrap();
    let passed_ms = slacktide_live_bridge::agent::now_ms() - variable(BEGAN).parse::<i64>().unwrap();
    let now = Instant::from_millis(START * 1000 + passed_ms * i64::from(SPEED));
    let mut door = Door::open(&ground, &plan, variable(ADDRESS).parse().unwrap(), now).await;
    door.run_clock(SPEED);
    std::fs::write(ground.path("address.new"), door.address.to_string()).unwrap();
    std::fs::rename(ground.path("address.new"), ground.path("address")).unwrap();
    std::future::pending::<()>().await;
}

/// No test: the body of an agent's process.
#[test]
#[ignore = "it is the process that others start"]
fn agent_process() {
    end_with_the_starter();
    let ground = Ground::at(Path::new(&variable(ROOT)));
    let device = variable(DEVICE).parse().unwrap();
    let config = ground.settle(device, variable(ADDRESS).parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stop = run::until_told().unwrap();
        run::run(parts(&config, Box::new(Counting::default())), stop).await.unwrap();
    });
}

/// A process; killed when it goes out of scope.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    fn start(test: &str, root: &Path, address: SocketAddr, more: &[(&str, String)]) -> Self {
        let log = PathBuf::from(root).join(format!("{}.log", test.replace("::", "-")));
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
        command.env(ROOT, root).env(ADDRESS, address.to_string()).envs(more.iter().cloned());
        command.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
        Self(command.spawn().unwrap())
    }

    pub(crate) fn controller(root: &Path, address: SocketAddr, began_ms: i64, out_max: &str) -> Self {
        let more = [(BEGAN, began_ms.to_string()), (OUT_MAX, out_max.to_owned())];
        Self::start("processes::controller_process", root, address, &more)
    }

    pub(crate) fn agent(root: &Path, address: SocketAddr, device: usize) -> Self {
        Self::start("processes::agent_process", root, address, &[(DEVICE, device.to_string())])
    }

    /// As a power loss; all of them before any is waited for.
    pub(crate) fn kill(processes: Vec<Self>) {
        let mut processes = processes;
        processes.iter_mut().for_each(|process| process.0.kill().unwrap());
        drop(processes);
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// What processes of a device have said, for the words of a failed test.
pub(crate) fn told(root: &Path) -> String {
    let logs = ["processes-controller_process.log", "processes-agent_process.log", "scripts.log"];
    logs.map(|log| format!("== {log}\n{}", std::fs::read_to_string(root.join(log)).unwrap_or_default())).join("\n")
}
