//! What happened, in plain words, and tables for the terminal.

use crate::tables::Tables;
use slacktide_engine::ids::RolloutId;
use slacktide_engine::journal::entry::Header;
use slacktide_engine::rollout::RolloutState;
use slacktide_engine::time::Span;

/// Digits in threes, from five of them on: `9999`, `10,000`; an exponent or a fraction stays as it is.
pub fn grouped(digits: &str) -> String {
    let whole = digits.trim_start_matches('-').split('.').next().unwrap_or_default();
    if whole.len() < 5 || !whole.bytes().all(|b| b.is_ascii_digit()) {
        return digits.to_owned();
    }
    let (sign, rest) = digits.split_at(digits.len() - digits.trim_start_matches('-').len());
    let fraction = &rest[whole.len()..];
    let places = whole.len();
    let spaced = whole.char_indices().flat_map(|(i, digit)| {
        let comma = (i > 0 && (places - i).is_multiple_of(3)).then_some(',');
        comma.into_iter().chain([digit])
    });
    format!("{sign}{}{fraction}", spaced.collect::<String>())
}

/// A number for people: three significant places, no exponent, digits in threes.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        "–".to_owned()
    } else if size >= 100.0 || size == 0.0 || (value.fract() == 0.0 && size < 1e15) {
        grouped(&format!("{value:.0}"))
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else if size >= 0.01 {
        format!("{value:.2}")
    } else if size >= 0.000_05 {
        format!("{value:.4}")
    } else {
        // Not nothing, as four zeros would have it.
        (if value > 0.0 { "< 0.0001" } else { "> -0.0001" }).to_owned()
    }
}

/// A field as CSV wants it.
pub fn csv_field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

/// Columns aligned by their widest cell; numbers are for the caller to write.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let cell = |row: &[String], i: usize| row.get(i).map_or(0, |c| c.chars().count());
    let widths: Vec<usize> = (0..header.len())
        .map(|i| rows.iter().map(|r| cell(r, i)).chain([header[i].chars().count()]).max().unwrap_or(0))
        .collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> =
            cells.iter().zip(&widths).map(|(c, w)| format!("{c}{}", " ".repeat(w - c.chars().count()))).collect();
        format!("  {}\n", padded.join("  ").trim_end())
    };
    let mut text = line(header.to_vec());
    text.push_str(&line(widths.iter().map(|_| "").collect::<Vec<_>>()).replace('\n', ""));
    text = text.trim_end().to_owned() + "\n";
    text.push_str(&format!("  {}\n", widths.iter().map(|w| "─".repeat(*w)).collect::<Vec<_>>().join("  ")));
    for row in rows {
        text.push_str(&line((0..header.len()).map(|i| row.get(i).map_or("", String::as_str)).collect()));
    }
    text
}

/// A rollout by name. In a world of its own with nothing beside it the world says which it is; a fleet has many rollouts.
fn subject(tables: &Tables, header: &Header, rollout: RolloutId) -> String {
    let label = tables.label(rollout);
    match tables.package(rollout).filter(|_| !label.is_empty() || tables.is_live()) {
        Some(package) => format!("{label}{package} in `{}`", header.world_name),
        None => format!("{label}The rollout `{}`", header.world_name),
    }
}

