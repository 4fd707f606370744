//! When devices may be out: weekly maintenance windows in their time zones, less blackouts.
//!
//! A window is what a clock on the wall says. On the night an hour is missing, what lies within it does not happen; on the night it comes
//! twice, it happens twice.

use crate::document::nearest;
use crate::time::{Instant, Span};
use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::{TimeZone, db};

/// How fine a range is looked at: weekly windows open and close with whole minutes.
const GRAIN: Span = Span::from_secs(60);
/// How far ahead an opening is looked for: a week has every weekly window, and a day for zones.
const LOOK_AHEAD: Span = Span::from_secs(8 * 86_400);

/// A time zone of the IANA database, the bundled one: the same on every machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    tz: TimeZone,
    name: String,
}

impl Zone {
    /// The zone of this name, such as `Europe/Berlin`.
    ///
    /// # Errors
    /// [`WindowError::Zone`] with the nearest name.
    pub fn named(name: &str) -> Result<Self, WindowError> {
        let database = db();
        let tz = database.get(name).map_err(|_| {
            let mut names: Vec<String> = database.available().map(|name| name.to_string()).collect();
            names.push(WeeklyWindow::LOCAL.to_owned());
            let hint = nearest(name, names.iter().map(String::as_str))
                .map(|n| format!("; did you mean {n}?"))
                .unwrap_or_default();
            WindowError::Zone { name: name.to_owned(), hint }
        })?;
        Ok(Self { tz, name: name.to_owned() })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its clocks show, such as `2024-03-04 01:15`; `None` for a moment no calendar has.
    pub fn clock_text(&self, at: Instant) -> Option<String> {
        let local = self.tz.to_datetime(Timestamp::from_millisecond(at.as_millis()).ok()?);
        let (date, time) = (local.date(), local.time());
        Some(format!("{date} {:02}:{:02}", time.hour(), time.minute()))
    }
}

/// A span of the week that comes again, in the time of its zone (so it shifts with daylight saving, as people do).
#[derive(Debug, Clone, PartialEq)]
pub struct WeeklyWindow {
    days: Vec<Weekday>,
    from_minute: u16,
    to_minute: u16,
    /// `None`: the zone of the region that is asked about.
    zone: Option<Zone>,
}

/// Reads the local time of moments that mostly follow one another: looks a zone's offset up only where it changes.
#[derive(Debug)]
struct Clock<'a> {
    tz: Option<&'a TimeZone>,
    offset_s: i64,
    from: Instant,
    until: Instant,
}

impl<'a> Clock<'a> {
    /// A clock of a zone; `None` is UTC.
    fn new(zone: Option<&'a Zone>) -> Self {
        let (from, until) = match zone {
            Some(_) => (Instant::from_millis(0), Instant::from_millis(0)),
            None => (Instant::from_millis(i64::MIN), Instant::from_millis(i64::MAX)),
        };
        Self { tz: zone.map(|zone| &zone.tz), offset_s: 0, from, until }
    }

    /// Day of the week (0 is Monday) and minute of the day; `None` for a moment no calendar has.
    fn read(&mut self, at: Instant) -> Option<(usize, u16)> {
        if let Some(tz) = self.tz.filter(|_| at < self.from || at >= self.until) {
            let timestamp = Timestamp::from_millisecond(at.as_millis()).ok()?;
            let next = tz.following(timestamp).next().map_or(i64::MAX, |change| change.timestamp().as_millisecond());
            self.offset_s = i64::from(tz.to_offset(timestamp).seconds());
            (self.from, self.until) = (at, Instant::from_millis(next));
        }
        let local_s = at.as_secs().saturating_add(self.offset_s);
        // The epoch was a Thursday.
        let day = (local_s.div_euclid(86_400) + 3).rem_euclid(7);
        Some((day as usize, (local_s.rem_euclid(86_400) / 60) as u16))
    }
}

