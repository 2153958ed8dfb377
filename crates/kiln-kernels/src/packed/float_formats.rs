//! Floats, a number a block. Rows of 16 bits a number are multiplied as they are.

use super::{
    f32x16::{F32x16, dispatch_simd},
    for_each_block,
};
use burn::tensor::{bf16, f16};

pub(super) fn dequantize_f32(bytes: &[u8], out: &mut [f32]) {
    for_each_block(bytes, out, |b: &[u8; 4], [out]| *out = f32::from_le_bytes(*b));
}

/// Floats of 16 bits.
trait Float16 {
    /// One.
    fn to_f32(bytes: [u8; 2]) -> f32;
    /// Sixteen.
    fn load16<S: F32x16>(bytes: &[u8; 32]) -> S;
}

struct F16;
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

/// Σ row · x of each row.
#[inline(always)]
fn dot_rows<F: Float16, S: F32x16>(rows: &[u8], x: &[f32], out: &mut [f32]) {
    for (row, out) in rows.chunks_exact((2 * x.len()).max(1)).zip(out) {
        *out = dot::<F, S>(row, x);
    }
}

#[inline(always)]
fn dot<F: Float16, S: F32x16>(row: &[u8], x: &[f32]) -> f32 {
    let mut sums = [S::splat(0.0); 4];
    let ((row, bytes), (x, single)) = (row.as_chunks::<32>(), x.as_chunks::<16>());
    let ((fours, rest), (x, left)) = (row.as_chunks::<4>(), x.as_chunks::<4>());
    for (four, x) in fours.iter().zip(x) {
        for i in 0..4 {
            sums[i] = F::load16::<S>(&four[i]).mul_add(S::load(&x[i]), sums[i]);
        }
    }
    for (sixteen, x) in rest.iter().zip(left) {
        sums[0] = F::load16::<S>(sixteen).mul_add(S::load(x), sums[0]);
    }
    let last = bytes.as_chunks::<2>().0.iter().zip(single).map(|(number, x)| F::to_f32(*number) * x);
    S::sum4(sums) + last.sum::<f32>()
}

/// What is known of a kind.
macro_rules! float16_formats {
    ($($name:ident => $Format:ident),+) => {$(
        pub(super) mod $name {
            use super::{$Format, Float16, dispatch_simd, dot_rows, for_each_block};

            /// Σ row · x of each row.
            pub fn mat_vec(rows: &[u8], x: &[f32], out: &mut [f32]) {
                dispatch_simd!(dot_rows::<$Format>(rows: &[u8], x: &[f32], out: &mut [f32]))
            }

            /// The numbers.
            pub fn dequantize(bytes: &[u8], out: &mut [f32]) {
                for_each_block(bytes, out, |number: &[u8; 2], [out]| *out = $Format::to_f32(*number));
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

    fn by_hand<F: Float16>(products: fn(&[u8], &[f32], &mut [f32])) {
        let mut random = Random::new(9, "short", 0, 0);
        for count in [0, 1, 15, 16, 17, 64, 100, 131] {
            // No infinities: the topmost bit of the exponent is off.
            let row: Vec<u8> =
                (0..2 * count).map(|i| random.uniform_int(256) as u8 & if i % 2 == 1 { 0xbf } else { 0xff }).collect();
            let x: Vec<f32> = (0..count).map(|_| random.normal() as f32).collect();
            let numbers = row.as_chunks::<2>().0.iter().map(|number| f64::from(F::to_f32(*number)));
            let terms = numbers.zip(&x).map(|(w, x)| w * f64::from(*x));
            let (right, size) = terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
            let mut widest = [0.0];
            products(&row, &x, &mut widest);
            for found in [widest[0], dot::<F, Portable>(&row, &x)] {
                assert!((f64::from(found) - right).abs() <= 2e-6 * size, "{count}: {found} {right}");
            }
        }
    }

    #[test]
    fn products_are_those_of_the_numbers() {
        by_hand::<F16>(f16_format::mat_vec);
        by_hand::<Bf16>(bf16_format::mat_vec);
    }
}
