//! The document of a comparison of forecasts, as `comparison.json` holds it.

use serde::Deserialize;
use std::collections::BTreeMap;

/// Corrected probability under which a difference is called one.
pub(crate) const SIGNIFICANT: f64 = 0.05;

/// Everything the page needs.
#[derive(Debug, Clone, Deserialize)]
pub struct Document {
    /// Files and folders that were read.
    pub data: Vec<String>,
    /// Series compared.
    pub series: usize,
    /// Length of a step.
    pub step_s: i64,
    /// Lengths of the seasons in steps, the main one first.
    pub seasons: Vec<usize>,
    /// Steps forecast.
    pub horizon: usize,
    /// Newest steps a model was fitted to; none is all.
    pub context: Option<usize>,
    /// Steps between origins.
    pub stride: usize,
    /// Seed of what was drawn by chance.
    pub seed: u64,
    /// What the reader should know.
    pub remarks: Vec<String>,
    /// Scores and parts by metric.
    pub by_metric: BTreeMap<String, Metric>,
    /// Pairs that were tested.
    pub tests: Vec<Test>,
    /// How often the selection changed its mind.
    pub champion_changes: u64,
    /// Sentences by metric.
    pub findings: BTreeMap<String, Vec<String>>,
    /// Some forecasts to look at, by metric.
    pub examples: BTreeMap<String, Vec<Example>>,
}

/// Mean scaled absolute errors by model.
pub type Part = BTreeMap<String, Option<f64>>;

/// One metric.
#[derive(Debug, Clone, Deserialize)]
pub struct Metric {
    /// Scores.
    pub models: Vec<Model>,
    /// By lead, the next step first.
    pub mase_by_lead: Vec<Part>,
    /// By phase of the main season.
    pub mase_by_phase: Vec<Part>,
    /// By class of series.
    pub mase_by_class: BTreeMap<String, Part>,
    /// Mean rank over series.
    pub mean_ranks: BTreeMap<String, f64>,
    /// Ranks closer than this may be equal.
    pub critical_difference: Option<f64>,
    /// How often the selection used each model.
    pub chosen: BTreeMap<String, u64>,
}

/// Scores of a model; a number that could not be had is none.
#[derive(Debug, Clone, Deserialize)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// Does it cost next to nothing?
    pub trivial: bool,
    /// Series forecast.
    pub series: usize,
    /// Forecasts made.
    pub forecasts: usize,
    /// Mean absolute scaled error.
    pub mase: Option<f64>,
    /// Symmetric mean absolute percentage error.
    pub smape: Option<f64>,
    /// Root mean squared error.
    pub rmse: Option<f64>,
    /// Mean absolute error.
    pub mae: Option<f64>,
    /// Mean pinball loss.
    pub pinball: Option<f64>,
    /// Weighted interval score, scaled like the MASE.
    pub wis_scaled: Option<f64>,
    /// Share of values within the 80 % interval.
    pub coverage80: Option<f64>,
    /// Share of values within the 95 % interval.
    pub coverage95: Option<f64>,
    /// Forecasts for which it could not be fitted.
    pub fell_back: usize,
    /// Mean time of a fit.
    pub ms_per_fit: Option<f64>,
    /// Mean time of a forecast.
    pub ms_per_forecast: Option<f64>,
    /// Time of the training over all series, for models that have one.
    pub training_ms: Option<f64>,
}

/// A pair that was tested.
#[derive(Debug, Clone, Deserialize)]
pub struct Test {
    /// Of which metric.
    pub metric: String,
    /// First model.
    pub a: String,
    /// Second model.
    pub b: String,
    /// Negative when the first one's errors are lower.
    pub statistic: f64,
    /// Probability corrected for the number of pairs.
    pub p_corrected: f64,
    /// Differences the test rests on.
    pub count: usize,
    /// Over `origins` or `series`.
    pub over: String,
}

/// A forecast to look at.
#[derive(Debug, Clone, Deserialize)]
pub struct Example {
    /// Whose load.
    pub device: String,
    /// Why this one.
    pub why: String,
    /// Mean MASE of the selection on this series.
    pub mase: f64,
    /// Time of the first step forecast, since the epoch.
    pub origin_s: i64,
    /// What was known, the newest last.
    pub history: Vec<Option<f64>>,
    /// What came.
    pub actual: Vec<Option<f64>>,
    /// The model that the selection used.
    pub chosen: Option<String>,
    /// Forecasts; the first has intervals drawn.
    pub forecasts: Vec<Forecast>,
}

/// One model's forecast.
#[derive(Debug, Clone, Deserialize)]
pub struct Forecast {
    /// Which model.
    pub model: String,
    /// Points.
    pub points: Vec<f64>,
    /// Lower end of the 80 % interval.
    pub lower80: Vec<f64>,
    /// Upper end of the 80 % interval.
    pub upper80: Vec<f64>,
    /// Lower end of the 95 % interval.
    pub lower95: Vec<f64>,
    /// Upper end of the 95 % interval.
    pub upper95: Vec<f64>,
}

impl Metric {
    /// Models from the lowest MASE to the highest; those without one last.
    pub(crate) fn sorted(&self) -> Vec<&Model> {
        let mut models: Vec<&Model> = self.models.iter().collect();
        let key = |m: &Model| m.mase.unwrap_or(f64::INFINITY);
        models.sort_by(|a, b| key(a).total_cmp(&key(b)));
        models
    }

    /// The few models a plot of lines can hold: the selection, the best single one, two that are often asked for, the best trivial one.
    pub(crate) fn few(&self) -> Vec<&str> {
        let sorted = self.sorted();
        let first = |keep: &dyn Fn(&Model) -> bool| sorted.iter().find(|m| m.mase.is_some() && keep(m));
        let wanted = [
            first(&|m| m.name == "selected"),
            first(&|m| m.name != "selected"),
            first(&|m| m.name == "arima"),
            first(&|m| m.name == "lstm"),
            first(&|m| m.trivial),
        ];
        let mut names: Vec<&str> = Vec::new();
        for name in wanted.into_iter().flatten().map(|m| m.name.as_str()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}
