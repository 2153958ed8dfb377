//! Storage in memory.
mod contents;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use contents::{Contents, StoredEntry, normalized};

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

impl MemoryStorage {
    /// An empty storage.
    pub fn new() -> Self {
        Self::default()
    }

    /// A storage with these files, by path. Their folders are created.
    pub fn from_files(files: impl IntoIterator<Item = (impl AsRef<Path>, impl Into<Vec<u8>>)>) -> Self {
        let storage = Self::new();
        for (path, bytes) in files {
            storage.lock().add(normalized(path.as_ref()), Arc::new(bytes.into()));
        }
        storage
    }

    /// All files with their contents, sorted by path.
    pub fn files(&self) -> Vec<(PathBuf, Arc<Vec<u8>>)> {
        let contents = self.lock();
        let files = contents.entries.iter().filter_map(|(path, entry)| match entry {
            StoredEntry::File(bytes) => Some((path.clone(), bytes.clone())),
            StoredEntry::Folder => None,
        });
        files.collect()
    }

    /// The files that were written or removed since the last call, sorted by path; at the first call, all files.
    ///
    /// Between two calls a file can have changed several times: only its last contents are returned. A file that came and
    /// went in the meantime is left out. A copy is that of one moment when all changes of a call are applied.
    pub fn take_changes(&self) -> Vec<Change> {
        self.lock().take_changes()
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

impl Storage for MemoryStorage {
    fn kind(&self, path: &Path) -> Option<EntryKind> {
        self.lock().kind(&normalized(path))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        Ok(self.lock().file(&normalized(path))?.to_vec())
    }

    fn read_shared(&self, path: &Path) -> io::Result<Arc<Vec<u8>>> {
        Ok(self.lock().file(&normalized(path))?.clone())
    }

    fn entries(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.lock().names_in(&normalized(folder))
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
        self.lock().create_folder(&normalized(path))
    }

    fn create_new_folder(&self, path: &Path) -> io::Result<()> {
        self.lock().create_new_folder(&normalized(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.lock().rename(&normalized(from), &normalized(to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.lock().remove(&normalized(path));
        Ok(())
    }

    fn sync_folder(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_and_hash(&self, path: &Path) -> io::Result<FileDigest> {
        Ok(FileDigest::compute(self.lock().file(&normalized(path))?))
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
        self.storage.lock().append(&self.path, bytes)
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
