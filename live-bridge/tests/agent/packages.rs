//! Packages of the tests: an archive is a JSON object of paths and texts, and its hash is in a metadata file. What the agent does with a
//! package does not depend on how it is packed and signed.

use super::controller::Controller;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use slacktide_live_bridge::agent::download::fetch_whole;
use slacktide_live_bridge::agent::packages::{Boxed, Found, PackageSource, Trouble, Verifier};
use slacktide_live_bridge::agent::state::{Script, Scripts};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

/// What the scripts of a package do, beyond writing to the log that they ran. None: there is no such script.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    pub(crate) version: &'static str,
    pub(crate) precheck: Option<String>,
    pub(crate) drain: Option<String>,
    pub(crate) install: String,
    pub(crate) health: String,
    pub(crate) time_limit_ms: u64,
    /// Bytes of ballast, so that a download takes a while.
    pub(crate) ballast: usize,
}

impl Package {
    pub(crate) fn new(version: &'static str) -> Self {
        Self {
            version,
            precheck: Some(String::new()),
            drain: Some(String::new()),
            install: String::new(),
            health: String::new(),
            time_limit_ms: 20_000,
            ballast: 10_000,
        }
    }

    /// Puts it into the repository of a controller; its scripts write to `log`.
    pub(crate) fn publish(&self, controller: &Controller, log: &Path) {
        let script = |name: &str, body: &str| {
            let line = format!("{name} $SLACKTIDE_ATTEMPT $SLACKTIDE_VERSION $SLACKTIDE_PREVIOUS");
            format!("#!/bin/sh\necho \"{line}\" >> {}\n{body}\n", log.display())
        };
        let mut files = BTreeMap::from([
            ("bin/app".to_owned(), self.version.to_owned()),
            ("ballast".to_owned(), "x".repeat(self.ballast)),
            ("install".to_owned(), script("install", &format!("echo {} > installed; {}", self.version, self.install))),
            ("health".to_owned(), script("health", &self.health)),
        ]);
        let optional = [("precheck", &self.precheck), ("drain", &self.drain)];
        files.extend(
            optional.into_iter().filter_map(|(name, body)| Some((name.to_owned(), script(name, body.as_ref()?)))),
        );
        let archive = serde_json::to_vec(&files).unwrap();
        let metadata = json!({ "sha256": hash(&archive), "size": archive.len(), "limit": self.time_limit_ms });
        controller.change(|seen| {
            seen.files.insert(format!("metadata/app-{}.json", self.version), metadata.to_string().into_bytes());
            seen.files.insert(format!("targets/app-{}.stp", self.version), archive);
        });
    }
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

#[derive(Debug)]
pub(crate) struct Hashed;

impl Verifier for Hashed {
    fn find<'a>(
        &'a self,
        source: Arc<dyn PackageSource>,
        package: &'a str,
        version: &'a str,
    ) -> Boxed<'a, Result<Found, Trouble>> {
        Box::pin(async move {
            let note = fetch_whole(source.as_ref(), &format!("metadata/{package}-{version}.json"), 1 << 16).await?;
            let note = String::from_utf8(note).map_err(|e| Trouble::Refused(e.to_string()))?;
            let facts: Value = serde_json::from_str(&note).map_err(|e| Trouble::Refused(e.to_string()))?;
            Ok(Found {
                file: format!("targets/{package}-{version}.stp"),
                sha256: facts["sha256"].as_str().unwrap_or_default().to_owned(),
                size_bytes: facts["size"].as_u64().unwrap(),
                note,
            })
        })
    }

    fn check_and_unpack(&self, found: &Found, archive: &Path, into: &Path) -> Result<Scripts, Trouble> {
        let bytes = std::fs::read(archive)?;
        let facts: Value = serde_json::from_str(&found.note).map_err(|e| Trouble::Refused(e.to_string()))?;
        if facts["sha256"] != hash(&bytes) {
            return Err(Trouble::Refused("the hash does not fit".into()));
        }
        let files: BTreeMap<String, String> =
            serde_json::from_slice(&bytes).map_err(|e| Trouble::Refused(e.to_string()))?;
        for (path, text) in &files {
            let path = into.join(path);
            std::fs::create_dir_all(path.parent().unwrap())?;
            std::fs::write(&path, text)?;
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755))?;
        }
        let time_limit_ms = facts["limit"].as_u64().unwrap();
        let script = |name: &str| files.contains_key(name).then(|| Script { path: name.into(), time_limit_ms });
        let (precheck, drain, install, health) =
            (script("precheck"), script("drain"), script("install"), script("health"));
        Ok(Scripts { precheck, drain, install, health })
    }
}
