//! A plan for people, for programs, and the story of one device.

use super::fleet::Looked;
use serde_json::{Value, json};
use slacktide_engine::ids::DeviceIndex;
use slacktide_engine::plan::outlook::{Expected, ExpectedBasis, Outlook};
use slacktide_engine::plan::{Batch, PlanDevice, WaitingOn};
use slacktide_engine::rollout::LeftOut;
use slacktide_engine::score;
use slacktide_engine::time::Instant;
use slacktide_engine::window::Zone;
use slacktide_reports::text::{number, table};
use std::collections::{BTreeMap, BTreeSet};

/// Most batches of the table; the rest is told in a line.
const BATCHES_SHOWN: usize = 40;

impl Looked {
    fn name(&self, device: DeviceIndex) -> &str {
        self.engine.fleet().facts[device.index()].id.as_str()
    }

    /// Whoever has no place, in the order of the outlook.
    fn waiting(&self) -> impl Iterator<Item = &Outlook> {
        self.dry.outlook.iter().filter(|o| !matches!(o.on, WaitingOn::Planned { .. }))
    }

    /// Devices that match the target and that the package does not suit, with that as their reason.
    fn unsuitable(&self) -> impl Iterator<Item = (DeviceIndex, WaitingOn)> {
        let unsuitable = self.left_out.iter().filter(|(_, why)| *why == LeftOut::NotCompatible);
        unsuitable.map(|(device, _)| (*device, self.not_compatible(*device)))
    }

    fn not_compatible(&self, device: DeviceIndex) -> WaitingOn {
        let version = self.engine.fleet().facts[device.index()].version.to_string();
        WaitingOn::NotCompatible { version, required: self.package.compatible.to_string() }
    }

    /// The zone of the fleet's clocks, where all regions have the same.
    fn zone(&self) -> Option<Zone> {
        let regions = &self.dry.input.regions;
        let of = |name: &str| self.engine.policy().region(name).zone;
        let first = of(&regions.first()?.name)?;
        regions.iter().all(|r| of(&r.name).as_ref() == Some(&first)).then_some(first)
    }

    fn regions(&self, batch: &Batch) -> String {
        let fleet = self.engine.fleet();
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        for device in &batch.devices {
            *counts.entry(fleet.facts[device.index()].region.as_str()).or_default() += 1;
        }
        let parts: Vec<String> = counts.iter().take(6).map(|(name, n)| format!("{name} {n}")).collect();
        let more = if counts.len() > 6 { format!(", {} more", counts.len() - 6) } else { String::new() };
        parts.join(", ") + &more
    }
}

/// The whole plan as one document.
pub(super) fn document(looked: &Looked, explain: Option<&str>) -> Value {
    let (dry, report) = (&looked.dry, &looked.dry.report);
    let names = |devices: &[DeviceIndex]| devices.iter().map(|d| looked.name(*d).to_owned()).collect::<Vec<_>>();
    let batch = |b: &Batch| {
        json!({
            "start": b.start.to_string(), "devices": names(&b.devices), "requirement": b.requirement, "capacity": b.capacity,
        })
    };
    let mut waiting: Vec<Value> = looked.waiting().map(|o| waiting_value(looked, o)).collect();
    waiting.extend(looked.unsuitable().map(
        |(device, on)| json!({ "device": looked.name(device), "reason": on, "earliest": null, "expected": null }),
    ));
    let mut document = json!({
        "schema": "slacktide/plan/1",
        "made_at": looked.at.to_string(),
        "policy": looked.engine.policy().name,
        "package": { "name": looked.package.name, "version": looked.package.version, "size_bytes": looked.package.size_bytes },
        "batches": dry.plan.batches.iter().map(batch).collect::<Vec<_>>(),
        "waiting": waiting,
        "makespan_s": report.makespan.as_secs_f64(),
        "lower_bound_s": report.lower_bound.as_secs_f64(),
        "gap_percent": report.gap_percent(),
        "remarks": looked.remarks,
    });
    if let Some(name) = explain {
        document["explained"] = json!({ "device": name, "story": story(looked, name) });
    }
    document
}

fn waiting_value(looked: &Looked, o: &Outlook) -> Value {
    let expected = o.expected.map(|e| json!({ "start": e.start.to_string(), "basis": e.basis.name() }));
    json!({
        "device": looked.name(o.device), "reason": o.on, "earliest": o.earliest.map(|at| at.to_string()), "expected": expected,
    })
}

