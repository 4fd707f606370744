//! Why a device has no place: the typed reason, with the numbers.

use super::room::{EPSILON, OpenWindows, Room, download_slots, load_allowed, load_score, weight};
use super::{PlanDevice, PlanInput, WaitingOn};
use crate::score;
use crate::time::Instant;

/// Reasons that need no look at any slot.
pub(super) fn not_now(input: &PlanInput, device: &PlanDevice) -> Option<(WaitingOn, Option<Instant>)> {
    let limits = &input.limits;
    if let Some((on, earliest)) = &device.barred {
        return Some((on.clone(), *earliest));
    }
    if let Some(max) = limits.telemetry_age_max {
        match device.telemetry_age {
            None => return Some((WaitingOn::NoTelemetry, None)),
            Some(age) if age > max => return Some((WaitingOn::StaleTelemetry { age, max }, None)),
            Some(_) => {}
        }
    }
    match limits.batch_requirement_max {
        Some(max) if device.requirement.is_nan() || device.requirement > max => {
            Some((WaitingOn::OversizeRequirement { requirement: device.requirement, max }, None))
        }
        _ => None,
    }
}

/// The rule that keeps a device from every slot of a finished plan: the first that, taken alone, leaves no slot at all, else the one
/// that bars the most.
pub(super) fn why(room: &Room<'_>, d: usize) -> (WaitingOn, Option<Instant>) {
    let input = room.input;
    let device = &input.devices[d];
    let out = device.out_slots.max(1);
    let after = Some(input.start + input.slot.times(input.slots));
    let mut windows = OpenWindows::default();
    let open = windows.of(input, device);
    let slots: Vec<usize> = (0..input.slots).filter(|s| open[*s]).collect();
    if slots.is_empty() {
        return (
            WaitingOn::WindowClosed { need: input.slot.times(out) },
            input.regions[device.region.index()].next_open.or(after),
        );
    }
    let lowest_capacity = slots.iter().map(|s| score::capacity(load_score(input, d, *s))).fold(f64::INFINITY, f64::min);
    if let Some(max) = input.limits.batch_capacity_max.filter(|max| lowest_capacity > max + EPSILON) {
        return (WaitingOn::OversizeCapacity { capacity: lowest_capacity, max }, None);
    }
    let lowest = slots.iter().map(|s| load_score(input, d, *s)).fold(f64::INFINITY, f64::min);
    let load_max = load_allowed(input, lowest).unwrap_or(f64::INFINITY);
    let calm: Vec<usize> = slots.iter().copied().filter(|s| load_score(input, d, *s) <= load_max).collect();
    let whole = |s: usize, holds: &dyn Fn(usize) -> bool| (s..s + out).all(holds);
    let pool = |t: usize| room.cell(device.pool.0, t);
    let rules: [(&dyn Fn(usize) -> bool, u8); 5] = [
        (&|s| whole(s, &|t| room.pool_spare[pool(t)] + EPSILON >= weight(device)), 0),
        (&|s| whole(s, &|t| room.pool_count[pool(t)] >= 1.0), 1),
        (&|s| whole(s, &|t| room.region_count[room.cell(device.region.0, t)] >= 1.0), 2),
        (&|s| room.link_has_room(d, s), 3),
        (&|s| room.batch_has_room(d, s), 4),
    ];
    let barred = |rule: &dyn Fn(usize) -> bool| calm.iter().filter(|s| !rule(**s)).count();
    let worst =
        rules.iter().map(|(rule, kind)| (barred(*rule), *kind)).max_by_key(|(n, kind)| (*n, std::cmp::Reverse(*kind)));
    if worst.is_none_or(|(n, _)| n < calm.len()) && calm.len() < slots.len() {
        return (WaitingOn::DeviceLoad { score: lowest, max: input.limits.device_load_max.unwrap_or(100.0) }, after);
    }
    let on = match worst {
        Some((_, 1)) => WaitingOn::PoolOutMax { max: input.pools[device.pool.index()].out_count_max.unwrap_or(0) },
        Some((_, 2)) => {
            WaitingOn::RegionOutMax { max: input.regions[device.region.index()].out_count_max.unwrap_or(0) }
        }
        Some((_, 3)) => return link_busy(room, d, &calm, after),
        Some((_, 4)) => batches_full(room, d, &calm),
        _ => {
            let tightest = |s: &usize| (*s..s + out).map(|t| room.pool_spare[pool(t)]).fold(f64::INFINITY, f64::min);
            let spare = calm.iter().map(tightest).fold(f64::NEG_INFINITY, f64::max);
            WaitingOn::PoolCapacity { weight: device.weight, spare: spare.max(-1e12) }
        }
    };
    (on, after)
}

/// Batches are full; of the rate alone, where they would have had room without it.
fn batches_full(room: &Room<'_>, d: usize, slots: &[usize]) -> WaitingOn {
    let limits = &room.input.limits;
    let Some(most) = &limits.starts_max else { return WaitingOn::BatchesFull };
    let by_rate = slots.iter().all(|s| {
        let max = most.get(*s).copied().unwrap_or(0);
        room.devices[*s] < 1.0 && limits.batch_devices_max.is_none_or(|own| max < own) || room.batch_has_room(d, *s)
    });
    if by_rate { WaitingOn::RateLimit { per_slot: most.first().copied().unwrap_or(0) } } else { WaitingOn::BatchesFull }
}

/// What the link lacks, and when it may do better: never, where even an idle one could not carry the download within a horizon.
fn link_busy(room: &Room<'_>, d: usize, slots: &[usize], after: Option<Instant>) -> (WaitingOn, Option<Instant>) {
    let input = room.input;
    let device = &input.devices[d];
    let per_slot = input.regions[device.region.index()].download_bytes_max.unwrap_or(f64::INFINITY);
    let parts = download_slots(room.downloads[d]);
    // As much as could go by the end of as many slots as the download takes.
    let free =
        |s: &usize| (*s..s.saturating_add(parts).min(input.slots)).map(|t| room.link_free(device.region, t)).sum();
    let spare = slots.iter().map(free).fold(0.0, f64::max) * per_slot;
    let on =
        WaitingOn::LinkBusy { download_bytes: device.download_bytes, per_slot_bytes: per_slot, spare_bytes: spare };
    (on, after.filter(|_| parts <= input.slots))
}
