//! Writes a GGUF file to disk.

use super::{ExportError, GgufExport};
use crate::files::write_atomically;
use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

/// Writes a GGUF file to `path`. The file is written under a temporary name and renamed, so that it is either complete or
/// absent.
///
/// # Errors
/// As [`GgufExport::write`], and if the file cannot be created or renamed.
pub fn save_gguf(path: &Path, export: &GgufExport) -> Result<(), ExportError> {
    write_atomically(path, |temporary| write_file(temporary, export), ExportError::from)
}

fn write_file(path: &Path, export: &GgufExport) -> Result<(), ExportError> {
    let mut out = BufWriter::new(File::create(path)?);
    export.write(&mut out)?;
    out.flush()?;
    Ok(out.get_ref().sync_all()?)
}
