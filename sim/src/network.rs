//! Downloads over links that the devices of a region share, max–min fair.
//!
//! All devices have the same limit of their own, so on one link max–min fairness gives every download the same rate: the smaller of that
//! limit and an equal part of the link. It is enough to follow how many bytes *each* download has had since the link was last idle: one
//! that begins when that figure is `v` and needs `b` bytes ends when it is `v + b`. A begin or an end costs a logarithm of the downloads
//! under way, whatever their number. (Bertsekas & Gallager, *Data Networks*, 2nd ed., 6.5.2; the figure is the virtual time of
//! processor sharing.)

use crate::queue::Queue;
use crate::run::Event;
use slacktide_engine::input::DeviceFacts;
use slacktide_engine::time::{Instant, Span};
use slacktide_scenarios::Scenario;
use slacktide_scenarios::faults::Link;
use std::collections::{BTreeMap, BTreeSet};

const NO_LINK: u32 = u32::MAX;

/// The shared links. Devices of regions without one are none of its business.
#[derive(Debug, Default)]
pub(crate) struct Network {
    pipes: Vec<Pipe>,
    /// By device; empty where there is no link at all.
    pipe_of: Vec<u32>,
}

#[derive(Debug)]
struct Pipe {
    link: Link,
    /// Bytes a second for all downloads together.
    capacity: f64,
    /// Most for one.
    cap: f64,
    /// Bytes that each download has had since the link was idle, at `at`.
    each: f64,
    at: Instant,
    /// When each ends: value of `each` (bits of a positive number sort like it), then device.
    ends: BTreeSet<(u64, usize)>,
    end_of: BTreeMap<usize, u64>,
    /// Older notices of an end are void.
    token: u32,
    /// Bytes the link has moved.
    moved: f64,
}

impl Pipe {
    fn rate(&self) -> f64 {
        (self.capacity / self.ends.len().max(1) as f64).min(self.cap)
    }

    fn advance(&mut self, now: Instant) {
        let bytes = self.rate() * now.since(self.at).as_secs_f64();
        if self.ends.is_empty() {
            self.each = 0.0;
        } else {
            self.each += bytes;
            self.moved += bytes * self.ends.len() as f64;
        }
        self.at = self.at.max(now);
    }

    /// Moment at which the next download ends, rounded up to a millisecond.
    fn next_end(&self) -> Option<Instant> {
        let (end, _) = self.ends.first()?;
        let left = (f64::from_bits(*end) - self.each).max(0.0);
        Some(self.at + Span::from_millis((left / self.rate() * 1000.0).ceil() as u64))
    }

    fn notify(&mut self, pipe: usize, queue: &mut Queue<Event>) {
        self.token += 1;
        if let Some(at) = self.next_end() {
            queue.push(at, Event::Downloaded { pipe, token: self.token });
        }
    }
}

impl Network {
    pub(crate) fn new(scenario: &Scenario, facts: &[DeviceFacts]) -> Self {
        if scenario.links.is_empty() {
            return Self::default();
        }
        let pipe = |link: &Link| Pipe {
            capacity: link.bytes_per_s(scenario.start),
            link: link.clone(),
            cap: scenario.updates.download_bytes_per_s,
            each: 0.0,
            at: scenario.start,
            ends: BTreeSet::new(),
            end_of: BTreeMap::new(),
            token: 0,
            moved: 0.0,
        };
        let of = |facts: &DeviceFacts| {
            let position = scenario.links.iter().position(|link| link.region == facts.region.as_str());
            position.map_or(NO_LINK, |position| position as u32)
        };
        Self { pipes: scenario.links.iter().map(pipe).collect(), pipe_of: facts.iter().map(of).collect() }
    }

    fn pipe_of(&self, device: usize) -> Option<usize> {
        self.pipe_of.get(device).filter(|pipe| **pipe != NO_LINK).map(|pipe| *pipe as usize)
    }

    /// Does the device share a link?
    pub(crate) fn is_shared(&self, device: usize) -> bool {
        self.pipe_of(device).is_some()
    }

