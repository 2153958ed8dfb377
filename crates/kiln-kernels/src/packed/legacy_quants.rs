//! 32 numbers a block: a scale, perhaps a smallest number, and whole numbers of 4, 5 or 8 bits. Of two numbers in one
//! byte, the low one belongs to the block's first half; fifth bits stand apart.

use super::{for_each_block, read_f16};

/// The whole numbers of 4 bits at `at`.
fn nibbles(block: &[u8], at: usize) -> [u8; 32] {
    std::array::from_fn(|i| (block[at + i % 16] >> (4 * (i / 16))) & 15)
}

/// Of 5 bits: the fifth ones first, from `at`.
fn five_bits(block: &[u8], at: usize) -> [u8; 32] {
    let low = nibbles(block, at + 4);
    std::array::from_fn(|i| low[i] | ((block[at + i / 8] >> (i % 8)) & 1) << 4)
}

pub(super) fn q5_0(bytes: &[u8], out: &mut [f32]) {
    for_each_block(bytes, out, |b: &[u8; 22], out: &mut [f32; 32]| {
        let d = read_f16(b, 0);
        *out = five_bits(b, 2).map(|q| d * (f32::from(q) - 16.0));
    });
}

pub(super) fn q5_1(bytes: &[u8], out: &mut [f32]) {
    for_each_block(bytes, out, |b: &[u8; 24], out: &mut [f32; 32]| {
        let (d, least) = (read_f16(b, 0), read_f16(b, 2));
        *out = five_bits(b, 4).map(|q| d * f32::from(q) + least);
    });
}
