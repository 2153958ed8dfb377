//! Formats whose four bits are an index into a table of values: IQ4_NL, IQ4_XS and MXFP4.

use super::{GroupQuant, NEGATIVE_ZERO, load_bytes, nibbles, read_f16};
use crate::packed::f32x16::F32x16;

/// The values of IQ4_NL and IQ4_XS (`kvalues_iq4nl` of ggml): denser near zero, as weights are.
const IQ4_VALUES: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
/// The values of MXFP4 (`kvalues_mxfp4` of ggml): twice the floats of 4 bits (E2M1), so that they are integers.
const MXFP4_VALUES: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// IQ4_NL: d f16, 16 bytes of nibbles; value = d · table\[q\]. Low nibbles are values 0–15, high ones 16–31.
pub struct Iq4Nl;
/// IQ4_XS: d f16, 2 bytes with the high bit pairs of 8 scales, 4 bytes with their low nibbles, 128 bytes of nibbles; 8 times 32
/// values as in IQ4_NL, value = d · (scale − 32) · table\[q\].
pub struct Iq4Xs;
/// MXFP4: an exponent of 8 bits (E8M0), 16 bytes of nibbles as in IQ4_NL; value = 2^(exponent − 128) · table\[q\].
pub struct Mxfp4;

/// Sixteen values of a table, by the low or the high nibbles of 16 bytes from `offset`.
#[inline(always)]
fn look_up<S: F32x16>(table: &[i8; 16], block: &[u8], offset: usize, high: bool) -> S {
    S::from_i8(S::look_up(table, nibbles::<S>(load_bytes::<S>(block, offset), high)))
}

impl GroupQuant for Iq4Nl {
    const BLOCK_SIZE: usize = 32;
    const BLOCK_BYTES: usize = 18;

    #[inline(always)]
    fn decode_group<S: F32x16>(block: &[u8], group: usize) -> (S, f32, f32) {
        (look_up::<S>(&IQ4_VALUES, block, 2, group == 1), read_f16::<S>(block, 0), NEGATIVE_ZERO)
    }
}

impl GroupQuant for Iq4Xs {
    const BLOCK_SIZE: usize = 256;
    const BLOCK_BYTES: usize = 136;

    #[inline(always)]
    fn decode_group<S: F32x16>(block: &[u8], group: usize) -> (S, f32, f32) {
        let pair = group / 2;
        let low = (block[4 + pair / 2] >> (4 * (pair % 2))) & 15;
        let high = (u16::from_le_bytes([block[2], block[3]]) >> (2 * pair)) as u8 & 3;
        let scale = read_f16::<S>(block, 0) * (f32::from(low | high << 4) - 32.0);
        (look_up::<S>(&IQ4_VALUES, block, 8 + 16 * pair, group % 2 == 1), scale, NEGATIVE_ZERO)
    }
}

impl GroupQuant for Mxfp4 {
    const BLOCK_SIZE: usize = 32;
    const BLOCK_BYTES: usize = 17;

    #[inline(always)]
    fn decode_group<S: F32x16>(block: &[u8], group: usize) -> (S, f32, f32) {
        // 2^(exponent − 128): a normal float has the exponent − 1 in its bits; the two smallest are subnormal.
        let scale = match u32::from(block[0]) {
            exponent @ 0..2 => f32::from_bits(0x0020_0000 << exponent),
            exponent => f32::from_bits((exponent - 1) << 23),
        };
        (look_up::<S>(&MXFP4_VALUES, block, 1, group == 1), scale, NEGATIVE_ZERO)
    }
}
