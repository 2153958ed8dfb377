//! A reading position in the header of a GGUF file, and the errors of reading it.

use kiln_kernels::packed::{GGML_TYPES, GgmlType};

/// Why bytes are not a GGUF file that Kiln reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GgufError {
    /// The file has another format.
    #[error("not a GGUF file: expected it to begin with \"GGUF\", found the bytes {found:02x?}")]
    BadMagic {
        /// The first bytes of the file, at most four.
        found: Vec<u8>,
    },
    /// The version is not supported.
    #[error("unsupported GGUF version {found}; supported: 2, 3{}", big_endian_hint(*found))]
    UnsupportedVersion {
        /// The version that the file states.
        found: u32,
    },
    /// A tensor has a type that Kiln does not read.
    #[error("tensor `{tensor}`: unsupported type {}; supported: {}", describe_type(*type_id), supported_types())]
    UnsupportedType {
        /// Name of the tensor.
        tensor: String,
        /// The type (`enum ggml_type`).
        type_id: u32,
    },
    /// The file is damaged.
    #[error("GGUF file, byte {offset}, {location}: {reason}")]
    Broken {
        /// Position in the file, in bytes.
        offset: usize,
        /// What is read at this position.
        location: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// ggml's name of a type, with its number.
fn describe_type(type_id: u32) -> String {
    match GgmlType::name_of(type_id) {
        Some(name) => format!("{name} (ggml type {type_id})"),
        None => format!("{type_id}, which this version does not know"),
    }
}

/// The names of all supported types.
fn supported_types() -> String {
    GGML_TYPES.iter().map(|packing| packing.name).collect::<Vec<_>>().join(", ")
}

/// A version whose low bytes are 0 was written by a big-endian program.
fn big_endian_hint(version: u32) -> &'static str {
    if version.is_multiple_of(1 << 24) { ": the file's byte order is big-endian; convert the model again" } else { "" }
}

/// Bytes with a reading position. All numbers are little-endian; nothing is read beyond the end.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    /// Number of bytes that were read.
    pub position: usize,
    /// What is being read, for errors.
    pub context: String,
    /// Number of arrays that enclose the current value.
    pub depth: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, context: "header".into(), depth: 0 }
    }

    /// Number of bytes that were not read yet.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    /// An error at the current position.
    pub fn error(&self, reason: impl Into<String>) -> GgufError {
        GgufError::Broken { offset: self.position, location: self.context.clone(), reason: reason.into() }
    }

    /// Reads `length` bytes.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], GgufError> {
        if length > self.remaining() {
            return Err(self.error(format!("expected {length} bytes, but only {} remain", self.remaining())));
        }
        let taken = &self.bytes[self.position..self.position + length];
        self.position += length;
        Ok(taken)
    }

    /// Reads `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], GgufError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub fn u32(&mut self) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Reads a 64-bit number that must fit into `usize`.
    pub fn size(&mut self) -> Result<usize, GgufError> {
        let size = u64::from_le_bytes(self.array()?);
        size.try_into().map_err(|_| self.error(format!("{size} is more than this machine can address")))
    }

    /// Reads the number of `items`, of which each takes at least `min_bytes`. More than the rest of the file can hold is
    /// an error, so that a damaged count causes no large allocation.
    pub fn count(&mut self, items: &str, min_bytes: usize) -> Result<usize, GgufError> {
        let count = self.size()?;
        if count > self.remaining() / min_bytes {
            return Err(self.error(format!("expected {count} {items}, but only {} bytes remain", self.remaining())));
        }
        Ok(count)
    }

    /// Reads a string: its length as a 64-bit number, then UTF-8.
    pub fn string(&mut self) -> Result<String, GgufError> {
        let length = self.size()?;
        let bytes = self.take(length)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => Err(self.error(format!("invalid UTF-8 in a string: {error}"))),
        }
    }
}