/// The plan in a page of text.
pub(super) fn overview(looked: &Looked) -> Vec<String> {
    let (dry, report, policy) = (&looked.dry, &looked.dry.report, looked.engine.policy());
    let waiting = looked.waiting().count();
    let mut said = vec![
        format!(
            "{} {} for {} devices under the policy `{}`, planned for {}. Nothing is changed by it.",
            looked.package.name,
            looked.package.version,
            dry.outlook.len(),
            policy.name,
            looked.at
        ),
        format!(
            "  {} have a place in {} batches, {waiting} wait. From start to end {}; no plan for them could take less than {} (gap {} %).",
            report.placed,
            dry.plan.batches.len(),
            report.makespan,
            report.lower_bound,
            number(report.gap_percent())
        ),
    ];
    let last = dry.outlook.iter().filter_map(|o| o.expected).max_by_key(|e| e.start);
    if let Some(last) = last {
        let without = dry.outlook.iter().filter(|o| o.expected.is_none()).count();
        let except =
            if without > 0 { format!(", but for {without} of which nothing can be said") } else { String::new() };
        said.push(format!("  The last is expected to go at {}{except}.", expected_text(Some(last))));
    }
    said.extend(looked.remarks.iter().map(|remark| format!("  Remark: {remark}.")));
    if !dry.plan.batches.is_empty() {
        said.push(String::new());
        said.push(batches(looked).trim_end().to_owned());
    }
    let groups = groups(looked);
    if !groups.is_empty() {
        said.push(String::new());
        said.push(table(&["waiting on", "devices", "expected from", "to", "no date"], &groups).trim_end().to_owned());
    }
    for (why, text) in
        [(LeftOut::Newer, "run the release or a newer one"), (LeftOut::NotTarget, "do not match the target")]
    {
        let count = looked.left_out.iter().filter(|(_, w)| *w == why).count();
        if count > 0 {
            said.push(format!("  {count} devices {text}: the rollout is not for them."));
        }
    }
    said
}

fn batches(looked: &Looked) -> String {
    let zone = looked.zone();
    let row = |batch: &Batch| {
        let mut cells = vec![batch.start.to_string()];
        if let Some(zone) = &zone {
            cells.push(zone.clock_text(batch.start).unwrap_or_default());
        }
        cells.push(batch.devices.len().to_string());
        cells.extend([number(batch.requirement), number(batch.capacity), looked.regions(batch)]);
        cells
    };
    let rows: Vec<Vec<String>> = looked.dry.plan.batches.iter().take(BATCHES_SHOWN).map(row).collect();
    let local = zone.as_ref().map_or("", Zone::name);
    let mut header = vec!["start (UTC)", "devices", "Σ requirement", "Σ capacity", "regions"];
    if zone.is_some() {
        header.insert(1, local);
    }
    let more = looked.dry.plan.batches.len().saturating_sub(BATCHES_SHOWN);
    let rest = if more > 0 { format!("  … and {more} more batches (--json has them all)\n") } else { String::new() };
    table(&header, &rows) + &rest
}

/// Those who wait, by reason, most devices first.
fn groups(looked: &Looked) -> Vec<Vec<String>> {
    let mut by_reason: BTreeMap<&str, Vec<Option<Instant>>> = BTreeMap::new();
    for o in looked.waiting() {
        by_reason.entry(o.on.name()).or_default().push(o.expected.map(|e| e.start));
    }
    for (_, on) in looked.unsuitable() {
        by_reason.entry(on.name()).or_default().push(None);
    }
    let mut groups: Vec<(&str, Vec<Option<Instant>>)> = by_reason.into_iter().collect();
    groups.sort_by_key(|(name, starts)| (std::cmp::Reverse(starts.len()), *name));
    let text = |at: Option<&Instant>| at.map_or_else(|| "–".to_owned(), ToString::to_string);
    let row = |(name, starts): (&str, Vec<Option<Instant>>)| {
        let known: BTreeSet<Instant> = starts.iter().flatten().copied().collect();
        let none = starts.iter().filter(|start| start.is_none()).count();
        vec![name.to_owned(), starts.len().to_string(), text(known.first()), text(known.last()), none.to_string()]
    };
    groups.into_iter().map(row).collect()
}

