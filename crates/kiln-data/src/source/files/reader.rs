//! File reader that decompresses gzip and Zstandard files on the fly, and removes a byte order mark.
//!
//! The compression is recognized by the first bytes of the file, not by its name.

use super::entry::{FileEntry, ReadSeek, io_error};
use crate::DataError;
use std::{
    io::{Read, SeekFrom},
    path::Path,
};

/// UTF-8 encoding of U+FEFF. At the start of a file it is a mark of the encoding and no text.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// First bytes of a gzip member.
const GZIP_MAGIC: &[u8] = b"\x1F\x8B";
/// First bytes of a Zstandard frame.
const ZSTD_MAGIC: &[u8] = b"\x28\xB5\x2F\xFD";

/// Decompressed bytes of a file, without its byte order mark. Errors name the file.
pub(crate) struct FileReader {
    reader: Box<dyn Read + Send>,
    path: String,
    /// Whether read errors mean a corrupt archive and not an I/O problem.
    is_compressed: bool,
    /// Bytes that were read ahead to recognize the format.
    start: Vec<u8>,
    /// Decompressed bytes before the text: the length of the byte order mark, or 0.
    text_offset: u64,
}

impl FileReader {
    /// Opens a file.
    ///
    /// # Errors
    /// [`DataError::CorruptFile`] if the name ends in `.gz` or `.zst`, but the content is no such archive;
    /// [`DataError::UnsupportedFile`] for a compressed file in memory; I/O errors.
    pub fn open(entry: &FileEntry) -> Result<Self, DataError> {
        let path = &entry.path;
        let mut file = entry.open()?;
        let magic = read_start(&mut *file, ZSTD_MAGIC.len()).map_err(io_error(path, "read the file"))?;
        let compression = Compression::of(&magic);
        if let (Some(extension), None) = (compression_extension(path), compression) {
            return Err(not_compressed_error(path, extension));
        }
        let reader = match compression {
            None => Box::new(file),
            Some(compression) => decompress(entry, compression, file)?,
        };
        let path = path.display().to_string();
        Ok(Self { reader, path, is_compressed: compression.is_some(), start: Vec::new(), text_offset: 0 })
    }

    /// Reader of bytes in memory, in place of the file `path`.
    pub fn from_bytes(path: &str, bytes: Vec<u8>) -> Self {
        let reader = Box::new(std::io::empty());
        Self { reader, path: path.into(), is_compressed: false, start: bytes, text_offset: 0 }
    }

    /// File name in lower case without `.gz` or `.zst`.
    pub fn uncompressed_name(path: &Path) -> String {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name).into()
    }

    /// Path as text, for origins and errors.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Number of decompressed bytes before the text.
    pub fn text_offset(&self) -> u64 {
        self.text_offset
    }

    /// Whether the file is compressed as a whole.
    pub fn is_compressed(&self) -> bool {
        self.is_compressed
    }

    /// The first `limit` decompressed bytes, or all of a shorter file, without a byte order mark. They are read again
    /// later. Called once, before [`read_into`](Self::read_into).
    pub fn read_ahead(&mut self, limit: usize) -> Result<&[u8], DataError> {
        let mut start = Vec::new();
        self.read_into(&mut start, limit)?;
        if start.starts_with(BYTE_ORDER_MARK) {
            start.drain(..BYTE_ORDER_MARK.len());
            self.text_offset = BYTE_ORDER_MARK.len() as u64;
        }
        self.start = start;
        Ok(&self.start)
    }

    /// Appends up to `limit` decompressed bytes to `buffer` and returns their number: less than `limit` only at the end
    /// of the file.
    pub fn read_into(&mut self, buffer: &mut Vec<u8>, limit: usize) -> Result<usize, DataError> {
        let from_start = limit.min(self.start.len());
        buffer.extend(self.start.drain(..from_start));
        let result = (&mut self.reader).take((limit - from_start) as u64).read_to_end(buffer);
        let num_bytes = result.map_err(|error| {
            let path = self.path.clone();
            let reason = error.to_string();
            if self.is_compressed {
                DataError::CorruptFile { path, reason }
            } else {
                DataError::Io { path, action: "read the file", reason }
            }
        })?;
        Ok(from_start + num_bytes)
    }
}

/// The first bytes of a file, whose position is then at its start again.
pub(super) fn read_start(file: &mut dyn ReadSeek, limit: usize) -> std::io::Result<Vec<u8>> {
    let mut start = Vec::new();
    Read::take(&mut *file, limit as u64).read_to_end(&mut start)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(start)
}

/// Compression of a whole file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Zstandard,
}

impl Compression {
    /// The compression of a file with these first bytes. A Zstandard file begins with a frame, or with a skippable frame, which
    /// `pzstd` writes first.
    fn of(magic: &[u8]) -> Option<Self> {
        if magic.starts_with(GZIP_MAGIC) {
            return Some(Self::Gzip);
        }
        let is_zstd = magic.starts_with(ZSTD_MAGIC) || matches!(magic, [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..]);
        is_zstd.then_some(Self::Zstandard)
    }
}

/// The decompressed bytes of an open file. Files in memory are not decompressed.
fn decompress(
    entry: &FileEntry,
    compression: Compression,
    file: Box<dyn ReadSeek>,
) -> Result<Box<dyn Read + Send>, DataError> {
    #[cfg(feature = "files")]
    if entry.contents.is_none() {
        return super::decompress::decompress(entry, compression, file);
    }
    drop(file);
    let found = match compression {
        Compression::Gzip => "a gzip archive",
        Compression::Zstandard => "a Zstandard archive",
    };
    Err(entry.refuse(found, "decompress it: a compressed file is read from a disk only"))
}

/// `gz` or `zst` if the name of a file ends so.
fn compression_extension(path: &Path) -> Option<&str> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.filter(|extension| ["gz", "zst"].iter().any(|known| extension.eq_ignore_ascii_case(known)))
}

/// Error for a file whose content is not the archive that its extension names.
fn not_compressed_error(path: &Path, extension: &str) -> DataError {
    let reason = format!("the name ends in .{extension}, but the content is not compressed as .gz or .zst");
    DataError::CorruptFile { path: path.display().to_string(), reason }
}
