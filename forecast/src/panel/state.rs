//! What a panel remembers from origin to origin, in about a kilobyte.

use super::{BUCKET_STARTS, Band, PanelConfig};
use crate::interval::{AdaptiveLevel, conformal_quantile};
use crate::model::Warm;
use crate::{ModelKind, SeriesView};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// Newest errors kept per lead bucket.
const SCORES_MAX: usize = 48;
/// How far one window moves the level asked of the scores.
const LEVEL_STEP: f32 = 0.005;
/// A kept forecast that errs this many times as much as its model usually does is made anew.
const DRIFT: f32 = 2.0;
/// A model that costs milliseconds a fit must be better by this share than one that costs nothing.
const DEAR: f32 = 0.02;
/// Fewest steps such a verdict rests on.
const DRIFT_STEPS: usize = 2;

/// State of a panel; the default is a new one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PanelState {
    /// Origin of the newest forecast.
    pub(super) origin: Option<i64>,
    /// Models in the losses below.
    models: u8,
    /// Champion by series, as a position in the models.
    champions: SmallVec<[u8; 8]>,
    /// Decayed loss and its decayed weight, by series, then model.
    losses: SmallVec<[(f32, f32); 20]>,
    scores: Scores,
    /// Where the level asked of the scores has moved, so that bounds hold as often as they should under drift.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    level: Option<f32>,
    /// A bound made earlier, kept until enough of it is known to judge it by.
    held: Option<Held>,
    /// Forecasts of dear champions, by series, for as long as they are young.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    kept: Vec<Option<Kept>>,
}

/// Newest conformity scores, by lead bucket, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Scores {
    /// Room for [`SCORES_MAX`] a bucket, used from the first on. Held in place: a fleet has a state a device and makes a new one at every
    /// fit, and an allocation costs more than its copy.
    values: SmallVec<[f32; BUCKET_STARTS.len() * SCORES_MAX]>,
    counts: [u8; BUCKET_STARTS.len()],
}

impl Scores {
    /// Most scores of all buckets together.
    const ALL: usize = BUCKET_STARTS.len() * SCORES_MAX;

    /// Adds some, oldest first; a full bucket loses its oldest.
    fn push(&mut self, bucket: usize, new: &[f32]) {
        self.values.resize(Self::ALL, 0.0);
        let scores = &mut self.values[bucket * SCORES_MAX..(bucket + 1) * SCORES_MAX];
        let new = &new[new.len().saturating_sub(SCORES_MAX)..];
        let count = usize::from(self.counts[bucket]).min(SCORES_MAX);
        let lost = (count + new.len()).saturating_sub(SCORES_MAX);
        scores.copy_within(lost..count, 0);
        let kept = count - lost;
        scores[kept..kept + new.len()].copy_from_slice(new);
        self.counts[bucket] = (kept + new.len()) as u8;
    }

