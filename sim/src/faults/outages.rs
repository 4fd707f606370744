//! Sites and regions: when something is wrong with one as a whole.

use super::Fault;
use crate::device::{Around, draw};
use crate::queue::Queue;
use crate::rng::{Purpose, Stream};
use crate::run::Event;
use slacktide_engine::input::DeviceFacts;
use slacktide_engine::time::{Instant, Span};
use slacktide_scenarios::Scenario;
use slacktide_scenarios::faults::{CutTelemetry, Onset, Scope, Spell};
use std::collections::BTreeMap;

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// All its devices are down.
    Outage,
    /// It cannot talk to the controller; `held`: its devices keep their telemetry.
    Partition { held: bool },
}

/// A site or region under one spell.
#[derive(Debug)]
struct Area {
    kind: Kind,
    spell: Spell,
    members: Vec<u32>,
    stream: Stream,
}

/// Every site and region under every spell.
#[derive(Debug, Default)]
pub(crate) struct Areas {
    all: Vec<Area>,
    /// Nothing begins from then on.
    calm_from: Option<Instant>,
}

impl Areas {
    pub(crate) fn new(scenario: &Scenario, facts: &[DeviceFacts], seed: u64) -> Self {
        let failures = &scenario.failures;
        let outages = failures.outages.iter().map(|spell| (Kind::Outage, spell));
        let partitions = failures
            .partitions
            .iter()
            .map(|partition| (Kind::Partition { held: partition.telemetry == CutTelemetry::Held }, &partition.spell));
        let mut areas = Vec::new();
        for (purpose, (number, (kind, spell))) in outages
            .enumerate()
            .map(|one| (Purpose::Outage, one))
            .chain(partitions.enumerate().map(|one| (Purpose::Partition, one)))
        {
            for (position, (_, members)) in members(facts, spell).into_iter().enumerate() {
                let stream = Stream::new(seed, purpose, (number as u64) << 32 | position as u64);
                areas.push(Area { kind, spell: spell.clone(), members, stream });
            }
        }
        Self { all: areas, calm_from: scenario.calm_from() }
    }

    pub(crate) fn schedule(&mut self, start: Instant, rollout_at: Instant, queue: &mut Queue<Event>) {
        for area in 0..self.all.len() {
            match self.all[area].spell.onset {
                Onset::After(after) => self.begin(rollout_at + after, area, queue),
                Onset::Every(_) => self.schedule_begin(area, start, queue),
            }
        }
    }

    /// The next time, of what comes again and again.
    pub(crate) fn schedule_begin(&mut self, area: usize, from: Instant, queue: &mut Queue<Event>) {
        let Some(one) = self.all.get_mut(area) else { return };
        if let Onset::Every(mean) = one.spell.onset {
            let wait = -libm::log(1.0 - one.stream.uniform()) * mean.as_secs_f64();
            self.begin(from + Span::from_secs_f64(wait), area, queue);
        }
    }

    fn begin(&self, at: Instant, area: usize, queue: &mut Queue<Event>) {
        if self.calm_from.is_none_or(|calm| at < calm) {
            queue.push(at, Event::Fault(Fault::Begins(self.all[area].kind, area)));
        }
    }

    pub(crate) fn schedule_end(&mut self, area: usize, around: &mut Around<'_>) {
        let Some(one) = self.all.get_mut(area) else { return };
        let lasts = draw(one.spell.lasts, &mut one.stream).max(Span::from_secs(1));
        around.queue.push(around.over(around.now + lasts), Event::Fault(Fault::Ends(one.kind, area)));
    }

    pub(crate) fn members(&self, area: usize) -> Vec<usize> {
        self.all.get(area).map_or_else(Vec::new, |area| area.members.iter().map(|d| *d as usize).collect())
    }
}

fn members<'a>(facts: &'a [DeviceFacts], spell: &Spell) -> BTreeMap<&'a str, Vec<u32>> {
    let mut areas: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (d, facts) in facts.iter().enumerate() {
        let name = match spell.scope {
            Scope::Site => facts.site.as_str(),
            Scope::Region => facts.region.as_str(),
        };
        if spell.only.is_empty() || spell.only.iter().any(|only| only == name) {
            areas.entry(name).or_default().push(d as u32);
        }
    }
    areas
}
