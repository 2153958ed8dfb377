//! Lock file of a run folder: one process at a time writes a run. The system releases the lock when the process ends, even if it
//! is killed.
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::StorageLock;
use crate::run_folder_error::RunFolderError;

/// Name of the lock file in the run folder.
pub(crate) const LOCK_FILE: &str = "lock";

/// The locked file of a run.
#[derive(Debug)]
pub(super) struct LockFile {
    file: File,
}

impl StorageLock for LockFile {}

/// Number of attempts: a process that was just killed may hold its lock for a moment.
const LOCK_ATTEMPTS: u32 = 10;
const RETRY_DELAY: Duration = Duration::from_millis(20);

impl LockFile {
    /// Takes the lock of the run in the folder `run`, and writes the id of this process into the lock file.
    ///
    /// # Errors
    /// [`RunFolderError::Locked`] with the id of the process that holds the lock, or a failure of the file system.
    pub fn acquire(run: &Path) -> Result<Self, RunFolderError> {
        let path = run.join(LOCK_FILE);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = file.map_err(|source| RunFolderError::from_io("open", &path, source))?;
        for attempts_left in (0..LOCK_ATTEMPTS).rev() {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if attempts_left > 0 => sleep(RETRY_DELAY),
                Err(TryLockError::WouldBlock) => return Err(locked_error(run, file)),
                Err(TryLockError::Error(source)) => return Err(RunFolderError::from_io("lock", &path, source)),
            }
        }
        write_pid(&mut file).map_err(|source| RunFolderError::from_io("write", &path, source))?;
        Ok(Self { file })
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // Closing the file would not release the lock while a forked process has a copy of it.
        let _ = self.file.unlock();
    }
}

/// Writes the id of this process, for the error of other processes.
fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())
}

/// The error that the run is locked, with the id of the process if it can be read.
fn locked_error(run: &Path, mut file: File) -> RunFolderError {
    let mut text = String::new();
    // Some systems do not let other processes read a locked file: then the error has no process id.
    let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
    RunFolderError::Locked { path: run.to_owned(), pid }
}
