//! What has been seen at the same time of day: demand that jumps on some days jumps on others, and a quantile of recent errors, which is
//! made of a day or two, has not met it.

/// For each of the `horizon` steps after `history`, the highest known value of all seasons within `near` steps of the same place in the
/// season, into `out`; 0 where nothing is known.
pub(super) fn seen_near(history: &[f32], (season, near): (usize, usize), horizon: usize, out: &mut Vec<f32>) {
    out.clear();
    out.resize(horizon, 0.0);
    // Counted back from the first step after the history, so that places need no number of their own.
    let mut highest = vec![0.0_f32; season];
    for (back, value) in history.iter().rev().enumerate() {
        let place = &mut highest[season - 1 - back % season];
        // What is not known is NaN, and never the higher one.
        *place = place.max(*value);
    }
    let near = near.min(season / 2);
    for (step, out) in out.iter_mut().enumerate() {
        let places = (step + season - near..=step + season + near).map(|place| highest[place % season]);
        *out = places.fold(0.0, f32::max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_jump_of_another_day_is_met_again_near_its_time() {
        let mut history = vec![1.0; 20];
        history[3] = 7.0;
        let mut out = Vec::new();
        seen_near(&history, (10, 1), 12, &mut out);
        assert_eq!(out, [1.0, 1.0, 7.0, 7.0, 7.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
        seen_near(&history[..15], (10, 1), 6, &mut out);
        assert_eq!(out, [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
        seen_near(&history[5..9], (10, 0), 8, &mut out);
        assert_eq!(out, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
    }

    proptest! {
        /// By looking at every value of the history for every step.
        #[test]
        fn it_is_the_highest_of_all_that_lie_near(
            history in proptest::collection::vec(prop_oneof![4 => 0.0f32..50.0, 1 => Just(f32::NAN)], 0..60),
            season in 1usize..14,
            near in 0usize..9,
            horizon in 0usize..30,
        ) {
            let mut out = Vec::new();
            seen_near(&history, (season, near), horizon, &mut out);
            prop_assert_eq!(out.len(), horizon);
            for (h, value) in out.iter().enumerate() {
                let distance = |i: usize| {
                    let apart = (history.len() + h - i) % season;
                    apart.min(season - apart)
                };
                let all = history.iter().enumerate().filter(|(i, v)| v.is_finite() && distance(*i) <= near).map(|(_, v)| *v);
                prop_assert_eq!(all.fold(0.0, f32::max), *value);
            }
        }
    }
}
