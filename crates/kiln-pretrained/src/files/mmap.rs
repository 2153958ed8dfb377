//! A file as memory: the one place of this crate with unsafe code.
//!
//! Mapping is unsafe because another process could change the file under the map. Kiln reads numbers from it as bytes
//! and copies them, so that a change yields other numbers, as it would with `read`; only a file that is cut short while
//! it is read ends the process (SIGBUS), as it does in every program that maps files. Kiln itself never writes into a
//! file that it reads: what it saves is written beside it and renamed.
#![allow(unsafe_code)]

use memmap2::Mmap;
use std::{fs::File, io, ops::Range, path::Path};

/// A file's bytes, read where they are looked at.
#[derive(Debug)]
pub struct MappedFile(Mmap);

impl MappedFile {
    /// Maps a file.
    ///
    /// # Errors
    /// If it can't be opened, or is none.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
        }
        // SAFETY: the map is read-only and is looked at as bytes, of which every value is valid; see above for files
        // that change.
        Ok(Self(unsafe { Mmap::map(&file)? }))
    }

    /// All of it.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Tells the system that these bytes won't be looked at soon, so that they take no memory. They can still be read.
    pub fn release_pages(&self, range: Range<usize>) {
        #[cfg(unix)]
        if range.end <= self.0.len() && !range.is_empty() {
            // Whole pages, so that neighbours stay.
            let page = 4096;
            let (from, to) = (range.start.next_multiple_of(page), range.end / page * page);
            if from < to {
                // SAFETY: of a read-only map of a file, dropped pages are read from the file again.
                let advised =
                    unsafe { self.0.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, from, to - from) };
                // Advice that isn't taken costs memory and nothing else.
                let _ = advised;
            }
        }
    }
}

impl AsRef<[u8]> for MappedFile {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}
