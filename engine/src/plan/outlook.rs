//! When everybody will go, those without a place in the plan too: what a person asks first.
//!
//! An estimate, never a promise. A wave that opens by the clock begins then; the others follow one another: each begins when the last of
//! the one before that has an expected start has ended and its soak is over. Devices are placed first fit, in the order of service, into
//! what is left of the horizon, and then into further *rounds*: as if every day had the room of this horizon at the same time of day (a
//! horizon shorter than a day stands for its day, so the estimate is late rather than early), with what is out at the end of the horizon
//! still out. After three rounds it goes on at the pace of the last. Weekdays, shifts of daylight saving and the sums of batches that the
//! plan itself uses are left out of account.

use super::board::Board;
use super::room::OpenWindows;
use super::why::not_now;
use super::{Plan, PlanDevice, PlanInput, PlanPool, PlanRegion, PlanReport, WaitingOn};
use crate::ids::DeviceIndex;
use crate::time::{Instant, Span};
use std::collections::BTreeMap;

/// Rounds that are filled one by one for a wave, after the one it begins in.
const ROUNDS_MAX: usize = 3;
const DAY: Span = Span::from_secs(86_400);

/// The devices of a wave that has not opened.
#[derive(Debug, Clone, Default)]
pub struct LaterWave {
    /// How long the wave before it is watched after its end.
    pub soak: Span,
    /// When it opens, where that does not depend on the wave before.
    pub opens_at: Option<Instant>,
    /// How long after it has opened the turn of each of its devices comes, in the order of `devices`; at once where there is none.
    pub turns: Vec<Span>,
    /// Its devices. Those barred by their wave alone, or by a retry pause, are looked at as if they were not.
    pub devices: Vec<PlanDevice>,
    /// As [`PlanInput::load_scores`], for these devices.
    pub load_scores: Vec<f32>,
}

/// A plan that was made to be looked at.
#[derive(Debug, Clone)]
pub struct DryPlan {
    /// What it was made from.
    pub input: PlanInput,
    /// Who would go when.
    pub plan: Plan,
    /// Why it is as it is.
    pub report: PlanReport,
    /// Rules it breaks: none, or the planner is wrong.
    pub violations: Vec<super::check::Violation>,
    /// When everybody will go, later waves too.
    pub outlook: Vec<Outlook>,
    /// The devices of the outlook, in its order.
    pub candidates: Vec<PlanDevice>,
}

/// When a device is expected to go.
#[derive(Debug, Clone, PartialEq)]
pub struct Outlook {
    /// Which.
    pub device: DeviceIndex,
    /// Why it does not go now; [`WaitingOn::Planned`] when it has a place.
    pub on: WaitingOn,
    /// Earliest time at which its reason may change, as far as can be said.
    pub earliest: Option<Instant>,
    /// `None` where nothing can be said.
    pub expected: Option<Expected>,
}

/// A start, and how much it is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// When.
    pub start: Instant,
    /// Where it is from.
    pub basis: ExpectedBasis,
}

/// Where an expected start is from, the surest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExpectedBasis {
    /// A place in the plan.
    Planned,
    /// A place in what the plan leaves of the horizon: of a later wave, or after a retry pause.
    LaterWave,
    /// Extrapolated from the room of the horizon, or the next opening of a maintenance window.
    BeyondHorizon,
}

impl ExpectedBasis {
    /// Its short name in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::LaterWave => "later-wave",
            Self::BeyondHorizon => "beyond-horizon",
        }
    }
}

