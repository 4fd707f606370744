//! Rollouts and devices for people and for programs.

use crate::Outcome;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use slacktide_engine::time::Instant;
use slacktide_live_bridge::wire::{DeviceStatus, FleetStatus, RolloutReply, RolloutStatus};
use std::collections::{BTreeMap, BTreeSet};

fn moment(ms: i64) -> String {
    Instant::from_millis(ms).to_string()
}

fn rollout_document(one: &RolloutStatus) -> Value {
    let devices: BTreeMap<&String, &u32> = one.devices.iter().collect();
    json!({
        "rollout": one.rollout, "package": one.package, "version": one.version, "state": one.state, "cause": one.cause,
        "devices": devices, "next_batch": one.next_batch_ms.map(moment), "signed_off": one.signed_off,
    })
}

fn device_document(one: &DeviceStatus) -> Value {
    json!({
        "device_id": one.device_id, "pool": one.pool, "region": one.region, "version": one.version,
        "connected": one.connected, "state": one.state, "reason": one.reason, "earliest": one.earliest_ms.map(moment),
        "load_score": one.load_score, "last_heard": one.last_heard_ms.map(moment),
    })
}

fn rollout_line(one: &RolloutStatus) -> String {
    let devices: BTreeMap<&String, &u32> = one.devices.iter().collect();
    let devices: Vec<String> = devices.into_iter().map(|(state, n)| format!("{n} {state}")).collect();
    let cause = one.cause.as_ref().map(|cause| format!(" ({cause})")).unwrap_or_default();
    let signed = one.signed_off.as_ref().map(|who| format!("; signed off by {who}")).unwrap_or_default();
    let next = one.next_batch_ms.map(|ms| format!(", next batch {}", moment(ms))).unwrap_or_default();
    let devices = if devices.is_empty() { "no devices yet".to_owned() } else { devices.join(", ") };
    format!("rollout {}: {} {} is {}{cause}: {devices}{next}{signed}", one.rollout, one.package, one.version, one.state)
}

fn device_line(one: &DeviceStatus) -> String {
    let connected = if one.connected { "" } else { ", not connected" };
    let reason = if one.reason.is_empty() { String::new() } else { format!(": {}", one.reason) };
    let earliest = one.earliest_ms.map(|ms| format!(", not before {}", moment(ms))).unwrap_or_default();
    let version = if one.version.is_empty() { "?" } else { &one.version };
    format!("{} {version} {}{reason}{earliest}{connected}", one.device_id, one.state)
}

fn lines(status: &FleetStatus) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(reason) = &status.stopped {
        lines.push(format!("EVERYTHING IS STOPPED: {reason}"));
    }
    let absent = match status.devices_absent {
        0 => String::new(),
        n => format!("; {n} never called, and no rollout that begins now is for them"),
    };
    lines.push(format!("{} of {} devices connected{absent}", status.devices_connected, status.devices_total));
    lines.extend(status.rollouts.iter().map(rollout_line));
    lines.extend(status.devices.iter().map(device_line));
    lines
}

/// The answer to one verb about one rollout.
pub(super) fn reply(verb: &str, reply: &RolloutReply, is_json: bool) -> Result<Outcome> {
    let one = reply.rollout.as_ref().context("the controller did not say which rollout")?;
    if is_json {
        crate::say!("{}", json!({"schema": format!("slacktide/rollout-{verb}/1"), "rollout": rollout_document(one)}));
    } else {
        crate::say!("{}", rollout_line(one));
    }
    Ok(Outcome::Good)
}

/// A status.
pub(super) fn status(verb: &str, status: &FleetStatus, is_json: bool) {
    if !is_json {
        lines(status).into_iter().for_each(|line| crate::say!("{line}"));
        return;
    }
    let rollouts: Vec<Value> = status.rollouts.iter().map(rollout_document).collect();
    let devices: Vec<Value> = status.devices.iter().map(device_document).collect();
    crate::say!(
        "{}",
        json!({
            "schema": format!("slacktide/rollout-{verb}/1"), "at": moment(status.at_ms), "stopped": status.stopped,
            "devices_total": status.devices_total, "devices_connected": status.devices_connected,
            "devices_absent": status.devices_absent,
            "rollouts": rollouts, "devices": devices,
        })
    );
}

fn ends(state: &str) -> bool {
    matches!(state, "finished" | "rolled_back" | "stopped")
}

/// Which rollouts a watch is about: those that were seen before their end; the newest, where all were over already.
#[derive(Debug, Default)]
pub(super) struct Watched(BTreeSet<u32>);

impl Watched {
    /// Looks at a status. Once there is a rollout and none goes on: did all that were watched finish?
    pub(super) fn over(&mut self, status: &FleetStatus) -> Option<bool> {
        let going: Vec<u32> = status.rollouts.iter().filter(|one| !ends(&one.state)).map(|one| one.rollout).collect();
        self.0.extend(&going);
        let newest = status.rollouts.last()?.rollout;
        if !going.is_empty() {
            return None;
        }
        let is_meant = |rollout: u32| if self.0.is_empty() { rollout == newest } else { self.0.contains(&rollout) };
        Some(status.rollouts.iter().filter(|one| is_meant(one.rollout)).all(|one| one.state == "finished"))
    }
}

/// What is on the screen.
pub(super) struct View {
    redraws: bool,
    shown: Vec<String>,
}

impl View {
    pub(super) fn new(redraws: bool) -> Self {
        Self { redraws, shown: Vec::new() }
    }

    /// On a terminal all lines again in the place of the old ones; else those that are new, with the time.
    pub(super) fn show(&mut self, status: &FleetStatus) {
        let now = lines(status);
        if self.redraws {
            if !self.shown.is_empty() {
                crate::say!("\x1b[{}A\x1b[1G\x1b[0J\x1b[1A", self.shown.len());
            }
            now.iter().for_each(|line| crate::say!("{line}"));
        } else {
            for line in now.iter().filter(|line| !self.shown.contains(line)) {
                crate::say!("{} {line}", moment(status.at_ms));
            }
        }
        self.shown = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(states: &[&str]) -> FleetStatus {
        let one = |(n, state): (usize, &&str)| RolloutStatus {
            rollout: n as u32,
            state: (*state).to_owned(),
            ..RolloutStatus::default()
        };
        FleetStatus { rollouts: states.iter().enumerate().map(one).collect(), ..FleetStatus::default() }
    }

    #[test]
    fn a_watch_is_about_what_went_on_while_it_looked() {
        let mut watched = Watched::default();
        assert_eq!(watched.over(&status(&[])), None);
        assert_eq!(watched.over(&status(&["stopped", "running"])), None);
        assert_eq!(watched.over(&status(&["stopped", "finished", "running"])), None);
        assert_eq!(watched.over(&status(&["stopped", "finished", "finished"])), Some(true));
        assert_eq!(watched.over(&status(&["stopped", "finished", "rolled_back"])), Some(false));
        // Nothing went on: the newest is what is asked about.
        assert_eq!(Watched::default().over(&status(&["stopped", "finished"])), Some(true));
        assert_eq!(Watched::default().over(&status(&["finished", "stopped"])), Some(false));
    }
}
