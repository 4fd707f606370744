//! What lies in the inbox of a store that nobody has open: every message in the order of its commit, as long as no tick has passed.

use prost::Message;
use slacktide_engine::journal::replay::replay;
use slacktide_engine::journal::{Entry, Line};
use slacktide_live_bridge::wire::{DeviceMessage, device_message::Body};
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Clone, PartialEq, Message)]
struct Batch {
    #[prost(message, repeated, tag = "1")]
    messages: Vec<One>,
}

#[derive(Clone, PartialEq, Message)]
struct One {
    #[prost(string, tag = "1")]
    device: String,
    #[prost(message, optional, tag = "2")]
    message: Option<DeviceMessage>,
}

/// All messages by device, each number once and upwards.
pub(crate) fn stored(store: &Path) -> BTreeMap<String, Vec<DeviceMessage>> {
    let connection = rusqlite::Connection::open(store).unwrap();
    let mut statement = connection.prepare("SELECT batch FROM inbox ORDER BY id").unwrap();
    let rows = statement.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
    let mut by_device: BTreeMap<String, Vec<DeviceMessage>> = BTreeMap::new();
    for batch in rows.map(|row| Batch::decode(row.unwrap().as_slice()).unwrap()) {
        for one in batch.messages {
            by_device.entry(one.device).or_default().push(one.message.unwrap());
        }
    }
    for (device, messages) in &by_device {
        let numbers: Vec<u64> = messages.iter().map(|message| message.sequence).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{device}: {numbers:?}");
    }
    by_device
}

/// What the reports among them say of a metric.
pub(crate) fn reported(messages: &[DeviceMessage], metric: &str) -> Vec<f32> {
    let reports = messages.iter().filter_map(|message| match &message.body {
        Some(Body::Report(report)) => Some(report),
        _ => None,
    });
    reports.flat_map(|report| &report.samples).filter(|s| s.metric == metric).map(|s| s.percent).collect()
}

/// Words of inputs that are left out and tell of nothing wrong.
const FINE: [&str; 2] = ["asks for an update", "whose attempt is"];

/// A journal that replays to itself, in which no attempt came to the same end twice, and nothing made no sense. What may be: a question that
/// came before there was a rollout, and an answer that a device gave again because it was asked again.
pub(crate) fn assert_sound(lines: &[Line], what: &str) {
    assert_eq!(replay(lines).unwrap().first_difference, None, "{what}");
    let ignored = lines.iter().filter_map(|line| match &line.entry {
        Entry::Ignored { reason } if !FINE.iter().any(|fine| reason.contains(fine)) => Some(reason),
        _ => None,
    });
    assert_eq!(ignored.collect::<Vec<_>>(), Vec::<&String>::new(), "{what}");
    let settled = lines.iter().filter_map(|line| match &line.entry {
        Entry::Settled { attempts, .. } => Some(attempts),
        _ => None,
    });
    let mut ends: Vec<_> = settled.flatten().map(|one| (one.attempt, one.end)).collect();
    let all = ends.len();
    ends.sort();
    ends.dedup();
    assert_eq!(ends.len(), all, "{what}");
}