/// Sentences on what happened, in order; one a line.
pub fn sentences(tables: &Tables) -> Vec<String> {
    let mut said = Vec::new();
    let Some(header) = &tables.header else { return vec!["The journal is empty.".to_owned()] };
    let measure = |name: &str| tables.measures.get(name).copied();
    let (began, ended) = (tables.began(), tables.ended());
    for (rollout, (at, state)) in &ended {
        let which = subject(tables, header, *rollout);
        let Some(began) = tables.rollout_began(*rollout) else {
            said.push(format!("{which} never began to run."));
            continue;
        };
        // What goes on has taken until now, whenever it was resumed last.
        let until = if state.is_end() { *at } else { tables.last_known().unwrap_or(*at) };
        let took = until.since(began);
        let outcome = match state {
            RolloutState::Finished => format!("finished after {took}"),
            RolloutState::RolledBack => format!("was stopped and rolled back after {took}"),
            RolloutState::Stopped => format!("was stopped for good after {took}"),
            other => format!("is {other} after {took}"),
        };
        said.push(format!("{which} under the policy `{}` {outcome}.", header.policy_name));
    }
    if began.is_some() {
        // A live journal has no measures; its attempts tell as much.
        let updated =
            measure("updated_devices").or_else(|| tables.course().get("updated_devices").copied()).unwrap_or(0.0);
        let batches = counted(tables.batches.len(), "batch", "batches");
        let waves = counted(tables.waves.len(), "wave", "waves");
        said.push(match tables.targets.values().collect::<Vec<_>>().as_slice() {
            [targets] => {
                let (updated, targets) = (number(updated), number(f64::from(**targets)));
                format!("{updated} of {targets} devices run the new release; {batches} went out in {waves}.")
            }
            // A device may be for several of them.
            all => format!(
                "{} run what the {} rollouts meant for them; {batches} went out in {waves}.",
                counted(updated as usize, "device", "devices"),
                all.len()
            ),
        });
    } else if ended.is_empty() {
        said.push(format!("The rollout `{}` never began to run.", header.world_name));
    }
    for transition in tables.transitions.iter().filter(|t| t.to == RolloutState::Paused) {
        // Of its own time, as its end is told above.
        let after = tables.rollout_began(transition.rollout).map_or(Span::ZERO, |began| transition.at.since(began));
        let cause = transition.cause.map_or("no cause", slacktide_engine::rollout::Cause::name);
        let which = tables.label(transition.rollout);
        said.push(format!("{which}After {after} it was paused ({cause}): {}.", transition.detail));
    }
    let back: usize = tables.rollbacks.iter().map(|row| row.devices).sum();
    if back > 0 {
        said.push(match back {
            1 => "1 device was told to go back.".to_owned(),
            more => {
                let more = counted(more, "device", "devices");
                format!("{more} were told to go back, those with the least capacity left first.")
            }
        });
    }
    if let Some(tightest) = tables.shown_ticks().iter().map(|(_, t)| t.worst_pool_percent).reduce(f64::max) {
        said.push(format!("The tightest pool used up to {tightest:.0} % of its members in service."));
    }
    if let (Some(all), Some(caused)) = (measure("overload_device_minutes"), measure("overload_caused_device_minutes")) {
        said.push(if all <= 0.0 {
            "No device was overloaded at any time.".to_owned()
        } else {
            format!(
                "Devices were overloaded for {} device-{}, {} of them because of the rollout.",
                number(all),
                if all == 1.0 { "minute" } else { "minutes" },
                number(caused)
            )
        });
    }
    if let Some(failed) = measure("failed_devices").filter(|f| *f > 0.0) {
        said.push(if failed == 1.0 {
            "1 device could not be updated and stays on what it ran.".to_owned()
        } else {
            format!("{} devices could not be updated and stay on what they ran.", number(failed))
        });
    }
    said.extend(tables.violations.iter().map(|v| format!("PROMISE BROKEN: {v}.")));
    said.extend(header.remarks.iter().map(|r| format!("Note: {r}.")));
    said
}

/// A whole number, digits in threes.
pub(crate) fn whole(n: usize) -> String {
    grouped(&n.to_string())
}

/// `1 batch`, `2 batches`, `10,000 batches`.
pub fn counted(n: usize, one: &str, many: &str) -> String {
    format!("{} {}", whole(n), if n == 1 { one } else { many })
}

/// `seed 1`, `seeds 1 to 4`.
pub(crate) fn seeds(first: u64, runs: u32) -> String {
    match runs {
        0 | 1 => format!("seed {first}"),
        more => format!("seeds {first} to {}", first + u64::from(more) - 1),
    }
}

