//! What teams use instead: a fixed number of standard errors, and a CUSUM of the same figure. Here to be measured against.
//!
//! Both look at the mean residual of updated devices (load less the forecast in force for it) less that of the pool-mates not updated,
//! in units of its standard error, tick by tick.

use super::{Group, Tick};

/// Drift a CUSUM forgives per tick, in standard errors: it is tuned for shifts of twice that.
const ALLOWANCE: f64 = 0.5;

/// Updated and other members of a pool at a tick.
#[derive(Debug, Clone, Copy, Default)]
struct Sides {
    treated: (f64, f64),
    controls: (f64, f64),
    squares: f64,
}

/// Difference of updated devices from their pool-mates at this tick, in standard errors; `None` without both.
pub fn standardised_difference(tick: &Tick<'_>) -> Option<f64> {
    let mut pools = vec![Sides::default(); tick.pools.len()];
    for device in tick.devices {
        let (Some(load), Some(point)) = (device.load, device.point) else { continue };
        let Some(pool) = pools.get_mut(device.pool as usize) else { continue };
        let residual = f64::from(load) - f64::from(point) * tick.pools[device.pool as usize].moved();
        let side = match device.group {
            Group::Treated => &mut pool.treated,
            Group::Control => {
                pool.squares += residual * residual;
                &mut pool.controls
            }
            Group::Absent => continue,
        };
        side.0 += residual;
        side.1 += 1.0;
    }
    let (mut squares, mut freedom) = (0.0, 0.0);
    for pool in pools.iter().filter(|p| p.controls.1 >= 2.0) {
        squares += pool.squares - pool.controls.0 * pool.controls.0 / pool.controls.1;
        freedom += pool.controls.1 - 1.0;
    }
    if freedom < 5.0 {
        return None;
    }
    let variance = (squares / freedom).max(0.01);
    let (mut difference, mut error) = (0.0, 0.0);
    for pool in pools.iter().filter(|p| p.controls.1 >= 2.0 && p.treated.1 > 0.0) {
        let n = pool.treated.1;
        difference += pool.treated.0 - n * pool.controls.0 / pool.controls.1;
        error += variance * (n + n * n / pool.controls.1);
    }
    (error > 0.0).then(|| difference / error.sqrt())
}

/// A one-sided CUSUM.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cusum(f64);

impl Cusum {
    /// Takes the standardised difference of a tick in. Returns the statistic.
    pub fn tick(&mut self, difference: f64) -> f64 {
        self.0 = (self.0 + difference - ALLOWANCE).max(0.0);
        self.0
    }
}
