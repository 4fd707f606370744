//! From a simulation to a signed-off, staged rollout of ten devices, as real processes on the loopback; and what a controller refuses or
//! stops on the way.

use crate::slacktide;
use serde_json::Value;
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const DEVICES: usize = 10;
/// So long only when a machine is very busy.
const PATIENCE: Duration = Duration::from_secs(180);

const POLICY: &str = r#"name = "staged"
summary = "one device, some, then all, in slots of ten seconds"
[plan]
slot = "10s"
horizon = "1h"
basis = "current"
duration_expected = "1m"
pool_out_max = 4
[[waves]]
share_percent = 1
devices_min = 1
soak = "5s"
[[waves]]
share_percent = 40
soak = "5s"
[[waves]]
share_percent = 100
[monitor]
lookahead = "0s"
false_alarm_rate = "off"
capacity_floor = "off"
failure_count_min = 3
failure_percent_max = 20
[attempts]
attempts_max = 1
timeout = "5m"
"#;

const WORLD: &str = r#"name = "ten"
summary = "ten devices of one pool under a moderate load"
devices = 10
tick = "10s"
history = "1h"
until_max = "2h"
[[pools]]
name = "shop"
pool_size = 10
load = { base_percent = 30, daily_amplitude_percent = 5, noise_percent = 3, burst_rate_per_day = 0 }
[package]
version = "2.0"
[updates]
check_in = "2s"
drain = { median = "1s", sigma = 0.2 }
install = { median = "12s", sigma = 0.2 }
reboot = { median = "1s", sigma = 0.2 }
verify = { median = "2s", sigma = 0.2 }
[failures]
install_failure_percent = 1
"#;