/// The outlook of every candidate of the plan, in the order of the input, then of every device of the later waves, in theirs.
pub fn outlook(input: &PlanInput, plan: &Plan, report: &PlanReport, later: &[LaterWave]) -> Vec<Outlook> {
    let starts: BTreeMap<DeviceIndex, Instant> =
        plan.batches.iter().flat_map(|batch| batch.devices.iter().map(|d| (*d, batch.start))).collect();
    let waiting: BTreeMap<DeviceIndex, (&WaitingOn, Option<Instant>)> =
        report.waiting.iter().map(|w| (w.device, (&w.on, w.earliest))).collect();
    let period = DAY.times(input.slot.times(input.slots).steps_up(DAY).max(1));
    // What is placed already takes its room; everybody else found none in the horizon, unless a pause kept it from looking.
    let mut left = PlanInput { devices: Vec::new(), load_scores: Vec::new(), ..copy_of_sets(input) };
    let mut release = Vec::new();
    let horizon_end = input.start + input.slot.times(input.slots);
    for (d, device) in input.devices.iter().enumerate() {
        match starts.get(&device.index) {
            Some(start) => promise(&mut left, device, start.since(input.start).steps_down(input.slot)),
            None => {
                let pause = match &device.barred {
                    Some((WaitingOn::RetryPause { .. } | WaitingOn::NotItsTurn { .. }, until)) => {
                        until.unwrap_or(horizon_end)
                    }
                    _ => horizon_end,
                };
                release.push(pause.max(input.start));
                left.devices.push(unbarred(device));
                left.load_scores.extend_from_slice(scores_of(input, d));
            }
        }
    }
    let mut found = places(input, &left, &release, period).into_iter();
    let mut all = Vec::with_capacity(input.devices.len());
    let mut end = input.start;
    for device in &input.devices {
        let start = starts.get(&device.index).copied();
        let expected = match start {
            Some(start) => Some(Expected { start, basis: ExpectedBasis::Planned }),
            None => found.next().flatten(),
        };
        end = end.max(end_of(input, device, expected));
        let planned = start.map(|start| (WaitingOn::Planned { start }, Some(start)));
        let (on, earliest) = planned.unwrap_or_else(|| {
            waiting.get(&device.index).map_or((WaitingOn::NextPlan, None), |(on, at)| ((*on).clone(), *at))
        });
        all.push(Outlook { device: device.index, on, earliest, expected });
    }
    for wave in later {
        let begin = wave.opens_at.map_or(end + wave.soak, |at| at.max(input.start));
        let candidates = PlanInput {
            devices: wave.devices.iter().map(unbarred).collect(),
            load_scores: wave.load_scores.clone(),
            ..copy_of_sets(input)
        };
        let after_pause = |(d, device): (usize, &PlanDevice)| {
            let turn = begin + wave.turns.get(d).copied().unwrap_or(Span::ZERO);
            match &device.barred {
                Some((WaitingOn::RetryPause { .. }, Some(until))) => turn.max(*until),
                _ => turn,
            }
        };
        let release: Vec<Instant> = wave.devices.iter().enumerate().map(after_pause).collect();
        for (device, expected) in wave.devices.iter().zip(places(input, &candidates, &release, period)) {
            end = end.max(end_of(input, device, expected));
            // What would keep it even if its wave were open says more.
            let own = not_now(input, &unbarred(device)).or_else(|| not_now(input, device));
            let (on, earliest) = own.unwrap_or((WaitingOn::NextPlan, None));
            all.push(Outlook { device: device.index, on, earliest, expected });
        }
        end = end.max(begin);
    }
    all
}

fn end_of(input: &PlanInput, device: &PlanDevice, expected: Option<Expected>) -> Instant {
    expected.map_or(input.start, |at| at.start + input.slot.times(device.out_slots.max(1)))
}

/// As it will be when nothing but time has kept it.
fn unbarred(device: &PlanDevice) -> PlanDevice {
    let by_time = matches!(
        device.barred,
        Some((WaitingOn::WaveNotOpen { .. } | WaitingOn::NotItsTurn { .. } | WaitingOn::RetryPause { .. }, _))
    );
    PlanDevice { barred: device.barred.clone().filter(|_| !by_time), ..device.clone() }
}

fn scores_of(input: &PlanInput, d: usize) -> &[f32] {
    input.load_scores.get(d * input.slots..(d + 1) * input.slots).unwrap_or_default()
}

fn copy_of_sets(input: &PlanInput) -> PlanInput {
    PlanInput {
        start: input.start,
        slot: input.slot,
        slots: input.slots,
        devices: Vec::new(),
        load_scores: Vec::new(),
        pools: input.pools.clone(),
        regions: input.regions.clone(),
        limits: input.limits.clone(),
    }
}

