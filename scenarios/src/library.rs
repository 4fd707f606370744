//! The named worlds.

use crate::Scenario;
use slacktide_engine::document::{InputError, nearest};

const FILES: [(&str, &str); 24] = [
    ("first-rollout", include_str!("../library/first-rollout.toml")),
    ("busy-evening", include_str!("../library/busy-evening.toml")),
    ("bad-release", include_str!("../library/bad-release.toml")),
    ("crashy-fleet", include_str!("../library/crashy-fleet.toml")),
    ("sudden-ramp", include_str!("../library/sudden-ramp.toml")),
    ("two-rollouts", include_str!("../library/two-rollouts.toml")),
    ("night-window", include_str!("../library/night-window.toml")),
    ("install-failures", include_str!("../library/install-failures.toml")),
    ("slow-leak", include_str!("../library/slow-leak.toml")),
    ("bad-variant", include_str!("../library/bad-variant.toml")),
    ("site-outage", include_str!("../library/site-outage.toml")),
    ("region-outage", include_str!("../library/region-outage.toml")),
    ("partition", include_str!("../library/partition.toml")),
    ("lossy-telemetry", include_str!("../library/lossy-telemetry.toml")),
    ("clock-skew", include_str!("../library/clock-skew.toml")),
    ("agent-restarts", include_str!("../library/agent-restarts.toml")),
    ("controller-crash", include_str!("../library/controller-crash.toml")),
    ("overload-cascade", include_str!("../library/overload-cascade.toml")),
    ("slow-links", include_str!("../library/slow-links.toml")),
    ("flash-crowd", include_str!("../library/flash-crowd.toml")),
    ("month-end", include_str!("../library/month-end.toml")),
    ("weekly-rhythm", include_str!("../library/weekly-rhythm.toml")),
    ("regime-change", include_str!("../library/regime-change.toml")),
    ("everything-at-once", include_str!("../library/everything-at-once.toml")),
];

/// Names of all scenarios of the library.
pub fn names() -> Vec<&'static str> {
    FILES.iter().map(|(name, _)| *name).collect()
}

/// The file of a named scenario, comments and all.
pub fn text(name: &str) -> Option<&'static str> {
    FILES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// A named scenario.
///
/// # Errors
/// An unknown name; the nearest one is named.
pub fn named(name: &str) -> Result<Scenario, InputError> {
    let Some(text) = text(name) else {
        let hint = nearest(name, names()).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
        return Err(InputError {
            source_name: "scenario library".to_owned(),
            line: None,
            field: String::new(),
            value: name.to_owned(),
            problem: format!(
                "there is no such scenario{hint} There are {}; or give the path of a .toml file",
                names().join(", ")
            ),
        });
    };
    Scenario::from_toml(name, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_of_the_library_reads_and_says_what_it_teaches() {
        for name in names() {
            let scenario = named(name).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(scenario.name, name);
            assert!(!scenario.summary.is_empty() && !scenario.teaches.is_empty(), "{name}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        assert!(named("busy-evning").unwrap_err().to_string().contains("did you mean `busy-evening`?"));
        let said = |text: &str| Scenario::from_toml("s.toml", text).unwrap_err().to_string();
        assert_eq!(said("devices = 5\n"), "s.toml: field `pools`: there must be at least one [[pools]] group");
        assert!(
            said("[[pools]]\nname = \"a\"\nweight = [-1, 1]\n")
                .starts_with("s.toml:3: field `pools[0].weight`: value `-1`")
        );
        assert!(said("[[pools]]\nsharee = 1\n").contains("did you mean `share`?"));
        assert!(said("[[pools]]\nload = { ramp_percent = -1 }\n").contains("must be a number in 0..=100"));
        assert!(said("[[pools]]\nload = { ramp_duration = \"3x\" }\n").contains("`pools[0].load.ramp_duration`"));
        assert!(said("devices = \"many\"\n").contains("invalid type"));
        assert!(said("devices = 0\n[[pools]]\n").contains("must be a number in 1..=4000000"));
        assert!(said("[[pools]]\nload = { base_percent = nan }\n").contains("value `NaN`"));
        assert!(said("policy = \"predictiv\"\n[[pools]]\n").contains("did you mean `predictive`?"));
        assert!(said("tick = \"4m\"\n[[pools]]\n").contains("must divide the policy's slot of 15m"));
        assert!(said("[package]\ntarget = \"verson < 2\"\n[[pools]]\n").contains("did you mean `version`?"));
        assert!(said("[failures.bad_release]\n[[pools]]\n").contains("needs one of"));
    }
}
