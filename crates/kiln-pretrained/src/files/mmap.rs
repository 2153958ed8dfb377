//! Memory-mapped files: the only module of this crate with unsafe code.
//!
//! Mapping is unsafe because another process may change the file under the map. Kiln copies the mapped bytes and treats
//! every byte value as valid, so a changed file yields other numbers, as it would with `read`. A file that is truncated
//! while it is read ends the process (SIGBUS), as in every program that maps files. Kiln itself never writes into a
//! file that it reads: it writes a temporary file and renames it.
#![allow(unsafe_code)]

use super::{LoadError, ModelBytes, ModelFiles, folder::is_file_name};
use memmap2::Mmap;
use std::{
    fs::File,
    io,
    ops::Range,
    path::{Path, PathBuf},
};

/// A file mapped into memory, read-only. Pages are loaded from disk when they are first read.
#[derive(Debug)]
pub struct MappedFile(Mmap);

impl MappedFile {
    /// Maps a file.
    ///
    /// # Errors
    /// If the path cannot be opened or is not a regular file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
        }
        // SAFETY: the map is read-only and is read as bytes, every value of which is valid. The module's documentation
        // says what happens when the file changes.
        Ok(Self(unsafe { Mmap::map(&file)? }))
    }

    /// The contents of the file.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for MappedFile {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

impl ModelBytes for MappedFile {
    /// Returns the whole pages within `range` to the system (`MADV_DONTNEED`), so that loading a model takes little more
    /// memory than the model itself. Does nothing on systems other than Unix.
    fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        if range.end <= self.0.len() && !range.is_empty() {
            // Whole pages only, so that the neighbors of the range stay in memory.
            const PAGE: usize = 4096;
            let start = range.start.next_multiple_of(PAGE);
            let end = range.end / PAGE * PAGE;
            if start < end {
                // SAFETY: in a read-only map of a file, a dropped page is read from the file again.
                let advised =
                    unsafe { self.0.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, end - start) };
                // If the system ignores the advice, the pages only take memory longer.
                let _ = advised;
            }
        }
    }
}

impl ModelFiles for Path {
    type Bytes = MappedFile;

    fn open(&self, name: &str) -> Result<Option<MappedFile>, LoadError> {
        let Some(path) = path_in_folder(self, name)? else { return Ok(None) };
        MappedFile::open(&path).map(Some).map_err(LoadError::io(path))
    }
}

/// Returns the path of the file `name` of a folder, or `None` if there is no such file. It may be a symbolic link to
/// anywhere, as in a snapshot of the hub's cache: only a name from a file of the model must not lead out of the folder.
///
/// # Errors
/// [`LoadError::OutsideFolder`] if `name` is not a plain file name; [`LoadError::Io`] for a link to a file that does not
/// exist.
fn path_in_folder(folder: &Path, name: &str) -> Result<Option<PathBuf>, LoadError> {
    if !is_file_name(name) {
        return Err(LoadError::OutsideFolder { folder: folder.into(), name: name.into() });
    }
    let path = folder.join(name);
    if path.exists() {
        return Ok(Some(path));
    }
    match path.read_link() {
        Err(_) => Ok(None),
        Ok(target) => {
            let reason = format!("a symbolic link to {}, which does not exist", target.display());
            Err(LoadError::Io { file: path, source: io::Error::new(io::ErrorKind::NotFound, reason) })
        }
    }
}
