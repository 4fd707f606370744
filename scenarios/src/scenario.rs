//! A simulated world, validated.

use crate::faults::{
    AgentRestarts, ClockSkew, ControllerCrash, DownTimes, Link, Overload, Partition, Spell, TelemetryFaults,
};
use crate::shape::Shape;
use slacktide_engine::document::InputError;
use slacktide_engine::policy::{Policy, library};
use slacktide_engine::rollout::Package;
use slacktide_engine::time::{Instant, Span};
use slacktide_engine::version::Version;
use std::sync::Arc;

/// A simulated world. Made by [`Scenario::from_toml`] or [`crate::library::named`] only.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What happens, one line.
    pub summary: String,
    /// What it teaches, one line.
    pub teaches: String,
    /// The file it came from, whole: what a journal needs to make the world again.
    pub text: String,
    /// Number of devices.
    pub devices: usize,
    /// First moment.
    pub start: Instant,
    /// Telemetry before the rollout begins.
    pub history: Span,
    /// The world ends this long after the rollout began, whatever its state.
    pub until_max: Span,
    /// Reporting period.
    pub tick: Span,
    /// A device above this load is overloaded, percent.
    pub overload_limit_percent: f64,
    /// Groups of pools.
    pub pools: Vec<PoolGroup>,
    /// What is rolled out.
    pub package: Package,
    /// Of several rollouts at once the higher goes first, 0–255.
    pub priority: u8,
    /// Further rollouts, in the order they begin.
    pub also: Vec<AlsoRollout>,
    /// How long steps of an update take.
    pub updates: UpdatePhysics,
    /// Links of regions; a region without one has no limit.
    pub links: Vec<Link>,
    /// What goes wrong.
    pub failures: Failures,
    /// The person in the loop.
    pub operator: Operator,
    /// Name of the policy.
    pub policy: String,
    /// Partial policy file laid over it.
    pub policy_overrides: String,
}

/// A rollout beside the first.
#[derive(Debug, Clone, PartialEq)]
pub struct AlsoRollout {
    /// What it brings.
    pub package: Package,
    /// Of several rollouts at once the higher goes first, 0–255.
    pub priority: u8,
    /// Begins this long after the first is created.
    pub starts_after: Span,
}

/// Pools of one kind.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolGroup {
    /// Name; pools are called `name-1`, `name-2`…
    pub name: String,
    /// Share of the devices, relative to the other groups.
    pub share: f64,
    /// Members of a pool.
    pub pool_size: usize,
    /// What its devices do.
    pub function: String,
    /// Regions its devices stand in, in turn.
    pub regions: Vec<String>,
    /// Sites in each region.
    pub sites_per_region: usize,
    /// Versions and their shares.
    pub versions: Vec<(Version, f64)>,
    /// Variants and their shares.
    pub variants: Vec<(String, f64)>,
    /// Smallest and largest weight.
    pub weight: (f64, f64),
    /// Smallest and largest requirement, points.
    pub requirement: (f64, f64),
    /// How its load moves.
    pub load: LoadFamily,
}

/// How load moves: `base + daily curve × weekend + trend + pool noise + device noise + bursts`, in percent of a device.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadFamily {
    /// Load at the quietest hour.
    pub base_percent: f64,
    /// Height of the daily curve over it.
    pub daily_amplitude_percent: f64,
    /// Hour of the peak, UTC.
    pub daily_peak_hour: f64,
    /// 1 is a sine; higher makes the peak narrower.
    pub daily_sharpness: f64,
    /// The daily curve on Saturday and Sunday, as a share of that on weekdays.
    pub weekend_factor: f64,
    /// Growth.
    pub trend_percent_per_day: f64,
    /// Standard deviation of the noise of a device.
    pub noise_percent: f64,
    /// Its correlation from tick to tick, 0..1.
    pub noise_correlation: f64,
    /// Standard deviation of the noise shared by a pool.
    pub pool_noise_percent: f64,
    /// Standard deviation of the devices' own levels.
    pub device_spread_percent: f64,
    /// Bursts a day and device.
    pub burst_rate_per_day: f64,
    /// Height of a burst.
    pub burst_percent: f64,
    /// Mean length of a burst.
    pub burst_duration: Span,
    /// Mean memory use.
    pub memory_percent: f64,
    /// Network load per point of CPU.
    pub network_factor: f64,
    /// Mean disk load.
    pub disk_percent: f64,
    /// What was learned from recordings; `None`: the fields above are all.
    pub shape: Option<Shape>,
    /// A rise that history does not know.
    pub ramp: Option<Ramp>,
    /// A crowd that comes at once and goes slowly.
    pub flash: Option<Flash>,
    /// Points more in the last days of every month, and how many days.
    pub month_end: Option<(f64, u32)>,
    /// Another regime: points more or less from some time of the world on.
    pub shift: Option<(f64, Span)>,
    /// The daily curve on Monday to Sunday, as shares.
    pub weekday_factors: [f64; 7],
}