    /// The scores of each bucket.
    fn buckets(&self) -> impl Iterator<Item = &[f32]> {
        let one = |(bucket, count): (usize, &u8)| self.values.get(bucket * SCORES_MAX..)?.get(..usize::from(*count));
        self.counts.iter().enumerate().map(move |counted| one(counted).unwrap_or_default())
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Kept {
    model: ModelKind,
    origin: i64,
    until: i64,
    points: Vec<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    warm: Option<Warm>,
}

/// A dear model's forecast, to be kept.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) points: Vec<f32>,
    pub(super) warm: Option<Warm>,
}

impl Kept {
    /// Errors of the `age` steps known since it was made; `None` where the history does not reach back so far.
    fn errors<'a>(&'a self, view: SeriesView<'a>, age: usize) -> Option<impl Iterator<Item = f32> + 'a> {
        let begin = view.len().checked_sub(age)?;
        Some(self.points.iter().take(age).enumerate().filter_map(move |(i, p)| view.get(begin + i).map(|v| v - p)))
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Held {
    origin: i64,
    window: u16,
    /// Six hours of quarter hours in place; longer ones are allocated.
    upper: SmallVec<[f32; 24]>,
}

/// Makes a list like another by one copy of memory.
fn copy<A: smallvec::Array<Item: Copy>>(from: &SmallVec<A>, to: &mut SmallVec<A>) {
    to.clear();
    to.extend_from_slice(from);
}

impl PanelState {
    /// Makes this state the other, in the room it has: a fleet has two of them a device, and moves a kilobyte no more often than it must.
    pub(super) fn become_like(&mut self, other: &Self) {
        let Self { origin, models, champions, losses, scores, level, held, kept } = other;
        (self.origin, self.models, self.level) = (*origin, *models, *level);
        copy(champions, &mut self.champions);
        copy(losses, &mut self.losses);
        copy(&scores.values, &mut self.scores.values);
        self.scores.counts = scores.counts;
        self.held.clone_from(held);
        self.kept.clone_from(kept);
    }

    /// Makes room for `series` series and `models` models; another number of either begins the competition anew.
    pub(super) fn fit_to(&mut self, series: usize, models: usize) {
        if usize::from(self.models) != models || self.champions.len() != series {
            self.models = models as u8;
            self.champions = SmallVec::from_elem(0, series);
            self.losses = SmallVec::from_elem((0.0, 0.0), series * models);
        }
    }

    /// Champion of a series, as a position in the models.
    pub(super) fn champion(&self, series: usize) -> usize {
        self.champions.get(series).map_or(0, |c| usize::from(*c))
    }

    /// Adds one origin's loss of one model on one series.
    pub(super) fn add_loss(&mut self, series: usize, model: usize, loss: f32, decay: f32) {
        if let Some((sum, weight)) = self.losses.get_mut(series * usize::from(self.models) + model) {
            *sum = *sum * decay + loss;
            *weight = *weight * decay + 1.0;
        }
    }

    /// Keeps a dear model's forecast for the origins until `age_max` steps later.
    pub(super) fn keep_forecast(&mut self, series: usize, model: ModelKind, origin: i64, age_max: usize, made: Made) {
        if self.kept.len() <= series {
            self.kept.resize(series + 1, None);
        }
        let Made { points, warm } = made;
        self.kept[series] = Some(Kept { model, origin, until: origin + age_max as i64, points, warm });
    }

    /// The kept forecast of `champion` from `origin` on: by the model as it was fitted, which has seen what came since; or as it was
    /// made, its level moved by half of its mean error since. `None` where there is none, or none young enough.
    pub(super) fn kept_forecast(
        &self,
        series: usize,
        champion: ModelKind,
        view: SeriesView<'_>,
        origin: i64,
        out: &mut [f32],
    ) -> Option<ModelKind> {
        let kept = self.kept.get(series)?.as_ref().filter(|k| k.model == champion && origin <= k.until)?;
        let age = usize::try_from(origin - kept.origin).ok()?;
        if age > 0
            && let Some(model) = kept.warm.as_ref().and_then(|warm| warm.resume(view, age))
        {
            out.copy_from_slice(&model.forecast(out.len()));
            return Some(champion);
        }
        let points = kept.points.get(age..age + out.len())?;
        let errors = kept.errors(view, age)?;
        let (sum, count) = errors.fold((0.0, 0.0), |(s, c), e| (s + e, c + 1.0));
        let moved = if count > 0.0 { 0.5 * sum / count } else { 0.0 };
        out.iter_mut().zip(points).for_each(|(out, p)| *out = p + moved);
        Some(champion)
    }

    /// Drops a kept forecast that reality has left behind. Did it?
    pub(super) fn drop_drifted(&mut self, series: usize, view: SeriesView<'_>, origin: i64) -> bool {
        let drifted = self.kept.get(series).and_then(Option::as_ref).is_some_and(|kept| {
            let usual = self.loss(series, self.champion(series));
            let age = usize::try_from(origin - kept.origin).unwrap_or(0);
            let errors = kept.errors(view, age).map(|e| e.fold((0.0, 0_usize), |(s, c), e| (s + e.abs(), c + 1)));
            matches!((usual, errors), (Some(usual), Some((sum, count))) if count >= DRIFT_STEPS && sum > DRIFT * usual * count as f32)
        });
        if drifted {
            self.kept[series] = None;
        }
        drifted
    }

    pub(super) fn loss(&self, series: usize, model: usize) -> Option<f32> {
        let (sum, weight) = self.losses.get(series * usize::from(self.models) + model)?;
        (*weight > 0.0).then(|| sum / weight)
    }

    /// Level to ask of the scores now.
    pub(super) fn level(&self, target: f32) -> f32 {
        AdaptiveLevel::new(target, LEVEL_STEP, self.level).level()
    }

    /// Lets challengers that are clearly better take over; a dear one must be better by [`DEAR`] more. Returns how many did.
    pub(super) fn choose_champions(&mut self, config: &PanelConfig) -> u32 {
        let mut changed = 0;
        for series in 0..self.champions.len() {
            let champion = self.champion(series);
            let price = |m: usize| {
                let dear = config.models.get(m).is_some_and(|kind| kind.is_costly());
                self.loss(series, m).map(|loss| loss * if dear { 1.0 + DEAR } else { 1.0 })
            };
            let best = (0..usize::from(self.models))
                .filter_map(|m| price(m).map(|loss| (m, loss)))
                .min_by(|(_, a), (_, b)| a.total_cmp(b));
            let Some((best, loss)) = best else { continue };
            // Without a loss of its own a champion holds nothing.
            let beaten = price(champion).is_none_or(|own| loss < own * (1.0 - config.hysteresis));
            if best != champion && beaten {
                self.champions[series] = best as u8;
                changed += 1;
            }
        }
        changed
    }

    /// Adds conformity scores of a lead bucket, oldest first; all of them finite.
    pub(super) fn add_scores(&mut self, bucket: usize, scores: &[f32]) {
        if !scores.is_empty() {
            self.scores.push(bucket, scores);
        }
    }

    /// How far the bound lies over the forecast, by lead bucket: never falling with the lead. A bucket with too few scores takes those
    /// of all. `None` when all of them are too few.
    pub(super) fn offsets(&self, level: f32, scores_min: usize) -> Option<[f32; BUCKET_STARTS.len()]> {
        let mut room = [0.0; Scores::ALL];
        let all: usize = self.scores.buckets().map(<[f32]>::len).sum();
        if all < scores_min.max(1) {
            return None;
        }
        // Only asked for where a bucket has too few of its own, which is in the first hours.
        let mut common = None;
        let mut offsets = [0.0; BUCKET_STARTS.len()];
        let mut floor = f32::MIN;
        for (offset, scores) in offsets.iter_mut().zip(self.scores.buckets()) {
            let own = if scores.len() >= scores_min {
                let room = &mut room[..scores.len()];
                room.copy_from_slice(scores);
                conformal_quantile(room, level)
            } else {
                None
            };
            *offset = match own.or(common) {
                Some(offset) => offset,
                None => *common.insert(self.common_quantile(level)?),
            };
            floor = offset.max(floor);
            *offset = floor;
        }
        Some(offsets)
    }

    /// The quantile of the scores of all buckets.
    fn common_quantile(&self, level: f32) -> Option<f32> {
        let mut all: SmallVec<[f32; Scores::ALL]> = SmallVec::new();
        self.scores.buckets().for_each(|scores| all.extend_from_slice(scores));
        conformal_quantile(&mut all, level)
    }

    /// Keeps a bound to be judged later, unless an older one still waits.
    pub(super) fn hold(&mut self, config: &PanelConfig, origin: i64, upper: &[f32]) {
        if self.held.is_none() {
            let keep = reach(config).min(upper.len());
            self.held =
                Some(Held { origin, window: config.window as u16, upper: SmallVec::from_slice(&upper[..keep]) });
        }
    }

    /// Judges the bound that was kept, once all its windows are known. Returns windows judged and windows covered.
    pub(super) fn score_held(
        &mut self,
        config: &PanelConfig,
        series: &[SeriesView<'_>],
        first_step: i64,
    ) -> (u32, u32) {
        let Some(held) = &self.held else { return (0, 0) };
        let length = series.first().map_or(0, SeriesView::len) as i64;
        let begin = held.origin - first_step;
        let window = usize::from(held.window);
        if begin < 0 {
            // Its steps are forgotten already.
            self.held = None;
            return (0, 0);
        }
        if length - begin < held.upper.len() as i64 {
            return (0, 0);
        }
        let begin = begin as usize;
        let (mut scored, mut covered) = (0, 0);
        for h in (0..(held.upper.len() + 1).saturating_sub(window)).step_by(window.max(1)) {
            let value = |step: usize| series.iter().filter_map(|s| s.get(begin + step)).reduce(f32::max);
            let steps = h..h + window;
            if steps.clone().all(|step| value(step).is_none()) {
                continue;
            }
            let under = match config.band {
                Band::WindowPeak => steps.clone().filter_map(value).all(|v| v <= held.upper[h]),
                Band::Simultaneous => steps.clone().all(|step| value(step).is_none_or(|v| v <= held.upper[step])),
            };
            scored += 1;
            covered += u32::from(under);
            let mut level = AdaptiveLevel::new(config.level, LEVEL_STEP, self.level);
            level.update(under);
            self.level = Some(level.level());
        }
        self.held = None;
        (scored, covered)
    }
}

/// How much of a bound is kept to be judged: a quarter of the season, so that verdicts come several times a day.
fn reach(config: &PanelConfig) -> usize {
    (config.season / 4).max(4 * config.window).min(config.horizon)
}
