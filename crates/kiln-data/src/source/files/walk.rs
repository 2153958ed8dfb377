//! File listing: expands the configured paths to a list of files.
//!
//! Folders are listed recursively in byte order of the names. Hidden files (`.name`) are ignored.

use super::{
    entry::{FileEntry, FileList, ReadSeek, io_error},
    reader::FileReader,
};
use crate::{DataError, FilesConfig};
use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

/// Lists all files of the configuration: paths in the given order, folders in name order.
///
/// # Errors
/// [`DataError::PathNotFound`] with the nearest name of the folder, [`DataError::NotAFile`] for devices and sockets, and
/// I/O errors.
pub(crate) fn list_files(config: &FilesConfig) -> Result<FileList, DataError> {
    let mut walk = FileWalker { config, ancestors: BTreeSet::new(), files: FileList::default() };
    let base = base_folder(config);
    for path in &config.paths {
        let path = &base.join(path);
        let kind = fs::metadata(path).map_err(|error| path_not_found(path, &error))?;
        if kind.is_dir() {
            walk.visit_folder(path)?;
        } else if kind.is_file() {
            walk.files.entries.push(FileEntry {
                path: path.into(),
                size: kind.len(),
                is_explicit: true,
                contents: None,
            });
        } else {
            return Err(DataError::NotAFile { path: path.display().to_string() });
        }
    }
    Ok(walk.files)
}

/// Folder that relative paths are joined to. Empty if it is the current directory, so that messages show the paths as
/// they are written in the configuration.
fn base_folder(config: &FilesConfig) -> PathBuf {
    let base = config.base.as_ref().map(PathBuf::from).unwrap_or_default();
    let is_current = std::env::current_dir().is_ok_and(|current| current == base);
    if is_current { PathBuf::new() } else { base }
}

/// Recursive directory walk.
struct FileWalker<'a> {
    config: &'a FilesConfig,
    /// Real paths of the open folders. A link to one of them is ignored, because it would recurse forever.
    ancestors: BTreeSet<PathBuf>,
    files: FileList,
}

impl FileWalker<'_> {
    /// Adds the files of a folder.
    fn visit_folder(&mut self, path: &Path) -> Result<(), DataError> {
        let real_path = fs::canonicalize(path).map_err(io_error(path, "open the folder"))?;
        if !self.ancestors.insert(real_path.clone()) {
            return Ok(());
        }
        for name in sorted_names(path).map_err(io_error(path, "list the folder"))? {
            if !name.as_encoded_bytes().starts_with(b".") {
                self.visit(&path.join(&name), &name.to_string_lossy())?;
            }
        }
        self.ancestors.remove(&real_path);
        Ok(())
    }

    /// Adds a file or the files of a folder.
    fn visit(&mut self, path: &Path, name: &str) -> Result<(), DataError> {
        let kind = match fs::metadata(path) {
            Ok(kind) => kind,
            Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(path).is_ok() => {
                let path = path.display().to_string();
                self.files.dangling.push(DataError::PathNotFound { path, nearest: None });
                return Ok(());
            }
            Err(error) => return Err(io_error(path, "open the file")(error)),
        };
        if kind.is_dir() {
            return self.visit_folder(path);
        }
        if kind.is_file() && self.passes_filter(name) {
            self.files.entries.push(FileEntry {
                path: path.into(),
                size: kind.len(),
                is_explicit: false,
                contents: None,
            });
        }
        Ok(())
    }

    /// Whether a name passes the filter [`FilesConfig::extensions`]. `.gz` and `.zst` are not part of the extension; the
    /// filter accepts extensions with and without a dot, in any case.
    fn passes_filter(&self, name: &str) -> bool {
        let filter = &self.config.extensions;
        let uncompressed = FileReader::uncompressed_name(Path::new(name));
        let extension = uncompressed.rsplit_once('.').map(|(_, extension)| extension);
        let is_accepted = |accepted: &String| extension == Some(&*accepted.trim_start_matches('.').to_lowercase());
        filter.is_empty() || filter.iter().any(is_accepted)
    }
}

/// Names in a folder, sorted.
fn sorted_names(folder: &Path) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name());
    }
    names.sort_unstable();
    Ok(names)
}

/// Opens a file.
pub(super) fn open_on_disk(path: &Path) -> Result<Box<dyn ReadSeek>, DataError> {
    let file = fs::File::open(path).map_err(io_error(path, "open the file"))?;
    Ok(Box::new(file))
}

/// Error for a path without metadata: [`DataError::PathNotFound`] with a suggestion, or an I/O error.
fn path_not_found(path: &Path, error: &io::Error) -> DataError {
    if error.kind() != io::ErrorKind::NotFound {
        return io_error(path, "open the file")(io::Error::new(error.kind(), error.to_string()));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names: Vec<String> =
        sorted_names(folder).unwrap_or_default().into_iter().filter_map(|name| name.into_string().ok()).collect();
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let nearest = kiln_spec::config::closest_match(&name, names.iter().map(String::as_str)).map(Into::into);
    DataError::PathNotFound { path: path.display().to_string(), nearest }
}
