//! The way of telemetry to the controller: samples that are lost, late, doubled, out of order, or of another time than they say.
//!
//! A late sample comes half a tick after the regular report of a later tick, so that it stands after newer ones and is no tick of its own.

use crate::device::draw;
use crate::queue::Queue;
use crate::rng::{Purpose, Stream};
use crate::run::Event;
use slacktide_engine::ids::DeviceIndex;
use slacktide_engine::input::{Input, TelemetryBatch};
use slacktide_engine::time::{Instant, Span};
use slacktide_scenarios::Scenario;
use slacktide_scenarios::faults::TelemetryFaults;
use std::collections::{BTreeMap, VecDeque};

/// A clock that is off by more than this many ticks counts as off by this many.
const SKEW_TICKS_MAX: usize = 288;

#[derive(Debug)]
pub(crate) struct Path {
    faults: Option<TelemetryFaults>,
    tick: Span,
    /// By device.
    streams: Vec<Stream>,
    /// Samples under way, by the tick after which they come: device, and a value of each metric.
    late: BTreeMap<u64, Vec<(u32, Vec<f32>)>>,
    /// Devices whose clock is wrong: how many ticks, and their newest samples, newest first.
    skewed: Vec<Skewed>,
}

#[derive(Debug)]
struct Skewed {
    device: usize,
    ticks: usize,
    past: VecDeque<Vec<f32>>,
}

impl Path {
    /// `None` in a world whose telemetry is sound.
    pub(crate) fn new(scenario: &Scenario, devices: usize, seed: u64) -> Option<Self> {
        let failures = &scenario.failures;
        if failures.telemetry.is_none() && failures.clock.is_none() {
            return None;
        }
        let skewed = |device: usize| {
            let clock = failures.clock?;
            let mut stream = Stream::new(seed, Purpose::Clock, device as u64);
            let off = stream.happens(clock.skewed_percent).then(|| draw(clock.off_by, &mut stream))?;
            let ticks = (off.as_secs_f64() / scenario.tick.as_secs_f64()).round() as usize;
            (ticks > 0).then(|| Skewed { device, ticks: ticks.min(SKEW_TICKS_MAX), past: VecDeque::new() })
        };
        Some(Self {
            faults: failures.telemetry,
            tick: scenario.tick,
            streams: (0..devices).map(|d| Stream::new(seed, Purpose::Telemetry, d as u64)).collect(),
            late: BTreeMap::new(),
            skewed: (0..devices).filter_map(skewed).collect(),
        })
    }

    /// Devices whose clock is wrong report what was some ticks ago.
    pub(crate) fn skew(&mut self, columns: &mut [Vec<f32>]) {
        for Skewed { device, ticks, past } in &mut self.skewed {
            past.push_front(columns.iter().map(|column| column[*device]).collect());
            past.truncate(*ticks + 1);
            // Who is down says nothing now, whatever was then.
            if columns[0][*device].is_nan() {
                continue;
            }
            let then = past.get(*ticks);
            for (metric, column) in columns.iter_mut().enumerate() {
                column[*device] = then.map_or(f32::NAN, |values| values[metric]);
            }
        }
    }

    /// Takes out of a tick's report what does not arrive with it, and puts what is due of earlier ones into the queue.
    /// Returns how many samples that befell.
    pub(crate) fn pass(&mut self, tick: u64, now: Instant, columns: &mut [Vec<f32>], queue: &mut Queue<Event>) -> u64 {
        let mut struck = self.skewed.len() as u64;
        if let Some(faults) = self.faults {
            for d in 0..self.streams.len() {
                if columns[0][d].is_finite() {
                    struck += u64::from(self.pass_one(faults, tick, d, columns));
                }
            }
        }
        if let Some(late) = self.late.remove(&tick) {
            let devices = late.iter().map(|(d, _)| DeviceIndex(*d)).collect();
            let column = |metric: usize| late.iter().map(|(_, values)| values[metric]).collect();
            let batch = TelemetryBatch { devices: Some(devices), columns: (0..columns.len()).map(column).collect() };
            queue.push(now + Span::from_millis(self.tick.as_millis() / 2), Event::Say(Input::Telemetry(batch)));
        }
        struck
    }

    /// From now on everything is as it should be; what is under way still comes.
    pub(crate) fn mend(&mut self) {
        self.faults = None;
        self.skewed = Vec::new();
    }

