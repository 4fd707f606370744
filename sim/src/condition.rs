//! In what condition every device is, and what of that moves load.

use slacktide_engine::time::Instant;
use slacktide_engine::version::Version;
use std::ops::{Index, IndexMut};

/// Why a device is not in service, or what is on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Condition {
    pub(crate) crashed: bool,
    pub(crate) out: bool,
    pub(crate) updating: bool,
    /// The release it runs.
    pub(crate) runs: Version,
    /// Since when, where a rollout brought it.
    pub(crate) new_since: Option<Instant>,
    /// Since when it runs without a break what a rollout brought.
    pub(crate) fresh_since: Option<Instant>,
    /// Cannot talk to the controller.
    pub(crate) cut: bool,
}

/// Where a device stands in a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// In service, and nothing of the rollout is on it.
    In,
    /// In service; an update or a release may add to its load.
    Loaded,
    Out,
    Crashed,
}

impl Service {
    pub(crate) const fn is_away(self) -> bool {
        matches!(self, Self::Out | Self::Crashed)
    }
}

/// The conditions of all devices. Whoever takes one by `conditions[d].… = …` has it looked at again at the next [`Self::settle`]; a tick
/// of a large fleet reads what has changed and not everybody's.
#[derive(Debug)]
pub(crate) struct Conditions {
    all: Vec<Condition>,
    services: Vec<Service>,
    changed: Vec<u32>,
}

impl Conditions {
    /// Everybody in service, on these releases.
    pub(crate) fn new(runs: impl Iterator<Item = Version>) -> Self {
        let plain = |runs| Condition {
            crashed: false,
            out: false,
            updating: false,
            runs,
            new_since: None,
            fresh_since: None,
            cut: false,
        };
        let all: Vec<Condition> = runs.map(plain).collect();
        Self { services: vec![Service::In; all.len()], all, changed: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Brings [`Self::services`] up to date. A release that came by a rollout moves load only where one `may_be_bad`.
    pub(crate) fn settle(&mut self, may_be_bad: bool) {
        for d in self.changed.drain(..) {
            let condition = &self.all[d as usize];
            let came = condition.new_since.is_some() || condition.fresh_since.is_some();
            self.services[d as usize] = if condition.crashed {
                Service::Crashed
            } else if condition.out {
                Service::Out
            } else if condition.updating || may_be_bad && came {
                Service::Loaded
            } else {
                Service::In
            };
        }
    }

    /// By device, as of the last [`Self::settle`].
    pub(crate) fn services(&self) -> &[Service] {
        &self.services
    }
}

impl Index<usize> for Conditions {
    type Output = Condition;

    fn index(&self, device: usize) -> &Condition {
        &self.all[device]
    }
}

impl IndexMut<usize> for Conditions {
    fn index_mut(&mut self, device: usize) -> &mut Condition {
        self.changed.push(device as u32);
        &mut self.all[device]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_changed_is_seen_at_the_next_tick_and_nothing_else_moves() {
        let mut conditions = Conditions::new((0..4).map(|_| "1.0".parse().unwrap()));
        conditions[1].out = true;
        conditions[2].crashed = true;
        conditions[2].out = true;
        conditions[3].new_since = Some(Instant::from_secs(0));
        assert!(conditions.services().iter().all(|service| *service == Service::In));
        conditions.settle(true);
        assert_eq!(conditions.services(), [Service::In, Service::Out, Service::Crashed, Service::Loaded]);
        conditions[3].updating = true;
        conditions[1].out = false;
        conditions[1].updating = true;
        conditions.settle(false);
        assert_eq!(conditions.services(), [Service::In, Service::Loaded, Service::Crashed, Service::Loaded]);
        conditions[3].updating = false;
        conditions.settle(false);
        assert_eq!(conditions.services()[3], Service::In);
    }
}
