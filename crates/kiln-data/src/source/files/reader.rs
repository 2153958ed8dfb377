//! Opening a file: decompressed on the way if its name says so.

use super::walk::io_error;
use crate::DataError;
use std::{
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

/// The bytes of a file, with errors that know which file and whether it is an archive.
pub(crate) struct FileReader {
    reader: Box<dyn Read + Send>,
    path: String,
    is_compressed: bool,
}

impl FileReader {
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(io_error(path, "open the file"))?;
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let reader: Box<dyn Read + Send> = match ending {
            "gz" => Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(file))),
            "zst" => Box::new(zstd::Decoder::new(file).map_err(io_error(path, "open the archive"))?),
            _ => Box::new(file),
        };
        Ok(Self { reader, path: path.display().to_string(), is_compressed: matches!(ending, "gz" | "zst") })
    }

    /// The file's name without what says that it is compressed.
    pub fn uncompressed_name(path: &Path) -> String {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name).into()
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    /// Appends up to `most` bytes; fewer only at the end of the file.
    pub fn read_into(&mut self, buffer: &mut Vec<u8>, most: usize) -> Result<usize, DataError> {
        let read = (&mut self.reader).take(most as u64).read_to_end(buffer);
        read.map_err(|error| {
            let (path, what) = (self.path.clone(), error.to_string());
            if self.is_compressed {
                DataError::CorruptFile { path, reason: what }
            } else {
                DataError::Io { path, action: "read the file", reason: what }
            }
        })
    }
}
