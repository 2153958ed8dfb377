//! Formats with 32 values per block: Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0. Their scale and minimum are f16 numbers.

use super::{GroupQuant, NEGATIVE_ZERO, load_bytes, nibbles, read_f16};
use crate::packed::f32x16::F32x16;

/// Q4_0: d f16, 16 bytes of nibbles; value = d (q − 8). Low nibbles are values 0–15, high ones 16–31.
pub struct Q4_0;
/// Q4_1: d f16, m f16, 16 bytes of nibbles; value = d q + m.
pub struct Q4_1;
/// Q5_0: d f16, 4 bytes of fifth bits, 16 bytes of nibbles; value = d (q − 16). Bit i of the fifth bits is of value i.
pub struct Q5_0;
/// Q5_1: d f16, m f16, 4 bytes of fifth bits, 16 bytes of nibbles; value = d q + m.
pub struct Q5_1;
/// Q8_0: d f16, 32 signed bytes; value = d q.
pub struct Q8_0;

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

/// Sixteen integers of 5 bits: 4 bytes of fifth bits from `offset`, then 16 bytes of nibbles.
#[inline(always)]
fn five_bits<S: F32x16>(block: &[u8], offset: usize, group: usize) -> S {
    let low = nibbles::<S>(load_bytes::<S>(block, offset + 4), group == 1);
    let fifth = S::spread_bits([block[offset + 2 * group], block[offset + 2 * group + 1]]);
    S::from_u8(S::or_shl(low, fifth, 4))
}

impl GroupQuant for Q5_0 {
    const BLOCK_SIZE: usize = 32;
    const BLOCK_BYTES: usize = 22;

    #[inline(always)]
    fn decode_group<S: F32x16>(block: &[u8], group: usize) -> (S, f32, f32) {
        (five_bits::<S>(block, 2, group).sub(16.0), read_f16::<S>(block, 0), NEGATIVE_ZERO)
    }
}

impl GroupQuant for Q5_1 {
    const BLOCK_SIZE: usize = 32;
    const BLOCK_BYTES: usize = 24;

    #[inline(always)]
    fn decode_group<S: F32x16>(block: &[u8], group: usize) -> (S, f32, f32) {
        (five_bits::<S>(block, 4, group), read_f16::<S>(block, 0), read_f16::<S>(block, 2))
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
