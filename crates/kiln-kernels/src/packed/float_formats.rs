//! F32, F16 and BF16 as block formats of one value. Rows are multiplied without a dequantized copy.
//!
//! Order of a dot product: groups of 16 values go round-robin to four accumulators of 16 lanes, the last groups to the first
//! one; then [`F32x16::sum4`]; values beyond the last 16 are added at the end. Bound: 2e-6 · Σ |w x| (test below).

use super::{
    f32x16::{F32x16, dispatch_simd},
    row_tiles::{RowDot, dot_products},
};
use burn::tensor::{bf16, f16};

/// Float format.
trait FloatFormat {
    /// Number of bytes of a value.
    const BYTES: usize;
    /// Converts one value of [`BYTES`](Self::BYTES) bytes.
    fn to_f32(bytes: &[u8]) -> f32;
    /// Converts sixteen values into a register.
    fn load16<S: F32x16>(bytes: &[u8]) -> S;
}

/// IEEE single precision.
struct F32;
/// IEEE half precision: 5 exponent bits, 10 mantissa bits.
struct F16;
/// bfloat16: the upper half of an f32.
struct Bf16;

/// The bytes of sixteen 16-bit values.
#[inline(always)]
fn sixteen_halves(bytes: &[u8]) -> &[u8; 32] {
    bytes.try_into().expect("sixteen values of two bytes")
}

impl FloatFormat for F32 {
    const BYTES: usize = 4;

    #[inline(always)]
    fn to_f32(bytes: &[u8]) -> f32 {
        f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    #[inline(always)]
    fn load16<S: F32x16>(bytes: &[u8]) -> S {
        let bytes: &[u8; 64] = bytes.try_into().expect("sixteen values of four bytes");
        let mut values = [0.0; 16];
        for (value, bytes) in values.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *value = f32::from_le_bytes(*bytes);
        }
        S::load(&values)
    }
}

impl FloatFormat for F16 {
    const BYTES: usize = 2;

    #[inline(always)]
    fn to_f32(bytes: &[u8]) -> f32 {
        f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
    }

    #[inline(always)]
    fn load16<S: F32x16>(bytes: &[u8]) -> S {
        S::load_f16(sixteen_halves(bytes))
    }
}

impl FloatFormat for Bf16 {
    const BYTES: usize = 2;

    #[inline(always)]
    fn to_f32(bytes: &[u8]) -> f32 {
        bf16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
    }

    #[inline(always)]
    fn load16<S: F32x16>(bytes: &[u8]) -> S {
        S::load_bf16(sixteen_halves(bytes))
    }
}

/// The products of a format with several rows of x.
struct Floats<F>(std::marker::PhantomData<F>);

impl<F: FloatFormat> RowDot for Floats<F> {
    #[inline(always)]
    fn row_bytes(columns: usize) -> usize {
        F::BYTES * columns
    }

    #[inline(always)]
    fn dot<S: F32x16, const R: usize>(row: &[u8], x: [&[f32]; R]) -> [f32; R] {
        dot::<F, S, R>(row, x)
    }
}

/// Dot products of one packed row with R rows of x, each in the order of the [module](self). Four accumulators hide the
/// latency of the multiply–add.
///
/// No closure: it would be compiled without the caller's instruction set.
#[inline(always)]
fn dot<F: FloatFormat, S: F32x16, const R: usize>(row: &[u8], x: [&[f32]; R]) -> [f32; R] {
    let mut sums = [[S::splat(0.0); 4]; R];
    let (sixteen, groups) = (16 * F::BYTES, row.len() / F::BYTES / 16);
    let (row, tail) = row.split_at(groups * sixteen);
    let (mut x_groups, mut x_tails) = ([&[][..]; R], x);
    for ((groups, tail), x) in x_groups.iter_mut().zip(&mut x_tails).zip(x) {
        (*groups, *tail) = x.as_chunks::<16>();
    }
    for (number, four) in row.chunks_exact(4 * sixteen).enumerate() {
        let mut x = x_groups;
        for x in &mut x {
            *x = &x[4 * number..][..4];
        }
        for i in 0..4 {
            let values = F::load16::<S>(&four[sixteen * i..][..sixteen]);
            for (sums, x) in sums.iter_mut().zip(&x) {
                sums[i] = values.mul_add(S::load(&x[i]), sums[i]);
            }
        }
    }
    for number in groups / 4 * 4..groups {
        let values = F::load16::<S>(&row[sixteen * number..][..sixteen]);
        for (sums, x) in sums.iter_mut().zip(&x_groups) {
            sums[0] = values.mul_add(S::load(&x[number]), sums[0]);
        }
    }
    let mut out = [0.0; R];
    for ((out, sums), x) in out.iter_mut().zip(sums).zip(x_tails) {
        let mut last = 0.0;
        for (value, x) in tail.chunks_exact(F::BYTES).zip(x) {
            last += F::to_f32(value) * x;
        }
        *out = S::sum4(sums) + last;
    }
    out
}

