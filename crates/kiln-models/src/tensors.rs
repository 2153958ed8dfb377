//! Named tensors: where weights are read from, and the types that they are written in.
//!
//! A [`TensorSource`] knows the names and shapes of all tensors and reads values one tensor at a time. Implementations:
//! [`InMemoryTensors`], [`ModelTensors`](crate::ModelTensors), [`ExportedTensors`](crate::hf::ExportedTensors), and the
//! files of `kiln-pretrained` (safetensors, GGUF, pickles).

use crate::parameters::StateDict;
use burn::tensor::{DType, TensorData};
use kiln_kernels::{
    cpu::rows::{copied_bytes, copied_elements},
    packed::{GgmlType, PackedMatrix, quantize::quantize},
};
use std::{borrow::Cow, collections::BTreeMap};

/// Shape and storage type of a tensor in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Shape, slowest dimension first.
    pub shape: Vec<usize>,
    /// Storage type, as the file format calls it: `F32`, `BF16`, `Q4_K`.
    pub dtype: String,
}

impl TensorInfo {
    /// A tensor of this shape that is stored as 32-bit floats.
    pub fn f32(shape: Vec<usize>) -> Self {
        Self { shape, dtype: "F32".into() }
    }
}

/// Error of reading or packing a tensor.
#[derive(Debug, thiserror::Error)]
pub enum TensorError {
    /// No tensor of this name.
    #[error("no tensor `{0}` in the file")]
    NotFound(String),
    /// The file is damaged, or its values can't be represented.
    #[error("tensor `{name}`: {reason}")]
    Broken {
        /// Name of the tensor.
        name: String,
        /// What is wrong: found, expected.
        reason: String,
    },
}

/// Number of elements of a shape; `None` if the product of its sizes other than 0 overflows.
///
/// A size of 0 does not hide an overflow: `[0, 2^40, 2^40]` gives `None`. If the result is `Some`, any of the sizes can be
/// multiplied in any order without overflow.
pub fn num_elements(shape: &[usize]) -> Option<usize> {
    let mut sizes = shape.iter().filter(|size| **size != 0);
    let product = sizes.try_fold(1usize, |count, size| count.checked_mul(*size))?;
    Some(if shape.contains(&0) { 0 } else { product })
}

/// A tensor in its own float type, borrowed from where it is stored if that is possible.
pub enum StoredTensor<'a> {
    /// Elements in the memory of the source: row-major, little-endian, of f32, f16 or bf16. They need not be aligned.
    Borrowed {
        /// Bytes of all elements.
        bytes: &'a [u8],
        /// Shape, slowest dimension first.
        shape: &'a [usize],
        /// Type of the elements.
        dtype: DType,
    },
    /// Values that were made for the call.
    Owned(TensorData),
}

impl StoredTensor<'_> {
    /// The bytes of all elements.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed { bytes, .. } => bytes,
            Self::Owned(data) => data.as_bytes(),
        }
    }

    /// Shape, slowest dimension first.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Borrowed { shape, .. } => shape,
            Self::Owned(data) => data.shape(),
        }
    }

    /// Type of the elements.
    pub fn dtype(&self) -> DType {
        match self {
            Self::Borrowed { dtype, .. } => *dtype,
            Self::Owned(data) => data.dtype(),
        }
    }

    /// The values, copied if they are borrowed.
    pub fn into_values(self) -> TensorData {
        match self {
            Self::Borrowed { bytes, shape, dtype } => {
                TensorData::from_bytes(copied_elements(bytes, dtype.size()), shape.to_vec(), dtype)
            }
            Self::Owned(data) => data,
        }
    }
}

/// The float type that files call by this name, if its elements are those of a [`StoredTensor`]: `F32`, `F16` or `BF16`.
pub fn float_type(name: &str) -> Option<DType> {
    match name {
        "F32" => Some(DType::F32),
        "F16" => Some(DType::F16),
        "BF16" => Some(DType::BF16),
        _ => None,
    }
}

/// Tensors by name: of a file, of several files, of a model.
///
/// Names and shapes are available at once; a file checks them against its size when it is opened. Values are read on
/// request, one tensor at a time, so that loading a model takes little more memory than the model.
pub trait TensorSource {
    /// Shapes and storage types of all tensors, by name.
    fn entries(&self) -> &BTreeMap<String, TensorInfo>;

    /// The values of a tensor as f32, converted from its storage type (quantized values are dequantized).
    ///
    /// # Errors
    /// If there is no tensor of this name, or its bytes in the file are invalid.
    fn read(&self, name: &str) -> Result<TensorData, TensorError>;

