//! What can be wrong with a file.

/// Why bytes are no GGUF file that Kiln reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GgufError {
    /// Another format.
    #[error("not a GGUF file: it begins with the bytes {found:02x?}, not with \"GGUF\"")]
    BadMagic {
        /// Its first bytes, four at most.
        found: Vec<u8>,
    },
    /// A version that Kiln doesn't read.
    #[error("GGUF version {found}, Kiln reads versions 2 and 3{}", if found.is_multiple_of(1 << 24) { ": the file's byte order is big-endian; convert the model again" } else { "" })]
    UnsupportedVersion {
        /// What the file says.
        found: u32,
    },
    /// The file contradicts itself, or has what Kiln doesn't know.
    #[error("GGUF file, byte {offset}, {location}: {reason}")]
    Broken {
        /// Where, in bytes from the beginning.
        offset: usize,
        /// What stands there.
        location: String,
        /// What is wrong with it.
        reason: String,
    },
}
