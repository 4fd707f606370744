//! Links that devices share.

use super::faults::{areas, hint, stands};
use super::read::{Read, Reader};
use crate::faults::{Link, Scope};
use crate::scenario::PoolGroup;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use slacktide_engine::document::below;
use std::collections::BTreeMap;

shape! {
    /// `[regions.NAME]`: the link of a region.
    LinkFragment {
        /// Megabits a second, all traffic together (default: no limit).
        link_mbit_per_s: f64,
        /// Share that other traffic takes at its quietest (default 0).
        background_percent: f64,
        /// Height of the daily curve of other traffic (default 0).
        background_daily_percent: f64,
        /// Hour of its peak, UTC (default 20).
        background_peak_hour: f64,
    }
}

impl Reader<'_> {
    pub(super) fn links(&self, given: BTreeMap<String, LinkFragment>, pools: &[PoolGroup]) -> Read<Vec<Link>> {
        let mut links = Vec::new();
        for (region, given) in given {
            let at = below("regions", &region);
            if !stands(pools, Scope::Region, &region) {
                let problem = format!("no device stands there{}", hint(&region, &areas(pools, Scope::Region)));
                return Err(self.0.error(&at, &region, problem));
            }
            let field =
                |name: &str, value, default, min, max| self.number(&format!("{at}.{name}"), value, default, min, max);
            let background = field("background_percent", given.background_percent, 0.0, 0.0, 99.0)?;
            let daily = field("background_daily_percent", given.background_daily_percent, 0.0, 0.0, 99.0)?;
            let peak_hour = field("background_peak_hour", given.background_peak_hour, 20.0, 0.0, 24.0)?;
            if background + daily > 99.0 {
                let problem = "with background_percent it may take at most 99 percent of the link";
                return Err(self.0.error(&format!("{at}.background_daily_percent"), daily, problem));
            }
            if let Some(mbit) = given.link_mbit_per_s {
                links.push(Link {
                    mbit_per_s: field("link_mbit_per_s", Some(mbit), 0.0, 1e-3, 1e9)?,
                    background_percent: background,
                    background_daily_percent: daily,
                    background_peak_hour: peak_hour,
                    region,
                });
            } else if background + daily > 0.0 {
                let problem = "is missing: other traffic is a share of a link, so write a number in 0.001..=1000000000";
                return Err(self.0.error(&format!("{at}.link_mbit_per_s"), "", problem));
            }
        }
        Ok(links)
    }
}