    /// The tensor in its own float type: f32, f16 or bf16. A tensor of another type (quantized, f64) is converted to f32.
    /// Default: as [`read`](Self::read).
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn read_stored(&self, name: &str) -> Result<StoredTensor<'_>, TensorError> {
        self.read(name).map(StoredTensor::Owned)
    }

    /// The bytes of a tensor as the file stores them, in the type that [`entries`](Self::entries) names: row-major,
    /// little-endian. For types that are no floats, such as packed integers. Default: `None`.
    fn read_bytes(&self, _name: &str) -> Option<Cow<'_, [u8]>> {
        None
    }

    /// Whether a tensor has no effect in a model without a parameter for it: a bias of zeros that a quantizer added. Default:
    /// `false`.
    fn is_redundant(&self, _name: &str) -> bool {
        false
    }

    /// Tells the source that a tensor will not be read again soon, so that it can return its memory. It can still be read.
    /// Default: nothing.
    fn release(&self, _name: &str) {}

    /// The tensor in its storage type, if its rows (along the last axis) can be multiplied in packed form. A tensor with more than
    /// two dimensions is a matrix of all its rows. Default: `None`.
    fn read_packed(&self, _name: &str) -> Option<PackedMatrix> {
        None
    }

    /// The values of all tensors, by name.
    ///
    /// # Errors
    /// As [`read`](Self::read): the first tensor that can't be read.
    fn read_all(&self) -> Result<StateDict, TensorError> {
        self.entries().keys().map(|name| Ok((name.clone(), self.read(name)?))).collect()
    }
}

/// Tensors in memory, by name. Their storage type is reported as `F32`.
#[derive(Clone, Debug, Default)]
pub struct InMemoryTensors {
    values: StateDict,
    entries: BTreeMap<String, TensorInfo>,
}

impl From<StateDict> for InMemoryTensors {
    fn from(values: StateDict) -> Self {
        let entries = values.iter().map(|(name, data)| (name.clone(), TensorInfo::f32(data.shape().to_vec())));
        Self { entries: entries.collect(), values }
    }
}

impl TensorSource for InMemoryTensors {
    fn entries(&self) -> &BTreeMap<String, TensorInfo> {
        &self.entries
    }

    fn read(&self, name: &str) -> Result<TensorData, TensorError> {
        self.values.get(name).cloned().ok_or_else(|| TensorError::NotFound(name.into()))
    }
}

/// Storage type of the weights in a file that is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WeightDtype {
    /// 32-bit floats: the values without loss.
    #[default]
    F32,
    /// IEEE 754 half precision: 11 bits of precision, up to ±65504.
    F16,
    /// bfloat16: 8 bits of precision, the range of 32-bit floats.
    BF16,
    /// 8-bit integers in blocks of 32 with one f16 scale each; GGUF files only.
    Q8_0,
}

impl WeightDtype {
    /// The block format in which values are stored, in ggml's terms.
    pub fn packing(self) -> &'static GgmlType {
        let name = match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::Q8_0 => "Q8_0",
        };
        GgmlType::from_name(name).expect("the four types are in the table of packings")
    }
}

/// The bytes of a tensor's values in a storage type. `name` is for errors only.
///
/// # Errors
/// If a value is NaN, infinite or out of range in a type of 16 or 8 bits, or Kiln does not write the type.
pub fn pack_tensor(packing: &GgmlType, name: &str, tensor: TensorData) -> Result<Vec<u8>, TensorError> {
    let broken = |reason: String| TensorError::Broken { name: name.into(), reason };
    if cfg!(target_endian = "little") && float_type(packing.name) == Some(tensor.dtype()) {
        // A value that isn't finite is one that the tensor had before.
        return Ok(copied_bytes(tensor.as_bytes()));
    }
    let values: Vec<f32> = tensor.convert::<f32>().try_into_vec().map_err(|error| broken(error.to_string()))?;
    quantize(packing, &values).ok_or_else(|| {
        broken(format!("values are not representable in {}: NaN, infinite or out of range", packing.name))
    })
}

#[cfg(test)]
mod tests {
    use super::num_elements;

    #[test]
    fn zero_sizes_are_left_out_of_the_overflow_check() {
        assert_eq!([num_elements(&[]), num_elements(&[2, 3]), num_elements(&[2, 0, 3])], [Some(1), Some(6), Some(0)]);
        assert_eq!([num_elements(&[1 << 40, 1 << 40]), num_elements(&[0, 1 << 40, 1 << 40])], [None, None]);
    }
}
