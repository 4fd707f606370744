//! A sign-off for people, and as JSON.

use serde_json::{Value, json};
use slacktide_engine::time::Instant;
use slacktide_live_bridge::signoff::{Document, SignOff};
use slacktide_reports::text;

/// In plain lines.
pub(super) fn lines(document: &Document, now: Instant) -> Vec<String> {
    let short = |hash: &str| hash.chars().take(16).collect::<String>();
    let over = if now.as_secs() > document.valid_until.as_secs() { ", which is over" } else { "" };
    let mut lines = vec![
        format!("sign-off of {} by {}", document.made_at, document.made_by),
        format!("good until   {}{over}", document.valid_until),
        format!("policy       {}  {}", document.policy.name, short(&document.policy.sha256)),
        format!(
            "package      {} {}  {}",
            document.package.name,
            document.package.version,
            short(&document.package.sha256)
        ),
        format!("fleet        {} devices  {}", document.fleet.devices, short(&document.fleet.fingerprint)),
        format!("made with    {}", document.program),
    ];
    for each in &document.evidence {
        let last = each.first_seed.wrapping_add(u64::from(each.replications.saturating_sub(1)));
        let measures = each.measures.len();
        lines.push(format!("scenario     {}: seeds {} to {last}, {measures} measures", each.scenario, each.first_seed));
    }
    let chaos = &document.chaos;
    lines
        .push(format!("chaos        {} worlds of seed {}: {} broke a promise", chaos.worlds, chaos.seed, chaos.broken));
    document.limits.iter().for_each(|limit| lines.push(format!("limit        {limit}")));
    let row = |(name, e): (&String, &slacktide_live_bridge::signoff::Envelope)| {
        vec![name.clone(), text::number(e.low), text::number(e.mean), text::number(e.high)]
    };
    let rows: Vec<Vec<String>> = document.envelope.iter().map(row).collect();
    let table = text::table(&["seen in the runs", "least", "mean", "most"], &rows);
    lines.extend(table.trim_end().lines().map(str::to_owned));
    lines.push(format!("guard        paused once worse than the worst run by {} %", document.guard_margin_percent));
    if document.signers.is_empty() {
        lines.push("signed by    nobody".to_owned());
    }
    document.signers.iter().for_each(|signer| lines.push(format!("signed by    {}", signer.identity)));
    lines
}

/// As JSON, without schema.
pub(super) fn document(sign_off: &SignOff) -> Value {
    let document = sign_off.document();
    let evidence = document.evidence.iter().map(|each| {
        let measures: serde_json::Map<String, Value> = each
            .measures
            .iter()
            .map(|(name, m)| (name.clone(), json!({"mean": m.mean, "ci95": [m.low, m.high]})))
            .collect();
        json!({
            "scenario": each.scenario, "scenario_sha256": each.scenario_sha256, "first_seed": each.first_seed,
            "replications": each.replications, "journals": each.journals, "measures": measures, "missing": each.missing,
        })
    });
    let envelope: serde_json::Map<String, Value> = document
        .envelope
        .iter()
        .map(|(name, e)| (name.clone(), json!({"low": e.low, "mean": e.mean, "high": e.high})))
        .collect();
    json!({
        "program": document.program,
        "made_at": document.made_at.to_string(),
        "valid_until": document.valid_until.to_string(),
        "made_by": document.made_by,
        "policy": document.policy,
        "package": document.package,
        "fleet": document.fleet,
        "chaos": document.chaos,
        "evidence": evidence.collect::<Vec<_>>(),
        "limits": document.limits,
        "envelope": envelope,
        "guard_margin_percent": document.guard_margin_percent,
        "signers": document.signers.iter().map(|signer| signer.identity.as_str()).collect::<Vec<_>>(),
    })
}
