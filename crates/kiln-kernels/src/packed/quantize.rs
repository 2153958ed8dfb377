//! Packing numbers: as floats, and as Q8_0.

use super::GgmlType;
use burn::tensor::{bf16, f16};

/// Whole blocks of numbers, packed; `None` if a number (or a block's scale) is not finite as it would be packed, or if
/// Kiln doesn't pack this way.
pub fn quantize(packing: &GgmlType, values: &[f32]) -> Option<Vec<u8>> {
    match packing.name {
        "F32" => Some(values.iter().flat_map(|value| value.to_le_bytes()).collect()),
        "F16" => quantize_floats(values, |value| finite_f16(value).map(f16::to_le_bytes)),
        "BF16" => quantize_floats(values, |value| {
            Some(bf16::from_f32(value)).filter(|b| b.is_finite()).map(bf16::to_le_bytes)
        }),
        "Q8_0" => quantize_q8_0(values),
        _ => None,
    }
}

fn quantize_floats(values: &[f32], float: impl Fn(f32) -> Option<[u8; 2]>) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(2 * values.len());
    for value in values {
        bytes.extend_from_slice(&float(*value)?);
    }
    Some(bytes)
}

/// A scale by which the largest of 32 numbers is ±127, and 32 multiples of it, halves rounded away from 0.
fn quantize_q8_0(values: &[f32]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(values.len() / 32 * 34);
    for block in values.chunks_exact(32) {
        let scale = block.iter().fold(0.0f32, |most, value| most.max(value.abs())) / 127.0;
        let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        if block.iter().any(|value| value.is_nan()) {
            return None;
        }
        bytes.extend_from_slice(&finite_f16(scale)?.to_le_bytes());
        bytes.extend(block.iter().map(|value| ((value * inverse).round() as i8).to_le_bytes()[0]));
    }
    Some(bytes)
}

fn finite_f16(value: f32) -> Option<f16> {
    Some(f16::from_f32(value)).filter(|half| half.is_finite())
}
