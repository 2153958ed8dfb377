//! From a run to a zip file.
use std::io::{Cursor, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::{ArchiveError, names::check_name};
use crate::run_folder::{RunPaths, slug};
use crate::run_folder_error::RunFolderError;
use crate::storage::{file_names, is_temporary};

/// Packs all files of a run, without the lock and temporary files, into a zip file below one folder with the name of the run.
/// The same files give the same bytes.
///
/// # Errors
/// If a file cannot be read, or its name cannot be stored on all systems.
pub fn pack_run(run: &RunPaths) -> Result<Vec<u8>, ArchiveError> {
    let top = slug(&run.root().file_name().unwrap_or_default().to_string_lossy());
    let mut names = Vec::new();
    collect_files(run, "", &mut names)?;
    let mut zip = ZipWriter::new(Cursor::new(Vec::new())).set_auto_large_file();
    for name in names {
        check_name(&name)?;
        let path = run.root().join(&name);
        let bytes = run.storage().read(&path).map_err(|source| RunFolderError::from_io("read", &path, source))?;
        zip.start_file(format!("{top}/{name}"), options(&name, bytes.len()))
            .and_then(|()| Ok(zip.write_all(&bytes)?))
            .map_err(|error| ArchiveError::from_zip(Some(&name), error))?;
    }
    let zip = zip.finish().map_err(|error| ArchiveError::from_zip(None, error))?;
    Ok(zip.into_inner())
}

/// Adds the names of the files in a folder, relative to the run and sorted; those of a folder in the place of its name.
fn collect_files(run: &RunPaths, folder: &str, names: &mut Vec<String>) -> Result<(), RunFolderError> {
    for entry in file_names(run.storage(), &run.root().join(folder))? {
        let name = if folder.is_empty() { entry.clone() } else { format!("{folder}/{entry}") };
        let path = run.root().join(&name);
        if run.storage().is_folder(&path) && !is_temporary(&entry) {
            collect_files(run, &name, names)?;
        } else if !is_temporary(&entry) && path != run.lock_file() {
            names.push(name);
        }
    }
    Ok(())
}

/// How a file is stored: without a time, so that the same files give the same bytes. Weights hardly compress.
fn options(name: &str, size: usize) -> SimpleFileOptions {
    let is_tensors = Path::new(name).extension().is_some_and(|ending| ending == "safetensors");
    let method = if is_tensors { CompressionMethod::Stored } else { CompressionMethod::Deflated };
    let options = SimpleFileOptions::default().compression_method(method).last_modified_time(DateTime::default());
    options.unix_permissions(0o644).large_file(size > u32::MAX as usize)
}
