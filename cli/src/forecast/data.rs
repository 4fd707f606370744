//! From files to series cut to steps.

use super::Source;
use anyhow::{Result, anyhow, bail};
use slacktide_engine::document::{format_span, parse_span};
use slacktide_engine::time::{Instant, Span};
use slacktide_forecast::backtest::Entry;
use slacktide_scenarios::recorded::{ReadOptions, Recording, read};

/// Share of its steps a series must know to be forecast.
const KNOWN_SHARE_MIN: f64 = 0.1;
const DAY_S: i64 = 86_400;

/// Series and how they are cut.
#[derive(Debug, Clone)]
pub(crate) struct Data {
    pub(crate) entries: Vec<Entry>,
    pub(crate) step_s: i64,
    /// Unix time of step 0.
    pub(crate) start_s: i64,
    pub(crate) seasons: Vec<usize>,
    pub(crate) horizon: usize,
    pub(crate) context: Option<usize>,
    /// What the reader should know.
    pub(crate) remarks: Vec<String>,
}

impl Data {
    /// Reads and cuts.
    pub(crate) fn read(source: &Source) -> Result<Self> {
        let options =
            ReadOptions { metrics: source.metrics.clone(), lenient: source.lenient, clip: false, any_number: true };
        let mut recording = read(&source.data, &options)?;
        let mut remarks = Vec::new();
        if recording.skipped > 0 {
            remarks.push(format!("{} bad rows were skipped", recording.skipped));
        }
        if recording.repeated > 0 {
            remarks.push(format!(
                "{} values came twice for the same step of {} s of a device (repeated or uneven timestamps): the later row counts",
                recording.repeated, recording.period_s
            ));
        }
        if let Some(every) = &source.every {
            let span = parse_span(every).map_err(|e| anyhow!("--every {every}: {e}"))?;
            recording =
                recording.every((span.as_millis() / 1000) as i64).map_err(|e| anyhow!("--every {every}: {e}"))?;
        }
        remarks.extend(doubts(&recording, source)?);
        // Steps are numbered from the epoch, so that a day begins at a multiple of its length.
        let first = recording.start_s.div_euclid(recording.period_s);
        let entries = entries(&recording, first, &mut remarks)?;
        let longest = entries.iter().map(|e| e.values.len()).max().unwrap_or(0);
        let mut data = Self {
            entries,
            step_s: recording.period_s,
            start_s: recording.start_s - first * recording.period_s,
            seasons: Vec::new(),
            horizon: 1,
            context: None,
            remarks,
        };
        data.seasons = data.seasons_of(source, longest)?;
        data.horizon = match &source.horizon {
            Some(text) => data.steps("--horizon", text)?,
            None => data.seasons.first().copied().unwrap_or(24),
        };
        data.context = source.context.as_ref().map(|text| data.steps("--context", text)).transpose()?;
        if let Some(context) = data.context.filter(|c| *c < 4) {
            bail!("--context of {context} steps is too short for any model: give at least 4");
        }
        let season = data.seasons.first().copied().unwrap_or(1);
        if let Some(context) = data.context.filter(|c| *c <= season) {
            bail!(
                "--context of {context} steps holds no more than one season of {season}: errors could not be scaled; give more, or --season 1"
            );
        }
        if let Some(entry) = data.entries.iter().find(|e| says_too_little(&e.values)) {
            data.remarks.push(format!(
                "{} {} moves in places that are rounded off (values are kept to seven): take its base off first",
                entry.name, entry.metric
            ));
        }
        Ok(data)
    }

    /// Steps that a forecast needs to know.
    pub(crate) fn needed_steps(&self) -> usize {
        self.context.unwrap_or_else(|| self.seasons.first().map_or(CONTEXT_MIN, |season| (2 * season).max(CONTEXT_MIN)))
    }

    /// The same in words, and why so many.
    pub(crate) fn needed(&self) -> String {
        match (self.context, self.seasons.first()) {
            (Some(context), _) => format!("the {} of --context", steps_in_words(context)),
            (None, Some(season)) if 2 * season > CONTEXT_MIN => {
                format!("{} (two seasons of {season}; --season 1 needs {CONTEXT_MIN})", steps_in_words(2 * season))
            }
            _ => steps_in_words(CONTEXT_MIN),
        }
    }

    fn seasons_of(&self, source: &Source, longest: usize) -> Result<Vec<usize>> {
        let mut seasons = Vec::new();
        for text in &source.season {
            let season = self.steps("--season", text)?;
            if season > longest {
                bail!("--season {text} is longer than the data, which has {longest} steps");
            }
            if season >= 2 && !seasons.contains(&season) {
                seasons.push(season);
            }
        }
        let day = (DAY_S / self.step_s) as usize;
        if source.season.is_empty() && DAY_S % self.step_s == 0 && day >= 2 && longest >= 3 * day {
            seasons.push(day);
        }
        Ok(seasons)
    }

