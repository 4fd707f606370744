//! What is installed, and who it is for.

use crate::filter::Filter;
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
