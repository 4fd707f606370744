//! What goes wrong around devices: outages, partitions, bad telemetry, wrong clocks, restarts, overload. Everything is off unless a scenario
//! names it.

use crate::scenario::Duration;
use slacktide_engine::ids::DeviceId;
use slacktide_engine::time::{Instant, Span};
use std::path::PathBuf;

/// What fails together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// A site.
    Site,
    /// A region with all its sites.
    Region,
}

/// When a spell begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Onset {
    /// Again and again: mean time from the end of one to the next, exponential, each site or region by itself.
    Every(Span),
    /// Once, this long after the first rollout is announced.
    After(Span),
}

/// Times at which something is wrong with a whole site or region.
#[derive(Debug, Clone, PartialEq)]
pub struct Spell {
    /// What fails together.
    pub scope: Scope,
    /// Only these sites or regions; empty means each of them.
    pub only: Vec<String>,
    /// When it begins.
    pub onset: Onset,
    /// How long it lasts.
    pub lasts: Duration,
}

/// What becomes of telemetry of devices that are cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutTelemetry {
    /// Nobody keeps it.
    Lost,
    /// Devices keep it and send it when the partition heals.
    Held,
}

/// Sites or regions that cannot talk to the controller. Their devices go on serving and finish what they began; commands do not arrive, and
/// what they have to say waits.
#[derive(Debug, Clone, PartialEq)]
pub struct Partition {
    /// Who, when, how long.
    pub spell: Spell,
    /// What becomes of telemetry.
    pub telemetry: CutTelemetry,
}

/// Telemetry on a bad network; percentages are of samples, one sample being what one device says of one tick.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TelemetryFaults {
    /// Never arrive.
    pub lost_percent: f64,
    /// Arrive late.
    pub late_percent: f64,
    /// How late, rounded up to ticks.
    pub late_by: Duration,
    /// Arrive once more, a tick later.
    pub duplicated_percent: f64,
    /// Arrive after the sample of the next tick.
    pub reordered_percent: f64,
}

/// Devices whose clock is wrong: what they report as now is what was some time ago.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClockSkew {
    /// Devices with a wrong clock, percent.
    pub skewed_percent: f64,
    /// How far it is off, rounded to ticks.
    pub off_by: Duration,
}

/// Agents that restart while they install.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AgentRestarts {
    /// Installs during which the agent restarts once, percent.
    pub percent: f64,
    /// Time until it is back.
    pub restart: Duration,
    /// Share of those that go on where they were.
    pub resumes: f64,
    /// Share of those that begin the step they were in anew.
    pub anew: f64,
    /// Share of those that restart the device on what it ran before, and report failure.
    pub gives_up: f64,
}

/// A controller that dies and is rebuilt from its journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControllerCrash {
    /// This long after the first rollout is announced.
    pub after: Span,
    /// Until it is back.
    pub down_for: Span,
}

/// What too much work does to a device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Overload {
    /// From this load on, percent.
    pub from_percent: f64,
    /// Crashes an hour at 100 % load; in between the rate grows in a straight line.
    pub crashes_per_hour: f64,
    /// Time to be back.
    pub repair: Duration,
    /// Share of its work that a device at 100 % load loses, percent; in between it grows in a straight line.
    pub lost_work_percent: f64,
}

/// Recorded down-times of devices.
#[derive(Debug, Clone, PartialEq)]
pub struct DownTimes {
    /// The file.
    pub file: PathBuf,
    /// Its rows.
    pub rows: Vec<DownTime>,
}

/// A device was down.
#[derive(Debug, Clone, PartialEq)]
pub struct DownTime {
    /// Line in the file.
    pub line: u64,
    /// Who.
    pub device: DeviceId,
    /// From then…
    pub from: Instant,
    /// …until then.
    pub to: Instant,
}

/// The link over which all devices of a region download.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// The region.
    pub region: String,
    /// Megabits a second, all traffic together.
    pub mbit_per_s: f64,
    /// Share that other traffic takes at its quietest, percent.
    pub background_percent: f64,
    /// Height of its daily curve over that, percent.
    pub background_daily_percent: f64,
    /// Hour of its peak, UTC.
    pub background_peak_hour: f64,
}

impl Link {
    /// Bytes a second that are left for downloads at `at`.
    pub fn bytes_per_s(&self, at: Instant) -> f64 {
        let hour = (at.as_millis() as f64 / 3_600_000.0).rem_euclid(24.0);
        // A straight rise to the peak and a straight fall from it: no exact shape of other traffic is known.
        let distance = (hour - self.background_peak_hour).abs();
        let curve = 1.0 - distance.min(24.0 - distance) / 12.0;
        let taken = (self.background_percent + self.background_daily_percent * curve).min(100.0);
        self.mbit_per_s * 125_000.0 * (1.0 - taken / 100.0)
    }

    /// Does what is left change with the hour?
    pub fn is_moving(&self) -> bool {
        self.background_daily_percent > 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_traffic_leaves_less_at_its_peak() {
        let link = Link {
            region: "eu".to_owned(),
            mbit_per_s: 100.0,
            background_percent: 20.0,
            background_daily_percent: 40.0,
            background_peak_hour: 22.0,
        };
        let at = |hour: i64| link.bytes_per_s(Instant::from_secs(hour * 3600));
        // 100 Mbit/s are 12.5 MB/s; 60 % of it is taken at the peak, 40 % six hours off it, on both sides of midnight.
        let near = |a: f64, b: f64| (a - b).abs() < 1e-3;
        assert!(near(at(22), 5e6) && near(at(16), 7.5e6) && near(at(28), 7.5e6) && near(at(10), 10e6));
    }
}
