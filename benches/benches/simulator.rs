//! Whole rollouts in simulated time. The figures of `benches/README.md` come from `slacktide simulate`; this watches their growth.
#![allow(missing_docs, reason = "criterion's macros make public items without documentation")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use slacktide_benches::busy_evening;
use slacktide_sim::run;

fn rollouts(c: &mut Criterion) {
    for devices in [100, 1_000] {
        let setup = busy_evening(devices);
        let ticks = run(&setup, 1, &|_| {}).device_ticks;
        let mut group = c.benchmark_group("busy-evening, whole rollout");
        group.throughput(Throughput::Elements(ticks * 4));
        group.bench_function(format!("{devices} devices"), |b| b.iter(|| run(&setup, 1, &|_| {})));
        group.finish();
    }
}

criterion_group! { name = benches; config = slacktide_benches::criterion(); targets = rollouts }
criterion_main!(benches);
