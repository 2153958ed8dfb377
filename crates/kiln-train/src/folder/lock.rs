//! One process a run. The system releases the lock when its process ends, however it ends.
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::RunPaths;
use crate::error::RunError;

/// A held lock; dropping it lets go.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// A process that was just killed may hold its lock for a moment.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(20);

impl Lock {
    /// Takes the lock of a run, or says which process has it.
    pub fn take(paths: &RunPaths) -> Result<Self, RunError> {
        let path = paths.lock();
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = file.map_err(|source| RunError::io("open", &path, source))?;
        for left in (0..TRIES).rev() {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if left > 0 => sleep(PAUSE),
                Err(TryLockError::WouldBlock) => return Err(held(paths.root(), file)),
                Err(TryLockError::Error(source)) => return Err(RunError::io("lock", &path, source)),
            }
        }
        sign(&mut file).map_err(|source| RunError::io("write", &path, source))?;
        Ok(Self { file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone would leave it to a process that was forked from this one and has not closed its copy yet.
        let _ = self.file.unlock();
    }
}

/// Writes who has it, for the message that another process gives.
fn sign(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())
}

fn held(run: &Path, mut file: File) -> RunError {
    let mut text = String::new();
    // Some systems keep others from reading a locked file: the message then goes without the number.
    let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
    RunError::Locked { path: run.to_owned(), pid }
}
