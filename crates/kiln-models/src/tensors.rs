//! Where weights come from, and in what form they go: named tensors, read one by one.

use crate::parameters::StateDict;
use burn::tensor::TensorData;
use kiln_kernels::packed::{GgmlType, PackedMatrix, quantize::quantize};
use std::collections::BTreeMap;

/// What a file says of one of its tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its shape, slowest dimension first.
    pub shape: Vec<usize>,
    /// How its numbers are stored, in the format's own word: `F32`, `BF16`, `Q4_K`.
    pub dtype: String,
}

impl TensorInfo {
    /// Of floats of 32 bits.
    pub fn f32(shape: Vec<usize>) -> Self {
        Self { shape, dtype: "F32".into() }
    }
}

/// Why a tensor can't be had.
#[derive(Debug, thiserror::Error)]
pub enum TensorError {
    /// No tensor has this name.
    #[error("no tensor `{0}` in the file")]
    NotFound(String),
    /// The file contradicts itself, or holds what Kiln doesn't read.
    #[error("tensor `{name}`: {reason}")]
    Broken {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// How many numbers a tensor of this shape has; `None` if its sizes other than 0 can't be multiplied, so that of a counted
/// shape any part can be counted, in any order.
pub fn num_elements(shape: &[usize]) -> Option<usize> {
    let mut sizes = shape.iter().filter(|size| **size != 0);
    let most = sizes.try_fold(1usize, |count, size| count.checked_mul(*size))?;
    Some(if shape.contains(&0) { 0 } else { most })
}

/// Tensors of a file or of several. Names and shapes are known and checked against the file's size when it is opened;
/// numbers are read when they are asked for, so that loading takes little more memory than the model.
pub trait TensorSource {
    /// All of them, by name.
    fn entries(&self) -> &BTreeMap<String, TensorInfo>;

    /// The numbers of one as f32, whatever they are stored as (quantised ones dequantised).
    ///
    /// # Errors
    /// If there is none of this name, or the file is broken there.
    fn read(&self, name: &str) -> Result<TensorData, TensorError>;

    /// One as it is packed, if it is a matrix that can be multiplied so.
    fn read_packed(&self, _name: &str) -> Option<PackedMatrix> {
        None
    }

    /// The numbers of all, at once.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn read_all(&self) -> Result<StateDict, TensorError> {
        self.entries().keys().map(|name| Ok((name.clone(), self.read(name)?))).collect()
    }
}

/// Tensors in memory.
#[derive(Clone, Debug, Default)]
pub struct InMemoryTensors {
    values: StateDict,
    entries: BTreeMap<String, TensorInfo>,
}

impl From<StateDict> for InMemoryTensors {
    fn from(values: StateDict) -> Self {
        let entry = |(name, data): (&String, &TensorData)| (name.clone(), TensorInfo::f32(data.shape().to_vec()));
        Self { entries: values.iter().map(entry).collect(), values }
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

/// How a file that is written stores numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WeightDtype {
    /// Floats of 32 bits.
    #[default]
    F32,
    /// Floats of 16 bits, up to 65504.
    F16,
    /// Floats of 16 bits with the range of those of 32.
    BF16,
    /// 8 bits, 32 of them under a scale.
    Q8_0,
}

impl WeightDtype {
    /// How they are packed.
    pub fn packing(self) -> &'static GgmlType {
        let name = match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::Q8_0 => "Q8_0",
        };
        GgmlType::from_name(name).expect("the kernels know it")
    }
}

/// Numbers as they are stored.
pub fn pack_tensor(packing: &GgmlType, name: &str, tensor: TensorData) -> Result<Vec<u8>, TensorError> {
    let broken = |reason: String| TensorError::Broken { name: name.into(), reason };
    let values: Vec<f32> = tensor.convert::<f32>().try_into_vec().map_err(|error| broken(format!("{error:?}")))?;
    let beyond = || broken(format!("it has numbers that {} can't hold: infinite, or beyond its range", packing.name));
    quantize(packing, &values).ok_or_else(beyond)
}

#[cfg(test)]
mod tests {
    use super::num_elements;

    #[test]
    fn any_part_of_a_counted_shape_can_be_counted() {
        assert_eq!([num_elements(&[]), num_elements(&[2, 3]), num_elements(&[2, 0, 3])], [Some(1), Some(6), Some(0)]);
        assert_eq!([num_elements(&[1 << 40, 1 << 40]), num_elements(&[0, 1 << 40, 1 << 40])], [None, None]);
    }
}