/// Whatever was started; ended with the test, however that ends.
struct Fleet {
    dir: tempfile::TempDir,
    started: Vec<Child>,
    ports: [u16; 2],
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for child in &mut self.started {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

impl Fleet {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, contents: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    /// What it prints; its end must be this.
    fn run(&self, line: &str, code: i32) -> String {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        let output = slacktide(&arguments, self.dir.path());
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{line}: {said}\n{}", self.log("controller.log"));
        said
    }

    fn rollout(&self, line: &str, who: &str, code: i32) -> String {
        self.run(&self.asked(line, who), code)
    }

    fn asked(&self, line: &str, who: &str) -> String {
        format!("rollout {line} --controller https://127.0.0.1:{} --identity {who}", self.ports[0])
    }

    fn log(&self, name: &str) -> String {
        let all = fs::read_to_string(self.path(name)).unwrap_or_default();
        let lines: Vec<&str> = all.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn start(&mut self, program: &str, arguments: &[&str], log: &str) {
        let log = fs::File::create(self.path(log)).unwrap();
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.dir.path()).stdin(Stdio::null());
        self.started.push(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
    }

    fn until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let began = Instant::now();
        while !is_so(self) {
            if began.elapsed() > PATIENCE {
                let status = slacktide(&self.asked("status", "olive").split(' ').collect::<Vec<_>>(), self.dir.path());
                panic!("{what} does not come\n{}\n{}", text(&status.stdout), self.log("controller.log"));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.rollout("status --json", "olive", 0)).unwrap()
    }

    /// A controller, its people, an empty repository, ten devices.
    fn prepare() -> Self {
        let fleet = Self { dir: tempfile::tempdir().unwrap(), started: Vec::new(), ports: [free_port(), free_port()] };
        fleet.run("pki init --dir pki --trust-domain ten.example", 0);
        fleet.run("pki issue --dir pki --controller main --host 127.0.0.1 --out controller", 0);
        fleet.run("pki issue --dir pki --operator olive --role operator --out olive", 0);
        fleet.run("pki issue --dir pki --operator ada --role approver --out ada", 0);
        fleet.run("package init --repository repo --root-keys offline --keys keys", 0);
        let rows: String = (0..DEVICES).map(|n| format!("d{n},shop,here,1.0\n")).collect();
        fleet.write("fleet.csv", &format!("device_id,pool,region,version\n{rows}"));
        fleet.write("policy.toml", POLICY);
        fleet.write("world.toml", WORLD);
        let [devices, metrics] = fleet.ports;
        fleet.write(
            "controller.toml",
            &format!(
                "name = \"ten\"\n[listen]\ndevices = \"127.0.0.1:{devices}\"\nmetrics = \"127.0.0.1:{metrics}\"\n[trust]\nidentity = \"controller\"\n\
                 authority = \"pki\"\n[fleet]\nfile = \"fleet.csv\"\n[policy]\nfile = \"policy.toml\"\n[packages]\nrepository = \"repo\"\n\
                 [telemetry]\ntick = \"2s\"\nreport_every = \"1s\"\n"
            ),
        );
        fleet.write("load.csv", "cpu,memory,network,disk\n31,40,8,5\n34,41,9,4\n29,41,7,6\n");
        fleet
    }

    /// An archive of this version whose installation takes so long, in a folder.
    fn pack(&self, folder: &str, version: &str, takes_s: u32) {
        let source = format!("{folder}/source-{version}");
        let manifest = format!(
            "name = \"app\"\nversion = \"{version}\"\n[scripts]\ninstall = \"install.sh\"\n[time_limits]\ninstall = \"2m\"\n"
        );
        self.write(&format!("{source}/package.toml"), &manifest);
        let script = format!("#!/bin/sh\nset -eu\nsleep {takes_s}\nmkdir -p run\necho {version} > run/version\n");
        self.write(&format!("{source}/install.sh"), &script);
        let path = self.path(&format!("{source}/install.sh"));
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        self.run(&format!("package build {source} --out {folder}/app-{version}.stp"), 0);
    }

    /// A sign-off that olive made and ada agrees to.
    fn sign_off(&self, out: &str, package: &str, policy: &str, valid: &str) {
        let about =
            format!("--policy {policy} --package {package} --fleet fleet.csv --scenario world.toml --chaos-worlds 2");
        let limits = "--limit overload_caused_device_minutes<=1 --limit tightest_pool_percent<=90";
        self.run(&format!("sign-off create {about} {limits} --valid {valid} --identity olive --out {out}"), 0);
        self.run(&format!("sign-off sign {out} --identity ada"), 0);
    }

    fn serve(&mut self) {
        self.start(env!("CARGO_BIN_EXE_slacktide"), &["serve", "--config", "controller.toml"], "controller.log");
        self.until("the controller", |fleet| fleet.log("controller.log").contains("\"listens\""));
        for n in 0..DEVICES {
            let name = format!("d{n}");
            self.run(&format!("pki issue --dir pki --device {name} --out {name}/identity"), 0);
            fs::copy(self.path("repo/metadata/1.root.json"), self.path(&format!("{name}/identity/package-root.json")))
                .unwrap();
            let config =
                format!("controller = \"https://127.0.0.1:{}\"\nversion = \"1.0\"\nperiod = \"1s\"\n", self.ports[0]);
            self.write(&format!("{name}/agent.toml"), &config);
            let path = format!("{name}/agent.toml");
            let arguments = ["--config", &path, "--simulate-load", "csv:load.csv"];
            self.start(env!("CARGO_BIN_EXE_slacktide-agent"), &arguments, &format!("{name}.log"));
        }
        self.until("every device", |fleet| fleet.status()["devices_connected"] == DEVICES);
    }

    /// Devices that run this version, by what lies on their disks.
    fn running(&self, version: &str) -> usize {
        let runs = |n: &usize| {
            let said = fs::read_to_string(self.path(&format!("d{n}/slots/active/run/version")));
            said.is_ok_and(|said| said.trim() == version)
        };
        (0..DEVICES).filter(runs).count()
    }

    fn state(&self, rollout: usize) -> String {
        self.status()["rollouts"][rollout]["state"].as_str().unwrap().to_owned()
    }

    fn journal(&self, out: &str) -> Vec<Value> {
        let to = format!("--controller https://127.0.0.1:{} --identity olive", self.ports[0]);
        self.run(&format!("journal export {to} {out}"), 0);
        fs::read_to_string(self.path(out)).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn of_kind<'a>(journal: &'a [Value], kind: &str) -> Vec<&'a Value> {
    journal.iter().map(|line| &line["entry"]).filter(|entry| entry["kind"] == kind).collect()
}

#[test]
fn what_was_simulated_and_signed_goes_live_and_nothing_else_does() {
    let mut fleet = Fleet::prepare();
    fleet.pack(".", "1.1", 0);
    fleet.pack("elsewhere", "1.1", 1);
    fleet.pack(".", "1.2", 32);
    fleet.run("package sign app-1.1.stp app-1.2.stp --repository repo --keys keys", 0);
    let said = fleet.run("simulate world.toml --policy policy.toml", 0);
    assert!(said.contains("10 of 10 devices run the new release"), "{said}");
    fleet.sign_off("short.toml", "app-1.2.stp", "policy.toml", "1m");
    let short_ends = Instant::now() + Duration::from_secs(61);
    fleet.sign_off("good.toml", "app-1.1.stp", "policy.toml", "7d");
    fleet.sign_off("next.toml", "app-1.2.stp", "policy.toml", "7d");
    fleet.sign_off("elsewhere.toml", "elsewhere/app-1.1.stp", "policy.toml", "7d");
    fleet.write("changed.toml", &POLICY.replace("pool_out_max = 4", "pool_out_max = 3"));
    fleet.sign_off("changed-policy.toml", "app-1.1.stp", "changed.toml", "7d");
    fleet.serve();

    // Refused, and why: another archive of the same name and version, another policy, one byte, none at all.
    refusals(&fleet);
    fleet.rollout("create app 1.1 --sign-off good.toml", "olive", 0);
    fleet.rollout("approve 0", "ada", 0);
    fleet.rollout("start 0", "olive", 0);
    fleet.until("the end of the rollout", |fleet| fleet.state(0) == "finished");
    assert_eq!(fleet.running("1.1"), DEVICES);

    // Its days were good when the rollout was created, and are over when it is to start. A new one helps.
    if Instant::now() < short_ends {
        fleet.rollout("create app 1.2 --sign-off short.toml", "olive", 0);
        std::thread::sleep(short_ends.saturating_duration_since(Instant::now()));
    } else {
        let said = fleet.rollout("create app 1.2 --sign-off short.toml", "olive", 2);
        assert!(said.contains("(expired)"), "{said}");
        fleet.rollout("create app 1.2", "olive", 0);
    }
    fleet.rollout("approve 1", "ada", 0);
    let said = fleet.rollout("start 1 --sign-off short.toml", "olive", 2);
    assert!(said.contains("the sign-off is refused (expired): it expired at"), "{said}");
    fleet.rollout("start 1 --sign-off next.toml", "olive", 0);

    // 1.2 installs, but takes three times as long as in any simulated run: the guard pauses what no failure would stop.
    fleet.until("the guard", |fleet| fleet.state(1) == "paused");
    let status = fleet.status();
    assert_eq!(status["rollouts"][1]["cause"], "divergence", "{status}");
    assert!(fleet.running("1.2") < DEVICES / 2, "{status}");
    let journal = fleet.journal("live.jsonl");
    looks_at(&fleet, &journal);
}

fn refusals(fleet: &Fleet) {
    let refused = |sign_off: &str, reason: &str| {
        let said = fleet.rollout(&format!("create app 1.1 --sign-off {sign_off}"), "olive", 2);
        assert!(said.contains(reason), "{sign_off}: {said}");
    };
    refused("elsewhere.toml", "the sign-off is refused (wrong-package): it holds for the package");
    refused("changed-policy.toml", "(wrong-policy): it holds for the policy");
    let edited = fs::read_to_string(fleet.path("good.toml")).unwrap().replace("bound = 90.0", "bound = 91.0");
    fleet.write("edited.toml", &edited);
    refused("edited.toml", "(edited)");
    assert!(fleet.status()["rollouts"].as_array().unwrap().is_empty(), "what is refused leaves nothing");
    assert!(DEVICES > fleet.running("1.1"));
}

/// The journal alone tells it all again.
fn looks_at(fleet: &Fleet, journal: &[Value]) {
    let waves: Vec<(u64, u64)> = of_kind(journal, "wave-opened")
        .iter()
        .filter(|wave| wave["rollout"] == 0)
        .map(|wave| (wave["wave"].as_u64().unwrap(), wave["devices"].as_u64().unwrap()))
        .collect();
    assert_eq!(waves, [(0, 1), (1, 3), (2, 6)], "a canary, then waves");
    let good = fs::read_to_string(fleet.path("good.toml")).unwrap();
    let is_good = |entry: &&&Value| entry["input"]["sign_off"]["text"] == good.as_str();
    assert_eq!(of_kind(journal, "input").iter().filter(is_good).count(), 1, "the sign-off stands in it, whole");
    let verdicts = of_kind(journal, "verdict");
    let verdict = verdicts.iter().find(|verdict| verdict["cause"] == "divergence").unwrap();
    assert!(verdict["evidence"].as_str().unwrap().starts_with("install_p99_s is 3"), "{verdict}");
    assert!(verdicts.iter().all(|verdict| verdict["cause"] != "failure-threshold"));
    let said = fleet.run("replay live.jsonl", 0);
    assert!(said.contains("identical") || said.contains("the same"), "{said}");
    fleet.run("journal verify live.jsonl", 0);
    fleet.run("report live.jsonl --out live.html", 0);
    let page = fs::read_to_string(fleet.path("live.html")).unwrap();
    assert!(page.contains("divergence") && page.contains("<svg "), "the page of a live journal");
}