/// Converts values, as many as `bytes` and `out` both have.
#[inline(always)]
fn convert<F: FloatFormat, S: F32x16>(bytes: &[u8], out: &mut [f32]) {
    let (whole, tail) = out.as_chunks_mut::<16>();
    let sixteens = bytes.chunks_exact(16 * F::BYTES);
    for (bytes, out) in sixteens.zip(whole.iter_mut()) {
        F::load16::<S>(bytes).store(out);
    }
    let first = (bytes.len() / F::BYTES / 16).min(whole.len());
    let rest = whole[first..].as_flattened_mut().iter_mut().chain(tail);
    for (bytes, out) in bytes[16 * F::BYTES * first..].chunks_exact(F::BYTES).zip(rest) {
        *out = F::to_f32(bytes);
    }
}

/// The functions of a float format for its entry in `GGML_TYPES`.
macro_rules! float_format_kernels {
    ($($name:ident => $Format:ident),+) => {$(
        pub(super) mod $name {
            use super::{$Format, convert, dispatch_simd, dot_products};

            /// Products of packed rows with rows of x.
            pub fn dot_many(rows: &[u8], x: &[f32], columns: usize, out: &mut [f32]) {
                type Dot = super::Floats<$Format>;
                dispatch_simd!(dot_products::<Dot>(rows: &[u8], x: &[f32], columns: usize, out: &mut [f32]))
            }

            /// Converts all values.
            pub fn dequantize(bytes: &[u8], out: &mut [f32]) {
                dispatch_simd!(convert::<$Format>(bytes: &[u8], out: &mut [f32]))
            }
        }
    )+};
}

float_format_kernels! {
    f32_format => F32,
    f16_format => F16,
    bf16_format => Bf16
}

#[cfg(test)]
mod tests {
    use super::{super::f32x16::Portable, *};
    use kiln_spec::Random;

    /// Compares the dispatched and the portable product with one in f64.
    fn check_product<F: FloatFormat>(product: fn(&[u8], &[f32], usize, &mut [f32])) {
        let mut random = Random::new(9, "short", 0, 0);
        for count in [0, 1, 15, 16, 17, 64, 100, 131] {
            // The highest exponent bit is cleared, so no value is infinite.
            let row = (0..F::BYTES * count)
                .map(|i| random.uniform_int(256) as u8 & if i % F::BYTES == F::BYTES - 1 { 0xbf } else { 0xff });
            let row: Vec<u8> = row.collect();
            let x: Vec<f32> = (0..count).map(|_| random.normal() as f32).collect();
            let values = row.chunks_exact(F::BYTES).map(|value| f64::from(F::to_f32(value)));
            let terms = values.zip(&x).map(|(w, x)| w * f64::from(*x));
            let (exact, magnitude) = terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
            let mut dispatched = [0.0];
            product(&row, &x, count, &mut dispatched);
            for computed in [dispatched[0], dot::<F, Portable, 1>(&row, [&x])[0]] {
                assert!((f64::from(computed) - exact).abs() <= 2e-6 * magnitude, "{count}: {computed} {exact}");
            }
        }
    }

    #[test]
    fn products_are_within_their_error_bound() {
        check_product::<F32>(f32_format::dot_many);
        check_product::<F16>(f16_format::dot_many);
        check_product::<Bf16>(bf16_format::dot_many);
    }
}
