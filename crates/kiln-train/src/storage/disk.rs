//! Storage in the file system.
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use kiln_pretrained::files::check_writable;

use super::atomic::{parent_folder, temporary_path};
use super::lock_file::LockFile;
use super::{EntryKind, Storage, StorageFile, StorageLock};
use crate::checkpoint::FileDigest;
use crate::run_folder_error::RunFolderError;

/// The file system.
///
/// Files are flushed to the disk (`fsync`) before they are renamed, and folders after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskStorage;

impl DiskStorage {
    /// The file system, shared.
    pub fn shared() -> Arc<dyn Storage> {
        static SHARED: LazyLock<Arc<dyn Storage>> = LazyLock::new(|| Arc::new(DiskStorage));
        SHARED.clone()
    }
}

impl Storage for DiskStorage {
    fn kind(&self, path: &Path) -> Option<EntryKind> {
        let metadata = fs::metadata(path).ok()?;
        Some(if metadata.is_dir() { EntryKind::Folder } else { EntryKind::File })
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn entries(&self, folder: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let names: io::Result<Vec<_>> = entries.map(|entry| Ok(entry?.file_name().into_string().ok())).collect();
        let mut names: Vec<_> = names?.into_iter().flatten().collect();
        names.sort();
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        Ok(Box::new(DiskFile(File::create(path)?)))
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        Ok(Box::new(DiskFile(OpenOptions::new().append(true).create(true).open(path)?)))
    }

    fn write_atomic(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        check_writable(path)?;
        let temporary = temporary_path(path);
        let written = write_synced(&temporary, bytes).and_then(|()| self.rename(&temporary, path));
        // A failure is ignored: the next start removes the file.
        written.inspect_err(|_| drop(fs::remove_file(&temporary)))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn create_new_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)?;
        self.sync_folder(parent_folder(to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
    }

    /// Unix only: elsewhere it is not possible and not needed.
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        if cfg!(not(unix)) {
            return Ok(());
        }
        File::open(path)?.sync_all()
    }

    /// The hash is computed while the file is flushed.
    fn sync_and_hash(&self, path: &Path) -> io::Result<FileDigest> {
        let (synced, hashed) = (File::open(path)?, File::open(path)?);
        std::thread::scope(|scope| {
            let sync = scope.spawn(|| synced.sync_all());
            let digest = FileDigest::read(hashed);
            sync.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            digest
        })
    }

    fn lock_run(&self, run: &Path) -> Result<Box<dyn StorageLock>, RunFolderError> {
        Ok(Box::new(LockFile::acquire(run)?))
    }

    fn disk_path(&self, path: &Path) -> Option<PathBuf> {
        Some(path.to_owned())
    }
}

/// Writes a new file and flushes it to the disk.
fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A file of the file system that is being written.
#[derive(Debug)]
struct DiskFile(File);

impl StorageFile for DiskFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length_before = self.0.metadata()?.len();
        self.0.write_all(bytes).inspect_err(|_| {
            let _ = self.0.set_len(length_before);
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}
