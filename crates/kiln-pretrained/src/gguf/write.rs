//! Writes GGUF files, one tensor after the other. [`reader`](super::GgufReader) shows the layout.

use super::Metadata;
use kiln_kernels::packed::GgmlType;
use kiln_models::tensors::num_elements;
use std::io::{Error, Write};

/// A tensor of a file that is to be written.
#[derive(Clone, Debug)]
pub struct PlannedTensor {
    /// The name in the file.
    pub name: String,
    /// The shape, slowest dimension first.
    pub shape: Vec<usize>,
    /// The type of its blocks.
    pub packing: &'static GgmlType,
}

/// The key of the alignment of tensors in a file.
pub(super) const ALIGNMENT_KEY: &str = "general.alignment";
/// Alignment of tensors in bytes, of files that Kiln writes and of files without [`ALIGNMENT_KEY`].
pub(super) const ALIGNMENT: usize = 32;

/// Writes a file of version 3. `read_blocks(i)` returns the blocks of tensor `i`; it is called once for each tensor, in
/// order, so that only one tensor is in memory.
///
/// # Errors
/// If writing or `read_blocks` fails, a tensor's rows are not whole blocks, or its blocks have not the size that its
/// shape requires.
pub fn write_gguf<E: From<Error>>(
    out: &mut impl Write,
    metadata: &Metadata,
    tensors: &[PlannedTensor],
    mut read_blocks: impl FnMut(usize) -> Result<Vec<u8>, E>,
) -> Result<(), E> {
    write_padded(&header(metadata, tensors)?, out)?;
    for (index, tensor) in tensors.iter().enumerate() {
        let blocks = read_blocks(index)?;
        let size = packed_size(tensor)?;
        if blocks.len() != size {
            let reason = format!("tensor `{}`: expected {size} bytes, found {}", tensor.name, blocks.len());
            return Err(Error::other(reason).into());
        }
        write_padded(&blocks, out)?;
    }
    Ok(())
}

/// The bytes before the tensors.
fn header(metadata: &Metadata, tensors: &[PlannedTensor]) -> Result<Vec<u8>, Error> {
    let mut bytes = b"GGUF".to_vec();
    bytes.extend_from_slice(&3u32.to_le_bytes());
    bytes.extend_from_slice(&(tensors.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&(metadata.0.len() as u64).to_le_bytes());
    for (key, value) in &metadata.0 {
        write_string(key, &mut bytes);
        value.write(&mut bytes);
    }
    let mut offset = 0;
    for tensor in tensors {
        write_string(&tensor.name, &mut bytes);
        bytes.extend_from_slice(&(tensor.shape.len() as u32).to_le_bytes());
        for size in tensor.shape.iter().rev() {
            bytes.extend_from_slice(&(*size as u64).to_le_bytes());
        }
        bytes.extend_from_slice(&tensor.packing.type_id.to_le_bytes());
        bytes.extend_from_slice(&(offset as u64).to_le_bytes());
        offset += packed_size(tensor)?.next_multiple_of(ALIGNMENT);
    }
    Ok(bytes)
}

/// Size of a tensor's blocks in bytes.
fn packed_size(tensor: &PlannedTensor) -> Result<usize, Error> {
    let row = tensor.shape.last().copied().unwrap_or(1);
    let numel = num_elements(&tensor.shape).filter(|_| row.is_multiple_of(tensor.packing.block_size));
    numel.and_then(|numel| tensor.packing.byte_len(numel)).ok_or_else(|| {
        let PlannedTensor { name, shape, packing } = tensor;
        Error::other(format!("tensor `{name}`: {shape:?} cannot be stored as {}", packing.name))
    })
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Writes bytes and zeros up to a multiple of [`ALIGNMENT`].
fn write_padded(bytes: &[u8], out: &mut impl Write) -> Result<(), Error> {
    out.write_all(bytes)?;
    out.write_all(&vec![0; bytes.len().next_multiple_of(ALIGNMENT) - bytes.len()])
}
