//! Models side by side: fits, online updates, forecasts of a fleet, training of the networks. One thread throughout.
#![allow(missing_docs, reason = "criterion's macros make public items without documentation")]
#![expect(clippy::print_stdout, reason = "bytes are no times: criterion has no column for them")]

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use slacktide_forecast::global::{Trained, TrainingSeries};
use slacktide_forecast::{Fitted, ModelKind, PanelConfig, PanelState, SeriesView, advance};
use std::hint::black_box;

const HOURS: usize = 168;
const DAY: usize = 24;

/// Hourly load of one device: a daily curve, an autoregressive part and white noise, each of a size of its own, as on recorded machines.
fn load(device: u64, hours: usize) -> Vec<f32> {
    let mut state = device.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    let (daily, wander) = (3.0 + 12.0 * (noise() + 1.0), 1.0 + 2.0 * (noise() + 1.0));
    let mut level = 0.0;
    (0..hours)
        .map(|t| {
            level = 0.8 * level + wander * noise();
            let hour = (t % DAY) as f32 / DAY as f32 * std::f32::consts::TAU;
            (35.0 - daily * hour.cos() + level + 2.0 * noise()).clamp(0.0, 100.0)
        })
        .collect()
}

fn fit(kind: ModelKind, values: &[f32]) -> Box<dyn Fitted> {
    let model = kind.model().expect("a model of one series");
    model.fit(SeriesView::new(values), &[DAY]).expect("a week of load can be fitted")
}

const OF_ONE_SERIES: [ModelKind; 10] = [
    ModelKind::Naive,
    ModelKind::SeasonalMean,
    ModelKind::Average,
    ModelKind::Ets,
    ModelKind::SeasonalEts,
    ModelKind::Theta,
    ModelKind::Mstl,
    ModelKind::ArimaFast,
    ModelKind::Arima,
    ModelKind::MstlArima,
];

/// Every fit meets another device's week.
fn fits(c: &mut Criterion) {
    let weeks: Vec<Vec<f32>> = (0..32).map(|d| load(d, HOURS)).collect();
    for kind in OF_ONE_SERIES {
        let mut next = weeks.iter().cycle();
        c.bench_function(&format!("fit of 168 hours/{kind}"), |b| {
            b.iter_batched(|| next.next().expect("a cycle"), |week| fit(kind, week), BatchSize::SmallInput);
        });
        let bytes: usize = weeks.iter().map(|w| fit(kind, w).bytes()).sum();
        println!("bytes held a fitted series/{kind}: {}", bytes / weeks.len());
    }
}

fn updates(c: &mut Criterion) {
    let week = load(3, HOURS);
    for kind in [ModelKind::ArimaFast, ModelKind::Arima, ModelKind::MstlArima, ModelKind::Theta, ModelKind::SeasonalEts]
    {
        let mut fitted = fit(kind, &week);
        let mut values = week.iter().cycle();
        c.bench_function(&format!("update by one sample/{kind}"), |b| b.iter(|| fitted.update(values.next().copied())));
    }
}

/// 1,000 fitted devices of 4 metrics each; a fleet of 10,000 costs ten times this.
fn fleet(c: &mut Criterion) {
    for kind in [ModelKind::ArimaFast, ModelKind::SeasonalEts] {
        let fleet: Vec<Box<dyn Fitted>> = (0..4000).map(|d| fit(kind, &load(d, HOURS))).collect();
        c.bench_function(&format!("24 h of 1,000 fitted devices × 4 metrics/{kind}"), |b| {
            b.iter(|| fleet.iter().for_each(|f| drop(black_box(f.forecast(DAY)))));
        });
    }
}

/// As many series and hours as a recorded set of 29 machines over 14 days.
fn global(c: &mut Criterion) {
    let fleet: Vec<Vec<f32>> = (0..29).map(|d| load(d, 336)).collect();
    let series: Vec<TrainingSeries<'_>> = fleet.iter().map(|values| TrainingSeries { values, first_step: 0 }).collect();
    for kind in [ModelKind::Ridge, ModelKind::Lstm] {
        let train = || Trained::train(kind, None, &series, &[DAY], DAY, 1).expect("enough to learn from");
        c.bench_function(&format!("training on 29 devices × 336 hours/{kind}"), |b| b.iter(train));
        let trained = train();
        c.bench_function(&format!("24 h of 1,000 devices, trained before/{kind}"), |b| {
            b.iter(|| {
                for device in 0..1000 {
                    let known = SeriesView::new(&fleet[device % 29][..HOURS]);
                    drop(black_box(trained.forecast(known, 0, &[DAY], DAY)));
                }
            });
        });
    }
}

/// What a rollout does each hour for a device: score the models, choose, forecast, bound. Slots of 15 minutes, a week of history.
fn panel(c: &mut Criterion) {
    let history: Vec<Vec<f32>> = (0..4).map(|d| load(d, 700)).collect();
    let config = PanelConfig::default();
    let view = |known: usize| history.iter().map(|h| SeriesView::new(&h[known - 672..known])).collect::<Vec<_>>();
    let (state, _) = advance(&config, &PanelState::default(), &view(680), 8);
    c.bench_function("hourly round of a device, 4 metrics, models that cost nothing", |b| {
        b.iter(|| advance(black_box(&config), &state, &view(684), 12));
    });
}

criterion_group! { name = benches; config = slacktide_benches::criterion(); targets = fits, updates, fleet, global, panel }
criterion_main!(benches);
