//! Products with rows as they are packed: sixteen numbers at a time are scale · whole number + offset.

use super::{
    f32x16::{F32x16, dispatch_simd},
    k_quants::scale_and_min,
};

/// What changes nothing when it is added: 0 would take the sign of −0.
const NEGATIVE_ZERO: f32 = -0.0;

/// A packing whose numbers come in groups of sixteen under one scale and one offset.
pub trait GroupQuant {
    /// Numbers a block.
    const BLOCK_SIZE: usize;
    /// Bytes a block.
    const BLOCK_BYTES: usize;

    /// The whole numbers of a group of a block, their scale and their offset.
    fn decode_group<S: F32x16>(block: &[u8], group: usize) -> (S, f32, f32);
}

/// Sixteen bytes from `at`.
#[inline(always)]
fn load_bytes<S: F32x16>(block: &[u8], at: usize) -> S::Bytes {
    S::load_bytes(block[at..][..16].try_into().expect("sixteen bytes"))
}

#[inline(always)]
fn read_f16<S: F32x16>(block: &[u8], at: usize) -> f32 {
    S::f16_to_f32([block[at], block[at + 1]])
}

/// Four bits each, the low ones of the bytes or the high ones.
#[inline(always)]
fn nibbles<S: F32x16>(bytes: S::Bytes, high: bool) -> S::Bytes {
    if high { S::shr_and::<4>(bytes, 15) } else { S::shr_and::<0>(bytes, 15) }
}

pub(super) struct Q4_0;
pub(super) struct Q4_1;
pub(super) struct Q8_0;
pub(super) struct Q4K;
pub(super) struct Q6K;

impl GroupQuant for Q4_0 {
    const BLOCK_SIZE: usize = 32;
    const BLOCK_BYTES: usize = 18;

    #[inline(always)]
    fn decode_group<S: F32x16>(block: &[u8], group: usize) -> (S, f32, f32) {
        let scale = read_f16::<S>(block, 0);
        (S::from_u8(nibbles::<S>(load_bytes::<S>(block, 2), group == 1)).sub(8.0), scale, NEGATIVE_ZERO)
    }
}

impl GroupQuant for Q4_1 {
    const BLOCK_SIZE: usize = 32;
    const BLOCK_BYTES: usize = 20;

    #[inline(always)]
    fn decode_group<S: F32x16>(block: &[u8], group: usize) -> (S, f32, f32) {
        let numbers = S::from_u8(nibbles::<S>(load_bytes::<S>(block, 4), group == 1));
        (numbers, read_f16::<S>(block, 0), read_f16::<S>(block, 2))
    }
}

impl GroupQuant for Q8_0 {
    const BLOCK_SIZE: usize = 32;
    const BLOCK_BYTES: usize = 34;

    #[inline(always)]
    fn decode_group<S: F32x16>(block: &[u8], group: usize) -> (S, f32, f32) {
        (S::from_i8(load_bytes::<S>(block, 2 + 16 * group)), read_f16::<S>(block, 0), NEGATIVE_ZERO)
    }
}

impl GroupQuant for Q4K {
    const BLOCK_SIZE: usize = 256;
    const BLOCK_BYTES: usize = 144;

    #[inline(always)]
    fn decode_group<S: F32x16>(block: &[u8], group: usize) -> (S, f32, f32) {
        let (pair, high, part) = (group / 4, group / 2 % 2 == 1, group % 2);
        let [scale, offset] = scale_and_min(block, 4, group / 2);
        let numbers = S::from_u8(nibbles::<S>(load_bytes::<S>(block, 16 + 32 * pair + 16 * part), high));
        (numbers, read_f16::<S>(block, 0) * scale, -(read_f16::<S>(block, 2) * offset))
    }
}

impl GroupQuant for Q6K {
    const BLOCK_SIZE: usize = 256;
    const BLOCK_BYTES: usize = 210;

    #[inline(always)]
    fn decode_group<S: F32x16>(block: &[u8], group: usize) -> (S, f32, f32) {
        let (side, quarter, part) = (group / 8, group / 2 % 4, group % 2);
        let low = nibbles::<S>(load_bytes::<S>(block, 64 * side + 32 * (quarter % 2) + 16 * part), quarter > 1);
        let high = load_bytes::<S>(block, 128 + 32 * side + 16 * part);
        let high = match quarter {
            0 => S::shr_and::<0>(high, 3),
            1 => S::shr_and::<2>(high, 3),
            2 => S::shr_and::<4>(high, 3),
            _ => S::shr_and::<6>(high, 3),
        };
        let scale = read_f16::<S>(block, 208) * f32::from(block[192 + group] as i8);
        (S::from_u8(S::or_shl4(low, high)).sub(32.0), scale, NEGATIVE_ZERO)
    }
}

/// Σ row · x of each row.
#[inline(always)]
fn dot_rows<G: GroupQuant, S: F32x16>(rows: &[u8], x: &[f32], out: &mut [f32]) {
    let width = x.len() / G::BLOCK_SIZE * G::BLOCK_BYTES;
    for (row, out) in rows.chunks_exact(width.max(1)).zip(out) {
        *out = dot::<G, S>(row, x);
    }
}

