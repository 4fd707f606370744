//! The files of an installation in one folder: an authority, people, devices with their identities, and a repository of signed packages
//! whose scripts write down that they ran.

use slacktide_engine::time::Instant;
use slacktide_live_bridge::package::{Expiries, KeyFolder, Repository, archive};
use slacktide_live_bridge::trust::authority::Subject;
use slacktide_live_bridge::trust::{
    Authority, ClientFiles, ClientTrust, Identity, Lifetimes, Role, ServerFiles, ServerTrust,
};
use slacktide_live_bridge::wire::operator_client::OperatorClient;
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tonic::transport::Channel;

/// Bytes of ballast in a package, so that a download takes several chunks and may break off between them.
const BALLAST: usize = 120_000;

pub(crate) struct Ground {
    pub(crate) root: PathBuf,
    /// Gone with it, unless somebody else made the folder.
    _folder: Option<tempfile::TempDir>,
}

pub(crate) fn name(device: usize) -> String {
    format!("d{device}")
}

fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

impl Ground {
    /// What another process has made.
    pub(crate) fn at(root: &Path) -> Self {
        Self { root: root.to_owned(), _folder: None }
    }

    /// Everything new, with so many devices that run release 1.0 and no package yet.
    pub(crate) async fn new(devices: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ground = Self { root: folder.path().to_owned(), _folder: Some(folder) };
        let domain = "fleet.test".parse().unwrap();
        let authority = Authority::init(&ground.path("pki"), &domain, Lifetimes::default()).unwrap();
        ground.issue(&authority, "controller", Identity::Controller("main".to_owned()));
        for (person, role) in [("olga", Role::Operator), ("anna", Role::Approver), ("vera", Role::Viewer)] {
            ground.issue(&authority, person, Identity::Operator { name: person.to_owned(), role });
        }
        let (offline, keys) = (ground.keys("offline"), ground.keys("keys"));
        let root = ground.repository().init(&offline, &keys, &Expiries::default(), now()).await.unwrap();
        for device in (0..devices).map(name) {
            ground.issue(&authority, &format!("{device}/identity"), Identity::Device(device.clone()));
            fs::copy(&root, ground.path(&device).join("identity/package-root.json")).unwrap();
            let log = ground.log_line("restart $(readlink slots/active)");
            let hook =
                format!("cd {}/{device}; SLACKTIDE_DEVICE={device}; {log}{}", ground.shown(), ground.gate("restart"));
            script(&ground.path(&device).join("restart"), &hook);
        }
        ground
    }

    pub(crate) fn issue(&self, authority: &Authority, folder: &str, identity: Identity) {
        let is_called = matches!(identity, Identity::Controller(_));
        let subject = Subject::new(identity);
        let subject = if is_called { subject.at(&["127.0.0.1"]) } else { subject };
        let new = authority.issue(&subject).unwrap();
        let files = ClientFiles::in_folder(&self.path(folder));
        files.write_new(&new.key, &new.issued.certificate, &authority.authorities_pem().unwrap()).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn shown(&self) -> std::path::Display<'_> {
        self.root.display()
    }

    pub(crate) fn repository(&self) -> Repository {
        Repository::new(self.path("repository"))
    }

    fn keys(&self, folder: &str) -> KeyFolder {
        KeyFolder::new(self.path(folder))
    }

    pub(crate) fn authority(&self) -> Arc<Authority> {
        Arc::new(Authority::open(&self.path("pki")).unwrap())
    }

    pub(crate) fn server_trust(&self) -> Arc<ServerTrust> {
        ServerTrust::open(ServerFiles::in_folders(&self.path("controller"), &self.path("pki"))).unwrap()
    }

    /// What a person or a device shows at the door.
    pub(crate) fn client(&self, who: &str) -> Arc<ClientTrust> {
        ClientTrust::open(ClientFiles::in_folder(&self.path(who))).unwrap()
    }

    /// A person at the door.
    pub(crate) fn person(&self, who: &str, address: SocketAddr) -> OperatorClient<Channel> {
        OperatorClient::new(self.client(who).channel(&format!("https://{address}")).unwrap())
    }

    /// Shell words that write a line to the log of the scripts.
    fn log_line(&self, words: &str) -> String {
        format!("echo \"$SLACKTIDE_DEVICE {words}\" >> {}/scripts.log\n", self.shown())
    }

    /// Shell words that wait while this gate of the device is closed.
    fn gate(&self, gate: &str) -> String {
        let file = format!("{}/$SLACKTIDE_DEVICE/{gate}.closed", self.shown());
        format!("n=0; while [ -e {file} ] && [ $n -lt 1500 ]; do sleep 0.02; n=$((n+1)); done\n")
    }

