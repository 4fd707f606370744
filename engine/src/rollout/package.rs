//! What is installed, who it is for, and by which steps a device gets there.

use crate::filter::{Attributes, Filter};
use crate::version::Version;
use serde::{Deserialize, Serialize};

/// A release to roll out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// The version it brings.
    pub version: Version,
    /// Download size.
    pub size_bytes: u64,
    /// Who the rollout is for. All but its capacity term decides membership when the rollout begins; the capacity term is
    /// evaluated anew at every plan.
    #[serde(with = "as_text")]
    pub target: Filter,
    /// What the package may be installed over.
    #[serde(with = "as_text")]
    pub compatible: Filter,
    /// Releases a device may have to pass through on its way, in any order; at most [`Package::STONES_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stones: Vec<Stone>,
    /// SHA-256 of the archive, hexadecimal, where there is one: a device installs nothing else under this rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// A stepping stone: an older release that devices too far behind are brought to first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stone {
    /// Its version.
    pub version: Version,
    /// Download size.
    pub size_bytes: u64,
    /// What it may be installed over.
    #[serde(with = "as_text")]
    pub compatible: Filter,
}

/// One install on the way to a package's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hop {
    /// The version it brings.
    pub version: Version,
    /// Download size.
    pub size_bytes: u64,
}

/// Why a device gets nothing from a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// It runs the release, or a newer one.
    Newer,
    /// The target does not ask for it.
    NotTarget,
    /// The package cannot be installed over what it runs.
    NotCompatible,
}

impl Package {
    /// Most stepping stones of a package; more are not looked at.
    pub const STONES_MAX: usize = 16;

    /// Why the package is not for a device; `None` when it is.
    pub fn left_out(&self, attributes: &Attributes<'_>) -> Option<LeftOut> {
        if *attributes.version >= self.version {
            Some(LeftOut::Newer)
        } else if !self.target.may_match(attributes) {
            Some(LeftOut::NotTarget)
        } else {
            self.path(attributes).is_none().then_some(LeftOut::NotCompatible)
        }
    }

    /// The installs that bring a device from the version in `attributes` to the package's: the fewest there are, and of those the one
    /// through the newest stones. Every hop goes up and is allowed by the compatibility of what it installs. `None` where there is no
    /// way, and for a device that is there already.
    ///
    /// ```
    /// use slacktide_engine::filter::{Attributes, Filter};
    /// use slacktide_engine::rollout::{Package, Stone};
    /// let package = Package {
    ///     name: "os".into(), version: "3.0".parse()?, size_bytes: 10, target: Filter::parse("true")?,
    ///     compatible: Filter::parse("version >= 2.0")?,
    ///     stones: vec![Stone { version: "2.0".parse()?, size_bytes: 5, compatible: Filter::parse("true")? }],
    ///     sha256: None,
    /// };
    /// let old = "1.4".parse()?;
    /// let device = Attributes { version: &old, variant: "a", function: "web", pool: "p", region: "eu", site: "s", id: "d" };
    /// let path = package.path(&device).unwrap();
    /// assert_eq!(path.iter().map(|hop| hop.version.to_string()).collect::<Vec<_>>(), ["2.0", "3.0"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn path(&self, attributes: &Attributes<'_>) -> Option<Vec<Hop>> {
        let mut releases: Vec<(Hop, &Filter)> = self
            .stones
            .iter()
            .take(Self::STONES_MAX)
            .map(|s| (Hop { version: s.version, size_bytes: s.size_bytes }, &s.compatible))
            .filter(|(hop, _)| hop.version < self.version)
            .collect();
        releases.push((Hop { version: self.version, size_bytes: self.size_bytes }, &self.compatible));
        releases.sort_by_key(|(hop, _)| hop.version);
        // Fewest hops to the last release, from every release and from the device's own: a release only leads upwards, so from the back.
        let leads = |from: &Version, to: usize| {
            let (hop, compatible) = &releases[to];
            hop.version > *from && compatible.may_match(&Attributes { version: from, ..*attributes })
        };
        let last = releases.len() - 1;
        let mut hops: Vec<Option<(u32, usize)>> = vec![None; releases.len()];
        hops[last] = Some((0, last));
        let best = |from: &Version, hops: &[Option<(u32, usize)>], first: usize| {
            let reached = (first..releases.len()).filter(|to| leads(from, *to));
            let counted = reached.filter_map(|to| hops[to].map(|(n, _)| (n + 1, to)));
            counted.min_by_key(|(n, to)| (*n, std::cmp::Reverse(*to)))
        };
        for release in (0..last).rev() {
            hops[release] = best(&releases[release].0.version, &hops, release + 1);
        }
        let (_, mut at) = best(attributes.version, &hops, 0)?;
        let mut path = vec![releases[at].0];
        while at != last {
            at = hops[at]?.1;
            path.push(releases[at].0);
        }
        Some(path)
    }
}

