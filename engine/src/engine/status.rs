//! The state of the fleet, tick by tick, for the journal.

use super::Engine;
use super::run::Stage;
use crate::history::slot_number;
use crate::ids::{PoolIndex, RolloutId};
use crate::journal::Entry;
use crate::journal::entry::{StateCounts, TickEntry};

/// With more pools than this a journal says only how full the tightest was: a number for each, every slot, would be most of it.
const POOLS_RECORDED_MAX: usize = 20_000;

impl Engine {
    /// Every tick while a rollout is active, else the first of each slot.
    pub(super) fn record_tick(&mut self) {
        let slot = slot_number(self.now, self.policy.plan.slot);
        let new_slot = self.last_tick_slot != Some(slot);
        self.last_tick_slot = Some(slot);
        let active = self.rollouts.iter().any(|run| run.state.is_active());
        if active && self.fleet.pools.len() <= POOLS_RECORDED_MAX {
            self.raise_pool_peaks();
        }
        if !(active || new_slot) {
            return;
        }
        let (tightest, ahead) = self.tightest();
        let entry = TickEntry {
            fleet_load: self.fleet.mean_load(),
            fleet_load_forecast: self.fleet_load_forecast(),
            updated_capacity: self.updated_capacity(None, None),
            updated_capacity_forecast: if active { self.updated_capacity_ahead(None) } else { None },
            capacity_floor: self.policy.monitor.capacity_floor,
            worst_pool_percent: tightest.percent,
            worst_pool_forecast_percent: ahead.filter(|_| active),
            worst_pool: tightest.pool.0,
            states: self.all_state_counts(),
            pool_peaks_percent: if active && new_slot { self.take_pool_peaks() } else { Vec::new() },
            region_load: if active && new_slot { self.region_load() } else { Vec::new() },
        };
        self.record(Entry::Tick(Box::new(entry)));
    }

    fn raise_pool_peaks(&mut self) {
        self.pool_peaks_percent.resize(self.fleet.pools.len(), 0.0);
        for p in 0..self.pool_peaks_percent.len() {
            self.pool_peaks_percent[p] = self.pool_peaks_percent[p].max(self.pool_percent_now(p));
        }
    }

    /// The peaks so far in whole percent; those to come begin anew.
    fn take_pool_peaks(&mut self) -> Vec<u16> {
        // Far above 100 every number says the same: nobody is left to serve.
        let whole = |percent: &mut f64| std::mem::take(percent).min(999.0).round() as u16;
        self.pool_peaks_percent.iter_mut().map(whole).collect()
    }

    /// Weighted mean load of the devices in service by region, in the order of their names, to a tenth of a percent.
    fn region_load(&self) -> Vec<f64> {
        let mut sums = vec![(0.0, 0.0); self.fleet.regions.len()];
        let column = &self.fleet.last[self.fleet.demand_metric()];
        for device in self.fleet.present() {
            let d = device.index();
            let load = f64::from(column[d]);
            if load.is_finite() && self.fleet.is_serving(d, self.now) {
                let (demand, weight) = &mut sums[self.fleet.region_of[d].index()];
                *demand += self.fleet.weight[d] * load;
                *weight += self.fleet.weight[d];
            }
        }
        let mean =
            |(demand, weight): (f64, f64)| if weight > 0.0 { (demand / weight * 10.0).round() / 10.0 } else { 0.0 };
        self.fleet.regions_by_name().into_iter().map(|region| mean(sums[region])).collect()
    }

    /// What was forecast for now: the sum of the pools' points, and of their upper bounds (which is higher than the bound of the sum).
    fn fleet_load_forecast(&self) -> Option<(f64, f64)> {
        let (mut point, mut upper, mut weight) = (0.0, 0.0, 0.0);
        for (p, pool) in self.fleet.pools.iter().enumerate() {
            let index = PoolIndex(p as u32);
            point += f64::from(self.forecasting.demand_point(index, self.now)?);
            upper += f64::from(self.forecasting.demand_upper(index, self.now)?);
            weight += pool.weight_serving;
        }
        (weight > 0.0).then(|| (point / weight * 100.0, upper / weight * 100.0))
    }

    /// Devices of a rollout by state; all zero before it is created.
    pub fn state_counts(&self, rollout: RolloutId) -> StateCounts {
        let Some(run) = self.run(rollout) else { return StateCounts::default() };
        let staging = self.ledger.open_of(rollout).filter(|(_, a)| !a.state.is_out()).count() as u32;
        StateCounts {
            waiting: run.count(Stage::Waiting),
            staging,
            out: run.count(Stage::InFlight).saturating_sub(staging),
            updated: run.count(Stage::Updated),
            rolling_back: run.count(Stage::RollingBack),
            rolled_back: run.count(Stage::RolledBack),
            failed: run.count(Stage::Failed),
        }
    }

    /// Devices of all rollouts together; one that two rollouts are for counts twice.
    fn all_state_counts(&self) -> StateCounts {
        let mut sum = StateCounts::default();
        for run in &self.rollouts {
            let one = self.state_counts(run.id);
            sum.waiting += one.waiting;
            sum.staging += one.staging;
            sum.out += one.out;
            sum.updated += one.updated;
            sum.rolling_back += one.rolling_back;
            sum.rolled_back += one.rolled_back;
            sum.failed += one.failed;
        }
        sum
    }
}
