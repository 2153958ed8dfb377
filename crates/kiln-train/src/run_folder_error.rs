//! Errors of run folders, checkpoints and metrics files, with help and a code for machines.
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Error of the files of a run: its folder, checkpoints or metrics.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunFolderError {
    /// The disk is full, or a quota or a limit on file sizes is reached.
    #[error("cannot {operation} {}: no space left ({source})", path.display())]
    DiskFull {
        /// The failed operation, such as `write`.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The user has no permission to write.
    #[error("cannot {operation} {}: permission denied ({source})", path.display())]
    NotWritable {
        /// The failed operation, such as `write`.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// Another failure of the file system.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// The failed operation, such as `write`.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The folder for a new run is used.
    #[error("{}: expected a new or empty folder, found {found}", path.display())]
    FolderExists {
        /// The folder.
        path: PathBuf,
        /// What was found there.
        found: String,
    },
    /// The folder is not a run folder.
    #[error("{}: expected a run folder with recipe.toml, found {found}", path.display())]
    NotRunFolder {
        /// The folder.
        path: PathBuf,
        /// What was found there.
        found: String,
    },
    /// The run has no such checkpoint.
    #[error("{}: the run has no checkpoint `{wanted}`, found {}", run.display(), SavedSteps(saved))]
    NoCheckpoint {
        /// The run folder.
        run: PathBuf,
        /// What was asked for: a step of the run, or another word.
        wanted: String,
        /// The steps with a checkpoint, counted over the whole run, ascending.
        saved: Vec<u64>,
    },
    /// Another process holds the lock of the run.
    #[error("{}: in use by {}", path.display(), LockOwner(*pid))]
    Locked {
        /// The run folder.
        path: PathBuf,
        /// The id of that process, if it could be read.
        pid: Option<u32>,
    },
    /// A file of a checkpoint is missing or damaged.
    #[error("{}: expected {}, found {}", file.display(), error.expected, error.found)]
    DamagedCheckpoint {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        error: CheckpointError,
        /// Steps of the other checkpoints of the stage, ascending.
        other_steps: Vec<u64>,
    },
    /// The checkpoint was saved with another recipe, tokenizer or corpus.
    #[error("{}: the {part} has changed since the checkpoint was saved: fingerprint {saved_fingerprint}, now {found_fingerprint}", folder.display())]
    FingerprintMismatch {
        /// The checkpoint.
        folder: PathBuf,
        /// `recipe`, `tokenizer` or `corpus`.
        part: &'static str,
        /// Its fingerprint in the checkpoint.
        saved_fingerprint: String,
        /// Its fingerprint now.
        found_fingerprint: String,
    },
    /// A line of the metrics file is not a valid row.
    #[error("{}:{line}: expected a metrics record, found {found}", path.display())]
    InvalidMetrics {
        /// The metrics file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What was found there.
        found: String,
    },
}

/// Error in the content of a checkpoint file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found}")]
pub struct CheckpointError {
    /// The expected content.
    pub expected: String,
    /// The content that was found.
    pub found: String,
}

impl CheckpointError {
    /// The error "expected `expected`, found `found`".
    pub fn new(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { expected: expected.into(), found: found.into() }
    }
}

impl RunFolderError {
    /// The error of a failed `operation`, such as `write`, on `path`, by the kind of `source`.
    pub fn from_io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        use io::ErrorKind::{FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let path = path.to_owned();
        match source.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => Self::DiskFull { operation, path, source },
            PermissionDenied | ReadOnlyFilesystem => Self::NotWritable { operation, path, source },
            _ => Self::Io { operation, path, source },
        }
    }

    /// Short code for machines, such as `disk-full`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::DiskFull { .. } => "disk-full",
            Self::NotWritable { .. } => "not-writable",
            Self::Io { .. } => "io",
            Self::FolderExists { .. } => "exists",
            Self::NotRunFolder { .. } => "not-a-run",
            Self::NoCheckpoint { .. } => "no-checkpoint",
            Self::Locked { .. } => "locked",
            Self::DamagedCheckpoint { .. } => "damaged",
            Self::FingerprintMismatch { .. } => "mismatch",
            Self::InvalidMetrics { .. } => "metrics",
        }
    }

    /// The file or folder of the error.
    pub fn location(&self) -> &Path {
        match self {
            Self::DiskFull { path, .. } | Self::NotWritable { path, .. } | Self::Io { path, .. } => path,
            Self::FolderExists { path, .. } | Self::NotRunFolder { path, .. } | Self::Locked { path, .. } => path,
            Self::NoCheckpoint { run, .. } => run,
            Self::DamagedCheckpoint { file, .. } => file,
            Self::FingerprintMismatch { folder, .. } => folder,
            Self::InvalidMetrics { path, .. } => path,
        }
    }

    /// What to do about the error, if something is known.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::DiskFull { .. } => "free some space, then resume the run: its checkpoints are unchanged".into(),
            Self::NotWritable { .. } => "choose another folder with --out, or change the permissions".into(),
            Self::Io { .. } => return None,
            Self::FolderExists { path, .. } => {
                format!("choose another folder with --out, or resume that run: --resume {}", path.display())
            }
            Self::NotRunFolder { .. } => "give a folder with a recipe.toml".into(),
            Self::NoCheckpoint { run, .. } => {
                let run = run.display();
                format!("give `{run}@STEP` with one of these steps, `{run}@best` or `{run}@last`")
            }
            Self::Locked { pid: Some(pid), .. } => {
                format!("wait for process {pid}, or end it: the lock ends with the process")
            }
            Self::Locked { pid: None, .. } => "wait for that process, or end it: the lock ends with the process".into(),
            Self::DamagedCheckpoint { file, other_steps, .. } => recovery_hint(file, other_steps),
            Self::FingerprintMismatch { part, .. } => {
                format!("restore the {part} that the run was started with, or start a new run")
            }
            Self::InvalidMetrics { path, line, .. } => format!("remove line {line} of {}", path.display()),
        })
    }
}

/// How to resume the run without the checkpoint that `file` belongs to.
fn recovery_hint(file: &Path, other_steps: &[u64]) -> String {
    let folder = file.parent().unwrap_or(file).display();
    let next = match other_steps.last() {
        Some(step) => format!("the run then continues from step {step}"),
        None => "there is no other checkpoint, so the run then starts at step 0".into(),
    };
    format!("restore the file, or rename {folder} to {folder}.damaged and resume: {next}")
}

/// The steps with a checkpoint, for messages.
struct SavedSteps<'a>(&'a [u64]);

impl fmt::Display for SavedSteps<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let steps: Vec<String> = self.0.iter().map(u64::to_string).collect();
        match &steps[..] {
            [] => f.write_str("none"),
            steps => write!(f, "those of the steps {}", steps.join(", ")),
        }
    }
}

/// The process that holds a lock, for messages.
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
    fn errors_of_the_system_have_a_kind() {
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
    fn damage_names_the_checkpoint_to_resume_from() {
        let file = PathBuf::from("run/checkpoints/step-000300/model.safetensors");
        let damaged = |other_steps| RunFolderError::DamagedCheckpoint {
            file: file.clone(),
            error: CheckpointError::new("a file", "nothing"),
            other_steps,
        };
        let folder = "run/checkpoints/step-000300";
        let help = damaged(vec![100, 200]).help().unwrap();
        assert!(help.contains(&format!("rename {folder} to {folder}.damaged")), "{help}");
        assert!(help.ends_with("from step 200"), "{help}");
        assert!(damaged(vec![]).help().unwrap().ends_with("at step 0"));
    }
}
