//! May this command be obeyed? Decided on the state alone, in the same breath in which it is written to the disk.

use super::desk::{Change, Desk};
use super::now_ms;
use super::state::{Kind, Phase, Verdict, Work, same_version};
use crate::wire::{Install, Rollback};
use std::io;

/// Longest time that a command may give, milliseconds: a week. What is longer is an accident.
pub const TIMEOUT_MAX_MS: u64 = 7 * 24 * 3_600_000;

/// What was done about a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is new and will be carried out, now or after what is under way.
    On,
    /// It is known: under way, or answered again.
    Known,
    /// It was answered at once: there is nothing to do, or it will not be done.
    Answered,
}

/// Is a controller of this epoch to be obeyed? Remembers the highest. An older controller has been replaced and does not know it yet.
///
/// # Errors
/// The disk did not take it.
pub fn hear(desk: &Desk, epoch: u64) -> io::Result<bool> {
    let highest = desk.state().epoch;
    if epoch > highest {
        desk.change(|change| change.state.epoch = change.state.epoch.max(epoch))?;
    }
    Ok(epoch >= highest)
}

/// Takes an install on, or answers it. `current` is the release the device runs.
///
/// # Errors
/// The disk did not take it.
pub fn install(desk: &Desk, order: &Install, current: &str) -> io::Result<Taken> {
    desk.change(|change| {
        if let Some(taken) = settled(change, order.command, order.generation, current) {
            return taken;
        }
        let busy = change.state.next.as_ref().or(change.state.work.as_ref());
        if let Some(reason) = busy.map(|w| format!("busy with attempt {} ({})", w.attempt, w.phase.name())) {
            change.answer(order.command, Verdict::Rejected, &reason, current);
            return Taken::Answered;
        }
        if let Some(reason) = odd_name(&order.package).or_else(|| odd_name(&order.version)) {
            change.answer(order.command, Verdict::Rejected, &reason, current);
            return Taken::Answered;
        }
        if same_version(&order.version, current) {
            change.answer(order.command, Verdict::AlreadyCurrent, "", current);
            return Taken::Answered;
        }
        let sha256 = Some(order.sha256.clone()).filter(|sha256| !sha256.is_empty());
        let kind = Kind::Install { package: order.package.clone(), sha256 };
        let work = work(kind, order.command, order.attempt, &order.version, order.timeout_ms);
        change.say_progress(&work);
        change.state.work = Some(work);
        Taken::On
    })
}

/// Takes a rollback on, or answers it. What is under way is called off if it still can be, and taken back if not.
///
/// # Errors
/// The disk did not take it.
pub fn rollback(desk: &Desk, order: &Rollback, current: &str) -> io::Result<Taken> {
    desk.change(|change| {
        if let Some(taken) = settled(change, order.command, order.generation, current) {
            return taken;
        }
        if let Some(next) = &change.state.next {
            let reason = format!("busy with attempt {} ({})", next.attempt, next.phase.name());
            change.answer(order.command, Verdict::Rejected, &reason, current);
            return Taken::Answered;
        }
        let new = work(Kind::Rollback, order.command, order.attempt, &order.version, order.timeout_ms);
        match &mut change.state.work {
            Some(under_way) => {
                under_way.cancel = true;
                change.state.next = Some(new);
            }
            None if same_version(&order.version, current) => {
                change.answer(order.command, Verdict::AlreadyCurrent, "", current);
                return Taken::Answered;
            }
            None => {
                change.say_progress(&new);
                change.state.work = Some(new);
            }
        }
        Taken::On
    })
}

/// Calls an install off, if it has not taken the device out yet. Its word is the outcome of that install. `current` is the release it runs.
///
/// # Errors
/// The disk did not take it.
pub fn cancel(desk: &Desk, command: u64, current: &str) -> io::Result<Taken> {
    desk.change(|change| {
        if change.state.answer(command).is_some() {
            change.answer_again(command);
            return Taken::Known;
        }
        match change.state.work.as_mut().filter(|w| w.command == command) {
            Some(work) if work.can_be_cancelled() => {
                work.cancel = true;
                Taken::On
            }
            Some(_) => Taken::Known,
            // It overtook its install, or that got lost: should it still come, it must not be carried out.
            None if change.state.next.as_ref().is_none_or(|w| w.command != command) => {
                change.answer(command, Verdict::Canceled, "", current);
                Taken::Answered
            }
            None => Taken::Known,
        }
    })
}

/// What settles a command without any work: it is known already, or of a plan older than one that was obeyed.
fn settled(change: &mut Change, command: u64, generation: u64, current: &str) -> Option<Taken> {
    if let Some(taken) = known(change, command) {
        return Some(taken);
    }
    let reason = stale(change, generation)?;
    change.answer(command, Verdict::Rejected, &reason, current);
    Some(Taken::Answered)
}

fn known(change: &mut Change, command: u64) -> Option<Taken> {
    let state = &change.state;
    if let Some(work) = state.work.as_ref().filter(|w| w.command == command).cloned() {
        change.say_progress(&work);
        return Some(Taken::Known);
    }
    if state.next.as_ref().is_some_and(|w| w.command == command) {
        return Some(Taken::Known);
    }
    state.answer(command)?;
    change.answer_again(command);
    Some(Taken::Known)
}

