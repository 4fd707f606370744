//! `slacktide serve` and people who speak to it, mistakes included: what it says before it starts, and what is said when it cannot be reached.

use crate::{refused, slacktide};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// An authority, a controller, olive who operates and ada who approves, an empty repository, two devices. The controller ends with the test.
pub(crate) struct Ground {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) ports: [u16; 4],
    controller: Option<Child>,
}

impl Drop for Ground {
    fn drop(&mut self) {
        if let Some(child) = &mut self.controller {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Ground {
    pub(crate) fn new() -> Self {
        // All at once, or the system may give the same one twice.
        let free = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = free.each_ref().map(|listener| listener.local_addr().unwrap().port());
        let ground = Self { dir: tempfile::tempdir().unwrap(), ports, controller: None };
        ground.done("pki init --dir pki --trust-domain small.example");
        ground.done("pki issue --dir pki --controller main --host 127.0.0.1 --out controller");
        ground.done("pki issue --dir pki --operator olive --role operator --out olive");
        ground.done("pki issue --dir pki --operator ada --role approver --out ada");
        ground.done("package init --repository repo --root-keys offline --keys keys");
        ground.write("fleet.csv", "device_id,pool,region,version\none,shop,here,1.0\ntwo,shop,here,1.0\n");
        let [devices, enrolment, metrics, dashboard] = ports;
        let at = |name: &str, port: u16| format!("{name} = \"127.0.0.1:{port}\"\n");
        let listen =
            [at("devices", devices), at("enrolment", enrolment), at("metrics", metrics), at("dashboard", dashboard)];
        let rest = "[trust]\nidentity = \"controller\"\nauthority = \"pki\"\nsigns = true\n[store]\npath = \"controller.db\"\n[fleet]\n\
                    file = \"fleet.csv\"\n[policy]\nname = \"predictive\"\n[packages]\nrepository = \"repo\"\n[sign_off]\nrequired = false\n\
                    [people]\ntwo_persons = false\n[telemetry]\nmetrics = [\"cpu\", \"memory\"]\n";
        ground.write("controller.toml", &format!("[listen]\n{}{rest}", listen.concat()));
        ground
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    pub(crate) fn done(&self, line: &str) -> String {
        let output = slacktide(&line.split(' ').collect::<Vec<_>>(), self.path());
        assert_eq!(output.status.code(), Some(0), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(crate) fn refused(&self, line: &str, names: &[&str]) {
        refused(&line.split(' ').collect::<Vec<_>>(), self.path(), names);
    }

    /// The configuration with something else in the place of something.
    fn with(&self, old: &str, new: &str) {
        let text = fs::read_to_string(self.path().join("controller.toml")).unwrap();
        assert!(text.contains(old), "{old}");
        self.write("other.toml", &text.replacen(old, new, 1));
    }

    /// Starts the controller and waits until it listens.
    pub(crate) fn serve(&mut self) {
        let log = fs::File::create(self.path().join("controller.log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_slacktide"));
        command.args(["serve", "--config", "controller.toml"]).current_dir(self.path());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        self.controller = Some(child);
        assert!(
            line.contains("\"listens\"") && line.contains(&format!("\"enrolment\":\"127.0.0.1:{}\"", self.ports[1])),
            "{line}"
        );
    }

    /// As a power loss.
    pub(crate) fn kill(&mut self) {
        let mut child = self.controller.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_check_reads_all_that_a_start_reads() {
    let ground = Ground::new();
    assert_eq!(
        ground.done("serve --config controller.toml --check"),
        "good: 2 devices, policy predictive, a new store\n"
    );
    assert!(!ground.path().join("controller.db").exists(), "a check makes nothing");
    fs::create_dir(ground.path().join("empty")).unwrap();
    for (old, new, names) in [
        (
            "repository = \"repo\"",
            "repository = \"rep\"",
            &["packages.repository rep", "no package repository", "package init"][..],
        ),
        ("repository = \"repo\"", "repository = \"empty\"", &["packages.repository empty", "no package repository"]),
        ("identity = \"controller\"", "identity = \"olive\"", &["olive/certificate.pem"]),
        ("authority = \"pki\"", "authority = \"keys\"", &["keys/authorities.pem"]),
        (
            "path = \"controller.db\"",
            "path = \"absent/controller.db\"",
            &["absent/controller.db", "there is no folder absent"],
        ),
        ("path = \"controller.db\"", "path = \"fleet.csv\"", &["store fleet.csv"]),
        ("\"memory\"]", "\"memry\"]", &["telemetry.metrics", "memry", "did you mean `memory`?"]),
    ] {
        ground.with(old, new);
        ground.refused("serve --config other.toml --check", names);
        // A start says the same, and neither listens nor leaves a store behind.
        ground.refused("serve --config other.toml", &names[..1]);
    }
    let [devices, enrolment, ..] = ground.ports;
    ground.with(&enrolment.to_string(), &devices.to_string());
    ground.refused("serve --config other.toml --check", &["listen.enrolment", "meets `listen.devices`"]);
}

#[test]
fn a_check_holds_policy_and_metrics_against_the_store() {
    let mut ground = Ground::new();
    ground.serve();
    let said = ground.done("serve --config controller.toml --check");
    assert!(said.contains("in use by a controller that runs"), "{said}");
    ground.refused("serve --config controller.toml", &["127.0.0.1", "listen.devices", "Address already in use"]);
    let export = "journal export controller.db j.jsonl";
    ground.refused(export, &["controller.db is in use by a controller that runs", "--controller HOST:PORT"]);
    ground.kill();
    for verb in ["journal verify", "journal show", "replay", "twin"] {
        ground.refused(
            &format!("{verb} controller.db"),
            &["controller.db is a controller's store", "journal export controller.db"],
        );
    }
    ground.done("journal export controller.db j.jsonl");
    ground.done("journal verify j.jsonl");
    let said = ground.done("serve --config controller.toml --check");
    assert_eq!(said, "good: 2 devices, policy predictive, the store goes on\n");
    ground.with("name = \"predictive\"", "name = \"cautious\"");
    ground.refused("serve --config other.toml --check", &["controller.db", "begun with other policy"]);
    ground.with("\"cpu\", \"memory\"", "\"cpu\"");
    ground.refused("serve --config other.toml --check", &["controller.db", "begun with other metrics"]);
}

#[test]
fn no_door_opens_when_one_is_taken() {
    let ground = Ground::new();
    for (door, port) in ["devices", "enrolment", "metrics", "dashboard"].into_iter().zip(ground.ports) {
        let _taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let output = slacktide(&["serve", "--config", "controller.toml"], ground.path());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{said}");
        let wanted = format!("slacktide: cannot listen at 127.0.0.1:{port} (listen.{door}): Address already in use");
        assert!(said.contains(&wanted) && said.matches("already in use").count() == 1, "{said}");
    }
    assert!(!ground.path().join("controller.db").exists());
}

/// `to` is the address, with or without https.
fn ask(what: &str, to: &str, who: &str) -> String {
    format!("rollout {what} --controller {to} --identity {who}")
}

#[test]
fn whoever_gets_no_answer_hears_where_and_what_to_look_at() {
    let mut ground = Ground::new();
    let [devices, enrolment, ..] = ground.ports.map(|port| format!("127.0.0.1:{port}"));
    ground.refused(
        &ask("status", &devices, "olive"),
        &["cannot connect to", &devices, "Connection refused", "does the controller run"],
    );
    ground.refused(&ask("pause x", &devices, "olive"), &["must be the number of a rollout"]);
    ground.refused(&ask("status", "nowhere", "olive"), &["nowhere", "HOST:PORT"]);
    ground.serve();
    // Host and port alone are enough.
    assert_eq!(
        ground.done(&ask("status", &devices, "olive")),
        ground.done(&ask("status", &format!("https://{devices}"), "olive"))
    );
    ground.done(&format!("journal export --controller {devices} --identity olive j.jsonl"));
    ground.refused(&ask("status", &enrolment, "olive"), &[&enrolment, "another of the controller's addresses"]);
    let token = ground.done("pki token --dir pki --device one --bare");
    let enrol = format!(
        "agent enrol --controller {devices} --authority pki/authorities.pem --token {} --dir one",
        token.trim()
    );
    ground.refused(&enrol, &[&devices, "listen.enrolment"]);
    ground.done("pki issue --dir pki --operator eve --role viewer --out eve");
    ground.done("pki issue --dir pki --operator old --role viewer --valid 1s --out old");
    ground.done("pki revoke --dir pki operator/viewer/eve");
    std::thread::sleep(std::time::Duration::from_millis(2500));
    ground.refused(&ask("status", &devices, "eve"), &[&devices, "certificate in eve", "revoked"]);
    ground.refused(&ask("status", &devices, "old"), &[&devices, "the certificate in old ended at"]);
}

#[test]
fn a_watch_says_that_its_controller_went_away() {
    let mut ground = Ground::new();
    ground.serve();
    let to = format!("127.0.0.1:{}", ground.ports[0]);
    let arguments = ask("watch", &to, "olive");
    let mut command = Command::new(env!("CARGO_BIN_EXE_slacktide"));
    command.args(arguments.split(' ')).current_dir(ground.path()).stdin(Stdio::null());
    let mut watch = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap());
    lines.read_line(&mut String::new()).unwrap();
    ground.kill();
    let ended = watch.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("no answer from {to}")) && said.contains("it may have gone away"), "{said}");
}

#[test]
fn a_target_that_fits_nobody_is_refused() {
    let mut ground = Ground::new();
    let example = format!("{}/../examples/package", env!("CARGO_MANIFEST_DIR"));
    ground.done(&format!("package build {example}"));
    ground.done("package sign greeting-1.1.stp --repository repo --keys keys");
    ground.serve();
    let to = format!("127.0.0.1:{}", ground.ports[0]);
    let create = ask("create greeting 1.1 --target region==\"north\"", &to, "olive");
    ground.refused(&create, &["region == \"north\"", "none of the 2 devices"]);
    ground.done(&ask("create greeting 1.1 --target region==\"here\"", &to, "olive"));
    ground.done(&ask("approve 0", &to, "ada"));
    // A rollout is for the devices that have called by its start.
    ground.refused(&ask("start 0", &to, "olive"), &["none of the devices that rollout 0 is for has called yet"]);
}
