//! Parts of the simulator by themselves, for those who measure how fast they are.

use crate::load::Load;
use crate::queue::Queue;
use crate::rng::{Purpose, Stream};
use crate::setup::Setup;
use crate::world::World;
use slacktide_engine::time::{Instant, Span};

/// The world without an engine: so many ticks of own load and of who serves it, on this thread. Returns the mean of the first metric over
/// the devices at the last of them, percent.
pub fn world_only(setup: &Setup, seed: u64, ticks: usize) -> f64 {
    let (facts, group_of) = setup.devices(seed);
    let devices = facts.len();
    let mut load = Load::new(setup, &facts, &group_of, seed);
    let mut world = World::new(&setup.scenario, facts);
    let mut columns = vec![vec![0.0_f32; devices]; setup.metrics().len()];
    for tick in 0..ticks {
        let now = setup.scenario.start + setup.scenario.tick.times(tick);
        load.fill(tick as u64, now, &mut columns);
        world.serve(now, setup.scenario.tick, true, &mut columns);
    }
    columns[0].iter().map(|v| f64::from(*v)).sum::<f64>() / devices.max(1) as f64
}

/// The event queue alone: of `length` events the earliest is taken and put back an exponential time later, mean a minute, `events` times.
/// Returns the moment of the last.
pub fn queue_hold(length: usize, events: u64, seed: u64) -> Instant {
    let mut stream = Stream::new(seed, Purpose::Fleet, 0);
    let mut later = move || Span::from_millis((-60_000.0 * libm::log(1.0 - stream.uniform())) as u64);
    let mut queue = Queue::new();
    (0..length).for_each(|event| queue.push(Instant::from_millis(0) + later(), event));
    let mut now = Instant::from_millis(0);
    for _ in 0..events {
        let Some((at, event)) = queue.pop() else { break };
        now = at;
        queue.push(at + later(), event);
    }
    now
}

#[cfg(test)]
mod tests {
    use super::*;
    use slacktide_scenarios::library;

    #[test]
    fn parts_run_by_themselves() {
        let scenario = library::named("first-rollout").unwrap();
        let setup = Setup::new(scenario.clone(), scenario.policy().unwrap());
        let mean = world_only(&setup, 1, 288);
        assert!(mean > 5.0 && mean < 95.0, "{mean}");
        assert_eq!(mean, world_only(&setup, 1, 288));
        // 10 events wait a minute on average: 1000 of them take about 100 minutes.
        let end = queue_hold(10, 1000, 1).since(Instant::from_millis(0)).as_secs_f64() / 60.0;
        assert!((end - 100.0).abs() < 15.0, "{end}");
    }
}
