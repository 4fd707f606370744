//! Faults around devices: the file shapes, and the way to valid values.

use super::read::{DAY, Read, Reader};
use super::{DurationFragment, FailureFragment};
use crate::faults::{
    AgentRestarts, ClockSkew, ControllerCrash, CutTelemetry, Onset, Overload, Partition, Scope, Spell, TelemetryFaults,
};
use crate::scenario::PoolGroup;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use slacktide_engine::document::{format_span, nearest};
use slacktide_engine::time::Span;
use std::collections::BTreeSet;

shape! {
    /// `[[failures.outages]]`: sites or regions that are down as a whole.
    OutageFragment {
        /// What fails together: site or region (default site).
        of: String,
        /// Only these sites or regions (default each of them).
        only: Vec<String>,
        /// Mean time from one to the next, of each (default 365d); not with `after`.
        every: String,
        /// Once, this long after the first rollout is announced; not with `every`.
        after: String,
        /// Default 2h, 1.
        lasts: DurationFragment,
    }
}
shape! {
    /// `[[failures.partitions]]`: sites or regions that cannot talk to the controller.
    PartitionFragment {
        /// What is cut off together: site or region (default region).
        of: String,
        /// Only these sites or regions (default each of them).
        only: Vec<String>,
        /// Mean time from one to the next, of each (default 90d); not with `after`.
        every: String,
        /// Once, this long after the first rollout is announced; not with `every`.
        after: String,
        /// Default 30m, 1.
        lasts: DurationFragment,
        /// What becomes of telemetry: lost, or held until it heals (default lost).
        telemetry: String,
    }
}
shape! {
    /// `[failures.telemetry]`: percentages of device samples.
    TelemetryFragment {
        /// Never arrive (default 1).
        lost_percent: f64,
        /// Arrive late (default 2).
        late_percent: f64,
        /// How late (default 5m, 0.8).
        late_by: DurationFragment,
        /// Arrive twice (default 0.5).
        duplicated_percent: f64,
        /// Arrive after the next one (default 0.5).
        reordered_percent: f64,
    }
}
shape! {
    /// `[failures.clock]`
    ClockFragment {
        /// Devices whose clock is wrong, percent (default 5).
        skewed_percent: f64,
        /// How far it is off (default 10m, 1).
        off_by: DurationFragment,
    }
}
shape! {
    /// `[failures.agent]`
    AgentFragment {
        /// Installs during which the agent restarts, percent (default 5).
        restart_percent: f64,
        /// Time until it is back (default 20s, 0.5).
        restart: DurationFragment,
        /// Share of those that go on where they were (default 1).
        resumes: f64,
        /// Share of those that begin the step anew (default 1).
        anew: f64,
        /// Share of those that go back and report failure (default 1).
        gives_up: f64,
    }
}
shape! {
    /// `[[failures.controller]]`: the controller dies and is rebuilt from its journal.
    ControllerFragment {
        /// This long after the first rollout is announced (default 1h).
        after: String,
        /// Until it is back (default 10m).
        down_for: String,
    }
}
shape! {
    /// `[failures.overload]`
    OverloadFragment {
        /// From this load on (default: the scenario's overload limit).
        from_percent: f64,
        /// Crashes an hour at 100 % load (default 0.5).
        crashes_per_hour: f64,
        /// Time to be back (default 10m, 0.5).
        repair: DurationFragment,
        /// Share of its work that a device at 100 % loses (default 10).
        lost_work_percent: f64,
    }
}

/// Faults that are not the devices' own.
pub(super) struct Around {
    pub(super) outages: Vec<Spell>,
    pub(super) partitions: Vec<Partition>,
    pub(super) telemetry: Option<TelemetryFaults>,
    pub(super) clock: Option<ClockSkew>,
    pub(super) agent: Option<AgentRestarts>,
    pub(super) controller: Vec<ControllerCrash>,
    pub(super) overload: Option<Overload>,
}

struct SpellFragment {
    of: Option<String>,
    only: Option<Vec<String>>,
    every: Option<String>,
    after: Option<String>,
    lasts: Option<DurationFragment>,
}

