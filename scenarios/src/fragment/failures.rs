//! What goes wrong.

use super::read::{DAY, Read, Reader};
use super::{BadReleaseFragment, CrashFragment, FailureFragment};
use crate::scenario::{BadRelease, BadReleaseKind, Crash, Failures};
use slacktide_engine::time::Span;
use slacktide_engine::version::Version;

impl Reader<'_> {
    pub(super) fn failures(&self, given: FailureFragment, released: Version) -> Read<Failures> {
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

    pub(super) fn bad_release(&self, given: BadReleaseFragment, released: Version) -> Read<BadRelease> {
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
