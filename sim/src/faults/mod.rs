//! What goes wrong around devices. The driver calls; each kind keeps its own books and its own random streams, and is absent from worlds
//! that do not name it.

pub(crate) mod agent;
pub(crate) mod availability;
pub(crate) mod controller;
pub(crate) mod outages;
pub(crate) mod overload;
pub(crate) mod partitions;
pub(crate) mod telemetry;

use crate::device::{Around, Devices};
use crate::queue::Queue;
use crate::run::Event;
use crate::setup::Setup;
use availability::Availability;
use controller::Controller;
use outages::{Areas, Kind};
use overload::Overloaded;
use partitions::Partitions;
use slacktide_engine::input::{DeviceFacts, Input};
use slacktide_engine::time::Instant;
use telemetry::Path;

/// What befalls the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A device crashes by itself.
    Crash(usize),
    /// That is mended.
    Repair(usize),
    /// A device goes down for another reason…
    Down(usize),
    /// …and that reason is gone.
    Up(usize),
    /// A site or region goes down, or is cut off…
    Begins(Kind, usize),
    /// …and that is over.
    Ends(Kind, usize),
    /// The controller dies; the how manieth time.
    ControllerDies(usize),
    /// It is back.
    ControllerIsBack,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Faults {
    pub(crate) availability: Availability,
    areas: Areas,
    pub(crate) partitions: Partitions,
    telemetry: Option<Path>,
    overload: Option<Overloaded>,
    pub(crate) controller: Controller,
}

impl Faults {
    pub(crate) fn new(setup: &Setup, facts: &[DeviceFacts], seed: u64) -> Self {
        let failures = &setup.scenario.failures;
        Self {
            availability: Availability::new(&setup.scenario, facts, seed),
            areas: Areas::new(&setup.scenario, facts, seed),
            partitions: Partitions::new(failures, facts.len()),
            telemetry: Path::new(&setup.scenario, facts.len(), seed),
            overload: failures.overload.map(|overload| Overloaded::new(overload, seed)),
            controller: Controller::new(&failures.controller),
        }
    }

    /// Puts what is known to come into the queue.
    pub(crate) fn schedule_first(&mut self, setup: &Setup, rollout_at: Instant, queue: &mut Queue<Event>) {
        // The controller's times stand first: at equal times it dies before it hears or says anything.
        self.controller.schedule(&setup.scenario.failures.controller, rollout_at, queue);
        self.availability.schedule(setup.scenario.start, queue);
        self.areas.schedule(setup.scenario.start, rollout_at, queue);
    }

    /// Something befalls the world; devices whose way to the controller is free again come back.
    pub(crate) fn happen(&mut self, fault: Fault, devices: &mut Devices, around: &mut Around<'_>) -> Vec<usize> {
        match fault {
            Fault::Crash(d) => {
                around.world.befall("crashes", 1);
                self.availability.take_down(d, devices, around);
                self.availability.schedule_repair(d, around);
            }
            Fault::Repair(d) => {
                self.availability.schedule_crash(around.now, d, around.queue);
                return self.up(d, around);
            }
            Fault::Down(d) => self.availability.take_down(d, devices, around),
            Fault::Up(d) => return self.up(d, around),
            Fault::Begins(kind, area) => {
                around.world.befall(if kind == Kind::Outage { "outages" } else { "partitions" }, 1);
                self.areas.schedule_end(area, around);
                for d in self.areas.members(area) {
                    match kind {
                        Kind::Outage => self.availability.take_down(d, devices, around),
                        Kind::Partition { held } => self.partitions.cut(d, held, devices, around),
                    }
                }
            }
            Fault::Ends(kind, area) => {
                self.areas.schedule_begin(area, around.now, around.queue);
                let mut free = Vec::new();
                for d in self.areas.members(area) {
                    match kind {
                        Kind::Outage => free.extend(self.up(d, around)),
                        Kind::Partition { held } => {
                            if self.partitions.heal(d, held, devices, around) && !around.world.conditions[d].crashed {
                                free.push(d);
                            }
                        }
                    }
                }
                return free;
            }
            // The driver's own: it holds the engine.
            Fault::ControllerDies(_) | Fault::ControllerIsBack => {}
        }
        Vec::new()
    }

    fn up(&mut self, d: usize, around: &mut Around<'_>) -> Vec<usize> {
        let is_up = self.availability.bring_up(d, around);
        if is_up && !around.world.conditions[d].cut { vec![d] } else { Vec::new() }
    }

    /// What too much work does after a tick: who loses work, and who goes down.
    pub(crate) fn overload(
        &mut self,
        tick: u64,
        columns: &[Vec<f32>],
        book: bool,
        devices: &mut Devices,
        around: &mut Around<'_>,
    ) {
        if let Some(overload) = &mut self.overload {
            for d in overload.strike(tick, columns, book, around) {
                self.availability.take_down(d, devices, around);
            }
        }
    }

    /// What the controller hears of a tick, if it hears anything; the rest comes later, or never.
    pub(crate) fn report(&mut self, tick: u64, columns: &[Vec<f32>], around: &mut Around<'_>) -> Vec<Vec<f32>> {
        let mut heard = columns.to_vec();
        if let Some(path) = self.telemetry.as_mut().filter(|_| around.scenario.is_calm(around.now)) {
            path.mend();
        }
        if let Some(path) = &mut self.telemetry {
            path.skew(&mut heard);
        }
        self.partitions.silence(&mut heard, around.world);
        if let Some(path) = &mut self.telemetry {
            let struck = path.pass(tick, around.now, &mut heard, around.queue);
            around.world.befall("bad samples", struck);
        }
        heard
    }

    /// Does the controller see every device as it is? False in worlds whose telemetry goes wrong in any way.
    pub(crate) const fn is_telemetry_true(&self) -> bool {
        self.telemetry.is_none() && !self.partitions.are_possible() && self.controller.is_immortal()
    }

    /// A device says something: the controller hears it now, or the device keeps it until the way is free.
    pub(crate) fn word(&mut self, device: usize, input: Input, is_cut: bool) -> Option<Input> {
        if is_cut || self.controller.is_down() {
            self.partitions.keep(device, input);
            return None;
        }
        Some(input)
    }
}
