//! Answers to what an engine wants fitted, in parallel, as every driver here gives them.

use rayon::prelude::*;
use slacktide_engine::forecasting::{Fit, FitRoom, ForecastRequest, Forecasts, SeriesKey};

/// Fits every key with `fit`, in the order of the keys, into the emptied room of the last answers.
pub(crate) fn answers(
    request: &ForecastRequest,
    mut fits: Vec<Fit>,
    fit: impl Fn(&mut FitRoom, &SeriesKey) -> Fit + Sync + Send,
) -> Forecasts {
    let fitted = request.keys.par_iter().with_min_len(16).map_init(FitRoom::default, fit);
    fitted.collect_into_vec(&mut fits);
    Forecasts { round: request.round, fits }
}
