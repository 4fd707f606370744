//! What the forecasts of a backtest were worth.

use super::significance::{Test, critical_difference, diebold_mariano, holm, mean_ranks};
use super::{Contestant, Finished, LEVELS, Line};
use crate::{ModelKind, measure};
use std::collections::BTreeMap;

/// Means over series, and within a series over its origins.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Score {
    /// Series with a forecast.
    pub series: usize,
    /// Forecasts.
    pub origins: usize,
    /// Mean absolute scaled error; series whose history never changes are left out of this one.
    pub mase: f64,
    /// Symmetric mean absolute percentage error, 0..=200.
    pub smape: f64,
    /// Root mean squared error, in the series' unit.
    pub rmse: f64,
    /// Mean absolute error, in the series' unit.
    pub mae: f64,
    /// Mean pinball loss over the 2.5, 10, 50, 90 and 97.5 % quantiles, in the series' unit.
    pub pinball: f64,
    /// Weighted interval score of the same (Bracher et al. 2021): twice the pinball loss; near the CRPS. Scaled like the MASE.
    pub wis_scaled: f64,
    /// Share of values within the central 80 and 95 % intervals.
    pub coverage: [f64; LEVELS.len()],
    /// Mean width of those intervals, in the series' unit.
    pub width: [f64; LEVELS.len()],
    /// Forecasts for which the model could not be fitted.
    pub fell_back: usize,
}

/// Mean scaled absolute errors of one part of the forecasts, by contestant.
pub type Part = Vec<Option<f64>>;

/// A pair that was tested.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// Position of the first contestant.
    pub a: usize,
    /// Position of the second.
    pub b: usize,
    /// The test.
    pub test: Test,
    /// Its probability corrected for the number of pairs (Holm).
    pub p_corrected: f64,
}

/// How a test was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestKind {
    /// Over origins: each gives its mean over series.
    Origins,
    /// Over series: each gives its mean over origins. For few origins; says nothing about other times.
    Series,
}

/// Everything about one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricScores {
    /// By contestant.
    pub scores: Vec<Score>,
    /// By lead (0 is the next step).
    pub by_lead: Vec<Part>,
    /// By phase of the main season.
    pub by_phase: Vec<Part>,
    /// By class of series: how much of their movement the season explains.
    pub by_class: BTreeMap<&'static str, Part>,
    /// Mean rank over series, by contestant.
    pub ranks: Vec<f64>,
    /// Ranks closer than this may be equal.
    pub critical_difference: Option<f64>,
    /// All pairs.
    pub pairs: Vec<Pair>,
    /// What the tests rest on.
    pub test_kind: TestKind,
    /// How often the selection used each model.
    pub chosen: BTreeMap<ModelKind, usize>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sum(f64, f64);

impl Sum {
    fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value.filter(|v| v.is_finite()) {
            *self = Self(self.0 + value, self.1 + 1.0);
        }
    }

    fn mean(self) -> Option<f64> {
        (self.1 > 0.0).then(|| self.0 / self.1)
    }
}

impl Finished {
    /// Names of the metrics, sorted.
    pub fn metrics(&self) -> Vec<String> {
        let mut metrics: Vec<String> = self.entries.iter().map(|e| e.metric.clone()).collect();
        metrics.sort();
        metrics.dedup();
        metrics
    }

    fn scale(&self, line: &Line) -> Option<f64> {
        let known = self.entries[line.origin.entry].known(line.origin.known, self.protocol.context);
        measure::seasonal_scale(known.raw(), self.protocol.season()).filter(|s| *s > 0.0)
    }

    fn actual(&self, line: &Line) -> &[f32] {
        self.entries[line.origin.entry].actual(line.origin.known, self.protocol.horizon)
    }

