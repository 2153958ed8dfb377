//! 256 numbers a block, in 8 or 16 groups whose scales are themselves whole numbers under one float.

use super::{for_each_block, read_f16};

/// Two bits each of 256 numbers, in 64 bytes from `at`: four numbers a byte, 32 apart, 128 in 32 bytes.
fn two_bits(block: &[u8], at: usize, i: usize) -> u8 {
    (block[at + 32 * (i / 128) + i % 32] >> (2 * (i % 128 / 32))) & 3
}

/// Four bits each, in 128 bytes from `at`: two numbers a byte, 32 apart.
fn four_bits(block: &[u8], at: usize, i: usize) -> u8 {
    (block[at + 32 * (i / 64) + i % 32] >> (4 * (i % 64 / 32))) & 15
}

/// One bit each, in 32 bytes from `at`: eight numbers a byte, 32 apart.
fn one_bit(block: &[u8], at: usize, i: usize) -> u8 {
    (block[at + i % 32] >> (i / 32)) & 1
}

/// Eight scales and eight offsets of 6 bits, in 12 bytes from `at`.
pub(super) fn scale_and_min(block: &[u8], at: usize, group: usize) -> [f32; 2] {
    let byte = |i: usize| block[at + i];
    let (scale, offset) = match group {
        0..4 => (byte(group) & 63, byte(group + 4) & 63),
        _ => {
            let both = byte(group + 4);
            ((both & 15) | (byte(group - 4) >> 6) << 4, both >> 4 | (byte(group) >> 6) << 4)
        }
    };
    [f32::from(scale), f32::from(offset)]
}

pub(super) fn q2_k(bytes: &[u8], out: &mut [f32]) {
    for_each_block(bytes, out, |b: &[u8; 84], out: &mut [f32; 256]| {
        let (d, least) = (read_f16(b, 80), read_f16(b, 82));
        let scale: [f32; 16] = std::array::from_fn(|g| d * f32::from(b[g] & 15));
        let offset: [f32; 16] = std::array::from_fn(|g| least * f32::from(b[g] >> 4));
        *out = std::array::from_fn(|i| scale[i / 16] * f32::from(two_bits(b, 16, i)) - offset[i / 16]);
    });
}

pub(super) fn q3_k(bytes: &[u8], out: &mut [f32]) {
    for_each_block(bytes, out, |b: &[u8; 110], out: &mut [f32; 256]| {
        let d = read_f16(b, 108);
        let scale: [f32; 16] = std::array::from_fn(|g| {
            let low = (b[96 + g % 8] >> (4 * (g / 8))) & 15;
            let high = (b[104 + g % 4] >> (2 * (g / 4))) & 3;
            d * (f32::from(low | high << 4) - 32.0)
        });
        *out = std::array::from_fn(|i| {
            scale[i / 16] * (f32::from(two_bits(b, 32, i)) - 4.0 * f32::from(1 - one_bit(b, 0, i)))
        });
    });
}

pub(super) fn q5_k(bytes: &[u8], out: &mut [f32]) {
    for_each_block(bytes, out, |b: &[u8; 176], out: &mut [f32; 256]| {
        dequantize_scaled_groups(b, out, |i| four_bits(b, 48, i) | one_bit(b, 16, i) << 4);
    });
}

/// Groups of 32 with 6-bit scales and offsets, which begin the block.
fn dequantize_scaled_groups(block: &[u8], out: &mut [f32; 256], number: impl Fn(usize) -> u8) {
    let (d, least) = (read_f16(block, 0), read_f16(block, 2));
    let groups: [[f32; 2]; 8] = std::array::from_fn(|g| scale_and_min(block, 4, g)).map(|[s, o]| [d * s, least * o]);
    *out = std::array::from_fn(|i| groups[i / 32][0] * f32::from(number(i)) - groups[i / 32][1]);
}

pub(super) fn q8_k(bytes: &[u8], out: &mut [f32]) {
    for_each_block(bytes, out, |b: &[u8; 292], out: &mut [f32; 256]| {
        let d = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        *out = std::array::from_fn(|i| d * f32::from(b[4 + i] as i8));
    });
}
