//! Reads GGUF files. When a file is opened, everything in its header is checked against its size.
//!
//! ```text
//! "GGUF"  version: u32  tensors: u64  keys: u64
//! for each key:     name: string  type: u32  value
//! for each tensor:  name: string  dimensions: u32  sizes: u64 (fastest first)  type: u32  offset: u64
//! padding to a multiple of `general.alignment`, then the tensors' blocks; offsets count from here
//! ```

use super::{
    GgufError, Metadata, Value,
    cursor::Cursor,
    write::{ALIGNMENT, ALIGNMENT_KEY},
};
use burn::tensor::TensorData;
use kiln_kernels::{
    cpu::rows::copied_bytes,
    packed::{GgmlType, PackedMatrix},
};
use kiln_models::tensors::{StoredTensor, TensorError, TensorInfo, TensorSource, float_type, num_elements};
use std::{collections::BTreeMap, ops::Range};

/// A GGUF file whose bytes are in `B`: a vector, a slice or a memory map.
#[derive(Debug)]
pub struct GgufReader<B> {
    bytes: B,
    version: u32,
    metadata: Metadata,
    entries: BTreeMap<String, TensorInfo>,
    locations: BTreeMap<String, TensorLocation>,
}

/// Type and position of a tensor.
#[derive(Debug)]
struct TensorLocation {
    packing: &'static GgmlType,
    /// While the header is read: from the beginning of the tensors; afterward: from the beginning of the file.
    offset: usize,
    num_bytes: usize,
}

/// Maximum number of dimensions of a tensor.
const MAX_DIMS: u32 = 8;
/// Smallest size of a key with its value: length of the name, type, one byte.
const MIN_KEY_BYTES: usize = 8 + 4 + 1;
/// Smallest size of a tensor's description: length of the name, dimensions, type, offset.
const MIN_TENSOR_BYTES: usize = 8 + 4 + 4 + 8;

impl<B: AsRef<[u8]>> GgufReader<B> {
    /// Reads the header. Tensor values are not read.
    ///
    /// # Errors
    /// If the bytes are not a GGUF file of version 2 or 3, the file is damaged, or a tensor has an unknown type.
    pub fn open(bytes: B) -> Result<Self, GgufError> {
        let file = bytes.as_ref();
        if !file.starts_with(b"GGUF") {
            return Err(GgufError::BadMagic { found: file.iter().take(4).copied().collect() });
        }
        let mut cursor = Cursor::new(file);
        cursor.take(4)?;
        let version = cursor.u32()?;
        if !(2..=3).contains(&version) {
            return Err(GgufError::UnsupportedVersion { found: version });
        }
        let num_tensors = cursor.count("tensors", MIN_TENSOR_BYTES)?;
        let num_keys = cursor.count("keys", MIN_KEY_BYTES)?;
        let metadata = Metadata::read(&mut cursor, num_keys)?;
        let mut entries = BTreeMap::new();
        let mut locations = BTreeMap::new();
        for index in 0..num_tensors {
            cursor.context = format!("tensor {index} of {num_tensors}");
            let (name, entry, location) = read_tensor_info(&mut cursor)?;
            if entries.insert(name.clone(), entry).is_some() {
                return Err(cursor.error(format!("duplicate tensor `{name}`")));
            }
            locations.insert(name, location);
        }
        resolve_offsets(&mut locations, &metadata, &cursor)?;
        Ok(Self { version, metadata, entries, locations, bytes })
    }

    /// The version of the format: 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The metadata.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Returns type and blocks of a tensor as they are in the file.
    pub fn packed_bytes(&self, name: &str) -> Option<(&'static GgmlType, &[u8])> {
        let packing = self.locations.get(name)?.packing;
        Some((packing, self.bytes.as_ref().get(self.byte_range(name)?)?))
    }

    /// Returns the byte range of a tensor in the file.
    pub fn byte_range(&self, name: &str) -> Option<Range<usize>> {
        self.locations.get(name).map(|location| location.offset..location.offset + location.num_bytes)
    }

    /// The holder of the bytes.
    pub fn bytes(&self) -> &B {
        &self.bytes
    }
}

