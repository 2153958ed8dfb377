//! K-quants: Q2_K, Q3_K, Q4_K, Q5_K, Q6_K and Q8_K.
//!
//! A block of 256 values has 8 or 16 scales. A scale is a small integer times the block's f16 scale d; formats with a minimum
//! have a second integer and f16 (`dmin` in ggml).

use super::{GroupQuant, NEGATIVE_ZERO, load_bytes, nibbles, read_f16};
use crate::packed::f32x16::F32x16;

/// Q2_K: 16 bytes with a scale (low nibble) and a minimum (high) each, 64 bytes of bit pairs, d f16, dmin f16; 16 groups with
/// value = d · scale · q − dmin · min.
pub struct Q2K;
/// Q3_K: 32 bytes of third bits, 64 bytes of bit pairs, 12 bytes of 6-bit scales, d f16; 16 groups with value = d · (scale −
/// 32) · (q − 4).
pub struct Q3K;
/// Q4_K: d f16, dmin f16, 12 bytes of 6-bit scales and minima, 128 bytes of nibbles; 8 pairs of groups with value = d · scale ·
/// q − dmin · min. 32 bytes hold two pairs: the low nibbles and the high ones.
pub struct Q4K;
/// Q5_K: as Q4_K, with 32 bytes of fifth bits before the nibbles: bit n of byte i is of value i + 32 n.
pub struct Q5K;
/// Q6_K: 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 signed scales, d f16; value = d · scale · (q − 32).
pub struct Q6K;
/// Q8_K: d f32, 256 signed bytes, 32 bytes of sums, which the values do not need; value = d q. ggml uses it for activations.
pub struct Q8K;

/// A group within 256 values that are stored in four quarters of 32 on two sides of 128.
struct Quarter {
    /// First byte of the group among the 32 bytes that the four quarters of its side share.
    start: usize,
    /// The side: 0 or 1.
    side: usize,
    /// The quarter: 0 to 3.
    index: usize,
}

impl Quarter {
    #[inline(always)]
    fn of_group(group: usize) -> Self {
        Self { start: 16 * (group % 2), side: group / 8, index: group / 2 % 4 }
    }

    /// Sixteen integers of 2 bits, in 64 bytes from `offset`: the lowest bits of a byte belong to the first quarter.
    #[inline(always)]
    fn bit_pairs<S: F32x16>(&self, block: &[u8], offset: usize) -> S::Bytes {
        S::shr_and(load_bytes::<S>(block, offset + 32 * self.side + self.start), 2 * self.index as u32, 3)
    }
}

/// Sixteen bits, in 32 bytes from `offset`: bit n of byte i belongs to value i + 32 n.
#[inline(always)]
fn bits<S: F32x16>(block: &[u8], offset: usize, group: usize) -> S::Bytes {
    S::shr_and(load_bytes::<S>(block, offset + 16 * (group % 2)), group as u32 / 2, 1)
}

/// Sixteen integers of 4 bits, in 128 bytes from `offset`: a byte holds values i (low) and i + 32 (high).
#[inline(always)]
fn four_bits<S: F32x16>(block: &[u8], offset: usize, group: usize) -> S::Bytes {
    nibbles::<S>(load_bytes::<S>(block, offset + 32 * (group / 4) + 16 * (group % 2)), group / 2 % 2 == 1)
}

/// d · scale and −dmin · min of a group: d and dmin f16, then eight scales and eight minima of 6 bits in 12 bytes
/// (`get_scale_min_k4` of ggml).
///
/// Pairs of groups 0–3 have 6 bits of a byte each; pairs 4–7 have 4 low bits in the last four bytes and 2 high bits in the top
/// of the first eight.
#[inline(always)]
fn scale_and_offset<S: F32x16>(block: &[u8], group: usize) -> [f32; 2] {
    let (pair, byte) = (group / 2, |i: usize| block[4 + i]);
    let (scale, min) = match pair {
        0..4 => (byte(pair) & 63, byte(pair + 4) & 63),
        _ => {
            let both = byte(pair + 4);
            ((both & 15) | (byte(pair - 4) >> 6) << 4, both >> 4 | (byte(pair) >> 6) << 4)
        }
    };
    [read_f16::<S>(block, 0) * f32::from(scale), -(read_f16::<S>(block, 2) * f32::from(min))]
}

