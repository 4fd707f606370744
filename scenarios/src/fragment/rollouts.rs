//! What is rolled out, how long its steps take, and the person in the loop.

use super::read::{DAY, Read, Reader};
use super::{OperatorFragment, PackageFragment, RolloutFragment, StoneFragment, UpdateFragment};
use crate::scenario::{AlsoRollout, CheckIn, Operator, UpdatePhysics};
use slacktide_engine::filter::Filter;
use slacktide_engine::rollout::{Package, Stone};
use slacktide_engine::time::Span;
use slacktide_engine::version::Version;

impl Reader<'_> {
    pub(super) fn package(&self, at: &str, given: PackageFragment) -> Read<Package> {
        let path = |field: &str| format!("{at}.{field}");
        let version = given.version.unwrap_or_else(|| "2.0".to_owned());
        let stones = given.stones.unwrap_or_default();
        if stones.len() > Package::STONES_MAX {
            let problem = format!("there may be at most {}", Package::STONES_MAX);
            return Err(self.0.error(&path("stones"), stones.len(), problem));
        }
        let stone = |(i, given): (usize, StoneFragment)| {
            let at = format!("{at}.stones[{i}]");
            let missing = || self.0.error(&format!("{at}.version"), "", "is missing: write a version such as \"1.5\"");
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
            sha256: None,
        })
    }

    pub(super) fn version(&self, path: &str, text: &str) -> Read<Version> {
        // A number without quotation marks is the most common slip, and is told by this same sentence.
        let problem = "must be a version in quotation marks: one to four numbers with dots between, such as \"2.4.1\"";
        text.parse().map_err(|_| self.0.error(path, text, problem))
    }

    pub(super) fn filter(&self, path: &str, text: Option<String>) -> Read<Filter> {
        let text = text.unwrap_or_else(|| "true".to_owned());
        Filter::parse(&text).map_err(|e| self.0.error(path, &text, e.to_string()))
    }

    /// Further rollouts, the earliest first.
    pub(super) fn also(&self, given: Vec<RolloutFragment>) -> Read<Vec<AlsoRollout>> {
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

    fn check_in(&self, given: &UpdateFragment) -> Read<CheckIn> {
        let shape = self.number("updates.check_in_shape", given.check_in_shape, 1.0, 0.2, 10.0)?;
        let ten_minutes = Span::from_secs(600);
        let within = self.span("updates.check_in", given.check_in.as_ref(), ten_minutes, Span::ZERO, DAY)?;
        let Some(scale) = &given.check_in_scale else {
            if given.check_in_shape.is_some() {
                let problem = "goes with `check_in_scale` only: name that too, or leave this out";
                return Err(self.0.error("updates.check_in_shape", shape, problem));
            }
            return Ok(CheckIn::Evenly { within });
        };
        if given.check_in.is_some() {
            return Err(self.0.error("updates.check_in_scale", scale, "goes not with `check_in`: write one of them"));
        }
        let scale = self.0.span("updates.check_in_scale", scale, Span::from_secs(60), DAY.times(3650))?;
        Ok(CheckIn::Weibull { scale, shape })
    }

    pub(super) fn updates(&self, given: UpdateFragment) -> Read<UpdatePhysics> {
        let check_in = self.check_in(&given)?;
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
            check_in,
            cost_cpu_percent: self.number("updates.cost_cpu_percent", given.cost_cpu_percent, 5.0, 0.0, 100.0)?,
        })
    }

    pub(super) fn operator(&self, given: &OperatorFragment) -> Read<Operator> {
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
        let once = |field: &str, text: &Option<String>| {
            let path = format!("operator.{field}");
            text.as_ref().map(|text| self.0.span(&path, text, Span::ZERO, DAY.times(30))).transpose()
        };
        Ok(Operator {
            pauses_after: once("pauses_after", &given.pauses_after)?,
            aborts_after: once("aborts_after", &given.aborts_after)?,
            approves_after: self.span(
                "operator.approves_after",
                given.approves_after.as_ref(),
                Span::ZERO,
                Span::ZERO,
                DAY.times(30),
            )?,
            resumes_after,
            resumes_max: self.whole("operator.resumes_max", given.resumes_max, 3, 0, 1_000_000)?,
        })
    }
}