/// What is wrong with a window, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// No such day.
    #[error("`{0}` is no day; write mon, tue, wed, thu, fri, sat or sun")]
    Day(String),
    /// No such time of day.
    #[error("`{0}` is no time of day; write HH:MM from 00:00 to 24:00")]
    Time(String),
    /// No such zone.
    #[error("`{name}` is no IANA time zone{hint}")]
    Zone {
        /// The name given.
        name: String,
        /// A nearer name, if there is one.
        hint: String,
    },
    /// No such moment.
    #[error("`{0}` is no moment; write RFC 3339 such as 2024-12-24T00:00:00Z")]
    Moment(String),
    /// Ends before it begins.
    #[error("it ends before it begins: the end must come after `from`")]
    Backwards,
}

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

fn minute_of_day(text: &str) -> Result<u16, WindowError> {
    let bad = || WindowError::Time(text.to_owned());
    let (hour, minute) = text.split_once(':').ok_or_else(bad)?;
    let number = |part: &str| {
        let two = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        part.parse::<u16>().ok().filter(|_| two).ok_or_else(bad)
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let total = hour * 60 + minute;
    if minute < 60 && total <= 24 * 60 { Ok(total) } else { Err(bad()) }
}

impl WeeklyWindow {
    /// The zone that stands for that of each device's region.
    pub const LOCAL: &'static str = "local";

    /// A window on `days` (empty: every day) from `from` to `to` (`HH:MM`; an end at or before the start lies on the next day) in the
    /// IANA zone `zone`, or in [`Self::LOCAL`] time.
    ///
    /// # Errors
    /// [`WindowError`] naming what is wrong.
    pub fn new(days: &[String], from: &str, to: &str, zone: &str) -> Result<Self, WindowError> {
        let day = |name: &String| {
            let found = DAYS.iter().find(|(short, _)| name.eq_ignore_ascii_case(short));
            found.map(|(_, day)| *day).ok_or_else(|| WindowError::Day(name.clone()))
        };
        let days = if days.is_empty() {
            DAYS.map(|(_, d)| d).to_vec()
        } else {
            days.iter().map(day).collect::<Result<_, _>>()?
        };
        let zone = if zone == Self::LOCAL { None } else { Some(Zone::named(zone)?) };
        let (from_minute, to_minute) = (minute_of_day(from)?, minute_of_day(to)?);
        Ok(Self { days, from_minute: from_minute % 1440, to_minute, zone })
    }

    /// Short names of its days.
    pub fn day_names(&self) -> Vec<String> {
        self.days
            .iter()
            .filter_map(|day| DAYS.iter().find(|(_, d)| d == day))
            .map(|(name, _)| (*name).to_owned())
            .collect()
    }

    /// Start as `HH:MM`.
    pub fn from_text(&self) -> String {
        format!("{:02}:{:02}", self.from_minute / 60, self.from_minute % 60)
    }

    /// End as `HH:MM`.
    pub fn to_text(&self) -> String {
        format!("{:02}:{:02}", self.to_minute / 60, self.to_minute % 60)
    }

    /// The IANA zone, or [`Self::LOCAL`].
    pub fn zone_name(&self) -> &str {
        self.zone.as_ref().map_or(Self::LOCAL, Zone::name)
    }

    /// Is the moment inside, for a region in this zone (`None` is UTC)?
    pub fn contains(&self, at: Instant, region: Option<&Zone>) -> bool {
        self.contains_by(&mut self.clock(region), at)
    }

    fn clock<'a>(&'a self, region: Option<&'a Zone>) -> Clock<'a> {
        Clock::new(if self.zone.is_some() { self.zone.as_ref() } else { region })
    }

    fn contains_by(&self, clock: &mut Clock<'_>, at: Instant) -> bool {
        let Some((today, minute)) = clock.read(at) else { return false };
        let on = |day: usize| self.days.contains(&DAYS[day % 7].1);
        let yesterday = today + 6;
        if self.from_minute < self.to_minute {
            on(today) && (self.from_minute..self.to_minute).contains(&minute)
        } else {
            (on(today) && minute >= self.from_minute) || (on(yesterday) && minute < self.to_minute)
        }
    }
}

/// A span in which nothing may be out.
#[derive(Debug, Clone, PartialEq)]
pub enum Blackout {
    /// Once.
    Once {
        /// First moment.
        from: Instant,
        /// First moment after.
        to: Instant,
    },
    /// Every week.
    Weekly(WeeklyWindow),
}

impl Blackout {
    /// A blackout between two RFC 3339 moments.
    ///
    /// # Errors
    /// [`WindowError`] for a moment that does not read, or an end before the start.
    pub fn once(from: &str, to: &str) -> Result<Self, WindowError> {
        let moment = |text: &str| {
            let read: Result<Timestamp, _> = text.parse();
            read.map(|t| Instant::from_millis(t.as_millisecond())).map_err(|_| WindowError::Moment(text.to_owned()))
        };
        let (from, to) = (moment(from)?, moment(to)?);
        if to <= from { Err(WindowError::Backwards) } else { Ok(Self::Once { from, to }) }
    }

    const fn weekly(&self) -> Option<&WeeklyWindow> {
        match self {
            Self::Once { .. } => None,
            Self::Weekly(window) => Some(window),
        }
    }

    /// Does a blackout that happens once touch the span from `begin` to just before `end`?
    fn touches_once(&self, begin: Instant, end: Instant) -> bool {
        matches!(self, Self::Once { from, to } if begin < *to && *from < end)
    }
}

/// Maintenance windows (none at all means always) less blackouts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Calendar {
    /// Open in any of these; always open when there is none.
    pub windows: Vec<WeeklyWindow>,
    /// Closed in all of these.
    pub blackouts: Vec<Blackout>,
}

