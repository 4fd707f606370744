//! What a sweep says: the trade-off of overload against time, and a recommendation.

use super::unit::UnitResult;
use crate::replicate::{Summary, summarise};

/// What is kept small first.
pub const OVERLOAD: &str = "overload_caused_device_minutes";
/// What is kept small then.
pub const MAKESPAN: &str = "makespan_s";

/// The points that no other is at least as good as in both measures and better in one (a Pareto front, less being better), in their order
/// given. Points that are alike stand on it together; a point with a measure that is not a number never does.
pub fn front(points: &[[f64; 2]]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..points.len()).filter(|i| points[*i].iter().all(|v| !v.is_nan())).collect();
    order.sort_by(|a, b| points[*a][0].total_cmp(&points[*b][0]).then(points[*a][1].total_cmp(&points[*b][1])));
    let mut on_front: Vec<usize> = Vec::new();
    for i in order {
        let stands = on_front.last().is_none_or(|last| points[i][1] < points[*last][1] || points[i] == points[*last]);
        if stands {
            on_front.push(i);
        }
    }
    on_front.sort_unstable();
    on_front
}

/// A recommended point.
#[derive(Debug, Clone, PartialEq)]
pub struct Recommendation {
    /// Which.
    pub point: usize,
    /// The most overload it might cause, device-minutes: as given, or the upper end of the 95 % interval of the point that causes least
    /// (its mean, where one replication leaves no interval).
    pub limit: f64,
    /// The point that causes least overload.
    pub least: usize,
    /// All points within the limit by their means that are not worse by more than chance: no paired 95 % interval of overload or
    /// makespan, theirs less the recommended one's, lies above 0. The recommended point is among them. With a single replication only the
    /// recommended point itself.
    pub not_worse: Vec<usize>,
}

/// What the points of a sweep say together.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// Only points all of whose rollouts finished are judged: an aborted rollout is short and harmless. Where none finished, all are.
    pub finished_only: bool,
    /// The front of the mean overload caused against the mean makespan.
    pub pareto: Vec<usize>,
    /// Points beside it that no point of the front beats by more than chance: better in one of the measures, its paired 95 % interval above
    /// 0, and not so much worse in the other.
    pub near: Vec<usize>,
    /// The shortest mean makespan among those whose mean overload is within the limit; none where no point is.
    pub recommended: Option<Recommendation>,
}

fn values(point: &[UnitResult], measure: &str) -> Vec<f64> {
    point.iter().map(|run| run.measures.get(measure).copied().unwrap_or(f64::NAN)).collect()
}

/// The paired difference of two points in a measure, `a − b`, seed by seed.
pub fn paired(a: &[UnitResult], b: &[UnitResult], measure: &str) -> Option<Summary> {
    let pairs: Vec<f64> = values(a, measure).iter().zip(values(b, measure)).map(|(a, b)| a - b).collect();
    summarise(&pairs)
}

