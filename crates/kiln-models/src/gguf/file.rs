//! A file in memory (or in a memory map): what it says of itself is checked against its size when it is opened.

use super::{GgufError, Metadata, Value, cursor::Cursor};
use crate::tensors::{Entry, TensorError, Tensors, count};
use burn::tensor::TensorData;
use kiln_kernels::packed::{PACKINGS, PackedMatrix, Packing};
use std::{collections::BTreeMap, ops::Range};

/// A GGUF file whose bytes are in `B`.
#[derive(Debug)]
pub struct File<B> {
    bytes: B,
    version: u32,
    metadata: Metadata,
    entries: BTreeMap<String, Entry>,
    places: BTreeMap<String, Place>,
}

/// Where a tensor is.
#[derive(Debug)]
struct Place {
    packing: &'static Packing,
    from: usize,
    length: usize,
}

/// Dimensions of a tensor, at most.
const RANKS: u32 = 8;
/// The key that says on which multiples tensors begin, and what holds without it.
const ALIGNMENT: (&str, usize) = ("general.alignment", 32);
/// The least bytes of a key with its value, and of what is said of a tensor.
const LEAST: [usize; 2] = [8 + 4 + 1, 8 + 4 + 4 + 8];

impl<B: AsRef<[u8]>> File<B> {
    /// Reads the header; numbers stay where they are.
    ///
    /// # Errors
    /// If it is no GGUF file of version 2 or 3, contradicts itself, or has a tensor packed as Kiln doesn't know.
    pub fn open(bytes: B) -> Result<Self, GgufError> {
        let whole = bytes.as_ref();
        let mut cursor = Cursor::new(whole);
        if !whole.starts_with(b"GGUF") {
            return Err(GgufError::Magic { found: whole.iter().take(4).copied().collect() });
        }
        cursor.take(4)?;
        let version = cursor.u32()?;
        if !(2..=3).contains(&version) {
            return Err(GgufError::Version { found: version });
        }
        let tensors = cursor.count("tensors", LEAST[1])?;
        let keys = cursor.count("keys", LEAST[0])?;
        let metadata = Metadata::read(&mut cursor, keys)?;
        let (mut entries, mut places) = (BTreeMap::new(), BTreeMap::new());
        for index in 0..tensors {
            cursor.what = format!("tensor {index} of {tensors}");
            let (name, entry, place) = tensor(&mut cursor)?;
            if entries.insert(name.clone(), entry).is_some() {
                return Err(cursor.broken(format!("the name `{name}` is there twice")));
            }
            places.insert(name, place);
        }
        place(&mut places, &metadata, &cursor)?;
        Ok(Self { version, metadata, entries, places, bytes })
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
    pub fn packed(&self, name: &str) -> Option<(&'static Packing, &[u8])> {
        let packing = self.places.get(name)?.packing;
        Some((packing, self.bytes.as_ref().get(self.range(name)?)?))
    }

    /// Where in the file a tensor is.
    pub fn range(&self, name: &str) -> Option<Range<usize>> {
        self.places.get(name).map(|place| place.from..place.from + place.length)
    }

    /// What holds the bytes.
    pub fn bytes(&self) -> &B {
        &self.bytes
    }
}

/// Name, shape and place (from where tensors begin) of the next tensor.
fn tensor(cursor: &mut Cursor) -> Result<(String, Entry, Place), GgufError> {
    let name = cursor.string()?;
    cursor.what = format!("tensor `{name}`");
    let ranks = cursor.u32()?;
    if ranks > RANKS {
        return Err(cursor.broken(format!("{ranks} dimensions, Kiln reads {RANKS} at most")));
    }
    let mut shape = (0..ranks).map(|_| cursor.size()).collect::<Result<Vec<usize>, _>>()?;
    let code = cursor.u32()?;
    let Some(packing) = Packing::of(code) else {
        let known = PACKINGS.iter().map(|packing| packing.name).collect::<Vec<_>>().join(", ");
        return Err(cursor.broken(format!("it is packed by type {code}, Kiln knows {known}; quantise it anew")));
    };
    let row = shape.first().copied().unwrap_or(1);
    if !row.is_multiple_of(packing.block) {
        let reason = format!("rows of {row} numbers in {} blocks of {}", packing.name, packing.block);
        return Err(cursor.broken(reason));
    }
    let Some(length) = count(&shape).and_then(|numbers| packing.size(numbers)) else {
        return Err(cursor.broken(format!("the shape {shape:?} is more than this machine can address")));
    };
    shape.reverse();
    let from = cursor.size()?;
    Ok((name, Entry { shape, stored: packing.name.into() }, Place { packing, from, length }))
}

/// Finds where tensors begin, and that all of them are in the file.
fn place(places: &mut BTreeMap<String, Place>, metadata: &Metadata, cursor: &Cursor) -> Result<(), GgufError> {
    let broken = |what: String, reason: String| Err(GgufError::Broken { at: cursor.at, what, reason });
    let alignment = match metadata.0.get(ALIGNMENT.0).map(Value::whole) {
        None => ALIGNMENT.1,
        Some(Some(n)) if n.is_power_of_two() && n <= 1 << 30 => n as usize,
        Some(_) => return broken(ALIGNMENT.0.into(), "a power of two was expected".into()),
    };
    let (begin, size) = (cursor.at.next_multiple_of(alignment), cursor.at + cursor.left());
    for (name, place) in places {
        if !place.from.is_multiple_of(alignment) {
            return broken(
                format!("tensor `{name}`"),
                format!("it begins at {}, no multiple of {alignment}", place.from),
            );
        }
        let from = begin.checked_add(place.from);
        match from.and_then(|from| from.checked_add(place.length)) {
            Some(end) if end <= size || place.length == 0 => place.from = from.unwrap_or(size).min(size),
            _ => {
                let reason = format!("{} bytes from byte {begin} + {}, the file has {size}", place.length, place.from);
                return broken(format!("tensor `{name}`"), reason);
            }
        }
    }
    Ok(())
}

impl<B: AsRef<[u8]>> Tensors for File<B> {
    fn entries(&self) -> &BTreeMap<String, Entry> {
        &self.entries
    }

    fn read(&self, name: &str) -> Result<TensorData, TensorError> {
        let (Some(entry), Some((packing, bytes))) = (self.entries.get(name), self.packed(name)) else {
            return Err(TensorError::Unknown(name.into()));
        };
        let mut values = vec![0.0; entry.shape.iter().product()];
        packing.unpack(bytes, &mut values);
        Ok(TensorData::new(values, entry.shape.clone()))
    }

    fn packed(&self, name: &str) -> Option<PackedMatrix> {
        let [rows, columns] = self.entries.get(name)?.shape[..] else { return None };
        let (packing, bytes) = File::packed(self, name).filter(|(packing, _)| packing.multiplies())?;
        PackedMatrix::new(packing, [rows, columns], bytes.into())
    }
}
