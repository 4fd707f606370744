//! The named policies.

use super::{
    AttemptRules, Basis, CountLimit, ForecastRules, MonitorRules, PlanRules, Policy, Priority, PriorityFormula,
    RollbackRules, RollbackScope, Scores, Wave, fragment, settled,
};
use crate::document::{Document, InputError, hint};
use crate::time::Span;
use crate::window::Calendar;
use slacktide_forecast::ModelKind;

/// Models that compete by default: four that cost nothing, and the strongest classical one for small fleets and pools.
const MODELS: [ModelKind; 5] =
    [ModelKind::Naive, ModelKind::SeasonalNaive, ModelKind::SeasonalMean, ModelKind::Average, ModelKind::MstlArima];

const FILES: [(&str, &str); 13] = [
    ("predictive", include_str!("library/predictive.toml")),
    ("reactive", include_str!("library/reactive.toml")),
    ("all-at-once", include_str!("library/all-at-once.toml")),
    ("fixed-rate", include_str!("library/fixed-rate.toml")),
    ("exponential-rate", include_str!("library/exponential-rate.toml")),
    ("groups-with-thresholds", include_str!("library/groups-with-thresholds.toml")),
    ("timed-waves", include_str!("library/timed-waves.toml")),
    ("linear-rollout", include_str!("library/linear-rollout.toml")),
    ("max-unavailable-by-zone", include_str!("library/max-unavailable-by-zone.toml")),
    ("largest-residual-capacity", include_str!("library/largest-residual-capacity.toml")),
    ("maintenance-window", include_str!("library/maintenance-window.toml")),
    ("cautious", include_str!("library/cautious.toml")),
    ("quick", include_str!("library/quick.toml")),
];

/// Names of all policies of the library.
pub fn names() -> Vec<&'static str> {
    FILES.iter().map(|(name, _)| *name).collect()
}

/// The file of a named policy, comments and all.
pub fn text(name: &str) -> Option<&'static str> {
    FILES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// A named policy.
///
/// # Errors
/// An unknown name; the nearest one is named.
pub fn named(name: &str) -> Result<Policy, InputError> {
    let Some(text) = text(name) else {
        let hint = hint(name, names());
        return Err(InputError {
            source_name: "policy library".to_owned(),
            line: None,
            field: String::new(),
            value: name.to_owned(),
            problem: format!(
                "there is no such policy{hint} There are {}; or give the path of a .toml file",
                names().join(", ")
            ),
        });
    };
    Policy::from_toml(name, text)
}

impl Policy {
    /// Reads a policy file. What it leaves out is as in [`Policy::default`].
    ///
    /// # Errors
    /// [`InputError`] naming file, line, field, value and the valid range.
    pub fn from_toml(source_name: &str, text: &str) -> Result<Self, InputError> {
        Self::default().overridden(source_name, text)
    }

    /// This policy with the keys of a partial file changed.
    ///
    /// # Errors
    /// As [`Policy::from_toml`].
    pub fn overridden(&self, source_name: &str, text: &str) -> Result<Self, InputError> {
        Document::read(source_name, text, |given, document| settled::settle(document, given, self))
    }

    /// This policy with the keys of a table of `document` changed, which has been read as `given`.
    ///
    /// # Errors
    /// As [`Policy::from_toml`].
    pub fn overridden_within(&self, document: &Document, given: fragment::PolicyFragment) -> Result<Self, InputError> {
        settled::settle(document, given, self)
    }

    /// This policy with one field changed, such as `plan.device_load_max` to `60` (a TOML value; a bare word counts as text).
    ///
    /// # Errors
    /// As [`Policy::from_toml`].
    pub fn with_field(&self, path: &str, value: &str) -> Result<Self, InputError> {
        let (table, key) = path.rsplit_once('.').unwrap_or(("", path));
        let header = if table.is_empty() { String::new() } else { format!("[{table}]\n") };
        let plain = |value: &str| format!("{header}{key} = {value}\n");
        let is_toml = toml::from_str::<toml::Table>(&plain(value)).is_ok();
        let text = if is_toml { plain(value) } else { plain(&format!("\"{}\"", value.replace(['"', '\\'], ""))) };
        self.overridden("--set", &text)
    }

    /// The whole policy as a file; [`Policy::from_toml`] reads it back as the same policy.
    pub fn to_toml(&self) -> String {
        toml::to_string(&super::written::unsettle(self)).unwrap_or_default()
    }

    /// JSON schema of the file.
    pub fn schema() -> serde_json::Value {
        serde_json::to_value(schemars::schema_for!(fragment::PolicyFragment)).unwrap_or_default()
    }
}

fn scores() -> Scores {
    let criticality = [
        ("cache", 70.0),
        ("database", 90.0),
        ("display", 20.0),
        ("gateway", 80.0),
        ("sensor", 10.0),
        ("web", 60.0),
        ("worker", 30.0),
    ];
    Scores {
        load_quantile: 0.9,
        metric_weights: Vec::new(),
        demand_metric: "cpu".to_owned(),
        criticality: criticality.map(|(function, score)| (function.to_owned(), score)).to_vec(),
        criticality_default: 50.0,
    }
}

