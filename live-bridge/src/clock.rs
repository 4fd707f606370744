//! The clock on the wall, read in one place. Before 1970 it counts as 1970.

use slacktide_engine::time::Instant;
use std::time::{SystemTime, UNIX_EPOCH};

/// Now, to the millisecond.
pub fn now() -> Instant {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Instant::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The second under way: what documents and certificates are dated with.
pub fn this_second() -> Instant {
    Instant::from_secs(now().as_secs())
}
