//! The one thread that writes the store: what devices say in groups, and the journal whenever the engine waits for it.

use super::driver::Told;
use super::inbox::{self, Marks, Received};
use super::metrics::Metrics;
use super::store::Store;
use rusqlite::{Connection, params};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender};
use std::time::{Duration, Instant};

/// A group is committed at the latest this long after its first message came.
const GROUP: Duration = Duration::from_millis(5);
/// Most messages of a group.
const GROUP_MAX: usize = 4096;

/// Something to write.
#[derive(Debug)]
pub(super) enum Job {
    /// What a device said.
    Said(Received),
    /// What the engine said.
    Decided(Decided),
    /// A portion of the journal from this line on, for somebody who reads.
    Read { from: u64, lines: u32, to: tokio::sync::oneshot::Sender<Result<Vec<(u64, String)>, String>> },
    /// No more: close the file.
    End,
}

/// Lines of the journal and all that must be true together with them.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) lines: Vec<(u64, String)>,
    pub(super) marks: BTreeMap<String, Marks>,
    /// Everything in the inbox up to this row has been dealt with.
    pub(super) inbox_done: Option<i64>,
    pub(super) meta: Vec<(String, Option<String>)>,
    pub(super) done: SyncSender<Result<(), String>>,
}

/// Writes until it is told to end.
pub(super) fn run(
    store: Store,
    jobs: &Receiver<Job>,
    deliver: &Sender<Told>,
    metrics: &Arc<Metrics>,
    dead: &AtomicBool,
) {
    let mut connection = store.connection;
    let mut said: Vec<Received> = Vec::new();
    while let Ok(first) = jobs.recv() {
        let until = Instant::now() + GROUP;
        let mut job = Some(first);
        let mut decided = Vec::new();
        let mut end = false;
        loop {
            match job.take() {
                Some(Job::Said(received)) => said.push(received),
                // The engine waits for nobody: whoever came so far goes with it.
                Some(Job::Decided(now)) => {
                    decided.push(now);
                    break;
                }
                Some(Job::Read { from, lines, to }) => {
                    let _ = to.send(read(&connection, from, lines).map_err(|error| error.to_string()));
                }
                Some(Job::End) => {
                    end = true;
                    break;
                }
                None => {}
            }
            if said.len() >= GROUP_MAX || (said.is_empty() && decided.is_empty()) {
                break;
            }
            match jobs.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(next) => job = Some(next),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        if dead.load(Ordering::Acquire) {
            return;
        }
        commit(&mut connection, std::mem::take(&mut said), decided, deliver, metrics);
        if end {
            return;
        }
    }
}

fn commit(
    connection: &mut Connection,
    said: Vec<Received>,
    decided: Vec<Decided>,
    deliver: &Sender<Told>,
    metrics: &Arc<Metrics>,
) {
    let mut said = in_sequence(said, metrics);
    if said.is_empty() && decided.is_empty() {
        return;
    }
    match write(connection, &said, &decided) {
        Ok(id) => {
            metrics.committed(said.len());
            let mut heard: Vec<_> = said.iter().map(|r| (Arc::clone(&r.device), r.message.sequence, r.came)).collect();
            let done: Vec<_> = said.iter_mut().filter_map(|received| received.done.take()).collect();
            if let Some(id) = id {
                // The engine's thread first, so that whoever has been told of it and asks sees it. A driver that is gone has taken all
                // it will.
                let _ = deliver.send(Told::Stored { id, messages: said });
            }
            for (device, sequence, came) in heard.drain(..) {
                device.set_stored(sequence);
                metrics.acknowledged(came.elapsed());
            }
            for one in done {
                let _ = one.send(());
            }
            for one in decided {
                let _ = one.done.send(Ok(()));
            }
        }
        Err(error) => {
            let why = format!("the store cannot be written: {error}");
            metrics.store_failed(&why);
            for received in &said {
                received.device.not_stored(&why);
            }
            for one in decided {
                let _ = one.done.send(Err(why.clone()));
            }
        }
    }
}

/// Leaves out what is stored already, and what does not follow: after a message that could not be stored, those after it must come again.
fn in_sequence(said: Vec<Received>, metrics: &Arc<Metrics>) -> Vec<Received> {
    let mut highest: BTreeMap<usize, u64> = BTreeMap::new();
    let mut kept = Vec::with_capacity(said.len());
    for received in said {
        if received.message.sequence == 0 {
            kept.push(received);
            continue;
        }
        let last = highest.entry(received.device.place).or_insert_with(|| received.device.stored());
        if received.message.sequence > *last && received.message.stands_after() <= *last {
            *last = received.message.sequence;
            kept.push(received);
        } else if received.message.sequence > *last {
            metrics.refused("sequence-gap");
            received.device.not_stored("messages before this one are missing: send them again");
        }
    }
    kept
}

fn write(connection: &mut Connection, said: &[Received], decided: &[Decided]) -> Result<Option<i64>, rusqlite::Error> {
    let transaction = connection.transaction()?;
    let mut id = None;
    if !said.is_empty() {
        transaction.prepare_cached("INSERT INTO inbox(batch) VALUES(?1)")?.execute([inbox::encode(said)])?;
        id = Some(transaction.last_insert_rowid());
    }
    for one in decided {
        let mut line = transaction.prepare_cached("INSERT INTO journal(number, line) VALUES(?1, ?2)")?;
        for (number, text) in &one.lines {
            line.execute(params![*number as i64, text])?;
        }
        let mut mark =
            transaction.prepare_cached("INSERT OR REPLACE INTO marks(device, reports, events) VALUES(?1, ?2, ?3)")?;
        for (device, marks) in &one.marks {
            mark.execute(params![device, marks.reports as i64, marks.events as i64])?;
        }
        for (key, value) in &one.meta {
            match value {
                Some(value) => transaction
                    .prepare_cached("INSERT OR REPLACE INTO meta(key, value) VALUES(?1, ?2)")?
                    .execute([key, value])?,
                None => transaction.prepare_cached("DELETE FROM meta WHERE key = ?1")?.execute([key])?,
            };
        }
        if let Some(done) = one.inbox_done {
            transaction.prepare_cached("DELETE FROM inbox WHERE id <= ?1")?.execute([done])?;
        }
    }
    transaction.commit()?;
    Ok(id)
}

fn read(connection: &Connection, from: u64, lines: u32) -> Result<Vec<(u64, String)>, rusqlite::Error> {
    let mut statement =
        connection.prepare_cached("SELECT number, line FROM journal WHERE number >= ?1 ORDER BY number LIMIT ?2")?;
    let rows =
        statement.query_map(params![from as i64, lines], |row| Ok((row.get::<_, i64>(0)? as u64, row.get(1)?)))?;
    rows.collect()
}