fn expected_text(expected: Option<Expected>) -> String {
    match expected {
        None => "nobody can say".to_owned(),
        Some(at) => {
            let basis = match at.basis {
                ExpectedBasis::Planned => "planned",
                ExpectedBasis::LaterWave => "estimated within the horizon",
                ExpectedBasis::BeyondHorizon => "estimated beyond the horizon",
            };
            format!("{} ({basis})", at.start)
        }
    }
}

/// All there is to say of one device, a line each.
pub(super) fn story(looked: &Looked, name: &str) -> Vec<String> {
    let fleet = looked.engine.fleet();
    let Some(device) = fleet.facts.iter().position(|f| f.id.as_str() == name) else { return Vec::new() };
    let facts = &fleet.facts[device];
    let mut said = vec![format!(
        "{name}: {} of pool {}, region {}, runs {}.",
        facts.function, facts.pool, facts.region, facts.version
    )];
    let index = DeviceIndex(device as u32);
    if let Some((_, why)) = looked.left_out.iter().find(|(d, _)| *d == index) {
        said.push(match why {
            LeftOut::Newer => {
                format!("  It runs {} or a newer release already: the rollout is not for it.", looked.package.version)
            }
            LeftOut::NotTarget => {
                format!("  It does not match the target `{}`: the rollout is not for it.", looked.package.target)
            }
            LeftOut::NotCompatible => format!(
                "  It matches the target, and the package does not suit it: it asks for `{}`.",
                looked.package.compatible
            ),
        });
        return said;
    }
    let position = looked.dry.outlook.iter().position(|o| o.device == index);
    let Some((candidate, seen)) =
        position.and_then(|i| Some((looked.dry.candidates.get(i)?, looked.dry.outlook.get(i)?)))
    else {
        return said;
    };
    said.extend(scores(looked, candidate));
    said.push(pool(looked, candidate, seen));
    said.extend(region(looked, candidate));
    said.push(outcome(looked, candidate, seen));
    said
}

fn scores(looked: &Looked, candidate: &PlanDevice) -> Vec<String> {
    let fleet = looked.engine.fleet();
    let d = candidate.index.index();
    let load = fleet.load_now(d).map_or_else(|| "unknown".to_owned(), |load| format!("{} %", number(load)));
    let window = looked.engine.load_score_now(candidate.index);
    let standing = |c: &PlanDevice| (c.rank, c.wave);
    let is_before = |c: &&PlanDevice| {
        let priority = candidate.priority.total_cmp(&c.priority);
        standing(c).cmp(&standing(candidate)).then(priority).then_with(|| c.id.cmp(&candidate.id)).is_lt()
    };
    let place = looked.dry.candidates.iter().filter(is_before).count() + 1;
    vec![
        format!(
            "  Criticality {}, load now {load}; a window that began now would have load score {}, capacity {}.",
            number(fleet.criticality[d]),
            number(window),
            number(score::capacity(window))
        ),
        format!(
            "  Priority {}: number {place} of {} in the order of service, in wave {} of {}. It needs {} points and is out for {}.",
            number(candidate.priority),
            looked.dry.candidates.len(),
            candidate.wave.0 + 1,
            looked.engine.policy().waves.len(),
            number(candidate.requirement),
            looked.dry.input.slot.times(candidate.out_slots)
        ),
    ]
}

fn pool(looked: &Looked, candidate: &PlanDevice, seen: &Outlook) -> String {
    let (input, pool) = (&looked.dry.input, &looked.dry.input.pools[candidate.pool.index()]);
    let start = seen.expected.map_or(input.start, |e| e.start).since(input.start).steps_down(input.slot);
    let t = if start < input.slots { start } else { 0 };
    let most = pool.out_count_max.map_or_else(|| "any number".to_owned(), |max| format!("at most {max}"));
    let usable = input.limits.load_limit * (pool.weight_total - pool.out_weight[t]);
    format!(
        "  Its weight is {}; pool {} has {} of {} members, {most} may be out. {}: demand up to {}, {} out by others than this plan, {} usable.",
        number(candidate.weight),
        pool.name,
        number(pool.weight_total),
        pool.members,
        if t == 0 { "Now" } else { "At its start" },
        number(pool.demand_upper[t]),
        number(pool.out_weight[t]),
        number(usable)
    )
}

fn region(looked: &Looked, candidate: &PlanDevice) -> Option<String> {
    let region = &looked.dry.input.regions[candidate.region.index()];
    let max = region.download_bytes_max?;
    let slots = region.download_slots(candidate.download_bytes);
    Some(format!(
        "  Its download is {} MB; updates may move {} MB a slot over the link of region {}: it takes {slots} slot{}.",
        number(candidate.download_bytes / 1e6),
        number(max / 1e6),
        region.name,
        if slots == 1 { "" } else { "s" }
    ))
}

