//! From the store to a driver that goes on where the last one stopped.
//!
//! The journal holds every input, so a new engine that hears them again is the engine that was lost; what it says must be, line by line,
//! what stands there. Then it hears what devices had said and nobody had dealt with.

use super::board::Board;
use super::desk::Desk;
use super::driver::Driver;
use super::fold::{Fold, Moved};
use super::inbox::StoredBatch;
use super::metrics::Metrics;
use super::outbox::Outbox;
use super::registry::Registry;
use super::store::{Store, StoreError};
use super::writer::Job;
use super::{Setup, StartError};
use prost::Message;
use slacktide_engine::Engine;
use slacktide_engine::Input;
use slacktide_engine::journal::entry::{Header, JOURNAL_VERSION};
use slacktide_engine::journal::{ChainReader, ChainWriter, Entry, JournalMode};
use slacktide_engine::policy::Policy;
use slacktide_engine::time::Instant;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// What a driver shares with the rest of the controller.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) registry: Arc<Registry>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) jobs: Sender<Job>,
    pub(super) dead: Arc<AtomicBool>,
    pub(super) ending: Arc<AtomicBool>,
    pub(super) changes: watch::Sender<u64>,
}

/// What is in the inbox of a store that was just opened.
pub(super) fn inbox(store: &Store) -> Result<Vec<(i64, StoredBatch)>, StoreError> {
    let rows = store.inbox()?.into_iter();
    rows.map(|(id, bytes)| {
        let batch = StoredBatch::decode(bytes.as_slice());
        batch.map(|batch| (id, batch)).map_err(|error| store.unfit(format!("row {id} of its inbox: {error}")))
    })
    .collect()
}

/// How much of each device is stored: dealt with, or in the inbox.
pub(super) fn stored(store: &Store, inbox: &[(i64, StoredBatch)]) -> Result<BTreeMap<String, u64>, StoreError> {
    let mut stored: BTreeMap<String, u64> =
        store.marks()?.into_iter().map(|(device, marks)| (device, marks.highest())).collect();
    for one in inbox.iter().flat_map(|(_, batch)| &batch.messages) {
        let sequence = one.message.as_ref().map_or(0, |message| message.sequence);
        let highest = stored.entry(one.device.clone()).or_default();
        *highest = sequence.max(*highest);
    }
    Ok(stored)
}

fn header(setup: &Setup) -> Header {
    Header {
        version: JOURNAL_VERSION,
        program: concat!("slacktide ", env!("CARGO_PKG_VERSION")).to_owned(),
        mode: JournalMode::Full,
        seed: 0,
        world_name: setup.name.clone(),
        policy_name: setup.policy.name.clone(),
        policy: setup.policy.to_toml(),
        // Live: there is no world that could be made again.
        world: serde_json::Value::Null,
        metrics: setup.metrics.clone(),
        remarks: Vec::new(),
    }
}

/// A driver that has heard all that the store knows. Nothing of it has been sent yet.
pub(super) fn driver(
    store: &Store,
    setup: &Setup,
    shared: Shared,
    inbox: &[(i64, StoredBatch)],
) -> Result<Driver, StartError> {
    let now = setup.clock.now();
    let mut engine = Engine::new(setup.policy.clone(), &setup.metrics);
    engine.record_inputs(true);
    let mut driver = Driver {
        engine,
        chain: ChainWriter::default(),
        registry: shared.registry,
        outbox: shared.outbox,
        metrics: shared.metrics,
        board: Board::default(),
        desk: Desk::new(setup.two_persons, &store.meta()?),
        gate: setup.gate.clone(),
        fold: Fold::new(&setup.metrics),
        moved: Moved::new(store.marks()?),
        tick: setup.tick,
        next_tick: now.floor_to(setup.tick) + setup.tick,
        wake: None,
        heard: None,
        lines: Vec::new(),
        meta: Vec::new(),
        jobs: shared.jobs,
        dead: shared.dead,
        ending: shared.ending,
        changes: shared.changes,
        commands: Vec::new(),
        queue: VecDeque::new(),
        inbox_done: None,
        is_replaying: true,
    };
    let last = replay(store, setup, &mut driver)?;
    driver.is_replaying = false;
    let now = now.max(last.unwrap_or(now));
    if last.is_none() {
        let number = driver.chain.entries();
        let line = driver.chain.line(now, Entry::Header(Box::new(header(setup))));
        driver.lines.push((number, line));
    }
    let mut asking = Vec::new();
    for (id, batch) in inbox {
        for one in &batch.messages {
            if let Some(message) = &one.message {
                driver.hear_one(now, &one.device, message, &mut asking);
            }
        }
        driver.ask_for(now, &mut asking);
        driver.heard = Some(*id);
    }
    // What came due meanwhile is looked at first.
    driver.wake = Some(now);
    Ok(driver)
}

/// A journal goes on with the policy and the metrics that it was begun with.
fn begun_with(header: &Header, policy: &Policy, metrics: &[String]) -> Result<(), String> {
    let is_policy = header.policy != policy.to_toml();
    if !is_policy && header.metrics == metrics {
        return Ok(());
    }
    let what = if is_policy { "policy" } else { "metrics" };
    let advice = "export the journal and begin a new store, or go back to it";
    Err(format!("was begun with other {what} than the configuration has now: {advice}"))
}

/// The same, asked of a store's first line alone.
pub(super) fn begun_alike(store: &Store, first: &str, policy: &Policy, metrics: &[String]) -> Result<(), StoreError> {
    let unfit = |problem: String| store.unfit(format!("journal line 1: {problem}"));
    match ChainReader::default().read(first).map_err(|broken| unfit(broken.problem))?.entry {
        Entry::Header(header) => begun_with(&header, policy, metrics).map_err(unfit),
        _ => Err(unfit("is no header".to_owned())),
    }
}

/// Hands in the recorded inputs. Returns the moment of the last line; `None` for a store without a journal.
fn replay(store: &Store, setup: &Setup, driver: &mut Driver) -> Result<Option<Instant>, StartError> {
    let mut reader = ChainReader::default();
    let mut last = None;
    let due: Mutex<VecDeque<String>> = Mutex::default();
    store.each_line(0, &mut |number, text| {
        let unfit = |problem: String| store.unfit(format!("journal line {}: {problem}", number + 1));
        let line = reader.read(&text).map_err(|broken| unfit(broken.problem))?;
        last = Some(line.at);
        let mut due = super::registry::lock(&due);
        match line.entry {
            Entry::Header(of) => {
                begun_with(&of, &setup.policy, &setup.metrics).map_err(unfit)?;
                due.push_back(driver.chain.line(line.at, Entry::Header(of)));
            }
            Entry::Input { input } => again(driver, line.at, *input, &mut due),
            _ => {}
        }
        if due.pop_front().as_ref() != Some(&text) {
            let problem =
                "this program decides otherwise than the one that wrote it; go on with that one, or begin a new store";
            return Err(unfit(problem.to_owned()));
        }
        Ok(())
    })?;
    Ok(last)
}

/// One recorded input: the engine hears it, and the books follow; nothing is sent.
fn again(driver: &mut Driver, at: Instant, input: Input, due: &mut VecDeque<String>) {
    driver.hand_in(at, input);
    due.extend(std::mem::take(&mut driver.lines).into_iter().map(|(_, line)| line));
    for command in std::mem::take(&mut driver.commands) {
        let name = driver.name(command.device);
        let _ = driver.post(&name, &command);
    }
}
