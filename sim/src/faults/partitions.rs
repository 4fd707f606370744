//! Devices that cannot talk to the controller. They go on serving and finish what they began; what they have to say they keep, in order,
//! until the way is free. The same holds for everybody while the controller is down.

use crate::device::{Around, Devices};
use crate::queue::Queue;
use crate::run::Event;
use crate::world::World;
use slacktide_engine::ids::DeviceIndex;
use slacktide_engine::input::{Input, TelemetryBatch};
use slacktide_engine::time::{Instant, Span};
use slacktide_scenarios::Failures;
use std::collections::{BTreeMap, VecDeque};

/// Ticks of telemetry that a device keeps while it is cut off; the oldest go first.
const TICKS_HELD_MAX: usize = 24;
/// Held telemetry comes tick by tick, this far apart.
const BETWEEN: Span = Span::from_secs(1);

/// Who is cut off, and what they keep.
#[derive(Debug)]
pub(crate) struct Partitions {
    /// By device: partitions it is in, and those in which telemetry is kept. Empty in worlds without partitions.
    cuts: Vec<(u16, u16)>,
    words: BTreeMap<usize, Vec<Input>>,
    /// Ticks before the last that some device keeps, oldest first: devices and their columns.
    held: VecDeque<(Vec<u32>, Vec<Vec<f32>>)>,
}

impl Partitions {
    pub(crate) fn new(failures: &Failures, devices: usize) -> Self {
        let possible = !failures.partitions.is_empty();
        Self {
            cuts: if possible { vec![(0, 0); devices] } else { Vec::new() },
            words: BTreeMap::new(),
            held: VecDeque::new(),
        }
    }

    pub(crate) const fn are_possible(&self) -> bool {
        !self.cuts.is_empty()
    }

    pub(crate) fn cut(&mut self, d: usize, held: bool, devices: &mut Devices, around: &mut Around<'_>) {
        let cuts = &mut self.cuts[d];
        *cuts = (cuts.0 + 1, cuts.1 + u16::from(held));
        around.world.conditions[d].cut = true;
        // Packages come from where the controller is.
        devices.pause_download(d, around);
    }

    /// One partition less. Is the way free?
    pub(crate) fn heal(&mut self, d: usize, held: bool, devices: &mut Devices, around: &mut Around<'_>) -> bool {
        let cuts = &mut self.cuts[d];
        *cuts = (cuts.0.saturating_sub(1), cuts.1.saturating_sub(u16::from(held)));
        if cuts.0 > 0 {
            return false;
        }
        around.world.conditions[d].cut = false;
        devices.resume_download(d, around);
        true
    }

    /// A device keeps what it has to say.
    pub(crate) fn keep(&mut self, device: usize, word: Input) {
        self.words.entry(device).or_default().push(word);
    }

    /// Devices that have something to say.
    pub(crate) fn speakers(&self) -> Vec<usize> {
        self.words.keys().copied().collect()
    }

    /// The way is free: they say what they kept, and their telemetry follows.
    pub(crate) fn release(&mut self, devices: &[usize], now: Instant, queue: &mut Queue<Event>) {
        for device in devices {
            for input in self.words.remove(device).unwrap_or_default() {
                queue.push(now, Event::Word { device: *device, input });
            }
        }
        let mut at = now;
        for (who, columns) in &mut self.held {
            let (free, kept): (Vec<usize>, Vec<usize>) =
                (0..who.len()).partition(|row| devices.binary_search(&(who[*row] as usize)).is_ok());
            if free.is_empty() {
                continue;
            }
            let pick = |rows: &[usize]| -> Vec<Vec<f32>> {
                columns.iter().map(|column| rows.iter().map(|row| column[*row]).collect()).collect()
            };
            let devices = free.iter().map(|row| DeviceIndex(who[*row])).collect();
            let batch = TelemetryBatch { devices: Some(devices), columns: pick(&free) };
            at = at + BETWEEN;
            queue.push(at, Event::Say(Input::Telemetry(batch)));
            (*columns, *who) = (pick(&kept), kept.iter().map(|row| who[*row]).collect());
        }
        self.held.retain(|(who, _)| !who.is_empty());
    }

    /// Nothing is heard of those that are cut off; some keep it for later.
    pub(crate) fn silence(&mut self, heard: &mut [Vec<f32>], world: &World) {
        if self.cuts.is_empty() {
            return;
        }
        let cut: Vec<usize> = (0..self.cuts.len()).filter(|d| world.conditions[*d].cut).collect();
        let keepers: Vec<usize> =
            cut.iter().copied().filter(|d| self.cuts[*d].1 > 0 && heard[0][*d].is_finite()).collect();
        if !keepers.is_empty() {
            let columns = heard.iter().map(|column| keepers.iter().map(|d| column[*d]).collect()).collect();
            self.held.push_back((keepers.iter().map(|d| *d as u32).collect(), columns));
            if self.held.len() > TICKS_HELD_MAX {
                self.held.pop_front();
            }
        }
        for d in cut {
            heard.iter_mut().for_each(|column| column[d] = f32::NAN);
        }
    }

    /// Splits those who ask for an update into those who are heard and those who will ask again later.
    pub(crate) fn hear_requests(&mut self, devices: Vec<DeviceIndex>, world: &World) -> Vec<DeviceIndex> {
        let (heard, unheard): (Vec<_>, Vec<_>) = devices.into_iter().partition(|d| !world.conditions[d.index()].cut);
        for device in unheard {
            self.keep(device.index(), Input::Requests { devices: vec![device] });
        }
        heard
    }
}
