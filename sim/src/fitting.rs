//! Answers to what an engine wants fitted, in parallel, as every driver here gives them.

use rayon::prelude::*;
use slacktide_engine::forecasting::{Fit, FitRoom, ForecastRequest, Forecasts, SeriesKey};

/// Fits every key with `fit`, in the order of the keys, in place of answers that are not wanted any more.
pub(crate) fn answers(
    request: &ForecastRequest,
    mut fits: Vec<Fit>,
    fit: impl Fn(&mut FitRoom, SeriesKey, &mut Fit) + Sync + Send,
) -> Forecasts {
    fits.resize_with(request.keys.len(), Fit::default);
    let keyed = request.keys.par_iter().zip(&mut fits).with_min_len(16);
    keyed.for_each_init(FitRoom::default, |room, (key, answer)| fit(room, *key, answer));
    Forecasts { round: request.round, fits }
}
