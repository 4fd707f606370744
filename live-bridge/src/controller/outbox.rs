//! Commands without an outcome, so that a device that calls again hears them again.

use super::registry::lock;
use crate::wire::{Cancel, ControllerMessage, Install, Rollback, controller_message::Body};
use std::collections::BTreeMap;
use std::sync::Mutex;

#[derive(Debug, Clone)]
struct Open {
    attempt: u64,
    body: Body,
    is_canceled: bool,
}

/// Open commands by device name, and by their number.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Of this start of the controller.
    epoch: u64,
    open: Mutex<BTreeMap<String, BTreeMap<u64, Open>>>,
}

impl Outbox {
    pub(super) fn new(epoch: u64) -> Self {
        Self { epoch, open: Mutex::default() }
    }

    pub(super) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// A message of this controller.
    pub(super) const fn message(&self, body: Body) -> ControllerMessage {
        ControllerMessage { epoch: self.epoch, body: Some(body) }
    }

    pub(super) fn install(&self, device: &str, install: Install) {
        let (command, attempt) = (install.command, install.attempt);
        self.add(device, command, Open { attempt, body: Body::Install(install), is_canceled: false });
    }

    pub(super) fn rollback(&self, device: &str, rollback: Rollback) {
        let (command, attempt) = (rollback.command, rollback.attempt);
        self.add(device, command, Open { attempt, body: Body::Rollback(rollback), is_canceled: false });
    }

    fn add(&self, device: &str, command: u64, open: Open) {
        lock(&self.open).entry(device.to_owned()).or_default().insert(command, open);
    }

    pub(super) fn cancel(&self, device: &str, command: u64) {
        if let Some(open) = lock(&self.open).get_mut(device).and_then(|of| of.get_mut(&command)) {
            open.is_canceled = true;
        }
    }

    /// A command has had its outcome.
    pub(super) fn close(&self, device: &str, command: u64) {
        let mut open = lock(&self.open);
        if let Some(of) = open.get_mut(device) {
            of.remove(&command);
            if of.is_empty() {
                open.remove(device);
            }
        }
    }

    /// Nobody waits for outcomes of an attempt any more.
    pub(super) fn close_attempt(&self, device: &str, attempt: u64) {
        let mut open = lock(&self.open);
        if let Some(of) = open.get_mut(device) {
            of.retain(|_, command| command.attempt != attempt);
            if of.is_empty() {
                open.remove(device);
            }
        }
    }

    /// What a device must hear again, in the order it was said. An install is said before its cancellation, for it may never have
    /// been heard.
    pub(super) fn of(&self, device: &str) -> Vec<ControllerMessage> {
        let open = lock(&self.open);
        let of = open.get(device).into_iter().flatten();
        of.flat_map(|(command, open)| {
            let cancel = open.is_canceled.then_some(Body::Cancel(Cancel { command: *command }));
            std::iter::once(open.body.clone()).chain(cancel)
        })
        .map(|body| self.message(body))
        .collect()
    }
}
