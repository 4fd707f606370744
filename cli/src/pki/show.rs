//! What `pki` prints.

use anyhow::Result;
use serde_json::{Value, json};
use slacktide_live_bridge::trust::Authority;
use slacktide_live_bridge::trust::authority::{Entry, Generation};
use slacktide_reports::text;

/// A certificate as it stands in documents.
pub(super) fn certificate(entry: &Entry) -> Value {
    json!({
        "serial": entry.serial, "identity": entry.identity, "hosts": entry.hosts, "generation": entry.generation,
        "issued_at_s": entry.issued_at_s, "not_after_s": entry.not_after_s,
        "revoked_at_s": entry.revoked_at_s, "reason": entry.reason,
    })
}

/// Generations as they stand in documents.
pub(super) fn generations(generations: &[Generation]) -> Result<Vec<Value>> {
    let one = |generation: &Generation| {
        let fingerprint = generation.fingerprint()?;
        Ok(json!({"number": generation.number, "not_after_s": generation.not_after_s, "fingerprint": fingerprint}))
    };
    generations.iter().map(one).collect()
}

/// The document of `pki list`.
pub(super) fn document(authority: &Authority, entries: &[&Entry]) -> Result<Value> {
    Ok(json!({
        "schema": "slacktide/pki-list/1",
        "trust_domain": authority.domain().as_str(),
        "generations": generations(&authority.generations()?)?,
        "certificates": entries.iter().map(|entry| certificate(entry)).collect::<Vec<_>>(),
    }))
}

/// The same for people.
pub(super) fn table(authority: &Authority, entries: &[&Entry], now_s: i64) -> Result<Vec<String>> {
    let mut lines = vec![format!("trust domain {}", authority.domain())];
    for generation in authority.generations()? {
        let (number, end) = (generation.number, day(generation.not_after_s));
        lines.push(format!("authority {number} until {end}, fingerprint {}", generation.fingerprint()?));
    }
    let row = |entry: &&Entry| {
        let state = match (entry.revoked_at_s, &entry.reason) {
            (Some(at_s), Some(reason)) => format!("revoked {}: {reason}", day(at_s)),
            (Some(at_s), None) => format!("revoked {}", day(at_s)),
            (None, _) if now_s > entry.not_after_s => "ended".to_owned(),
            (None, _) => "good".to_owned(),
        };
        vec![entry.identity.clone(), entry.serial.clone(), entry.generation.to_string(), day(entry.not_after_s), state]
    };
    if !entries.is_empty() {
        let rows: Vec<Vec<String>> = entries.iter().map(row).collect();
        lines.push(text::table(&["who", "serial", "authority", "until", "state"], &rows));
    }
    Ok(lines)
}

/// A moment as people write it, UTC.
pub(super) fn day(unix_s: i64) -> String {
    // Outside jiff's calendar there is nothing better to show than the number.
    jiff::Timestamp::from_second(unix_s)
        .map_or_else(|_| format!("{unix_s} s"), |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string())
}
