//! Bytes of a model file, in memory or mapped from disk, and the sets of files that a model is read from.

use super::LoadError;
use kiln_data::{FileSet, MemoryFiles};
use std::ops::Range;

/// The bytes of one model file: a vector, a slice, or a memory map (`MappedFile`, feature `files`).
pub trait ModelBytes: AsRef<[u8]> {
    /// Tells the holder that `range` will not be read again soon. A memory map returns these pages to the system; bytes
    /// in memory stay as they are. The range can still be read afterward.
    fn release(&self, _range: Range<usize>) {}
}

impl ModelBytes for Vec<u8> {}
impl ModelBytes for &[u8] {}

/// The files of a model by name, which weights can be opened from.
pub trait ModelFiles: FileSet {
    /// What holds the bytes of one file.
    type Bytes: ModelBytes;

    /// Opens the file `name`; `None` if there is no such file.
    ///
    /// # Errors
    /// If the file cannot be read, or `name` leads out of the folder.
    fn open(&self, name: &str) -> Result<Option<Self::Bytes>, LoadError>;
}

impl<'a> ModelFiles for MemoryFiles<'a> {
    type Bytes = &'a [u8];

    fn open(&self, name: &str) -> Result<Option<&'a [u8]>, LoadError> {
        Ok(self.get(name))
    }
}