impl Reader<'_> {
    pub(super) fn around(&self, given: &mut FailureFragment, pools: &[PoolGroup], limit: f64) -> Read<Around> {
        let outages = given.outages.take().unwrap_or_default().into_iter().enumerate();
        let partitions = given.partitions.take().unwrap_or_default().into_iter().enumerate();
        let controller = given.controller.take().unwrap_or_default().into_iter().enumerate();
        Ok(Around {
            outages: outages.map(|(i, outage)| self.outage(i, outage, pools)).collect::<Read<_>>()?,
            partitions: partitions.map(|(i, partition)| self.partition(i, partition, pools)).collect::<Read<_>>()?,
            telemetry: given.telemetry.take().map(|telemetry| self.telemetry(telemetry)).transpose()?,
            clock: given.clock.take().map(|clock| self.clock(clock)).transpose()?,
            agent: given.agent.take().map(|agent| self.agent(agent)).transpose()?,
            controller: self.controller(controller)?,
            overload: given.overload.take().map(|overload| self.overload(overload, limit)).transpose()?,
        })
    }

    fn outage(&self, i: usize, given: OutageFragment, pools: &[PoolGroup]) -> Read<Spell> {
        let OutageFragment { of, only, every, after, lasts } = given;
        let spell = SpellFragment { of: of.or_else(|| Some("site".to_owned())), only, every, after, lasts };
        self.spell(&format!("failures.outages[{i}]"), spell, (DAY.times(365), 7200), pools)
    }

    fn partition(&self, i: usize, given: PartitionFragment, pools: &[PoolGroup]) -> Read<Partition> {
        let at = format!("failures.partitions[{i}]");
        let PartitionFragment { of, only, every, after, lasts, telemetry } = given;
        let spell = SpellFragment { of: of.or_else(|| Some("region".to_owned())), only, every, after, lasts };
        Ok(Partition {
            spell: self.spell(&at, spell, (DAY.times(90), 1800), pools)?,
            telemetry: match telemetry.as_deref() {
                None | Some("lost") => CutTelemetry::Lost,
                Some("held") => CutTelemetry::Held,
                Some(other) => {
                    return Err(self.0.error(&format!("{at}.telemetry"), other, "must be lost or held"));
                }
            },
        })
    }

    fn spell(&self, at: &str, given: SpellFragment, (every, lasts_s): (Span, u64), pools: &[PoolGroup]) -> Read<Spell> {
        let path = |field: &str| format!("{at}.{field}");
        let scope = match given.of.as_deref() {
            Some("site") => Scope::Site,
            Some("region") => Scope::Region,
            other => return Err(self.0.error(&path("of"), other.unwrap_or_default(), "must be site or region")),
        };
        if given.every.is_some() && given.after.is_some() {
            let after = given.after.unwrap_or_default();
            return Err(self.0.error(&path("after"), after, "goes not with `every`: write one of them"));
        }
        let onset = match &given.after {
            Some(_) => {
                Onset::After(self.span(&path("after"), given.after.as_ref(), Span::ZERO, Span::ZERO, DAY.times(60))?)
            }
            None => Onset::Every(self.span(
                &path("every"),
                given.every.as_ref(),
                every,
                Span::from_secs(600),
                DAY.times(36_500),
            )?),
        };
        let only = given.only.unwrap_or_default();
        if let Some((i, name)) = only.iter().enumerate().find(|(_, name)| !stands(pools, scope, name)) {
            let problem = format!("no device stands there{}", hint(name, &areas(pools, scope)));
            return Err(self.0.error(&path(&format!("only[{i}]")), name, problem));
        }
        Ok(Spell { scope, only, onset, lasts: self.duration(&path("lasts"), given.lasts, lasts_s, 1.0)? })
    }

    fn telemetry(&self, given: TelemetryFragment) -> Read<TelemetryFaults> {
        let at = "failures.telemetry";
        let percent = |name: &str, value, default| self.number(&format!("{at}.{name}"), value, default, 0.0, 100.0);
        let faults = TelemetryFaults {
            lost_percent: percent("lost_percent", given.lost_percent, 1.0)?,
            late_percent: percent("late_percent", given.late_percent, 2.0)?,
            late_by: self.duration(&format!("{at}.late_by"), given.late_by, 300, 0.8)?,
            duplicated_percent: percent("duplicated_percent", given.duplicated_percent, 0.5)?,
            reordered_percent: percent("reordered_percent", given.reordered_percent, 0.5)?,
        };
        let sum = faults.lost_percent + faults.late_percent + faults.duplicated_percent + faults.reordered_percent;
        if sum > 100.0 {
            return Err(self.0.error(at, sum, "the percentages must add up to 100 at most"));
        }
        Ok(faults)
    }

    fn clock(&self, given: ClockFragment) -> Read<ClockSkew> {
        let skewed = self.number("failures.clock.skewed_percent", given.skewed_percent, 5.0, 0.0, 100.0)?;
        Ok(ClockSkew {
            skewed_percent: skewed,
            off_by: self.duration("failures.clock.off_by", given.off_by, 600, 1.0)?,
        })
    }

    fn agent(&self, given: AgentFragment) -> Read<AgentRestarts> {
        let at = "failures.agent";
        let share = |name: &str, value| self.number(&format!("{at}.{name}"), value, 1.0, 0.0, 1e9);
        let agent = AgentRestarts {
            percent: self.number(&format!("{at}.restart_percent"), given.restart_percent, 5.0, 0.0, 100.0)?,
            restart: self.duration(&format!("{at}.restart"), given.restart, 20, 0.5)?,
            resumes: share("resumes", given.resumes)?,
            anew: share("anew", given.anew)?,
            gives_up: share("gives_up", given.gives_up)?,
        };
        if agent.resumes + agent.anew + agent.gives_up > 0.0 {
            Ok(agent)
        } else {
            Err(self.0.error(at, "0", "one of resumes, anew and gives_up must be above 0"))
        }
    }

    /// Crashes of the controller in the order of their times; none may come while it is down.
    fn controller(&self, given: impl Iterator<Item = (usize, ControllerFragment)>) -> Read<Vec<ControllerCrash>> {
        let one = |(i, given): (usize, ControllerFragment)| {
            let at = format!("failures.controller[{i}]");
            let (minute, hour) = (Span::from_secs(60), Span::from_secs(3600));
            Ok(ControllerCrash {
                after: self.span(&format!("{at}.after"), given.after.as_ref(), hour, Span::ZERO, DAY.times(60))?,
                down_for: self.span(
                    &format!("{at}.down_for"),
                    given.down_for.as_ref(),
                    minute.times(10),
                    Span::from_secs(1),
                    DAY.times(7),
                )?,
            })
        };
        let mut crashes = given.map(one).collect::<Read<Vec<_>>>()?;
        crashes.sort_by_key(|crash| crash.after);
        let overlaps = |pair: &[ControllerCrash]| pair[0].after + pair[0].down_for >= pair[1].after;
        if crashes.windows(2).any(overlaps) {
            let after: Vec<String> = crashes.iter().map(|crash| format_span(crash.after)).collect();
            let problem = "a controller that is down cannot crash: times overlap, the next must come after `down_for`";
            return Err(self.0.error("failures.controller", after.join(", "), problem));
        }
        Ok(crashes)
    }

    fn overload(&self, given: OverloadFragment, limit: f64) -> Read<Overload> {
        let at = "failures.overload";
        let number = |name: &str, value, default, max| self.number(&format!("{at}.{name}"), value, default, 0.0, max);
        Ok(Overload {
            from_percent: number("from_percent", given.from_percent, limit.min(99.9), 99.9)?,
            crashes_per_hour: number("crashes_per_hour", given.crashes_per_hour, 0.5, 1000.0)?,
            repair: self.duration(&format!("{at}.repair"), given.repair, 600, 0.5)?,
            lost_work_percent: number("lost_work_percent", given.lost_work_percent, 10.0, 100.0)?,
        })
    }
}

