//! The devices of the fleet file, and who of them is connected.

use super::protocol::Pace;
use crate::wire::ControllerMessage;
use slacktide_engine::Engine;
use slacktide_engine::input::DeviceFacts;
use slacktide_engine::version::Version;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, mpsc};

/// Messages for a session that it has not sent yet; a device that does not read more than these is cut off and calls again.
const MAILBOX_MAX: usize = 16;
/// Answers kept for a device that calls now and then.
const ANSWERS_MAX: usize = 4;

/// Never poisoned for us: no code that holds one of these locks can panic half way.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a session is told.
#[derive(Debug)]
pub(super) enum Mail {
    /// Send this.
    Say(ControllerMessage),
    /// End, with this said to the device.
    End(tonic::Status),
}

#[derive(Debug)]
struct Session {
    number: u64,
    mailbox: mpsc::Sender<Mail>,
}

#[derive(Debug, Default)]
struct Link {
    session: Option<Session>,
    sessions: u64,
    answers: VecDeque<ControllerMessage>,
    /// What the engine was last told that it runs.
    introduced: Option<Version>,
}

/// One device.
#[derive(Debug)]
pub(super) struct Device {
    /// Its place in the fleet file.
    pub(super) place: usize,
    /// As the fleet file has it; the version is what it says itself.
    pub(super) facts: DeviceFacts,
    stored: AtomicU64,
    refused: AtomicU64,
    heard_ms: AtomicI64,
    /// Rung when more of it is stored, or could not be.
    pub(super) news: Notify,
    link: Mutex<Link>,
    pace: Mutex<Pace>,
}

impl Device {
    pub(super) fn name(&self) -> &str {
        self.facts.id.as_str()
    }

    /// Everything up to this sequence number outlives the controller.
    pub(super) fn stored(&self) -> u64 {
        self.stored.load(Ordering::Acquire)
    }

    pub(super) fn set_stored(&self, sequence: u64) {
        self.stored.fetch_max(sequence, Ordering::AcqRel);
        self.news.notify_waiters();
        self.news.notify_one();
    }

    /// How often messages of it could not be stored.
    pub(super) fn failures(&self) -> u64 {
        self.refused.load(Ordering::Acquire)
    }

    /// A message of it could not be stored: the session ends, so that the device sends it again later.
    pub(super) fn not_stored(&self, why: &str) {
        self.refused.fetch_add(1, Ordering::AcqRel);
        self.end_session(tonic::Status::unavailable(why.to_owned()));
        self.news.notify_waiters();
        self.news.notify_one();
    }

    pub(super) fn heard(&self, at_ms: i64) {
        self.heard_ms.store(at_ms, Ordering::Relaxed);
    }

    pub(super) fn last_heard_ms(&self) -> Option<i64> {
        Some(self.heard_ms.load(Ordering::Relaxed)).filter(|ms| *ms > 0)
    }

    /// Books a message; how long to wait before the next is read.
    pub(super) fn book(&self) -> Option<std::time::Duration> {
        lock(&self.pace).book(std::time::Instant::now())
    }

    /// Does the engine know it, with this release where one is given?
    pub(super) fn is_introduced(&self, version: Option<Version>) -> bool {
        let known = lock(&self.link).introduced;
        known.is_some() && (version.is_none() || known == version)
    }

    pub(super) fn introduced(&self, version: Option<Version>) {
        let mut link = lock(&self.link);
        link.introduced = version.or(link.introduced).or(Some(self.facts.version));
    }

    pub(super) fn is_connected(&self) -> bool {
        lock(&self.link).session.is_some()
    }

    /// A new session; one there was before ends. Returns its number and its mailbox.
    pub(super) fn begin_session(&self) -> (u64, mpsc::Receiver<Mail>) {
        let (mailbox, mail) = mpsc::channel(MAILBOX_MAX);
        let mut link = lock(&self.link);
        link.sessions += 1;
        let number = link.sessions;
        if let Some(old) = link.session.replace(Session { number, mailbox }) {
            // A full mailbox ends it too: its sender is dropped.
            let _ = old.mailbox.try_send(Mail::End(tonic::Status::aborted("a newer session of this device began")));
        }
        (number, mail)
    }

    /// A session is over; a newer one stays.
    pub(super) fn finish_session(&self, number: u64) {
        let mut link = lock(&self.link);
        if link.session.as_ref().is_some_and(|session| session.number == number) {
            link.session = None;
        }
    }

    /// Ends the session there is.
    pub(super) fn end_session(&self, status: tonic::Status) {
        if let Some(old) = lock(&self.link).session.take() {
            let _ = old.mailbox.try_send(Mail::End(status));
        }
    }

    /// Says something to the device now. A device that does not read loses its session; commands are said again in its next.
    pub(super) fn say(&self, message: ControllerMessage) -> bool {
        let mut link = lock(&self.link);
        let said = link.session.as_ref().is_some_and(|session| session.mailbox.try_send(Mail::Say(message)).is_ok());
        if !said {
            link.session = None;
        }
        said
    }

    /// An answer that is worth something to a device that calls now and then.
    pub(super) fn answer(&self, message: ControllerMessage) {
        if self.is_connected() {
            self.say(message);
            return;
        }
        let mut link = lock(&self.link);
        if link.answers.len() == ANSWERS_MAX {
            link.answers.pop_front();
        }
        link.answers.push_back(message);
    }

    /// The answers that wait.
    pub(super) fn take_answers(&self) -> Vec<ControllerMessage> {
        lock(&self.link).answers.drain(..).collect()
    }
}

/// All devices there are.
#[derive(Debug, Default)]
pub(super) struct Registry {
    devices: Vec<Arc<Device>>,
    by_name: BTreeMap<String, usize>,
}

impl Registry {
    /// `stored` is how much of each device is in the store, by name.
    pub(super) fn new(fleet: Vec<DeviceFacts>, stored: &BTreeMap<String, u64>, messages_per_s: u32) -> Self {
        let mut registry = Self::default();
        for facts in fleet {
            let name = facts.id.as_str().to_owned();
            let place = registry.devices.len();
            let device = Device {
                place,
                stored: AtomicU64::new(stored.get(&name).copied().unwrap_or(0)),
                refused: AtomicU64::new(0),
                heard_ms: AtomicI64::new(0),
                news: Notify::new(),
                link: Mutex::default(),
                pace: Mutex::new(Pace::new(messages_per_s, std::time::Instant::now())),
                facts,
            };
            registry.devices.push(Arc::new(device));
            registry.by_name.insert(name, place);
        }
        registry
    }

    pub(super) fn find(&self, name: &str) -> Option<&Arc<Device>> {
        self.by_name.get(name).and_then(|place| self.devices.get(*place))
    }

    pub(super) fn devices(&self) -> &[Arc<Device>] {
        &self.devices
    }

    /// Devices of the fleet file that the engine has never heard of. Its fleet may also hold some that are in the file no more.
    pub(super) fn absent(&self, engine: &Engine) -> usize {
        self.devices.iter().filter(|device| engine.fleet().find(&device.facts.id).is_none()).count()
    }

    pub(super) fn connected(&self) -> usize {
        self.devices.iter().filter(|device| device.is_connected()).count()
    }
}
