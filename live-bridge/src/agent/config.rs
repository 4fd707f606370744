//! The agent's file: what may stand in it, what is taken where it is silent, and what is a mistake.

use serde::Deserialize;
use slacktide_engine::document::{Document, InputError, Whole, format_span};
use slacktide_engine::time::Span;
use slacktide_engine::version::Version;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// An example with every field at its default, for `--help` and the documentation.
pub const EXAMPLE: &str = r#"controller = "https://fleet.example:7443"  # where the controller listens
identity = "identity"              # folder with key.pem, certificate.pem, authorities.pem and package-root.json, as enrolment makes it
state = "state"                    # what must survive a power loss; a few hundred KB and one package
slots = "slots"                    # the releases: slots/a, slots/b, and slots/active -> the one in use
version = "0.0.0"                  # what a device runs that never had a release from here
period = "60s"                     # of measuring and reporting, 1s to 1h; the controller may say otherwise
buffer_reports = 1440              # reports kept while cut off, 1..=100000; then the oldest go
# device_id = "…"                  # must be the certificate's; read from it when not given

[limits]
connect = "10s"                    # for a connection and its greeting
stall = "30s"                      # a download from which nothing comes is taken up anew
grace = "5s"                       # between asking a script to end and ending it
stop = "20s"                       # a script under way may end when the agent is to stop
ask_every = "1h"                   # ask for updates at least this often

[capacity]                         # what 100 % is, where the machine does not say
# network_bits_per_s = 1000000000  # default: the speed of each physical interface
# interfaces = ["eth0"]            # default: those with a device behind them, else all but lo
# disks = ["sda"]                  # default: all whole disks
# cgroup = "/sys/fs/cgroup/app"    # default: the limits of the container the agent runs in, if any

[hooks]                            # the device's own, not of a package
# restart = "/usr/local/bin/restart-app"  # starts the release in slots/active; may be run more than once
restart_time_limit = "60s"
"#;

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fragment {
    controller: String,
    device_id: Option<String>,
    #[serde(default = "identity")]
    identity: PathBuf,
    #[serde(default = "state")]
    state: PathBuf,
    #[serde(default = "slots")]
    slots: PathBuf,
    #[serde(default = "version")]
    version: String,
    period: Option<String>,
    buffer_reports: Option<Whole>,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    capacity: CapacityFragment,
    #[serde(default)]
    hooks: Hooks,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    connect: Option<String>,
    stall: Option<String>,
    grace: Option<String>,
    stop: Option<String>,
    ask_every: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CapacityFragment {
    network_bits_per_s: Option<f64>,
    interfaces: Option<Vec<String>>,
    disks: Option<Vec<String>>,
    cgroup: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hooks {
    restart: Option<PathBuf>,
    restart_time_limit: Option<String>,
}

fn identity() -> PathBuf {
    "identity".into()
}
fn state() -> PathBuf {
    "state".into()
}
fn slots() -> PathBuf {
    "slots".into()
}
fn version() -> String {
    "0.0.0".into()
}

/// What the agent works with. Paths are as seen from where the agent runs; those in the file are as seen from the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `https://HOST:PORT`; plain `http://` is for tests on one machine.
    pub controller: String,
    /// The device; empty where the certificate says it.
    pub device_id: String,
    /// Folder with key, certificate and roots.
    pub identity: PathBuf,
    /// Folder of the state.
    pub state: PathBuf,
    /// Folder of the slots.
    pub slots: PathBuf,
    /// What a device runs that never had a release from here.
    pub version: String,
    /// Of measuring and reporting.
    pub period: Duration,
    /// Reports kept while cut off.
    pub buffer_reports: usize,
    /// For a connection and its greeting.
    pub connect: Duration,
    /// A download from which nothing comes for so long is taken up anew.
    pub stall: Duration,
    /// Between asking a script to end and ending it.
    pub grace: Duration,
    /// A script under way gets so long when the agent is to stop.
    pub stop: Duration,
    /// Ask for updates at least this often.
    pub ask_every: Duration,
    /// What 100 % is.
    pub capacity: Capacity,
    /// Starts the release in the active slot.
    pub restart: Option<Hook>,
}

/// What 100 % is, where the machine does not say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Capacity {
    /// Of all interfaces together, each way.
    pub network_bits_per_s: Option<f64>,
    /// Interfaces to look at.
    pub interfaces: Option<Vec<String>>,
    /// Disks to look at.
    pub disks: Option<Vec<String>>,
    /// The control group whose limits are the machine's.
    pub cgroup: Option<PathBuf>,
}

/// A program of the device's owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The program.
    pub program: PathBuf,
    /// It is ended after this long.
    pub time_limit: Duration,
}

/// Shortest and longest period of reports.
pub const PERIOD_RANGE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

