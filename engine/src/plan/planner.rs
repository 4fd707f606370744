//! Makes a plan from nothing: in the order rank, wave, priority, id, each device at the earliest slot where every rule holds for its whole
//! window; then tries to shorten the whole, and gives what it moved back to those who come first. [`super::stay::replan`] changes a plan
//! that exists.

use super::board::Board;
use super::bound::lower_bound;
use super::report::PlanReport;
use super::shorten::{EFFORT_KEEP, search, shorten};
use super::tidy::tidy;
use super::{Plan, PlanInput, PlanLimits};
use crate::ids::PlanNumber;

/// Rounds of moving up and filling up. Each needs what the last one freed, so few are ever used.
pub(super) const ROUNDS_MAX: usize = 8;

/// Makes a plan and says why it is as it is. Pure; never fails; every candidate is placed once or waits once.
pub fn plan(input: &PlanInput, number: PlanNumber, parent: Option<PlanNumber>) -> (Plan, PlanReport) {
    let mut board = Board::new(input);
    board.fill();
    let lower = Lower::of(&board);
    shorten_whole(&mut board, lower.slots);
    settle(&mut board, lower.slots);
    finish(&board, lower, number, parent)
}

/// The lower bound for as many devices as had a place when it was made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lower {
    pub(super) slots: usize,
    placed: usize,
}

impl Lower {
    pub(super) fn of(board: &Board<'_>) -> Self {
        Self { slots: lower_bound(board), placed: board.windows().count() }
    }
}

/// Searches for a shorter plan with all effort, unless somebody has no room: then the plan runs to the horizon anyway.
pub(super) fn shorten_whole(board: &mut Board<'_>, lower: usize) {
    if board.end() > lower && !board.is_short_of_room() && search(board, lower) {
        let end = board.end();
        tidy(board, end);
    }
}

/// Lets devices move up that gain enough by it, fills up, and shortens the whole where that gains enough, until nothing changes: a plan
/// made again from the same input stays as it is.
pub(super) fn settle(board: &mut Board<'_>, lower: usize) {
    for _ in 0..ROUNDS_MAX {
        let moved = board.advance();
        let filled = board.fill();
        if moved || filled {
            continue;
        }
        let end = board.end();
        let target = end.saturating_sub(PlanLimits::shorter_min(end));
        if target < lower || board.is_short_of_room() || !shorten(board, target, EFFORT_KEEP) {
            break;
        }
    }
    board.fill();
}

/// The plan and the report of a board that nobody will move on.
pub(super) fn finish(
    board: &Board<'_>,
    lower: Lower,
    number: PlanNumber,
    parent: Option<PlanNumber>,
) -> (Plan, PlanReport) {
    let placed = board.windows().count();
    // Nobody loses a place after the bound is made, so as many are the same.
    let lower = if placed == lower.placed { lower } else { Lower::of(board) };
    let slot = board.input.slot;
    let report = PlanReport {
        placed,
        waiting: board.waiting(),
        makespan: slot.times(board.end()),
        lower_bound: slot.times(lower.slots),
        kept: 0,
        moved: Vec::new(),
    };
    (board.plan(number, parent), report)
}