#[inline(always)]
fn dot<G: GroupQuant, S: F32x16>(row: &[u8], x: &[f32]) -> f32 {
    // Sums that wait for one another would wait for four: as many go on side by side.
    let mut sums = [S::splat(0.0); 4];
    for (block, x) in row.chunks_exact(G::BLOCK_BYTES).zip(x.chunks_exact(G::BLOCK_SIZE)) {
        let (x, _) = x.as_chunks::<16>();
        for group in 0..G::BLOCK_SIZE / 16 {
            let (numbers, scale, offset) = G::decode_group::<S>(block, group);
            let numbers = numbers.mul_add(S::splat(scale), S::splat(offset));
            sums[group % 4] = numbers.mul_add(S::load(&x[group]), sums[group % 4]);
        }
    }
    S::sum4(sums)
}

/// The numbers of whole blocks.
#[inline(always)]
fn dequantize_blocks<G: GroupQuant, S: F32x16>(blocks: &[u8], out: &mut [f32]) {
    for (block, out) in blocks.chunks_exact(G::BLOCK_BYTES).zip(out.chunks_exact_mut(G::BLOCK_SIZE)) {
        let (out, _) = out.as_chunks_mut::<16>();
        for (group, out) in out.iter_mut().enumerate() {
            let (numbers, scale, offset) = G::decode_group::<S>(block, group);
            numbers.mul_add(S::splat(scale), S::splat(offset)).store(out);
        }
    }
}

/// What is known of a packing by its groups.
macro_rules! group_quant_kernels {
    ($($name:ident => $Groups:ident),+ $(,)?) => {$(
        pub(super) mod $name {
            use super::{$Groups, dequantize_blocks, dispatch_simd, dot_rows};

            /// Σ row · x of each row.
            pub fn mat_vec(rows: &[u8], x: &[f32], out: &mut [f32]) {
                dispatch_simd!(dot_rows::<$Groups>(rows: &[u8], x: &[f32], out: &mut [f32]))
            }

            /// The numbers of whole blocks.
            pub fn dequantize(blocks: &[u8], out: &mut [f32]) {
                dispatch_simd!(dequantize_blocks::<$Groups>(blocks: &[u8], out: &mut [f32]))
            }
        }
    )+};
}

group_quant_kernels! {
    q4_0 => Q4_0,
    q4_1 => Q4_1,
    q8_0 => Q8_0,
    q4_k => Q4K,
    q6_k => Q6K,
}

#[cfg(test)]
mod tests {
    use super::{
        super::{GGML_TYPES, MatVecFn},
        *,
    };
    use crate::packed::f32x16::Portable;
    use kiln_spec::Random;

    /// Each way of a packing, with the bytes of two rows of random numbers.
    fn check_product<G: GroupQuant>(name: &str, product: MatVecFn) {
        let packing = GGML_TYPES.iter().find(|packing| packing.name == name).unwrap();
        assert_eq!([packing.block_size, packing.block_bytes], [G::BLOCK_SIZE, G::BLOCK_BYTES], "{name}");
        let mut random = Random::new(7, name, 0, 0);
        for blocks in [0, 1, 2, 5] {
            let mut row: Vec<u8> = (0..blocks * G::BLOCK_BYTES).map(|_| random.uniform_int(256) as u8).collect();
            // Scales that are numbers: two bytes of exponents far from the end.
            for block in row.chunks_exact_mut(G::BLOCK_BYTES) {
                for at in [0, 2, G::BLOCK_BYTES - 2] {
                    block[at + 1] &= 0x37;
                }
            }
            let x: Vec<f32> = (0..blocks * G::BLOCK_SIZE).map(|_| random.normal() as f32).collect();
            let mut numbers = vec![0.0; x.len()];
            packing.dequantize(&row, &mut numbers);
            let terms = numbers.iter().zip(&x).map(|(w, x)| f64::from(*w) * f64::from(*x));
            let (right, size): (f64, f64) = terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
            let mut widest = [0.0];
            product(&row, &x, &mut widest);
            let found = [widest[0], dot::<G, Portable>(&row, &x), wide::<G>(&row, &x)];
            for found in found {
                assert!((f64::from(found) - right).abs() <= 2e-6 * size, "{name}: {found} {right}");
            }
        }
    }

    /// By AVX2 where the machine has it, though it has more.
    fn wide<G: GroupQuant>(row: &[u8], x: &[f32]) -> f32 {
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx2,f16c,fma")]
            fn wide<G: GroupQuant>(row: &[u8], x: &[f32]) -> f32 {
                dot::<G, super::super::f32x16::Avx2>(row, x)
            }
            let has = [is_x86_feature_detected!("avx2"), is_x86_feature_detected!("f16c")];
            if has == [true; 2] && is_x86_feature_detected!("fma") {
                // SAFETY: the machine has them.
                #[allow(unsafe_code)]
                return unsafe { wide::<G>(row, x) };
            }
        }
        dot::<G, Portable>(row, x)
    }

    #[test]
    fn products_are_those_of_the_numbers() {
        check_product::<Q4_0>("Q4_0", q4_0::mat_vec);
        check_product::<Q4_1>("Q4_1", q4_1::mat_vec);
        check_product::<Q8_0>("Q8_0", q8_0::mat_vec);
        check_product::<Q4K>("Q4_K", q4_k::mat_vec);
        check_product::<Q6K>("Q6_K", q6_k::mat_vec);
    }
}
