//! File reader that decompresses `.gz` (gzip) and `.zst` (Zstandard) files on the fly.
//!
//! The format follows from the extension, not from the content.

use super::walk::io_error;
use crate::DataError;
use std::{
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

/// Decompressed bytes of a file. Errors name the file.
pub(crate) struct FileReader {
    reader: Box<dyn Read + Send>,
    path: String,
    /// Whether read errors mean a corrupt archive and not an I/O problem.
    is_compressed: bool,
}

impl FileReader {
    /// Opens a file. A gzip file may have several members, as written by parallel compressors.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(io_error(path, "open the file"))?;
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let reader: Box<dyn Read + Send> = match extension {
            "gz" => Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(file))),
            "zst" => Box::new(zstd::Decoder::new(file).map_err(io_error(path, "open the archive"))?),
            _ => Box::new(file),
        };
        Ok(Self { reader, path: path.display().to_string(), is_compressed: matches!(extension, "gz" | "zst") })
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

    /// Appends up to `limit` decompressed bytes to `buffer` and returns their number: less than `limit` only at the end
    /// of the file.
    pub fn read_into(&mut self, buffer: &mut Vec<u8>, limit: usize) -> Result<usize, DataError> {
        let result = (&mut self.reader).take(limit as u64).read_to_end(buffer);
        result.map_err(|error| {
            let path = self.path.clone();
            let reason = error.to_string();
            if self.is_compressed {
                DataError::CorruptFile { path, reason }
            } else {
                DataError::Io { path, action: "read the file", reason }
            }
        })
    }
}
