//! Q5_0 and Q5_1: 32 values per block, with one scale and, in Q5_1, one minimum.
//!
//! Layouts (`block_q5_0`, `block_q5_1` of ggml-common.h): d f16 \[, m f16\], 4 bytes with the fifth bits, 16 bytes with the low
//! nibbles. Byte i of the nibbles holds values i (low) and i + 16 (high); bit i of the fifth bits belongs to value i.

use super::{for_each_block, read_f16};

/// 32 integers of 4 bits in 16 bytes from `offset`.
fn nibbles(block: &[u8], offset: usize) -> [u8; 32] {
    std::array::from_fn(|i| (block[offset + i % 16] >> (4 * (i / 16))) & 15)
}

/// 32 integers of 5 bits: 4 bytes of fifth bits from `offset`, then the nibbles.
fn five_bits(block: &[u8], offset: usize) -> [u8; 32] {
    let low = nibbles(block, offset + 4);
    std::array::from_fn(|i| low[i] | ((block[offset + i / 8] >> (i % 8)) & 1) << 4)
}

/// Q5_0: d (q − 16).
pub(super) fn q5_0(bytes: &[u8], out: &mut [f32]) {
    for_each_block(bytes, out, |b: &[u8; 22], out: &mut [f32; 32]| {
        let d = read_f16(b, 0);
        *out = five_bits(b, 2).map(|q| d * (f32::from(q) - 16.0));
    });
}

/// Q5_1: d q + m.
pub(super) fn q5_1(bytes: &[u8], out: &mut [f32]) {
    for_each_block(bytes, out, |b: &[u8; 24], out: &mut [f32; 32]| {
        let (d, min) = (read_f16(b, 0), read_f16(b, 2));
        *out = five_bits(b, 4).map(|q| d * f32::from(q) + min);
    });
}
