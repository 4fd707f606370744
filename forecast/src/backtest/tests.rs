//! What a backtest promises: it never looks ahead, its order of work does not matter, its intervals hold, its choice is sound.

use super::*;
use proptest::prelude::*;

const DAY: usize = 12;

/// Uniform in [−1, 1), from a simple generator.
fn noise(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(7919).wrapping_add(1);
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    }
}

fn wave(t: usize) -> f32 {
    libm::sinf(t as f32 / DAY as f32 * std::f32::consts::TAU)
}

/// Daily series, each with its own height, size of the day and noise.
fn daily(count: usize, steps: usize, width: impl Fn(usize) -> f32) -> Vec<Entry> {
    let series = |k: usize| {
        let mut noise = noise(k as u64 + 1);
        let value = |t: usize| 40.0 + k as f32 + (4 + k) as f32 * wave(t + k) + width(t) * (noise() + noise());
        let values: Vec<f32> = (0..steps).map(value).collect();
        Entry::trimmed(format!("d{k}"), "cpu".to_owned(), &values).unwrap()
    };
    (0..count).map(series).collect()
}

fn protocol(models: &[ModelKind], origins: usize) -> Protocol {
    Protocol {
        models: models.to_vec(),
        seasons: vec![DAY],
        horizon: 6,
        context: Some(7 * DAY),
        stride: 3,
        origins: Some(origins),
        seed: 3,
    }
}

/// Runs all rounds; `backwards` fits the origins of each in the opposite order, as another number of threads might.
fn run(protocol: Protocol, entries: Vec<Entry>, backwards: bool) -> Finished {
    let mut backtest = Backtest::new(protocol, entries);
    let clock = || 0.0;
    for round in 0..backtest.rounds().len() {
        backtest.begin(round, &clock);
        let origins = backtest.rounds()[round].clone();
        let fits: Vec<Fits> = if backwards {
            let mut fits: Vec<Fits> = origins.iter().rev().map(|o| backtest.fit(*o, &clock)).collect();
            fits.reverse();
            fits
        } else {
            origins.iter().map(|o| backtest.fit(*o, &clock)).collect()
        };
        backtest.absorb(round, fits);
    }
    backtest.finish()
}

/// Every model and `selected`, global ones and intervals included: a spike planted at a step moves no forecast made from an origin at or
/// before it, of that series or any other, and does move later ones.
#[test]
fn a_spike_after_the_origin_moves_nothing_before_it() {
    let honest = daily(5, 14 * DAY, |_| 1.0);
    let spiked_at = 13 * DAY;
    let mut changed = honest.clone();
    changed[2].values[spiked_at] = 5000.0;
    let finished = run(protocol(&ModelKind::ALL, 8), honest, false);
    let after = run(protocol(&ModelKind::ALL, 8), changed, false);
    assert_eq!(finished.lines.len(), after.lines.len());
    let (mut before, mut moved) = (0, vec![false; finished.contestants.len()]);
    for (a, b) in finished.lines.iter().zip(&after.lines) {
        if a.origin.known <= spiked_at {
            before += 1;
            assert_eq!(a, b, "{} saw what was to come", finished.contestants[a.contestant].name());
        } else if a.origin.entry == 2 {
            moved[a.contestant] |= a.points != b.points || a.bounds != b.bounds;
        }
    }
    assert!(before > 5 * 4 * ModelKind::ALL.len(), "{before}");
    assert!(moved.iter().all(|m| *m), "a later forecast knows of the spike: {moved:?}");
    let trained = |f: &Finished| f.notes.is_empty();
    assert!(trained(&finished) || finished.notes.iter().all(|n| !n.contains("needed")), "{:?}", finished.notes);
}

#[test]
fn the_order_of_the_fits_does_not_matter() {
    let models = [
        ModelKind::Average,
        ModelKind::Theta,
        ModelKind::ArimaFast,
        ModelKind::Ridge,
        ModelKind::Lstm,
        ModelKind::WeightedMean,
    ];
    let one = run(protocol(&models, 4), daily(4, 12 * DAY, |_| 1.0), false);
    let other = run(protocol(&models, 4), daily(4, 12 * DAY, |_| 1.0), true);
    assert_eq!(one.lines, other.lines);
}

