//! Functions that compile to vector instructions, with results that don't depend on the instructions.
//!
//! Sums and maxima use 16 lanes on every machine: element i goes to lane i mod 16, and the lanes are added in ascending
//! order at the end. Products are rounded before they are added (no fused multiply–add), which AVX2 without FMA and plain
//! code do alike. A machine with AVX2, one without, and wasm32 compute the same bits.

/// Compiles a function twice, for the target and for AVX2, and calls the version that the machine supports.
///
/// The bodies are the same code, so the results are the same bits. FMA is left out of the features on purpose: the compiler
/// may then not contract `a * b + c`, which would round once instead of twice.
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

/// Number of lanes of sums and maxima: two AVX2 registers, so that one addition need not wait for the one before it.
const LANES: usize = 16;

/// e^x with a relative error below 2·10⁻⁷ (tested for |x| ≤ 88 in steps of 0.001).
///
/// Below −87.3, where the result would be subnormal, it is 0; above 88.3 it is e^88.3; NaN stays NaN. Method (Cephes,
/// `expf`): x = n ln 2 + r with n the nearest whole number, e^x = 2ⁿ e^r, and a polynomial of degree 7 in r, |r| ≤ ln 2 / 2.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // 1.5 · 2²³: adding it rounds to the nearest whole number, which is left in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    let clamped = x.clamp(-87.3, 88.3);
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let exponent = shifted - ROUND;
    // ln 2 = 0.6933594 − 0.00021219444: the first part is 355 / 512, so its product with n is exact.
    let rest = clamped - exponent * 0.693_359_4 + exponent * 2.121_944_4e-4;
    let series = 0.5
        + rest
            * (0.166_666_65
                + rest * (0.041_665_796 + rest * (0.008_333_452 + rest * (0.001_398_199_9 + rest * 1.987_569_2e-4))));
    let series = 1.0 + (rest + rest * rest * series);
    // 2ⁿ: the whole number becomes the exponent bits.
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    if x < -87.3 { 0.0 } else { series * power }
}

/// Logistic sigmoid 1 / (1 + e^−x), with a relative error of about 2·10⁻⁷. 1 for x ≥ 17; no overflow for any x.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Hyperbolic tangent with a relative error below 4·10⁻⁷ (tested for |x| ≤ 90), less than 3 units in the last place (tested for
/// |x| ≤ 12). ±1 for large |x|, odd at 0.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let square = x * x;
    // Minimax on |x| < 0.625 (Cephes, `tanhf`); beyond, 1 − 2 / (e^2x + 1) loses nothing.
    let polynomial =
        ((((-5.704_988_7e-3 * square + 2.063_909e-2) * square - 5.373_971_6e-2) * square + 1.333_144_2e-1) * square
            - 3.333_328e-1)
            * square
            * x
            + x;
    if x.abs() < 0.625 { polynomial } else { 1.0 - 2.0 / (exp(2.0 * x) + 1.0) }
}

/// Error function erf(x) = 2/√π ∫₀ˣ e^−t² dt with an absolute error below 5·10⁻⁷ (tested for |x| ≤ 6). Odd, ±1 for large |x|.
///
/// Method (Eigen's `erf` for 32 bits): a ratio of polynomials in x², fitted on |x| ≤ 4; beyond, 1 − erf(x) is below half a unit in the last
/// place of 1.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let square = x * x;
    let numerator = x
        * ((((((-2.726_142_3e-10 * square + 2.770_681_4e-8) * square - 2.101_024e-6) * square - 5.692_506_4e-5)
            * square
            - 7.349_906_3e-4)
            * square
            - 2.954_6e-3)
            * square
            - 1.609_603_3e-2);
    let denominator = (((-1.456_607_2e-5 * square - 2.133_740_6e-4) * square - 1.682_827e-3) * square - 7.373_329e-3)
        * square
        - 1.426_474e-2;
    numerator / denominator
}

/// Returns Σ f(i) for i in 0..n.
///
/// Order: term i is added to lane i mod 16, the lanes are added in ascending order. The rounding error is at most about
/// (n / 16 + 16) · 2⁻²⁴ · Σ |f(i)|.
#[inline(always)]
pub fn sum(n: usize, f: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let aligned = n - n % LANES;
    let mut i = 0;
    while i < aligned {
        for (offset, lane) in lanes.iter_mut().enumerate() {
            *lane += f(i + offset);
        }
        i += LANES;
    }
    (aligned..n).for_each(|i| lanes[i - aligned] += f(i));
    lanes.iter().sum()
}

/// Returns the greatest value; −∞ for an empty slice. NaNs are ignored (`a > b` is false for them).
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
    rest.iter().copied().chain(lanes).fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_its_error_bound() {
        for i in -87_000..88_000 {
            let x = i as f32 / 1000.0;
            let (computed, exact) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((computed / exact - 1.0).abs() < 2e-7, "{x}: {computed} {exact}");
        }
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn tanh_is_within_its_error_bound() {
        for i in -90_000..90_000 {
            let x = i as f32 / 1000.0;
            let exact = f64::from(x).tanh();
            assert!((f64::from(tanh(x)) - exact).abs() <= 4e-7 * exact.abs(), "{x}");
        }
    }

    #[test]
    fn tanh_is_within_three_units_in_the_last_place() {
        let worst = (1..1_200_000).map(|i| {
            let x = i as f32 / 100_000.0;
            let exact = f64::from(x).tanh();
            let unit = f64::from(exact as f32) - f64::from((exact as f32).next_down());
            (f64::from(tanh(x)) - exact).abs() / unit
        });
        let worst = worst.fold(0.0, f64::max);
        assert!(worst < 3.0, "{worst}");
    }

    #[test]
    fn erf_is_within_its_error_bound() {
        // 2/√π Σ (−1)ⁿ x²ⁿ⁺¹ / (n! (2n + 1)): in 64 bits exact to 1e-9 for |x| ≤ 4.
        let series = |x: f64| {
            let (mut power, mut total) = (x, 0.0);
            for n in 0..90 {
                total += power / f64::from(2 * n + 1);
                power *= -x * x / f64::from(n + 1);
            }
            total * std::f64::consts::FRAC_2_SQRT_PI
        };
        for i in -6_000..6_000 {
            let x = i as f32 / 1000.0;
            let exact = if x.abs() < 4.0 { series(f64::from(x)) } else { f64::from(x.signum()) };
            assert!((f64::from(erf(x)) - exact).abs() < 5e-7, "{x}: {} {exact}", erf(x));
        }
        assert!(erf(f32::NAN).is_nan());
    }

    #[test]
    fn sum_and_max_work_for_any_length() {
        for n in 0..70 {
            let values: Vec<f32> = (0..n).map(|i| (i * 7 % 13) as f32).collect();
            assert_eq!(sum(n, |i| values[i]), values.iter().sum::<f32>());
            assert_eq!(max(&values), values.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
    }
}