    /// A download of `bytes` begins. [`Event::Downloaded`] tells of its end.
    pub(crate) fn begin(&mut self, now: Instant, device: usize, bytes: f64, queue: &mut Queue<Event>) {
        let Some(p) = self.pipe_of(device) else { return };
        let pipe = &mut self.pipes[p];
        pipe.advance(now);
        let end = (pipe.each + bytes.max(0.0)).to_bits();
        pipe.ends.insert((end, device));
        pipe.end_of.insert(device, end);
        pipe.notify(p, queue);
    }

    /// A download is broken off. Returns the bytes that have not come.
    pub(crate) fn cut(&mut self, now: Instant, device: usize, queue: &mut Queue<Event>) -> f64 {
        let Some(p) = self.pipe_of(device) else { return 0.0 };
        let pipe = &mut self.pipes[p];
        pipe.advance(now);
        let Some(end) = pipe.end_of.remove(&device) else { return 0.0 };
        pipe.ends.remove(&(end, device));
        let left = (f64::from_bits(end) - pipe.each).max(0.0);
        pipe.notify(p, queue);
        left
    }

    /// A notice of an end has come. Returns whose downloads are at their end.
    pub(crate) fn ended(&mut self, now: Instant, p: usize, token: u32, queue: &mut Queue<Event>) -> Vec<usize> {
        let pipe = &mut self.pipes[p];
        if token != pipe.token {
            return Vec::new();
        }
        pipe.advance(now);
        // What is lost by adding many small numbers is far less than a byte.
        let reached = (pipe.each + 1e-3).to_bits();
        let mut devices = Vec::new();
        while let Some((end, device)) = pipe.ends.first().copied().filter(|(end, _)| *end <= reached) {
            pipe.ends.remove(&(end, device));
            pipe.end_of.remove(&device);
            devices.push(device);
        }
        pipe.notify(p, queue);
        devices
    }

