//! The devices watched, and what those not updated say of how far devices drift by themselves.

use super::blame::Excess;
use super::normal::quantile;
use super::windows::{COARSE, Window, Windows};
use super::{Group, Tick};
use crate::time::{Instant, Span};

/// Most devices watched. In larger fleets every so manieth pool is, with all its members.
const PANEL_MAX: usize = 8_192;
/// Pool-mates not updated that are needed to say what a pool does.
pub(super) const MATES_MIN: u32 = 3;
/// Devices not updated, over all pools, that are needed as a yardstick.
const YARDSTICK_MIN: usize = 12;
/// Smallest spread of a device, points.
const SPREAD_MIN: f64 = 0.5;
/// Spread of a device without a past, points.
const SPREAD_UNKNOWN: f64 = 3.0;
/// What a device's load is compared with: its mean over the last hour, four hours or day before it left. (In coarse bins?, bins.)
const BEFORE: [(bool, i64); 3] = [(false, 12), (true, 8), (true, 48)];
/// Not looked at yet.
const UNKNOWN: Excess = Excess { points: f64::NAN, deviation: f64::NAN };

/// What is kept of a device.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watched {
    /// Its place in the fleet.
    pub(super) device: usize,
    pub(super) pool: usize,
    pub(super) variant: usize,
    pub(super) group: Group,
    /// Mean absolute change from hour to quarter hour, points.
    pub(super) spread: f64,
    /// When it came to its group.
    pub(super) since: Instant,
    /// The fine bin that was open then.
    pub(super) back: i64,
    /// First fine bin as a control.
    pub(super) control_from: i64,
    /// First fine bin in which it was no control any more.
    pub(super) left: i64,
    /// Looks taken, one bit each.
    pub(super) looked: u8,
    /// At its last look; NaN before.
    pub(super) excess: Excess,
}

/// What the yardstick says.
#[derive(Debug, Clone, Default)]
pub(super) struct Measured {
    /// By pool: Σ change and count of its controls.
    pub(super) pools: Vec<(f64, u32)>,
    /// Excess over spread of the controls, sorted.
    pub(super) scores: Vec<f64>,
    /// Change of a control for each point that it carried before over its pool-mates.
    slope: f64,
}

/// Room that is used again at every look.
#[derive(Debug, Clone, Default)]
pub(super) struct Yardstick {
    /// By the window that measures best.
    pub(super) best: Measured,
    trial: Measured,
    /// The controls, with their mean load after.
    after: Vec<(usize, f64)>,
    /// Controls, with their load before, and their change less what the slope makes of that.
    changes: Vec<(usize, f64, f64)>,
    /// By pool: number, Σ before, Σ change.
    means: Vec<(f64, f64, f64)>,
    sizes: Vec<f64>,
}

/// The devices watched.
#[derive(Debug, Clone, Default)]
pub(super) struct Panel {
    pub(super) watched: Vec<Watched>,
    pub(super) windows: Windows,
    pools: usize,
    variants: usize,
    seen: usize,
}

impl Panel {
    /// Pools of the fleet.
    pub(super) const fn pools(&self) -> usize {
        self.pools
    }

    /// Variants among the devices watched.
    pub(super) const fn variants(&self) -> usize {
        self.variants
    }

    /// Takes the loads of a tick in. Says whether a fine bin is complete, and whether a coarse one is.
    pub(super) fn record(&mut self, tick: &Tick<'_>) -> (bool, bool) {
        let closes = self.windows.closes(tick.now);
        for (w, watched) in self.watched.iter_mut().enumerate() {
            let Some(now) = tick.devices.get(watched.device) else { continue };
            if now.group != watched.group {
                watched.change(tick.now, now.group, self.windows.closed());
                self.windows.restart(w);
            }
            if now.group != Group::Absent {
                self.windows.push(w, now.load);
            }
        }
        (closes, closes && self.windows.close())
    }

    /// Begins to watch devices that were not there before.
    pub(super) fn enrol(&mut self, tick: &Tick<'_>, past: &mut dyn FnMut(usize, &mut Vec<f32>) -> Span) {
        let stride = tick.devices.len().div_ceil(PANEL_MAX).max(1);
        let mut load = Vec::new();
        for (d, device) in tick.devices.iter().enumerate().skip(self.seen) {
            if (device.pool as usize).is_multiple_of(stride) && self.watched.len() < PANEL_MAX {
                load.clear();
                let step = past(d, &mut load);
                self.windows.add(&load, step);
                self.watched.push(Watched {
                    device: d,
                    pool: device.pool as usize,
                    variant: device.variant as usize,
                    group: Group::Control,
                    spread: spread(&load),
                    since: tick.now,
                    back: i64::MIN,
                    control_from: i64::MIN,
                    left: i64::MIN,
                    looked: 0,
                    excess: UNKNOWN,
                });
                self.variants = self.variants.max(device.variant as usize + 1);
            }
        }
        self.seen = tick.devices.len();
        self.pools = self.pools.max(tick.pools.len());
    }

    /// Change of a device's load from one window to another, less that of its pool-mates; `None` where that is not known.
    pub(super) fn excess(&self, w: usize, before: Window, after: Window, yardstick: &Yardstick) -> Option<(f64, u32)> {
        let (sum, mates) = *yardstick.best.pools.get(self.watched[w].pool)?;
        if mates < MATES_MIN {
            return None;
        }
        let (after, before) = (self.windows.mean(w, after)?, self.windows.mean(w, before)?);
        let change = after - before - yardstick.best.slope * before;
        Some((change - sum / f64::from(mates), mates))
    }