/// Load that rises once, in a way no history knows: straight up, a while at the top, and straight down again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ramp {
    /// Points added to every device at the top.
    pub percent: f64,
    /// Begins this long after the rollout is announced.
    pub after: Span,
    /// From nothing to all of it, and back.
    pub duration: Span,
    /// Time at the top.
    pub hold: Span,
}

impl Ramp {
    /// Points added this long after the rollout was announced.
    pub fn points(&self, since: Span) -> f64 {
        let rise = self.duration.as_secs_f64();
        let t = since.as_secs_f64() - self.after.as_secs_f64();
        let end = 2.0 * rise + self.hold.as_secs_f64();
        if t < 0.0 || t >= end {
            0.0
        } else if t < rise {
            self.percent * t / rise
        } else {
            self.percent * ((end - t) / rise).min(1.0)
        }
    }
}

/// A flash crowd: straight up, then half of it goes in each half-life.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Flash {
    /// Points added to every device at its top.
    pub percent: f64,
    /// It begins this long after the rollout is announced.
    pub after: Span,
    /// From nothing to its top.
    pub rise: Span,
    /// Half of what is left goes in this time.
    pub half_life: Span,
}

/// A lognormal duration: its median, and the standard deviation of its logarithm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Duration {
    /// Half of all are shorter.
    pub median: Span,
    /// Spread; 0 is always the median.
    pub sigma: f64,
}

/// How long after an announcement devices ask for what was announced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CheckIn {
    /// At any moment of this time with equal chance.
    Evenly {
        /// The last asks after this long.
        within: Span,
    },
    /// A Weibull time: some ask late, and some not before it is too late.
    Weibull {
        /// 63 % have asked after this long.
        scale: Span,
        /// Below 1: who has not asked for long will not ask soon. 1: as likely at any time. Above 1: hardly anybody asks at first.
        shape: f64,
    },
}

/// How long steps of an update take on a device.
#[derive(Debug, Clone, PartialEq)]
pub struct UpdatePhysics {
    /// Bytes a second a device downloads at.
    pub download_bytes_per_s: f64,
    /// Handing over its load.
    pub drain: Duration,
    /// The installation script.
    pub install: Duration,
    /// Restart.
    pub reboot: Duration,
    /// Health checks.
    pub verify: Duration,
    /// Going back to the release before.
    pub rollback: Duration,
    /// When devices that are told of an update ask for it.
    pub check_in: CheckIn,
    /// CPU an update costs while the device still serves, points.
    pub cost_cpu_percent: f64,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Failures {
    /// Installs that fail, percent.
    pub install_failure_percent: f64,
    /// Rollbacks that fail, percent.
    pub rollback_failure_percent: f64,
    /// What is wrong with the release itself.
    pub bad_release: Option<BadRelease>,
    /// Devices that crash by themselves.
    pub crash: Option<Crash>,
    /// Recorded down-times.
    pub down_times: Option<Arc<DownTimes>>,
    /// Sites or regions that are down as a whole.
    pub outages: Vec<Spell>,
    /// Sites or regions that cannot talk to the controller.
    pub partitions: Vec<Partition>,
    /// Telemetry that is lost, late, doubled or out of order.
    pub telemetry: Option<TelemetryFaults>,
    /// Devices whose clock is wrong.
    pub clock: Option<ClockSkew>,
    /// Agents that restart while they install.
    pub agent: Option<AgentRestarts>,
    /// When the controller dies, in the order of time.
    pub controller: Vec<ControllerCrash>,
    /// What too much work does to a device.
    pub overload: Option<Overload>,
    /// From this long after the first rollout is announced nothing goes wrong any more.
    pub until: Option<Span>,
}

/// A release that should be stopped.
#[derive(Debug, Clone, PartialEq)]
pub struct BadRelease {
    /// What it does.
    pub kind: BadReleaseKind,
    /// Only on these variants; empty means on all.
    pub variants: Vec<String>,
    /// The release that is bad.
    pub version: Version,
}

/// What a bad release does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum BadReleaseKind {
    /// Costs this much more CPU, in points, growing over the ramp.
    Regression {
        /// Points of CPU.
        cpu_points: f64,
        /// From nothing to all of it.
        ramp: Span,
    },
    /// Costs more with every hour since the device started on it, until it starts anew.
    Leak {
        /// Points of CPU an hour.
        cpu_points_per_hour: f64,
        /// Points of memory an hour.
        memory_points_per_hour: f64,
    },
    /// Fails its health check on this share of devices, percent.
    CrashLoop {
        /// Percent of devices.
        percent: f64,
    },
}

