//! Waves: who belongs to which, and when the next one opens.

use super::Engine;
use super::run::{Run, Stage};
use crate::ids::{DeviceIndex, RolloutId, WaveIndex};
use crate::journal::Entry;
use crate::time::{Instant, Span};

/// A wave is done when this share of its devices that can be reached at all has come to an end; the rest go on beside the next wave,
/// so that one dead canary does not hold up a fleet.
const SETTLED_SHARE: f64 = 0.8;

/// While devices are out all of a wave are looked at no more often than this: in a large fleet something ends every second.
const LOOK_EVERY: Span = Span::from_secs(60);

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
        let spreads: Vec<Span> = self.policy.waves.iter().map(|wave| wave.spread).collect();
        let Some(run) = self.run_mut(rollout) else { return };
        for (position, device) in order.into_iter().enumerate() {
            let wave = ends.iter().position(|end| position < *end).unwrap_or(0);
            let first = ends[..wave].iter().copied().max().unwrap_or(0);
            let size = ends[wave].saturating_sub(first).max(1) as u64;
            // The middle of its share of the time: so many have had their turn at any moment as the share of the time that has passed.
            let after = spreads[wave].as_millis() * (2 * (position - first) as u64 + 1) / (2 * size);
            let at = run.device(device);
            (at.wave, at.after) = (WaveIndex(wave as u16), Span::from_millis(after));
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

    /// A rollout begins: its first wave opens, unless that has a time of its own.
    pub(super) fn open_first_wave(&mut self, rollout: RolloutId) {
        let now = self.now;
        if let Some(run) = self.run_mut(rollout) {
            run.began = now;
        }
        if self.policy.waves.first().is_none_or(|wave| wave.opens_after.is_none_or(|after| after == Span::ZERO)) {
            self.open_wave(rollout, now);
        }
    }

    /// The next wave opens, as of `at`.
    fn open_wave(&mut self, rollout: RolloutId, at: Instant) {
        let Some(run) = self.run_mut(rollout) else { return };
        let wave = WaveIndex(run.opened.len() as u16);
        run.opened.push(at);
        (run.done_since, run.soak_until, run.looked_at) = (None, None, None);
        run.add_turns(wave);
        let devices = run.targets.iter().filter(|d| run.devices[d.index()].wave == wave).count() as u32;
        let waves = run.waves;
        self.record(Entry::WaveOpened { rollout, wave, waves, devices });
        self.replan("a wave opened");
    }

    /// When a wave opens by the clock alone; `None` where it waits for the one before.
    pub(super) fn wave_opens_at(&self, run: &Run, wave: WaveIndex) -> Option<Instant> {
        self.policy.waves.get(wave.index()).and_then(|wave| wave.opens_after).map(|after| run.began + after)
    }

    /// Opens the next wave of every rollout whose time has come, or whose open one is done and soaked.
    pub(super) fn advance_waves(&mut self) {
        let now = self.now;
        for id in self.live() {
            let Some(run) = self.run_mut(id).filter(|run| run.is_running()) else { continue };
            if run.pass_turns(now) {
                self.replan("devices got their turn");
            }
            while self.open_next_wave(id) {}
        }
    }

    /// Opens the next wave of a rollout when it is due. Was it?
    fn open_next_wave(&mut self, rollout: RolloutId) -> bool {
        let now = self.now;
        let Some(run) = self.run(rollout) else { return false };
        let next = WaveIndex(run.opened.len() as u16);
        if next.0 >= run.waves {
            return false;
        }
        let timed = self.wave_opens_at(run, next);
        let due = timed.or_else(|| self.soaked_at(rollout));
        if due.is_some_and(|at| at <= now) {
            self.open_wave(rollout, timed.unwrap_or(now));
            return true;
        }
        if let Some(run) = self.run_mut(rollout) {
            run.soak_until = due;
        }
        false
    }

    /// When the open wave has soaked; `None` while it is not done.
    fn soaked_at(&mut self, rollout: RolloutId) -> Option<Instant> {
        let now = self.now;
        let run = self.run_mut(rollout)?;
        if run.is_anything_in_flight() && run.looked_at.is_some_and(|at| now.since(at) < LOOK_EVERY) {
            return run.soak_until;
        }
        run.looked_at = Some(now);
        let run = self.run(rollout)?;
        let rules = self.policy.waves.get(run.open_wave().index());
        let soak = rules.map_or(Span::ZERO, |wave| wave.soak);
        let (size, updated, _) = Self::wave_counts(run, run.open_wave());
        if size == 0 {
            // A wave that the one before left nobody for has nothing to show.
            return Some(now);
        }
        let progress = self.wave_progress(run);
        let is_done = match rules.and_then(|wave| wave.success_percent_min) {
            Some(percent) => f64::from(updated) >= percent / 100.0 * f64::from(size),
            None => progress.is_settled(),
        };
        let run = self.run_mut(rollout)?;
        if !is_done && progress.settled == 0 {
            // It was only that nobody was heard.
            run.done_since = None;
        }
        // Whoever is heard of again and waits may undo that for a while; the time that has passed counts all the same.
        is_done.then(|| *run.done_since.get_or_insert(now) + soak)
    }

    /// Devices of a wave, how many of them are updated, and how many ever failed.
    pub(super) fn wave_counts(run: &Run, wave: WaveIndex) -> (u32, u32, u32) {
        let of_wave = run.targets.iter().map(|device| &run.devices[device.index()]).filter(|at| at.wave == wave);
        of_wave.fold((0, 0, 0), |(size, updated, failed), at| {
            (size + 1, updated + u32::from(at.stage == Stage::Updated), failed + u32::from(at.ever_failed))
        })
    }

    /// How far the devices of the waves that are open have come.
    fn wave_progress(&self, run: &Run) -> WaveProgress {
        let mut progress = WaveProgress::default();
        for device in &run.targets {
            let at = &run.devices[device.index()];
            if !run.is_wave_open(at.wave) {
                continue;
            }
            match at.stage {
                Stage::RollingBack => progress.goes_back = true,
                Stage::InFlight => progress.reachable += 1,
                Stage::Waiting => progress.reachable += u32::from(self.fleet.is_heard(device.index(), self.now)),
                Stage::NotTarget => {}
                Stage::Updated | Stage::RolledBack | Stage::Failed => {
                    progress.reachable += 1;
                    progress.settled += 1;
                }
            }
        }
        progress
    }
}

/// Devices of the open waves.
#[derive(Debug, Default)]
struct WaveProgress {
    /// That can be reached, or have come to an end.
    reachable: u32,
    /// That have come to an end.
    settled: u32,
    /// Is anybody on the way back?
    goes_back: bool,
}

impl WaveProgress {
    /// Have they come so far that the next wave may follow, once they have soaked?
    fn is_settled(&self) -> bool {
        !self.goes_back && f64::from(self.settled) >= SETTLED_SHARE * f64::from(self.reachable)
    }
}