fn outcome(looked: &Looked, candidate: &PlanDevice, seen: &Outlook) -> String {
    let input = &looked.dry.input;
    if let WaitingOn::Planned { start } = seen.on {
        let slot = start.since(input.start).steps_down(input.slot);
        let row = input.devices.iter().position(|d| d.index == candidate.index);
        let window = row.and_then(|row| input.load_scores.get(row * input.slots + slot)).copied().unwrap_or(100.0);
        let max = input
            .limits
            .device_load_max
            .map_or_else(|| "any is allowed".to_owned(), |max| format!("up to {} is calm", number(max)));
        let local = looked.engine.policy().region(&input.regions[candidate.region.index()].name).zone;
        let local = local.and_then(|zone| Some(format!(", {} in {}", zone.clock_text(start)?, zone.name())));
        return format!(
            "  It goes at {start}{}: its window has load score {}, where {max}.",
            local.unwrap_or_default(),
            number(f64::from(window))
        );
    }
    let earliest = seen.earliest.map_or_else(String::new, |at| format!(" That may change from {at} on."));
    format!(
        "  It waits ({}): {}.{earliest} Expected start: {}.",
        seen.on.name(),
        reason(&seen.on),
        expected_text(seen.expected)
    )
}

/// A reason in words, with its numbers.
fn reason(on: &WaitingOn) -> String {
    let mega = |bytes: f64| number(bytes / 1e6);
    match on {
        WaitingOn::Planned { start } => format!("it goes at {start}"),
        WaitingOn::NotCompatible { version, required } => {
            format!("it runs {version} and the package asks for `{required}`")
        }
        WaitingOn::CapacityFilter { capacity } => {
            format!("its capacity score of {} does not meet the target now", number(*capacity))
        }
        WaitingOn::NotRequested => "it has not asked".to_owned(),
        WaitingOn::NoTelemetry => "it has never reported".to_owned(),
        WaitingOn::StaleTelemetry { age, max } => format!("its newest telemetry is {age} old, {max} is allowed"),
        WaitingOn::WaveNotOpen { wave, open } => {
            format!("its wave is number {}, and number {} is open", u32::from(wave.0) + 1, u32::from(open.0) + 1)
        }
        WaitingOn::NotItsTurn { turn } => format!("its wave goes one after the other, and its turn comes at {turn}"),
        WaitingOn::RateLimit { per_slot } => format!("the rate allows {per_slot} more in the first slot"),
        WaitingOn::OversizeRequirement { requirement, max } => {
            format!("it alone needs {} points, a batch may hold {}", number(*requirement), number(*max))
        }
        WaitingOn::OversizeCapacity { capacity, max } => {
            format!("its lowest capacity score is {}, a batch may hold {}", number(*capacity), number(*max))
        }
        WaitingOn::BatchesFull => "every open batch of the horizon is full".to_owned(),
        WaitingOn::PoolCapacity { weight, spare } => {
            format!("its weight is {}, and its pool can spare {} at best", number(*weight), number(*spare))
        }
        WaitingOn::PoolOutMax { max } => format!("{max} of its pool may be out, and are whenever it could go"),
        WaitingOn::RegionOutMax { max } => format!("{max} of its region may be out, and are whenever it could go"),
        WaitingOn::LinkBusy { download_bytes, per_slot_bytes, spare_bytes } => format!(
            "it downloads {} MB over a link that carries {} MB a slot and has {} MB free at best",
            mega(*download_bytes),
            mega(*per_slot_bytes),
            mega(*spare_bytes)
        ),
        WaitingOn::WindowClosed { need } => format!("no open window of the horizon is {need} long"),
        WaitingOn::DeviceLoad { score, max } => {
            format!(
                "its calm windows are taken; its lowest load score is {}, {} is allowed",
                number(*score),
                number(*max)
            )
        }
        WaitingOn::RetryPause { attempts } => format!("it has failed {attempts} times and pauses"),
        WaitingOn::OtherRollout { rollout } => format!("rollout {rollout} has it out"),
        WaitingOn::RolloutPaused => "the rollout is paused".to_owned(),
        WaitingOn::NextPlan => "the next plan will say".to_owned(),
    }
}
