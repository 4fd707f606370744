//! Slow looks: every hour at all updated devices at once, each by how long ago it was updated, for what grows over hours.
//!
//! Each look is an e-value of its own. Look k takes the share `1 / (k (k + 1))` of the stake: the shares add up to 1, so the sum of what
//! looks have brought by now never expects more than 1, however looks depend on each other.

use super::evidence::{BET_MAX, Sums};
use super::normal::log_sum_exp;
use super::panel::{Panel, Yardstick, normal_score};
use super::windows::{COARSE, Window};
use super::{Group, panel};
use crate::time::Instant;

/// Coarse bins of a look.
const BINS: i64 = 2;
/// Coarse bins from one look to the next.
const EVERY: i64 = 2;
/// What is bet on, with equal stakes: points at once beyond the tolerated ones, and points an hour.
const RISES: [(f64, f64); 4] = [(4.0, 0.0), (0.0, 0.5), (0.0, 1.0), (0.0, 2.0)];

/// What slow looks have said.
#[derive(Debug, Clone, Copy)]
pub(super) struct SlowLooks {
    /// Logarithm of the sum of their e-values, each by its share.
    pub(super) log_e: f64,
    looks: f64,
    /// Of the newest look.
    pub(super) sums: Sums,
}

/// One bet of a look: Σ bet × score, Σ bet², Σ bet.
#[derive(Debug, Clone, Copy, Default)]
struct Bet {
    gain: f64,
    squares: f64,
    total: f64,
}

impl SlowLooks {
    pub(super) fn new() -> Self {
        Self { log_e: f64::NEG_INFINITY, looks: 0.0, sums: Sums::default() }
    }

    /// Looks when an hour is over; called whenever a coarse bin is.
    pub(super) fn look(&mut self, now: Instant, tolerance: f64, panel: &Panel, yardstick: &mut Yardstick) {
        let closed = panel.windows.closed().div_euclid(COARSE);
        if closed.rem_euclid(EVERY) != 0 {
            return;
        }
        let after = Window { is_coarse: true, end: closed, bins: BINS };
        let is_back = |w: &panel::Watched| w.back < (closed - BINS) * COARSE;
        let mut entrants: Vec<(i64, usize)> = Vec::new();
        for (w, watched) in panel.watched.iter().enumerate() {
            if watched.group == Group::Treated && watched.left > i64::MIN && is_back(watched) {
                entrants.push((watched.left.div_euclid(COARSE), w));
            }
        }
        entrants.sort_unstable();
        let mut bets = [Bet::default(); RISES.len()];
        let mut by_pool = vec![([0.0; RISES.len()], u32::MAX); panel.pools()];
        let (mut controls, mut sums) = (usize::MAX, Sums::default());
        for group in entrants.chunk_by(|a, b| a.0 == b.0) {
            let Some((before, unit)) = panel.measure_best(group[0].0 * COARSE, after, yardstick) else { continue };
            controls = controls.min(yardstick.best.scores.len());
            for (_, w) in group {
                let Some((excess, mates)) = panel.excess(*w, before, after, yardstick) else { continue };
                let watched = &panel.watched[*w];
                let deviation = watched.spread * unit;
                let score = normal_score(&yardstick.best.scores, (excess - tolerance) / watched.spread);
                // At the middle of the bins that are looked at, each half an hour.
                let hours = now.since(watched.since).as_secs_f64() / 3600.0 - 0.25 * BINS as f64;
                let (by_rise, mates_min) = &mut by_pool[watched.pool];
                *mates_min = mates.min(*mates_min);
                sums.add(excess, deviation, 1.0 + 1.0 / f64::from(mates));
                for ((points, rate), (bet, in_pool)) in RISES.iter().zip(bets.iter_mut().zip(by_rise)) {
                    let grown = if *rate > 0.0 { (rate * hours - tolerance).max(0.0) } else { 0.0 };
                    let size = ((points + grown) / deviation).min(BET_MAX);
                    bet.gain += size * score;
                    bet.squares += size * size;
                    bet.total += size;
                    *in_pool += size;
                }
            }
        }
        if controls < usize::MAX {
            self.sums = sums;
            self.take(bets, &by_pool, controls as f64);
        }
    }

    fn take(&mut self, mut bets: [Bet; RISES.len()], by_pool: &[([f64; RISES.len()], u32)], controls: f64) {
        // Members of a pool share the noise of its mean, everybody that of the yardstick.
        for (in_pool, mates) in by_pool.iter().filter(|(_, mates)| *mates < u32::MAX) {
            for (bet, size) in bets.iter_mut().zip(in_pool) {
                bet.squares += size * size / f64::from(*mates);
            }
        }
        let log_e = bets.map(|b| b.gain - (b.squares + b.total * b.total / (controls + 1.0)) / 2.0);
        let log_e = log_sum_exp(log_e.into_iter()) - libm::log(RISES.len() as f64);
        self.looks += 1.0;
        let log_share = -libm::log(self.looks * (self.looks + 1.0));
        self.log_e = log_sum_exp([self.log_e, log_e + log_share].into_iter());
    }
}
