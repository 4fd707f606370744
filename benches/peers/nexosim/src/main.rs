//! The fleet tick and the queue test in nexosim. Prints seconds and how much was done, as two numbers.
//!
//! `fleet N TICKS`: a model for every device, which schedules itself every five minutes and sends its report to the model of its pool.
//! `silent N TICKS`: models without a port, whose reports nobody can hear. `one N TICKS`: one model holds all devices.
//! `hold LENGTH EVENTS`: every event schedules another one, an exponential time later.

use nexosim::model::{Context, Model, schedulable};
use nexosim::ports::Output;
use nexosim::simulation::{Mailbox, SimInit, Simulation};
use nexosim::time::MonotonicTime;
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand_distr::{Distribution, Exp1, StandardNormal};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_secs(300);

/// Load of one device: a daily curve and noise that remembers; four metrics.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Load {
    random: Xoshiro256PlusPlus,
    level: f32,
    noise: f32,
    slow: f32,
    metrics: [f32; 4],
}

impl Load {
    fn new(seed: u64) -> Self {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let level: f32 = StandardNormal.sample(&mut random);
        Self { random, level: 4.0 * level, noise: 0.0, slow: 0.0, metrics: [0.0; 4] }
    }

    fn tick(&mut self, curve: f32) {
        let fresh: f32 = StandardNormal.sample(&mut self.random);
        let other: f32 = StandardNormal.sample(&mut self.random);
        self.noise = 0.7 * self.noise + 0.714_14 * fresh;
        self.slow = 0.995 * self.slow + 0.0999 * other;
        let cpu = (curve + self.level + 4.0 * self.noise).clamp(1.0, 100.0);
        self.metrics = [
            cpu,
            (45.0 + 3.0 * self.slow + 0.05 * cpu).clamp(0.0, 100.0),
            (0.6 * cpu + 2.0 * other).clamp(0.0, 100.0),
            (15.0 + 2.0 * other).clamp(0.0, 100.0),
        ];
    }
}

fn curve(at: MonotonicTime) -> f32 {
    let hour = (at.as_secs() as f32 / 3600.0).rem_euclid(24.0);
    25.0 + 15.0 * (1.0 + ((hour - 20.0) / 24.0 * std::f32::consts::TAU).cos())
}

#[derive(Serialize, Deserialize)]
struct Device {
    load: Load,
    report: Output<[f32; 4]>,
}

#[Model]
impl Device {
    #[nexosim(init)]
    async fn init(&mut self, cx: &Context<Self>) {
        cx.schedule_periodic_event(TICK, TICK, schedulable!(Self::report), ()).unwrap();
    }

    #[nexosim(schedulable)]
    async fn report(&mut self, _: (), cx: &Context<Self>) {
        self.load.tick(curve(cx.time()));
        self.report.send(self.load.metrics).await;
    }
}

#[derive(Serialize, Deserialize)]
struct Silent(Load);

#[Model]
impl Silent {
    #[nexosim(init)]
    async fn init(&mut self, cx: &Context<Self>) {
        cx.schedule_periodic_event(TICK, TICK, schedulable!(Self::report), ()).unwrap();
    }

    #[nexosim(schedulable)]
    async fn report(&mut self, _: (), cx: &Context<Self>) {
        self.0.tick(curve(cx.time()));
    }
}

/// What a pool is asked for, summed up anew at each tick.
#[derive(Default, Serialize, Deserialize)]
struct Pool {
    at: Option<MonotonicTime>,
    demand: f32,
    peak: f32,
}

#[Model]
impl Pool {
    fn take(&mut self, metrics: [f32; 4], cx: &Context<Self>) {
        let now = Some(cx.time());
        if self.at != now {
            self.peak = self.peak.max(self.demand);
            (self.at, self.demand) = (now, 0.0);
        }
        self.demand += metrics[0];
    }
}

/// Members of a pool: as many as in most of the other side's.
const MEMBERS: u64 = 25;

#[derive(Serialize, Deserialize)]
struct Fleet(Vec<Load>);

#[Model]
impl Fleet {
    #[nexosim(init)]
    async fn init(&mut self, cx: &Context<Self>) {
        cx.schedule_periodic_event(TICK, TICK, schedulable!(Self::report), ()).unwrap();
    }

    #[nexosim(schedulable)]
    async fn report(&mut self, _: (), cx: &Context<Self>) {
        let curve = curve(cx.time());
        self.0.iter_mut().for_each(|load| load.tick(curve));
    }
}

#[derive(Serialize, Deserialize)]
struct Hold {
    random: Xoshiro256PlusPlus,
    length: usize,
}

#[Model]
impl Hold {
    fn later(&mut self) -> Duration {
        let wait: f64 = Exp1.sample(&mut self.random);
        Duration::from_secs_f64(wait).max(Duration::from_nanos(1))
    }

    #[nexosim(init)]
    async fn init(&mut self, cx: &Context<Self>) {
        for _ in 0..self.length {
            let later = self.later();
            cx.schedule_event(later, schedulable!(Self::fire), ()).unwrap();
        }
    }

    #[nexosim(schedulable)]
    async fn fire(&mut self, _: (), cx: &Context<Self>) {
        let later = self.later();
        cx.schedule_event(later, schedulable!(Self::fire), ()).unwrap();
    }
}

fn ticks(mut simulation: Simulation, ticks: u64, devices: u64) {
    let began = Instant::now();
    for _ in 0..ticks {
        simulation.step().unwrap();
    }
    println!("{} {}", began.elapsed().as_secs_f64(), ticks * devices * 4);
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |i: usize| arguments[i].parse::<u64>().expect("a whole number");
    let (size, count) = (number(2), number(3));
    // One thread: what is told is work of one core.
    let mut bench = SimInit::with_num_threads(1);
    match arguments[1].as_str() {
        "silent" => {
            for d in 0..size {
                bench = bench.add_model(Silent(Load::new(d)), Mailbox::new(), "device");
            }
            ticks(bench.init(MonotonicTime::EPOCH).unwrap(), count, size);
        }
        "fleet" => {
            // Room for a report of each member: nobody waits to be heard.
            let pools: Vec<Mailbox<Pool>> =
                (0..size.div_ceil(MEMBERS)).map(|_| Mailbox::with_capacity(MEMBERS as usize)).collect();
            for d in 0..size {
                let mut device = Device { load: Load::new(d), report: Output::default() };
                device.report.connect(Pool::take, &pools[(d / MEMBERS) as usize]);
                bench = bench.add_model(device, Mailbox::new(), "device");
            }
            for mailbox in pools {
                bench = bench.add_model(Pool::default(), mailbox, "pool");
            }
            ticks(bench.init(MonotonicTime::EPOCH).unwrap(), count, size);
        }
        "one" => {
            let fleet = Fleet((0..size).map(Load::new).collect());
            ticks(bench.add_model(fleet, Mailbox::new(), "fleet").init(MonotonicTime::EPOCH).unwrap(), count, size);
        }
        _ => {
            let hold = Hold { random: Xoshiro256PlusPlus::seed_from_u64(1), length: size as usize };
            let mut simulation = bench.add_model(hold, Mailbox::new(), "hold").init(MonotonicTime::EPOCH).unwrap();
            let began = Instant::now();
            for _ in 0..count {
                simulation.step().unwrap();
            }
            println!("{} {count}", began.elapsed().as_secs_f64());
        }
    }
}
