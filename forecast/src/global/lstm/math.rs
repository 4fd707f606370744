//! Small dense products and activations that come out the same on every machine.
//!
//! Plain multiplications and additions in a fixed order: libraries choose fused operations by processor, and the last bits of a trained
//! network, and so a rollout planned with it, would differ. The inner loops run over contiguous columns and are vectorised as they are.

/// c += a · b, all by columns: a is m × k, b is k × n, c is m × n.
pub(super) fn product(a: &[f32], b: &[f32], c: &mut [f32], m: usize, k: usize) {
    for (b, c) in b.chunks_exact(k).zip(c.chunks_exact_mut(m)) {
        for (factor, column) in b.iter().zip(a.chunks_exact(m)) {
            for (sum, value) in c.iter_mut().zip(column) {
                *sum += value * factor;
            }
        }
    }
}

/// c += aᵀ · b, all by columns: a is m × k, b is m × n, c is k × n.
pub(super) fn product_transposed(a: &[f32], b: &[f32], c: &mut [f32], m: usize, k: usize) {
    for (b, c) in b.chunks_exact(m).zip(c.chunks_exact_mut(k)) {
        for (sum, column) in c.iter_mut().zip(a.chunks_exact(m)) {
            *sum += dot(column, b);
        }
    }
}

/// c += a · bᵀ, all by columns: a is m × n, b is k × n, c is m × k.
pub(super) fn outer(a: &[f32], b: &[f32], c: &mut [f32], m: usize, k: usize) {
    for (a, b) in a.chunks_exact(m).zip(b.chunks_exact(k)) {
        for (factor, column) in b.iter().zip(c.chunks_exact_mut(m)) {
            for (sum, value) in column.iter_mut().zip(a) {
                *sum += value * factor;
            }
        }
    }
}

/// Eight sums side by side, joined in a fixed order.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a8.remainder().iter().zip(b8.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a8.zip(b8) {
        for i in 0..8 {
            sums[i] += x[i] * y[i];
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// Hyperbolic tangent within 2e-7, by the rational approximation of Eigen (`ptanh`): no table, no branch, vectorised.
pub(super) fn tanh(x: f32) -> f32 {
    let x = x.clamp(-7.905_311, 7.905_311);
    let y = x * x;
    let p = -2.760_768_5e-16_f32;
    let p = p * y + 2.000_188e-13;
    let p = p * y - 8.604_672e-11;
    let p = p * y + 5.122_297_3e-8;
    let p = p * y + 1.485_722_4e-5;
    let p = p * y + 6.372_619e-4;
    let p = (p * y + 4.893_524_6e-3) * x;
    let q = 1.198_258_4e-6_f32;
    let q = q * y + 1.185_347_1e-4;
    let q = q * y + 2.268_434_6e-3;
    p / (q * y + 4.893_525e-3)
}

/// The logistic function.
pub(super) fn sigmoid(x: f32) -> f32 {
    0.5 + 0.5 * tanh(0.5 * x)
}

/// ln(1 + eˣ): positive, smooth.
pub(super) fn softplus(x: f32) -> f32 {
    if x > 15.0 { x } else { libm::log1pf(libm::expf(x)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_by_hand() {
        // a = [1 3; 2 4] by columns, b = [5; 6].
        let mut c = [0.0; 2];
        product(&[1.0, 2.0, 3.0, 4.0], &[5.0, 6.0], &mut c, 2, 2);
        assert_eq!(c, [23.0, 34.0]);
        let mut c = [0.0; 2];
        product_transposed(&[1.0, 2.0, 3.0, 4.0], &[5.0, 6.0], &mut c, 2, 2);
        assert_eq!(c, [17.0, 39.0]);
        let mut c = [0.0; 4];
        outer(&[1.0, 2.0], &[5.0, 6.0], &mut c, 2, 2);
        assert_eq!(c, [5.0, 10.0, 6.0, 12.0]);
    }

    #[test]
    fn tanh_is_close_everywhere() {
        for i in -4000..4000 {
            let x = i as f32 * 0.0025;
            assert!((tanh(x) - libm::tanhf(x)).abs() < 3e-7, "{x}: {} {}", tanh(x), libm::tanhf(x));
        }
    }
}
