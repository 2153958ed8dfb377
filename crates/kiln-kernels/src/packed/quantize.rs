//! Quantization into F32, F16, BF16 and Q8_0, for export. Other formats are read only.
//!
//! Q8_0 (`quantize_row_q8_0_ref` of ggml): of 32 values the scale is d = max |x| / 127, and q = round(x / d) with halves
//! rounded away from 0. The error of a value is at most d / 2 plus the rounding of d to f16.

use super::GgmlType;
use burn::tensor::{bf16, f16};

/// Returns whole blocks of `values` in a format.
///
/// `None` if a value or a block's scale isn't finite in the format (f16 ends at 65504), or if Kiln has no quantizer for the
/// format. Values beyond the last whole block of Q8_0 are left out.
pub fn quantize(ggml_type: &GgmlType, values: &[f32]) -> Option<Vec<u8>> {
    match ggml_type.name {
        "F32" => Some(values.iter().flat_map(|value| value.to_le_bytes()).collect()),
        "F16" => quantize_floats(values, |value| finite_f16(value).map(f16::to_le_bytes)),
        "BF16" => quantize_floats(values, |value| {
            Some(bf16::from_f32(value)).filter(|b| b.is_finite()).map(bf16::to_le_bytes)
        }),
        "Q8_0" => quantize_q8_0(values),
        _ => None,
    }
}

/// Two bytes for each value; `None` if `float` is `None` for one of them.
fn quantize_floats(values: &[f32], float: impl Fn(f32) -> Option<[u8; 2]>) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(2 * values.len());
    for value in values {
        bytes.extend_from_slice(&float(*value)?);
    }
    Some(bytes)
}

/// Blocks of 34 bytes: the scale in f16, then 32 signed bytes. A block of zeros has scale 0.
fn quantize_q8_0(values: &[f32]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(values.len() / 32 * 34);
    for block in values.chunks_exact(32) {
        let scale = block.iter().fold(0.0f32, |max, value| max.max(value.abs())) / 127.0;
        let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        if block.iter().any(|value| value.is_nan()) {
            return None;
        }
        bytes.extend_from_slice(&finite_f16(scale)?.to_le_bytes());
        bytes.extend(block.iter().map(|value| ((value * inverse).round() as i8).to_le_bytes()[0]));
    }
    Some(bytes)
}

/// The nearest f16, if it is finite.
fn finite_f16(value: f32) -> Option<f16> {
    Some(f16::from_f32(value)).filter(|half| half.is_finite())
}
