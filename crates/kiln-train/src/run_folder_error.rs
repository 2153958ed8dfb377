//! What can go wrong with a run's files, what to do about it, and a word for machines.
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// An error of a run: its folder, checkpoints or metrics.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunFolderError {
    /// The disk, a quota or the limit on file sizes is used up.
    #[error("cannot {operation} {}: no space left ({source})", path.display())]
    DiskFull {
        /// What was being done.
        operation: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The user may not write there.
    #[error("cannot {operation} {}: it may not be written ({source})", path.display())]
    NotWritable {
        /// What was being done.
        operation: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Any other failure of the file system.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was being done.
        operation: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A new run was to start in a folder that is already used.
    #[error("{}: expected a new or empty folder, found {found}", path.display())]
    FolderExists {
        /// The folder.
        path: PathBuf,
        /// What is there.
        found: String,
    },
    /// A run was to be opened where there is none.
    #[error("{}: expected a run folder with recipe.toml, found {found}", path.display())]
    NotRunFolder {
        /// The folder.
        path: PathBuf,
        /// What is there.
        found: String,
    },
    /// Another process holds the run.
    #[error("{}: in use by {}", path.display(), LockOwner(*pid))]
    Locked {
        /// The run folder.
        path: PathBuf,
        /// The process that holds it, if it could be read.
        pid: Option<u32>,
    },
    /// A file of a checkpoint is not what its checkpoint says it is.
    #[error("{}: expected {}, found {}", file.display(), error.expected, error.found)]
    DamagedCheckpoint {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        error: CheckpointError,
        /// Steps of the other checkpoints beside it, ascending.
        other_steps: Vec<u64>,
    },
    /// A checkpoint belongs to another recipe, tokenizer or corpus than the run that wants to go on from it.
    #[error("{}: saved with {part} {saved_fingerprint}, found {part} {found_fingerprint}", folder.display())]
    FingerprintMismatch {
        /// The checkpoint.
        folder: PathBuf,
        /// `recipe`, `tokenizer` or `corpus`.
        part: &'static str,
        /// Fingerprint in the checkpoint.
        saved_fingerprint: String,
        /// Fingerprint of what the run has now.
        found_fingerprint: String,
    },
    /// A line of the metrics file is none.
    #[error("{}:{line}: expected a line of metrics, found {found}", path.display())]
    InvalidMetrics {
        /// The metrics file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is there.
        found: String,
    },
}

/// What is wrong with bytes that should be a checkpoint's file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found}")]
pub struct CheckpointError {
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl CheckpointError {
    /// A flaw from the two halves of its sentence.
    pub fn new(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { expected: expected.into(), found: found.into() }
    }
}

impl RunFolderError {
    /// A failure of the file system while `doing` (such as `write`) something to `path`.
    pub fn from_io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        use io::ErrorKind::{FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let path = path.to_owned();
        match source.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => Self::DiskFull { operation: doing, path, source },
            PermissionDenied | ReadOnlyFilesystem => Self::NotWritable { operation: doing, path, source },
            _ => Self::Io { operation: doing, path, source },
        }
    }

    /// A short word for machines.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::DiskFull { .. } => "disk-full",
            Self::NotWritable { .. } => "not-writable",
            Self::Io { .. } => "io",
            Self::FolderExists { .. } => "exists",
            Self::NotRunFolder { .. } => "not-a-run",
            Self::Locked { .. } => "locked",
            Self::DamagedCheckpoint { .. } => "damaged",
            Self::FingerprintMismatch { .. } => "mismatch",
            Self::InvalidMetrics { .. } => "metrics",
        }
    }

    /// The file or folder that it is about.
    pub fn location(&self) -> &Path {
        match self {
            Self::DiskFull { path, .. } | Self::NotWritable { path, .. } | Self::Io { path, .. } => path,
            Self::FolderExists { path, .. } | Self::NotRunFolder { path, .. } | Self::Locked { path, .. } => path,
            Self::DamagedCheckpoint { file, .. } => file,
            Self::FingerprintMismatch { folder, .. } => folder,
            Self::InvalidMetrics { path, .. } => path,
        }
    }

    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::DiskFull { .. } => "free some space, then resume: what was saved before is untouched".into(),
            Self::NotWritable { .. } => "name another place with --out, or have somebody let you write there".into(),
            Self::Io { .. } => return None,
            Self::FolderExists { path, .. } => {
                format!("name another folder with --out, or go on with that run: --resume {}", path.display())
            }
            Self::NotRunFolder { .. } => "name the folder that holds recipe.toml".into(),
            Self::Locked { pid: Some(pid), .. } => format!("wait for process {pid} or end it; its lock ends with it"),
            Self::Locked { pid: None, .. } => "wait for that process or end it; its lock ends with it".into(),
            Self::DamagedCheckpoint { file, other_steps: others, .. } => recovery_hint(file, others),
            Self::FingerprintMismatch { part: what, .. } => {
                format!("bring back the {what} that the run started with, or start a new run")
            }
            Self::InvalidMetrics { path, line, .. } => format!("remove line {line} of {}", path.display()),
        })
    }
}

/// How to go on without the checkpoint that `file` belongs to.
fn recovery_hint(file: &Path, others: &[u64]) -> String {
    let folder = file.parent().unwrap_or(file).display();
    let next = match others.last() {
        Some(step) => format!("the run then goes on from step {step}"),
        None => "there is no other checkpoint, so the run then starts at step 0".into(),
    };
    format!("restore the file, or rename {folder} to {folder}.damaged and resume: {next}")
}

struct LockOwner(Option<u32>);

impl fmt::Display for LockOwner {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "process {pid}"),
            None => f.write_str("another process"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn what_the_system_says_becomes_a_kind() {
        // ENOSPC, EFBIG, EACCES, EPERM, EROFS, ENOTDIR: the same numbers on every Unix.
        let cases = [
            (28, "disk-full"),
            (27, "disk-full"),
            (13, "not-writable"),
            (1, "not-writable"),
            (30, "not-writable"),
            (20, "io"),
        ];
        for (code, kind) in cases {
            let error = RunFolderError::from_io("write", Path::new("runs/a/lock"), io::Error::from_raw_os_error(code));
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().starts_with("cannot write runs/a/lock: "), "{error}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_device_is_a_full_disk() {
        let path = Path::new("/dev/full");
        let error =
            std::fs::write(path, "x").map_err(|source| RunFolderError::from_io("write", path, source)).unwrap_err();
        assert_eq!(error.kind(), "disk-full");
    }

    #[test]
    fn damage_names_the_checkpoint_to_go_on_from() {
        let file = PathBuf::from("run/checkpoints/step-000300/model.safetensors");
        let damaged = |others| RunFolderError::DamagedCheckpoint {
            file: file.clone(),
            error: CheckpointError::new("a file", "nothing"),
            other_steps: others,
        };
        let folder = "run/checkpoints/step-000300";
        let help = damaged(vec![100, 200]).help().unwrap();
        assert!(help.contains(&format!("rename {folder} to {folder}.damaged")), "{help}");
        assert!(help.ends_with("from step 200"), "{help}");
        assert!(damaged(vec![]).help().unwrap().ends_with("at step 0"));
    }
}
