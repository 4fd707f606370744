//! What goes wrong.

use super::read::{DAY, Read, Reader};
use super::{BadReleaseFragment, CrashFragment, FailureFragment};
use crate::faults::DownTimes;
use crate::recorded::read_down_times;
use crate::scenario::{BadRelease, BadReleaseKind, Crash, Failures, PoolGroup};
use slacktide_engine::time::Span;
use slacktide_engine::version::Version;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

impl Reader<'_> {
    pub(super) fn failures(
        &self,
        mut given: FailureFragment,
        released: Version,
        pools: &[PoolGroup],
        limit: f64,
    ) -> Read<Failures> {
        let around = self.around(&mut given, pools, limit)?;
        let recorded = given.crash.as_ref().and_then(|crash| crash.recorded.clone());
        let by_chance = given.crash.filter(|crash| crash.recorded.is_none() || crash.up_scale.is_some());
        let percent = |path: &str, value, default| self.number(path, value, default, 0.0, 100.0);
        Ok(Failures {
            install_failure_percent: percent("failures.install_failure_percent", given.install_failure_percent, 0.5)?,
            rollback_failure_percent: percent(
                "failures.rollback_failure_percent",
                given.rollback_failure_percent,
                0.2,
            )?,
            bad_release: given.bad_release.map(|bad| self.bad_release(bad, released, pools)).transpose()?,
            crash: by_chance.map(|crash| self.crash(crash)).transpose()?,
            down_times: recorded.map(|path| self.down_times(&path)).transpose()?,
            outages: around.outages,
            partitions: around.partitions,
            telemetry: around.telemetry,
            clock: around.clock,
            agent: around.agent,
            controller: around.controller,
            overload: around.overload,
        })
    }

    fn bad_release(&self, given: BadReleaseFragment, released: Version, pools: &[PoolGroup]) -> Read<BadRelease> {
        let at = "failures.bad_release";
        let leaks = given.leak_cpu_points_per_hour.is_some() || given.leak_memory_points_per_hour.is_some();
        let leak = |name: &str, value| self.number(&format!("{at}.{name}"), value, 0.0, 0.0, 100.0);
        let kind = match (given.regression_cpu_points, given.crash_loop_percent, leaks) {
            (None, None, true) => BadReleaseKind::Leak {
                cpu_points_per_hour: leak("leak_cpu_points_per_hour", given.leak_cpu_points_per_hour)?,
                memory_points_per_hour: leak("leak_memory_points_per_hour", given.leak_memory_points_per_hour)?,
            },
            (Some(points), None, false) => BadReleaseKind::Regression {
                cpu_points: self.0.in_range(&format!("{at}.regression_cpu_points"), points, 0.0, 100.0)?,
                ramp: self.span(&format!("{at}.ramp"), given.ramp.as_ref(), Span::ZERO, Span::ZERO, DAY.times(7))?,
            },
            (None, Some(percent), false) => BadReleaseKind::CrashLoop {
                percent: self.0.in_range(&format!("{at}.crash_loop_percent"), percent, 0.0, 100.0)?,
            },
            _ => {
                let named = [
                    ("regression_cpu_points", given.regression_cpu_points),
                    ("crash_loop_percent", given.crash_loop_percent),
                    ("leak_cpu_points_per_hour", given.leak_cpu_points_per_hour),
                    ("leak_memory_points_per_hour", given.leak_memory_points_per_hour),
                ];
                let named: Vec<&str> =
                    named.iter().filter(|(_, value)| value.is_some()).map(|(name, _)| *name).collect();
                let problem = "needs one of regression_cpu_points, crash_loop_percent and leak_…_points_per_hour";
                return Err(self.0.error(at, named.join(", "), problem));
            }
        };
        if let Some(ramp) = given.ramp.filter(|_| !matches!(kind, BadReleaseKind::Regression { .. })) {
            return Err(self.0.error(
                &format!("{at}.ramp"),
                ramp,
                "goes with regression_cpu_points only: leave it out",
            ));
        }
        for (i, name) in given.variants.iter().flatten().enumerate() {
            let known: BTreeSet<&str> =
                pools.iter().flat_map(|pool| &pool.variants).map(|(variant, _)| variant.as_str()).collect();
            if !known.contains(name.as_str()) {
                let problem = format!("no device is of this variant{}", super::faults::hint(name, &known));
                return Err(self.0.error(&format!("{at}.variants[{i}]"), name, problem));
            }
        }
        let version = given.version.map_or(Ok(released), |text| self.version(&format!("{at}.version"), &text))?;
        Ok(BadRelease { kind, variants: given.variants.unwrap_or_default(), version })
    }

    /// Recorded down-times; a relative path starts at the scenario's file.
    fn down_times(&self, path: &str) -> Read<Arc<DownTimes>> {
        let folder = Path::new(self.0.source_name()).parent().unwrap_or_else(|| Path::new(""));
        let read = read_down_times(&folder.join(path));
        read.map(Arc::new).map_err(|e| self.0.error("failures.crash.recorded", path, e.to_string()))
    }

    pub(super) fn crash(&self, given: CrashFragment) -> Read<Crash> {
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
}