mod as_text {
    //! A filter travels as the text a person would write.
    use crate::filter::Filter;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(filter: &Filter, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(filter)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Filter, D::Error> {
        Filter::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn package(version: &str, compatible: &str, stones: &[(&str, &str)]) -> Package {
        let filter = |text: &str| Filter::parse(text).unwrap();
        let stone = |(version, compatible): &(&str, &str)| Stone {
            version: version.parse().unwrap(),
            size_bytes: 1,
            compatible: filter(compatible),
        };
        Package {
            name: "p".to_owned(),
            version: version.parse().unwrap(),
            size_bytes: 2,
            target: filter("true"),
            compatible: filter(compatible),
            stones: stones.iter().map(stone).collect(),
            sha256: None,
        }
    }

    fn path(package: &Package, from: &str) -> Option<String> {
        let from: Version = from.parse().unwrap();
        let device =
            Attributes { version: &from, variant: "a", function: "f", pool: "p", region: "r", site: "s", id: "d" };
        Some(package.path(&device)?.iter().map(|hop| hop.version.to_string()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn the_way_is_the_shortest_and_through_the_newest_stones() {
        let package =
            package("4.0", "version >= 3.0", &[("2.0", "true"), ("3.0", "version >= 2.0"), ("3.1", "version >= 2.0")]);
        assert_eq!(path(&package, "3.5").as_deref(), Some("4.0"));
        assert_eq!(path(&package, "2.0").as_deref(), Some("3.1 4.0"));
        assert_eq!(path(&package, "1.0").as_deref(), Some("2.0 3.1 4.0"));
        assert_eq!(path(&package, "4.0"), None);
        assert_eq!(path(&package, "4.1"), None);
    }

    #[test]
    fn where_no_way_leads_there_is_none() {
        assert_eq!(path(&package("4.0", "version >= 3.0", &[]), "2.0"), None);
        assert_eq!(path(&package("4.0", "version >= 3.0", &[("3.0", "variant == \"b\"")]), "2.0"), None);
        // A stone beyond the target leads down, not up.
        assert_eq!(path(&package("4.0", "version >= 5.0", &[("5.0", "true")]), "2.0"), None);
    }

    proptest! {
        /// Whatever the stones: every hop goes up, is allowed, and no way is shorter.
        #[test]
        fn a_path_is_sound_and_none_is_shorter(
            stones in proptest::collection::vec((1u32..9, 0u32..9), 0..6), needs in 0u32..9, from in 0u32..9,
        ) {
            let texts: Vec<(String, String)> =
                stones.iter().map(|(v, c)| (format!("{v}.0"), format!("version >= {c}.0"))).collect();
            let stones: Vec<(&str, &str)> = texts.iter().map(|(v, c)| (v.as_str(), c.as_str())).collect();
            let package = package("9.0", &format!("version >= {needs}.0"), &stones);
            // Breadth first over whole numbers, written anew.
            let mut reached = vec![from];
            let mut hops = 0;
            let mut seen = std::collections::BTreeSet::from([from]);
            let found = loop {
                if reached.contains(&9) { break Some(hops); }
                if reached.is_empty() { break None; }
                let mut next = Vec::new();
                for at in &reached {
                    for (to, compatible) in stones.iter().chain([&("9.0", "")]) {
                        let to: u32 = to.split('.').next().unwrap().parse().unwrap();
                        let floor: u32 = compatible.trim_start_matches("version >= ").split('.').next().unwrap().parse().unwrap_or(needs);
                        if to > *at && *at >= floor && seen.insert(to) { next.push(to); }
                    }
                }
                reached = next;
                hops += 1;
            };
            let got = path(&package, &format!("{from}.0")).map(|p| p.split(' ').count());
            prop_assert_eq!(got, found);
        }
    }
}
