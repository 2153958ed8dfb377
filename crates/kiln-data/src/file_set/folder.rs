//! Folders as sets of files.

use super::FileSet;
use crate::DataError;
use std::{
    borrow::Cow,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The largest configuration or tokenizer file that is read from a folder: 256 MiB.
const MAX_FILE_BYTES: u64 = 1 << 28;

impl FileSet for Path {
    fn read(&self, name: &str) -> Result<Option<Cow<'_, [u8]>>, DataError> {
        let path = self.join(name);
        let io_error = |error: io::Error| DataError::Io {
            path: path.display().to_string(),
            action: "read the file",
            reason: error.to_string(),
        };
        let file = match File::open(&path) {
            // A symbolic link to a file that does not exist is not a missing file.
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.read_link().is_err() => return Ok(None),
            opened => opened.map_err(io_error)?,
        };
        let mut bytes = Vec::new();
        // One byte more than the limit tells a larger file from one of exactly that size.
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(io_error)?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            let reason = format!("the file is larger than {MAX_FILE_BYTES} bytes");
            return Err(DataError::tokenizer(reason).with_path(&path));
        }
        Ok(Some(Cow::Owned(bytes)))
    }

    fn location(&self, name: &str) -> PathBuf {
        self.join(name)
    }

    fn folder(&self) -> PathBuf {
        self.into()
    }
}
