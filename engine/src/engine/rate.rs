//! How many devices may be told to go in a slot, where the policy names a rate. It counts for all rollouts together, and what a slot leaves
//! unused is lost.

use super::Engine;
use crate::policy::RateRules;
use crate::time::Instant;

/// Where the rate stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Rate {
    /// Devices a minute; the policy's first rate before any increase.
    per_minute: Option<f64>,
    /// The slot from which this rate counts.
    since: Option<Instant>,
    /// Since the last increase.
    succeeded: u32,
    told: u32,
    /// The slot in which devices were told last, and how many.
    last: Option<(Instant, u32)>,
}

impl Rate {
    /// Counts devices towards the next increase. Did the rate rise?
    fn count(&mut self, rules: &RateRules, slot_start: Instant, succeeded: u32, told: u32) -> bool {
        self.succeeded = self.succeeded.saturating_add(succeeded);
        self.told = self.told.saturating_add(told);
        let is_reached = |count: u32, every: Option<u32>| every.is_some_and(|every| count >= every);
        let now = self.per_minute.unwrap_or(rules.base_per_minute);
        let due = is_reached(self.succeeded, rules.increase_every_succeeded)
            || is_reached(self.told, rules.increase_every_notified);
        if !due {
            return false;
        }
        (self.succeeded, self.told) = (0, 0);
        let next = (now * rules.increment_factor).min(rules.max_per_minute);
        self.per_minute = Some(next);
        let rises = next > now;
        if rises {
            self.since = Some(slot_start);
        }
        rises
    }
}

/// Devices that may go in slot `n` since the rate began to count: whole ones, so that no slots together have more than the rate allows
/// and one that is begun.
fn share_of_slot(per_slot: f64, n: usize) -> u32 {
    let until = |n: usize| (per_slot * n as f64 - 1e-9).ceil().max(0.0);
    (until(n + 1) - until(n)) as u32
}

impl Engine {
    /// Most starts in each slot of a horizon; `None` without a rate.
    pub(super) fn starts_max(&self, start: Instant, slots: usize) -> Option<Vec<u32>> {
        let rules = self.policy.rate.as_ref()?;
        let slot = self.policy.plan.slot;
        let per_minute = self.rate.per_minute.unwrap_or(rules.base_per_minute).min(rules.max_per_minute);
        let per_slot = per_minute * slot.as_secs_f64() / 60.0;
        let passed = start.since(self.rate.since.unwrap_or(start)).steps_down(slot);
        let mut most: Vec<u32> = (0..slots).map(|n| share_of_slot(per_slot, passed + n)).collect();
        if let (Some((at, told)), Some(first)) = (self.rate.last, most.first_mut())
            && at == start
        {
            *first = first.saturating_sub(told);
        }
        Some(most)
    }

    /// Devices are told to go.
    pub(super) fn count_told(&mut self, devices: u32) {
        let slot_start = self.slot_start();
        let told = self.rate.last.filter(|(at, _)| *at == slot_start).map_or(0, |(_, told)| told);
        self.rate.last = Some((slot_start, told + devices));
        self.rate.since.get_or_insert(slot_start);
        self.count_towards_rate(0, devices);
    }

    /// A device is updated.
    pub(super) fn count_succeeded(&mut self) {
        self.count_towards_rate(1, 0);
    }

    fn count_towards_rate(&mut self, succeeded: u32, told: u32) {
        let (Some(rules), slot_start) = (self.policy.rate, self.slot_start()) else { return };
        if self.rate.count(&rules, slot_start, succeeded, told) {
            self.replan("the rate rose");
        }
    }

    fn slot_start(&self) -> Instant {
        self.now.floor_to(self.policy.plan.slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_together_have_what_the_rate_allows_and_at_most_one_more() {
        for per_slot in [0.25, 1.0, 7.5, 15.0] {
            let mut sum = 0;
            for n in 0..40 {
                sum += share_of_slot(per_slot, n);
                let allowed = per_slot * (n + 1) as f64;
                assert!(f64::from(sum) >= allowed && f64::from(sum) < allowed + 1.0, "{per_slot} {n}: {sum}");
            }
        }
    }

    #[test]
    fn the_rate_rises_with_success_up_to_its_limit() {
        let rules = RateRules {
            base_per_minute: 10.0,
            increment_factor: 3.0,
            increase_every_succeeded: Some(5),
            increase_every_notified: None,
            max_per_minute: 50.0,
        };
        let (mut rate, at) = (Rate::default(), Instant::from_secs(900));
        assert!(!rate.count(&rules, at, 4, 100) && rate.count(&rules, at, 1, 0));
        assert_eq!(rate.per_minute, Some(30.0));
        assert!(rate.count(&rules, at, 5, 0) && !rate.count(&rules, at, 5, 0));
        assert_eq!((rate.per_minute, rate.since), (Some(50.0), Some(at)));
        let told = RateRules { increase_every_succeeded: None, increase_every_notified: Some(2), ..rules };
        assert!(Rate::default().count(&told, at, 0, 2) && !Rate::default().count(&told, at, 9, 1));
    }
}
