//! The file shape of a scenario, and the way from it to a valid [`Scenario`].

use crate::scenario::{
    AlsoRollout, BadRelease, BadReleaseKind, Crash, Duration, Failures, LoadFamily, Operator, PoolGroup, Ramp,
    Scenario, UpdatePhysics,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use slacktide_engine::document::{Document, InputError, format_span};
use slacktide_engine::filter::Filter;
use slacktide_engine::policy::fragment::PolicyFragment;
use slacktide_engine::rollout::{Package, Stone};
use slacktide_engine::time::{Instant, Span};
use slacktide_engine::version::Version;
use std::collections::BTreeMap;

macro_rules! shape {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident : $type:ty),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name { $($(#[$field_doc])* pub $field: Option<$type>,)+ }
    };
}

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
        devices: u32,
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
        pool_size: u32,
        /// What its devices do (default web).
        function: String,
        /// Regions (default ["eu"]).
        regions: Vec<String>,
        /// Sites in each region (default 2).
        sites_per_region: u32,
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
        /// An unforeseen rise, once, that history does not know: points added to every device at its top (default 0: none).
        ramp_percent: f64,
        /// It begins this long after the rollout is announced (default 1h).
        ramp_after: String,
        /// From nothing to all of it (default 1h).
        ramp_duration: String,
        /// It stays at its top this long and then falls as fast as it rose (default 2h).
        ramp_hold: String,
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
        /// Devices ask within this long (default 10m).
        check_in: String,
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
    }
}
shape! {
    /// `[failures.bad_release]`: either a regression or a crash loop.
    BadReleaseFragment {
        /// Points of CPU it costs.
        regression_cpu_points: f64,
        /// From nothing to all of it (default 0s).
        ramp: String,
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
        resumes_max: u32,
    }
}

const DAY: Span = Span::from_secs(86_400);

type Read<T> = Result<T, InputError>;

struct Reader<'a>(&'a Document);