impl Settings {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// With file, line, field, value and what would be right.
    pub fn load(path: &Path) -> Result<Self, InputError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| InputError {
            source_name: name.clone(),
            line: None,
            field: String::new(),
            value: String::new(),
            problem: format!("cannot be read: {error}"),
        })?;
        Self::parse(&name, &text, path.parent().unwrap_or_else(|| Path::new("")))
    }

    /// Reads `text`; relative paths in it are as seen from `folder`.
    ///
    /// # Errors
    /// As for [`Self::load`].
    pub fn parse(source_name: &str, text: &str, folder: &Path) -> Result<Self, InputError> {
        Document::read(source_name, text, |given: Fragment, document| settle(given, document, folder))
    }
}

fn settle(given: Fragment, document: &Document, folder: &Path) -> Result<Settings, InputError> {
    let second = Span::from_secs(1);
    let hour = Span::from_secs(3600);
    let span = |field: &str, text: &Option<String>, default: Span, max: Span| {
        let text = text.clone().unwrap_or_else(|| format_span(default));
        document.span(field, &text, Span::from_millis(100), max).map(|span| Duration::from_millis(span.as_millis()))
    };
    controller(&given.controller, document)?;
    let as_it_came: Version = given
        .version
        .parse()
        .map_err(|_| document.error("version", &given.version, "must be a version such as 2.4 or 2.4.1"))?;
    let minute = Span::from_secs(60);
    let period_text = given.period.unwrap_or_else(|| format_span(minute));
    let period = document.span("period", &period_text, second, hour)?;
    let buffer_reports = match given.buffer_reports {
        Some(n) => document.whole_in_range("buffer_reports", n, 1, 100_000)?,
        None => 1440,
    };
    let network_bits_per_s = given
        .capacity
        .network_bits_per_s
        .map(|b| document.in_range("capacity.network_bits_per_s", b, 1e3, 1e13))
        .transpose()?;
    let time_limit = span("hooks.restart_time_limit", &given.hooks.restart_time_limit, minute, hour)?;
    let restart = given.hooks.restart.map(|program| Hook { program: folder.join(program), time_limit });
    Ok(Settings {
        controller: given.controller,
        device_id: given.device_id.unwrap_or_default(),
        identity: folder.join(given.identity),
        state: folder.join(given.state),
        slots: folder.join(given.slots),
        version: as_it_came.to_string(),
        period: Duration::from_millis(period.as_millis()),
        buffer_reports: buffer_reports as usize,
        connect: span("limits.connect", &given.limits.connect, Span::from_secs(10), hour)?,
        stall: span("limits.stall", &given.limits.stall, Span::from_secs(30), hour)?,
        grace: span("limits.grace", &given.limits.grace, Span::from_secs(5), hour)?,
        stop: span("limits.stop", &given.limits.stop, Span::from_secs(20), hour)?,
        ask_every: span("limits.ask_every", &given.limits.ask_every, hour, Span::from_secs(7 * 24 * 3600))?,
        capacity: Capacity {
            network_bits_per_s,
            interfaces: given.capacity.interfaces,
            disks: given.capacity.disks,
            cgroup: given.capacity.cgroup.map(|path| folder.join(path)),
        },
        restart,
    })
}

fn controller(address: &str, document: &Document) -> Result<(), InputError> {
    let uri = address.parse::<tonic::transport::Uri>().ok();
    let good = uri.is_some_and(|u| {
        matches!(u.scheme_str(), Some("http" | "https"))
            && u.host().is_some_and(|h| !h.is_empty())
            && u.port_u16().is_some()
    });
    let problem = "must be an address such as https://fleet.example:7443, with its port";
    if good { Ok(()) } else { Err(document.error("controller", address, problem)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, String> {
        Settings::parse("agent.toml", text, Path::new("/etc/slacktide")).map_err(|e| e.to_string())
    }

    #[test]
    fn the_example_says_what_the_defaults_are() {
        let short = parse("controller = \"https://fleet.example:7443\"").unwrap();
        assert_eq!(parse(EXAMPLE).unwrap(), short);
        assert_eq!(short.state, Path::new("/etc/slacktide/state"));
    }

    #[test]
    fn mistakes_are_named_with_line_field_value_and_range() {
        let base = "controller = \"https://h:1\"\n";
        for (line, wanted) in [
            ("period = \"0s\"", "agent.toml:2: field `period`: value `0s`: must be a time from 1s to 1h"),
            (
                "buffer_reports = 0",
                "agent.toml:2: field `buffer_reports`: value `0`: must be a whole number in 1..=100000",
            ),
            ("perod = \"1s\"", "period"),
            (
                "[capacity]\nnetwork_bits_per_s = -1",
                "agent.toml:3: field `capacity.network_bits_per_s`: value `-1`: must be a number in",
            ),
            ("[limits]\nstall = \"1\"", "agent.toml:3: field `limits.stall`"),
        ] {
            let error = parse(&format!("{base}{line}")).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
        assert!(parse("controller = \"fleet\"").unwrap_err().contains("with its port"));
    }
}
