//! File listing: expands the configured paths to a list of files.
//!
//! Folders are listed recursively in byte order of the names. Hidden files (`.name`), dangling links and names that are
//! not UTF-8 are ignored.

use crate::{DataError, FilesConfig};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// File of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileEntry {
    pub path: PathBuf,
    /// Size on disk, in bytes.
    pub size: u64,
    /// Whether the path was configured itself. Then the file must be text; files in folders may be skipped.
    pub is_explicit: bool,
}

/// Lists all files of the configuration: paths in the given order, folders in name order.
///
/// # Errors
/// [`DataError::PathNotFound`] with the nearest name of the folder, [`DataError::NotAFile`] for devices and sockets, and
/// I/O errors.
pub(crate) fn list_files(config: &FilesConfig) -> Result<Vec<FileEntry>, DataError> {
    let mut walk = FileWalker { config, ancestors: BTreeSet::new(), entries: Vec::new() };
    let base = base_folder(config);
    for path in &config.paths {
        let path = &base.join(path);
        let kind = fs::metadata(path).map_err(|error| path_not_found(path, &error))?;
        if kind.is_dir() {
            walk.visit_folder(path)?;
        } else if kind.is_file() {
            walk.entries.push(FileEntry { path: path.into(), size: kind.len(), is_explicit: true });
        } else {
            return Err(DataError::NotAFile { path: path.display().to_string() });
        }
    }
    Ok(walk.entries)
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
    entries: Vec<FileEntry>,
}

impl FileWalker<'_> {
    /// Adds the files of a folder.
    fn visit_folder(&mut self, path: &Path) -> Result<(), DataError> {
        let real_path = fs::canonicalize(path).map_err(io_error(path, "open the folder"))?;
        if !self.ancestors.insert(real_path.clone()) {
            return Ok(());
        }
        for name in sorted_names(path).map_err(io_error(path, "list the folder"))? {
            if !name.starts_with('.') {
                self.visit(&path.join(&name), &name)?;
            }
        }
        self.ancestors.remove(&real_path);
        Ok(())
    }

    /// Adds a file or the files of a folder.
    fn visit(&mut self, path: &Path, name: &str) -> Result<(), DataError> {
        // A dangling link has no metadata.
        let Ok(kind) = fs::metadata(path) else { return Ok(()) };
        if kind.is_dir() {
            return self.visit_folder(path);
        }
        if kind.is_file() && self.passes_filter(name) {
            self.entries.push(FileEntry { path: path.into(), size: kind.len(), is_explicit: false });
        }
        Ok(())
    }

    /// Whether a name passes the filter [`FilesConfig::extensions`]. `.gz` and `.zst` are not part of the extension; the
    /// filter accepts extensions with and without a dot.
    fn passes_filter(&self, name: &str) -> bool {
        let filter = &self.config.extensions;
        let uncompressed = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
        let extension = uncompressed.rsplit_once('.').map(|(_, extension)| extension);
        filter.is_empty() || filter.iter().any(|accepted| extension == Some(accepted.trim_start_matches('.')))
    }
}

/// Names in a folder, sorted. Names that are not UTF-8 are omitted, because messages could not show them.
fn sorted_names(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

/// Adapter for `map_err` that adds the path and the attempted action.
pub(crate) fn io_error(path: &Path, action: &'static str) -> impl Fn(std::io::Error) -> DataError {
    let path = path.display().to_string();
    move |error| DataError::Io { path: path.clone(), action, reason: error.to_string() }
}

/// Error for a path without metadata: [`DataError::PathNotFound`] with a suggestion, or an I/O error.
fn path_not_found(path: &Path, error: &std::io::Error) -> DataError {
    if error.kind() != std::io::ErrorKind::NotFound {
        return io_error(path, "open the file")(std::io::Error::new(error.kind(), error.to_string()));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names = sorted_names(folder).unwrap_or_default();
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let nearest = kiln_spec::config::closest_match(&name, names.iter().map(String::as_str)).map(Into::into);
    DataError::PathNotFound { path: path.display().to_string(), nearest }
}
