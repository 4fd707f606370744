//! Structured logs of long-running verbs: one line an event on standard error, `level target message field=value …`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

struct Lines {
    level: Level,
    spans: AtomicU64,
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a String cannot fail.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level && metadata.target().starts_with("slacktide")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let at = slacktide_engine::time::Instant::from_secs(now.as_secs() as i64);
        let (level, target) = (event.metadata().level(), event.metadata().target());
        // A log that cannot be written is no reason to stop.
        let _ = writeln!(std::io::stderr().lock(), "{at} {level} {target}: {}{}", text.message, text.fields);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// From now on what the rooms have to say goes to standard error; `SLACKTIDE_LOG=debug` says more.
pub(crate) fn to_stderr() {
    let level = std::env::var("SLACKTIDE_LOG").ok().and_then(|text| text.parse().ok()).unwrap_or(Level::INFO);
    // Set before by somebody else: theirs stays.
    let _ = tracing::subscriber::set_global_default(Lines { level, spans: AtomicU64::new(0) });
}
