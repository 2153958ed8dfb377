//! K-quants without a product from packed rows: Q2_K, Q3_K, Q5_K, Q8_K, and the 6-bit scales that Q4_K shares.
//!
//! A block of 256 values has 8 or 16 groups. A group's scale is a small integer times the block's f16 scale d; formats with a
//! minimum have a second integer and f16 (`dmin` in ggml). Layouts: `block_q2_K` … `block_q8_K` of ggml-common.h.

use super::{for_each_block, read_f16};

/// Value i of 256 integers of 2 bits, in 64 bytes from `offset`: 32 bytes hold 128 values, a byte the values i, i + 32, i + 64
/// and i + 96 from the lowest bits up.
fn two_bits(block: &[u8], offset: usize, i: usize) -> u8 {
    (block[offset + 32 * (i / 128) + i % 32] >> (2 * (i % 128 / 32))) & 3
}

/// Value i of 256 integers of 4 bits, in 128 bytes from `offset`: a byte holds values i (low) and i + 32 (high).
fn four_bits(block: &[u8], offset: usize, i: usize) -> u8 {
    (block[offset + 32 * (i / 64) + i % 32] >> (4 * (i % 64 / 32))) & 15
}

/// Value i of 256 bits, in 32 bytes from `offset`: bit n of byte i belongs to value i + 32 n.
fn one_bit(block: &[u8], offset: usize, i: usize) -> u8 {
    (block[offset + i % 32] >> (i / 32)) & 1
}

/// Scale and minimum of a group: eight of each with 6 bits, in 12 bytes from `offset` (`get_scale_min_k4` of ggml).
///
/// Groups 0–3 have 6 bits of a byte each; groups 4–7 have 4 low bits in the last four bytes and 2 high bits in the top of
/// the first eight.
pub(super) fn scale_and_min(block: &[u8], offset: usize, group: usize) -> [f32; 2] {
    let byte = |i: usize| block[offset + i];
    let (scale, min) = match group {
        0..4 => (byte(group) & 63, byte(group + 4) & 63),
        _ => {
            let both = byte(group + 4);
            ((both & 15) | (byte(group - 4) >> 6) << 4, both >> 4 | (byte(group) >> 6) << 4)
        }
    };
    [f32::from(scale), f32::from(min)]
}

/// Q2_K: 16 groups of 16, value = d · scale · q − dmin · min, scale and min of 4 bits, q of 2.
pub(super) fn q2_k(bytes: &[u8], out: &mut [f32]) {
    for_each_block(bytes, out, |b: &[u8; 84], out: &mut [f32; 256]| {
        let (d, dmin) = (read_f16(b, 80), read_f16(b, 82));
        let scale: [f32; 16] = std::array::from_fn(|g| d * f32::from(b[g] & 15));
        let min: [f32; 16] = std::array::from_fn(|g| dmin * f32::from(b[g] >> 4));
        *out = std::array::from_fn(|i| scale[i / 16] * f32::from(two_bits(b, 16, i)) - min[i / 16]);
    });
}

/// Q3_K: 16 groups of 16, value = d · (scale − 32) · (q − 4 (1 − h)), scale of 6 bits, q of 2 and h of 1.
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

/// Q5_K: 8 groups of 32, value = d · scale · q − dmin · min, scale and min of 6 bits, q of 5.
pub(super) fn q5_k(bytes: &[u8], out: &mut [f32]) {
    for_each_block(bytes, out, |b: &[u8; 176], out: &mut [f32; 256]| {
        dequantize_scaled_groups(b, out, |i| four_bits(b, 48, i) | one_bit(b, 16, i) << 4);
    });
}

/// Dequantizes 8 groups of 32 with 6-bit scales and minima at the begin of the block; `quant(i)` is the integer of value i.
fn dequantize_scaled_groups(block: &[u8], out: &mut [f32; 256], quant: impl Fn(usize) -> u8) {
    let (d, dmin) = (read_f16(block, 0), read_f16(block, 2));
    let groups: [[f32; 2]; 8] = std::array::from_fn(|g| scale_and_min(block, 4, g)).map(|[s, m]| [d * s, dmin * m]);
    *out = std::array::from_fn(|i| groups[i / 32][0] * f32::from(quant(i)) - groups[i / 32][1]);
}

/// Q8_K: value = d · q, d an f32, q of 8 bits. ggml uses it for activations.
pub(super) fn q8_k(bytes: &[u8], out: &mut [f32]) {
    for_each_block(bytes, out, |b: &[u8; 292], out: &mut [f32; 256]| {
        let d = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        *out = std::array::from_fn(|i| d * f32::from(b[4 + i] as i8));
    });
}
