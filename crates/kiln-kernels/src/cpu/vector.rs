//! Loops that compile to vector instructions. Sums are kept in lanes of a fixed number, and products are rounded before
//! they are added, so that results do not depend on the instructions that a machine has.

/// Compiles a function twice, plainly and for AVX2, and calls what the machine can run.
macro_rules! vectorized {
    ($($(#[doc = $doc:literal])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $out:ty)? $body:block)*) => {$(
        $(#[doc = $doc])*
        $vis fn $name($($arg: $type),*) $(-> $out)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn plain($($arg: $type),*) $(-> $out)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                #[allow(clippy::too_many_arguments)]
                fn wide($($arg: $type),*) $(-> $out)? {
                    plain($($arg),*)
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: the machine has the feature that `wide` is compiled for.
                    #[allow(unsafe_code)]
                    return unsafe { wide($($arg),*) };
                }
            }
            plain($($arg),*)
        }
    )*};
}
pub(crate) use vectorized;

/// Sums are kept in so many lanes.
const LANES: usize = 16;

/// e^x, relative error below 2·10⁻⁷; 0 below −87.3, where floats end.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    let held = x.clamp(-87.3, 88.3);
    let shifted = held * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    // ln 2 in two parts, so that the product with the whole part is exact.
    let rest = held - whole * 0.693_359_4 + whole * 2.121_944_4e-4;
    let series = 0.5
        + rest
            * (0.166_666_65
                + rest * (0.041_665_796 + rest * (0.008_333_452 + rest * (0.001_398_199_9 + rest * 1.987_569_2e-4))));
    let series = 1.0 + (rest + rest * rest * series);
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    if x < -87.3 { 0.0 } else { series * power }
}

/// 1 / (1 + e^−x).
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The hyperbolic tangent, relative error below 4·10⁻⁷.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let square = x * x;
    // Minimax on |x| < 0.625 (Cephes, `tanhf`); beyond, 1 − 2 / (e^2x + 1) loses nothing.
    let near = ((((-5.704_988_7e-3 * square + 2.063_909e-2) * square - 5.373_971_6e-2) * square + 1.333_144_2e-1)
        * square
        - 3.333_328e-1)
        * square
        * x
        + x;
    if x.abs() < 0.625 { near } else { 1.0 - 2.0 / (exp(2.0 * x) + 1.0) }
}

/// Σ f(i), i in 0..n.
#[inline(always)]
pub fn sum(n: usize, f: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let whole = n - n % LANES;
    let mut i = 0;
    while i < whole {
        for (l, lane) in lanes.iter_mut().enumerate() {
            *lane += f(i + l);
        }
        i += LANES;
    }
    (whole..n).for_each(|i| lanes[i - whole] += f(i));
    lanes.iter().sum()
}

/// The greatest of the values; −∞ of none.
#[inline(always)]
pub fn max(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = if *value > *lane { *value } else { *lane };
        }
    }
    let max = |a: f32, b: f32| if b > a { b } else { a };
    rest.iter().copied().chain(lanes).fold(f32::NEG_INFINITY, max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_exp() {
        for i in -87_000..88_000 {
            let x = i as f32 / 1000.0;
            let (found, right) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((found / right - 1.0).abs() < 2e-7, "{x}: {found} {right}");
        }
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn tanh_is_tanh() {
        for i in -90_000..90_000 {
            let x = i as f32 / 1000.0;
            let right = f64::from(x).tanh();
            assert!((f64::from(tanh(x)) - right).abs() <= 4e-7 * right.abs(), "{x}");
        }
    }

    #[test]
    fn sums_and_greatest_of_any_length() {
        for n in 0..70 {
            let values: Vec<f32> = (0..n).map(|i| (i * 7 % 13) as f32).collect();
            assert_eq!(sum(n, |i| values[i]), values.iter().sum::<f32>());
            assert_eq!(max(&values), values.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
    }
}
