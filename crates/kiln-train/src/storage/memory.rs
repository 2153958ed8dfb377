//! Storage in memory.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{EntryKind, Storage, StorageFile, StorageLock};
use crate::checkpoint::FileDigest;
use crate::run_folder_error::RunFolderError;

/// Files in memory, for programs without a file system. Clones share the files.
///
/// The files of a run are the same as in a folder on disk: [`files`](Self::files) is what a program puts into an archive,
/// [`from_files`](Self::from_files) takes the files of one. [`take_changes`](Self::take_changes) is for a program that keeps
/// a copy elsewhere.
///
/// Paths are relative to the root of the storage: `/runs/a`, `./runs/a` and `runs/a` are the same entry.
///
/// ```
/// use kiln_train::storage::{MemoryStorage, Storage};
///
/// let storage = MemoryStorage::from_files([("runs/a/recipe.toml", b"version = 1\n".to_vec())]);
/// storage.write_atomic("runs/a/metrics.jsonl".as_ref(), b"")?;
/// let paths: Vec<_> = storage.files().into_iter().map(|(path, _)| path.display().to_string()).collect();
/// assert_eq!(paths, ["runs/a/metrics.jsonl", "runs/a/recipe.toml"]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct MemoryStorage(Arc<Mutex<Contents>>);

/// A file that has changed since the last [`take_changes`](MemoryStorage::take_changes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The file is new, or its contents are.
    Written(PathBuf, Arc<Vec<u8>>),
    /// The file is gone.
    Removed(PathBuf),
}

/// The entries, and what a copy elsewhere lacks.
#[derive(Default)]
struct Contents {
    /// Files and folders, without the root. An entry follows its folder directly or after other entries of that folder.
    entries: BTreeMap<PathBuf, Entry>,
    /// Paths of files that were written, renamed or removed since the last report.
    touched: BTreeSet<PathBuf>,
    /// Paths of the files that were reported and not yet reported as removed.
    reported: BTreeSet<PathBuf>,
    /// Folders of runs that are locked.
    locked: BTreeSet<PathBuf>,
}

enum Entry {
    Folder,
    File(Arc<Vec<u8>>),
}

impl MemoryStorage {
    /// An empty storage.
    pub fn new() -> Self {
        Self::default()
    }

    /// A storage with these files, by path. Their folders are created.
    pub fn from_files(files: impl IntoIterator<Item = (impl AsRef<Path>, impl Into<Vec<u8>>)>) -> Self {
        let storage = Self::new();
        for (path, bytes) in files {
            let path = normalized(path.as_ref());
            let mut contents = storage.lock();
            path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()).for_each(|folder| {
                contents.entries.insert(folder.to_owned(), Entry::Folder);
            });
            contents.put(path, Arc::new(bytes.into()));
        }
        storage
    }

    /// All files with their contents, sorted by path.
    pub fn files(&self) -> Vec<(PathBuf, Arc<Vec<u8>>)> {
        let contents = self.lock();
        let files = contents.entries.iter().filter_map(|(path, entry)| match entry {
            Entry::File(bytes) => Some((path.clone(), bytes.clone())),
            Entry::Folder => None,
        });
        files.collect()
    }

    /// The files that were written or removed since the last call, sorted by path; at the first call, all files.
    ///
    /// Between two calls a file can have changed several times: only its last contents are returned. A file that came and
    /// went in the meantime is left out. A copy is that of one moment when all changes of a call are applied.
    pub fn take_changes(&self) -> Vec<Change> {
        let (mut guard, mut changes) = (self.lock(), Vec::new());
        let contents = &mut *guard;
        for path in std::mem::take(&mut contents.touched) {
            match contents.entries.get(&path) {
                Some(Entry::File(bytes)) => {
                    changes.push(Change::Written(path.clone(), bytes.clone()));
                    contents.reported.insert(path);
                }
                _ if contents.reported.remove(&path) => changes.push(Change::Removed(path)),
                _ => {}
            }
        }
        changes
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of entries, without their contents.
impl fmt::Debug for MemoryStorage {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "MemoryStorage({} entries)", self.lock().entries.len())
    }
}

impl Contents {
    fn kind(&self, path: &Path) -> Option<EntryKind> {
        match self.entries.get(path) {
            None => path.as_os_str().is_empty().then_some(EntryKind::Folder),
            Some(Entry::Folder) => Some(EntryKind::Folder),
            Some(Entry::File(_)) => Some(EntryKind::File),
        }
    }

    /// Sets the contents of a file.
    fn put(&mut self, path: PathBuf, bytes: Arc<Vec<u8>>) {
        self.touched.insert(path.clone());
        self.entries.insert(path, Entry::File(bytes));
    }

    /// Paths of an entry and of all entries in it.
    fn paths_in(&self, path: &Path) -> Vec<PathBuf> {
        let from = self.entries.range(path.to_owned()..);
        from.map(|(entry, _)| entry.clone()).take_while(|entry| entry.starts_with(path)).collect()
    }

