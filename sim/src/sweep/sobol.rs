//! Sobol points, in the order of Gray codes (Antonov & Saleev 1979), with the direction numbers of Joe & Kuo (2008), SIAM Journal on
//! Scientific Computing 30(5), file `new-joe-kuo-6.21201`. Not scrambled: the first point is the origin, and leaving it out would cost the
//! balance of the first 2ᵏ points (Owen 2020, arXiv 2008.08051).

/// Most dimensions.
pub(super) const DIMENSIONS_MAX: usize = 10;
/// Bits of a coordinate: enough for 2³² points.
const BITS: usize = 32;

/// Degree, coefficients and first direction numbers of the primitive polynomials of dimensions 2 to 10.
const POLYNOMIALS: [(usize, u32, &[u32]); DIMENSIONS_MAX - 1] = [
    (1, 0, &[1]),
    (2, 1, &[1, 3]),
    (3, 1, &[1, 3, 1]),
    (3, 2, &[1, 1, 1]),
    (4, 1, &[1, 1, 3, 3]),
    (4, 4, &[1, 3, 5, 13]),
    (5, 2, &[1, 1, 5, 5, 17]),
    (5, 4, &[1, 1, 5, 5, 5]),
    (5, 7, &[1, 1, 7, 11, 19]),
];

/// Direction numbers of a dimension, from 0.
fn directions(dimension: usize) -> [u32; BITS] {
    let mut v = [0; BITS];
    let Some((degree, coefficients, first)) = dimension.checked_sub(1).map(|d| POLYNOMIALS[d]) else {
        v.iter_mut().enumerate().for_each(|(i, v)| *v = 1 << (BITS - 1 - i));
        return v;
    };
    for i in 0..BITS {
        v[i] = match first.get(i) {
            Some(m) => m << (BITS - 1 - i),
            None => (1..degree).fold(v[i - degree] ^ (v[i - degree] >> degree), |sum, k| {
                sum ^ (((coefficients >> (degree - 1 - k)) & 1) * v[i - k])
            }),
        };
    }
    v
}

/// The first `count` points of the unit cube, each coordinate in [0, 1). At most [`DIMENSIONS_MAX`] dimensions.
pub(super) fn points(dimensions: usize, count: usize) -> Vec<Vec<f64>> {
    let directions: Vec<_> = (0..dimensions).map(directions).collect();
    let mut now = vec![0_u32; dimensions];
    let mut points = Vec::with_capacity(count);
    for i in 0..count {
        points.push(now.iter().map(|x| f64::from(*x) / 4_294_967_296.0).collect());
        // The bit in which the next Gray code differs.
        let bit = (!(i as u32)).trailing_zeros() as usize;
        now.iter_mut().zip(&directions).for_each(|(x, v)| *x ^= v[bit.min(BITS - 1)]);
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SciPy 1.17.1: `scipy.stats.qmc.Sobol(10, scramble=False).random(1024)`, points 0, 1, 2, 37 and 1000.
    #[test]
    fn the_points_are_those_of_scipy() {
        let points = points(10, 1024);
        assert!(points[0].iter().all(|x| *x == 0.0) && points[1].iter().all(|x| *x == 0.5));
        assert_eq!(points[2], [0.75, 0.25, 0.25, 0.25, 0.75, 0.75, 0.25, 0.75, 0.75, 0.75]);
        let far = [0.921875, 0.640625, 0.578125, 0.921875, 0.765625, 0.296875, 0.171875, 0.796875, 0.609375, 0.171875];
        assert_eq!(points[37], far);
        let further = [
            0.2197265625,
            0.0966796875,
            0.5185546875,
            0.6767578125,
            0.2802734375,
            0.9072265625,
            0.0458984375,
            0.8994140625,
            0.5009765625,
            0.0693359375,
        ];
        assert_eq!(points[1000], further);
    }

    /// Of the first 2ᵏ points every interval of that length holds one, in each dimension.
    #[test]
    fn every_dimension_is_balanced() {
        let points = points(DIMENSIONS_MAX, 256);
        for d in 0..DIMENSIONS_MAX {
            let mut cells: Vec<usize> = points.iter().map(|p| (p[d] * 256.0) as usize).collect();
            cells.sort_unstable();
            assert!(cells.into_iter().eq(0..256), "{d}");
        }
    }
}