impl Calendar {
    /// Does it say different things to different regions?
    pub fn is_local(&self) -> bool {
        self.windows.iter().chain(self.blackouts.iter().filter_map(Blackout::weekly)).any(|w| w.zone.is_none())
    }

    /// May devices be out at this moment, in a region of this zone (`None` is UTC)?
    pub fn is_open_at(&self, zone: Option<&Zone>, at: Instant) -> bool {
        Reader::new(self, zone).is_open_at(at)
    }

    /// May devices be out from `from` to just before `to`, in a region of this zone (`None` is UTC)?
    pub fn is_open(&self, zone: Option<&Zone>, from: Instant, to: Instant) -> bool {
        Reader::new(self, zone).is_open(from, to)
    }

    /// Which of `slots` slots from `start` are open from end to end, in a region of this zone (`None` is UTC).
    pub fn slots_open(&self, zone: Option<&Zone>, start: Instant, slot: Span, slots: usize) -> Vec<bool> {
        let mut reader = Reader::new(self, zone);
        (0..slots).map(|s| reader.is_open(start + slot.times(s), start + slot.times(s + 1))).collect()
    }

    /// The first moment at or after `from` (in steps of a minute) that is open in a region of this zone (`None` is UTC); `None` when none
    /// is within eight days.
    pub fn next_open(&self, zone: Option<&Zone>, from: Instant) -> Option<Instant> {
        let mut reader = Reader::new(self, zone);
        (0..=LOOK_AHEAD.steps_up(GRAIN)).map(|i| from + GRAIN.times(i)).find(|at| reader.is_open_at(*at))
    }
}

/// A calendar with a clock for each of its weekly parts.
struct Reader<'a> {
    windows: Vec<(&'a WeeklyWindow, Clock<'a>)>,
    closed: Vec<(&'a WeeklyWindow, Clock<'a>)>,
    once: Vec<&'a Blackout>,
}

impl<'a> Reader<'a> {
    fn new(calendar: &'a Calendar, zone: Option<&'a Zone>) -> Self {
        let with_clock = |w: &'a WeeklyWindow| (w, w.clock(zone));
        Self {
            windows: calendar.windows.iter().map(with_clock).collect(),
            closed: calendar.blackouts.iter().filter_map(Blackout::weekly).map(with_clock).collect(),
            once: calendar.blackouts.iter().filter(|b| b.weekly().is_none()).collect(),
        }
    }

    fn is_open_at(&mut self, at: Instant) -> bool {
        self.weekly_open_at(at) && !self.once.iter().any(|b| b.touches_once(at, at + Span::from_millis(1)))
    }

    fn weekly_open_at(&mut self, at: Instant) -> bool {
        let within = self.windows.is_empty() || self.windows.iter_mut().any(|(w, clock)| w.contains_by(clock, at));
        within && !self.closed.iter_mut().any(|(w, clock)| w.contains_by(clock, at))
    }

