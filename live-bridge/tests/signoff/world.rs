//! An authority, its operators, and a sign-off to work on.

use slacktide_engine::time::{Instant, Span};
use slacktide_live_bridge::signoff::{
    Authorities, Chaos, Demand, Document, Envelope, Evidence, Expect, Fleet, Limit, Measure, Package, Persons, Policy,
    Refusal, SCHEMA, SignOff, sha256,
};
use slacktide_live_bridge::trust::authority::Subject;
use slacktide_live_bridge::trust::{Authority, ClientFiles, Identity, Lifetimes, Role};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// Short, so that every byte of a sign-off can be tried.
const POLICY: &str = "name = \"predictive\"\nwindows = []\n\n[plan]\nslot = \"15m\"\nload_limit_percent = 5.0\n";

pub(crate) struct World {
    folder: TempDir,
    pub(crate) authority: Authority,
    pub(crate) policy: String,
}

pub(crate) fn now() -> Instant {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Instant::from_secs(i64::try_from(since.as_secs()).unwrap())
}

pub(crate) fn later(at: Instant, s: u64) -> Instant {
    at + Span::from_secs(s)
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let domain = "fleet.test".parse().unwrap();
        let authority = Authority::init(&folder.path().join("pki"), &domain, Lifetimes::default()).unwrap();
        Self { folder, authority, policy: POLICY.to_owned() }
    }

    pub(crate) fn issue(&self, identity: Identity) -> ClientFiles {
        let folder = self.folder.path().join(identity.path().replace('/', "-"));
        let new = self.authority.issue(&Subject::new(identity)).unwrap();
        let files = ClientFiles::in_folder(&folder);
        files.write_new(&new.key, &new.issued.certificate, &self.authority.authorities_pem().unwrap()).unwrap();
        files
    }

    pub(crate) fn operator(&self, name: &str, role: Role) -> ClientFiles {
        self.issue(Identity::Operator { name: name.to_owned(), role })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn authorities(&self) -> Authorities {
        Authorities::open(&self.path("pki/authorities.pem"), None).unwrap()
    }

    /// Made by an operator called maker.
    pub(crate) fn document(&self) -> Document {
        let evidence = vec![Evidence {
            scenario: "first-rollout".to_owned(),
            scenario_sha256: sha256(b"the scenario"),
            first_seed: 1,
            replications: 2,
            journals: vec![sha256(b"one"), sha256(b"two")],
            measures: BTreeMap::from([("makespan_s".to_owned(), Measure { mean: 7200.0, low: 7000.5, high: 7399.5 })]),
            missing: BTreeMap::new(),
        }];
        let limits = vec![Limit::judge(&"makespan_s<=86400".parse::<Demand>().unwrap(), &evidence)];
        Document {
            schema: SCHEMA.to_owned(),
            program: "slacktide 0.1.0".to_owned(),
            made_at: now(),
            valid_until: later(now(), 3600),
            made_by: "operator/operator/maker".to_owned(),
            guard_margin_percent: 10.0,
            policy: Policy {
                name: "predictive".to_owned(),
                sha256: sha256(self.policy.as_bytes()),
                text: self.policy.clone(),
            },
            package: Package { name: "firmware".to_owned(), version: "2.0".to_owned(), sha256: sha256(b"archive") },
            fleet: Fleet { devices: 3, fingerprint: sha256(b"fleet") },
            chaos: Chaos { seed: 1, worlds: 20, broken: 0 },
            evidence,
            limits,
            envelope: BTreeMap::from([("install_p99_s".to_owned(), Envelope { low: 100.0, mean: 120.0, high: 180.0 })]),
            signers: Vec::new(),
        }
    }

    /// Signed by maker and checker.
    pub(crate) fn signed(&self) -> SignOff {
        let mut sign_off = SignOff::new(self.document()).unwrap();
        sign_off.sign(&self.operator("maker", Role::Operator), now()).unwrap();
        sign_off.sign(&self.operator("checker", Role::Approver), now()).unwrap();
        sign_off
    }

    pub(crate) fn check(&self, sign_off: &SignOff) -> Result<(), Refusal> {
        self.check_as(sign_off, |_| {})
    }

    /// Checks with something else expected.
    pub(crate) fn check_as(&self, sign_off: &SignOff, change: impl FnOnce(&mut Asked)) -> Result<(), Refusal> {
        let mut asked = Asked {
            policy: self.policy.clone(),
            package: sha256(b"archive"),
            fleet: sha256(b"fleet"),
            now: now(),
            persons: Persons::default(),
        };
        change(&mut asked);
        sign_off.check(&Expect {
            policy: &asked.policy,
            package_sha256: &asked.package,
            fleet_fingerprint: &asked.fleet,
            now: asked.now,
            authorities: &self.authorities(),
            persons: asked.persons,
        })
    }
}

/// [`Expect`], owned.
pub(crate) struct Asked {
    pub(crate) policy: String,
    pub(crate) package: String,
    pub(crate) fleet: String,
    pub(crate) now: Instant,
    pub(crate) persons: Persons,
}
