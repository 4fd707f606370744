//! What too much work does: a device above its limit loses work, and fails the more often the more it has. Its work then goes to the others.

use super::Fault;
use crate::device::{Around, draw};
use crate::rng::{Purpose, Stream};
use crate::run::Event;
use slacktide_scenarios::faults::Overload;

#[derive(Debug)]
pub(crate) struct Overloaded {
    overload: Overload,
    seed: u64,
}

impl Overloaded {
    pub(crate) const fn new(overload: Overload, seed: u64) -> Self {
        Self { overload, seed }
    }

    /// Books lost work after a tick, and says who goes down of it. Each has a draw of its own for each tick, whatever befell it before.
    pub(crate) fn strike(&self, tick: u64, columns: &[Vec<f32>], book: bool, around: &mut Around<'_>) -> Vec<usize> {
        let (from, overload) = (self.overload.from_percent, self.overload);
        let hours = around.scenario.tick.as_secs_f64() / 3600.0;
        let mut down = Vec::new();
        if around.scenario.is_calm(around.now) {
            return down;
        }
        for (d, load) in columns[0].iter().enumerate() {
            let load = f64::from(*load);
            // Who is down or out has no load.
            if load.is_nan() || load <= from {
                continue;
            }
            let over = ((load - from) / (100.0 - from)).min(1.0);
            if book {
                around.world.lose_work(d, load * over * overload.lost_work_percent / 100.0);
            }
            let mut stream = Stream::new(self.seed, Purpose::Overload, (tick << 32) | d as u64);
            if stream.uniform() < -libm::expm1(-overload.crashes_per_hour * over * hours) {
                let back = around.over(around.now + draw(overload.repair, &mut stream));
                around.world.befall("overload crashes", 1);
                around.queue.push(back, Event::Fault(Fault::Up(d)));
                down.push(d);
            }
        }
        down
    }
}
