//! Is a moment inside the policy's windows? Reckoned anew from what the policy's file says, day by day on the wall clock; shares no code with
//! the engine's calendar, whose word is judged by it.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use slacktide_engine::policy::Policy;
use slacktide_engine::time::Instant;
use slacktide_engine::window::{Blackout, WeeklyWindow};
use std::collections::BTreeMap;

/// Windows and blackouts of a policy.
#[derive(Debug)]
pub(crate) struct Hours {
    windows: Vec<Week>,
    blackouts: Vec<Week>,
    /// Spans that are closed once.
    once: Vec<(Instant, Instant)>,
    /// By region: its own zone.
    regions: BTreeMap<String, TimeZone>,
}

/// A span of every week.
#[derive(Debug)]
struct Week {
    /// Monday first.
    days: [bool; 7],
    /// Minutes from midnight of a day it begins on; an end beyond midnight is above 1440.
    from: i64,
    to: i64,
    /// `None`: that of the region.
    zone: Option<TimeZone>,
}

impl Week {
    fn read(window: &WeeklyWindow) -> Self {
        let minute = |text: &str| {
            let mut parts = text.split(':').map(|part| part.parse::<i64>().unwrap_or(0));
            parts.next().unwrap_or(0) * 60 + parts.next().unwrap_or(0)
        };
        let names = window.day_names();
        let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"].map(|day| names.iter().any(|name| name == day));
        let (from, to) = (minute(&window.from_text()), minute(&window.to_text()));
        let zone = (window.zone_name() != WeeklyWindow::LOCAL).then(|| zone(window.zone_name()));
        Self { days, from, to: if to <= from { to + 1440 } else { to }, zone }
    }

    fn holds(&self, at: Instant, region: &TimeZone) -> bool {
        let Ok(moment) = Timestamp::from_millisecond(at.as_millis()) else { return false };
        let local = self.zone.as_ref().unwrap_or(region).to_datetime(moment);
        let begun_on = |day: Date, days_ago: i64| {
            let weekday = day.weekday().to_monday_zero_offset() as usize;
            let minute = minute_of(local) + days_ago * 1440;
            self.days[weekday] && (self.from..self.to).contains(&minute)
        };
        begun_on(local.date(), 0) || local.date().yesterday().is_ok_and(|day| begun_on(day, 1))
    }
}

fn minute_of(local: DateTime) -> i64 {
    i64::from(local.hour()) * 60 + i64::from(local.minute())
}

/// A policy's zones are known by name: it would not be valid otherwise.
fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap_or(TimeZone::UTC)
}

impl Hours {
    pub(crate) fn new(policy: &Policy) -> Self {
        let mut hours = Self {
            windows: policy.calendar.windows.iter().map(Week::read).collect(),
            blackouts: Vec::new(),
            once: Vec::new(),
            regions: BTreeMap::new(),
        };
        for blackout in &policy.calendar.blackouts {
            match blackout {
                Blackout::Weekly(week) => hours.blackouts.push(Week::read(week)),
                Blackout::Once { from, to } => hours.once.push((*from, *to)),
            }
        }
        for (name, rules) in &policy.regions {
            if let Some(own) = &rules.zone {
                hours.regions.insert(name.clone(), zone(own.name()));
            }
        }
        hours
    }

    /// May a device of this region be told to go now?
    pub(crate) fn are_open(&self, region: &str, at: Instant) -> bool {
        let own = &self.regions.get(region).cloned().unwrap_or(TimeZone::UTC);
        let is_closed = self.once.iter().any(|(from, to)| (*from..*to).contains(&at))
            || self.blackouts.iter().any(|week| week.holds(at, own));
        !is_closed && (self.windows.is_empty() || self.windows.iter().any(|week| week.holds(at, own)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slacktide_engine::time::Span;

    /// Every quarter of an hour over weeks with both changes of the clocks, against the engine's calendar.
    #[test]
    fn both_calendars_say_the_same() {
        let text = "[[windows]]\ndays = [\"mon\", \"sat\"]\nfrom = \"22:15\"\nto = \"04:00\"\nzone = \"local\"\n\
                    [[windows]]\nfrom = \"12:00\"\nto = \"12:30\"\nzone = \"America/New_York\"\n\
                    [[windows]]\ndays = [\"sun\"]\nfrom = \"00:00\"\nto = \"24:00\"\n\
                    [[blackouts]]\nfrom = \"2024-03-31T01:00:00Z\"\nto = \"2024-03-31T09:00:00Z\"\n\
                    [[blackouts]]\nfrom = \"23:30\"\nto = \"23:45\"\nzone = \"local\"\n\
                    [regions.eu]\nzone = \"Europe/Berlin\"\n[regions.asia]\nzone = \"Asia/Kolkata\"\n";
        let policy = Policy::from_toml("p", text).unwrap();
        let hours = Hours::new(&policy);
        let mut open = 0;
        for region in ["eu", "asia", "elsewhere"] {
            let rules = policy.region(region);
            for start in [1_709_251_200, 1_729_728_000] {
                for n in 0..(96 * 35) {
                    let at = Instant::from_secs(start) + Span::from_secs(900 * n);
                    let says = hours.are_open(region, at);
                    assert_eq!(says, policy.calendar.is_open_at(rules.zone.as_ref(), at), "{region} {at}");
                    open += u32::from(says);
                }
            }
        }
        assert!(open > 1000 && open < 96 * 35 * 6 / 2, "{open}");
    }
}
