//! Matrix–vector products from packed rows: Q4_0, Q4_1, Q8_0, Q4_K and Q6_K.
//!
//! In all five formats 16 consecutive values share one scale and offset: value = scale · q + offset. A group of 16 is decoded
//! into one register type ([`F32x16`]) and multiplied with 16 values of x. Decoding a token reads each weight once, so memory
//! bandwidth is the limit; a dequantized copy would take 4 to 8 times the memory traffic.
//!
//! Order of a dot product: group i of a block goes to accumulator i mod 4, each of 16 lanes; then [`F32x16::sum4`]. Bound:
//! 2e-6 · Σ |w x| against the product of the dequantized values in f64, for every instruction set (tests below). Machines
//! with and without fused multiply–add may differ in the last bits.
//!
//! Layouts: `block_q4_0` … `block_q6_K` of ggml-common.h; offsets below are in bytes.

use super::{
    f32x16::{F32x16, dispatch_simd},
    k_quants::scale_and_min,
};

/// Offset of formats without one. Adding −0 changes no float; adding +0 would turn −0 into +0.
const NEGATIVE_ZERO: f32 = -0.0;

/// Block format in which 16 consecutive values share a scale and an offset.
pub trait GroupQuant {
    /// Number of values in a block, a multiple of 16.
    const BLOCK_SIZE: usize;
    /// Number of bytes of a block.
    const BLOCK_BYTES: usize;

    /// Returns the 16 integers q of group `group` of a block as floats, the scale and the offset.
    fn decode_group<S: F32x16>(block: &[u8], group: usize) -> (S, f32, f32);
}

/// Sixteen bytes from a byte offset.
#[inline(always)]
fn load_bytes<S: F32x16>(block: &[u8], offset: usize) -> S::Bytes {
    S::load_bytes(block[offset..][..16].try_into().expect("sixteen bytes"))
}

/// IEEE half-precision number at a byte offset.
#[inline(always)]
fn read_f16<S: F32x16>(block: &[u8], offset: usize) -> f32 {
    S::f16_to_f32([block[offset], block[offset + 1]])
}

/// The low or the high four bits of each byte.
#[inline(always)]
fn nibbles<S: F32x16>(bytes: S::Bytes, high: bool) -> S::Bytes {
    if high { S::shr_and::<4>(bytes, 15) } else { S::shr_and::<0>(bytes, 15) }
}

/// Q4_0: d f16, 16 bytes of nibbles; value = d (q − 8). Low nibbles are values 0–15, high ones 16–31.
pub(super) struct Q4_0;
/// Q4_1: d f16, m f16, 16 bytes of nibbles; value = d q + m.
pub(super) struct Q4_1;
/// Q8_0: d f16, 32 signed bytes; value = d q.
pub(super) struct Q8_0;
/// Q4_K: d f16, dmin f16, 12 bytes of 6-bit scales and minima, 128 bytes of nibbles; 8 groups of 32 with value = d · scale ·
/// q − dmin · min. 32 bytes hold two groups: the low nibbles and the high ones.
pub(super) struct Q4K;
/// Q6_K: 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 signed scales, d f16; value = d · scale · (q − 32).
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
        let quants = S::from_u8(nibbles::<S>(load_bytes::<S>(block, 4), group == 1));
        (quants, read_f16::<S>(block, 0), read_f16::<S>(block, 2))
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
        // 64 values in 32 bytes, of which the high nibbles are the second 32; a group is half of 32 values.
        let pair = group / 4;
        let is_high = group / 2 % 2 == 1;
        let half = group % 2;
        let [scale, min] = scale_and_min(block, 4, group / 2);
        let quants = S::from_u8(nibbles::<S>(load_bytes::<S>(block, 16 + 32 * pair + 16 * half), is_high));
        (quants, read_f16::<S>(block, 0) * scale, -(read_f16::<S>(block, 2) * min))
    }
}

impl GroupQuant for Q6K {
    const BLOCK_SIZE: usize = 256;
    const BLOCK_BYTES: usize = 210;