    fn pass_one(&mut self, faults: TelemetryFaults, tick: u64, d: usize, columns: &mut [Vec<f32>]) -> bool {
        let stream = &mut self.streams[d];
        let mut fate = stream.uniform() * 100.0;
        let mut is = |percent: f64| {
            let falls = (0.0..percent).contains(&fate);
            fate -= percent;
            falls
        };
        let (lost, late) = (is(faults.lost_percent), is(faults.late_percent));
        let (doubled, reordered) = (is(faults.duplicated_percent), is(faults.reordered_percent));
        if late || doubled || reordered {
            let ticks = if late { draw(faults.late_by, stream).steps_up(self.tick).max(1) as u64 } else { 1 };
            let values = columns.iter().map(|column| column[d]).collect();
            self.late.entry(tick + ticks).or_default().push((d as u32, values));
        }
        if lost || late || reordered {
            columns.iter_mut().for_each(|column| column[d] = f32::NAN);
        }
        lost || late || doubled || reordered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(toml: &str) -> (Path, Queue<Event>) {
        let scenario = Scenario::from_toml("t", &format!("devices = 50\n[[pools]]\n{toml}")).unwrap();
        (Path::new(&scenario, 50, 3).unwrap(), Queue::new())
    }

    /// Runs ticks whose samples are the tick's number and says what comes: tick of arrival, whether regular, device, value.
    fn arrivals(path: &mut Path, queue: &mut Queue<Event>, ticks: u64) -> Vec<(u64, bool, u32, f32)> {
        let mut seen = Vec::new();
        for tick in 0..ticks {
            let mut columns = vec![vec![tick as f32; 50]];
            path.skew(&mut columns);
            path.pass(tick, Instant::from_secs(300 * tick as i64), &mut columns, queue);
            let regular = columns[0].iter().enumerate().filter(|(_, v)| v.is_finite());
            seen.extend(regular.map(|(d, v)| (tick, true, d as u32, *v)));
            while let Some((at, event)) = queue.pop() {
                assert_eq!(at.as_secs(), 300 * tick as i64 + 150);
                let Event::Say(Input::Telemetry(batch)) = event else { panic!("{event:?}") };
                let devices = batch.devices.unwrap();
                seen.extend(devices.iter().zip(&batch.columns[0]).map(|(d, v)| (tick, false, d.0, *v)));
            }
        }
        seen
    }

    #[test]
    fn samples_are_lost_late_doubled_and_out_of_order_as_often_as_was_said() {
        let (mut path, mut queue) = path(
            "[failures.telemetry]\nlost_percent = 10\nlate_percent = 8\nlate_by = { median = \"12m\", sigma = 0.0 }\nduplicated_percent = 5\nreordered_percent = 4\n",
        );
        let seen = arrivals(&mut path, &mut queue, 400);
        // Of those that had time to arrive.
        let mut copies: BTreeMap<(u32, u64), Vec<u64>> = BTreeMap::new();
        for (at, _, d, value) in seen.iter().filter(|(.., value)| *value < 390.0) {
            copies.entry((*d, *value as u64)).or_default().push(at - *value as u64);
        }
        let total = 50.0 * 390.0;
        let share = |delays: &[u64]| copies.values().filter(|c| c.as_slice() == delays).count() as f64 / total * 100.0;
        let lost = 100.0 - copies.len() as f64 / total * 100.0;
        let near = |is: f64, said: f64| (is - said).abs() < 5.0 * (said * (100.0 - said) / total).sqrt();
        assert!(
            near(lost, 10.0) && near(share(&[3]), 8.0) && near(share(&[0, 1]), 5.0) && near(share(&[1]), 4.0),
            "{lost}"
        );
        assert!(near(share(&[0]), 73.0));
    }

    #[test]
    fn a_clock_that_is_off_reports_the_past_and_the_others_the_present() {
        let (mut path, mut queue) =
            path("[failures.clock]\nskewed_percent = 40\noff_by = { median = \"16m\", sigma = 0.0 }\n");
        let seen = arrivals(&mut path, &mut queue, 30);
        let off: Vec<u64> = seen.iter().filter(|(at, ..)| *at == 29).map(|(at, _, _, v)| at - *v as u64).collect();
        assert!(off.len() == 50 && off.iter().all(|ticks| [0, 3].contains(ticks)));
        assert!((8..=32).contains(&off.iter().filter(|ticks| **ticks == 3).count()), "{off:?}");
    }
}
