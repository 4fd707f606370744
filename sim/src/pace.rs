//! Is anybody told to go before a timed wave has opened, before its turn, or faster than the policy's rate? Reckoned from the policy and
//! the commands alone.

use slacktide_engine::policy::{Policy, Wave};
use slacktide_engine::time::{Instant, Span};
use std::collections::BTreeSet;

/// What has been seen of a rollout's pace.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// When it began, and for how many devices; nothing is reckoned where several rollouts share a policy.
    began: Option<(Instant, u32)>,
    rollouts: u32,
    told: BTreeSet<usize>,
    commands: u64,
    succeeded: u64,
    slot: Option<(Instant, u32)>,
}

impl Pace {
    /// A rollout begins.
    pub(crate) fn began(&mut self, now: Instant, targets: u32) {
        self.rollouts += 1;
        self.began = (self.rollouts == 1).then_some((now, targets));
    }

    /// An install has come to a good end.
    pub(crate) const fn succeeded(&mut self) {
        self.succeeded += 1;
    }

    /// A device is told to install. Says what promise that breaks.
    pub(crate) fn told(&mut self, now: Instant, device: usize, policy: &Policy) -> Option<String> {
        self.told.insert(device);
        self.rate(now, policy).or_else(|| {
            let (began, targets) = self.began?;
            let may = may_have_gone(&policy.waves, now.since(began), targets)?;
            let told = self.told.len();
            (told > may)
                .then(|| format!("{now}: {told} of {targets} devices were told to go, {may} may have had their turn"))
        })
    }

    fn rate(&mut self, now: Instant, policy: &Policy) -> Option<String> {
        let rules = policy.rate?;
        let slot_start = now.floor_to(policy.plan.slot);
        let before = self.slot.filter(|(at, _)| *at == slot_start).map_or(0, |(_, told)| told);
        let told = before + 1;
        self.slot = Some((slot_start, told));
        // The command itself may be the one that raises the rate, for those after it.
        let increases = |count: u64, every: Option<u32>| every.map_or(0, |every| count / u64::from(every));
        let times = increases(self.succeeded, rules.increase_every_succeeded)
            + increases(self.commands, rules.increase_every_notified);
        self.commands += 1;
        let rate = (0..times.min(64)).fold(rules.base_per_minute, |rate, _| rate * rules.increment_factor);
        let may = (rate.min(rules.max_per_minute) * policy.plan.slot.as_secs_f64() / 60.0).ceil();
        (f64::from(told) > may)
            .then(|| format!("{now}: {told} devices were told to go in one slot, the rate allows {may}"))
    }
}

/// Devices whose turn has come so long after the beginning; `None` where waves wait for one another.
fn may_have_gone(waves: &[Wave], passed: Span, targets: u32) -> Option<usize> {
    let (mut may, mut first) = (0, 0);
    for (number, wave) in waves.iter().enumerate() {
        let opens = match wave.opens_after {
            Some(after) => after,
            None if number == 0 => Span::ZERO,
            None => return None,
        };
        let end = if number + 1 == waves.len() { targets as usize } else { wave.end(targets as usize) };
        let size = end.saturating_sub(first) as f64;
        if passed >= opens {
            let open_for = Span::from_millis(passed.as_millis() - opens.as_millis());
            let share =
                if wave.spread == Span::ZERO { 1.0 } else { open_for.as_secs_f64() / wave.spread.as_secs_f64() };
            // A turn is in the middle of its share of the time; a millisecond is rounding.
            may += (size * share.min(1.0) + 0.5 + 1e-6).floor().min(size) as usize;
        }
        first = first.max(end);
    }
    Some(may)
}

#[cfg(test)]
mod tests {
    use super::*;
    use slacktide_engine::policy::library::named;

    #[test]
    fn too_early_and_too_many_are_told() {
        let waves = named("timed-waves").unwrap();
        let hour = |n: u64| Instant::from_secs(n as i64 * 3600);
        let mut pace = Pace::default();
        pace.began(hour(0), 400);
        assert!(pace.told(Instant::from_secs(3599), 0, &waves).is_some(), "nobody before the first wave");
        assert_eq!(pace.told(hour(2), 0, &waves), None, "one of the four of the first wave has had its turn");
        assert!(pace.told(hour(2), 1, &waves).is_some());
        assert_eq!(pace.told(hour(4), 1, &waves), None);
        assert!((2..400).all(|d| pace.told(hour(144), d, &waves).is_none()), "everybody at last");
    }

    #[test]
    fn a_rate_is_kept_slot_by_slot() {
        let rate = named("exponential-rate").unwrap();
        let mut pace = Pace::default();
        let at = Instant::from_secs(9000);
        assert!((0..15).all(|d| pace.told(at, d, &rate).is_none()));
        assert!(pace.told(at, 15, &rate).is_some(), "one a minute are 15 in a quarter of an hour");
        (0..50).for_each(|_| pace.succeeded());
        assert!((0..30).all(|d| pace.told(Instant::from_secs(9900), d, &rate).is_none()), "twice as fast now");
        assert!(pace.told(Instant::from_secs(9900), 99, &rate).is_some());
    }

    #[test]
    fn waves_that_wait_for_one_another_promise_no_time() {
        assert_eq!(may_have_gone(&Policy::default().waves, Span::ZERO, 100), None);
    }
}
