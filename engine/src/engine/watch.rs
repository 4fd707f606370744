//! The watch while a rollout is under way: at every tick of telemetry. Capacity: [`super::capacity`]; the release itself: [`super::regression`].

use super::Engine;
use super::run::Stage;
use crate::ids::{RolloutId, WaveIndex};
use crate::journal::Entry;
use crate::journal::entry::{Verdict, VerdictEntry};
use crate::rollout::{Cause, RolloutState};

/// Fewer devices heard than this share of the fleet, or of a pool: telemetry is lost, and too little is known to go on.
pub(super) const HEARD_SHARE_MIN: f64 = 0.5;
/// Enough is known again from this share on.
const HEARD_SHARE_RESUME: f64 = 0.8;

impl Engine {
    /// Judges the fleet after a tick of telemetry.
    pub(super) fn watch(&mut self) {
        if !self.rollouts.iter().any(|run| run.state.is_active()) {
            return;
        }
        self.watch_freshness();
        for id in self.live() {
            self.watch_release(id);
        }
        if self.policy.monitor.watch_pools {
            self.watch_pools();
        }
        for id in self.live() {
            self.watch_floor(id);
        }
        self.watch_plan();
    }

    pub(super) fn judge(
        &mut self,
        rollout: RolloutId,
        verdict: Verdict,
        cause: Cause,
        (value, threshold): (f64, f64),
        evidence: String,
    ) {
        let entry =
            VerdictEntry { rollout, verdict, cause, value, threshold, evidence: evidence.clone(), release: None };
        self.record(Entry::Verdict(Box::new(entry)));
        if verdict == Verdict::Bad {
            self.stop_for(rollout, cause, &evidence);
        }
    }

    /// Too little heard of the fleet holds every rollout; each goes on once enough is heard again.
    fn watch_freshness(&mut self) {
        let (mut present, mut heard) = (0_u32, 0_u32);
        for device in self.fleet.present() {
            if !self.fleet.out[device.index()] {
                present += 1;
                heard += u32::from(self.fleet.is_heard(device.index(), self.now));
            }
        }
        if present == 0 {
            return;
        }
        let share = f64::from(heard) / f64::from(present);
        for id in self.live() {
            let Some(run) = self.run(id) else { continue };
            if run.is_running() && share < HEARD_SHARE_MIN {
                let evidence = format!("{heard} of {present} devices are heard; nothing can be said of the rest");
                let figures = (share * 100.0, HEARD_SHARE_MIN * 100.0);
                self.judge(id, Verdict::Inconclusive, Cause::StaleTelemetry, figures, evidence.clone());
                self.stop_for(id, Cause::StaleTelemetry, &evidence);
            } else if run.state == RolloutState::Paused
                && run.cause == Some(Cause::StaleTelemetry)
                && share >= HEARD_SHARE_RESUME
            {
                self.resume(id, "telemetry is back");
            }
        }
    }

    /// Devices, not attempts: too many that ever failed, of those that came to an end.
    pub(super) fn watch_failures(&mut self, rollout: RolloutId) {
        let Some(run) = self.run(rollout).filter(|run| run.is_running()) else { return };
        let failed = run.targets.iter().filter(|d| run.devices[d.index()].ever_failed).count();
        let rules = &self.policy.monitor;
        let settled = run
            .targets
            .iter()
            .map(|d| &run.devices[d.index()])
            .filter(|d| d.ever_failed || matches!(d.stage, Stage::Updated | Stage::Failed | Stage::RolledBack))
            .count();
        let percent = failed as f64 / settled.max(1) as f64 * 100.0;
        let max = rules.failure_percent_max;
        let enough = failed as u32 >= rules.failure_count_min && settled as u32 >= rules.failure_settled_min;
        if enough && percent > max {
            let evidence = format!("{failed} of {settled} devices failed ({percent:.1} %, at most {max:.1} % may)");
            self.judge(rollout, Verdict::Bad, Cause::FailureThreshold, (percent, max), evidence);
            return;
        }
        self.watch_wave_failures(rollout);
    }

    /// Waves with a threshold of their own: too many of their devices that ever failed.
    fn watch_wave_failures(&mut self, rollout: RolloutId) {
        let Some(run) = self.run(rollout) else { return };
        let over = (0..run.opened.len()).find_map(|number| {
            let max = self.policy.waves.get(number)?.failure_percent_max?;
            let (size, _, failed) = Self::wave_counts(run, WaveIndex(number as u16));
            let percent = f64::from(failed) / f64::from(size.max(1)) * 100.0;
            (percent > max).then_some((number, size, failed, percent, max))
        });
        if let Some((number, size, failed, percent, max)) = over {
            let wave = number + 1;
            let evidence =
                format!("{failed} of {size} devices of wave {wave} failed ({percent:.1} %, at most {max:.1} % may)");
            self.judge(rollout, Verdict::Bad, Cause::FailureThreshold, (percent, max), evidence);
        }
    }
}
