//! Are more attempts failing than the simulations showed? A test that may be looked at after every attempt.

/// Rates that are held against the one that was seen: so many times it, none above one half…
const TIMES: [f64; 3] = [1.5, 3.0, 6.0];
/// …and this one, so that a release nobody can install is found at once.
const HALF: f64 = 0.5;
/// No simulation shows that failures never happen.
const RATE_MIN: f64 = 0.01;
/// How often, at most, attempts that fail no more often than simulated are taken for more, however often one looks.
pub(super) const FALSE_ALARM_RATE: f64 = 0.01;

/// The natural logarithm of the e-value against "attempts fail independently, at this rate or less": the mean of likelihood ratios of
/// higher rates to it. Under that hypothesis it ever reaches ln(1/α) with probability α at most (Ville's inequality).
pub(super) fn log_e_value(succeeded: u64, failed: u64, rate: f64) -> f64 {
    let rate = rate.clamp(RATE_MIN, HALF);
    let (good, bad) = (succeeded as f64, failed as f64);
    let rates = TIMES.into_iter().map(|times| (rate * times).min(HALF)).chain([HALF.max((1.0 + rate) / 2.0)]);
    let logs: Vec<f64> =
        rates.map(|other| bad * libm::log(other / rate) + good * libm::log((1.0 - other) / (1.0 - rate))).collect();
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mean = logs.iter().map(|log| libm::exp(log - most)).sum::<f64>() / logs.len() as f64;
    most + libm::log(mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarms(succeeded: u64, failed: u64, rate: f64) -> bool {
        log_e_value(succeeded, failed, rate) >= libm::log(1.0 / FALSE_ALARM_RATE)
    }

    #[test]
    fn one_failure_is_no_news_and_two_of_two_are() {
        assert!(!alarms(0, 1, 0.0) && !alarms(9, 1, 0.02) && !alarms(100, 6, 0.05));
        assert!(alarms(0, 2, 0.0) && alarms(1, 4, 0.05) && alarms(100, 20, 0.05));
        assert!(!alarms(0, 0, 0.0) && !alarms(1_000_000, 50_000, 0.05) && alarms(1_000_000, 80_000, 0.05));
    }

    /// Exact probability, by the distribution of failures among those not alarmed yet, that 400 attempts ever alarm.
    #[test]
    fn alarms_without_reason_are_as_rare_as_promised() {
        for rate in [0.01, 0.05, 0.2, 0.5] {
            let mut quiet = vec![1.0];
            for attempt in 1..=400_u64 {
                let mut next = vec![0.0; quiet.len() + 1];
                for (failed, share) in quiet.iter().enumerate() {
                    next[failed] += share * (1.0 - rate);
                    next[failed + 1] += share * rate;
                }
                for (failed, share) in next.iter_mut().enumerate() {
                    if alarms(attempt - failed as u64, failed as u64, rate) {
                        *share = 0.0;
                    }
                }
                quiet = next;
            }
            let alarmed = 1.0 - quiet.iter().sum::<f64>();
            assert!(alarmed <= FALSE_ALARM_RATE, "rate {rate}: {alarmed}");
        }
    }
}
