//! The named worlds.

use crate::Scenario;
use slacktide_engine::document::{InputError, hint};

const FILES: [(&str, &str); 25] = [
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
    ("late-check-ins", include_str!("../library/late-check-ins.toml")),
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
        let hint = hint(name, names());
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
    fn an_unknown_name_is_a_sentence_with_and_without_a_near_one() {
        let said = |name| named(name).unwrap_err().to_string();
        assert!(said("busy-evning").contains("no such scenario; did you mean `busy-evening`? There are "));
        assert!(said("qqqqqqqqqqqq").contains("no such scenario. There are "), "{}", said("qqqqqqqqqqqq"));
    }

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
                .starts_with("s.toml:3: field `pools[0].weight[0]`: value `-1`")
        );
        assert!(said("[[pools]]\nsharee = 1\n").contains("did you mean `share`?"));
        assert!(said("[[pools]]\nload = { ramp_percent = -1 }\n").contains("must be a number in 0..=100"));
        assert!(said("[[pools]]\nload = { ramp_duration = \"3x\" }\n").contains("`pools[0].load.ramp_duration`"));
        assert!(said("devices = \"many\"\n").contains("value `\"many\"`: must be a whole number"));
        assert!(said("devices = 0\n[[pools]]\n").contains("value `0`: must be a whole number in 1..=4000000"));
        assert!(said("[[pools]]\nload = { base_percent = nan }\n").contains("value `NaN`"));
        assert!(said("policy = \"predictiv\"\n[[pools]]\n").contains("did you mean `predictive`?"));
        assert!(said("tick = \"4m\"\n[[pools]]\n").contains("must divide the policy's slot of 15m"));
        assert!(said("[package]\ntarget = \"verson < 2\"\n[[pools]]\n").contains("did you mean `version`?"));
        assert!(said("[failures.bad_release]\n[[pools]]\n").contains("needs one of"));
    }

    #[test]
    fn mistakes_in_check_ins_are_named() {
        let said = |text: &str| {
            Scenario::from_toml("s.toml", &format!("[[pools]]\n[updates]\n{text}\n")).unwrap_err().to_string()
        };
        assert_eq!(
            said("check_in_scale = \"30s\""),
            "s.toml:3: field `updates.check_in_scale`: value `30s`: must be a time from 1m to 3650d"
        );
        let scale = "check_in_scale = \"8h\"\n";
        assert_eq!(
            said(&format!("{scale}check_in_shape = 0.1")),
            "s.toml:4: field `updates.check_in_shape`: value `0.1`: must be a number in 0.2..=10"
        );
        assert!(said(&format!("{scale}check_in = \"1h\"")).contains("value `8h`: goes not with `check_in`"));
        assert!(
            said("check_in_shape = 0.5").contains("s.toml:3: field `updates.check_in_shape`: value `0.5`: goes with")
        );
        assert!(said("check_in_shapes = 0.5").contains("did you mean `check_in_shape`?"));
    }

    #[test]
    fn mistakes_in_faults_and_links_are_named() {
        let said = |text: &str| Scenario::from_toml("s.toml", &format!("[[pools]]\n{text}")).unwrap_err().to_string();
        let outage = |text: &str| said(&format!("[[failures.outages]]\n{text}\n"));
        assert_eq!(
            outage("only = [\"eu-3\"]"),
            "s.toml:3: field `failures.outages[0].only[0]`: value `eu-3`: no device stands there; did you mean `eu-1`? There are eu-1, eu-2"
        );
        assert!(outage("of = \"rack\"").contains("value `rack`: must be site or region"));
        assert!(outage("every = \"1d\"\nafter = \"1h\"").contains("write one of them"));
        assert!(outage("evry = \"1d\"").contains("did you mean `every`?"));
        assert!(said("[[failures.partitions]]\ntelemetry = \"kept\"\n").contains("must be lost or held"));
        assert!(
            said("[failures.telemetry]\nlost_percent = 60\nlate_percent = 60\n").contains("must add up to 100 at most")
        );
        assert!(said("[failures.agent]\nresumes = 0\nanew = 0\ngives_up = 0\n").contains("must be above 0"));
        assert!(said("[failures.clock]\noff_by = { sigma = 9 }\n").contains("must be a number in 0..=3"));
        assert!(said("[failures.overload]\nfrom_percent = 100\n").contains("must be a number in 0..=99.9"));
        let crashes = "[[failures.controller]]\n[[failures.controller]]\nafter = \"65m\"\n";
        assert!(said(crashes).contains("`failures.controller`") && said(crashes).contains("times overlap"));
        assert!(
            said("[regions.eo]\nlink_mbit_per_s = 1\n")
                .contains("field `regions.eo`: value `eo`: no device stands there; did you mean `eu`?")
        );
        assert!(said("[regions.eu]\nbackground_percent = 1\n").contains("link_mbit_per_s"));
        let full = "[regions.eu]\nlink_mbit_per_s = 1\nbackground_percent = 60\nbackground_daily_percent = 60\n";
        assert!(said(full).contains("at most 99 percent"));
        assert!(said("[failures.crash]\nrecorded = \"nowhere.csv\"\n").contains("s.toml:3"));
    }

    #[test]
    fn the_documentation_names_every_scenario_and_what_it_teaches() {
        let documentation = include_str!("../../docs/scenarios.md");
        for name in names() {
            let row = format!("| `{name}` | {} |", named(name).unwrap().teaches);
            assert!(documentation.contains(&row), "docs/scenarios.md lacks: {row}");
        }
    }
}
