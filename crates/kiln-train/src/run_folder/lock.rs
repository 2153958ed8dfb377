//! One process a run. The system releases the lock when its process ends, however it ends.
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::RunPaths;
use crate::run_folder_error::RunFolderError;

/// A held lock; dropping it lets go.
#[derive(Debug)]
pub struct RunLock {
    file: File,
}

/// A process that was just killed may hold its lock for a moment.
const LOCK_ATTEMPTS: u32 = 10;
const RETRY_DELAY: Duration = Duration::from_millis(20);

impl RunLock {
    /// Takes the lock of a run, or says which process has it.
    pub fn acquire(paths: &RunPaths) -> Result<Self, RunFolderError> {
        let path = paths.lock_file();
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = file.map_err(|source| RunFolderError::from_io("open", &path, source))?;
        for left in (0..LOCK_ATTEMPTS).rev() {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if left > 0 => sleep(RETRY_DELAY),
                Err(TryLockError::WouldBlock) => return Err(locked_error(paths.root(), file)),
                Err(TryLockError::Error(source)) => return Err(RunFolderError::from_io("lock", &path, source)),
            }
        }
        write_pid(&mut file).map_err(|source| RunFolderError::from_io("write", &path, source))?;
        Ok(Self { file })
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // Closing alone would leave it to a process that was forked from this one and has not closed its copy yet.
        let _ = self.file.unlock();
    }
}

/// Writes who has it, for the message that another process gives.
fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())
}

fn locked_error(run: &Path, mut file: File) -> RunFolderError {
    let mut text = String::new();
    // Some systems keep others from reading a locked file: the message then goes without the number.
    let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
    RunFolderError::Locked { path: run.to_owned(), pid }
}
