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
    /// Rows of the terminal that what is shown fills.
    rows: usize,
}

impl View {
    pub(super) fn new(redraws: bool) -> Self {
        Self { redraws, shown: Vec::new(), rows: 0 }
    }

    /// On a terminal all lines again in the place of the old ones, as many as fit; else those that are new, with the time.
    pub(super) fn show(&mut self, status: &FleetStatus) {
        let now = lines(status);
        if self.redraws {
            if self.rows > 0 {
                crate::say!("\x1b[{}A\x1b[1G\x1b[0J\x1b[1A", self.rows);
            }
            let size = terminal_size::terminal_size();
            let (columns, height) = size.map_or((80, 24), |(width, height)| (width.0.into(), height.0.into()));
            let (fitting, rows) = fit(&now, columns, height);
            fitting.iter().for_each(|line| crate::say!("{line}"));
            self.rows = rows;
        } else {
            for line in now.iter().filter(|line| !self.shown.contains(line)) {
                crate::say!("{} {line}", moment(status.at_ms));
            }
        }
        self.shown = now;
    }
}

/// The first lines that fit a terminal, where long ones wrap, and the rows they fill. What is left out is counted in the last.
fn fit(lines: &[String], columns: usize, height: usize) -> (Vec<String>, usize) {
    let rows_of = |line: &str| line.chars().count().div_ceil(columns.max(1)).max(1);
    // One row for the count of what is left out, one for the cursor.
    let room = height.saturating_sub(2).max(1);
    let mut rows = 0;
    let mut kept: Vec<String> = lines
        .iter()
        .take_while(|line| {
            rows += rows_of(line);
            rows <= room
        })
        .cloned()
        .collect();
    let left = lines.len() - kept.len();
    if left > 0 {
        kept.push(format!("… {left} more lines (--summary leaves the devices out)"));
    }
    let rows = kept.iter().map(|line| rows_of(line)).sum();
    (kept, rows)
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

    #[test]
    fn what_is_drawn_again_fits_the_terminal() {
        let lines: Vec<String> = ["short", &"long ".repeat(30), "", "last"].map(str::to_owned).to_vec();
        let (kept, rows) = fit(&lines, 80, 24);
        assert_eq!((kept.len(), rows), (4, 5), "the long one takes two rows, the empty one takes one");
        let (kept, rows) = fit(&lines, 80, 5);
        assert_eq!((kept.len(), rows), (3, 4));
        assert_eq!(kept[2], "… 2 more lines (--summary leaves the devices out)");
        assert_eq!(fit(&[], 80, 24), (Vec::new(), 0));
    }
}
