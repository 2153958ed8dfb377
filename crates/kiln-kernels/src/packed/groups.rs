//! Products with rows as they are packed: sixteen numbers at a time are scale · whole number + offset.

use super::{
    k::sixes,
    sixteen::{Sixteen, on_the_widest},
};

/// What changes nothing when it is added: 0 would take the sign of −0.
const NOTHING: f32 = -0.0;

/// A packing whose numbers come in groups of sixteen under one scale and one offset.
pub trait Groups {
    /// Numbers a block.
    const BLOCK: usize;
    /// Bytes a block.
    const BYTES: usize;

    /// The whole numbers of a group of a block, their scale and their offset.
    fn group<S: Sixteen>(block: &[u8], group: usize) -> (S, f32, f32);
}

/// Sixteen bytes from `at`.
#[inline(always)]
fn bytes<S: Sixteen>(block: &[u8], at: usize) -> S::Bytes {
    S::bytes(block[at..][..16].try_into().expect("sixteen bytes"))
}

#[inline(always)]
fn half<S: Sixteen>(block: &[u8], at: usize) -> f32 {
    S::half([block[at], block[at + 1]])
}

/// Four bits each, the low ones of the bytes or the high ones.
#[inline(always)]
fn fours<S: Sixteen>(bytes: S::Bytes, high: bool) -> S::Bytes {
    if high { S::bits::<4>(bytes, 15) } else { S::bits::<0>(bytes, 15) }
}

pub(super) struct Q4_0;
pub(super) struct Q4_1;
pub(super) struct Q8_0;
pub(super) struct Q4K;
pub(super) struct Q6K;

impl Groups for Q4_0 {
    const BLOCK: usize = 32;
    const BYTES: usize = 18;

    #[inline(always)]
    fn group<S: Sixteen>(block: &[u8], group: usize) -> (S, f32, f32) {
        let scale = half::<S>(block, 0);
        (S::unsigned(fours::<S>(bytes::<S>(block, 2), group == 1)).less(8.0), scale, NOTHING)
    }
}

impl Groups for Q4_1 {
    const BLOCK: usize = 32;
    const BYTES: usize = 20;

    #[inline(always)]
    fn group<S: Sixteen>(block: &[u8], group: usize) -> (S, f32, f32) {
        let numbers = S::unsigned(fours::<S>(bytes::<S>(block, 4), group == 1));
        (numbers, half::<S>(block, 0), half::<S>(block, 2))
    }
}

impl Groups for Q8_0 {
    const BLOCK: usize = 32;
    const BYTES: usize = 34;

    #[inline(always)]
    fn group<S: Sixteen>(block: &[u8], group: usize) -> (S, f32, f32) {
        (S::signed(bytes::<S>(block, 2 + 16 * group)), half::<S>(block, 0), NOTHING)
    }
}

impl Groups for Q4K {
    const BLOCK: usize = 256;
    const BYTES: usize = 144;

    #[inline(always)]
    fn group<S: Sixteen>(block: &[u8], group: usize) -> (S, f32, f32) {
        let (pair, high, part) = (group / 4, group / 2 % 2 == 1, group % 2);
        let [scale, offset] = sixes(block, 4, group / 2);
        let numbers = S::unsigned(fours::<S>(bytes::<S>(block, 16 + 32 * pair + 16 * part), high));
        (numbers, half::<S>(block, 0) * scale, -(half::<S>(block, 2) * offset))
    }
}

impl Groups for Q6K {
    const BLOCK: usize = 256;
    const BYTES: usize = 210;

    #[inline(always)]
    fn group<S: Sixteen>(block: &[u8], group: usize) -> (S, f32, f32) {
        let (side, quarter, part) = (group / 8, group / 2 % 4, group % 2);
        let low = fours::<S>(bytes::<S>(block, 64 * side + 32 * (quarter % 2) + 16 * part), quarter > 1);
        let high = bytes::<S>(block, 128 + 32 * side + 16 * part);
        let high = match quarter {
            0 => S::bits::<0>(high, 3),
            1 => S::bits::<2>(high, 3),
            2 => S::bits::<4>(high, 3),
            _ => S::bits::<6>(high, 3),
        };
        let scale = half::<S>(block, 208) * f32::from(block[192 + group] as i8);
        (S::unsigned(S::above(low, high)).less(32.0), scale, NOTHING)
    }
}

/// Σ row · x of each row.
#[inline(always)]
fn dots<G: Groups, S: Sixteen>(rows: &[u8], x: &[f32], out: &mut [f32]) {
    let width = x.len() / G::BLOCK * G::BYTES;
    for (row, out) in rows.chunks_exact(width.max(1)).zip(out) {
        *out = dot::<G, S>(row, x);
    }
}

