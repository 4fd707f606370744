//! What every pool and region can spare at this moment: the budgets of a plan, for devices that are taken back.

use super::Engine;
use super::watch::HEARD_SHARE_MIN;
use crate::ids::{DeviceIndex, PoolIndex};
use crate::policy::Basis;
use crate::rollout::HoldReason;

/// Of the weight in service: from this share on, devices report no more load however much is asked of them.
const SATURATED_SHARE: f64 = 0.995;

#[derive(Debug, Clone)]
struct PoolRoom {
    spare: f64,
    count: Option<u32>,
    /// How many silent members may be told: those we know to be out are counted, those that are silent are not.
    silent: Option<u32>,
    heard: bool,
}

/// Room that is left.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    pools: Vec<PoolRoom>,
    regions: Vec<RegionRoom>,
}

#[derive(Debug, Clone, Copy)]
struct RegionRoom {
    count: Option<u32>,
    silent: Option<u32>,
}

impl Budget {
    pub(super) fn new(engine: &Engine) -> Self {
        let rules = &engine.policy.plan;
        let fleet = &engine.fleet;
        let mut serving = vec![0.0_f64; fleet.pools.len()];
        let mut out = vec![0_u32; fleet.pools.len()];
        let mut silent = vec![0_u32; fleet.pools.len()];
        let mut known = vec![0_u32; fleet.pools.len()];
        let mut region_out = vec![(0_u32, 0_u32); fleet.regions.len()];
        for device in fleet.present() {
            let d = device.index();
            let pool = fleet.pool_of[d].index();
            // Who has been told to go counts as out, though it may still serve.
            if fleet.is_serving(d, engine.now) && engine.ledger.holder(device).is_none() {
                serving[pool] += fleet.weight[d];
            } else {
                out[pool] += 1;
                let is_known = u32::from(fleet.out[d] || engine.ledger.holder(device).is_some());
                known[pool] += is_known;
                let region = &mut region_out[fleet.region_of[d].index()];
                *region = (region.0 + 1, region.1 + is_known);
                silent[pool] += u32::from(!fleet.out[d] && !fleet.is_heard(d, engine.now));
            }
        }
        let room = |(p, pool): (usize, &crate::fleet::Pool)| {
            let members = pool.members.len() as u32;
            let unruled = rules.basis == Basis::Ignore || members < rules.pool_members_min;
            PoolRoom {
                spare: if unruled { f64::INFINITY } else { engine.spare_weight(p, serving[p]) },
                count: rules.pool_out_max.of(members).map(|max| max.saturating_sub(out[p])),
                silent: rules.pool_out_max.of(members).map(|max| max.saturating_sub(known[p])),
                heard: f64::from(silent[p]) <= (1.0 - HEARD_SHARE_MIN) * f64::from(members),
            }
        };
        let region = |(region, (out, known)): (&crate::fleet::Region, &(u32, u32))| {
            let own = engine.policy.region(region.id.as_str()).out_max;
            let max = own.unwrap_or(rules.region_out_max).of(region.members);
            let less = |n: u32| max.map(|max| max.saturating_sub(n));
            RegionRoom { count: less(*out), silent: less(*known) }
        };
        Self {
            pools: fleet.pools.iter().enumerate().map(room).collect(),
            regions: fleet.regions.iter().zip(&region_out).map(region).collect(),
        }
    }

    /// Books the device if its pool and region can spare it. One that we took out already costs nothing. One that is silent may be down, or
    /// may serve where its word does not reach us: its load is nobody's to spare, but no more of them go at once than may be out, and not
    /// before the next tick has had its say.
    ///
    /// # Errors
    /// The rule that holds it, with its numbers.
    pub(super) fn take(&mut self, engine: &Engine, device: DeviceIndex) -> Result<(), HoldReason> {
        let d = device.index();
        let pool = &mut self.pools[engine.fleet.pool_of[d].index()];
        if engine.fleet.out[d] {
            return Ok(());
        }
        if !engine.fleet.is_heard(d, engine.now) {
            let region = &mut self.regions[engine.fleet.region_of[d].index()];
            if !pool.heard || engine.fleet.is_unknown(device) {
                return Err(HoldReason::StaleTelemetry);
            } else if pool.silent == Some(0) {
                return Err(HoldReason::PoolOutMax);
            } else if region.silent == Some(0) {
                return Err(HoldReason::RegionOutMax);
            }
            pool.silent = pool.silent.map(|n| n - 1);
            region.silent = region.silent.map(|n| n - 1);
            return Ok(());
        }
        let weight = engine.fleet.weight[d];
        if pool.spare < weight {
            return Err(HoldReason::PoolCapacity { weight, spare: pool.spare.max(-1e12) });
        }
        if pool.count == Some(0) {
            return Err(HoldReason::PoolOutMax);
        }
        let region = &mut self.regions[engine.fleet.region_of[d].index()];
        if region.count == Some(0) {
            return Err(HoldReason::RegionOutMax);
        }
        pool.spare -= weight;
        pool.count = pool.count.map(|n| n - 1);
        region.count = region.count.map(|n| n - 1);
        pool.silent = pool.silent.map(|n| n.saturating_sub(1));
        region.silent = region.silent.map(|n| n.saturating_sub(1));
        Ok(())
    }
}

impl Engine {
    /// Weight that a pool of which `serving` is in service can spare for as long as a device is out: its demand is taken as the larger of
    /// what it is now and the upper quantile of what is to come. A pool whose members were all at their limit at the last tick does not
    /// show what more was asked of them: it is taken to be asked for all it has.
    fn spare_weight(&self, pool: usize, serving: f64) -> f64 {
        let rules = &self.policy.plan;
        let facts = &self.fleet.pools[pool];
        let index = PoolIndex(pool as u32);
        let ahead = (0..=self.window_slots()).map(|s| self.demand_at(index, self.now + rules.slot.times(s)));
        let hides = facts.demand >= SATURATED_SHARE * facts.weight_serving;
        let demand = ahead.fold(if hides { facts.weight_total } else { facts.demand }, f64::max);
        let reserve = rules.pool_reserve_percent / 100.0 * facts.weight_total;
        serving - (demand + reserve) / (rules.load_limit_percent / 100.0)
    }
}