/// The sentences and the main measures, for a terminal.
pub fn summary(tables: &Tables) -> String {
    let mut text = sentences(tables).join("\n");
    text.push_str("\n\n");
    // A live journal has none.
    if tables.measures.is_empty() {
        return text;
    }
    let rows: Vec<Vec<String>> =
        tables.measures.iter().map(|(name, value)| vec![name.clone(), number(*value)]).collect();
    text.push_str(&table(&["measure", "value"], &rows));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::Transition;
    use slacktide_engine::time::Instant;

    #[test]
    fn a_table_lines_up() {
        let text = table(&["a", "bb"], &[vec!["xyz".to_owned(), "1".to_owned()], vec!["é".to_owned()]]);
        assert_eq!(text, "  a    bb\n  ───  ──\n  xyz  1\n  é\n");
    }

    #[test]
    fn long_numbers_have_their_digits_in_threes() {
        let all = [9999.0, 10_000.0, 2e9, -123_456.7, 1e15].map(number);
        assert_eq!(all, ["9999", "10,000", "2,000,000,000", "-123,457", "1,000,000,000,000,000"].map(str::to_owned));
        assert_eq!(
            ["12345.6", "-0.00001", "–", "pool-12345"].map(grouped),
            ["12,345.6", "-0.00001", "–", "pool-12345"].map(str::to_owned)
        );
        assert_eq!(
            [1, 2, 100_000].map(|n| counted(n, "device", "devices")),
            ["1 device", "2 devices", "100,000 devices"]
        );
    }

    #[test]
    fn numbers_keep_three_places() {
        let all = [0.0, 3.0, 0.123_45, 12.345, 1234.5, 0.001_23, 0.000_03, -1e-9, f64::NAN].map(number);
        let wanted = ["0", "3", "0.12", "12.3", "1234", "0.0012", "< 0.0001", "> -0.0001", "–"];
        assert_eq!(all, wanted.map(str::to_owned));
    }

    #[test]
    fn each_rollout_is_named_as_commands_name_it_and_timed_from_its_own_start() {
        use RolloutState::{Draft, Finished, Paused, Ready, Running, WaitingForApproval};
        let at = |minute: u64| Instant::default() + Span::from_secs(minute * 60);
        let moved = |minute, rollout, from, to, detail: &str| Transition {
            at: at(minute),
            rollout: RolloutId(rollout),
            from,
            to,
            cause: None,
            detail: detail.to_owned(),
        };
        let transitions = vec![
            moved(0, 0, Draft, WaitingForApproval, "app 1.1 for all devices"),
            moved(0, 0, Ready, Running, ""),
            moved(60, 0, Running, Finished, ""),
            moved(100, 1, Draft, WaitingForApproval, "app 1.2 for all devices"),
            moved(100, 1, Ready, Running, ""),
            moved(110, 1, Running, Paused, "by a person"),
        ];
        let header: Header = serde_json::from_value(serde_json::json!({
            "version": 1, "program": "slacktide", "mode": "full", "seed": 0, "world_name": "shop", "policy_name": "cautious", "policy": "",
            "world": null, "metrics": [], "remarks": []
        }))
        .unwrap();
        let targets = [(RolloutId(0), 3), (RolloutId(1), 3)].into();
        let mut tables = Tables::default();
        (tables.header, tables.targets, tables.transitions) = (Some(header), targets, transitions);
        let said = sentences(&tables).join("\n");
        assert!(said.contains("rollout 0: app 1.1 in `shop` under the policy `cautious` finished after 1h"), "{said}");
        assert!(
            said.contains("rollout 1: app 1.2 in `shop` under the policy `cautious` is paused after 10m"),
            "{said}"
        );
        assert!(said.contains("rollout 1: After 10m 00s it was paused"), "{said}");
    }
}