/// The noise trebles half-way: intervals must find their width again.
#[test]
fn intervals_cover_what_they_say_and_follow_a_change_of_the_noise() {
    let change = 40 * DAY;
    let models = [ModelKind::SeasonalMean, ModelKind::Average];
    let entries = daily(12, 80 * DAY, |t| if t < change { 1.0 } else { 3.0 });
    let finished = run(Protocol { origins: None, ..protocol(&models, 1) }, entries, false);
    let covered = |from: usize, to: usize, level: usize| {
        let (mut inside, mut all) = (0.0, 0.0);
        for line in finished.lines.iter().filter(|l| (from..to).contains(&l.origin.known)) {
            let actual = finished.entries[line.origin.entry].actual(line.origin.known, 6);
            let (low, high) = &line.bounds[level];
            inside += actual.iter().zip(low.iter().zip(high)).filter(|(a, (l, h))| *l <= *a && *a <= *h).count() as f64;
            all += actual.len() as f64;
        }
        inside / all
    };
    for (from, to) in [(10 * DAY, change - 6), (change + 10 * DAY, 80 * DAY)] {
        assert!((covered(from, to, 0) - 0.80).abs() < 0.03, "{}", covered(from, to, 0));
        assert!((covered(from, to, 1) - 0.95).abs() < 0.02, "{}", covered(from, to, 1));
    }
    // The change itself is a surprise to anybody: the test above could fail.
    assert!(covered(change, change + 4, 1) < 0.85, "{}", covered(change, change + 4, 1));
}

/// A walk is best held at its last value: neither what costs more nor what looks back further may be chosen over it.
#[test]
fn a_trivial_model_is_chosen_where_nothing_beats_it() {
    let walk = |k: u64| {
        let mut noise = noise(k + 50);
        let mut level = 100.0;
        let values: Vec<f32> = (0..30 * DAY)
            .map(|_| {
                level += noise();
                level
            })
            .collect();
        Entry::trimmed(format!("w{k}"), "cpu".to_owned(), &values).unwrap()
    };
    let models =
        [ModelKind::Naive, ModelKind::SeasonalMean, ModelKind::Average, ModelKind::ArimaFast, ModelKind::Theta];
    let finished = run(protocol(&models, 20), (0..6).map(walk).collect(), false);
    let chosen: Vec<ModelKind> = finished.lines.iter().filter_map(|l| l.chosen).collect();
    let naive = chosen.iter().filter(|m| **m == ModelKind::Naive).count();
    assert!(naive * 2 > chosen.len(), "{naive} of {}", chosen.len());
}

#[test]
fn series_that_cannot_be_forecast_are_left_out_or_said_to_fall_back() {
    let constant = Entry::trimmed("c".to_owned(), "cpu".to_owned(), &[7.0; 12 * DAY]).unwrap();
    let short = Entry::trimmed("s".to_owned(), "cpu".to_owned(), &[1.0, 2.0, 3.0]).unwrap();
    let finished = run(protocol(&ModelKind::ALL, 3), vec![constant, short], false);
    assert!(finished.lines.iter().all(|l| l.origin.entry == 0), "the short one has no origin");
    for line in &finished.lines {
        assert!(line.points.iter().all(|p| (p - 7.0).abs() < 1e-3), "{:?}", finished.contestants[line.contestant]);
    }
    assert!(finished.lines.iter().any(|l| l.fell_back) && !finished.notes.is_empty(), "{:?}", finished.notes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the series: numbers are numbers, bounds hold their point, and the wider interval holds the narrower.
    #[test]
    fn every_line_is_sound(
        values in proptest::collection::vec(prop_oneof![6 => -1e6f32..1e6, 3 => Just(0.0f32), 2 => Just(f32::NAN)], 60..140),
        flat in 0usize..60,
    ) {
        let mut values = values;
        values[..flat].fill(5.0);
        let Some(entry) = Entry::trimmed("a".to_owned(), "cpu".to_owned(), &values) else { return Ok(()) };
        let models: Vec<ModelKind> = ModelKind::ALL.into_iter().filter(|m| *m != ModelKind::Lstm).collect();
        let finished = run(Protocol { context: None, ..protocol(&models, 3) }, vec![entry], false);
        for line in &finished.lines {
            let [(low80, high80), (low95, high95)] = &line.bounds;
            for h in 0..line.points.len() {
                let all = [low95[h], low80[h], line.points[h], high80[h], high95[h]];
                prop_assert!(all.iter().all(|v| v.is_finite()) && all.is_sorted(), "{:?} {all:?}", finished.contestants[line.contestant]);
            }
        }
    }
}
