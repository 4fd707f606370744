//! One criterion set-up for all benches, and the workloads they share.

use criterion::Criterion;
use slacktide_engine::policy::Policy;
use slacktide_scenarios::{Scenario, library};
use slacktide_sim::Setup;
use std::time::Duration;

/// Few samples and short times: the ratio between benches of one run matters, not the last digit.
pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .without_plots()
}

/// The `busy-evening` world with another number of devices, under its own policy.
///
/// # Panics
/// Never: the library is tested to be valid.
pub fn busy_evening(devices: usize) -> Setup {
    let mut scenario: Scenario = library::named("busy-evening").expect("the library is valid");
    scenario.devices = devices;
    let policy: Policy = scenario.policy().expect("the library is valid");
    Setup::new(scenario, policy)
}