    fn is_open(&mut self, from: Instant, to: Instant) -> bool {
        if self.once.iter().any(|b| b.touches_once(from, to)) {
            return false;
        }
        if self.windows.is_empty() && self.closed.is_empty() {
            return true;
        }
        // Nothing weekly changes within a minute, so a look at each that the range touches is enough.
        let steps = to.since(from).steps_up(GRAIN).max(1);
        let last = to - Span::from_millis(1);
        (0..steps).all(|i| self.weekly_open_at(from + GRAIN.times(i))) && self.weekly_open_at(last.max(from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        let timestamp: Timestamp = text.parse().unwrap();
        Instant::from_millis(timestamp.as_millisecond())
    }

    fn window(days: &[&str], from: &str, to: &str, zone: &str) -> WeeklyWindow {
        WeeklyWindow::new(&days.iter().map(|d| (*d).to_owned()).collect::<Vec<_>>(), from, to, zone).unwrap()
    }

    #[test]
    fn a_window_may_cross_midnight_and_belongs_to_the_day_it_begins_on() {
        let w = window(&["fri"], "22:00", "02:00", "UTC");
        assert!(w.contains(at("2024-03-08T23:00:00Z"), None) && w.contains(at("2024-03-09T01:59:00Z"), None));
        assert!(!w.contains(at("2024-03-08T01:00:00Z"), None) && !w.contains(at("2024-03-09T02:00:00Z"), None));
    }

    #[test]
    fn daylight_saving_moves_the_window_with_the_people() {
        let w = window(&[], "01:00", "05:00", "Europe/Berlin");
        // Winter: UTC+1; summer: UTC+2.
        assert!(w.contains(at("2024-03-30T00:00:00Z"), None) && !w.contains(at("2024-03-30T04:00:00Z"), None));
        assert!(w.contains(at("2024-04-01T02:59:00Z"), None) && !w.contains(at("2024-04-01T03:00:00Z"), None));
        // The night the hour from 2 to 3 is missing: open from 00:00Z to 03:00Z.
        assert!(w.contains(at("2024-03-31T00:30:00Z"), None) && w.contains(at("2024-03-31T02:59:00Z"), None));
        assert!(!w.contains(at("2024-03-31T03:00:00Z"), None));
        // The night the hour from 2 to 3 comes twice: open both times.
        assert!(w.contains(at("2024-10-27T00:30:00Z"), None) && w.contains(at("2024-10-27T01:30:00Z"), None));
    }

    #[test]
    fn a_calendar_is_windows_less_blackouts() {
        let calendar = Calendar {
            windows: vec![window(&[], "01:00", "05:00", "UTC")],
            blackouts: vec![Blackout::once("2024-03-05T02:00:00Z", "2024-03-05T03:00:00Z").unwrap()],
        };
        let open = calendar.slots_open(None, at("2024-03-05T00:00:00Z"), Span::from_secs(3600), 6);
        assert_eq!(open, [false, true, false, true, true, false]);
        assert_eq!(calendar.next_open(None, at("2024-03-05T02:10:00Z")), Some(at("2024-03-05T03:00:00Z")));
        assert!(Calendar::default().is_open(None, at("2024-03-05T00:00:00Z"), at("2024-04-05T00:00:00Z")));
    }

    #[test]
    fn a_calendar_that_never_opens_says_so() {
        let never = Calendar {
            windows: vec![window(&[], "01:00", "02:00", "UTC")],
            blackouts: vec![Blackout::Weekly(window(&[], "00:00", "24:00", "UTC"))],
        };
        assert_eq!(never.next_open(None, at("2024-03-05T02:10:00Z")), None);
    }

    #[test]
    fn what_is_no_window_is_said() {
        let new =
            |day: &str, from, to, zone| WeeklyWindow::new(&[day.to_owned()], from, to, zone).unwrap_err().to_string();
        assert!(new("fry", "01:00", "02:00", "UTC").contains("`fry` is no day"));
        assert!(new("fri", "24:01", "02:00", "UTC").contains("24:01"));
        assert!(new("fri", "1:00", "02:00", "UTC").contains("1:00"));
        assert!(new("fri", "01:00", "02:00", "Europe/Berlim").contains("did you mean Europe/Berlin?"));
        assert_eq!(Blackout::once("2024-03-05T02:00:00Z", "2024-03-05T02:00:00Z"), Err(WindowError::Backwards));
    }
}
