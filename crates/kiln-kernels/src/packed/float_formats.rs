//! F32, F16 and BF16 as block formats of one value. 16-bit rows are multiplied without a dequantized copy.
//!
//! Order of a dot product: groups of 16 values go round-robin to four accumulators of 16 lanes, the last groups to the first
//! one; then [`F32x16::sum4`]; values beyond the last 16 are added at the end. Bound: 2e-6 · Σ |w x| (test below).

use super::{
    f32x16::{F32x16, dispatch_simd},
    for_each_block,
};
use burn::tensor::{bf16, f16};

/// F32: little-endian floats.
pub(super) fn dequantize_f32(bytes: &[u8], out: &mut [f32]) {
    for_each_block(bytes, out, |b: &[u8; 4], [out]| *out = f32::from_le_bytes(*b));
}

/// Float format of 16 bits.
trait Float16 {
    /// Converts one value.
    fn to_f32(bytes: [u8; 2]) -> f32;
    /// Converts sixteen values into a register.
    fn load16<S: F32x16>(bytes: &[u8; 32]) -> S;
}

/// IEEE half precision: 5 exponent bits, 10 mantissa bits.
struct F16;
/// bfloat16: the upper half of an f32.
struct Bf16;

impl Float16 for F16 {
    #[inline(always)]
    fn to_f32(bytes: [u8; 2]) -> f32 {
        f16::from_le_bytes(bytes).to_f32()
    }

    #[inline(always)]
    fn load16<S: F32x16>(bytes: &[u8; 32]) -> S {
        S::load_f16(bytes)
    }
}

impl Float16 for Bf16 {
    #[inline(always)]
    fn to_f32(bytes: [u8; 2]) -> f32 {
        bf16::from_le_bytes(bytes).to_f32()
    }

    #[inline(always)]
    fn load16<S: F32x16>(bytes: &[u8; 32]) -> S {
        S::load_bf16(bytes)
    }
}

/// out_r = Σ_c row_rc x_c for packed rows of `x.len()` values.
#[inline(always)]
fn dot_rows<F: Float16, S: F32x16>(rows: &[u8], x: &[f32], out: &mut [f32]) {
    for (row, out) in rows.chunks_exact((2 * x.len()).max(1)).zip(out) {
        *out = dot::<F, S>(row, x);
    }
}

/// Dot product of one packed row with x. Four accumulators hide the latency of the multiply–add.
#[inline(always)]
fn dot<F: Float16, S: F32x16>(row: &[u8], x: &[f32]) -> f32 {
    let mut sums = [S::splat(0.0); 4];
    let (row, tail_bytes) = row.as_chunks::<32>();
    let (x, tail) = x.as_chunks::<16>();
    let (fours, rest) = row.as_chunks::<4>();
    let (x, x_rest) = x.as_chunks::<4>();
    for (four, x) in fours.iter().zip(x) {
        for i in 0..4 {
            sums[i] = F::load16::<S>(&four[i]).mul_add(S::load(&x[i]), sums[i]);
        }
    }
    for (sixteen, x) in rest.iter().zip(x_rest) {
        sums[0] = F::load16::<S>(sixteen).mul_add(S::load(x), sums[0]);
    }
    let last = tail_bytes.as_chunks::<2>().0.iter().zip(tail).map(|(value, x)| F::to_f32(*value) * x);
    S::sum4(sums) + last.sum::<f32>()
}

/// The functions of a 16-bit format for its entry in `GGML_TYPES`.
macro_rules! float16_formats {
    ($($name:ident => $Format:ident),+) => {$(
        pub(super) mod $name {
            use super::{$Format, Float16, dispatch_simd, dot_rows, for_each_block};

            /// out_r = Σ_c row_rc x_c.
            pub fn mat_vec(rows: &[u8], x: &[f32], out: &mut [f32]) {
                dispatch_simd!(dot_rows::<$Format>(rows: &[u8], x: &[f32], out: &mut [f32]))
            }

            /// Converts all values.
            pub fn dequantize(bytes: &[u8], out: &mut [f32]) {
                for_each_block(bytes, out, |value: &[u8; 2], [out]| *out = $Format::to_f32(*value));
            }
        }
    )+};
}

float16_formats! {
    f16_format => F16,
    bf16_format => Bf16
}

#[cfg(test)]
mod tests {
    use super::{super::f32x16::Portable, *};
    use kiln_spec::Random;

    /// Compares the dispatched and the portable product with one in f64.
    fn check_product<F: Float16>(product: fn(&[u8], &[f32], &mut [f32])) {
        let mut random = Random::new(9, "short", 0, 0);
        for count in [0, 1, 15, 16, 17, 64, 100, 131] {
            // The highest exponent bit is cleared, so no value is infinite.
            let row: Vec<u8> =
                (0..2 * count).map(|i| random.uniform_int(256) as u8 & if i % 2 == 1 { 0xbf } else { 0xff }).collect();
            let x: Vec<f32> = (0..count).map(|_| random.normal() as f32).collect();
            let values = row.as_chunks::<2>().0.iter().map(|value| f64::from(F::to_f32(*value)));
            let terms = values.zip(&x).map(|(w, x)| w * f64::from(*x));
            let (exact, magnitude) = terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
            let mut dispatched = [0.0];
            product(&row, &x, &mut dispatched);
            for computed in [dispatched[0], dot::<F, Portable>(&row, &x)] {
                assert!((f64::from(computed) - exact).abs() <= 2e-6 * magnitude, "{count}: {computed} {exact}");
            }
        }
    }

    #[test]
    fn products_are_within_their_error_bound() {
        check_product::<F16>(f16_format::mat_vec);
        check_product::<Bf16>(bf16_format::mat_vec);
    }
}
