//! Waves: who belongs to which, and when the next one opens.

use super::Engine;
use super::run::{Run, Stage};
use crate::ids::{DeviceIndex, RolloutId, WaveIndex};
use crate::journal::Entry;

/// A wave is done when this share of its devices that can be reached at all has come to an end; the rest go on beside the next wave,
/// so that one dead canary does not hold up a fleet.
const SETTLED_SHARE: f64 = 0.8;

impl Engine {
    /// Spreads the targets over the waves: evenly over the pools, and by criticality and chance within each, so that a canary wave meets every
    /// kind of pool and always has pool-mates to be compared with.
    pub(super) fn assign_waves(&mut self, rollout: RolloutId) {
        let Some(run) = self.run(rollout) else { return };
        let order = self.spread_over_pools(&run.targets);
        let total = order.len();
        let mut ends: Vec<usize> = self.policy.waves.iter().map(|wave| wave.end(total)).collect();
        if let Some(last) = ends.last_mut() {
            *last = total;
        }
        let Some(run) = self.run_mut(rollout) else { return };
        for (position, device) in order.into_iter().enumerate() {
            let wave = ends.iter().position(|end| position < *end).unwrap_or(0);
            run.device(device).wave = WaveIndex(wave as u16);
        }
    }

    /// Systematic sampling: every device gets the place `(rank in its pool + offset of the pool) / size of the pool`; the first x % of
    /// that order take close to x % of every large pool and a fair share of the small ones.
    fn spread_over_pools(&self, targets: &[DeviceIndex]) -> Vec<DeviceIndex> {
        let mut by_pool: Vec<Vec<(f64, DeviceIndex)>> = vec![Vec::new(); self.fleet.pools.len()];
        for device in targets {
            by_pool[self.fleet.pool_of[device.index()].index()].push((self.turn(*device), *device));
        }
        let mut places: Vec<(f64, DeviceIndex)> = Vec::with_capacity(targets.len());
        for (pool, members) in by_pool.iter_mut().enumerate() {
            members.sort_by(|(a, i), (b, j)| {
                a.total_cmp(b).then(self.fleet.facts[i.index()].id.cmp(&self.fleet.facts[j.index()].id))
            });
            // The golden ratio spreads the offsets of any number of pools evenly over 0..1.
            let offset = (pool as f64 * 0.618_033_988_749_894_9).fract();
            let size = members.len() as f64;
            places
                .extend(members.iter().enumerate().map(|(rank, (_, device))| ((rank as f64 + offset) / size, *device)));
        }
        places.sort_by(|(a, i), (b, j)| a.total_cmp(b).then(i.cmp(j)));
        places.into_iter().map(|(_, device)| device).collect()
    }

    /// What puts a device early in its pool's waves, lowest first: criticality (or its contrary, as the formula says), then chance by
    /// its place. Load now is left out: who is chosen for a calm moment gets busier afterwards by that alone, and would be taken for
    /// harmed by the release.
    fn turn(&self, device: DeviceIndex) -> f64 {
        let criticality = self.fleet.criticality[device.index()];
        let order = match self.policy.priority.formula {
            crate::policy::PriorityFormula::SpareFirst => criticality,
            crate::policy::PriorityFormula::Literal => 100.0 - criticality,
        };
        order + (f64::from(device.0) * 0.754_877_666_246_692_7).fract() * 0.5
    }

    pub(super) fn open_wave(&mut self, rollout: RolloutId, wave: u16) {
        let Some(run) = self.run_mut(rollout) else { return };
        run.open_wave = WaveIndex(wave);
        run.soak_until = None;
        let devices = run.targets.iter().filter(|d| run.devices[d.index()].wave.0 == wave).count() as u32;
        let waves = run.waves;
        self.record(Entry::WaveOpened { rollout, wave: WaveIndex(wave), waves, devices });
        self.replan("a wave opened");
    }

    /// Opens the next wave of every rollout whose open one is done and soaked.
    pub(super) fn advance_waves(&mut self) {
        for id in self.live() {
            let Some(run) = self.run(id) else { continue };
            if !run.is_running() || run.open_wave.0 + 1 >= run.waves {
                continue;
            }
            let done = !run.is_anything_in_flight() && self.is_wave_done(run);
            let soak = self.policy.waves.get(run.open_wave.index()).map_or(crate::time::Span::ZERO, |w| w.soak);
            let (until, next, now) = (run.last_settled + soak, run.open_wave.0 + 1, self.now);
            if done && until <= now {
                self.open_wave(id, next);
            } else if let Some(run) = self.run_mut(id) {
                run.soak_until = done.then_some(until);
            }
        }
    }

    fn is_wave_done(&self, run: &Run) -> bool {
        let (mut reachable, mut settled) = (0_u32, 0_u32);
        for device in &run.targets {
            let at = &run.devices[device.index()];
            if at.wave > run.open_wave {
                continue;
            }
            match at.stage {
                Stage::InFlight | Stage::RollingBack => return false,
                Stage::Waiting => reachable += u32::from(self.fleet.is_heard(device.index(), self.now)),
                Stage::NotTarget => {}
                Stage::Updated | Stage::RolledBack | Stage::Failed => {
                    reachable += 1;
                    settled += 1;
                }
            }
        }
        f64::from(settled) >= SETTLED_SHARE * f64::from(reachable)
    }
}
