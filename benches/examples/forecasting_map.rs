//! Where forecasting pays: overload that a rollout causes under `predictive` and under `reactive`, at the same makespan.
//!
//! A cell is an installation time × the height of the daily cycle × the daily peak of the pools' demand (percent of their capacity). Its worlds
//! are pools of 20 devices; the hour of the peak goes round the clock from seed to seed. All arms of a cell run the same seeds, in one wave,
//! without the bad-release test (`reactive` has none), and know the installation time alike.
//!
//! *Equal makespan*: `reactive` runs at several load limits, from careful (60 %) to greedy (90 %). Their mean makespans and mean overloads make
//! its front: for a given makespan, the straight line between the two neighbours, after dropping limits that are both slower and
//! worse than another. Where `predictive` is slower than the slowest of them, or faster than the fastest, that end counts. The difference is
//! `predictive` − front at the mean makespan of `predictive`; its 95 % interval is from 2000 bootstrap samples of the seeds, the same seeds for all
//! arms. Rollouts that are not done after four days count with four days; where that is so for any seed of `predictive`, the cell says so.
//!
//! Two predictive arms are held against `reactive` as shipped (load limit 90 %, whatever its makespan) and against that front: as shipped, and without the device rule (`plan.device_load_max = "off"`), which by its nature
//! holds `reactive` back from nothing: to it, every window looks alike, so each is the calmest there is.
//!
//! `cargo run --release -p slacktide-benches --example forecasting_map [seeds [devices]] [--quick] [--svg FILE]`
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example says what it measured")]

use rayon::prelude::*;
use slacktide_scenarios::Scenario;
use slacktide_sim::{Setup, run};

const LIMITS: [f64; 6] = [60.0, 70.0, 75.0, 80.0, 85.0, 90.0];
const PREDICTIVE: [(&str, &str); 2] = [("as shipped", ""), ("no device rule", "device_load_max = \"off\"")];
const SAMPLES: usize = 2000;
const HOURS_MAX: f64 = 96.0;

/// Minutes of installation, points of daily amplitude, percent of capacity at the peak.
#[derive(Clone, Copy)]
struct Cell {
    install: u64,
    amplitude: f64,
    peak: f64,
}

/// One run: hours, and device-minutes of overload caused.
#[derive(Clone, Copy)]
struct Cost {
    hours: f64,
    overload: f64,
}

/// A difference in overload and its 95 % interval.
#[derive(Clone, Copy)]
struct Difference {
    mean: f64,
    interval: [f64; 2],
}