    /// Checks that a file can be written at `path`.
    fn check_file(&self, path: &Path) -> io::Result<()> {
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

impl Storage for MemoryStorage {
    fn kind(&self, path: &Path) -> Option<EntryKind> {
        self.lock().kind(&normalized(path))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.lock().entries.get(&normalized(path)) {
            Some(Entry::File(bytes)) => Ok(bytes.to_vec()),
            Some(Entry::Folder) => Err(error(io::ErrorKind::IsADirectory, "expected a file, found a folder")),
            None => Err(not_found()),
        }
    }

    fn entries(&self, folder: &Path) -> io::Result<Vec<String>> {
        let (folder, contents) = (normalized(folder), self.lock());
        if contents.kind(&folder) == Some(EntryKind::File) {
            return Err(error(io::ErrorKind::NotADirectory, "expected a folder, found a file"));
        }
        let paths = contents.paths_in(&folder).into_iter().filter(|path| path.parent() == Some(folder.as_path()));
        let mut names: Vec<String> = paths.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect();
        names.sort();
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        self.write_atomic(path, b"")?;
        self.open_append(path)
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let (path, mut contents) = (normalized(path), self.lock());
        contents.check_file(&path)?;
        if !contents.entries.contains_key(&path) {
            contents.put(path.clone(), Arc::default());
        }
        Ok(Box::new(MemoryFile { storage: self.clone(), path }))
    }

    fn write_atomic(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let (path, mut contents) = (normalized(path), self.lock());
        contents.check_file(&path)?;
        contents.put(path, Arc::new(bytes.to_vec()));
        Ok(())
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let (path, mut contents) = (normalized(path), self.lock());
        let missing: Vec<&Path> = path.ancestors().take_while(|folder| contents.kind(folder).is_none()).collect();
        let lowest = path.ancestors().nth(missing.len());
        if lowest.and_then(|folder| contents.kind(folder)) == Some(EntryKind::File) {
            return Err(error(io::ErrorKind::NotADirectory, "expected a folder, found a file"));
        }
        for folder in missing {
            contents.entries.insert(folder.to_owned(), Entry::Folder);
        }
        Ok(())
    }

    fn create_new_folder(&self, path: &Path) -> io::Result<()> {
        let (path, mut contents) = (normalized(path), self.lock());
        if contents.kind(&path).is_some() {
            return Err(error(io::ErrorKind::AlreadyExists, "there is an entry of this name"));
        }
        contents.check_parent(&path)?;
        contents.entries.insert(path, Entry::Folder);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to, mut contents) = (normalized(from), normalized(to), self.lock());
        contents.check_parent(&to)?;
        match (contents.kind(&from), contents.kind(&to)) {
            (None, _) => return Err(not_found()),
            (Some(EntryKind::File), None | Some(EntryKind::File)) | (Some(EntryKind::Folder), None) => {}
            _ => return Err(error(io::ErrorKind::AlreadyExists, "a folder cannot be replaced by a rename")),
        }
        for path in contents.paths_in(&from) {
            let Some(entry) = contents.entries.remove(&path) else { continue };
            let new_path = match path.strip_prefix(&from) {
                Ok(rest) if !rest.as_os_str().is_empty() => to.join(rest),
                _ => to.clone(),
            };
            if matches!(entry, Entry::File(_)) {
                contents.touched.extend([path, new_path.clone()]);
            }
            contents.entries.insert(new_path, entry);
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let (path, mut contents) = (normalized(path), self.lock());
        for path in contents.paths_in(&path) {
            if matches!(contents.entries.remove(&path), Some(Entry::File(_))) {
                contents.touched.insert(path);
            }
        }
        Ok(())
    }

    fn sync_folder(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_and_hash(&self, path: &Path) -> io::Result<FileDigest> {
        match self.lock().entries.get(&normalized(path)) {
            Some(Entry::File(bytes)) => Ok(FileDigest::compute(bytes)),
            _ => Err(not_found()),
        }
    }

    fn lock_run(&self, run: &Path) -> Result<Box<dyn StorageLock>, RunFolderError> {
        let path = normalized(run);
        if !self.lock().locked.insert(path.clone()) {
            return Err(RunFolderError::Locked { path: run.to_owned(), pid: None });
        }
        Ok(Box::new(MemoryLock { storage: self.clone(), path }))
    }
}

/// A file in memory that is being written.
#[derive(Debug)]
struct MemoryFile {
    storage: MemoryStorage,
    path: PathBuf,
}

impl StorageFile for MemoryFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut contents = self.storage.lock();
        let Some(Entry::File(file)) = contents.entries.get_mut(&self.path) else { return Err(not_found()) };
        Arc::make_mut(file).extend_from_slice(bytes);
        contents.touched.insert(self.path.clone());
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// The lock of a run in memory.
#[derive(Debug)]
struct MemoryLock {
    storage: MemoryStorage,
    path: PathBuf,
}

impl StorageLock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.storage.lock().locked.remove(&self.path);
    }
}

/// The path from the root of the storage.
fn normalized(path: &Path) -> PathBuf {
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
