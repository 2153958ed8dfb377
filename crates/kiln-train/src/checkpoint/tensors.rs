//! Named tensors in host memory, and their encoding as a `.safetensors` file.
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorInfo, View};

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

/// The bytes of a `.safetensors` file before its elements, and the names of the tensors in the order of their elements: by
/// type and then by name, as [`encode`] writes them.
///
/// # Errors
/// If the size of a tensor overflows.
pub(crate) fn header<'a>(
    tensors: impl Iterator<Item = (&'a str, Dtype, &'a [usize])>,
    metadata: &str,
) -> Result<(Vec<u8>, Vec<String>), SafeTensorError> {
    let mut tensors: Vec<_> = tensors.collect();
    tensors.sort_by(|(name, dtype, _), (other_name, other_dtype, _)| other_dtype.cmp(dtype).then(name.cmp(other_name)));
    let (mut end, mut entries) = (0, Vec::with_capacity(tensors.len()));
    for (name, dtype, shape) in &tensors {
        let start = end;
        end += shape.iter().product::<usize>() * dtype.bitsize() / 8;
        let info = TensorInfo { dtype: *dtype, shape: shape.to_vec(), data_offsets: (start, end) };
        entries.push(((*name).to_owned(), info));
    }
    let metadata = HashMap::from([("kiln".to_owned(), metadata.to_owned())]);
    let mut header = serde_json::to_vec(&Metadata::new(Some(metadata), entries)?)?;
    header.resize(header.len().next_multiple_of(HEADER_ALIGNMENT), b' ');
    let bytes = [&(header.len() as u64).to_le_bytes()[..], &header].concat();
    Ok((bytes, tensors.into_iter().map(|(name, ..)| name.to_owned()).collect()))
}

/// The header is padded to a multiple of this number of bytes, so that elements are aligned.
const HEADER_ALIGNMENT: usize = 8;

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
