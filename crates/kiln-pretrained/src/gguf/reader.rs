//! A file in memory (or in a memory map): what it says of itself is checked against its size when it is opened.

use super::{GgufError, Metadata, Value, cursor::Cursor};
use burn::tensor::TensorData;
use kiln_kernels::packed::{GGML_TYPES, GgmlType, PackedMatrix};
use kiln_models::tensors::{TensorError, TensorInfo, TensorSource, num_elements};
use std::{collections::BTreeMap, ops::Range};

/// A GGUF file whose bytes are in `B`.
#[derive(Debug)]
pub struct GgufReader<B> {
    bytes: B,
    version: u32,
    metadata: Metadata,
    entries: BTreeMap<String, TensorInfo>,
    locations: BTreeMap<String, TensorLocation>,
}

/// Where a tensor is.
#[derive(Debug)]
struct TensorLocation {
    packing: &'static GgmlType,
    offset: usize,
    num_bytes: usize,
}

/// Dimensions of a tensor, at most.
const MAX_DIMS: u32 = 8;
/// The key that says on which multiples tensors begin, and what holds without it.
const ALIGNMENT: (&str, usize) = ("general.alignment", 32);
/// The least bytes of a key with its value, and of what is said of a tensor.
const MIN_RECORD_BYTES: [usize; 2] = [8 + 4 + 1, 8 + 4 + 4 + 8];

impl<B: AsRef<[u8]>> GgufReader<B> {
    /// Reads the header; numbers stay where they are.
    ///
    /// # Errors
    /// If it is no GGUF file of version 2 or 3, contradicts itself, or has a tensor packed as Kiln doesn't know.
    pub fn open(bytes: B) -> Result<Self, GgufError> {
        let whole = bytes.as_ref();
        let mut cursor = Cursor::new(whole);
        if !whole.starts_with(b"GGUF") {
            return Err(GgufError::BadMagic { found: whole.iter().take(4).copied().collect() });
        }
        cursor.take(4)?;
        let version = cursor.u32()?;
        if !(2..=3).contains(&version) {
            return Err(GgufError::UnsupportedVersion { found: version });
        }
        let tensors = cursor.count("tensors", MIN_RECORD_BYTES[1])?;
        let keys = cursor.count("keys", MIN_RECORD_BYTES[0])?;
        let metadata = Metadata::read(&mut cursor, keys)?;
        let (mut entries, mut places) = (BTreeMap::new(), BTreeMap::new());
        for index in 0..tensors {
            cursor.context = format!("tensor {index} of {tensors}");
            let (name, entry, place) = read_tensor_info(&mut cursor)?;
            if entries.insert(name.clone(), entry).is_some() {
                return Err(cursor.error(format!("the name `{name}` is there twice")));
            }
            places.insert(name, place);
        }
        resolve_offsets(&mut places, &metadata, &cursor)?;
        Ok(Self { version, metadata, entries, locations: places, bytes })
    }

    /// The version of the format.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Its metadata.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// A tensor as it is packed.
    pub fn packed_bytes(&self, name: &str) -> Option<(&'static GgmlType, &[u8])> {
        let packing = self.locations.get(name)?.packing;
        Some((packing, self.bytes.as_ref().get(self.byte_range(name)?)?))
    }

    /// Where in the file a tensor is.
    pub fn byte_range(&self, name: &str) -> Option<Range<usize>> {
        self.locations.get(name).map(|place| place.offset..place.offset + place.num_bytes)
    }

    /// What holds the bytes.
    pub fn bytes(&self) -> &B {
        &self.bytes
    }
}

/// Name, shape and place (from where tensors begin) of the next tensor.
fn read_tensor_info(cursor: &mut Cursor) -> Result<(String, TensorInfo, TensorLocation), GgufError> {
    let name = cursor.string()?;
    cursor.context = format!("tensor `{name}`");
    let ranks = cursor.u32()?;
    if ranks > MAX_DIMS {
        return Err(cursor.error(format!("{ranks} dimensions, Kiln reads {MAX_DIMS} at most")));
    }
    let mut shape = (0..ranks).map(|_| cursor.size()).collect::<Result<Vec<usize>, _>>()?;
    let code = cursor.u32()?;
    let Some(packing) = GgmlType::from_type_id(code) else {
        let known = GGML_TYPES.iter().map(|packing| packing.name).collect::<Vec<_>>().join(", ");
        return Err(cursor.error(format!("it is packed by type {code}, Kiln knows {known}; quantise it anew")));
    };
    let row = shape.first().copied().unwrap_or(1);
    if !row.is_multiple_of(packing.block_size) {
        let reason = format!("rows of {row} numbers in {} blocks of {}", packing.name, packing.block_size);
        return Err(cursor.error(reason));
    }
    let Some(length) = num_elements(&shape).and_then(|numbers| packing.byte_len(numbers)) else {
        return Err(cursor.error(format!("the shape {shape:?} is more than this machine can address")));
    };
    shape.reverse();
    let from = cursor.size()?;
    Ok((
        name,
        TensorInfo { shape, dtype: packing.name.into() },
        TensorLocation { packing, offset: from, num_bytes: length },
    ))
}

/// Finds where tensors begin, and that all of them are in the file.
fn resolve_offsets(
    places: &mut BTreeMap<String, TensorLocation>,
    metadata: &Metadata,
    cursor: &Cursor,
) -> Result<(), GgufError> {
    let broken =
        |what: String, reason: String| Err(GgufError::Broken { offset: cursor.position, location: what, reason });
    let alignment = match metadata.0.get(ALIGNMENT.0).map(Value::as_integer) {
        None => ALIGNMENT.1,
        Some(Some(n)) if n.is_power_of_two() && n <= 1 << 30 => n as usize,
        Some(_) => return broken(ALIGNMENT.0.into(), "a power of two was expected".into()),
    };
    let (begin, size) = (cursor.position.next_multiple_of(alignment), cursor.position + cursor.remaining());
    for (name, place) in places {
        if !place.offset.is_multiple_of(alignment) {
            return broken(
                format!("tensor `{name}`"),
                format!("it begins at {}, no multiple of {alignment}", place.offset),
            );
        }
        let from = begin.checked_add(place.offset);
        match from.and_then(|from| from.checked_add(place.num_bytes)) {
            Some(end) if end <= size || place.num_bytes == 0 => place.offset = from.unwrap_or(size).min(size),
            _ => {
                let reason =
                    format!("{} bytes from byte {begin} + {}, the file has {size}", place.num_bytes, place.offset);
                return broken(format!("tensor `{name}`"), reason);
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
        packing.dequantize(bytes, &mut values);
        Ok(TensorData::new(values, entry.shape.clone()))
    }

    fn read_packed(&self, name: &str) -> Option<PackedMatrix> {
        let [rows, columns] = self.entries.get(name)?.shape[..] else { return None };
        let (packing, bytes) = GgufReader::packed_bytes(self, name).filter(|(packing, _)| packing.has_mat_vec())?;
        PackedMatrix::new(packing, [rows, columns], bytes.into())
    }
}
