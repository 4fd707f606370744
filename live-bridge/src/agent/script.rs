//! A script of a package: its own process group, a time limit, a bounded record of what it said, and nothing of it left afterwards.
//!
//! What is contained: everything in its process group, and every process that carries the mark in its environment, wherever it went
//! (`setsid`, double fork), also after the agent itself was killed. What is not: a process that both leaves the group and drops the mark
//! from its environment (`setsid env -i …`), and work handed to another service (`systemd-run`, `at`). That needs root, or a cgroup of its own.

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

/// The mark: every process of a script has this in its environment.
pub const MARK: &str = "SLACKTIDE_RUN";
/// Time between asking a script to end and ending it.
pub const GRACE: Duration = Duration::from_secs(5);
/// How much of a script's output is kept, bytes: the end of it.
pub const OUTPUT_BYTES_MAX: usize = 16 << 10;
/// Time given to the output of a script to come through after its end.
const OUTPUT_WAIT: Duration = Duration::from_millis(200);
/// A process that makes children faster than they are killed is given up after this many rounds.
const ROUNDS_MAX: usize = 20;

/// What to run.
#[derive(Debug)]
pub struct Job<'a> {
    /// The program.
    pub program: &'a Path,
    /// Where it starts.
    pub folder: &'a Path,
    /// Its whole environment, but for `PATH` and the mark.
    pub environment: Vec<(&'static str, String)>,
    /// The mark, and whether all that carries it goes when the script has ended.
    pub mark: Option<&'a str>,
    /// It is asked to end after this long.
    pub time_limit: Duration,
    /// It is ended this long after it was asked.
    pub grace: Duration,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// How it ended.
    pub end: End,
    /// The end of what it said on both outputs.
    pub output: String,
}

/// How a script ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// By itself.
    Status(ExitStatus),
    /// It took longer than this, and was ended.
    TimedOut(Duration),
    /// It could not be started.
    NotStarted(String),
}

impl Ran {
    /// Did it do what it should?
    pub fn succeeded(&self) -> bool {
        matches!(self.end, End::Status(status) if status.success())
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.end {
            End::Status(status) => write!(f, "{status}")?,
            End::TimedOut(limit) => write!(f, "took longer than {} s and was ended", limit.as_secs_f64())?,
            End::NotStarted(why) => write!(f, "could not be started: {why}")?,
        }
        let said = self.output.trim();
        if said.is_empty() { Ok(()) } else { write!(f, "; it said: {said}") }
    }
}

/// Ends a process group when it goes out of scope, whatever the reason.
struct Group(Option<Pid>);

impl Group {
    fn signal(&self, signal: Signal) {
        // No such group: they have all ended, which is what is wanted.
        self.0.map(|pid| kill_process_group(pid, signal).ok());
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Runs a script to its end. Dropping the future ends it too.
pub async fn run(job: Job<'_>) -> Ran {
    let not_started = |error: std::io::Error| Ran { end: End::NotStarted(error.to_string()), output: String::new() };
    let (reader, mut command) = match prepare(&job) {
        Ok(ready) => ready,
        Err(error) => return not_started(error),
    };
    let said = Arc::new(Mutex::new(Vec::new()));
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return not_started(error),
    };
    // With the command go our ends of the pipe: the reader sees the end of it when the script's processes have ended.
    drop(command);
    let group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
    let listener = tokio::spawn(listen(reader, Arc::clone(&said)));
    let status = match tokio::time::timeout(job.time_limit, child.wait()).await {
        Ok(status) => Some(status),
        Err(_) => {
            group.signal(Signal::TERM);
            // It may still end in good order, but it was too late all the same.
            drop(tokio::time::timeout(job.grace, child.wait()).await);
            None
        }
    };
    drop(group);
    if let Some(mark) = job.mark {
        end_marked(mark).await;
    }
    if status.is_none() {
        drop(child.wait().await);
    }
    let abort = listener.abort_handle();
    if tokio::time::timeout(OUTPUT_WAIT, listener).await.is_err() {
        abort.abort();
    }
    let output = String::from_utf8_lossy(&said.lock().unwrap_or_else(PoisonError::into_inner)).into_owned();
    let end = match status {
        Some(Ok(status)) => End::Status(status),
        Some(Err(error)) => End::NotStarted(error.to_string()),
        None => End::TimedOut(job.time_limit),
    };
    Ran { end, output }
}

fn prepare(job: &Job<'_>) -> std::io::Result<(pipe::Receiver, tokio::process::Command)> {
    let (reader, writer) = std::io::pipe()?;
    let reader = pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
    let mut command = tokio::process::Command::new(job.program);
    command
        .current_dir(job.folder)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .envs(job.environment.iter().map(|(name, value)| (*name, value.as_str())))
        .envs(job.mark.map(|mark| (MARK, mark)))
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    Ok((reader, command))
}

/// Keeps the last bytes that come; the rest is read and thrown away, so that a talkative script does not stand still.
async fn listen(mut reader: pipe::Receiver, said: Arc<Mutex<Vec<u8>>>) {
    let mut piece = vec![0; 4096];
    while let Ok(n @ 1..) = reader.read(&mut piece).await {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.extend_from_slice(&piece[..n]);
        let surplus = said.len().saturating_sub(OUTPUT_BYTES_MAX);
        said.drain(..surplus);
    }
}

/// Kills every process whose mark begins with `mark`, and those they make meanwhile. Returns how many were killed.
pub async fn end_marked(mark: &str) -> usize {
    let mut killed = 0;
    for _ in 0..ROUNDS_MAX {
        let found = marked(mark);
        if found.is_empty() {
            break;
        }
        for pid in found {
            killed += usize::from(kill_process(pid, Signal::KILL).is_ok());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    killed
}

/// Living processes with the mark; those of other users cannot be looked into, and are none of ours.
fn marked(mark: &str) -> Vec<Pid> {
    let wanted = format!("{MARK}={mark}");
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let ours = pids.filter(|pid| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(wanted.as_bytes()))
    });
    ours.filter_map(Pid::from_raw).collect()
}
