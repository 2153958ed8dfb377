//! One process a run. The system releases the lock when its process ends, however it ends.
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;

use super::RunPaths;
use crate::error::RunError;

/// A held lock; dropping it lets go.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of a run, or says which process has it.
    pub fn take(paths: &RunPaths) -> Result<Self, RunError> {
        let path = paths.lock();
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = file.map_err(|source| RunError::io("open", &path, source))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(paths.root(), file)),
            Err(TryLockError::Error(source)) => return Err(RunError::io("lock", &path, source)),
        }
        sign(&mut file).map_err(|source| RunError::io("write", &path, source))?;
        Ok(Self { _file: file })
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
