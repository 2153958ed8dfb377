//! From the paths that were given to the files to read.

use crate::{DataError, FilesConfig};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A file to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileEntry {
    pub path: PathBuf,
    /// Size on disk, in bytes.
    pub size: u64,
    /// Whether it was named itself: then it must be text. Of a folder, what is not text is left out.
    pub is_explicit: bool,
}

/// All files of `config`, folders sorted by name.
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

/// What relative paths are put behind: nothing if they count from here anyway, so that messages have them as they were
/// given.
fn base_folder(config: &FilesConfig) -> PathBuf {
    let base = config.base.as_ref().map(PathBuf::from).unwrap_or_default();
    let here = std::env::current_dir().is_ok_and(|here| here == base);
    if here { PathBuf::new() } else { base }
}

struct FileWalker<'a> {
    config: &'a FilesConfig,
    /// Folders on the way here, so that a link to one of them is no endless way down.
    ancestors: BTreeSet<PathBuf>,
    entries: Vec<FileEntry>,
}

impl FileWalker<'_> {
    fn visit_folder(&mut self, path: &Path) -> Result<(), DataError> {
        let real = fs::canonicalize(path).map_err(io_error(path, "open the folder"))?;
        if !self.ancestors.insert(real.clone()) {
            return Ok(());
        }
        for name in sorted_names(path).map_err(io_error(path, "list the folder"))? {
            if !name.starts_with('.') {
                self.visit(&path.join(&name), &name)?;
            }
        }
        self.ancestors.remove(&real);
        Ok(())
    }

    fn visit(&mut self, path: &Path, name: &str) -> Result<(), DataError> {
        // A link that leads nowhere is no file.
        let Ok(kind) = fs::metadata(path) else { return Ok(()) };
        if kind.is_dir() {
            return self.visit_folder(path);
        }
        if kind.is_file() && self.has_wanted_extension(name) {
            self.entries.push(FileEntry { path: path.into(), size: kind.len(), is_explicit: false });
        }
        Ok(())
    }

    fn has_wanted_extension(&self, name: &str) -> bool {
        let plain = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
        let ends = |extension: &String| {
            plain.rsplit_once('.').is_some_and(|(_, end)| end == extension.trim_start_matches('.'))
        };
        self.config.extensions.is_empty() || self.config.extensions.iter().any(ends)
    }
}

/// Names in a folder, sorted; those that are no text cannot be told apart in messages and are left out.
fn sorted_names(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

pub(crate) fn io_error(path: &Path, action: &'static str) -> impl Fn(std::io::Error) -> DataError {
    let path = path.display().to_string();
    move |error| DataError::Io { path: path.clone(), action, reason: error.to_string() }
}

fn path_not_found(path: &Path, error: &std::io::Error) -> DataError {
    if error.kind() != std::io::ErrorKind::NotFound {
        return io_error(path, "open the file")(std::io::Error::new(error.kind(), error.to_string()));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names = sorted_names(folder).unwrap_or_default();
    let wanted = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let nearest = kiln_spec::config::closest_match(&wanted, names.iter().map(String::as_str)).map(Into::into);
    DataError::PathNotFound { path: path.display().to_string(), nearest }
}
