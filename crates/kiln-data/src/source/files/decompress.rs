//! Decompression of files on disk.

use super::{
    entry::{FileEntry, ReadSeek, io_error},
    reader::Compression,
};
use crate::DataError;
use std::io::{BufReader, Read};

/// The decompressed bytes of an open file. A gzip file may have several members, as written by parallel compressors.
pub(super) fn decompress(
    entry: &FileEntry,
    compression: Compression,
    file: Box<dyn ReadSeek>,
) -> Result<Box<dyn Read + Send>, DataError> {
    Ok(match compression {
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(file))),
        Compression::Zstandard => {
            Box::new(zstd::Decoder::new(file).map_err(io_error(&entry.path, "open the archive"))?)
        }
    })
}