impl Reader<'_> {
    fn number(&self, path: &str, given: Option<f64>, default: f64, min: f64, max: f64) -> Read<f64> {
        self.0.in_range(path, given.unwrap_or(default), min, max)
    }

    fn span(&self, path: &str, given: Option<&String>, default: Span, min: Span, max: Span) -> Read<Span> {
        given.map_or(Ok(default), |text| self.0.span(path, text, min, max))
    }

    fn duration(&self, path: &str, given: Option<DurationFragment>, median_s: u64, sigma: f64) -> Read<Duration> {
        let given = given.unwrap_or_default();
        Ok(Duration {
            median: self.span(
                &format!("{path}.median"),
                given.median.as_ref(),
                Span::from_secs(median_s),
                Span::ZERO,
                DAY,
            )?,
            sigma: self.number(&format!("{path}.sigma"), given.sigma, sigma, 0.0, 3.0)?,
        })
    }

    fn shares<T>(
        &self,
        path: &str,
        given: BTreeMap<String, f64>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Read<Vec<(T, f64)>> {
        let one = |(name, share): (String, f64)| {
            let field = format!("{path}.{name}");
            let share = self.0.in_range(&field, share, 0.0, 1e9)?;
            let value = read(&name).map_err(|problem| self.0.error(&field, &name, problem))?;
            Ok((value, share))
        };
        let shares = given.into_iter().map(one).collect::<Read<Vec<_>>>()?;
        if shares.iter().map(|(_, share)| share).sum::<f64>() > 0.0 {
            Ok(shares)
        } else {
            Err(self.0.error(path, "", "some share must be above 0"))
        }
    }

    fn pair(&self, path: &str, given: Option<[f64; 2]>, min: f64, max: f64) -> Read<(f64, f64)> {
        let [low, high] = given.unwrap_or([1.0, 1.0]);
        self.0.in_range(path, low, min, max)?;
        self.0.in_range(path, high, low, max)?;
        Ok((low, high))
    }

    fn pool(&self, i: usize, given: PoolFragment) -> Read<PoolGroup> {
        let path = |field: &str| format!("pools[{i}].{field}");
        let one = |name: &str| BTreeMap::from([(name.to_owned(), 1.0)]);
        let regions = given.regions.unwrap_or_else(|| vec!["eu".to_owned()]);
        if regions.is_empty() {
            return Err(self.0.error(&path("regions"), "[]", "there must be at least one region"));
        }
        let count = |field: &str, value: Option<u32>, default: u32, max: f64| {
            self.number(&path(field), Some(f64::from(value.unwrap_or(default))), 1.0, 1.0, max)
        };
        Ok(PoolGroup {
            name: given.name.unwrap_or_else(|| format!("pool{}", i + 1)),
            share: self.number(&path("share"), given.share, 1.0, 1e-9, 1e9)?,
            pool_size: count("pool_size", given.pool_size, 10, 1e6)? as usize,
            function: given.function.unwrap_or_else(|| "web".to_owned()),
            regions,
            sites_per_region: count("sites_per_region", given.sites_per_region, 2, 1e6)? as usize,
            versions: self.shares(&path("versions"), given.versions.unwrap_or_else(|| one("1.0")), |text| {
                text.parse().map_err(|e: slacktide_engine::version::BadVersion| e.to_string())
            })?,
            variants: self
                .shares(&path("variants"), given.variants.unwrap_or_else(|| one("a")), |text| Ok(text.to_owned()))?,
            weight: self.pair(&path("weight"), given.weight, 1e-6, 1e9)?,
            requirement: self.pair(&path("requirement"), given.requirement, 0.0, 1e9)?,
            load: self.load(&path("load"), &given.load.unwrap_or_default())?,
        })
    }

    fn load(&self, at: &str, given: &LoadFragment) -> Read<LoadFamily> {
        let field = |name: &str, value: Option<f64>, default: f64, min: f64, max: f64| {
            self.number(&format!("{at}.{name}"), value, default, min, max)
        };
        Ok(LoadFamily {
            base_percent: field("base_percent", given.base_percent, 25.0, 0.0, 100.0)?,
            daily_amplitude_percent: field("daily_amplitude_percent", given.daily_amplitude_percent, 30.0, 0.0, 100.0)?,
            daily_peak_hour: field("daily_peak_hour", given.daily_peak_hour, 20.0, 0.0, 24.0)?,
            daily_sharpness: field("daily_sharpness", given.daily_sharpness, 1.0, 0.1, 20.0)?,
            weekend_factor: field("weekend_factor", given.weekend_factor, 0.9, 0.0, 5.0)?,
            trend_percent_per_day: field("trend_percent_per_day", given.trend_percent_per_day, 0.0, -20.0, 20.0)?,
            noise_percent: field("noise_percent", given.noise_percent, 4.0, 0.0, 50.0)?,
            noise_correlation: field("noise_correlation", given.noise_correlation, 0.7, 0.0, 0.999)?,
            pool_noise_percent: field("pool_noise_percent", given.pool_noise_percent, 1.5, 0.0, 50.0)?,
            device_spread_percent: field("device_spread_percent", given.device_spread_percent, 4.0, 0.0, 50.0)?,
            burst_rate_per_day: field("burst_rate_per_day", given.burst_rate_per_day, 0.5, 0.0, 100.0)?,
            burst_percent: field("burst_percent", given.burst_percent, 15.0, 0.0, 100.0)?,
            burst_duration: self.span(
                &format!("{at}.burst_duration"),
                given.burst_duration.as_ref(),
                Span::from_secs(900),
                Span::from_secs(60),
                DAY,
            )?,
            memory_percent: field("memory_percent", given.memory_percent, 45.0, 0.0, 100.0)?,
            network_factor: field("network_factor", given.network_factor, 0.6, 0.0, 10.0)?,
            disk_percent: field("disk_percent", given.disk_percent, 15.0, 0.0, 100.0)?,
            ramp: self.ramp(at, given)?,
        })
    }

    fn ramp(&self, at: &str, given: &LoadFragment) -> Read<Option<Ramp>> {
        let percent = self.number(&format!("{at}.ramp_percent"), given.ramp_percent, 0.0, 0.0, 100.0)?;
        let hour = Span::from_secs(3600);
        let span = |name: &str, given: Option<&String>, default: Span, max: Span| {
            self.span(&format!("{at}.{name}"), given, default, Span::ZERO, max)
        };
        let ramp = Ramp {
            percent,
            after: span("ramp_after", given.ramp_after.as_ref(), hour, DAY.times(30))?,
            duration: span("ramp_duration", given.ramp_duration.as_ref(), hour, DAY)?,
            hold: span("ramp_hold", given.ramp_hold.as_ref(), hour.times(2), DAY.times(30))?,
        };
        Ok((percent > 0.0).then_some(ramp))
    }

    fn package(&self, at: &str, given: PackageFragment) -> Read<Package> {
        let path = |field: &str| format!("{at}.{field}");
        let version = given.version.unwrap_or_else(|| "2.0".to_owned());
        let stones = given.stones.unwrap_or_default();
        if stones.len() > Package::STONES_MAX {
            let problem = format!("there may be at most {}", Package::STONES_MAX);
            return Err(self.0.error(&path("stones"), stones.len(), problem));
        }
        let stone = |(i, given): (usize, StoneFragment)| {
            let at = format!("{at}.stones[{i}]");
            let missing = || self.0.error(&at, "", "needs a version");
            Ok(Stone {
                version: self.version(&format!("{at}.version"), &given.version.ok_or_else(missing)?)?,
                size_bytes: self.number(&format!("{at}.size_bytes"), given.size_bytes, 2e8, 0.0, 1e13)? as u64,
                compatible: self.filter(&format!("{at}.compatible"), given.compatible)?,
            })
        };
        Ok(Package {
            name: given.name.unwrap_or_else(|| "firmware".to_owned()),
            version: self.version(&path("version"), &version)?,
            size_bytes: self.number(&path("size_bytes"), given.size_bytes, 2e8, 0.0, 1e13)? as u64,
            target: self.filter(&path("target"), given.target)?,
            compatible: self.filter(&path("compatible"), given.compatible)?,
            stones: stones.into_iter().enumerate().map(stone).collect::<Read<_>>()?,
        })
    }

    fn version(&self, path: &str, text: &str) -> Read<Version> {
        text.parse().map_err(|e: slacktide_engine::version::BadVersion| self.0.error(path, text, e.to_string()))
    }

    fn filter(&self, path: &str, text: Option<String>) -> Read<Filter> {
        let text = text.unwrap_or_else(|| "true".to_owned());
        Filter::parse(&text).map_err(|e| self.0.error(path, "", e.to_string()))
    }

    /// Further rollouts, the earliest first.
    fn also(&self, given: Vec<RolloutFragment>) -> Read<Vec<AlsoRollout>> {
        let one = |(i, given): (usize, RolloutFragment)| {
            let at = format!("rollouts[{i}]");
            let after = format!("{at}.starts_after");
            let package = given.package.unwrap_or_default();
            Ok(AlsoRollout {
                priority: package.priority.unwrap_or(0),
                package: self.package(&format!("{at}.package"), package)?,
                starts_after: self.span(&after, given.starts_after.as_ref(), Span::ZERO, Span::ZERO, DAY.times(30))?,
            })
        };
        let mut also = given.into_iter().enumerate().map(one).collect::<Read<Vec<_>>>()?;
        also.sort_by_key(|rollout| rollout.starts_after);
        Ok(also)
    }

    fn updates(&self, given: UpdateFragment) -> Read<UpdatePhysics> {
        Ok(UpdatePhysics {
            download_bytes_per_s: self.number(
                "updates.download_bytes_per_s",
                given.download_bytes_per_s,
                2e6,
                1.0,
                1e12,
            )?,
            drain: self.duration("updates.drain", given.drain, 60, 0.3)?,
            install: self.duration("updates.install", given.install, 480, 0.3)?,
            reboot: self.duration("updates.reboot", given.reboot, 180, 0.2)?,
            verify: self.duration("updates.verify", given.verify, 120, 0.2)?,
            rollback: self.duration("updates.rollback", given.rollback, 300, 0.3)?,
            check_in: self.span("updates.check_in", given.check_in.as_ref(), Span::from_secs(600), Span::ZERO, DAY)?,
            cost_cpu_percent: self.number("updates.cost_cpu_percent", given.cost_cpu_percent, 5.0, 0.0, 100.0)?,
        })
    }

    fn failures(&self, given: FailureFragment, released: Version) -> Read<Failures> {
        let percent = |path: &str, value, default| self.number(path, value, default, 0.0, 100.0);
        Ok(Failures {
            install_failure_percent: percent("failures.install_failure_percent", given.install_failure_percent, 0.5)?,
            rollback_failure_percent: percent(
                "failures.rollback_failure_percent",
                given.rollback_failure_percent,
                0.2,
            )?,
            bad_release: given.bad_release.map(|bad| self.bad_release(bad, released)).transpose()?,
            crash: given.crash.map(|crash| self.crash(crash)).transpose()?,
        })
    }

    fn bad_release(&self, given: BadReleaseFragment, released: Version) -> Read<BadRelease> {
        let at = "failures.bad_release";
        let kind = match (given.regression_cpu_points, given.crash_loop_percent) {
            (Some(points), None) => BadReleaseKind::Regression {
                cpu_points: self.0.in_range(&format!("{at}.regression_cpu_points"), points, 0.0, 100.0)?,
                ramp: self.span(&format!("{at}.ramp"), given.ramp.as_ref(), Span::ZERO, Span::ZERO, DAY.times(7))?,
            },
            (None, Some(percent)) => BadReleaseKind::CrashLoop {
                percent: self.0.in_range(&format!("{at}.crash_loop_percent"), percent, 0.0, 100.0)?,
            },
            _ => return Err(self.0.error(at, "", "needs one of regression_cpu_points and crash_loop_percent")),
        };
        let version = given.version.map_or(Ok(released), |text| self.version(&format!("{at}.version"), &text))?;
        Ok(BadRelease { kind, variants: given.variants.unwrap_or_default(), version })
    }

    fn crash(&self, given: CrashFragment) -> Read<Crash> {
        let at = "failures.crash";
        Ok(Crash {
            up_scale: self.span(
                &format!("{at}.up_scale"),
                given.up_scale.as_ref(),
                DAY.times(70),
                Span::from_secs(600),
                DAY.times(3650),
            )?,
            up_shape: self.number(&format!("{at}.up_shape"), given.up_shape, 0.7, 0.2, 10.0)?,
            repair: self.duration(&format!("{at}.repair"), given.repair, 3600, 1.2)?,
        })
    }

    fn operator(&self, given: &OperatorFragment) -> Read<Operator> {
        let resumes_after = match given.resumes_after.as_deref() {
            Some("never") => None,
            _ => Some(self.span(
                "operator.resumes_after",
                given.resumes_after.as_ref(),
                Span::from_secs(7200),
                Span::ZERO,
                DAY.times(30),
            )?),
        };
        Ok(Operator {
            approves_after: self.span(
                "operator.approves_after",
                given.approves_after.as_ref(),
                Span::ZERO,
                Span::ZERO,
                DAY.times(30),
            )?,
            resumes_after,
            resumes_max: self.number("operator.resumes_max", given.resumes_max.map(f64::from), 3.0, 0.0, 1e6)? as u32,
        })
    }
}

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    /// [`InputError`] naming file, line, field, value and the valid range or choices.
    pub fn from_toml(source_name: &str, text: &str) -> Result<Self, InputError> {
        let (given, document) = Document::parse::<ScenarioFragment>(source_name, text)?;
        let reader = Reader(&document);
        let pools = given.pools.unwrap_or_default();
        if pools.is_empty() {
            return Err(document.error("pools", "", "there must be at least one [[pools]] group"));
        }
        let start = given.start.unwrap_or_else(|| "2024-03-04T00:00:00Z".to_owned());
        let start: jiff::Timestamp = start.parse().map_err(|_| {
            document.error("start", &start, "must be a moment as RFC 3339 writes it, such as 2024-03-04T00:00:00Z")
        })?;
        let tick = reader.span(
            "tick",
            given.tick.as_ref(),
            Span::from_secs(300),
            Span::from_secs(10),
            Span::from_secs(3600),
        )?;
        let policy = given.policy.unwrap_or_else(|| "predictive".to_owned());
        let package = given.package.unwrap_or_default();
        let priority = package.priority.unwrap_or(0);
        let package = reader.package("package", package)?;
        let also = given.rollouts.unwrap_or_default();
        if also.len() >= slacktide_engine::Engine::ROLLOUTS_MAX {
            let problem = format!("there may be at most {}", slacktide_engine::Engine::ROLLOUTS_MAX - 1);
            return Err(document.error("rollouts", also.len(), problem));
        }
        let scenario = Self {
            name: given.name.unwrap_or_else(|| source_name.to_owned()),
            summary: given.summary.unwrap_or_default(),
            teaches: given.teaches.unwrap_or_default(),
            text: text.to_owned(),
            devices: reader.number("devices", given.devices.map(f64::from), 100.0, 1.0, 4e6)? as usize,
            start: Instant::from_millis(start.as_millisecond()),
            history: reader.span(
                "history",
                given.history.as_ref(),
                DAY.times(7),
                Span::from_secs(3600),
                DAY.times(60),
            )?,
            until_max: reader.span(
                "until_max",
                given.until_max.as_ref(),
                DAY.times(8),
                Span::from_secs(3600),
                DAY.times(60),
            )?,
            tick,
            overload_limit_percent: reader.number(
                "overload_limit_percent",
                given.overload_limit_percent,
                90.0,
                1.0,
                100.0,
            )?,
            pools: pools.into_iter().enumerate().map(|(i, pool)| reader.pool(i, pool)).collect::<Read<_>>()?,
            priority,
            also: reader.also(also)?,
            updates: reader.updates(given.updates.unwrap_or_default())?,
            failures: reader.failures(given.failures.unwrap_or_default(), package.version)?,
            package,
            operator: reader.operator(&given.operator.unwrap_or_default())?,
            policy_overrides: given.policy_overrides.and_then(|p| toml::to_string(&p).ok()).unwrap_or_default(),
            policy,
        };
        let named = scenario.policy().map_err(|e| document.error("policy", &scenario.policy, e.to_string()))?;
        if !named.plan.slot.as_millis().is_multiple_of(tick.as_millis()) {
            return Err(document.error(
                "tick",
                format_span(tick),
                format!("must divide the policy's slot of {}", format_span(named.plan.slot)),
            ));
        }
        Ok(scenario)
    }

    /// JSON schema of the file.
    pub fn schema() -> serde_json::Value {
        serde_json::to_value(schemars::schema_for!(ScenarioFragment)).unwrap_or_default()
    }
}