/// Judges all points, each with its runs in the order of the same seeds. `limit` is the most overload caused that is acceptable,
/// device-minutes.
pub fn judge(points: &[Vec<UnitResult>], limit: Option<f64>) -> Judgement {
    let all_finished = |i: &usize| !points[*i].is_empty() && points[*i].iter().all(UnitResult::is_finished);
    let finished: Vec<usize> = (0..points.len()).filter(all_finished).collect();
    let finished_only = !finished.is_empty();
    let judged = if finished_only { finished } else { (0..points.len()).collect() };
    let mean = |i: usize, measure| summarise(&values(&points[i], measure)).map_or(f64::NAN, |s| s.mean);
    let means: Vec<[f64; 2]> = judged.iter().map(|i| [mean(*i, OVERLOAD), mean(*i, MAKESPAN)]).collect();
    let pareto: Vec<usize> = front(&means).into_iter().map(|place| judged[place]).collect();
    let measured = points.iter().all(|runs| runs.len() > 1);
    let above = |a: usize, b: usize, measure| {
        paired(&points[a], &points[b], measure).and_then(|difference| difference.ci95).is_some_and(|ci95| ci95[0] > 0.0)
    };
    let beats = |better: usize, worse: usize| {
        let (overload, makespan) = (above(worse, better, OVERLOAD), above(worse, better, MAKESPAN));
        (overload && !above(better, worse, MAKESPAN)) || (makespan && !above(better, worse, OVERLOAD))
    };
    let is_near = |i: &&usize| measured && !pareto.contains(i) && !pareto.iter().any(|front| beats(*front, **i));
    let near = judged.iter().filter(is_near).copied().collect();
    let least = pareto.first().map(|first| {
        let less = |a: &usize, b: &usize| if mean(*b, OVERLOAD) < mean(*a, OVERLOAD) { *b } else { *a };
        pareto.iter().fold(*first, |a, b| less(&a, b))
    });
    let recommended = least.and_then(|least| {
        let within =
            summarise(&values(&points[least], OVERLOAD)).map_or(f64::NAN, |s| s.ci95.map_or(s.mean, |ci95| ci95[1]));
        let limit = limit.unwrap_or(within);
        let fit = judged.iter().zip(&means).filter(|(_, mean)| mean[0] <= limit);
        let key = |mean: &[f64; 2]| (mean[1], mean[0]);
        let order = |a: &[f64; 2], b: &[f64; 2]| key(a).0.total_cmp(&key(b).0).then(key(a).1.total_cmp(&key(b).1));
        let (point, _) = fit.min_by(|(_, a), (_, b)| order(a, b))?;
        let as_good = |i: usize| measured && !above(i, *point, OVERLOAD) && !above(i, *point, MAKESPAN);
        let not_worse = judged.iter().zip(&means);
        let not_worse = not_worse.filter(|(i, mean)| *i == point || mean[0] <= limit && as_good(**i));
        let not_worse = not_worse.map(|(i, _)| *i).collect();
        Some(Recommendation { point: *point, limit, least, not_worse })
    });
    Judgement { finished_only, pareto, near, recommended }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Runs with given overload and makespan, a pair a seed.
    fn point(number: usize, runs: &[(f64, f64)]) -> Vec<UnitResult> {
        let run = |(seed, (overload, makespan)): (usize, &(f64, f64))| UnitResult {
            point: number,
            seed: seed as u64,
            journal_hash: String::new(),
            rollout_state: "finished".to_owned(),
            measures: [(OVERLOAD.to_owned(), *overload), (MAKESPAN.to_owned(), *makespan)].into(),
            invariant_violations: Vec::new(),
        };
        runs.iter().enumerate().map(run).collect()
    }

    #[test]
    fn the_shortest_within_the_limit_is_recommended() {
        let points = [
            point(0, &[(9.0, 50.0), (11.0, 52.0), (10.0, 51.0)]), // least overload, slow
            point(1, &[(10.0, 40.0), (11.5, 43.0), (10.5, 41.0)]), // a little more, faster: within the interval of the least
            point(2, &[(10.1, 40.1), (11.4, 43.2), (10.6, 40.9)]), // the same but for chance
            point(3, &[(90.0, 10.0), (99.0, 11.0), (95.0, 12.0)]), // fast and bad
            point(4, &[(92.0, 44.0), (99.0, 46.0), (96.0, 45.0)]), // beaten in both
        ];
        let judged = judge(&points, None);
        assert_eq!((judged.pareto.as_slice(), judged.near.as_slice()), ([0, 1, 3].as_slice(), [2].as_slice()));
        let recommended = judged.recommended.unwrap();
        assert_eq!((recommended.point, recommended.least, recommended.not_worse.as_slice()), (1, 0, [1, 2].as_slice()));
        assert_eq!(judge(&points, Some(100.0)).recommended.unwrap().point, 3);
        assert_eq!(judge(&points, Some(5.0)).recommended, None, "nobody is so calm");
        // Chance alone would let the third be as good; by its mean it is over the limit.
        let wild = [
            point(0, &[(0.0, 20.0), (0.0, 21.0), (0.0, 20.5)]),
            point(1, &[(0.0, 20.4), (0.0, 20.6), (0.0, 20.7)]),
            point(2, &[(0.0, 20.0), (90.0, 19.0), (1.0, 20.1)]),
        ];
        assert_eq!(judge(&wild, None).recommended.map(|r| (r.point, r.not_worse)), Some((0, vec![0, 1])));
    }

    #[test]
    fn who_does_not_finish_is_not_fast() {
        let mut points = [point(0, &[(0.0, 90.0), (0.0, 91.0)]), point(1, &[(0.0, 5.0), (0.0, 5.0)])];
        points[1][1].rollout_state = "stopped".to_owned();
        let judged = judge(&points, None);
        assert_eq!((judged.finished_only, judged.pareto.as_slice()), (true, [0].as_slice()));
        points[0][0].rollout_state = "stopped".to_owned();
        assert!(!judge(&points, None).finished_only);
    }

    proptest! {
        #[test]
        fn the_front_is_what_nobody_beats(points in proptest::collection::vec([0_u8..12, 0_u8..12], 0..40)) {
            let points: Vec<[f64; 2]> = points.into_iter().map(|p| p.map(f64::from)).collect();
            let beaten = |a: &[f64; 2]| points.iter().any(|b| b[0] <= a[0] && b[1] <= a[1] && b != a);
            let expected: Vec<usize> = (0..points.len()).filter(|i| !beaten(&points[*i])).collect();
            prop_assert_eq!(front(&points), expected);
        }
    }
}