    #[inline(always)]
    fn decode_group<S: F32x16>(block: &[u8], group: usize) -> (S, f32, f32) {
        // 128 values a side, 32 a quarter; a group is half of a quarter. The four quarters share the bytes of high bits.
        let side = group / 8;
        let quarter = group / 2 % 4;
        let half = group % 2;
        let low = nibbles::<S>(load_bytes::<S>(block, 64 * side + 32 * (quarter % 2) + 16 * half), quarter > 1);
        let high = load_bytes::<S>(block, 128 + 32 * side + 16 * half);
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

/// out_r = Σ_c row_rc x_c for packed rows of `x.len()` values.
#[inline(always)]
fn dot_rows<G: GroupQuant, S: F32x16>(rows: &[u8], x: &[f32], out: &mut [f32]) {
    let width = x.len() / G::BLOCK_SIZE * G::BLOCK_BYTES;
    for (row, out) in rows.chunks_exact(width.max(1)).zip(out) {
        *out = dot::<G, S>(row, x);
    }
}

/// Dot product of one packed row with x.
#[inline(always)]
fn dot<G: GroupQuant, S: F32x16>(row: &[u8], x: &[f32]) -> f32 {
    // A multiply–add has a latency of about four cycles: four independent accumulators keep the unit busy.
    let mut sums = [S::splat(0.0); 4];
    for (block, x) in row.chunks_exact(G::BLOCK_BYTES).zip(x.chunks_exact(G::BLOCK_SIZE)) {
        let (x, _) = x.as_chunks::<16>();
        for group in 0..G::BLOCK_SIZE / 16 {
            let (quants, scale, offset) = G::decode_group::<S>(block, group);
            let values = quants.mul_add(S::splat(scale), S::splat(offset));
            sums[group % 4] = values.mul_add(S::load(&x[group]), sums[group % 4]);
        }
    }
    S::sum4(sums)
}

/// Dequantizes whole blocks.
#[inline(always)]
fn dequantize_blocks<G: GroupQuant, S: F32x16>(blocks: &[u8], out: &mut [f32]) {
    for (block, out) in blocks.chunks_exact(G::BLOCK_BYTES).zip(out.chunks_exact_mut(G::BLOCK_SIZE)) {
        let (out, _) = out.as_chunks_mut::<16>();
        for (group, out) in out.iter_mut().enumerate() {
            let (quants, scale, offset) = G::decode_group::<S>(block, group);
            quants.mul_add(S::splat(scale), S::splat(offset)).store(out);
        }
    }
}

/// The functions of a format for its entry in `GGML_TYPES`, compiled for each instruction set.
macro_rules! group_quant_kernels {
    ($($name:ident => $Format:ident),+ $(,)?) => {$(
        pub(super) mod $name {
            use super::{$Format, dequantize_blocks, dispatch_simd, dot_rows};

            /// out_r = Σ_c row_rc x_c.
            pub fn mat_vec(rows: &[u8], x: &[f32], out: &mut [f32]) {
                dispatch_simd!(dot_rows::<$Format>(rows: &[u8], x: &[f32], out: &mut [f32]))
            }

            /// Dequantizes whole blocks.
            pub fn dequantize(blocks: &[u8], out: &mut [f32]) {
                dispatch_simd!(dequantize_blocks::<$Format>(blocks: &[u8], out: &mut [f32]))
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

    /// Compares the dispatched, the portable and the AVX2 product of random rows with one in f64.
    fn check_product<G: GroupQuant>(name: &str, product: MatVecFn) {
        let format = GGML_TYPES.iter().find(|format| format.name == name).unwrap();
        assert_eq!([format.block_size, format.block_bytes], [G::BLOCK_SIZE, G::BLOCK_BYTES], "{name}");
        let mut random = Random::new(7, name, 0, 0);
        for blocks in [0, 1, 2, 5] {
            let mut row: Vec<u8> = (0..blocks * G::BLOCK_BYTES).map(|_| random.uniform_int(256) as u8).collect();
            // Clears exponent bits of the f16 scales, so that none is infinite or huge.
            for block in row.chunks_exact_mut(G::BLOCK_BYTES) {
                for offset in [0, 2, G::BLOCK_BYTES - 2] {
                    block[offset + 1] &= 0x37;
                }
            }
            let x: Vec<f32> = (0..blocks * G::BLOCK_SIZE).map(|_| random.normal() as f32).collect();
            let mut values = vec![0.0; x.len()];
            format.dequantize(&row, &mut values);
            let terms = values.iter().zip(&x).map(|(w, x)| f64::from(*w) * f64::from(*x));
            let (exact, magnitude): (f64, f64) =
                terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
            let mut dispatched = [0.0];
            product(&row, &x, &mut dispatched);
            for computed in [dispatched[0], dot::<G, Portable>(&row, &x), dot_avx2::<G>(&row, &x)] {
                assert!((f64::from(computed) - exact).abs() <= 2e-6 * magnitude, "{name}: {computed} {exact}");
            }
        }
    }

    /// The product with AVX2 where the machine has it, even if it has AVX-512; otherwise the portable one.
    fn dot_avx2<G: GroupQuant>(row: &[u8], x: &[f32]) -> f32 {
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx2,f16c,fma")]
            fn compiled<G: GroupQuant>(row: &[u8], x: &[f32]) -> f32 {
                dot::<G, super::super::f32x16::Avx2>(row, x)
            }
            let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if has_avx2 && is_x86_feature_detected!("f16c") {
                // SAFETY: the machine has the features that `compiled` is compiled for.
                #[allow(unsafe_code)]
                return unsafe { compiled::<G>(row, x) };
            }
        }
        dot::<G, Portable>(row, x)
    }

    #[test]
    fn products_are_within_their_error_bound() {
        check_product::<Q4_0>("Q4_0", q4_0::mat_vec);
        check_product::<Q4_1>("Q4_1", q4_1::mat_vec);
        check_product::<Q8_0>("Q8_0", q8_0::mat_vec);
        check_product::<Q4K>("Q4_K", q4_k::mat_vec);
        check_product::<Q6K>("Q6_K", q6_k::mat_vec);
    }
}