/// A predictive arm in one cell, against `reactive` as shipped and against its front.
struct Found {
    own: Cost,
    shipped: Cost,
    to_shipped: Difference,
    to_front: Difference,
    unfinished: bool,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize| args.get(i).and_then(|n| n.parse::<u64>().ok());
    let quick = args.iter().any(|a| a == "--quick");
    let (seeds, devices) = (number(0).unwrap_or(if quick { 4 } else { 8 }), number(1).unwrap_or(80));
    let installs: &[u64] = if quick { &[15, 180] } else { &[5, 15, 60, 180] };
    let amplitudes: &[f64] = if quick { &[0.0, 50.0] } else { &[0.0, 15.0, 30.0, 50.0] };
    let peaks: &[f64] = if quick { &[80.0] } else { &[70.0, 80.0, 90.0] };
    println!(
        "{seeds} seeds of {devices} devices; hours of makespan (*: not all done), device-minutes of overload caused"
    );
    println!(
        "| install | cycle | peak | predictive | hours | overload | reactive hours | overload | difference | difference to the front |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let mut all = Vec::new();
    for install in installs {
        for amplitude in amplitudes {
            for peak in peaks {
                let cell = Cell { install: *install, amplitude: *amplitude, peak: *peak };
                let found = study(cell, seeds, devices);
                print_cell(cell, &found);
                all.push((cell, found));
            }
        }
    }
    for (arm, (name, _)) in PREDICTIVE.iter().enumerate() {
        let count = |holds: &dyn Fn(&Found) -> bool| all.iter().filter(|(_, found)| holds(&found[arm])).count();
        let less = count(&|f| !f.unfinished && f.to_shipped.interval[1] < 0.0);
        let more = count(&|f| !f.unfinished && f.to_shipped.interval[0] > 0.0);
        let front = count(&|f| !f.unfinished && f.to_front.interval[1] < 0.0);
        let front_more = count(&|f| !f.unfinished && f.to_front.interval[0] > 0.0);
        let unfinished = count(&|f| f.unfinished);
        println!(
            "{name}: of {} cells, against reactive as shipped less overload in {less}, more in {more}; against its front less in {front}, \
             more in {front_more}; not done in four days in {unfinished}",
            all.len()
        );
    }
    if let Some(file) = args.iter().position(|a| a == "--svg").and_then(|i| args.get(i + 1)) {
        std::fs::write(file, svg(&all, amplitudes.len(), peaks.len())).unwrap_or_else(|e| panic!("{file}: {e}"));
    }
}

fn setup(policy: &str, overrides: &str, cell: Cell, peak_hour: f64, devices: u64) -> Setup {
    let Cell { install, amplitude, peak } = cell;
    let base = peak - amplitude;
    // Drain, restart and checks are six minutes; nineteen of twenty installs take no longer than 1.6 times the median.
    let out = install + 6;
    let (expected, timeout) = (out * 8 / 5, 120 + 4 * out);
    let text = format!(
        "devices = {devices}\nhistory = \"7d\"\nuntil_max = \"5d\"\npolicy = \"{policy}\"\n[[pools]]\nname = \"p\"\npool_size = 20\n\
         load = {{ base_percent = {base}, daily_amplitude_percent = {amplitude}, daily_peak_hour = {peak_hour}, weekend_factor = 1.0 }}\n\
         [updates]\ninstall = {{ median = \"{install}m\", sigma = 0.3 }}\n\
         [[policy_overrides.waves]]\nshare_percent = 100\nsoak = \"0s\"\n\
         [policy_overrides.attempts]\ntimeout = \"{timeout}m\"\nrollout_timeout = \"4d\"\n\
         [policy_overrides.monitor]\nfalse_alarm_rate = \"off\"\n\
         [policy_overrides.plan]\nduration_expected = \"{expected}m\"\n{overrides}\n"
    );
    let scenario = Scenario::from_toml("map", &text).unwrap_or_else(|e| panic!("{e}"));
    let policy = scenario.policy().unwrap_or_else(|e| panic!("{e}"));
    Setup::new(scenario, policy)
}

fn study(cell: Cell, seeds: u64, devices: u64) -> Vec<Found> {
    let mut arms: Vec<(&str, String)> = PREDICTIVE.iter().map(|(_, text)| ("predictive", (*text).to_owned())).collect();
    arms.extend(LIMITS.iter().map(|limit| ("reactive", format!("load_limit_percent = {limit}"))));
    let jobs: Vec<(usize, u64)> = (0..arms.len()).flat_map(|arm| (0..seeds).map(move |seed| (arm, seed))).collect();
    let one = |(arm, seed): &(usize, u64)| {
        let hour = 24.0 * (*seed as f64 + 0.5) / seeds as f64;
        let (policy, overrides) = &arms[*arm];
        let result = run(&setup(policy, overrides, cell, hour, devices), 1000 + seed, &|_| {});
        assert!(result.violations.is_empty(), "{policy}, seed {seed}: {:?}", result.violations);
        Cost {
            hours: (result.measures["makespan_s"] / 3600.0).min(HOURS_MAX),
            overload: result.measures["overload_caused_device_minutes"],
        }
    };
    let costs: Vec<Cost> = jobs.par_iter().map(one).collect();
    let by_arm: Vec<&[Cost]> = costs.chunks(seeds as usize).collect();
    let own: Vec<usize> = (0..seeds as usize).collect();
    let shipped = by_arm[by_arm.len() - 1];
    let of = |arm: usize| {
        let to_shipped = |sample: &[usize]| mean(by_arm[arm], sample).overload - mean(shipped, sample).overload;
        let to_front = |sample: &[usize]| mean(by_arm[arm], sample).overload - front_beside(&by_arm, arm, sample);
        Found {
            own: mean(by_arm[arm], &own),
            shipped: mean(shipped, &own),
            to_shipped: bootstrap(&own, &to_shipped),
            to_front: bootstrap(&own, &to_front),
            unfinished: by_arm[arm].iter().any(|cost| cost.hours >= HOURS_MAX),
        }
    };
    (0..PREDICTIVE.len()).map(of).collect()
}

fn mean(costs: &[Cost], sample: &[usize]) -> Cost {
    let n = sample.len() as f64;
    let sum = |of: &dyn Fn(&Cost) -> f64| sample.iter().map(|seed| of(&costs[*seed])).sum::<f64>() / n;
    Cost { hours: sum(&|c| c.hours), overload: sum(&|c| c.overload) }
}

/// A figure of all seeds, with an interval by bootstrap of the seeds.
fn bootstrap(own: &[usize], figure: &dyn Fn(&[usize]) -> f64) -> Difference {
    let mut draws = Draws(17);
    let sample = |draws: &mut Draws| own.iter().map(|_| draws.below(own.len())).collect::<Vec<usize>>();
    let mut sampled: Vec<f64> = (0..SAMPLES).map(|_| figure(&sample(&mut draws))).collect();
    sampled.sort_by(f64::total_cmp);
    Difference { mean: figure(own), interval: [sampled[SAMPLES / 40], sampled[SAMPLES - 1 - SAMPLES / 40]] }
}

/// Overload of the reactive front at the makespan of a predictive arm.
fn front_beside(arms: &[&[Cost]], arm: usize, sample: &[usize]) -> f64 {
    let own = mean(arms[arm], sample);
    let mut points: Vec<Cost> = arms[PREDICTIVE.len()..].iter().map(|costs| mean(costs, sample)).collect();
    points.sort_by(|a, b| a.hours.total_cmp(&b.hours).then(a.overload.total_cmp(&b.overload)));
    let mut front: Vec<Cost> = Vec::new();
    for point in points {
        if front.last().is_none_or(|last| point.overload < last.overload) {
            front.push(point);
        }
    }
    at_makespan(&front, own.hours)
}

/// `front`: by makespan, the least first; overload falls along it.
fn at_makespan(front: &[Cost], hours: f64) -> f64 {
    let after = front.iter().position(|point| point.hours >= hours);
    match after {
        None => front.last().map_or(0.0, |last| last.overload),
        Some(0) => front[0].overload,
        Some(i) => {
            let (a, b) = (front[i - 1], front[i]);
            a.overload + (b.overload - a.overload) * (hours - a.hours) / (b.hours - a.hours)
        }
    }
}

fn print_cell(cell: Cell, found: &[Found]) {
    let said = |d: Difference| format!("{:.0} [{:.0}, {:.0}]", d.mean, d.interval[0], d.interval[1]);
    for ((name, _), f) in PREDICTIVE.iter().zip(found) {
        println!(
            "| {} min | {} | {} % | {name} | {:.1}{} | {:.0} | {:.1} | {:.0} | {} | {} |",
            cell.install,
            cell.amplitude,
            cell.peak,
            f.own.hours,
            if f.unfinished { "*" } else { "" },
            f.own.overload,
            f.shipped.hours,
            f.shipped.overload,
            said(f.to_shipped),
            said(f.to_front)
        );
    }
}

/// Even draws (SplitMix64), so that the intervals are the same in every run.
struct Draws(u64);

impl Draws {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

/// `predictive` as shipped: a square a cell, rows by installation time and peak, columns by amplitude; against `reactive` as shipped on
/// the left, against its front on the right.
fn svg(all: &[(Cell, Vec<Found>)], columns: usize, peaks: usize) -> String {
    const WIDTH: usize = 118;
    const HEIGHT: usize = 30;
    let rows = all.len() / columns;
    type Side = fn(&Found) -> Difference;
    let panels: [(&str, Side); 2] =
        [("against reactive as shipped", |f| f.to_shipped), ("against a reactive tuned in hindsight", |f| f.to_front)];
    let mut body = String::new();
    for (panel, (title, of)) in panels.into_iter().enumerate() {
        let left = 170 + panel * (columns * WIDTH + 24);
        body += &format!("<text x=\"{left}\" y=\"18\" font-weight=\"bold\">{title}</text>\n");
        for (i, (cell, found)) in all.iter().enumerate() {
            let (column, row) = (i / peaks % columns, i / (peaks * columns) * peaks + i % peaks);
            let (x, y) = (left + column * WIDTH, 48 + row * HEIGHT);
            let (fill, word) = square(&found[0], of(&found[0]));
            body += &format!(
                "<rect x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"{fill}\" stroke=\"#fff\"/>\
                 <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{word}</text>\n",
                x + WIDTH / 2,
                y + 20
            );
            if column == 0 && panel == 0 {
                body += &format!("<text x=\"6\" y=\"{}\">{} min, peak {} %</text>\n", y + 20, cell.install, cell.peak);
            }
            if row == 0 {
                let amplitude = cell.amplitude;
                body += &format!(
                    "<text x=\"{}\" y=\"40\" text-anchor=\"middle\">cycle {amplitude}</text>\n",
                    x + WIDTH / 2
                );
            }
        }
    }
    let (width, height) = (178 + 2 * columns * WIDTH + 24, 56 + rows * HEIGHT);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" font-family=\"sans-serif\" font-size=\"12\">\
         <title>Overload caused: predictive less reactive, device-minutes</title>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n{body}</svg>\n"
    )
}

/// Colour and words of a cell.
fn square(found: &Found, difference: Difference) -> (&'static str, String) {
    let half = (difference.interval[1] - difference.interval[0]) / 2.0;
    match difference {
        _ if found.unfinished => ("#d9d9d9", "not done".to_owned()),
        d if d.interval[1] < 0.0 => ("#bfe3c5", format!("{:.0} ± {half:.0}", d.mean)),
        d if d.interval[0] > 0.0 => ("#f5c4bd", format!("+{:.0} ± {half:.0}", d.mean)),
        d if d.mean == 0.0 => ("#f6f3e4", "0".to_owned()),
        d => ("#f6f3e4", format!("{:.0}: noise", d.mean)),
    }
}