impl GroupQuant for Q2K {
    const BLOCK_SIZE: usize = 256;
    const BLOCK_BYTES: usize = 84;

    #[inline(always)]
    fn decode_group<S: F32x16>(block: &[u8], group: usize) -> (S, f32, f32) {
        let quants = S::from_u8(Quarter::of_group(group).bit_pairs::<S>(block, 16));
        let scale = read_f16::<S>(block, 80) * f32::from(block[group] & 15);
        (quants, scale, -(read_f16::<S>(block, 82) * f32::from(block[group] >> 4)))
    }
}

impl GroupQuant for Q3K {
    const BLOCK_SIZE: usize = 256;
    const BLOCK_BYTES: usize = 110;

    #[inline(always)]
    fn decode_group<S: F32x16>(block: &[u8], group: usize) -> (S, f32, f32) {
        let low = Quarter::of_group(group).bit_pairs::<S>(block, 32);
        let quants = S::from_u8(S::or_shl(low, bits::<S>(block, 0, group), 2)).sub(4.0);
        // The low 4 bits of scales 0–7 are the low nibbles of 8 bytes, those of 8–15 the high ones; 4 bytes hold the high bits.
        let low_scale = (block[96 + group % 8] >> (4 * (group / 8))) & 15;
        let high_scale = (block[104 + group % 4] >> (2 * (group / 4))) & 3;
        (quants, read_f16::<S>(block, 108) * (f32::from(low_scale | high_scale << 4) - 32.0), NEGATIVE_ZERO)
    }
}

impl GroupQuant for Q4K {
    const BLOCK_SIZE: usize = 256;
    const BLOCK_BYTES: usize = 144;

    #[inline(always)]
    fn decode_group<S: F32x16>(block: &[u8], group: usize) -> (S, f32, f32) {
        let [scale, offset] = scale_and_offset::<S>(block, group);
        (S::from_u8(four_bits::<S>(block, 16, group)), scale, offset)
    }
}

impl GroupQuant for Q5K {
    const BLOCK_SIZE: usize = 256;
    const BLOCK_BYTES: usize = 176;

    #[inline(always)]
    fn decode_group<S: F32x16>(block: &[u8], group: usize) -> (S, f32, f32) {
        let [scale, offset] = scale_and_offset::<S>(block, group);
        let quants = S::or_shl(four_bits::<S>(block, 48, group), bits::<S>(block, 16, group), 4);
        (S::from_u8(quants), scale, offset)
    }
}

impl GroupQuant for Q6K {
    const BLOCK_SIZE: usize = 256;
    const BLOCK_BYTES: usize = 210;

    #[inline(always)]
    fn decode_group<S: F32x16>(block: &[u8], group: usize) -> (S, f32, f32) {
        let quarter = Quarter::of_group(group);
        let low = load_bytes::<S>(block, 64 * quarter.side + 32 * (quarter.index % 2) + quarter.start);
        let quants = S::or_shl(nibbles::<S>(low, quarter.index > 1), quarter.bit_pairs::<S>(block, 128), 4);
        let scale = read_f16::<S>(block, 208) * f32::from(block[192 + group].cast_signed());
        (S::from_u8(quants).sub(32.0), scale, NEGATIVE_ZERO)
    }
}

impl GroupQuant for Q8K {
    const BLOCK_SIZE: usize = 256;
    const BLOCK_BYTES: usize = 292;

    #[inline(always)]
    fn decode_group<S: F32x16>(block: &[u8], group: usize) -> (S, f32, f32) {
        let scale = f32::from_le_bytes([block[0], block[1], block[2], block[3]]);
        (S::from_i8(load_bytes::<S>(block, 4 + 16 * group)), scale, NEGATIVE_ZERO)
    }
}
