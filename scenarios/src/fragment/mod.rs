//! The file shape of a scenario. The ways from it to a valid [`crate::Scenario`] are in `read` (the whole, and what all share), `pools`
//! (devices and their load), `shape` (load that was learned), `rollouts` (packages, physics, the operator), `failures`, `faults` (around devices) and `network`.

mod failures;
mod pools;
mod read;
mod rollouts;
mod shape;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use slacktide_engine::document::Whole;
use slacktide_engine::policy::fragment::PolicyFragment;
use std::collections::BTreeMap;

macro_rules! shape {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident : $type:ty),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name { $($(#[$field_doc])* pub $field: Option<$type>,)+ }
    };
}

mod faults;
mod network;

pub use faults::{
    AgentFragment, ClockFragment, ControllerFragment, OutageFragment, OverloadFragment, PartitionFragment,
    TelemetryFragment,
};
pub use network::LinkFragment;

shape! {
    /// A whole scenario file.
    ScenarioFragment {
        /// Its name.
        name: String,
        /// What happens, one line.
        summary: String,
        /// What it teaches, one line.
        teaches: String,
        /// Number of devices (default 100).
        devices: Whole,
        /// First moment, RFC 3339 (default 2024-03-04T00:00:00Z, a Monday).
        start: String,
        /// Telemetry before the rollout begins (default 7d).
        history: String,
        /// The world ends this long after the rollout began (default 8d).
        until_max: String,
        /// Reporting period (default 5m); divides every policy's slot.
        tick: String,
        /// A device above this load is overloaded (default 90).
        overload_limit_percent: f64,
        /// Name of the policy (default predictive).
        policy: String,
        /// Keys of a policy file that differ in this world.
        policy_overrides: PolicyFragment,
        /// Groups of pools; at least one.
        pools: Vec<PoolFragment>,
        /// What is rolled out.
        package: PackageFragment,
        /// Further rollouts beside it.
        rollouts: Vec<RolloutFragment>,
        /// How long steps of an update take.
        updates: UpdateFragment,
        /// What goes wrong.
        failures: FailureFragment,
        /// The person in the loop.
        operator: OperatorFragment,
        /// Links of regions, by name.
        regions: BTreeMap<String, LinkFragment>,
    }
}
shape! {
    /// `[[pools]]`
    PoolFragment {
        /// Name; pools are called name-1, name-2…
        name: String,
        /// Share of the devices (default 1).
        share: f64,
        /// Members of a pool (default 10).
        pool_size: Whole,
        /// What its devices do (default web).
        function: String,
        /// Regions (default ["eu"]).
        regions: Vec<String>,
        /// Sites in each region (default 2).
        sites_per_region: Whole,
        /// Versions and their shares (default {"1.0" = 1}).
        versions: BTreeMap<String, f64>,
        /// Variants and their shares (default {a = 1}).
        variants: BTreeMap<String, f64>,
        /// Smallest and largest weight (default [1, 1]).
        weight: [f64; 2],
        /// Smallest and largest requirement, points (default [1, 1]).
        requirement: [f64; 2],
        /// How its load moves.
        load: LoadFragment,
    }
}
shape! {
    /// `[pools.load]`
    LoadFragment {
        /// Load at the quietest hour (default 25).
        base_percent: f64,
        /// Height of the daily curve (default 30).
        daily_amplitude_percent: f64,
        /// Hour of the peak, UTC (default 20).
        daily_peak_hour: f64,
        /// 1 is a sine, higher is narrower (default 1).
        daily_sharpness: f64,
        /// The curve at weekends, as a share (default 0.9).
        weekend_factor: f64,
        /// Growth (default 0).
        trend_percent_per_day: f64,
        /// Noise of a device (default 4).
        noise_percent: f64,
        /// Its correlation from tick to tick (default 0.7).
        noise_correlation: f64,
        /// Noise shared by a pool (default 1.5).
        pool_noise_percent: f64,
        /// Spread of the devices' levels (default 4).
        device_spread_percent: f64,
        /// Bursts a day and device (default 0.5).
        burst_rate_per_day: f64,
        /// Height of a burst (default 15).
        burst_percent: f64,
        /// Mean length of a burst (default 15m).
        burst_duration: String,
        /// Mean memory use (default 45).
        memory_percent: f64,
        /// Network load per point of CPU (default 0.6).
        network_factor: f64,
        /// Mean disk load (default 15).
        disk_percent: f64,
        /// The daily curve in points over base_percent, evenly over the day from midnight UTC, 2 to 288 values such as 24 (default: the
        /// cosine of the daily_ fields).
        profile: Vec<f64>,
        /// Factors of the daily curve, Monday to Sunday, 0 to 5 (default: weekend_factor on the last two).
        week: [f64; 7],
        /// Least load of a device (default 1).
        floor_percent: f64,
        /// Slow noise of a device, points (default 0).
        slow_noise_percent: f64,
        /// Its correlation from tick to tick, 0 to 0.99999 (default 0.995).
        slow_noise_correlation: f64,
        /// Correlation of the pool's noise from tick to tick, 0 to 0.99999 (default 0.9).
        pool_noise_correlation: f64,
        /// Distribution of all noise together in its standard deviations: values that do not fall, 3 to 61 of them, for where a normal
        /// variable is, evenly, -3 to 3 (default: normal).
        marginal: Vec<f64>,
        /// Spread of the heights of bursts: standard deviation of their logarithm, burst_percent being the median (default 0: all alike).
        burst_sigma: f64,
        /// Kinds of devices, each as frequent as the others, in place of device_spread_percent (default: none).
        kinds: Vec<KindFragment>,
        /// Memory, in place of memory_percent.
        memory: FollowerFragment,
        /// Network load, in place of network_factor.
        network: FollowerFragment,
        /// Disk load, in place of disk_percent.
        disk: FollowerFragment,
        /// An unforeseen rise, once, that history does not know: points added to every device at its top (default 0: none).
        ramp_percent: f64,
        /// It begins this long after the rollout is announced (default 1h).
        ramp_after: String,
        /// From nothing to all of it (default 1h).
        ramp_duration: String,
        /// It stays at its top this long and then falls as fast as it rose (default 2h).
        ramp_hold: String,
        /// A flash crowd, once: points added to every device at its top (default 0: none).
        flash_percent: f64,
        /// It begins this long after the rollout is announced (default 2h).
        flash_after: String,
        /// From nothing to its top (default 5m).
        flash_rise: String,
        /// Half of it is gone after each such time (default 30m).
        flash_half_life: String,
        /// Points more in the last days of every month (default 0).
        month_end_percent: f64,
        /// How many days (default 3).
        month_end_days: Whole,
        /// Another regime from some time on: points more or less, for good (default 0: none).
        shift_percent: f64,
        /// It begins this long after the first moment of the world (default 5d).
        shift_after: String,
        /// The daily curve on Monday to Sunday, as shares; on top of weekend_factor (default all 1).
        weekday_factors: [f64; 7],
    }
}
shape! {
    /// `[[pools.load.kinds]]`
    KindFragment {
        /// Points added to the base, -100 to 100 (default 0).
        level_percent: f64,
        /// Factor of the daily curve, 0 to 100 (default 1).
        daily_factor: f64,
        /// The daily curve comes so many hours later, -24 to 24 (default 0).
        shift_hours: f64,
        /// Factor of all noise, 0 to 100 (default 1).
        noise_factor: f64,
        /// Factor of the rate of bursts, 0 to 1000 (default 1).
        burst_factor: f64,
        /// Share of slow noise in the variance of the noise it does not share with its pool, 0 to 1 (default: that of the family).
        slow_share: f64,
        /// Memory of such a device, where the family describes memory: points added to its level (-100 to 100), factor of its profile and
        /// factor of its noise (0 to 100), in place of spread_percent (default [0, 1, 1] and the spread).
        memory: [f64; 3],
        /// The same for the network.
        network: [f64; 3],
        /// The same for the disk.
        disk: [f64; 3],
    }
}
shape! {
    /// `[pools.load.memory]`, `.network`, `.disk`: level + cpu_factor × cpu + profile + noise, brought into 0 to 100.
    FollowerFragment {
        /// Level (default 0).
        level_percent: f64,
        /// Spread of the devices' own levels (default 0).
        spread_percent: f64,
        /// Points for a point of cpu, -10 to 10 (default 0).
        cpu_factor: f64,
        /// Points evenly over the day from midnight UTC, 2 to 288 values (default: none).
        profile: Vec<f64>,
        /// Noise (default 0).
        noise_percent: f64,
        /// Its correlation from tick to tick, 0 to 0.99999 (default 0).
        noise_correlation: f64,
        /// Slow noise (default 0).
        slow_noise_percent: f64,
        /// Its correlation from tick to tick, 0 to 0.99999 (default 0.995).
        slow_noise_correlation: f64,
        /// Distribution of both together, as above (default: normal).
        marginal: Vec<f64>,
        /// Bursts a day and device, 0 to 100 (default 0).
        burst_rate_per_day: f64,
        /// Median height of a burst, points (default 15).
        burst_percent: f64,
        /// Standard deviation of its logarithm, 0 to 3 (default 0: all alike).
        burst_sigma: f64,
        /// Mean length of a burst (default 15m).
        burst_duration: String,
    }
}
shape! {
    /// `[package]`
    PackageFragment {
        /// Its name (default firmware).
        name: String,
        /// The version it brings (default 2.0).
        version: String,
        /// Download size (default 200 000 000).
        size_bytes: f64,
        /// Who the rollout is for (default true).
        target: String,
        /// What it may be installed over (default true).
        compatible: String,
        /// Of several rollouts at once the higher goes first, 0–255 (default 0).
        priority: u8,
        /// Older releases that devices too far behind pass through.
        stones: Vec<StoneFragment>,
    }
}
shape! {
    /// `[[package.stones]]`: a stepping stone.
    StoneFragment {
        /// Its version.
        version: String,
        /// Download size (default 200 000 000).
        size_bytes: f64,
        /// What it may be installed over (default true).
        compatible: String,
    }
}
shape! {
    /// `[[rollouts]]`: a rollout beside the first.
    RolloutFragment {
        /// Begins this long after the first is created (default 0s).
        starts_after: String,
        /// What it brings.
        package: PackageFragment,
    }
}
shape! {
    /// A lognormal duration.
    DurationFragment {
        /// Half of all are shorter.
        median: String,
        /// Spread of the logarithm, 0–3.
        sigma: f64,
    }
}
shape! {
    /// `[updates]`
    UpdateFragment {
        /// Bytes a second (default 2 000 000).
        download_bytes_per_s: f64,
        /// Default 1m, 0.3.
        drain: DurationFragment,
        /// Default 8m, 0.3.
        install: DurationFragment,
        /// Default 3m, 0.2.
        reboot: DurationFragment,
        /// Default 2m, 0.2.
        verify: DurationFragment,
        /// Default 5m, 0.3.
        rollback: DurationFragment,
        /// Devices ask within this long, evenly (default 10m).
        check_in: String,
        /// In place of check_in: Weibull scale of the time until a device asks (default: evenly within check_in).
        check_in_scale: String,
        /// Weibull shape; below 1 some ask very late (default 1).
        check_in_shape: f64,
        /// CPU an update costs while the device serves (default 5).
        cost_cpu_percent: f64,
    }
}
shape! {
    /// `[failures]`
    FailureFragment {
        /// Installs that fail, percent (default 0.5).
        install_failure_percent: f64,
        /// Rollbacks that fail, percent (default 0.2).
        rollback_failure_percent: f64,
        /// What is wrong with the release.
        bad_release: BadReleaseFragment,
        /// Devices that crash by themselves.
        crash: CrashFragment,
        /// Sites or regions that are down as a whole.
        outages: Vec<OutageFragment>,
        /// Sites or regions that cannot talk to the controller.
        partitions: Vec<PartitionFragment>,
        /// Telemetry that is lost, late, doubled or out of order.
        telemetry: TelemetryFragment,
        /// Devices whose clock is wrong.
        clock: ClockFragment,
        /// Agents that restart while they install.
        agent: AgentFragment,
        /// Times at which the controller dies.
        controller: Vec<ControllerFragment>,
        /// What too much work does to a device.
        overload: OverloadFragment,
        /// From this long after the first rollout is announced nothing goes wrong any more, and what is wrong then is over; a bad release
        /// stays bad (default never).
        until: String,
    }
}
shape! {
    /// `[failures.bad_release]`: a regression, a slow leak, or a crash loop.
    BadReleaseFragment {
        /// Points of CPU it costs.
        regression_cpu_points: f64,
        /// From nothing to all of it (default 0s).
        ramp: String,
        /// Points of CPU it costs more with every hour since the device started, up to 100.
        leak_cpu_points_per_hour: f64,
        /// Points of memory it costs more with every hour since the device started, up to 100.
        leak_memory_points_per_hour: f64,
        /// Devices that fail the health check, percent.
        crash_loop_percent: f64,
        /// Only on these variants (default all).
        variants: Vec<String>,
        /// The release that is bad (default the package's version).
        version: String,
    }
}
shape! {
    /// `[failures.crash]`
    CrashFragment {
        /// Weibull scale of the time between crashes (default 70d).
        up_scale: String,
        /// Weibull shape (default 0.7).
        up_shape: f64,
        /// Default 1h, 1.2.
        repair: DurationFragment,
        /// Recorded down-times: a CSV of device_id,from,to, relative to this file. Devices crash by the record alone, unless `up_scale` is
        /// named too.
        recorded: String,
    }
}
shape! {
    /// `[operator]`
    OperatorFragment {
        /// Default 0s.
        approves_after: String,
        /// Default 2h; "never" aborts instead.
        resumes_after: String,
        /// Default 3.
        resumes_max: Whole,
        /// Pauses each rollout once, this long after it was started (default never).
        pauses_after: String,
        /// Aborts each rollout this long after it was started (default never).
        aborts_after: String,
    }
}
