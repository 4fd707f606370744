//! State, disk and buffer under one lock: what changes the state is on the disk before anybody hears of it.

use super::buffer::{BLOCK, Buffer};
use super::disk::{Copy, Disk};
use super::now_ms;
use super::state::{Answer, Phase, REASON_BYTES_MAX, State, Verdict, Work};
use crate::wire::outcome::Result as WireResult;
use crate::wire::{DeviceMessage, Outcome, Progress, Report, device_message::Body};
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The desk.
#[derive(Debug)]
pub struct Desk {
    inner: Mutex<Inner>,
    changed: watch::Sender<u64>,
}

#[derive(Debug)]
struct Inner {
    disk: Disk,
    state: State,
    buffer: Buffer,
}

/// A change that is being made: the state as it will be, and what will be said once it is on the disk.
#[derive(Debug)]
pub struct Change {
    /// The state.
    pub state: State,
    said: Vec<Said>,
}

#[derive(Debug)]
enum Said {
    Plain(Body),
    /// The answer to this command.
    Answer(u64),
}

impl Change {
    /// Says something, after the change is on the disk.
    pub fn say(&mut self, body: Body) {
        self.said.push(Said::Plain(body));
    }

    /// Says where an attempt stands.
    pub fn say_progress(&mut self, work: &Work) {
        self.say(Body::Progress(Progress { attempt: work.attempt, state: work.phase.name().into() }));
    }

    /// Answers a command, for good.
    pub fn answer(&mut self, command: u64, verdict: Verdict, reason: &str, version: &str) {
        let reason = tail(reason, REASON_BYTES_MAX).to_owned();
        let answer = Answer {
            command,
            verdict,
            reason,
            version: version.to_owned(),
            at_ms: now_ms(),
            sequence: 0,
            stored: false,
        };
        self.state.remember(answer);
        self.said.push(Said::Answer(command));
    }

    /// Answers a command as it was answered before, when the first answer has gone; otherwise that one will do.
    pub fn answer_again(&mut self, command: u64) {
        if let Some(answer) = self.state.answers.iter_mut().find(|a| a.command == command && a.stored) {
            answer.stored = false;
            self.said.push(Said::Answer(command));
        }
    }
}

impl Desk {
    /// Opens the desk with the state in `folder`; the second value tells which copy of it was good.
    ///
    /// # Errors
    /// The state cannot be read; see [`Disk::load`].
    pub fn open(folder: &Path, reports_max: usize) -> io::Result<(Self, Copy)> {
        let disk = Disk::new(folder)?;
        let mut loaded = disk.load()?;
        if matches!(loaded.from, Copy::Previous(_)) {
            // The lost copy may have reserved one block more.
            loaded.state.reserved += BLOCK;
        }
        let mut buffer = Buffer::new(reports_max, loaded.state.reserved);
        let mut open: Vec<&Answer> = loaded.state.answers.iter().filter(|a| !a.stored).collect();
        open.sort_by_key(|a| a.sequence);
        open.iter().for_each(|a| buffer.restore(message(a)));
        let (changed, _) = watch::channel(0);
        Ok((Self { inner: Mutex::new(Inner { disk, state: loaded.state, buffer }), changed }, loaded.from))
    }

    /// Tells when anything has changed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// A copy of the state.
    pub fn state(&self) -> State {
        self.lock().state.clone()
    }

    /// What is being carried out.
    pub fn work(&self) -> Option<Work> {
        self.lock().state.work.clone()
    }

    /// Makes a change: `f` works on a copy, which becomes the state once it is on the disk; then what `f` said can be sent.
    ///
    /// # Errors
    /// The disk did not take it; nothing has changed then.
    pub fn change<T>(&self, f: impl FnOnce(&mut Change) -> T) -> io::Result<T> {
        let mut inner = self.lock();
        let mut change = Change { state: inner.state.clone(), said: Vec::new() };
        let result = f(&mut change);
        let Change { mut state, said } = change;
        let mut sequence = inner.buffer.next_number();
        for said in &said {
            if let Said::Answer(command) = said
                && let Some(answer) = state.answers.iter_mut().find(|a| a.command == *command)
            {
                answer.sequence = sequence;
            }
            sequence += 1;
        }
        if sequence > state.reserved + 1 {
            state.reserved = sequence + BLOCK;
        }
        if state != inner.state {
            inner.disk.store(&state)?;
            inner.state = state;
        }
        for said in said {
            let answer = match said {
                Said::Plain(body) => Ok(body),
                Said::Answer(command) => Err(inner.state.answer(command).cloned()),
            };
            match answer {
                Ok(body) => drop(inner.buffer.push(now_ms(), body)),
                Err(Some(answer)) => drop(inner.buffer.push(answer.at_ms, outcome(&answer))),
                Err(None) => {}
            }
        }
        drop(inner);
        self.changed.send_modify(|n| *n += 1);
        Ok(result)
    }

    /// Takes a report to be sent.
    pub fn report(&self, at_ms: i64, report: Report) {
        self.lock().buffer.push_report(at_ms, report);
        self.changed.send_modify(|n| *n += 1);
    }

    /// The next message to send in this session, if one may be sent now.
    ///
    /// # Errors
    /// A number could not be reserved on the disk.
    pub fn next_to_send(&self) -> io::Result<Option<DeviceMessage>> {
        let mut inner = self.lock();
        if inner.buffer.wants_number() && inner.buffer.next_number() > inner.state.reserved {
            let mut state = inner.state.clone();
            state.reserved = inner.buffer.next_number() + BLOCK;
            inner.disk.store(&state)?;
            inner.state = state;
        }
        Ok(inner.buffer.next_to_send())
    }