/// Devices that crash by themselves and are repaired.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Crash {
    /// Weibull scale of the time between crashes of one device.
    pub up_scale: Span,
    /// Weibull shape; below 1: who crashed lately crashes again sooner.
    pub up_shape: f64,
    /// Time to repair.
    pub repair: Duration,
}

/// The person in the loop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Operator {
    /// Approves a rollout after this long.
    pub approves_after: Span,
    /// Looks at a paused rollout after this long and lets it go on; `None` never does, and aborts.
    pub resumes_after: Option<Span>,
    /// Lets it go on at most so often, then aborts.
    pub resumes_max: u32,
    /// Pauses each rollout once, this long after it was started.
    pub pauses_after: Option<Span>,
    /// Aborts each rollout this long after it was started.
    pub aborts_after: Option<Span>,
}

impl Scenario {
    /// Metrics of synthetic devices, in column order.
    pub const METRICS: [&'static str; 4] = ["cpu", "memory", "network", "disk"];

    /// All rollouts: package, priority, and how long after the first is created each begins. In the order of their ids.
    pub fn rollouts(&self) -> impl Iterator<Item = (&Package, u8, Span)> {
        let also = self.also.iter().map(|also| (&also.package, also.priority, also.starts_after));
        std::iter::once((&self.package, self.priority, Span::ZERO)).chain(also)
    }

    /// From when on nothing goes wrong any more, if there is such a time.
    pub fn calm_from(&self) -> Option<Instant> {
        self.failures.until.map(|until| self.start + self.history + until)
    }

    /// Has what goes wrong come to its end?
    pub fn is_calm(&self, now: Instant) -> bool {
        self.calm_from().is_some_and(|calm| now >= calm)
    }

    /// The policy the scenario names, with its overrides.
    ///
    /// # Errors
    /// An unknown policy or a bad override.
    pub fn policy(&self) -> Result<Policy, InputError> {
        library::named(&self.policy)?.overridden(&format!("{}: [policy_overrides]", self.name), &self.policy_overrides)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_rises_stays_and_falls() {
        let minutes = |n: u64| Span::from_secs(n * 60);
        let ramp = Ramp { percent: 30.0, after: minutes(60), duration: minutes(30), hold: minutes(20) };
        let at = |n: u64| ramp.points(minutes(n));
        assert_eq!([at(0), at(59), at(60), at(75), at(90), at(110)], [0.0, 0.0, 0.0, 15.0, 30.0, 30.0]);
        assert_eq!([at(125), at(140), at(500)], [15.0, 0.0, 0.0]);
        let step = Ramp { duration: Span::ZERO, ..ramp };
        assert_eq!([60, 79, 80].map(|n| step.points(minutes(n))), [30.0, 30.0, 0.0]);
    }
}
