//! The agent as a process of its own: this test binary, started anew with the one "test" that runs an agent.

use super::packages::Hashed;
use slacktide_live_bridge::agent::config::Settings;
use slacktide_live_bridge::agent::link::Connector;
use slacktide_live_bridge::agent::packages::{Boxed, Verifier};
use slacktide_live_bridge::agent::run::{self, Parts};
use slacktide_live_bridge::agent::sampler::{Load, Sampler};
use slacktide_live_bridge::agent::signed::Signed;
use slacktide_live_bridge::agent::simulated::Simulated;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};

/// A connection that says nothing for so long is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const CONFIG: &str = "SLACKTIDE_TEST_AGENT";
/// The load of this machine instead of a made-up one.
const MEASURED: &str = "SLACKTIDE_TEST_MEASURED";
const ONCE: &str = "SLACKTIDE_TEST_ONCE";

/// No TLS at all. A controller takes no such connection from anybody.
struct Plain {
    controller: String,
    limit: Duration,
}

impl Connector for Plain {
    fn connect(&self) -> Boxed<'_, Result<Channel, String>> {
        Box::pin(async {
            let endpoint = Endpoint::from_shared(self.controller.clone()).map_err(|error| error.to_string())?;
            let endpoint = endpoint
                .connect_timeout(self.limit)
                .tcp_nodelay(true)
                .http2_keep_alive_interval(KEEP_ALIVE)
                .keep_alive_timeout(KEEP_ALIVE)
                .keep_alive_while_idle(true);
            endpoint.connect().await.map_err(|error| error.to_string())
        })
    }
}

/// No test: the body of the agent's process.
#[test]
#[ignore = "it is the process that the others start"]
fn agent_process() {
    let config = PathBuf::from(std::env::var_os(CONFIG).unwrap());
    let settings = Settings::load(&config).unwrap();
    let connector = Arc::new(Plain { controller: settings.controller.clone(), limit: settings.connect });
    let load: Box<dyn Load> = match std::env::var(MEASURED) {
        Ok(_) => Box::new(Sampler::new(Path::new("/"), settings.capacity.clone())),
        Err(_) => Box::new(Simulated::parse("daily").unwrap()),
    };
    let root = settings.identity.join("package-root.json");
    let verifier: Arc<dyn Verifier> = if root.exists() {
        Arc::new(Signed::new(&root, &settings.state.join("packages")).unwrap())
    } else {
        Arc::new(Hashed)
    };
    let parts = Parts { settings, load, connector, verifier };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ended = runtime.block_on(async {
        let stop = run::until_told().unwrap();
        if std::env::var_os(ONCE).is_some() { run::once(parts, stop).await } else { run::run(parts, stop).await }
    });
    if let Err(error) = ended {
        // Where the starter looks for it.
        std::fs::write(config.with_extension("error"), format!("{error}: {:?}", std::error::Error::source(&error)))
            .unwrap();
        std::process::exit(2);
    }
}

/// A running agent; killed when it goes out of scope.
#[derive(Debug)]
pub(crate) struct Agent(Child);

impl Agent {
    pub(crate) fn start(config: &Path) -> Self {
        Self::spawn(config, &[])
    }

    pub(crate) fn measuring(config: &Path) -> Self {
        Self::spawn(config, &[MEASURED])
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn once(config: &Path) -> ExitStatus {
        let mut agent = Self::spawn(config, &[ONCE]);
        agent.0.wait().unwrap()
    }

    fn spawn(config: &Path, with: &[&str]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "process::agent_process", "--ignored", "--nocapture", "--test-threads=1"]);
        command.env(CONFIG, config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.envs(with.iter().map(|name| (*name, "1")));
        Self(command.spawn().unwrap())
    }

    /// As a power loss: nothing is finished, nothing is written.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// As an administrator.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.0.wait().unwrap()
    }

    pub(crate) fn wait(mut self) -> ExitStatus {
        self.0.wait().unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