    /// Measures by the window before `left` that leaves the devices not updated the least spread.
    pub(super) fn measure_best(&self, left: i64, after: Window, yardstick: &mut Yardstick) -> Option<(Window, f64)> {
        let window = |(is_coarse, bins): (bool, i64)| {
            let end = if is_coarse { left.div_euclid(COARSE) } else { left };
            Window { is_coarse, end, bins }
        };
        self.note_controls(after, left, yardstick);
        let mut best: Option<(Window, f64)> = None;
        for before in BEFORE.map(window) {
            if let Some(unit) = self.measure(before, yardstick)
                && best.is_none_or(|(_, least)| unit < least)
            {
                best = Some((before, unit));
                std::mem::swap(&mut yardstick.best, &mut yardstick.trial);
            }
        }
        best
    }

    /// Devices not updated that were there before `from`, with their load after: the same for every window before.
    fn note_controls(&self, after: Window, from: i64, yardstick: &mut Yardstick) {
        let is_control = |watched: &Watched| {
            watched.group == Group::Control && watched.control_from <= from - 12 && watched.pool < self.pools
        };
        let controls = self.watched.iter().enumerate().filter(|(_, watched)| is_control(watched));
        yardstick.after.clear();
        yardstick.after.extend(controls.filter_map(|(w, _)| self.windows.mean(w, after).map(|load| (w, load))));
    }

    /// Least squares of the change on the load before, within pools: load that moves goes to calm members more than to busy ones, and who was
    /// unusually calm goes back to what is usual.
    fn slope(&self, changes: &[(usize, f64, f64)], means: &mut Vec<(f64, f64, f64)>) -> f64 {
        means.clear();
        means.resize(self.pools, (0.0, 0.0, 0.0));
        for (w, before, change) in changes {
            let (count, sum_before, sum_change) = &mut means[self.watched[*w].pool];
            (*count, *sum_before, *sum_change) = (*count + 1.0, *sum_before + before, *sum_change + change);
        }
        let (mut squares, mut products) = (0.0, 0.0);
        for (w, before, change) in changes {
            let (count, sum_before, sum_change) = means[self.watched[*w].pool];
            let own = before - sum_before / count;
            squares += own * own;
            products += own * (change - sum_change / count);
        }
        if squares > 1.0 { (products / squares).clamp(-1.0, 1.0) } else { 0.0 }
    }

    /// Measures the controls by their load in a window before: the yardstick. Returns the unit of their scores; `None` where they are too
    /// few.
    fn measure(&self, before: Window, yardstick: &mut Yardstick) -> Option<f64> {
        let Yardstick { trial: Measured { pools, scores, slope }, after, changes, sizes, means, .. } = yardstick;
        changes.clear();
        for (w, load_after) in &*after {
            if let Some(load_before) = self.windows.mean(*w, before) {
                changes.push((*w, load_before, load_after - load_before));
            }
        }
        *slope = self.slope(changes, means);
        pools.clear();
        pools.resize(self.pools, (0.0, 0));
        for (w, load_before, change) in &mut *changes {
            *change -= *slope * *load_before;
            let (sum, count) = &mut pools[self.watched[*w].pool];
            *sum += *change;
            *count += 1;
        }
        scores.clear();
        for (w, _, change) in &*changes {
            let (sum, count) = pools[self.watched[*w].pool];
            if count > MATES_MIN {
                let relative = change - (sum - change) / f64::from(count - 1);
                scores.push(relative / self.watched[*w].spread);
            }
        }
        if scores.len() < YARDSTICK_MIN {
            return None;
        }
        scores.sort_unstable_by(f64::total_cmp);
        sizes.clear();
        sizes.extend(scores.iter().map(|z| z.abs()));
        let middle = sizes.len() * 68 / 100;
        let (_, unit, _) = sizes.select_nth_unstable_by(middle, f64::total_cmp);
        Some(unit.max(0.1))
    }
}

impl Watched {
    fn change(&mut self, now: Instant, group: Group, bin: i64) {
        self.since = now;
        self.back = bin;
        match (self.group, group) {
            (_, Group::Control) => self.control_from = bin + 1,
            (Group::Control, _) => self.left = bin,
            _ => {}
        }
        self.group = group;
        if group == Group::Absent {
            self.looked = 0;
            self.excess = UNKNOWN;
        }
    }
}

/// The normal score of a figure by its rank among sorted scores.
pub(super) fn normal_score(scores: &[f64], z: f64) -> f64 {
    let below = scores.partition_point(|s| *s < z);
    let upto = scores.partition_point(|s| *s <= z);
    let under = (below + upto) as f64 / 2.0;
    quantile((under + 0.5) / (scores.len() as f64 + 1.0))
}

/// Mean absolute difference of a device's load from its mean over the four steps before, points.
fn spread(past: &[f32]) -> f64 {
    let differences = past.windows(5).filter_map(|w| {
        let before = (w[0] + w[1] + w[2] + w[3]) / 4.0;
        let difference = f64::from((w[4] - before).abs());
        difference.is_finite().then_some(difference)
    });
    let (sum, count) = differences.fold((0.0, 0_u32), |(sum, count), d| (sum + d, count + 1));
    if count < 12 { SPREAD_UNKNOWN } else { (sum / f64::from(count)).max(SPREAD_MIN) }
}
