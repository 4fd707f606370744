//! What agents cost when there is nothing to do. A measurement: run it by hand, on a machine that is otherwise quiet.

use super::device::Device;
use super::process::Agent;
use std::time::Duration;

const AGENTS: usize = 10;
const SECONDS: u64 = 20;

/// Ticks of processor time (100 a second) and resident kilobytes of a process: all, and what it shares with no file.
fn cost(pid: u32) -> (u64, u64, u64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = after_name[11].parse::<u64>().unwrap() + after_name[12].parse::<u64>().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let kilobytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    (ticks, kilobytes("VmRSS:"), kilobytes("RssAnon:"))
}

/// Each measures and reports every second, sixty times as often as it does when nobody says otherwise.
#[test]
#[ignore = "a measurement of 20 s that a busy machine spoils"]
fn ten_agents_at_rest() {
    let devices: Vec<Device> = (0..AGENTS).map(|_| Device::new(&[], "")).collect();
    let agents: Vec<Agent> = devices.iter().map(|device| Agent::measuring(&device.config())).collect();
    devices.iter().for_each(|d| d.controller.wait("reports", |seen| (seen.reports() > 1).then_some(())));
    let before: Vec<u64> = agents.iter().map(|agent| cost(agent.id()).0).collect();
    std::thread::sleep(Duration::from_secs(SECONDS));
    let mut worst = (0.0f64, 0, 0);
    for (agent, before) in agents.iter().zip(before) {
        let (ticks, resident, alone) = cost(agent.id());
        worst.0 = worst.0.max((ticks - before) as f64 / SECONDS as f64);
        worst = (worst.0, worst.1.max(resident), worst.2.max(alone));
    }
    let (percent, resident, alone) = worst;
    assert!(
        percent < 2.0 && alone < 15_000,
        "{percent} % of a processor, {resident} kB resident, {alone} kB of it its own"
    );
    std::fs::write(
        std::env::temp_dir().join("slacktide-agents-at-rest"),
        format!("{percent} % {resident} kB {alone} kB\n"),
    )
    .unwrap();
}
