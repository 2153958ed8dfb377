//! Stored tensors by name, shape and type: what every method checks before it reads.

use crate::tensors::{TensorError, TensorInfo, TensorSource};
use burn::tensor::{DType, bf16, f16};
use std::borrow::Cow;

/// The error for a tensor that does not have the form of its method.
pub(super) fn broken(name: &str, reason: impl Into<String>) -> TensorError {
    TensorError::Broken { name: name.into(), reason: reason.into() }
}

/// The description of a tensor that must be there. `of` is the tensor that it belongs to.
pub(super) fn require<'a>(stored: &'a dyn TensorSource, name: &str, of: &str) -> Result<&'a TensorInfo, TensorError> {
    stored.entries().get(name).ok_or_else(|| broken(name, format!("missing; `{of}` is stored with it")))
}

/// Checks type and shape of a tensor that must be there.
pub(super) fn require_form(
    stored: &dyn TensorSource,
    (name, of): (&str, &str),
    dtypes: &[&str],
    shape: &[usize],
) -> Result<(), TensorError> {
    let info = require(stored, name, of)?;
    if !dtypes.contains(&info.dtype.as_str()) {
        return Err(broken(name, format!("expected the type {}, found {}", dtypes.join(" or "), info.dtype)));
    }
    if info.shape != shape {
        return Err(broken(name, format!("expected the shape {shape:?}, found {:?}", info.shape)));
    }
    Ok(())
}

/// The bytes of a tensor.
pub(super) fn bytes<'a>(stored: &'a dyn TensorSource, name: &str) -> Result<Cow<'a, [u8]>, TensorError> {
    let reason = "its bytes can't be read from this kind of file; expected safetensors";
    stored.read_bytes(name).ok_or_else(|| broken(name, reason))
}

/// The values of a tensor of floats as f32.
pub(super) fn floats(stored: &dyn TensorSource, name: &str) -> Result<Vec<f32>, TensorError> {
    stored.read(name)?.try_into_vec().map_err(|error| broken(name, error.to_string()))
}

/// The values of a tensor of 32-bit integers.
pub(super) fn integers(stored: &dyn TensorSource, name: &str) -> Result<Vec<i32>, TensorError> {
    Ok(bytes(stored, name)?.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect())
}

/// Checks that no module with quantized weights is in a list of modules that are not quantized. The reference reads the modules
/// of the list as plain weights.
pub(super) fn check_excluded(excluded: &[(String, String)], module: &str, tensor: &str) -> Result<(), TensorError> {
    let is_listed = |entry: &str| {
        let rest = [module.strip_prefix(entry), module.strip_suffix(entry)];
        module == entry
            || rest[0].is_some_and(|rest| rest.starts_with('.'))
            || rest[1].is_some_and(|rest| rest.ends_with('.'))
    };
    match excluded.iter().find(|(entry, _)| is_listed(entry)) {
        Some((entry, path)) => {
            Err(broken(tensor, format!("quantized, but {path} excludes `{entry}` from quantization")))
        }
        None => Ok(()),
    }
}

/// The name of a float type in files.
pub(super) fn float_name(dtype: DType) -> &'static str {
    match dtype {
        DType::BF16 => "BF16",
        DType::F16 => "F16",
        _ => "F32",
    }
}

/// Writes values to `out` in a float type, each rounded once.
pub(super) fn write_floats(dtype: DType, values: impl Iterator<Item = f32>, out: &mut [u8]) {
    let pairs = out.chunks_exact_mut(dtype.size()).zip(values);
    match dtype {
        DType::F16 => pairs.for_each(|(out, value)| out.copy_from_slice(&f16::from_f32(value).to_le_bytes())),
        DType::BF16 => pairs.for_each(|(out, value)| out.copy_from_slice(&bf16::from_f32(value).to_le_bytes())),
        _ => pairs.for_each(|(out, value)| out.copy_from_slice(&value.to_le_bytes())),
    }
}
