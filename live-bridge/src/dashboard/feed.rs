//! One look at the engine that all who look on share: it is asked no more often than it can spare, however many watch.

use super::words;
use crate::controller::{Decision, Intercom, Overview};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tonic::Status;

/// A look at most this often.
const LOOK_EVERY_MIN: Duration = Duration::from_millis(250);
/// However dear a look is, one this often.
const LOOK_EVERY_MAX: Duration = Duration::from_secs(10);
/// The engine's thread spends at most one part in so many on being looked at.
const SHARE_OF_ENGINE: u32 = 20;
/// Loads move without a decision: a look after this long in any case.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(5);

/// A look, as text.
#[derive(Debug)]
pub(super) struct Shown {
    /// Everything but the map and the decisions.
    pub(super) status: Value,
    pub(super) status_text: String,
    pub(super) map_text: String,
    /// The eldest first.
    pub(super) decisions: Vec<Decision>,
    took: Duration,
    at: Instant,
    change: u64,
}

/// The look.
#[derive(Debug)]
pub(super) struct Feed {
    intercom: Intercom,
    last: Mutex<Option<Arc<Shown>>>,
}

impl Feed {
    pub(super) fn new(intercom: Intercom) -> Self {
        Self { intercom, last: Mutex::default() }
    }

    /// What is the case now. Whoever asks while somebody is waiting for it gets the same.
    pub(super) async fn latest(&self) -> Result<Arc<Shown>, Status> {
        let mut last = self.last.lock().await;
        if let Some(shown) = &*last {
            let is_unchanged = shown.change == *self.intercom.changes().borrow();
            if is_unchanged && shown.at.elapsed() < HEARTBEAT / 2 {
                return Ok(Arc::clone(shown));
            }
            let pause = (shown.took * SHARE_OF_ENGINE).clamp(LOOK_EVERY_MIN, LOOK_EVERY_MAX);
            tokio::time::sleep(pause.saturating_sub(shown.at.elapsed())).await;
        }
        // Asked for after this was read: a change in between is at worst looked at twice.
        let change = *self.intercom.changes().borrow();
        let overview = self.intercom.overview().await?;
        let shown = Arc::new(shown(&self.intercom, overview, change)?);
        *last = Some(Arc::clone(&shown));
        Ok(shown)
    }
}

fn shown(intercom: &Intercom, mut overview: Overview, change: u64) -> Result<Shown, Status> {
    let unfit = |error: serde_json::Error| Status::internal(error.to_string());
    let mut status = serde_json::to_value(&overview).map_err(unfit)?;
    status["name"] = json!(intercom.name());
    status["sentence"] = json!(words::sentence(&overview));
    let decisions = std::mem::take(&mut overview.decisions);
    Ok(Shown {
        status_text: status.to_string(),
        map_text: serde_json::to_string(&overview.map).map_err(unfit)?,
        status,
        decisions,
        took: overview.took,
        at: Instant::now(),
        change,
    })
}