/// Books a device of the plan as promised.
fn promise(input: &mut PlanInput, device: &PlanDevice, slot: usize) {
    let share = |promised: &mut f64, weight: f64| *promised += weight;
    if !device.already_out {
        let (pool, region) = (&mut input.pools[device.pool.index()], &mut input.regions[device.region.index()]);
        for t in slot..(slot + device.out_slots.max(1)).min(input.slots) {
            share(&mut pool.out_weight[t], device.weight);
            pool.out_count[t] += 1;
            region.out_count[t] += 1;
        }
    }
    let region = &mut input.regions[device.region.index()];
    let mut downloading = PlanRegion { downloading_bytes: vec![0.0; input.slots - slot], ..region.clone() };
    downloading.promise_download(device.download_bytes, 0);
    region.downloading_bytes[slot..].iter_mut().zip(downloading.downloading_bytes).for_each(|(p, more)| share(p, more));
}

/// A horizon for the same candidates in which only those are out who are at the end of `now`, before any plan.
fn eased(now: &PlanInput, input: &PlanInput) -> PlanInput {
    let last = input.slots.saturating_sub(1);
    let pool = |pool: &PlanPool| PlanPool {
        out_weight: vec![pool.out_weight[last]; input.slots],
        out_count: vec![pool.out_count[last]; input.slots],
        ..pool.clone()
    };
    let region = |region: &PlanRegion| PlanRegion {
        out_count: vec![region.out_count[last]; input.slots],
        downloading_bytes: vec![0.0; input.slots],
        ..region.clone()
    };
    PlanInput {
        pools: now.pools.iter().map(pool).collect(),
        regions: now.regions.iter().map(region).collect(),
        devices: input.devices.clone(),
        load_scores: input.load_scores.clone(),
        ..copy_of_sets(input)
    }
}

/// A place for every candidate of `input`, none before its `release`: round by round, then at the pace of the last.
fn places(now: &PlanInput, input: &PlanInput, release: &[Instant], period: Span) -> Vec<Option<Expected>> {
    let mut found: Vec<Option<Expected>> = vec![None; input.devices.len()];
    let Some(first) = release.iter().min() else { return found };
    let eased = eased(now, input);
    let later = Board::new(&eased);
    let can = |d: &usize| later.possible.from(*d, 0).next().is_some();
    let begin = first.since(input.start).steps_down(period);
    let mut pace = 1;
    for round in begin..=begin + ROUNDS_MAX {
        let mut board = Board::new(if round == 0 { input } else { &eased });
        let at = |slot: usize| input.start + period.times(round) + input.slot.times(slot);
        for (d, release) in release.iter().enumerate() {
            let done = found[d].is_some();
            board.possible.retain(d, |slot| !done && at(slot) >= *release);
        }
        board.fill();
        let basis = if round == 0 { ExpectedBasis::LaterWave } else { ExpectedBasis::BeyondHorizon };
        let placed: Vec<(usize, usize)> = board.windows().collect();
        pace = placed.len().max(1);
        placed.into_iter().for_each(|(d, slot)| found[d] = Some(Expected { start: at(slot), basis }));
    }
    // In the order of service; whoever is released later begins no earlier than that.
    let basis = ExpectedBasis::BeyondHorizon;
    let rest: Vec<usize> = later.order.iter().copied().filter(|d| found[*d].is_none()).collect();
    for (position, d) in rest.iter().copied().filter(can).enumerate() {
        let round = begin + ROUNDS_MAX + 1 + position / pace;
        let slot = later.possible.from(d, 0).next().unwrap_or(0);
        let at = |round: usize| input.start + period.times(round) + input.slot.times(slot);
        let missed = release[d].since(at(round)).steps_up(period);
        found[d] = Some(Expected { start: at(round + missed), basis });
    }
    // Where no window of the horizon is long enough, the next opening after it is the most that can be said.
    let mut windows = OpenWindows::default();
    for d in rest {
        let device = &input.devices[d];
        let next = input.regions[device.region.index()].next_open;
        let closed = !windows.of(input, device).contains(&true);
        if found[d].is_none() && closed && not_now(input, device).is_none() {
            let start =
                next.filter(|at| *at >= input.start + input.slot.times(input.slots)).map(|at| at.max(release[d]));
            found[d] = start.map(|start| Expected { start, basis });
        }
    }
    found
}
