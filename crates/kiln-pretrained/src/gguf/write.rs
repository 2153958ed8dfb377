//! A file from metadata and tensors, written one after the other.

use super::Metadata;
use kiln_kernels::packed::GgmlType;
use std::io::{Error, Write};

/// A tensor that will be written.
#[derive(Clone, Debug)]
pub struct PlannedTensor {
    /// Its name.
    pub name: String,
    /// Its shape, slowest dimension first.
    pub shape: Vec<usize>,
    /// How it is packed.
    pub packing: &'static GgmlType,
}

/// On which multiples tensors begin.
const ALIGNMENT: usize = 32;

/// Writes a file of version 3. `bytes(i)` gives the packed numbers of the `i`th tensor, asked for in their order.
///
/// # Errors
/// If writing fails, if `bytes` does, or if a tensor has other bytes than its shape says.
pub fn write_gguf<E: From<Error>>(
    out: &mut impl Write,
    metadata: &Metadata,
    tensors: &[PlannedTensor],
    mut bytes: impl FnMut(usize) -> Result<Vec<u8>, E>,
) -> Result<(), E> {
    let mut head = b"GGUF".to_vec();
    head.extend_from_slice(&3u32.to_le_bytes());
    head.extend_from_slice(&(tensors.len() as u64).to_le_bytes());
    head.extend_from_slice(&(metadata.0.len() as u64).to_le_bytes());
    for (key, value) in &metadata.0 {
        write_string(key, &mut head);
        value.write(&mut head);
    }
    let mut at = 0;
    for tensor in tensors {
        write_string(&tensor.name, &mut head);
        head.extend_from_slice(&(tensor.shape.len() as u32).to_le_bytes());
        let sides = tensor.shape.iter().rev();
        sides.for_each(|side| head.extend_from_slice(&(*side as u64).to_le_bytes()));
        head.extend_from_slice(&tensor.packing.type_id.to_le_bytes());
        head.extend_from_slice(&(at as u64).to_le_bytes());
        at += packed_size(tensor)?.next_multiple_of(ALIGNMENT);
    }
    write_padded(&head, out)?;
    for (index, tensor) in tensors.iter().enumerate() {
        let (packed, size) = (bytes(index)?, packed_size(tensor)?);
        if packed.len() != size {
            let told = format!("tensor `{}` takes {size} bytes, {} were given", tensor.name, packed.len());
            return Err(Error::other(told).into());
        }
        write_padded(&packed, out)?;
    }
    Ok(())
}

fn packed_size(tensor: &PlannedTensor) -> Result<usize, Error> {
    let whole =
        || kiln_models::tensors::num_elements(&tensor.shape).and_then(|numbers| tensor.packing.byte_len(numbers));
    let rows = tensor.shape.last().copied().unwrap_or(1).is_multiple_of(tensor.packing.block_size);
    let size = rows.then(whole).flatten();
    let told = || format!("tensor `{}`: {:?} can't be packed as {}", tensor.name, tensor.shape, tensor.packing.name);
    size.ok_or_else(|| Error::other(told()))
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn write_padded(bytes: &[u8], out: &mut impl Write) -> Result<(), Error> {
    out.write_all(bytes)?;
    out.write_all(&vec![0; bytes.len().next_multiple_of(ALIGNMENT) - bytes.len()])
}