/// Reads the description of one tensor: name, shape and type, location.
fn read_tensor_info(cursor: &mut Cursor) -> Result<(String, TensorInfo, TensorLocation), GgufError> {
    let name = cursor.string()?;
    cursor.context = format!("tensor `{name}`");
    let num_dims = cursor.u32()?;
    if num_dims > MAX_DIMS {
        return Err(cursor.error(format!("expected at most {MAX_DIMS} dimensions, found {num_dims}")));
    }
    let mut shape = (0..num_dims).map(|_| cursor.size()).collect::<Result<Vec<usize>, _>>()?;
    let type_id = cursor.u32()?;
    let Some(packing) = GgmlType::from_type_id(type_id) else {
        return Err(GgufError::UnsupportedType { tensor: name, type_id });
    };
    // The file lists the fastest dimension first.
    let row = shape.first().copied().unwrap_or(1);
    if !row.is_multiple_of(packing.block_size) {
        let reason =
            format!("row length {row} is not a multiple of the {} block size {}", packing.name, packing.block_size);
        return Err(cursor.error(reason));
    }
    let Some(num_bytes) = num_elements(&shape).and_then(|numel| packing.byte_len(numel)) else {
        return Err(cursor.error(format!("shape {shape:?} is more than this machine can address")));
    };
    shape.reverse();
    let offset = cursor.size()?;
    let info = TensorInfo { shape, dtype: packing.name.into() };
    Ok((name, info, TensorLocation { packing, offset, num_bytes }))
}

/// Makes the offsets count from the beginning of the file, and checks that every tensor is aligned and within the file.
/// The tensors begin at the first multiple of the alignment behind the header, where `cursor` is.
fn resolve_offsets(
    locations: &mut BTreeMap<String, TensorLocation>,
    metadata: &Metadata,
    cursor: &Cursor,
) -> Result<(), GgufError> {
    let broken = |location: String, reason: String| GgufError::Broken { offset: cursor.position, location, reason };
    let alignment = match metadata.0.get(ALIGNMENT_KEY).map(Value::as_integer) {
        None => ALIGNMENT,
        Some(Some(n)) if n.is_power_of_two() && n <= 1 << 30 => n as usize,
        Some(_) => return Err(broken(ALIGNMENT_KEY.into(), "expected a power of two up to 2³⁰".into())),
    };
    let data_start = cursor.position.next_multiple_of(alignment);
    let file_size = cursor.position + cursor.remaining();
    for (name, location) in locations {
        let tensor = || format!("tensor `{name}`");
        if !location.offset.is_multiple_of(alignment) {
            let reason = format!("offset {} is not a multiple of the alignment {alignment}", location.offset);
            return Err(broken(tensor(), reason));
        }
        let start = data_start.checked_add(location.offset);
        let end = start.and_then(|start| start.checked_add(location.num_bytes));
        let is_inside = end.is_some_and(|end| end <= file_size || location.num_bytes == 0);
        match start.filter(|_| is_inside) {
            // A tensor without elements may begin behind the end.
            Some(start) => location.offset = start.min(file_size),
            None => {
                let reason = format!(
                    "{} bytes from byte {data_start} + {} on are needed, but the file has {file_size} bytes",
                    location.num_bytes, location.offset
                );
                return Err(broken(tensor(), reason));
            }
        }
    }
    Ok(())
}

impl<B: AsRef<[u8]>> TensorSource for GgufReader<B> {
    fn entries(&self) -> &BTreeMap<String, TensorInfo> {
        &self.entries
    }

    fn read(&self, name: &str) -> Result<TensorData, TensorError> {
        let (Some(entry), Some((packing, bytes))) = (self.entries.get(name), self.packed_bytes(name)) else {
            return Err(TensorError::NotFound(name.into()));
        };
        let mut values = vec![0.0; entry.shape.iter().product()];
        packing.par_dequantize(bytes, &mut values);
        Ok(TensorData::new(values, entry.shape.clone()))
    }

    fn read_stored(&self, name: &str) -> Result<StoredTensor<'_>, TensorError> {
        let little_endian = self.packed_bytes(name).filter(|_| cfg!(target_endian = "little"));
        let stored = little_endian.zip(self.entries.get(name));
        match stored.and_then(|((packing, bytes), entry)| Some((bytes, &entry.shape, float_type(packing.name)?))) {
            Some((bytes, shape, dtype)) => Ok(StoredTensor::Borrowed { bytes, shape, dtype }),
            None => self.read(name).map(StoredTensor::Owned),
        }
    }

    fn read_packed(&self, name: &str) -> Option<PackedMatrix> {
        let [outer @ .., columns] = &self.entries.get(name)?.shape[..] else { return None };
        let (rows, columns) = (outer.iter().product(), *columns);
        let (packing, bytes) = self.packed_bytes(name).filter(|(packing, _)| packing.has_mat_vec())?;
        PackedMatrix::new(packing, [rows, columns], copied_bytes(bytes).into())
    }
}