    pub(crate) fn close_gate(&self, device: usize, gate: &str) {
        fs::write(self.path(&name(device)).join(format!("{gate}.closed")), "").unwrap();
    }

    pub(crate) fn open_gate(&self, device: usize, gate: &str) {
        fs::remove_file(self.path(&name(device)).join(format!("{gate}.closed"))).unwrap();
    }

    /// From now on no release but the first does its work on this device.
    pub(crate) fn make_ill(&self, device: usize) {
        fs::write(self.path(&name(device)).join("ill"), "").unwrap();
    }

    /// Builds, signs and publishes a release of `app`.
    pub(crate) async fn publish(&self, version: &str) {
        let source = self.path(&format!("source-{version}"));
        fs::create_dir_all(source.join("bin")).unwrap();
        let scripts = "[scripts]\nprecheck = \"precheck.sh\"\ninstall = \"install.sh\"\nhealth = \"health.sh\"\n";
        fs::write(source.join("package.toml"), format!("name = \"app\"\nversion = \"{version}\"\n{scripts}")).unwrap();
        fs::write(source.join("bin/app"), version).unwrap();
        // Of the kind that does not pack well.
        let noise = (0..BALLAST as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8);
        fs::write(source.join("ballast"), noise.collect::<Vec<u8>>()).unwrap();
        let ran = |kind: &str| self.log_line(&format!("{kind} $SLACKTIDE_ATTEMPT $SLACKTIDE_VERSION"));
        script(&source.join("precheck.sh"), &ran("precheck"));
        let install = format!("{}echo {version} > installed\n{}", ran("install"), self.gate("install"));
        script(&source.join("install.sh"), &install);
        let well = format!("[ ! -e {}/$SLACKTIDE_DEVICE/ill ]", self.shown());
        script(&source.join("health.sh"), &format!("{}{}{well}", ran("health"), self.gate("health")));
        let packed = self.path(&format!("app-{version}.stp"));
        archive::build(&source, &packed).unwrap();
        self.repository().publish(&[packed], &self.keys("keys"), &Expiries::default(), now()).await.unwrap();
    }

    /// Turns one bit of a published release, as somebody might who has the repository and not the keys.
    pub(crate) fn tamper_with(&self, version: &str) {
        let wanted = format!("app-{version}.stp");
        let targets = fs::read_dir(self.path("repository/targets")).unwrap().flatten();
        let target = targets.map(|file| file.path()).find(|path| path.to_string_lossy().ends_with(&wanted)).unwrap();
        let mut bytes = fs::read(&target).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(target, bytes).unwrap();
    }

    /// Writes the agent's file of a device that calls there.
    pub(crate) fn settle(&self, device: usize, address: SocketAddr) -> PathBuf {
        let text = format!(
            "controller = \"https://{address}\"\nversion = \"1.0\"\nperiod = \"1s\"\n[limits]\ngrace = \"300ms\"\nstop = \"2s\"\n\
             stall = \"2s\"\nconnect = \"4s\"\nask_every = \"4s\"\n[hooks]\nrestart = \"restart\"\n"
        );
        let path = self.path(&name(device)).join("agent.toml");
        fs::write(&path, text).unwrap();
        path
    }

    /// The release that can be seen on a device through its link; all of it must be of one release that was published.
    pub(crate) fn runs(&self, device: usize) -> String {
        let slots = self.path(&name(device)).join("slots");
        let Ok(slot) = fs::read_link(slots.join("active")) else { return "1.0".to_owned() };
        let app = fs::read_to_string(slots.join("active/bin/app")).unwrap();
        let described = fs::read_to_string(slots.join(slot).with_extension("json")).unwrap();
        assert!(described.contains(&format!("\"version\":\"{app}")), "{described} of {app}");
        assert_eq!(fs::read_to_string(slots.join("active/installed")).unwrap().trim(), app);
        for file in ["bin/app", "ballast", "install.sh", "health.sh"] {
            let published = fs::read(self.path(&format!("source-{app}")).join(file)).unwrap();
            assert_eq!(fs::read(slots.join("active").join(file)).unwrap(), published, "{file} of {app} on d{device}");
        }
        app
    }

    /// Lines of the scripts' log with these words in them.
    pub(crate) fn log(&self, words: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path("scripts.log")).unwrap_or_default();
        text.lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
    }

    /// No script but the health check, which is a question, ran twice for one attempt.
    pub(crate) fn nothing_ran_twice(&self) {
        let mut times: BTreeMap<String, u32> = BTreeMap::new();
        for line in self.log(" install ").into_iter().chain(self.log(" precheck ")) {
            *times.entry(line).or_default() += 1;
        }
        assert!(times.values().all(|n| *n == 1), "{times:?}");
    }
}

pub(crate) fn now() -> Instant {
    Instant::from_millis(slacktide_live_bridge::agent::now_ms())
}
