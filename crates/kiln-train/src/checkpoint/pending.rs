//! Tensors that are read when a checkpoint is written, one at a time.

use burn::tensor::ExecutionError;
use safetensors::{Dtype, View};
use std::{
    borrow::Cow,
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    fs, io,
    path::Path,
};

/// Tensors by name that are read when they are written, one at a time: a checkpoint takes no copy of the whole model.
pub type PendingTensors = BTreeMap<String, PendingTensor>;

/// A tensor whose elements are read when it is written.
pub struct PendingTensor {
    dtype: Dtype,
    shape: Vec<usize>,
    read: Box<dyn Fn() -> Result<Vec<u8>, ExecutionError>>,
    /// The first failure of `read`. The safetensors library asks for bytes and knows no errors.
    error: RefCell<Option<ExecutionError>>,
}

impl PendingTensor {
    /// A tensor of this type and shape; `read` returns its elements, row-major and little-endian.
    pub fn new(dtype: Dtype, shape: Vec<usize>, read: impl Fn() -> Result<Vec<u8>, ExecutionError> + 'static) -> Self {
        Self { dtype, shape, read: Box::new(read), error: RefCell::default() }
    }
}

impl View for &PendingTensor {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned((self.read)().unwrap_or_else(|error| {
            self.error.replace(Some(error));
            Vec::new()
        }))
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.bitsize() / 8
    }
}

/// Writes tensors as a `.safetensors` file, one after the other: the bytes are those of [`encode`](super::tensors::encode). The
/// file is not flushed to the disk.
///
/// # Errors
/// If the file can't be written. A failure of the device is an error of the kind `Other`.
pub(super) fn write_file(tensors: &PendingTensors, metadata: &str, file: &Path) -> io::Result<()> {
    let metadata = HashMap::from([("kiln".to_owned(), metadata.to_owned())]);
    // The library creates a file that only its owner can read. A plain file has the permissions that the user expects.
    let permissions = fs::File::create(file)?.metadata()?.permissions();
    let written = safetensors::serialize_to_file(tensors, Some(metadata), file).map_err(|error| match error {
        safetensors::SafeTensorError::IoError(error) => error,
        other => io::Error::other(other),
    });
    if let Some(error) = tensors.values().find_map(|pending| pending.error.take()) {
        return Err(io::Error::other(error));
    }
    written?;
    fs::set_permissions(file, permissions)
}