    /// The controller has stored everything up to `sequence`.
    ///
    /// # Errors
    /// The disk did not take that answers are stored.
    pub fn ack(&self, sequence: u64) -> io::Result<()> {
        self.lock().buffer.ack(sequence);
        if self.lock().state.answers.iter().any(|a| !a.stored && a.sequence <= sequence) {
            self.change(|change| {
                change.state.answers.iter_mut().filter(|a| a.sequence <= sequence).for_each(|a| a.stored = true);
            })?;
        } else {
            self.changed.send_modify(|n| *n += 1);
        }
        Ok(())
    }

    /// A new session begins after `resume_after`; see [`Buffer::resume`].
    ///
    /// # Errors
    /// As for [`Self::ack`].
    pub fn resume(&self, resume_after: u64) -> io::Result<bool> {
        let forgot = self.lock().buffer.resume(resume_after);
        self.ack(resume_after)?;
        if forgot {
            self.change(|change| change.state.reserved = change.state.reserved.max(resume_after))?;
        }
        Ok(forgot)
    }

    /// Messages that wait, and reports that were dropped since the start.
    pub fn waiting(&self) -> (usize, u64) {
        let inner = self.lock();
        (inner.buffer.len(), inner.buffer.dropped())
    }

    /// Is a message like this waiting?
    pub fn has(&self, like: impl Fn(&Body) -> bool) -> bool {
        self.lock().buffer.has(like)
    }

    /// Gives back the numbers that were reserved and not used: an orderly end leaves no gap.
    ///
    /// # Errors
    /// The disk did not take it.
    pub fn close(&self) -> io::Result<()> {
        let used = self.lock().buffer.next_number() - 1;
        self.change(|change| change.state.reserved = used)
    }

    /// Goes to another phase unless it was called off meanwhile; says so. `false`: the work must end as canceled.
    ///
    /// # Errors
    /// The disk did not take it.
    pub fn enter(&self, phase: Phase, alter: impl FnOnce(&mut Work)) -> io::Result<bool> {
        self.change(|change| {
            let Some(mut work) = change.state.work.clone() else { return false };
            if work.cancel && work.can_be_cancelled() {
                return false;
            }
            work.phase = phase;
            work.begun = false;
            alter(&mut work);
            change.say_progress(&work);
            change.state.work = Some(work);
            true
        })
    }

    /// Ends the work with an outcome; a rollback that waited is next.
    ///
    /// # Errors
    /// The disk did not take it.
    pub fn finish(&self, verdict: Verdict, reason: &str, version: &str) -> io::Result<()> {
        self.change(|change| {
            let Some(work) = change.state.work.take() else { return };
            change.answer(work.command, verdict, reason, version);
            change.state.work = change.state.next.take();
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere leaves the state as it was: it is only ever replaced whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last `bytes_max` bytes of a text, from a whole character on.
pub fn tail(text: &str, bytes_max: usize) -> &str {
    let from = text.len().saturating_sub(bytes_max);
    let from = (from..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    &text[from..]
}

fn outcome(answer: &Answer) -> Body {
    let result = match answer.verdict {
        Verdict::Succeeded => WireResult::Succeeded,
        Verdict::Failed => WireResult::Failed,
        Verdict::Rejected => WireResult::Rejected,
        Verdict::AlreadyCurrent => WireResult::AlreadyCurrent,
        Verdict::Canceled => WireResult::Canceled,
    };
    let (reason, version) = (answer.reason.clone(), answer.version.clone());
    Body::Outcome(Outcome { command: answer.command, result: result.into(), reason, version })
}

fn message(answer: &Answer) -> DeviceMessage {
    DeviceMessage { sequence: answer.sequence, previous: None, at_ms: answer.at_ms, body: Some(outcome(answer)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_never_repeat_after_a_crash_and_an_open_answer_keeps_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let mut highest = 0;
        for life in 0..3u64 {
            let (desk, _) = Desk::open(folder.path(), 10).unwrap();
            desk.resume(0).unwrap();
            desk.change(|c| c.answer(life, Verdict::Failed, "so", "1")).unwrap();
            desk.report(0, Report { samples: Vec::new() });
            let sent: Vec<u64> = std::iter::from_fn(|| desk.next_to_send().unwrap()).map(|m| m.sequence).collect();
            assert_eq!(sent.len() as u64, life + 2, "the open answers of before, the new one, the report: {sent:?}");
            assert!(sent.is_sorted() && sent[sent.len() - 2] > highest, "{sent:?} after {highest}");
            highest = sent[sent.len() - 1];
        }
        let (desk, _) = Desk::open(folder.path(), 10).unwrap();
        desk.resume(highest).unwrap();
        assert_eq!(desk.waiting(), (0, 0));
        desk.change(|c| c.answer_again(1)).unwrap();
        assert!(matches!(desk.next_to_send().unwrap().unwrap().body, Some(Body::Outcome(o)) if o.command == 1));
    }

    #[test]
    fn an_orderly_end_leaves_no_gap() {
        let folder = tempfile::tempdir().unwrap();
        for life in 1..=3 {
            let (desk, _) = Desk::open(folder.path(), 10).unwrap();
            desk.report(0, Report { samples: Vec::new() });
            assert_eq!(desk.next_to_send().unwrap().unwrap().sequence, life);
            desk.close().unwrap();
        }
    }

    #[test]
    fn a_reason_is_cut_to_its_end_at_a_character() {
        assert_eq!(tail("aé", 1), "");
        assert_eq!(tail("aé", 2), "é");
        assert_eq!(tail("abc", 9), "abc");
    }
}
