//! Where every device and every rollout stands, read off the records as they pass, for people who look.

use super::news::News;
use super::registry::Registry;
use crate::signoff::SignOff;
use crate::wire::{DeviceStatus, FleetStatus, RolloutStatus};
use slacktide_engine::Engine;
use slacktide_engine::ids::{AttemptId, DeviceId, DeviceIndex, RolloutId};
use slacktide_engine::input::{Input, OperatorAction};
use slacktide_engine::journal::Entry;
use slacktide_engine::plan::outlook::Outlook;
use slacktide_engine::rollout::{Package, RolloutState};
use slacktide_engine::time::Instant;
use std::collections::BTreeMap;

/// A device's last attempt.
#[derive(Debug, Clone, Default)]
struct View {
    attempt: Option<AttemptId>,
    state: &'static str,
    words: String,
}

/// The board on the wall.
#[derive(Debug, Default)]
pub(super) struct Board {
    packages: Vec<Package>,
    /// Whose each command is, by its number.
    commands: Vec<Option<DeviceIndex>>,
    /// Whose each attempt is, by its number.
    attempts: Vec<Option<DeviceIndex>>,
    views: BTreeMap<DeviceIndex, View>,
    batches: Vec<(Instant, u32)>,
    /// The sign-off of each rollout that has one.
    sign_offs: BTreeMap<RolloutId, SignOff>,
    /// What was decided lately.
    pub(super) news: News,
}

fn put<T: Copy>(table: &mut Vec<Option<T>>, at: usize, value: T) {
    if table.len() <= at {
        table.resize(at + 1, None);
    }
    table[at] = Some(value);
}

impl Board {
    /// Whose a command is.
    pub(super) fn owner(&self, command: u64) -> Option<DeviceIndex> {
        self.commands.get(usize::try_from(command).ok()?).copied().flatten()
    }

    /// Whose an attempt is.
    pub(super) fn holder(&self, attempt: AttemptId) -> Option<DeviceIndex> {
        self.attempts.get(usize::try_from(attempt.0).ok()?).copied().flatten()
    }

    pub(super) fn issued(&mut self, device: DeviceIndex, command: u64, attempt: AttemptId) {
        put(&mut self.commands, command as usize, device);
        put(&mut self.attempts, attempt.index(), device);
        let view = self.views.entry(device).or_default();
        if view.attempt != Some(attempt) {
            *view = View { attempt: Some(attempt), state: "dispatched", words: String::new() };
        }
    }

    pub(super) fn package(&self, rollout: RolloutId) -> Option<&Package> {
        self.packages.get(rollout.index())
    }

    pub(super) fn note_created(&mut self, engine: &Engine, package: Option<Package>) {
        // Refused where there are too many under way.
        if let Some(package) = package
            && engine.rollouts().count() > self.packages.len()
        {
            self.packages.push(package);
        }
    }

    /// What a rollout was signed off with.
    pub(super) fn sign_off(&self, rollout: RolloutId) -> Option<&SignOff> {
        self.sign_offs.get(&rollout)
    }

    pub(super) fn note_input(&mut self, input: &Input) {
        if let Input::Operator(OperatorAction::SignOff { rollout, sign_off }) = input
            && let Ok(sign_off) = SignOff::parse(&sign_off.text)
        {
            self.sign_offs.insert(*rollout, sign_off);
        }
        if let Input::Progress { attempt, state } = input
            && let Some(device) = self.holder(*attempt)
            && let Some(view) = self.views.get_mut(&device)
            && view.attempt == Some(*attempt)
        {
            view.state = state.name();
        }
    }

    /// The device's words about its last attempt.
    pub(super) fn said(&mut self, device: DeviceIndex, words: &str) {
        self.views.entry(device).or_default().words = words.to_owned();
    }

    pub(super) fn note(&mut self, engine: &Engine, entry: &Entry) {
        let find = |id: &DeviceId| engine.fleet().find(id);
        match entry {
            Entry::Settled { attempts, .. } => {
                for one in attempts {
                    let view = find(&one.device).and_then(|device| self.views.get_mut(&device));
                    if let Some(view) = view.filter(|view| view.attempt == Some(one.attempt)) {
                        view.state = one.end.name();
                    }
                }
            }
            Entry::Rollback { devices, .. } => {
                for device in devices.iter().filter_map(find) {
                    self.views.entry(device).or_default().state = "rolling_back";
                }
            }
            Entry::Plan(plan) => self.batches = plan.batches.iter().map(|batch| (batch.start, batch.devices)).collect(),
            _ => {}
        }
    }

