//! Floats, a number a block.

use super::each;

pub(super) fn f32(bytes: &[u8], out: &mut [f32]) {
    each(bytes, out, |b: &[u8; 4], [out]| *out = f32::from_le_bytes(*b));
}

pub(super) fn f16(bytes: &[u8], out: &mut [f32]) {
    each(bytes, out, |b: &[u8; 2], [out]| *out = burn::tensor::f16::from_le_bytes(*b).to_f32());
}

pub(super) fn bf16(bytes: &[u8], out: &mut [f32]) {
    each(bytes, out, |b: &[u8; 2], [out]| *out = burn::tensor::bf16::from_le_bytes(*b).to_f32());
}
