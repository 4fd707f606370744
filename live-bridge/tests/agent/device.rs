//! A device in a folder, and what can be seen on its disk.

use super::controller::Controller;
use super::packages::Package;
use super::process::Agent;
use slacktide_live_bridge::wire::outcome::Result as Verdict;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) struct Device {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) controller: Controller,
}

impl Device {
    /// A device and its controller, which serves `packages`. `more` goes into the agent's file.
    pub(crate) fn new(packages: &[Package], more: &str) -> Self {
        let device = Self { folder: tempfile::tempdir().unwrap(), controller: Controller::start() };
        let text = format!(
            "controller = \"http://{}\"\ndevice_id = \"d1\"\nversion = \"0.0.0\"\nperiod = \"1s\"\n{more}\n[limits]\ngrace = \"300ms\"\nstop = \"2s\"\nstall = \"10s\"\nconnect = \"5s\"\n[hooks]\nrestart = \"restart\"\n",
            device.controller.address
        );
        fs::write(device.config(), text).unwrap();
        let hook = format!(
            "#!/bin/sh\necho \"restart $(readlink {}/slots/active)\" >> {}\n{}\n",
            device.path().display(),
            device.log_path().display(),
            device.gate("restart")
        );
        fs::write(device.path().join("restart"), hook).unwrap();
        fs::set_permissions(device.path().join("restart"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        for package in packages {
            package.publish(&device.controller, &device.log_path());
        }
        device
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path().join("agent.toml")
    }

    fn log_path(&self) -> PathBuf {
        self.path().join("scripts.log")
    }

    /// Shell words that wait while the gate `name` of this device is closed.
    pub(crate) fn gate(&self, name: &str) -> String {
        let gate = self.path().join(format!("{name}.closed"));
        format!("n=0; while [ -e {} ] && [ $n -lt 1500 ]; do sleep 0.02; n=$((n+1)); done", gate.display())
    }

    pub(crate) fn close_gate(&self, name: &str) {
        fs::write(self.path().join(format!("{name}.closed")), "").unwrap();
    }

    pub(crate) fn open_gate(&self, name: &str) {
        fs::remove_file(self.path().join(format!("{name}.closed"))).unwrap();
    }

    pub(crate) fn publish(&self, package: &Package) {
        package.publish(&self.controller, &self.log_path());
    }

    pub(crate) fn agent(&self) -> Agent {
        Agent::start(&self.config())
    }

    /// Lines that scripts wrote, those that begin with `begin`.
    pub(crate) fn log(&self, begin: &str) -> Vec<String> {
        let text = fs::read_to_string(self.log_path()).unwrap_or_default();
        text.lines().filter(|line| line.starts_with(begin)).map(str::to_owned).collect()
    }

    pub(crate) fn wait_for_log(&self, begin: &str) {
        let until = Instant::now() + Duration::from_secs(30);
        while self.log(begin).is_empty() {
            assert!(Instant::now() < until, "no script wrote {begin:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The release that can be seen through the link; every part of it must be of that release.
    pub(crate) fn runs(&self) -> String {
        let active = self.path().join("slots/active");
        let Ok(slot) = fs::read_link(&active) else { return "0.0.0".into() };
        let app = fs::read_to_string(active.join("bin/app")).unwrap();
        let installed = fs::read_to_string(active.join("installed")).unwrap();
        let described = fs::read_to_string(self.path().join("slots").join(slot).with_extension("json")).unwrap();
        assert_eq!(installed.trim(), app, "a release that is half another one");
        assert!(described.contains(&format!("\"version\":\"{app}\"")), "{described}");
        app
    }

    /// Every file of a folder with its content.
    pub(crate) fn files(&self, folder: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.path().join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap().flatten() {
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else if entry.file_type().unwrap().is_file() {
                    found.insert(entry.path(), fs::read(entry.path()).unwrap());
                }
            }
        }
        found
    }

    /// Brings release 1 onto the device, as command 1.
    pub(crate) fn with_release_1(&self) -> Agent {
        let agent = self.agent();
        self.controller.install(1, "1.0.0");
        assert_eq!(self.controller.outcome(1).result(), Verdict::Succeeded, "{:?}", self.controller.outcome(1));
        assert_eq!(self.runs(), "1.0.0");
        agent
    }
}
