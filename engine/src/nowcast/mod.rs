//! What demand is doing now, against what was forecast: the forecast in force corrected by how reality has been leaving it lately.
//!
//! Every tick the residual (demand now less what was forecast for now) goes through a damped-trend smoother. Its level corrects the
//! forecast near by; its trend is believed only where it stands out from how this pool's trend wobbles anyway, which is learned from all
//! telemetry since enrolment. One tick that is far off counts for little until the next confirms it; two in a row are believed at once,
//! with the smaller of their two steps as the trend, so that a jump is not taken for a climb. A new forecast changes what is residual:
//! level and trend are moved so that what is expected of demand is not. The correction holds for [`HOLD`] and is gone after [`GONE`].
//!
//! A constant number of operations a pool and tick, and nothing allocated.

mod holt;
mod tracker;

use crate::fleet::Fleet;
use crate::forecasting::Forecasting;
use crate::ids::PoolIndex;
use crate::time::{Instant, Span};
pub use tracker::{Ahead, GONE, HOLD};
use tracker::{Expected, Tracker};

/// The corrections of all pools, and of the updated devices as a whole.
#[derive(Debug, Clone)]
pub struct Nowcast {
    slot: Span,
    lookahead: Span,
    pools: Vec<Tracker>,
    updated: Tracker,
    /// Which forecast was in force at the last tick.
    forecast: Option<i64>,
}

impl Nowcast {
    /// Nothing known yet. `slot` is the forecast's, `lookahead` the span over which its slope is taken.
    pub fn new(slot: Span, lookahead: Span) -> Self {
        Self { slot, lookahead: lookahead.max(slot), pools: Vec::new(), updated: Tracker::default(), forecast: None }
    }

    /// Takes in a tick of telemetry. `updated` is the aggregate capacity of the updated devices now, and as forecast for now.
    pub fn tick(&mut self, now: Instant, fleet: &Fleet, forecasting: &Forecasting, updated: Option<(f64, f64)>) {
        self.pools.resize_with(fleet.pools.len(), Tracker::default);
        let forecast = forecasting.in_force();
        let changed = self.forecast != forecast;
        self.forecast = forecast;
        for (p, tracker) in self.pools.iter_mut().enumerate() {
            let pool = &fleet.pools[p];
            // With nobody in service demand is not seen.
            if pool.weight_serving > 0.0 {
                let at = |at| expected(forecasting, PoolIndex(p as u32), at, self.slot);
                let expected = at(now)
                    .zip(at(now + self.lookahead))
                    .map(|(value, later)| Expected { value, slope: (later - value) / tracker::steps(self.lookahead) });
                tracker.observe(now, pool.demand, expected, changed);
            }
        }
        match updated {
            // The set grows: only how far it is from its own forecast can be followed.
            Some((is, was)) => self.updated.observe(now, is - was, Some(Expected { value: 0.0, slope: 0.0 }), false),
            None => self.updated = Tracker::default(),
        }
    }

    /// Expected demand of a pool at `at`, in weight units, and its uncertainty; `None` where too little is known, or `at` is too far.
    pub fn demand(&self, forecasting: &Forecasting, pool: PoolIndex, at: Instant) -> Option<Ahead> {
        let ahead = self.pools.get(pool.index())?.ahead(at)?;
        Some(Ahead { value: expected(forecasting, pool, at, self.slot)? + ahead.value, ..ahead })
    }

    /// What to add to the forecast aggregate capacity of the updated devices at `at`, points.
    pub fn updated(&self, at: Instant) -> Option<Ahead> {
        self.updated.ahead(at)
    }
}

/// The forecast read between the middles of its slots: a staircase would make a saw of every residual.
fn expected(forecasting: &Forecasting, pool: PoolIndex, at: Instant, slot: Span) -> Option<f64> {
    let early = Instant::from_millis(at.as_millis().saturating_sub(slot.as_millis() as i64 / 2));
    let share = early.since(early.floor_to(slot)).as_secs_f64() / slot.as_secs_f64();
    let before = f64::from(forecasting.demand_point(pool, early)?);
    let after = f64::from(forecasting.demand_point(pool, early + slot)?);
    Some(before + (after - before) * share)
}
