//! Named tensors in host memory, and their encoding as a `.safetensors` file.
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

use safetensors::tensor::{Dtype, SafeTensors, View};

use crate::run_folder_error::CheckpointError;

/// Tensors by name, as in a `.safetensors` file.
pub type NamedTensors = BTreeMap<String, RawTensor>;

/// A tensor in host memory, as bytes in row-major order and little-endian.
#[derive(Clone, PartialEq)]
pub struct RawTensor {
    /// Element type.
    pub dtype: Dtype,
    /// Size of each dimension.
    pub shape: Vec<usize>,
    /// Elements.
    pub bytes: Vec<u8>,
}

impl RawTensor {
    /// A tensor of 32-bit floats, row-major. `elements` must have as many elements as `shape`.
    pub fn from_f32(shape: Vec<usize>, elements: &[f32]) -> Self {
        Self { dtype: Dtype::F32, shape, bytes: elements.iter().flat_map(|x| x.to_le_bytes()).collect() }
    }

    /// The elements; none if they are not 32-bit floats.
    pub fn to_f32(&self) -> Option<Vec<f32>> {
        let elements = self.bytes.as_chunks::<4>().0.iter().map(|&x| f32::from_le_bytes(x));
        (self.dtype == Dtype::F32).then(|| elements.collect())
    }
}

/// Element type and shape, without the elements.
impl fmt::Debug for RawTensor {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}{:?}", self.dtype, self.shape)
    }
}

impl View for &RawTensor {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// Bytes of a `.safetensors` file. Equal tensors and metadata give equal bytes.
///
/// `metadata` is written under the single key `kiln`: the order of several keys would vary, since safetensors takes a
/// hash map.
///
/// # Panics
/// If the number of bytes of a tensor does not match its shape and type.
pub(crate) fn encode(tensors: &NamedTensors, metadata: &str) -> Vec<u8> {
    let metadata = HashMap::from([("kiln".to_owned(), metadata.to_owned())]);
    safetensors::serialize(tensors, Some(metadata)).expect("the bytes of each tensor match its shape and type")
}

/// Tensors of a `.safetensors` file.
pub(crate) fn decode(bytes: &[u8]) -> Result<NamedTensors, CheckpointError> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|error| CheckpointError::new("tensors in the safetensors format", error.to_string()))?;
    let mut tensors = NamedTensors::new();
    for (name, view) in file.iter() {
        let raw = RawTensor { dtype: view.dtype(), shape: view.shape().to_vec(), bytes: view.data().to_vec() };
        tensors.insert(name.to_owned(), raw);
    }
    Ok(tensors)
}