    /// A number of steps, or a span that holds a whole number of them.
    pub(crate) fn steps(&self, option: &str, text: &str) -> Result<usize> {
        if let Ok(steps) = text.parse::<usize>() {
            return within(option, text, steps);
        }
        let span = parse_span(text).map_err(|e| anyhow!("{option} {text}: {e}; or a number of steps"))?;
        let step_ms = (self.step_s * 1000) as u64;
        if span.as_millis() % step_ms != 0 || span.as_millis() == 0 {
            bail!(
                "{option} {text} is no whole number of steps of {}",
                format_span(Span::from_secs(self.step_s as u64))
            );
        }
        within(option, text, usize::try_from(span.as_millis() / step_ms).unwrap_or(usize::MAX))
    }

    /// Unix time of a step.
    pub(crate) const fn time_of(&self, step: i64) -> i64 {
        self.start_s + step * self.step_s
    }
}

/// `1 step`, `8 steps`.
pub(crate) fn steps_in_words(count: usize) -> String {
    format!("{count} step{}", if count == 1 { "" } else { "s" })
}

/// Steps that the shortest series knows, where neither season nor context asks for more.
const CONTEXT_MIN: usize = 8;

/// No load of machines is older than 1990, and none is larger than a billion, as nearly all Unix times are: a slip of the columns.
const MOMENT_MIN_S: i64 = 631_152_000;
const LOAD_LARGE: f32 = 1e9;

/// What is strange of times and values. Both at once are two columns in each other's place.
fn doubts(recording: &Recording, source: &Source) -> Result<Vec<String>> {
    let first = Instant::from_secs(recording.start_s);
    let is_early = recording.start_s < MOMENT_MIN_S;
    let large =
        recording.metrics.iter().zip(&recording.columns).find_map(|(name, column)| {
            column.iter().find(|value| value.abs() > LOAD_LARGE).map(|value| (name, *value))
        });
    let mut doubts = Vec::new();
    if let (true, Some((name, value))) = (is_early, large) {
        bail!(
            "{}: column `timestamp` begins at {first}, and column `{name}` holds {value}: are their headings in each other's place? Times before \
             1990 together with values over a billion are refused",
            source.named()
        );
    }
    if is_early {
        doubts.push(format!("timestamps begin at {first}: are they Unix seconds?"));
    }
    if let Some((name, value)) = large {
        doubts.push(format!("column `{name}` holds {value}: is it a load?"));
    }
    Ok(doubts)
}

/// Most steps of anything: longer is a slip of the pen, and would fill the memory.
const STEPS_MAX: usize = 100_000;

fn within(option: &str, text: &str, steps: usize) -> Result<usize> {
    if steps == 0 || steps > STEPS_MAX {
        bail!("{option} {text} must be 1 to {STEPS_MAX} steps");
    }
    Ok(steps)
}

/// Numbers are kept to seven places: a series that moves in later ones only must have its base taken off.
fn says_too_little(values: &[f32]) -> bool {
    let known = || values.iter().filter(|v| v.is_finite());
    let (low, high) = known().fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
    let size = low.abs().max(high.abs());
    high > low && (high - low) < 1e-4 * size
}

fn entries(recording: &Recording, first: i64, remarks: &mut Vec<String>) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let (mut empty, mut sparse) = (0, Vec::new());
    for (metric, name) in recording.metrics.iter().enumerate() {
        for (device, id) in recording.devices.iter().enumerate() {
            let Some(mut entry) = Entry::trimmed(id.clone(), name.clone(), recording.series(metric, device)) else {
                empty += 1;
                continue;
            };
            let known = entry.values.iter().filter(|v| v.is_finite()).count();
            if (known as f64) < KNOWN_SHARE_MIN * entry.values.len() as f64 {
                sparse.push(format!("{id} {name} knows {known} of {} steps", entry.values.len()));
                continue;
            }
            entry.first_step += first;
            entries.push(entry);
        }
    }
    if empty > 0 {
        remarks.push(format!("{empty} series hold no value and are left out"));
    }
    if let Some(example) = sparse.first() {
        let remark = format!("{} series are nearly all gaps and are left out ({example})", sparse.len());
        if entries.is_empty() {
            bail!("{remark}; is a timestamp far off, or --every too short?");
        }
        remarks.push(remark);
    }
    Ok(entries)
}