fn stale(change: &mut Change, generation: u64) -> Option<String> {
    let highest = change.state.generation;
    if generation < highest {
        return Some(format!("plan {generation} is older than plan {highest}, which was obeyed"));
    }
    change.state.generation = generation;
    None
}

/// Names become parts of paths and of the environment of scripts.
fn odd_name(name: &str) -> Option<String> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+');
    let fine = (1..=128).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(good);
    (!fine).then(|| "a name of a package or version must be 1..=128 of letters, digits, `.`, `_`, `-`, `+`".to_owned())
}

fn work(kind: Kind, command: u64, attempt: u64, version: &str, timeout_ms: u64) -> Work {
    let timeout_ms = timeout_ms.clamp(1, TIMEOUT_MAX_MS);
    Work {
        command,
        attempt,
        kind,
        version: version.to_owned(),
        deadline_ms: now_ms().saturating_add_unsigned(timeout_ms),
        timeout_ms,
        phase: Phase::Queued,
        begun: false,
        cancel: false,
        from: None,
        to: None,
        scripts: None,
        failure: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desk() -> (tempfile::TempDir, Desk) {
        let folder = tempfile::tempdir().unwrap();
        let desk = Desk::open(folder.path(), 10).unwrap().0;
        (folder, desk)
    }

    fn an_install(command: u64, generation: u64) -> Install {
        let (package, version) = ("p".to_owned(), "2".to_owned());
        Install { command, attempt: command, generation, package, version, timeout_ms: 60_000, sha256: String::new() }
    }

    fn verdict(desk: &Desk, command: u64) -> Option<Verdict> {
        desk.state().answer(command).map(|a| a.verdict)
    }

    #[test]
    fn an_older_plan_is_refused_and_an_equal_one_is_not() {
        let (_folder, desk) = desk();
        assert_eq!(install(&desk, &an_install(1, 5), "1").unwrap(), Taken::On);
        desk.finish(Verdict::Succeeded, "", "1").unwrap();
        assert_eq!(install(&desk, &an_install(2, 4), "1").unwrap(), Taken::Answered);
        assert_eq!(verdict(&desk, 2), Some(Verdict::Rejected));
        assert_eq!(install(&desk, &an_install(3, 5), "1").unwrap(), Taken::On);
    }

    #[test]
    fn a_known_command_is_answered_and_not_taken_on_again() {
        let (_folder, desk) = desk();
        assert_eq!(install(&desk, &an_install(1, 0), "1").unwrap(), Taken::On);
        assert_eq!(install(&desk, &an_install(1, 0), "1").unwrap(), Taken::Known);
        desk.finish(Verdict::Failed, "because", "1").unwrap();
        assert_eq!(install(&desk, &an_install(1, 0), "1").unwrap(), Taken::Known);
        assert!(desk.work().is_none());
    }

    #[test]
    fn an_older_controller_is_not_heard() {
        let (_folder, desk) = desk();
        assert!(hear(&desk, 3).unwrap() && hear(&desk, 3).unwrap() && !hear(&desk, 2).unwrap());
        assert_eq!(desk.state().epoch, 3);
    }

    #[test]
    fn nothing_is_cancelled_once_it_drains() {
        let (_folder, desk) = desk();
        install(&desk, &an_install(1, 0), "1").unwrap();
        assert!(desk.enter(Phase::Draining, |_| ()).unwrap());
        assert_eq!(cancel(&desk, 1, "1").unwrap(), Taken::Known);
        assert!(!desk.work().unwrap().cancel);
    }

    #[test]
    fn a_cancelled_work_goes_no_further_and_a_cancel_that_came_first_is_remembered() {
        let (_folder, desk) = desk();
        install(&desk, &an_install(1, 0), "1").unwrap();
        assert_eq!(cancel(&desk, 1, "1").unwrap(), Taken::On);
        assert!(!desk.enter(Phase::Draining, |_| ()).unwrap());
        assert_eq!(cancel(&desk, 9, "1").unwrap(), Taken::Answered);
        assert_eq!(install(&desk, &an_install(9, 0), "1").unwrap(), Taken::Known);
        assert_eq!(verdict(&desk, 9), Some(Verdict::Canceled));
    }

    #[test]
    fn names_that_could_leave_the_folder_are_refused() {
        let (_folder, desk) = desk();
        for (command, name) in (1..).zip(["../x", "", ".x", "a/b", "a\0b", "a b"]) {
            let order = Install { package: name.into(), ..an_install(command, 0) };
            assert_eq!(install(&desk, &order, "1").unwrap(), Taken::Answered, "{name:?}");
        }
        assert!(desk.work().is_none());
    }

    #[test]
    fn one_version_written_in_two_ways_is_one_version() {
        let (_folder, desk) = desk();
        let order = Install { version: "2.0".into(), ..an_install(1, 0) };
        assert_eq!(install(&desk, &order, "2.0.0").unwrap(), Taken::Answered);
        assert_eq!(verdict(&desk, 1), Some(Verdict::AlreadyCurrent));
    }

    #[test]
    fn a_second_install_is_refused_while_one_is_under_way() {
        let (_folder, desk) = desk();
        install(&desk, &an_install(1, 0), "1").unwrap();
        assert_eq!(install(&desk, &an_install(2, 0), "1").unwrap(), Taken::Answered);
        assert!(desk.state().answer(2).unwrap().reason.contains("busy with attempt 1 (queued)"));
    }
}
