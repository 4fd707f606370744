//! Devices that are down: by themselves, by a record, with their site or region, by overload. A device may be down for several reasons at
//! once, and is up when the last is gone.

use super::Fault;
use crate::device::{Around, Devices, draw};
use crate::queue::Queue;
use crate::rng::{Purpose, Stream};
use crate::run::Event;
use slacktide_engine::input::DeviceFacts;
use slacktide_engine::time::Instant;
use slacktide_scenarios::faults::DownTimes;
use slacktide_scenarios::{Crash, Scenario};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Who is down, and why.
#[derive(Debug)]
pub(crate) struct Availability {
    crash: Option<Crash>,
    crashes: Vec<Stream>,
    record: Option<Arc<DownTimes>>,
    index: BTreeMap<String, usize>,
    /// By device: reasons.
    reasons: Vec<u16>,
    /// Nothing begins from then on, and what has begun ends.
    calm_from: Option<Instant>,
}

impl Availability {
    pub(crate) fn new(scenario: &Scenario, facts: &[DeviceFacts], seed: u64) -> Self {
        let failures = &scenario.failures;
        let crashes = if failures.crash.is_some() { facts.len() } else { 0 };
        let named = if failures.down_times.is_some() { facts } else { &[] };
        Self {
            crash: failures.crash,
            crashes: (0..crashes).map(|d| Stream::new(seed, Purpose::Crash, d as u64)).collect(),
            record: failures.down_times.clone(),
            index: named.iter().enumerate().map(|(d, facts)| (facts.id.to_string(), d)).collect(),
            reasons: vec![0; facts.len()],
            calm_from: scenario.calm_from(),
        }
    }

    pub(crate) fn schedule(&mut self, start: Instant, queue: &mut Queue<Event>) {
        for d in 0..self.crashes.len() {
            self.schedule_crash(start, d, queue);
        }
        // Rows of devices that this world has not were refused when the setup was checked.
        let rows = self.record.iter().flat_map(|record| &record.rows).filter(|row| row.to > start);
        for (row, d) in rows.filter_map(|row| Some((row, *self.index.get(row.device.as_str())?))) {
            let calm = self.calm_from.unwrap_or(row.to);
            if row.from < calm {
                queue.push(row.from.max(start), Event::Fault(Fault::Down(d)));
                queue.push(row.to.min(calm), Event::Fault(Fault::Up(d)));
            }
        }
    }

    pub(crate) fn schedule_crash(&mut self, from: Instant, d: usize, queue: &mut Queue<Event>) {
        if let Some(crash) = &self.crash {
            let at = from + self.crashes[d].weibull(crash.up_scale, crash.up_shape);
            if self.calm_from.is_none_or(|calm| at < calm) {
                queue.push(at, Event::Fault(Fault::Crash(d)));
            }
        }
    }

    pub(crate) fn schedule_repair(&mut self, d: usize, around: &mut Around<'_>) {
        if let Some(crash) = &self.crash {
            let back = around.over(around.now + draw(crash.repair, &mut self.crashes[d]));
            around.queue.push(back, Event::Fault(Fault::Repair(d)));
        }
    }

    /// One more reason to be down.
    pub(crate) fn take_down(&mut self, d: usize, devices: &mut Devices, around: &mut Around<'_>) {
        if self.reasons[d] == 0 {
            devices.crash(d, around);
        }
        self.reasons[d] += 1;
    }

    /// One less. Is it up now?
    pub(crate) fn bring_up(&mut self, d: usize, around: &mut Around<'_>) -> bool {
        self.reasons[d] = self.reasons[d].saturating_sub(1);
        if self.reasons[d] > 0 {
            return false;
        }
        let condition = &mut around.world.conditions[d];
        condition.crashed = false;
        // Started anew: what had leaked is free again.
        condition.fresh_since = condition.fresh_since.map(|_| around.now);
        true
    }
}
