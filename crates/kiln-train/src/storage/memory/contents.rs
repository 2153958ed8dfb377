//! The entries of a storage in memory.
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::Change;
use crate::storage::EntryKind;

/// The entries, and what a copy elsewhere lacks. All paths are [`normalized`].
#[derive(Default)]
pub struct Contents {
    /// Files and folders, without the root. The order of paths puts an entry after its folder, and before all that is outside
    /// of that folder and sorted later.
    pub entries: BTreeMap<PathBuf, StoredEntry>,
    /// Paths of files that were written, renamed or removed since the last report.
    touched: BTreeSet<PathBuf>,
    /// Paths of the files that were reported and not yet reported as removed.
    reported: BTreeSet<PathBuf>,
    /// Folders of runs that are locked.
    pub locked: BTreeSet<PathBuf>,
}

pub enum StoredEntry {
    Folder,
    File(Arc<Vec<u8>>),
}

impl Contents {
    pub fn kind(&self, path: &Path) -> Option<EntryKind> {
        match self.entries.get(path) {
            None => path.as_os_str().is_empty().then_some(EntryKind::Folder),
            Some(StoredEntry::Folder) => Some(EntryKind::Folder),
            Some(StoredEntry::File(_)) => Some(EntryKind::File),
        }
    }

    /// Contents of a file.
    pub fn file(&self, path: &Path) -> io::Result<&Arc<Vec<u8>>> {
        match self.entries.get(path) {
            Some(StoredEntry::File(bytes)) => Ok(bytes),
            Some(StoredEntry::Folder) => Err(error(io::ErrorKind::IsADirectory, "expected a file, found a folder")),
            None => Err(not_found()),
        }
    }

    /// Sets the contents of a file.
    pub fn put(&mut self, path: PathBuf, bytes: Arc<Vec<u8>>) {
        self.touched.insert(path.clone());
        self.entries.insert(path, StoredEntry::File(bytes));
    }

    /// Sets the contents of a file, and creates its folders.
    pub fn add(&mut self, path: PathBuf, bytes: Arc<Vec<u8>>) {
        for folder in path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()) {
            self.entries.entry(folder.to_owned()).or_insert(StoredEntry::Folder);
        }
        self.put(path, bytes);
    }

    pub fn append(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let Some(StoredEntry::File(file)) = self.entries.get_mut(path) else { return Err(not_found()) };
        Arc::make_mut(file).extend_from_slice(bytes);
        self.touched.insert(path.to_owned());
        Ok(())
    }

    /// Paths of an entry and of all entries in it.
    fn paths_in(&self, path: &Path) -> Vec<PathBuf> {
        let from = self.entries.range(path.to_owned()..);
        from.map(|(entry, _)| entry.clone()).take_while(|entry| entry.starts_with(path)).collect()
    }

    /// Names of the entries of a folder, sorted.
    pub fn names_in(&self, folder: &Path) -> io::Result<Vec<String>> {
        if self.kind(folder) == Some(EntryKind::File) {
            return Err(error(io::ErrorKind::NotADirectory, "expected a folder, found a file"));
        }
        let paths = self.paths_in(folder).into_iter().filter(|path| path.parent() == Some(folder));
        let mut names: Vec<String> = paths.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect();
        names.sort();
        Ok(names)
    }

    pub fn create_folder(&mut self, path: &Path) -> io::Result<()> {
        let missing: Vec<&Path> = path.ancestors().take_while(|folder| self.kind(folder).is_none()).collect();
        let lowest = path.ancestors().nth(missing.len());
        if lowest.and_then(|folder| self.kind(folder)) == Some(EntryKind::File) {
            return Err(error(io::ErrorKind::NotADirectory, "expected a folder, found a file"));
        }
        for folder in missing {
            self.entries.insert(folder.to_owned(), StoredEntry::Folder);
        }
        Ok(())
    }

    pub fn create_new_folder(&mut self, path: &Path) -> io::Result<()> {
        if self.kind(path).is_some() {
            return Err(error(io::ErrorKind::AlreadyExists, "there is an entry of this name"));
        }
        self.check_parent(path)?;
        self.entries.insert(path.to_owned(), StoredEntry::Folder);
        Ok(())
    }

    pub fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.check_parent(to)?;
        match (self.kind(from), self.kind(to)) {
            (None, _) => return Err(not_found()),
            (Some(EntryKind::File), None | Some(EntryKind::File)) | (Some(EntryKind::Folder), None) => {}
            _ => return Err(error(io::ErrorKind::AlreadyExists, "a folder cannot be replaced by a rename")),
        }
        for path in self.paths_in(from) {
            let Some(entry) = self.entries.remove(&path) else { continue };
            let new_path = match path.strip_prefix(from) {
                Ok(rest) if !rest.as_os_str().is_empty() => to.join(rest),
                _ => to.to_owned(),
            };
            if matches!(entry, StoredEntry::File(_)) {
                self.touched.extend([path, new_path.clone()]);
            }
            self.entries.insert(new_path, entry);
        }
        Ok(())
    }

    pub fn remove(&mut self, path: &Path) {
        for path in self.paths_in(path) {
            if matches!(self.entries.remove(&path), Some(StoredEntry::File(_))) {
                self.touched.insert(path);
            }
        }
    }

    /// Reports the files that were written or removed since the last report.
    pub fn take_changes(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for path in std::mem::take(&mut self.touched) {
            match self.entries.get(&path) {
                Some(StoredEntry::File(bytes)) => {
                    changes.push(Change::Written(path.clone(), bytes.clone()));
                    self.reported.insert(path);
                }
                _ if self.reported.remove(&path) => changes.push(Change::Removed(path)),
                _ => {}
            }
        }
        changes
    }

    /// Checks that a file can be written at `path`.
    pub fn check_file(&self, path: &Path) -> io::Result<()> {
        self.check_parent(path)?;
        match self.kind(path) {
            Some(EntryKind::Folder) => Err(error(io::ErrorKind::IsADirectory, "expected a file, found a folder")),
            _ => Ok(()),
        }
    }

    /// Checks that the folder of `path` exists.
    fn check_parent(&self, path: &Path) -> io::Result<()> {
        match path.parent().and_then(|folder| self.kind(folder)) {
            Some(EntryKind::Folder) => Ok(()),
            Some(EntryKind::File) => Err(error(io::ErrorKind::NotADirectory, "expected a folder, found a file")),
            None => Err(not_found()),
        }
    }
}

/// The path from the root of the storage.
pub fn normalized(path: &Path) -> PathBuf {
    let mut normalized = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => normalized.push(name),
            Component::ParentDir => drop(normalized.pop()),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    normalized
}

fn error(kind: io::ErrorKind, reason: &str) -> io::Error {
    io::Error::new(kind, reason)
}

fn not_found() -> io::Error {
    error(io::ErrorKind::NotFound, "no such file or folder")
}
