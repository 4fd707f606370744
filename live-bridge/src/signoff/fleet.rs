//! By what a fleet is known: its devices and where they stand, not what they run, for that is what a rollout changes.

use super::sha256;
use slacktide_engine::input::DeviceFacts;

/// SHA-256 over the devices in the order of their ids: id, pool, region, site, function, weight, variant. The order of the file does not
/// count, nor do versions, criticality and requirement. Each field is preceded by its length, so that no two fleets share a text.
pub fn fleet_fingerprint(devices: &[DeviceFacts]) -> String {
    let mut order: Vec<&DeviceFacts> = devices.iter().collect();
    order.sort_by(|a, b| a.id.as_str().cmp(b.id.as_str()));
    let mut text = String::new();
    for device in order {
        let weight = device.weight.to_string();
        let fields =
            [device.id.as_str(), device.pool.as_str(), device.region.as_str(), device.site.as_str(), &device.function];
        for field in fields.into_iter().chain([weight.as_str(), device.variant.as_str()]) {
            text.push_str(&field.len().to_string());
            text.push(':');
            text.push_str(field);
        }
        text.push('\n');
    }
    sha256(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use slacktide_engine::ids::{DeviceId, PoolId, RegionId, SiteId};

    fn device(id: &str) -> DeviceFacts {
        DeviceFacts {
            id: DeviceId::new(id),
            pool: PoolId::new("shop"),
            region: RegionId::new("eu"),
            site: SiteId::new("eu-1"),
            function: "web".to_owned(),
            criticality: None,
            version: "1.0".parse().unwrap(),
            variant: "a".to_owned(),
            weight: 1.0,
            requirement: 1.0,
        }
    }

    #[test]
    fn what_stands_counts_and_what_runs_does_not() {
        let fleet = [device("a"), device("b")];
        let known = fleet_fingerprint(&fleet);
        assert_eq!(fleet_fingerprint(&[device("b"), device("a")]), known, "the order of the file");
        let changed = |change: fn(&mut DeviceFacts)| {
            let mut fleet = fleet.clone();
            change(&mut fleet[1]);
            fleet_fingerprint(&fleet) != known
        };
        assert!(!changed(|d| d.version = "2.0".parse().unwrap()) && !changed(|d| d.requirement = 9.0));
        assert!(changed(|d| d.pool = PoolId::new("bank")) && changed(|d| d.region = RegionId::new("us")));
        assert!(changed(|d| d.site = SiteId::new("eu-2")) && changed(|d| d.function = "database".to_owned()));
        assert!(changed(|d| d.weight = 1.5) && changed(|d| d.variant = "b".to_owned()));
        assert_ne!(fleet_fingerprint(&fleet[..1]), known);
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        let (mut one, mut two) = (device("a"), device("a"));
        (one.function, one.variant) = ("web".to_owned(), "a\n1:b".to_owned());
        (two.function, two.variant) = ("we".to_owned(), "ba\n1:b".to_owned());
        assert_ne!(fleet_fingerprint(&[one]), fleet_fingerprint(&[two]));
    }
}
