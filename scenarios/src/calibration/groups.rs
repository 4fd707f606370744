//! Devices that are alike: k-means over level, noise, daily strength and memory; no chance in it.

/// Level, noise, daily strength, memory.
pub(super) const FEATURES: usize = 4;
const ROUNDS: usize = 60;
/// A group of fewer has no pool to speak of.
const MEMBERS_MIN: usize = 3;

/// Groups by the number of devices, where nobody says how many.
pub(super) const fn count_for(devices: usize) -> usize {
    match devices {
        0..=7 => 1,
        8..=23 => 2,
        24..=99 => 4,
        _ => 6,
    }
}

/// The group of every device, groups in the order of their first feature. There may be fewer than asked for.
pub(super) fn groups(features: &[[f64; FEATURES]], wanted: usize) -> Vec<usize> {
    if features.is_empty() {
        return Vec::new();
    }
    let wanted = wanted.clamp(1, features.len());
    let scaled = scaled(features);
    let mut order: Vec<usize> = (0..scaled.len()).collect();
    let size = |i: &usize| scaled[*i].iter().sum::<f64>();
    order.sort_by(|a, b| size(a).total_cmp(&size(b)).then(a.cmp(b)));
    // Begins from the middles of equal parts of the order.
    let mut centres: Vec<[f64; FEATURES]> =
        (0..wanted).map(|g| scaled[order[(2 * g + 1) * order.len() / (2 * wanted)]]).collect();
    let mut of = vec![0; scaled.len()];
    for _ in 0..ROUNDS {
        let next: Vec<usize> = scaled.iter().map(|point| nearest(point, &centres)).collect();
        let done = next == of;
        of = next;
        for (g, centre) in centres.iter_mut().enumerate() {
            let members: Vec<&[f64; FEATURES]> =
                scaled.iter().zip(&of).filter(|(_, o)| **o == g).map(|(p, _)| p).collect();
            if !members.is_empty() {
                *centre = std::array::from_fn(|i| members.iter().map(|p| p[i]).sum::<f64>() / members.len() as f64);
            }
        }
        if done {
            break;
        }
    }
    in_order(features, &merged(&scaled, of, centres))
}

fn scaled(features: &[[f64; FEATURES]]) -> Vec<[f64; FEATURES]> {
    let moments: [(f64, f64, usize); FEATURES] =
        std::array::from_fn(|i| super::statistics::moments(&features.iter().map(|f| f[i]).collect::<Vec<_>>()));
    let one = |f: &[f64; FEATURES]| std::array::from_fn(|i| (f[i] - moments[i].0) / moments[i].1.max(1e-9));
    features.iter().map(one).collect()
}

fn nearest(point: &[f64; FEATURES], centres: &[[f64; FEATURES]]) -> usize {
    let distance = |g: usize| point.iter().zip(&centres[g]).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
    (0..centres.len()).min_by(|a, b| distance(*a).total_cmp(&distance(*b))).unwrap_or(0)
}

/// Members of groups that are too small go to the nearest other one, the smallest first.
fn merged(points: &[[f64; FEATURES]], mut of: Vec<usize>, mut centres: Vec<[f64; FEATURES]>) -> Vec<usize> {
    while centres.len() > 1 {
        let count = |g: usize| of.iter().filter(|o| **o == g).count();
        let Some(smallest) = (0..centres.len()).min_by_key(|g| count(*g)).filter(|g| count(*g) < MEMBERS_MIN) else {
            break;
        };
        centres.remove(smallest);
        for (o, point) in of.iter_mut().zip(points) {
            *o = match (*o).cmp(&smallest) {
                std::cmp::Ordering::Equal => nearest(point, &centres),
                std::cmp::Ordering::Greater => *o - 1,
                std::cmp::Ordering::Less => *o,
            };
        }
    }
    of
}

fn in_order(features: &[[f64; FEATURES]], of: &[usize]) -> Vec<usize> {
    let mut known: Vec<usize> = of.to_vec();
    known.sort_unstable();
    known.dedup();
    let mean = |g: usize| {
        let members = features.iter().zip(of).filter(|(_, o)| **o == g).map(|(f, _)| f[0]);
        let (sum, n) = members.fold((0.0, 0.0), |(s, n), v| (s + v, n + 1.0));
        sum / n
    };
    known.sort_by(|a, b| mean(*a).total_cmp(&mean(*b)));
    of.iter().map(|o| known.iter().position(|k| k == o).unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_apart_is_parted_and_what_is_too_few_is_not() {
        let mut features: Vec<[f64; FEATURES]> = (0..10).map(|i| [5.0 + f64::from(i) * 0.1, 1.0, 0.0, 0.1]).collect();
        features.extend((0..10).map(|i| [60.0 + f64::from(i) * 0.1, 2.0, 0.5, 0.9]));
        let of = groups(&features, 2);
        assert_eq!(of, [vec![0; 10], vec![1; 10]].concat());
        features.push([99.0, 9.0, 1.0, 0.5]);
        let of = groups(&features, 3);
        assert_eq!(of.iter().max(), Some(&1), "a group of one joins another");
        assert_eq!(groups(&features[..1], 4), [0]);
        assert!(groups(&[], 2).is_empty());
        assert_eq!(groups(&[[1.0; 4]; 9], 3), [0; 9], "all alike");
    }
}