    /// One rollout.
    pub(super) fn rollout(&self, engine: &Engine, rollout: RolloutId, now: Instant) -> Option<RolloutStatus> {
        let state = engine.rollout_state(rollout)?;
        let package = self.package(rollout)?;
        let counts = engine.state_counts(rollout);
        let devices = [
            ("waiting", counts.waiting),
            ("staging", counts.staging),
            ("out", counts.out),
            ("updated", counts.updated),
            ("rolling-back", counts.rolling_back),
            ("rolled-back", counts.rolled_back),
            ("failed", counts.failed),
        ];
        Some(RolloutStatus {
            rollout: rollout.0,
            package: package.name.clone(),
            version: package.version.to_string(),
            state: state.name().to_owned(),
            cause: engine.pause_cause(rollout).map(|cause| cause.name().to_owned()),
            devices: devices.into_iter().filter(|(_, n)| *n > 0).map(|(name, n)| (name.to_owned(), n)).collect(),
            next_batch_ms: self.next_batch(state, now).map(|(at, _)| at.as_millis()),
            signed_off: self.sign_off(rollout).map(told_sign_off),
        })
    }

    /// The next batch of the plan in force and its devices, of whichever rollout they are; none of a rollout that does not run.
    pub(super) fn next_batch(&self, state: RolloutState, now: Instant) -> Option<(Instant, u32)> {
        let ahead = self.batches.iter().find(|(start, _)| *start > now);
        ahead.copied().filter(|_| state == RolloutState::Running)
    }

    /// The word of a device's last attempt that did not go well.
    pub(super) fn words(&self, device: DeviceIndex) -> &str {
        self.views.get(&device).map_or("", |view| view.words.as_str())
    }

    /// Everything.
    pub(super) fn status(
        &self,
        engine: &Engine,
        registry: &Registry,
        stopped: Option<&str>,
        now: Instant,
        with_devices: bool,
    ) -> FleetStatus {
        let rollouts = engine.rollouts().filter_map(|(id, _)| self.rollout(engine, id, now)).collect();
        let devices = if with_devices { self.devices(engine, registry) } else { Vec::new() };
        FleetStatus {
            at_ms: now.as_millis(),
            stopped: stopped.map(str::to_owned),
            rollouts,
            devices,
            devices_total: registry.devices().len() as u32,
            devices_connected: registry.connected() as u32,
            devices_absent: registry.absent(engine) as u32,
        }
    }

    fn devices(&self, engine: &Engine, registry: &Registry) -> Vec<DeviceStatus> {
        let outlook = engine.dry_plan().map(|dry| dry.outlook).unwrap_or_default();
        let waiting: BTreeMap<DeviceIndex, &Outlook> = outlook.iter().map(|one| (one.device, one)).collect();
        let one = |device: &std::sync::Arc<super::registry::Device>| {
            let index = engine.fleet().find(&device.facts.id);
            let view = index.and_then(|index| self.views.get(&index));
            let waits = index.and_then(|index| waiting.get(&index));
            let (state, reason, earliest) = match (waits, view, index) {
                (Some(waits), ..) => {
                    ("waiting", told(&waits.on), waits.earliest.or_else(|| waits.expected.map(|e| e.start)))
                }
                (None, Some(view), _) => (view.state, view.words.clone(), None),
                (None, None, Some(_)) => ("idle", String::new(), None),
                (None, None, None) => ("unknown", "never heard of".to_owned(), None),
            };
            let version = index.map(|index| engine.fleet().facts[index.index()].version.to_string());
            DeviceStatus {
                device_id: device.name().to_owned(),
                pool: device.facts.pool.to_string(),
                region: device.facts.region.to_string(),
                version: version.unwrap_or_default(),
                connected: device.is_connected(),
                state: state.to_owned(),
                reason,
                earliest_ms: earliest.map(Instant::as_millis),
                load_score: index.map(|index| engine.load_score_now(index) as f32),
                last_heard_ms: device.last_heard_ms(),
            }
        };
        registry.devices().iter().map(one).collect()
    }
}

/// Who signed, and until when it is good.
pub(super) fn told_sign_off(sign_off: &SignOff) -> String {
    let document = sign_off.document();
    let signers: Vec<&str> = document.signers.iter().map(|signer| signer.identity.as_str()).collect();
    format!("{}, good until {}", signers.join(", "), document.valid_until)
}

/// A typed reason with its numbers, as `name (field value, …)`.
pub(super) fn told(reason: &slacktide_engine::plan::WaitingOn) -> String {
    let value = serde_json::to_value(reason).unwrap_or_default();
    let fields = value.as_object().into_iter().flatten().filter(|(key, _)| *key != "waiting_on" && *key != "start");
    let fields: Vec<String> =
        fields.map(|(key, value)| format!("{} {}", key.replace('_', " "), plain(value))).collect();
    if fields.is_empty() { reason.name().to_owned() } else { format!("{} ({})", reason.name(), fields.join(", ")) }
}

fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Number(number) if number.is_f64() => format!("{:.2}", number.as_f64().unwrap_or_default()),
        other => other.to_string(),
    }
}
