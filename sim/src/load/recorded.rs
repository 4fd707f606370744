//! Load of recorded machines.

use crate::rng::{Purpose, Stream};
use crate::setup::Setup;
use slacktide_engine::input::DeviceFacts;
use slacktide_scenarios::recorded::Recording;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Days (in steps from the recording's first midnight) on which at least half of some machine's samples are known.
pub(crate) fn recorded_days(recording: &Recording) -> Vec<usize> {
    let (offset, per_day) = day_grid(recording);
    let days = (offset + recording.steps).div_ceil(per_day);
    (0..days).filter(|day| (0..recording.devices.len()).any(|m| known_on(recording, m, *day))).collect()
}

/// Steps between the midnight before the first sample and that sample, and steps in a day.
fn day_grid(recording: &Recording) -> (usize, usize) {
    let per_day = (86_400 / recording.period_s).max(1) as usize;
    ((recording.start_s.rem_euclid(86_400) / recording.period_s) as usize, per_day)
}

fn known_on(recording: &Recording, machine: usize, day: usize) -> bool {
    let (offset, per_day) = day_grid(recording);
    let series = recording.series(0, machine);
    let begin = (day * per_day).saturating_sub(offset).min(series.len());
    let end = ((day + 1) * per_day).saturating_sub(offset).min(series.len());
    series[begin..end].iter().filter(|v| v.is_finite()).count() * 2 >= per_day
}

/// Recorded load: each device follows a machine, its days shifted; days that machine lacks are another's.
#[derive(Debug)]
pub(crate) struct Recorded {
    recording: Arc<Recording>,
    /// By device, then day of the run: machine and recorded day.
    tapes: Vec<Vec<(u32, u32)>>,
    scale: Vec<f32>,
    last: Vec<Vec<f32>>,
    per_day: usize,
    offset: usize,
}

impl Recorded {
    pub(super) fn new(
        setup: &Setup,
        recording: Arc<Recording>,
        peak: Option<f64>,
        facts: &[DeviceFacts],
        seed: u64,
    ) -> Self {
        let (offset, per_day) = day_grid(&recording);
        let days = recorded_days(&recording);
        let machines = recording.devices.len();
        let on_day: Vec<Vec<u32>> = days
            .iter()
            .map(|day| (0..machines).filter(|m| known_on(&recording, *m, *day)).map(|m| m as u32).collect())
            .collect();
        let run_days =
            ((setup.scenario.history + setup.scenario.until_max).as_secs_f64() / 86_400.0).ceil() as usize + 1;
        let tape = |d: usize| {
            let mut stream = Stream::new(seed, Purpose::Tape, d as u64);
            let first = (d + stream.below(machines)) % machines;
            let shift = stream.below(days.len());
            let mut machine = first as u32;
            let day_of = |k: usize, stream: &mut Stream| {
                let recorded = (k + shift) % days.len();
                // Once round, another machine goes on: a world that repeats itself would flatter every forecast.
                if k > 0 && k.is_multiple_of(days.len()) || !on_day[recorded].contains(&machine) {
                    machine = on_day[recorded][stream.below(on_day[recorded].len())];
                }
                (machine, days[recorded] as u32)
            };
            let mut day_of = day_of;
            (0..run_days).map(|k| day_of(k, &mut stream)).collect()
        };
        let mut recorded = Self {
            tapes: (0..facts.len()).map(tape).collect(),
            scale: vec![1.0; facts.len()],
            last: vec![vec![0.0; facts.len()]; recording.metrics.len()],
            recording,
            per_day,
            offset,
        };
        if let Some(peak) = peak {
            recorded.rescale(facts, peak, (run_days * per_day) as u64);
        }
        recorded
    }

    pub(super) fn fill(&mut self, tick: u64, out: &mut [Vec<f32>]) {
        let (day, step) = ((tick as usize) / self.per_day, (tick as usize) % self.per_day);
        for (metric, column) in out.iter_mut().enumerate() {
            for (d, value) in column.iter_mut().enumerate() {
                let tape = &self.tapes[d];
                let (machine, recorded_day) = tape[day % tape.len()];
                let at = (recorded_day as usize * self.per_day + step).checked_sub(self.offset);
                let read = at
                    .filter(|at| *at < self.recording.steps)
                    .map(|at| self.recording.series(metric, machine as usize)[at]);
                let last = &mut self.last[metric][d];
                if let Some(known) = read.filter(|v| v.is_finite()) {
                    *last = if metric == 0 { known * self.scale[d] } else { known };
                }
                *value = *last;
            }
        }
    }

    /// Scales the first metric of every pool by what it would carry over the whole run.
    fn rescale(&mut self, facts: &[DeviceFacts], peak: f64, ticks: u64) {
        let mut pools: BTreeMap<&str, (Vec<usize>, Vec<f64>)> = BTreeMap::new();
        for (d, fact) in facts.iter().enumerate() {
            pools.entry(fact.pool.as_str()).or_default().0.push(d);
        }
        let mut columns = vec![vec![0.0; facts.len()]; self.recording.metrics.len()];
        for tick in 0..ticks {
            self.fill(tick, &mut columns);
            for (members, demand) in pools.values_mut() {
                demand.push(members.iter().map(|d| facts[*d].weight * f64::from(columns[0][*d]) / 100.0).sum());
            }
        }
        for (members, demand) in pools.values_mut() {
            demand.sort_by(f64::total_cmp);
            let p99 = demand[(demand.len() * 99 / 100).min(demand.len() - 1)];
            let capacity: f64 = members.iter().map(|d| facts[*d].weight).sum();
            if p99 > 0.0 {
                let factor = (peak / 100.0 * capacity / p99) as f32;
                members.iter().for_each(|d| self.scale[*d] = factor);
            }
        }
    }
}