    fn of<'a>(&'a self, metric: Option<&'a str>) -> impl Iterator<Item = &'a Line> + 'a {
        self.lines.iter().filter(move |l| metric.is_none_or(|m| self.entries[l.origin.entry].metric == m))
    }

    /// Scores by contestant, of one metric or of all.
    pub fn scores(&self, metric: Option<&str>) -> Vec<Score> {
        (0..self.contestants.len()).map(|contestant| self.score(metric, contestant)).collect()
    }

    fn score(&self, metric: Option<&str>, contestant: usize) -> Score {
        let mut by_series: BTreeMap<usize, [Sum; 10]> = BTreeMap::new();
        let mut score = Score::default();
        for line in self.of(metric).filter(|l| l.contestant == contestant) {
            let (actual, points) = (self.actual(line), &line.points);
            let scale = self.scale(line);
            let mae = measure::mae(actual, points);
            let pinball = pinball(actual, line);
            let [narrow, wide] = &line.bounds;
            let width = |(low, high): &(Vec<f32>, Vec<f32>)| {
                Some(low.iter().zip(high).map(|(l, h)| f64::from(h - l)).sum::<f64>() / low.len() as f64)
            };
            let found = [
                mae.zip(scale).map(|(mae, scale)| mae / scale),
                measure::smape(actual, points),
                measure::rmse(actual, points),
                mae,
                pinball,
                pinball.zip(scale).map(|(p, scale)| 2.0 * p / scale),
                measure::coverage(actual, &narrow.0, &narrow.1),
                measure::coverage(actual, &wide.0, &wide.1),
                width(narrow),
                width(wide),
            ];
            let sums = by_series.entry(line.origin.entry).or_default();
            sums.iter_mut().zip(found).for_each(|(sum, value)| sum.add(value));
            score.origins += 1;
            score.fell_back += usize::from(line.fell_back);
        }
        score.series = by_series.len();
        let mean = |i: usize| {
            let mut sum = Sum::default();
            by_series.values().for_each(|sums| sum.add(sums[i].mean()));
            sum.mean().unwrap_or(f64::NAN)
        };
        score.mase = mean(0);
        score.smape = mean(1);
        score.rmse = mean(2);
        score.mae = mean(3);
        score.pinball = mean(4);
        score.wis_scaled = mean(5);
        score.coverage = [mean(6), mean(7)];
        score.width = [mean(8), mean(9)];
        score
    }

    /// Everything about one metric.
    pub fn metric_scores(&self, metric: &str) -> MetricScores {
        let (pairs, test_kind) = self.tests(metric);
        let blocks = self.blocks(metric, |line| line.origin.entry as i64);
        let mut chosen: BTreeMap<ModelKind, usize> = BTreeMap::new();
        self.of(Some(metric)).filter_map(|l| l.chosen).for_each(|m| *chosen.entry(m).or_default() += 1);
        let season = self.protocol.season() as i64;
        let by_lead = self.parts(metric, self.protocol.horizon, |_, lead| lead);
        let by_phase = self.parts(metric, season as usize, |line, lead| {
            let at = self.entries[line.origin.entry].step_of(line.origin.known) + lead as i64;
            at.rem_euclid(season) as usize
        });
        let classes: Vec<&'static str> =
            self.entries.iter().map(|e| class(&e.values, self.protocol.season())).collect();
        let by_class = self.parts(metric, CLASSES.len(), |line, _| {
            CLASSES.iter().position(|c| *c == classes[line.origin.entry]).unwrap_or(0)
        });
        MetricScores {
            scores: self.scores(Some(metric)),
            by_lead,
            by_phase,
            by_class: CLASSES.into_iter().zip(by_class).filter(|(_, part)| part.iter().any(Option::is_some)).collect(),
            critical_difference: critical_difference(self.contestants.len(), blocks.len()),
            ranks: mean_ranks(&blocks),
            pairs,
            test_kind,
            chosen,
        }
    }

    /// Mean scaled absolute errors of `count` parts; `part` says which one a step of a line belongs to.
    fn parts(&self, metric: &str, count: usize, part: impl Fn(&Line, usize) -> usize) -> Vec<Part> {
        let mut sums = vec![vec![Sum::default(); self.contestants.len()]; count];
        for line in self.of(Some(metric)) {
            let Some(scale) = self.scale(line) else { continue };
            for (lead, (actual, point)) in self.actual(line).iter().zip(&line.points).enumerate() {
                let error = f64::from((actual - point).abs()) / scale;
                if let Some(sums) = sums.get_mut(part(line, lead)) {
                    sums[line.contestant].add(Some(error));
                }
            }
        }
        sums.into_iter().map(|part| part.into_iter().map(Sum::mean).collect()).collect()
    }

    /// Mean scaled errors by block, then contestant; blocks in which somebody is missing are left out.
    fn blocks(&self, metric: &str, block: impl Fn(&Line) -> i64) -> Vec<Vec<f64>> {
        let mut sums: BTreeMap<i64, Vec<Sum>> = BTreeMap::new();
        for line in self.of(Some(metric)) {
            let error = measure::mae(self.actual(line), &line.points).zip(self.scale(line)).map(|(mae, s)| mae / s);
            let sums = sums.entry(block(line)).or_insert_with(|| vec![Sum::default(); self.contestants.len()]);
            sums[line.contestant].add(error);
        }
        sums.into_values().filter_map(|sums| sums.into_iter().map(Sum::mean).collect()).collect()
    }

    fn tests(&self, metric: &str) -> (Vec<Pair>, TestKind) {
        let by_origin = self.blocks(metric, |line| self.entries[line.origin.entry].step_of(line.origin.known));
        let overlap = self.protocol.horizon.div_ceil(self.protocol.stride);
        // Fewer spans than that do not tell chance from habit.
        let enough = by_origin.len() >= 8.max(2 * overlap);
        let kind = if enough { TestKind::Origins } else { TestKind::Series };
        let (blocks, overlap) = match kind {
            TestKind::Origins => (by_origin, overlap),
            TestKind::Series => (self.blocks(metric, |line| line.origin.entry as i64), 1),
        };
        let count = self.contestants.len();
        let mut pairs = Vec::new();
        for a in 0..count {
            for b in a + 1..count {
                let differences: Vec<f64> = blocks.iter().map(|block| block[a] - block[b]).collect();
                if let Some(test) = diebold_mariano(&differences, overlap) {
                    pairs.push(Pair { a, b, test, p_corrected: 1.0 });
                }
            }
        }
        let corrected = holm(&pairs.iter().map(|pair| pair.test.p).collect::<Vec<_>>());
        pairs.iter_mut().zip(corrected).for_each(|(pair, p)| pair.p_corrected = p);
        (pairs, kind)
    }

    /// The contestant of a name.
    pub fn position(&self, contestant: Contestant) -> Option<usize> {
        self.contestants.iter().position(|c| *c == contestant)
    }
}

/// Mean pinball loss over the quantiles that the intervals and the point give.
fn pinball(actual: &[f32], line: &Line) -> Option<f64> {
    let mut sum = measure::pinball(actual, &line.points, 0.5)?;
    for (level, (low, high)) in LEVELS.iter().zip(&line.bounds) {
        sum +=
            measure::pinball(actual, low, (1.0 - level) / 2.0)? + measure::pinball(actual, high, (1.0 + level) / 2.0)?;
    }
    Some(sum / (1 + 2 * LEVELS.len()) as f64)
}

/// Classes of series by how much of their movement the season explains (seasonal strength under 0.3, to 0.64, above).
pub const CLASSES: [&str; 3] = ["hardly seasonal", "somewhat seasonal", "strongly seasonal"];

fn class(values: &[f32], season: usize) -> &'static str {
    let strength = crate::SeriesView::new(values)
        .filled()
        .and_then(|filled| crate::arima::seasonal_strength(&filled, season))
        .unwrap_or(0.0);
    CLASSES[usize::from(strength >= 0.3) + usize::from(strength > 0.64)]
}
