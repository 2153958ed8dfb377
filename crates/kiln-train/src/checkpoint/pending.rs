//! Tensors that are read when a checkpoint is written, one at a time.

use super::tensors;
use crate::storage::StorageFile;
use burn::tensor::ExecutionError;
use safetensors::Dtype;
use std::{collections::BTreeMap, io, pin::Pin};

/// Tensors by name that are read when they are written, one at a time: a checkpoint takes no copy of the whole model.
pub type PendingTensors = BTreeMap<String, PendingTensor>;

/// The elements of a tensor, row-major and little-endian, as soon as the device has returned them.
pub type TensorFuture = Pin<Box<dyn Future<Output = Result<Vec<u8>, ExecutionError>>>>;

/// A tensor whose elements are read when it is written.
pub struct PendingTensor {
    dtype: Dtype,
    shape: Vec<usize>,
    read: Box<dyn Fn() -> TensorFuture>,
}

impl PendingTensor {
    /// A tensor of this type and shape; `read` starts to read its elements.
    pub fn new(dtype: Dtype, shape: Vec<usize>, read: impl Fn() -> TensorFuture + 'static) -> Self {
        Self { dtype, shape, read: Box::new(read) }
    }

    /// A tensor of this type and shape whose elements are known.
    pub fn known(dtype: Dtype, shape: Vec<usize>, bytes: impl Fn() -> Vec<u8> + 'static) -> Self {
        Self::new(dtype, shape, move || Box::pin(std::future::ready(Ok(bytes()))))
    }

    fn byte_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.bitsize() / 8
    }
}

/// Size of the pieces in which small tensors are written together.
const PIECE_BYTES: usize = 1 << 20;

/// Writes tensors as a `.safetensors` file, one after the other: the bytes are those of [`encode`](super::tensors::encode).
/// The file is not made durable.
///
/// # Errors
/// If the file can't be written. A failure of the device is an error of the kind `Other`.
pub(super) async fn write_file(tensors: &PendingTensors, metadata: &str, file: &mut dyn StorageFile) -> io::Result<()> {
    let entries = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.dtype, &*tensor.shape));
    let (mut piece, order) = tensors::header(entries, metadata).map_err(io::Error::other)?;
    for name in order {
        let tensor = &tensors[&name];
        let bytes = (tensor.read)().await.map_err(io::Error::other)?;
        if bytes.len() != tensor.byte_len() {
            let (found, expected) = (bytes.len(), tensor.byte_len());
            return Err(io::Error::other(format!("tensor `{name}`: expected {expected} bytes, found {found}")));
        }
        if piece.len() + bytes.len() > PIECE_BYTES {
            file.append(&piece)?;
            piece.clear();
        }
        match bytes.len() > PIECE_BYTES {
            true => file.append(&bytes)?,
            false => piece.extend_from_slice(&bytes),
        }
    }
    file.append(&piece)
}
