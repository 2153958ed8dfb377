//! Floats, a number a block. Rows of 16 bits a number are multiplied as they are.

use super::{
    each,
    sixteen::{Sixteen, on_the_widest},
};
use burn::tensor::{bf16, f16};

pub(super) fn f32(bytes: &[u8], out: &mut [f32]) {
    each(bytes, out, |b: &[u8; 4], [out]| *out = f32::from_le_bytes(*b));
}

/// Floats of 16 bits.
trait Short {
    /// One.
    fn one(bytes: [u8; 2]) -> f32;
    /// Sixteen.
    fn sixteen<S: Sixteen>(bytes: &[u8; 32]) -> S;
}

struct F16;
struct Bf16;

impl Short for F16 {
    #[inline(always)]
    fn one(bytes: [u8; 2]) -> f32 {
        f16::from_le_bytes(bytes).to_f32()
    }

    #[inline(always)]
    fn sixteen<S: Sixteen>(bytes: &[u8; 32]) -> S {
        S::halves(bytes)
    }
}

impl Short for Bf16 {
    #[inline(always)]
    fn one(bytes: [u8; 2]) -> f32 {
        bf16::from_le_bytes(bytes).to_f32()
    }

    #[inline(always)]
    fn sixteen<S: Sixteen>(bytes: &[u8; 32]) -> S {
        S::uppers(bytes)
    }
}

/// Σ row · x of each row.
#[inline(always)]
fn dots<F: Short, S: Sixteen>(rows: &[u8], x: &[f32], out: &mut [f32]) {
    for (row, out) in rows.chunks_exact((2 * x.len()).max(1)).zip(out) {
        *out = dot::<F, S>(row, x);
    }
}

#[inline(always)]
fn dot<F: Short, S: Sixteen>(row: &[u8], x: &[f32]) -> f32 {
    let mut sums = [S::splat(0.0); 4];
    let ((row, bytes), (x, single)) = (row.as_chunks::<32>(), x.as_chunks::<16>());
    let ((fours, rest), (x, left)) = (row.as_chunks::<4>(), x.as_chunks::<4>());
    for (four, x) in fours.iter().zip(x) {
        for i in 0..4 {
            sums[i] = F::sixteen::<S>(&four[i]).mul_add(S::load(&x[i]), sums[i]);
        }
    }
    for (sixteen, x) in rest.iter().zip(left) {
        sums[0] = F::sixteen::<S>(sixteen).mul_add(S::load(x), sums[0]);
    }
    let last = bytes.as_chunks::<2>().0.iter().zip(single).map(|(number, x)| F::one(*number) * x);
    S::sum_of(sums) + last.sum::<f32>()
}

/// What is known of a kind.
macro_rules! short {
    ($($name:ident => $Short:ident),+) => {$(
        pub(super) mod $name {
            use super::{$Short, Short, dots, each, on_the_widest};

            /// Σ row · x of each row.
            pub fn products(rows: &[u8], x: &[f32], out: &mut [f32]) {
                on_the_widest!(dots::<$Short>(rows: &[u8], x: &[f32], out: &mut [f32]))
            }

            /// The numbers.
            pub fn unpack(bytes: &[u8], out: &mut [f32]) {
                each(bytes, out, |number: &[u8; 2], [out]| *out = $Short::one(*number));
            }
        }
    )+};
}

short! {
    half => F16,
    upper => Bf16
}

#[cfg(test)]
mod tests {
    use super::{super::sixteen::Plain, *};
    use kiln_spec::Random;

    fn by_hand<F: Short>(products: fn(&[u8], &[f32], &mut [f32])) {
        let mut random = Random::new(9, "short", 0, 0);
        for count in [0, 1, 15, 16, 17, 64, 100, 131] {
            // No infinities: the topmost bit of the exponent is off.
            let row: Vec<u8> =
                (0..2 * count).map(|i| random.below(256) as u8 & if i % 2 == 1 { 0xbf } else { 0xff }).collect();
            let x: Vec<f32> = (0..count).map(|_| random.normal() as f32).collect();
            let numbers = row.as_chunks::<2>().0.iter().map(|number| f64::from(F::one(*number)));
            let terms = numbers.zip(&x).map(|(w, x)| w * f64::from(*x));
            let (right, size) = terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
            let mut widest = [0.0];
            products(&row, &x, &mut widest);
            for found in [widest[0], dot::<F, Plain>(&row, &x)] {
                assert!((f64::from(found) - right).abs() <= 2e-6 * size, "{count}: {found} {right}");
            }
        }
    }

    #[test]
    fn products_are_those_of_the_numbers() {
        by_hand::<F16>(half::products);
        by_hand::<Bf16>(upper::products);
    }
}
