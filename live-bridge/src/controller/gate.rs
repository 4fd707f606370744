//! The gate: nothing starts but what was simulated, and signed by the right people, for this policy, package and fleet.

use super::driver::Driver;
use super::registry::Device;
use crate::signoff::{Authorities, Expect, Persons, SignOff, fleet_fingerprint};
use slacktide_engine::envelope::{Envelope, Quantity, Range};
use slacktide_engine::ids::{DeviceIndex, RolloutId};
use slacktide_engine::input::{DeviceFacts, Input, OperatorAction, SignedOff};
use slacktide_engine::rollout::{Package, RolloutEvent};
use slacktide_engine::time::Instant;
use std::path::{Path, PathBuf};
use tonic::Status;

/// Whose signatures count, and whether nothing starts without them.
#[derive(Debug, Clone)]
pub struct Gate {
    authorities: PathBuf,
    revocations: PathBuf,
    is_required: bool,
    persons: Persons,
}

impl Gate {
    /// Signatures count by the authorities and revocation lists in this folder, read anew each time.
    pub fn new(authority: &Path, is_required: bool, persons_min: usize) -> Self {
        Self {
            authorities: authority.join("authorities.pem"),
            revocations: authority.join("revocations.pem"),
            is_required,
            persons: Persons { min: persons_min },
        }
    }
}

/// What a live rollout is held against: the ranges of the runs, as far as this program knows the quantities.
fn envelope(sign_off: &SignOff) -> Envelope {
    let document = sign_off.document();
    let known = document.envelope.iter().filter_map(|(name, range)| {
        Quantity::named(name).map(|quantity| (quantity, Range { low: range.low, high: range.high }))
    });
    Envelope { ranges: known.collect(), margin_percent: document.guard_margin_percent.max(0.0) }
}

impl Driver {
    /// Takes a sign-off for this package on, or says why it does not fit.
    pub(super) fn check_sign_off(&self, now: Instant, package: &Package, text: &str) -> Result<Box<SignedOff>, Status> {
        let sign_off = SignOff::parse(text).map_err(|refusal| self.refused(&refusal))?;
        self.check(now, package, &sign_off)?;
        Ok(Box::new(SignedOff { text: text.to_owned(), envelope: envelope(&sign_off) }))
    }

    /// May this rollout start now? A sign-off that comes with the wish takes the place of the one it has. Looked at anew each time: its
    /// days may be over, or a signer's certificate revoked.
    pub(super) fn may_start(&mut self, now: Instant, rollout: RolloutId, text: &str, by: &str) -> Result<(), Status> {
        let Some(package) = self.board.package(rollout).cloned() else {
            return Err(Status::not_found(format!("there is no rollout {rollout}")));
        };
        self.has_somebody(rollout, &package)?;
        if !text.is_empty() {
            let sign_off = self.check_sign_off(now, &package, text)?;
            tracing::info!(by, rollout = rollout.0, "a sign-off takes the place of the one before");
            self.hand_in(now, Input::Operator(OperatorAction::SignOff { rollout, sign_off }));
            return Ok(());
        }
        match self.board.sign_off(rollout) {
            Some(sign_off) => self.check(now, &package, sign_off),
            None if self.gate.is_required => {
                self.metrics.refused("no-sign-off");
                Err(Status::failed_precondition(format!(
                    "rollout {rollout} has no sign-off: make one with `slacktide sign-off create`, have it signed, and give it with --sign-off"
                )))
            }
            None => Ok(()),
        }
    }

    /// A rollout that is for nobody would be over at once and look like a success: more likely its target is mistyped.
    pub(super) fn is_for_somebody(&self, package: &Package) -> Result<(), Status> {
        let devices = self.registry.devices();
        let fleet = self.engine.fleet();
        let fits = |device: &Device| {
            let facts = fleet.find(&device.facts.id).map_or(&device.facts, |known| &fleet.facts[known.index()]);
            package.target.may_match(&facts.attributes())
        };
        if devices.is_empty() || devices.iter().any(|device| fits(device)) {
            return Ok(());
        }
        self.metrics.refused("no-target");
        let why = format!("the target {} fits none of the {} devices of the fleet", package.target, devices.len());
        Err(Status::failed_precondition(format!("{why}: see --target, and the fleet file for what stands in it")))
    }

    /// The same when it starts, of the devices that have called: later ones do not join.
    fn has_somebody(&self, rollout: RolloutId, package: &Package) -> Result<(), Status> {
        if self.engine.rollout_state(rollout).is_none_or(|state| state.after(RolloutEvent::Start).is_none()) {
            // It cannot start anyway, and that is what is told.
            return Ok(());
        }
        let fleet = self.engine.fleet();
        let fits = |device: DeviceIndex| package.target.may_match(&fleet.facts[device.index()].attributes());
        if self.registry.devices().is_empty() || fleet.present().any(fits) {
            return Ok(());
        }
        self.metrics.refused("no-target");
        Err(Status::failed_precondition(format!(
            "none of the devices that rollout {rollout} is for has called yet, and whoever calls later does not join it: start it once \
             `rollout status` shows them"
        )))
    }

    fn check(&self, now: Instant, package: &Package, sign_off: &SignOff) -> Result<(), Status> {
        let revocations = Some(self.gate.revocations.as_path()).filter(|path| path.exists());
        let authorities = Authorities::open(&self.gate.authorities, revocations)
            .map_err(|error| Status::internal(format!("signatures cannot be checked: {error}")))?;
        let devices: Vec<DeviceFacts> = self.registry.devices().iter().map(|device| device.facts.clone()).collect();
        let checked = sign_off.check(&Expect {
            policy: &self.engine.policy().to_toml(),
            package_sha256: package.sha256.as_deref().unwrap_or_default(),
            fleet_fingerprint: &fleet_fingerprint(&devices),
            now,
            authorities: &authorities,
            persons: self.gate.persons,
        });
        checked.map_err(|refusal| self.refused(&refusal))
    }

    fn refused(&self, refusal: &crate::signoff::Refusal) -> Status {
        self.metrics.refused("sign-off");
        Status::failed_precondition(format!("the sign-off is refused ({}): it {refusal}", refusal.name()))
    }
}