impl Default for Policy {
    /// The `predictive` policy. Why each value is what it is: `docs/defaults.md`.
    fn default() -> Self {
        let minutes = |n: u64| Span::from_secs(n * 60);
        let hours = |n: u64| minutes(n * 60);
        Self {
            name: "predictive".to_owned(),
            summary: "forecasts every device and pool, goes when the fleet can spare it, takes back before it hurts"
                .to_owned(),
            scores: scores(),
            priority: Priority { formula: PriorityFormula::SpareFirst, criticality_weight: 0.5, capacity_weight: 0.5 },
            plan: PlanRules {
                slot: minutes(15),
                horizon: hours(24),
                basis: Basis::Forecast,
                demand_quantile: 0.9,
                demand_seen_within: Some(minutes(30)),
                load_limit_percent: 90.0,
                pool_reserve_percent: 0.0,
                pool_members_min: 2,
                pool_out_max: CountLimit::Percent(25.0),
                region_out_max: CountLimit::Unlimited,
                batch_requirement_max: None,
                batch_capacity_max: None,
                batch_devices_max: CountLimit::Unlimited,
                device_load_max: Some(70.0),
                device_load_tolerance_points: 5.0,
                telemetry_age_max: Some(minutes(15)),
                patience: hours(6),
                duration_expected: minutes(30),
                duration_quantile: 0.95,
            },
            waves: [
                (2.0, Wave::CANARIES_MIN, hours(2)),
                (10.0, 0, hours(1)),
                (40.0, 0, minutes(30)),
                (100.0, 0, Span::ZERO),
            ]
            .map(|(share_percent, devices_min, soak)| Wave {
                share_percent,
                devices_min,
                soak,
                opens_after: None,
                spread: Span::ZERO,
                success_percent_min: None,
                failure_percent_max: None,
            })
            .to_vec(),
            rate: None,
            calendar: Calendar::default(),
            regions: std::collections::BTreeMap::new(),
            monitor: MonitorRules {
                capacity_floor: Some(10.0),
                floor_devices_min: 5,
                watch_pools: true,
                critical_load_percent: 95.0,
                lookahead: minutes(30),
                nowcast: true,
                failure_percent_max: 5.0,
                failure_count_min: 3,
                failure_settled_min: 0,
                failures_abort: false,
                false_alarm_rate: Some(0.01),
                regression_tolerance_points: 1.0,
            },
            rollback: RollbackRules {
                on_capacity: RollbackScope::Batch,
                on_bad_release: RollbackScope::All,
                on_failures: RollbackScope::All,
                resume_after: Some(hours(1)),
                resumes_max: 24,
                hold_max: hours(24),
            },
            forecast: ForecastRules {
                models: MODELS.to_vec(),
                every: hours(1),
                history: hours(7 * 24),
                season: hours(24),
                dear_series_max: 32,
                seed: 1,
            },
            attempts: AttemptRules {
                attempts_max: 2,
                retry_pause: hours(1),
                timeout: hours(2),
                rollout_timeout: hours(7 * 24),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_of_the_library_reads_and_comes_back_whole() {
        for name in names() {
            let policy = named(name).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(policy.name, name);
            assert_eq!(Policy::from_toml("again", &policy.to_toml()).unwrap_or_else(|e| panic!("{e}")), policy);
        }
        assert_eq!(named("predictive").unwrap(), Policy::default());
    }

    #[test]
    fn every_policy_of_the_library_is_documented() {
        let page = include_str!("../../../docs/baselines.md");
        for name in names() {
            assert!(page.contains(&format!("`{name}`")), "{name} is not in docs/baselines.md");
            assert!(named(name).is_ok_and(|policy| policy.summary.len() > 20), "{name} has no summary");
        }
    }

    #[test]
    fn waves_by_the_clock_and_rates_come_back_and_say_what_is_wrong() {
        let said = |text: &str| Policy::from_toml("p.toml", text).unwrap_err().to_string();
        let two = "[[waves]]\nshare_percent = 5\nopens_after = \"4h\"\n[[waves]]\nshare_percent = 100\nopens_after = \"1h\"\n";
        assert!(said(two).contains("p.toml:6: field `waves[1].opens_after`: value `1h`: a wave before opens after 4h"));
        assert!(said("[[waves]]\nshare_percent = 100\nsuccess_percent_min = 101\n").contains("must be a number in"));
        assert!(said("[rate]\nincrement_factor = 2\n").contains("field `rate.base_per_minute`"));
        assert!(said("[rate]\nbase_per_minute = 0\n").contains("must be a number in 0.001..=100000"));
        assert!(said("[rate]\nbase_per_minute = 1\nincrease_every_succeeded = 1.5\n").contains("whole number"));
        assert!(said("[rate]\nbase_per_minute = 1\nincrement_factor = 0.5\n").contains("1..=10"));
        let rate = named("exponential-rate").unwrap();
        let faster = rate.with_field("rate.base_per_minute", "50").unwrap();
        assert_eq!(faster.rate.map(|r| (r.base_per_minute, r.increment_factor)), Some((50.0, 2.0)));
        assert_eq!(rate.with_field("rate.base_per_minute", "unlimited").unwrap().rate, None);
        let groups = named("groups-with-thresholds").unwrap();
        assert!(
            groups.waves.iter().all(|w| (w.success_percent_min, w.failure_percent_max) == (Some(50.0), Some(50.0)))
        );
    }

    #[test]
    fn a_wrong_name_is_told_the_nearest() {
        assert!(named("predictve").unwrap_err().to_string().contains("did you mean `predictive`?"));
    }

    #[test]
    fn bad_values_name_line_field_value_and_range() {
        let said = |text: &str| Policy::from_toml("p.toml", text).unwrap_err().to_string();
        assert_eq!(
            said("[plan]\ndevice_load_max = 170\n"),
            "p.toml:2: field `plan.device_load_max`: value `170`: must be a number in 0..=100, or \"off\""
        );
        assert!(said("[plan]\ndevice_load_max = nan\n").contains("value `NaN`"));
        assert!(said("[plan]\nslot = \"7m\"\n").contains("must divide a day"));
        assert!(said("[plan]\nslot = \"-3m\"\n").contains("must be a time such as"));
        assert!(said("[plan]\npool_out_max = \"0%\"\n").contains("a share such as"));
        assert!(
            said("[plan]\nbasis = \"guess\"\n")
                .contains("`plan.basis`: value `\"guess\"`: must be one of forecast, current, ignore")
        );
        assert!(said("[[waves]]\nshare_percent = 40\n").contains("the last wave must have 100"));
        assert!(said("[[waves]]\nshare_percent = 40\n[[waves]]\nshare_percent = 30\n").contains("p.toml:4"));
        assert!(said("waves = []\n").contains("at least one wave"));
        assert!(said("[forecast]\nmodels = [\"arimaa\"]\n").contains("is no model"));
        assert!(said("[monitr]\n").contains("did you mean `monitor`?"));
        assert!(said("[regions.north]\nzone = \"Europe/Berlim\"\n").contains("did you mean Europe/Berlin?"));
        assert_eq!(
            said("[regions.north]\nzone = \"UTC\"\nlink_mbit_per_s = 0\n"),
            "p.toml:3: field `regions.north.link_mbit_per_s`: value `0`: must be a number above 0 and at most 1000000000, or \"unlimited\""
        );
        assert!(said("[regions.north]\nlink_mbit_per_s = \"fast\"\n").contains("value `fast`"));
        assert!(said("[regions.north]\nout_max = 1.5\n").contains("a share such as"));
        assert!(said("[regions.north]\nzoen = \"UTC\"\n").contains("did you mean `zone`?"));
        assert!(said("[[windows]]\nzone = \"Mars/Base\"\n").contains("no IANA time zone"));
    }

    #[test]
    fn regions_come_back_and_are_changed_key_by_key() {
        let text = "[regions.north]\nzone = \"Europe/Berlin\"\nlink_mbit_per_s = 40\nout_max = \"5%\"\n[regions.south]\nout_max = \"unlimited\"\n[[windows]]\nfrom = \"01:00\"\nto = \"05:00\"\nzone = \"local\"\n";
        let policy = Policy::from_toml("p.toml", text).unwrap();
        assert_eq!(Policy::from_toml("again", &policy.to_toml()).unwrap(), policy);
        assert!(policy.calendar.is_local() && !Policy::default().calendar.is_local());
        let north = policy.region("north");
        assert_eq!(north.zone.as_ref().map(crate::window::Zone::name), Some("Europe/Berlin"));
        // 40 Mbit/s are 5 MB/s: 4.5 GB in a quarter of an hour.
        assert_eq!(north.link_bytes(Span::from_secs(900)), Some(4.5e9));
        assert_eq!(policy.region("nowhere").link_bytes(Span::from_secs(900)), None);
        let changed = policy.with_field("regions.north.link_mbit_per_s", "unlimited").unwrap();
        assert_eq!(changed.region("north"), super::super::RegionRules { link_mbit_per_s: None, ..north });
        assert_eq!(changed.region("south").out_max, Some(CountLimit::Unlimited));
    }

    #[test]
    fn one_field_can_be_changed() {
        let policy = Policy::default().with_field("plan.device_load_max", "60").unwrap();
        assert_eq!(policy.plan.device_load_max, Some(60.0));
        let policy = Policy::default().with_field("plan.horizon", "12h").unwrap();
        assert_eq!(policy.plan.horizon, Span::from_secs(12 * 3600));
        assert!(
            Policy::default()
                .with_field("plan.horizn", "12h")
                .unwrap_err()
                .to_string()
                .contains("did you mean `horizon`?")
        );
    }
}
