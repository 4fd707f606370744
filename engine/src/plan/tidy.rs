//! After a search: gives places back to those who come first.

use super::board::Board;

/// Pairs looked at before it is left at that.
const EFFORT: usize = 2_000_000;

/// In order, moves each device to the earliest place that is free, or that a device behind it holds and would exchange for its own.
/// Nobody ends after `end`; windows exchanged are of one length, in one pool.
pub(super) fn tidy(board: &mut Board<'_>, end: usize) {
    let slots = board.input.slots;
    let mut starts: Vec<Vec<usize>> = vec![Vec::new(); board.input.pools.len() * slots];
    let at = |board: &Board<'_>, d: usize, slot: usize| board.input.devices[d].pool.index() * slots + slot;
    for d in &board.order {
        if let Some(slot) = board.placed[*d] {
            starts[at(board, *d, slot)].push(*d);
        }
    }
    let mut effort = EFFORT;
    for position in 0..board.order.len() {
        let d = board.order[position];
        let Some(mine) = board.placed[d] else { continue };
        let earlier: Vec<usize> = board.possible.from(d, 0).take_while(|s| *s < mine).collect();
        for slot in earlier {
            let list = &starts[at(board, d, slot)];
            effort = effort.saturating_sub(list.len() + 1);
            if effort == 0 {
                return;
            }
            board.lift(d);
            let partner = if board.room.fits(d, slot) {
                Some(d)
            } else {
                let behind = |other: &&usize| board.rank[**other] > position && board.out(**other) == board.out(d);
                let list: Vec<usize> = list.iter().filter(behind).copied().collect();
                list.into_iter().find(|other| exchanges(board, d, slot, *other, mine, end))
            };
            let place = if partner.is_some() { slot } else { mine };
            board.place(d, place);
            if let Some(other) = partner {
                let (from, to) = (at(board, d, mine), at(board, d, slot));
                starts[from].retain(|x| *x != d);
                starts[to].push(d);
                if other != d {
                    starts[to].retain(|x| *x != other);
                    starts[from].push(other);
                }
                break;
            }
        }
    }
}

/// Moves `other` from `slot` to `mine` when it fits there and `d`, which has no place, then fits at `slot`.
fn exchanges(board: &mut Board<'_>, d: usize, slot: usize, other: usize, mine: usize, end: usize) -> bool {
    if !board.possible.has(other, mine) || mine + board.out(other) > end {
        return false;
    }
    board.lift(other);
    // As `d` would be in its new place, so that both are judged together.
    board.place(d, slot);
    let fits = board.room.fits(other, mine);
    board.lift(d);
    if fits && board.room.fits(d, slot) {
        board.place(other, mine);
        return true;
    }
    board.place(other, slot);
    false
}
