//! A storage that fails from one of its writes on.
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::{EntryKind, MemoryStorage, Storage, StorageFile, StorageLock};
use crate::checkpoint::FileDigest;
use crate::run_folder_error::RunFolderError;

/// A storage in memory whose first `writes` changes succeed. All later ones fail, those that would clean up included, as
/// after a kill of the process.
#[derive(Debug)]
pub struct FaultyStorage {
    memory: MemoryStorage,
    writes_left: Arc<AtomicUsize>,
}

impl FaultyStorage {
    pub fn new(memory: MemoryStorage, writes: usize) -> Self {
        Self { memory, writes_left: Arc::new(AtomicUsize::new(writes)) }
    }
}

/// Counts a write; an error if none is left.
fn count(writes_left: &AtomicUsize) -> io::Result<()> {
    let counted = writes_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    counted.map(drop).map_err(|_| io::ErrorKind::StorageFull.into())
}

impl Storage for FaultyStorage {
    fn kind(&self, path: &Path) -> Option<EntryKind> {
        self.memory.kind(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.memory.read(path)
    }

    fn entries(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.memory.entries(folder)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        count(&self.writes_left)?;
        Ok(Box::new(FaultyFile { file: self.memory.create(path)?, writes_left: self.writes_left.clone() }))
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        count(&self.writes_left)?;
        Ok(Box::new(FaultyFile { file: self.memory.open_append(path)?, writes_left: self.writes_left.clone() }))
    }

    fn write_atomic(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        count(&self.writes_left)?;
        self.memory.write_atomic(path, bytes)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        count(&self.writes_left)?;
        self.memory.create_folder(path)
    }

    fn create_new_folder(&self, path: &Path) -> io::Result<()> {
        count(&self.writes_left)?;
        self.memory.create_new_folder(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        count(&self.writes_left)?;
        self.memory.rename(from, to)
    }

    /// A folder with several files is removed file by file, so that it can be left half removed.
    fn remove(&self, path: &Path) -> io::Result<()> {
        for name in if self.kind(path) == Some(EntryKind::Folder) { self.entries(path)? } else { Vec::new() } {
            self.remove(&path.join(name))?;
        }
        count(&self.writes_left)?;
        self.memory.remove(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.memory.sync_folder(path)
    }

    fn sync_and_hash(&self, path: &Path) -> io::Result<FileDigest> {
        self.memory.sync_and_hash(path)
    }

    fn lock_run(&self, run: &Path) -> Result<Box<dyn StorageLock>, RunFolderError> {
        self.memory.lock_run(run)
    }
}

#[derive(Debug)]
struct FaultyFile {
    file: Box<dyn StorageFile>,
    writes_left: Arc<AtomicUsize>,
}

impl StorageFile for FaultyFile {
    /// The last write that succeeds writes half of its bytes, as a kill in the middle of a write does.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        count(&self.writes_left)?;
        if self.writes_left.load(Ordering::Relaxed) == 0 {
            self.file.append(&bytes[..bytes.len() / 2])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.append(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}