    /// Other traffic moves on.
    pub(crate) fn tick(&mut self, now: Instant, queue: &mut Queue<Event>) {
        for (p, pipe) in self.pipes.iter_mut().enumerate().filter(|(_, pipe)| pipe.link.is_moving()) {
            pipe.advance(now);
            pipe.capacity = pipe.link.bytes_per_s(now);
            if !pipe.ends.is_empty() {
                pipe.notify(p, queue);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One region, a link of 8 Mbit/s (a million bytes a second).
    fn network(devices: usize, cap: f64, link: &str) -> (Network, Queue<Event>, Instant) {
        let text = format!(
            "devices = {devices}\n[[pools]]\n[updates]\ndownload_bytes_per_s = {cap:e}\n[regions.eu]\nlink_mbit_per_s = 8\n{link}"
        );
        let scenario = Scenario::from_toml("t", &text).unwrap();
        let facts = crate::Setup::new(scenario.clone(), scenario.policy().unwrap()).devices(1).0;
        (Network::new(&scenario, &facts), Queue::new(), scenario.start)
    }

    /// Runs until nothing is under way; who ended at which second.
    fn run(network: &mut Network, queue: &mut Queue<Event>, start: Instant) -> Vec<(usize, f64)> {
        let mut ends = Vec::new();
        while let Some((now, event)) = queue.pop() {
            if let Event::Downloaded { pipe, token } = event {
                let ended = network.ended(now, pipe, token, queue);
                ends.extend(ended.into_iter().map(|device| (device, now.since(start).as_secs_f64())));
            }
        }
        ends
    }

    #[test]
    fn two_downloads_share_a_link_and_a_late_one_slows_the_first() {
        let (mut network, mut queue, start) = network(3, 1e9, "");
        network.begin(start, 0, 10e6, &mut queue);
        network.begin(start, 1, 10e6, &mut queue);
        assert_eq!(run(&mut network, &mut queue, start), [(0, 20.0), (1, 20.0)]);
        // 10 MB alone until 5 s, then half the link each: the first has 5 MB left, which takes 10 s; the other then has 5 MB left and all.
        let start = start + Span::from_secs(1000);
        network.begin(start, 0, 10e6, &mut queue);
        network.begin(start + Span::from_secs(5), 2, 10e6, &mut queue);
        assert_eq!(run(&mut network, &mut queue, start), [(0, 15.0), (2, 20.0)]);
    }

    #[test]
    fn what_a_device_cannot_take_is_left_to_nobody_else_who_cannot() {
        // Four at 200 kB/s each leave a fifth of the link idle; eight get an eighth of it each.
        let (mut network, mut queue, start) = network(8, 2e5, "");
        (0..4).for_each(|d| network.begin(start, d, 1e6, &mut queue));
        assert!(run(&mut network, &mut queue, start).iter().all(|(_, at)| *at == 5.0));
        let start = start + Span::from_secs(60);
        (0..8).for_each(|d| network.begin(start, d, 1e6, &mut queue));
        assert!(run(&mut network, &mut queue, start).iter().all(|(_, at)| *at == 8.0));
    }

    #[test]
    fn a_download_that_is_cut_goes_on_where_it_stopped_and_other_traffic_slows_it() {
        let (mut network, mut queue, start) = network(2, 1e9, "background_percent = 50\n");
        network.begin(start, 0, 10e6, &mut queue);
        network.begin(start, 1, 1e6, &mut queue);
        let left = network.cut(start + Span::from_secs(4), 0, &mut queue);
        assert!((left - 9e6).abs() < 1.0, "{left}");
        assert_eq!(run(&mut network, &mut queue, start), [(1, 4.0)]);
        network.begin(start + Span::from_secs(100), 0, left, &mut queue);
        assert_eq!(run(&mut network, &mut queue, start), [(0, 118.0)]);
    }

    proptest! {
        /// Whatever begins, is cut and goes on: what the links moved is what was needed, and everybody ends.
        #[test]
        fn bytes_moved_are_bytes_needed(
            begins in proptest::collection::vec((0u64..300_000, 1.0f64..5e7), 1..12),
            cuts in proptest::collection::vec((0usize..12, 0u64..300_000, 0u64..100_000), 0..8),
            cap in prop_oneof![Just(1e9), 5e4f64..1e6],
        ) {
            let (mut network, mut queue, start) = network(12, cap, "background_daily_percent = 60\n");
            // Begins, cuts and goings-on in the order of time, beside the network's own notices.
            let mut acts: Vec<(u64, u8, usize)> = begins.iter().enumerate().map(|(d, (at, _))| (*at, 0, d)).collect();
            for (d, at, pause) in cuts {
                acts.extend([(at, 1, d), (at + pause, 2, d)]);
            }
            acts.sort_unstable();
            let mut paused: BTreeMap<usize, f64> = BTreeMap::new();
            let mut under_way = BTreeSet::new();
            let mut ended = 0;
            let mut notices = 0.0;
            let mut acts = acts.into_iter().peekable();
            loop {
                let act_at = acts.peek().map(|(at, ..)| start + Span::from_millis(*at));
                let event_at = queue.next_at();
                if event_at.is_some_and(|at| act_at.is_none_or(|act| at <= act)) {
                    let Some((now, Event::Downloaded { pipe, token })) = queue.pop() else { break };
                    let done = network.ended(now, pipe, token, &mut queue);
                    notices += 1.0;
                    ended += done.len();
                    done.iter().for_each(|d| { under_way.remove(d); });
                    continue;
                }
                let Some((at, kind, d)) = acts.next() else { break };
                let now = start + Span::from_millis(at);
                network.tick(now, &mut queue);
                match kind {
                    0 => { network.begin(now, d, begins[d].1, &mut queue); under_way.insert(d); }
                    1 if under_way.remove(&d) => { paused.insert(d, network.cut(now, d, &mut queue)); }
                    2 => if let Some(left) = paused.remove(&d) { network.begin(now, d, left, &mut queue); under_way.insert(d); },
                    _ => {}
                }
            }
            prop_assert_eq!(ended, begins.len());
            let needed: f64 = begins.iter().map(|(_, bytes)| bytes).sum();
            let moved: f64 = network.pipes.iter().map(|pipe| pipe.moved).sum();
            // Ends are rounded up to a millisecond: at a million bytes a second, a thousand bytes each.
            prop_assert!(moved >= needed - 1.0 && moved <= needed + 1000.0 * (notices + 1.0), "{moved} {needed}");
        }
    }
}
