//! Errors with what is behind them: the outermost often says only "transport error".

use std::error::Error;

/// An error and its causes, each once.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    joined(error.to_string(), error)
}

/// `said` and the causes of an error, each once.
pub(crate) fn joined(mut said: String, error: &dyn Error) -> String {
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !said.contains(&more) {
            said = format!("{said}: {more}");
        }
        cause = inner.source();
    }
    said
}