#[inline(always)]
fn dot<G: Groups, S: Sixteen>(row: &[u8], x: &[f32]) -> f32 {
    // Sums that wait for one another would wait for four: as many go on side by side.
    let mut sums = [S::splat(0.0); 4];
    for (block, x) in row.chunks_exact(G::BYTES).zip(x.chunks_exact(G::BLOCK)) {
        let (x, _) = x.as_chunks::<16>();
        for group in 0..G::BLOCK / 16 {
            let (numbers, scale, offset) = G::group::<S>(block, group);
            let numbers = numbers.mul_add(S::splat(scale), S::splat(offset));
            sums[group % 4] = numbers.mul_add(S::load(&x[group]), sums[group % 4]);
        }
    }
    S::sum_of(sums)
}

/// The numbers of whole blocks.
#[inline(always)]
fn numbers<G: Groups, S: Sixteen>(blocks: &[u8], out: &mut [f32]) {
    for (block, out) in blocks.chunks_exact(G::BYTES).zip(out.chunks_exact_mut(G::BLOCK)) {
        let (out, _) = out.as_chunks_mut::<16>();
        for (group, out) in out.iter_mut().enumerate() {
            let (numbers, scale, offset) = G::group::<S>(block, group);
            numbers.mul_add(S::splat(scale), S::splat(offset)).store(out);
        }
    }
}

/// What is known of a packing by its groups.
macro_rules! packings {
    ($($name:ident => $Groups:ident),+ $(,)?) => {$(
        pub(super) mod $name {
            use super::{$Groups, dots, numbers, on_the_widest};

            /// Σ row · x of each row.
            pub fn products(rows: &[u8], x: &[f32], out: &mut [f32]) {
                on_the_widest!(dots::<$Groups>(rows: &[u8], x: &[f32], out: &mut [f32]))
            }

            /// The numbers of whole blocks.
            pub fn unpack(blocks: &[u8], out: &mut [f32]) {
                on_the_widest!(numbers::<$Groups>(blocks: &[u8], out: &mut [f32]))
            }
        }
    )+};
}

packings! {
    q4_0 => Q4_0,
    q4_1 => Q4_1,
    q8_0 => Q8_0,
    q4_k => Q4K,
    q6_k => Q6K,
}

#[cfg(test)]
mod tests {
    use super::{
        super::{PACKINGS, Product},
        *,
    };
    use crate::packed::sixteen::Plain;
    use kiln_spec::Random;

    /// Each way of a packing, with the bytes of two rows of random numbers.
    fn ways<G: Groups>(name: &str, product: Product) {
        let packing = PACKINGS.iter().find(|packing| packing.name == name).unwrap();
        assert_eq!([packing.block, packing.bytes], [G::BLOCK, G::BYTES], "{name}");
        let mut random = Random::new(7, name, 0, 0);
        for blocks in [0, 1, 2, 5] {
            let mut row: Vec<u8> = (0..blocks * G::BYTES).map(|_| random.below(256) as u8).collect();
            // Scales that are numbers: two bytes of exponents far from the end.
            for block in row.chunks_exact_mut(G::BYTES) {
                for at in [0, 2, G::BYTES - 2] {
                    block[at + 1] &= 0x37;
                }
            }
            let x: Vec<f32> = (0..blocks * G::BLOCK).map(|_| random.normal() as f32).collect();
            let mut numbers = vec![0.0; x.len()];
            packing.unpack(&row, &mut numbers);
            let terms = numbers.iter().zip(&x).map(|(w, x)| f64::from(*w) * f64::from(*x));
            let (right, size): (f64, f64) = terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
            let mut widest = [0.0];
            product(&row, &x, &mut widest);
            let found = [widest[0], dot::<G, Plain>(&row, &x), wide::<G>(&row, &x)];
            for found in found {
                assert!((f64::from(found) - right).abs() <= 2e-6 * size, "{name}: {found} {right}");
            }
        }
    }

    /// By AVX2 where the machine has it, though it has more.
    fn wide<G: Groups>(row: &[u8], x: &[f32]) -> f32 {
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx2,f16c,fma")]
            fn wide<G: Groups>(row: &[u8], x: &[f32]) -> f32 {
                dot::<G, super::super::sixteen::Avx2>(row, x)
            }
            let has = [is_x86_feature_detected!("avx2"), is_x86_feature_detected!("f16c")];
            if has == [true; 2] && is_x86_feature_detected!("fma") {
                // SAFETY: the machine has them.
                #[allow(unsafe_code)]
                return unsafe { wide::<G>(row, x) };
            }
        }
        dot::<G, Plain>(row, x)
    }

    #[test]
    fn products_are_those_of_the_numbers() {
        ways::<Q4_0>("Q4_0", q4_0::products);
        ways::<Q4_1>("Q4_1", q4_1::products);
        ways::<Q8_0>("Q8_0", q8_0::products);
        ways::<Q4K>("Q4_K", q4_k::products);
        ways::<Q6K>("Q6_K", q6_k::products);
    }
}
