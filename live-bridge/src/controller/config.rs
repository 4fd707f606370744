//! The controller's configuration file.

use serde::Deserialize;
use slacktide_engine::document::{Document, InputError, Whole, nearest};
use slacktide_engine::time::Span;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What the file says, checked. Paths are taken from the file's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Name of the installation, for the journal (default `fleet`).
    pub name: String,
    /// Where devices and people connect (default `0.0.0.0:7443`).
    pub devices: SocketAddr,
    /// Where devices get their first certificate; nowhere when left out. Needs `trust.authority_keys`.
    pub enrolment: Option<SocketAddr>,
    /// Where Prometheus asks (default `127.0.0.1:9443`).
    pub metrics: SocketAddr,
    /// Where browsers of operators find the dashboard; nowhere when left out.
    pub dashboard: Option<SocketAddr>,
    /// Folder with `certificate.pem` and `key.pem` of the controller.
    pub identity: PathBuf,
    /// Folder with `authorities.pem` and `revocations.pem`.
    pub authority: PathBuf,
    /// The folder holds the authority's keys too, and this controller signs with them (default no).
    pub signs: bool,
    /// The store's file (default `controller.db`).
    pub store: PathBuf,
    /// The store stops growing at this size, MB, 1 to 1000000 (default: as large as the disk lets it). Full, it acknowledges nothing.
    pub store_mb_max: Option<u32>,
    /// The fleet file, CSV or TOML.
    pub fleet: PathBuf,
    /// Name or file of the policy (default `predictive`).
    pub policy: String,
    /// Folder of the package repository.
    pub packages: PathBuf,
    /// Reports are folded into telemetry this often, 1 s to 1 h (default 5m).
    pub tick: Span,
    /// Devices report this often, 1 s to 1 h (default 10s).
    pub report_every: Span,
    /// Names of the metrics that are planned with, of those that devices report (default cpu, memory, network, disk).
    pub metric_names: Vec<String>,
    /// Whoever creates a rollout may not approve it (default true).
    pub two_persons: bool,
    /// Nothing starts without a sign-off that fits (default true).
    pub sign_off_required: bool,
    /// A sign-off counts once so many people have signed it, 1 to 10 (default 2).
    pub sign_off_persons_min: u32,
    /// Messages a second of one device in the long run, 1 to 10000 (default 50).
    pub messages_per_s: u32,
    /// Devices call again this long after the controller has gone away, 100ms to 10m (default 5s).
    pub retry_after: Span,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    name: Option<String>,
    listen: Listen,
    trust: Trust,
    store: Store,
    fleet: Fleet,
    policy: PolicyName,
    packages: Packages,
    telemetry: Telemetry,
    people: People,
    sign_off: SignOff,
    limits: Limits,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Listen {
    devices: Option<String>,
    enrolment: Option<String>,
    metrics: Option<String>,
    dashboard: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Trust {
    identity: Option<String>,
    authority: Option<String>,
    signs: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Store {
    path: Option<String>,
    size_mb_max: Option<Whole>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Fleet {
    file: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PolicyName {
    name: Option<String>,
    file: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Packages {
    repository: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Telemetry {
    tick: Option<String>,
    report_every: Option<String>,
    metrics: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct People {
    two_persons: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SignOff {
    required: Option<bool>,
    persons_min: Option<Whole>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Limits {
    messages_per_s: Option<Whole>,
    retry_after: Option<String>,
}

/// What agents report, and OpenTelemetry becomes.
const METRICS: [&str; 4] = ["cpu", "memory", "network", "disk"];

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`InputError`] naming file, line, field, value and what would be right.
    pub fn read(path: &Path) -> Result<Self, InputError> {
        let text = std::fs::read_to_string(path).map_err(|error| InputError {
            source_name: path.display().to_string(),
            line: None,
            field: String::new(),
            value: String::new(),
            problem: format!("cannot be read: {error}"),
        })?;
        Self::parse(&path.display().to_string(), &text, path.parent().unwrap_or_else(|| Path::new("")))
    }

    /// Reads the text of a file that lies in `folder`.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn parse(source_name: &str, text: &str, folder: &Path) -> Result<Self, InputError> {
        Document::read(source_name, text, |file: File, document| settle(file, document, folder))
    }
}

fn settle(file: File, document: &Document, folder: &Path) -> Result<Config, InputError> {
    let path = |field: &str, given: Option<String>, default: Option<&str>| match given.as_deref().or(default) {
        Some("") => Err(document.error(field, "", "must be a path")),
        Some(text) => Ok(folder.join(text)),
        None => Err(document.error(field, "", "is missing: a path, taken from this file's folder")),
    };
    let enrolment = file.listen.enrolment.map(|text| address(document, "listen.enrolment", &text)).transpose()?;
    let dashboard = file.listen.dashboard.map(|text| address(document, "listen.dashboard", &text)).transpose()?;
    let signs = file.trust.signs.unwrap_or(false);
    if enrolment.is_some() && !signs {
        let problem = "needs `trust.signs = true`: only who holds the authority's keys can give certificates";
        return Err(document.error("listen.enrolment", "", problem));
    }
    let policy = match (file.policy.name, file.policy.file) {
        (Some(name), Some(_)) => {
            return Err(document.error("policy.name", name, "stands beside `file`: give one of them"));
        }
        (Some(name), None) => name,
        (None, Some(file)) => folder.join(file).display().to_string(),
        (None, None) => "predictive".to_owned(),
    };
    let span = |field: &str, given: Option<String>, default: &str, min: Span, max: Span| {
        document.span(field, given.as_deref().unwrap_or(default), min, max)
    };
    let store_mb_max = file.store.size_mb_max.map(|mb| document.whole_in_range("store.size_mb_max", mb, 1, 1_000_000));
    let (second, hour) = (Span::from_secs(1), Span::from_secs(3600));
    let persons = file.sign_off.persons_min.unwrap_or_else(|| Whole::from(2));
    let per_s = file.limits.messages_per_s.unwrap_or_else(|| Whole::from(50));
    let devices = file.listen.devices.as_deref().unwrap_or("0.0.0.0:7443");
    let metrics = file.listen.metrics.as_deref().unwrap_or("127.0.0.1:9443");
    let devices = address(document, "listen.devices", devices)?;
    let metrics = address(document, "listen.metrics", metrics)?;
    let doors = [
        ("listen.devices", Some(devices)),
        ("listen.enrolment", enrolment),
        ("listen.metrics", Some(metrics)),
        ("listen.dashboard", dashboard),
    ];
    apart(document, &doors.into_iter().filter_map(|(field, at)| Some((field, at?))).collect::<Vec<_>>())?;
    Ok(Config {
        name: name(document, file.name)?,
        devices,
        enrolment,
        metrics,
        dashboard,
        identity: path("trust.identity", file.trust.identity, None)?,
        authority: path("trust.authority", file.trust.authority, None)?,
        signs,
        store: path("store.path", file.store.path, Some("controller.db"))?,
        store_mb_max: store_mb_max.transpose()?,
        fleet: path("fleet.file", file.fleet.file, None)?,
        policy,
        packages: path("packages.repository", file.packages.repository, None)?,
        tick: span("telemetry.tick", file.telemetry.tick, "5m", second, hour)?,
        report_every: span("telemetry.report_every", file.telemetry.report_every, "10s", second, hour)?,
        metric_names: metric_names(document, file.telemetry.metrics)?,
        two_persons: file.people.two_persons.unwrap_or(true),
        sign_off_required: file.sign_off.required.unwrap_or(true),
        sign_off_persons_min: document.whole_in_range("sign_off.persons_min", persons, 1, 10)?,
        messages_per_s: document.whole_in_range("limits.messages_per_s", per_s, 1, 10_000)?,
        retry_after: span(
            "limits.retry_after",
            file.limits.retry_after,
            "5s",
            Span::from_millis(100),
            Span::from_secs(600),
        )?,
    })
}

fn name(document: &Document, given: Option<String>) -> Result<String, InputError> {
    let name = given.unwrap_or_else(|| "fleet".to_owned());
    if name.is_empty() || name.chars().count() > 64 {
        return Err(document.error("name", &name, "must have 1 to 64 characters"));
    }
    Ok(name)
}

fn address(document: &Document, field: &str, text: &str) -> Result<SocketAddr, InputError> {
    text.parse().map_err(|_| document.error(field, text, "must be an address and a port, such as 127.0.0.1:7443"))
}

/// Two doors cannot be one: the second would find its address taken only once the first is open.
fn apart(document: &Document, doors: &[(&str, SocketAddr)]) -> Result<(), InputError> {
    for (n, (field, at)) in doors.iter().enumerate() {
        let meets = |other: &SocketAddr| {
            let everywhere = at.ip().is_unspecified() || other.ip().is_unspecified();
            at.port() != 0 && at.port() == other.port() && (everywhere || at.ip() == other.ip())
        };
        if let Some((other, _)) = doors[..n].iter().find(|(_, other)| meets(other)) {
            return Err(document.error(field, at, format!("meets `{other}`: each needs a port of its own")));
        }
    }
    Ok(())
}

fn metric_names(document: &Document, given: Option<Vec<String>>) -> Result<Vec<String>, InputError> {
    let names = given.unwrap_or_else(|| METRICS.map(str::to_owned).to_vec());
    let field = "telemetry.metrics";
    if names.is_empty() {
        return Err(document.error(field, "[]", format!("must name at least one of {}", METRICS.join(", "))));
    }
    for (n, name) in names.iter().enumerate() {
        // Nobody would ever report it, and every device would wait for telemetry that never comes.
        if !METRICS.contains(&name.as_str()) {
            let hint = nearest(name, METRICS).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
            let problem = format!("no device reports such a metric; {hint}Devices report {}", METRICS.join(", "));
            return Err(document.error(field, name, problem));
        }
        if names[..n].contains(name) {
            return Err(document.error(field, name, "stands twice"));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "[trust]\nidentity = \"me\"\nauthority = \"ca\"\n[fleet]\nfile = \"fleet.csv\"\n[packages]\nrepository = \"repo\"\n";

    fn said(text: &str) -> String {
        Config::parse("c.toml", text, Path::new("/x")).unwrap_err().to_string()
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let config = Config::parse("c.toml", LEAST, Path::new("/x")).unwrap();
        assert_eq!(config.tick, Span::from_secs(300));
        assert_eq!(config.store, Path::new("/x/controller.db"));
        assert_eq!(config.metric_names.len(), 4);
        assert!(config.two_persons && config.sign_off_required && config.dashboard.is_none());
        assert_eq!(config.sign_off_persons_min, 2);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        assert!(said("").contains("trust.identity"));
        assert!(
            said(&format!("{LEAST}[telemetry]\ntick = \"10ms\"\n"))
                .starts_with("c.toml:9: field `telemetry.tick`: value `10ms`")
        );
        assert!(said(&format!("{LEAST}[listen]\ndevices = \"here\"\n")).contains("such as 127.0.0.1:7443"));
        assert!(said(&format!("{LEAST}[listen]\ndashboard = \"on\"\n")).contains("`listen.dashboard`: value `on`"));
        assert!(said(&format!("{LEAST}[listen]\ndevcies = \"here\"\n")).contains("did you mean `devices`?"));
        assert!(said(&format!("{LEAST}[listen]\nenrolment = \"127.0.0.1:1\"\n")).contains("trust.signs"));
        assert!(said(&format!("{LEAST}[limits]\nmessages_per_s = 0\n")).contains("1..=10000"));
        assert!(said(&format!("{LEAST}[sign_off]\npersons_min = 0\n")).contains("1..=10"));
        assert!(said(&format!("{LEAST}[telemetry]\nmetrics = [\"cpu\", \"cpu\"]\n")).contains("stands twice"));
    }

    #[test]
    fn a_metric_nobody_reports_is_told_the_nearest() {
        let told = said(&format!("{LEAST}[telemetry]\nmetrics = [\"cpu\", \"memry\"]\n"));
        assert!(told.starts_with("c.toml:9: field `telemetry.metrics`: value `memry`"), "{told}");
        assert!(told.contains("did you mean `memory`?"), "{told}");
        assert!(said(&format!("{LEAST}[telemetry]\nmetrics = [\"temperature\"]\n")).contains("cpu, memory"));
    }

    #[test]
    fn two_doors_at_one_port_are_named() {
        let listen = |text: &str| {
            let text = format!("{}[listen]\n{text}", LEAST.replace("[fleet]", "signs = true\n[fleet]"));
            Config::parse("c.toml", &text, Path::new("/x"))
        };
        let told = listen("devices = \"0.0.0.0:7443\"\nenrolment = \"127.0.0.1:7443\"\n").unwrap_err().to_string();
        assert!(told.contains("c.toml:11: field `listen.enrolment`: value `127.0.0.1:7443`"), "{told}");
        assert!(told.contains("`listen.devices`"), "{told}");
        assert!(listen("devices = \"127.0.0.1:7443\"\nenrolment = \"127.0.0.2:7443\"\n").is_ok());
        assert!(listen("devices = \"127.0.0.1:0\"\nmetrics = \"127.0.0.1:0\"\n").is_ok());
    }
}