/// Areas that a message lists, and that a name is held against for the nearest.
const LISTED_MAX: usize = 12;
const COMPARED_MAX: usize = 1000;

/// Does any device stand in the site or region of this name?
pub(super) fn stands(pools: &[PoolGroup], scope: Scope, name: &str) -> bool {
    if scope == Scope::Region {
        return pools.iter().any(|pool| pool.regions.iter().any(|region| region == name));
    }
    let Some((region, number)) = name.rsplit_once('-') else { return false };
    let Some(site) = number.parse::<usize>().ok().filter(|site| site.to_string() == number) else { return false };
    pools.iter().any(|pool| (1..=pool.sites_per_region).contains(&site) && pool.regions.iter().any(|r| r == region))
}

/// Names of sites or regions that pools stand in, so many of them as are of use in a message: a region may have a million sites.
pub(super) fn areas(pools: &[PoolGroup], scope: Scope) -> BTreeSet<String> {
    let region = pools.iter().flat_map(|pool| pool.regions.iter().map(|region| (region, pool.sites_per_region)));
    let names = region.flat_map(|(region, sites)| {
        let count = if scope == Scope::Region { 1 } else { sites.min(COMPARED_MAX) };
        (1..=count).map(move |site| if scope == Scope::Region { region.clone() } else { format!("{region}-{site}") })
    });
    names.take(COMPARED_MAX).collect()
}

/// The nearest name, and the first of all there are.
pub(super) fn hint<T: AsRef<str>>(name: &str, known: &BTreeSet<T>) -> String {
    let near = nearest(name, known.iter().map(T::as_ref)).map(|near| format!("; did you mean `{near}`?"));
    let listed: Vec<&str> = known.iter().take(LISTED_MAX).map(T::as_ref).collect();
    let more = if known.len() > LISTED_MAX { "…" } else { "" };
    let begin = if near.is_some() { " There" } else { "; there" };
    format!("{}{begin} are {}{more}", near.unwrap_or_default(), listed.join(", "))
}
