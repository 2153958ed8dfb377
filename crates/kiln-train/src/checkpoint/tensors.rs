//! Named tensors on the host, to and from the bytes of a `.safetensors` file.
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, View};

use crate::run_folder_error::CheckpointError;

/// Tensors by name.
pub type NamedTensors = BTreeMap<String, RawTensor>;

/// A tensor's bytes, row-major and little-endian.
#[derive(Clone, PartialEq)]
pub struct RawTensor {
    /// Type of an element.
    pub dtype: Dtype,
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// The elements.
    pub bytes: Vec<u8>,
}

impl RawTensor {
    /// A tensor of `f32` elements, row-major.
    pub fn from_f32(shape: Vec<usize>, elements: &[f32]) -> Self {
        Self { dtype: Dtype::F32, shape, bytes: elements.iter().flat_map(|x| x.to_le_bytes()).collect() }
    }

    /// The elements, if they are `f32`.
    pub fn to_f32(&self) -> Option<Vec<f32>> {
        let elements = self.bytes.as_chunks::<4>().0.iter().map(|&x| f32::from_le_bytes(x));
        (self.dtype == Dtype::F32).then(|| elements.collect())
    }
}

/// Without the bytes, which nobody wants to see in a log.
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

/// The file's bytes; equal tensors and `about` give equal bytes.
///
/// `about` stands under the one metadata key `kiln`: with several keys their order would change from run to run.
///
/// # Panics
/// If a tensor has not as many bytes as its shape and type say.
pub(super) fn encode(tensors: &NamedTensors, about: &str) -> Vec<u8> {
    let metadata = HashMap::from([("kiln".to_owned(), about.to_owned())]);
    safetensors::serialize(tensors, Some(metadata)).expect("each tensor has as many bytes as its shape and type say")
}

/// The tensors of a file.
pub(super) fn decode(bytes: &[u8]) -> Result<NamedTensors, CheckpointError> {
    let flaw = |error: SafeTensorError| CheckpointError::new("tensors in the safetensors format", error.to_string());
    let file = SafeTensors::deserialize(bytes).map_err(flaw)?;
    let raw = |view: safetensors::tensor::TensorView| RawTensor {
        dtype: view.dtype(),
        shape: view.shape().to_vec(),
        bytes: view.data().to_vec(),
    };
    Ok(file.iter().map(|(name, view)| (name.to_owned(), raw(view))).collect())
}
