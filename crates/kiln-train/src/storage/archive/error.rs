//! Errors of zip files of runs.
use zip::result::ZipError;

use crate::run_folder_error::RunFolderError;

/// Error of a zip file of a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The bytes are not a zip file.
    #[error("expected a zip file, found {found}")]
    NotZip {
        /// What was found.
        found: String,
    },
    /// The zip file is truncated or otherwise damaged.
    #[error("the zip file is damaged{}: {reason}", InFile(file))]
    Damaged {
        /// The file in it that cannot be read, if it is one.
        file: Option<String>,
        /// What is wrong.
        reason: String,
    },
    /// A file in the zip file is stored in a way that is not supported.
    #[error("{file}: unsupported {found} in a zip file, supported: files that are stored or compressed with deflate")]
    Unsupported {
        /// The file.
        file: String,
        /// How it is stored.
        found: String,
    },
    /// The zip file does not contain a run.
    #[error("expected a zip file of a run folder with recipe.toml, found {found}")]
    NotRun {
        /// What was found.
        found: String,
    },
    /// The name of a file could lead out of the run's folder, or cannot be stored on all systems.
    #[error("file name {name:?}: expected a relative path with `/`, found {found}")]
    UnsafeName {
        /// The name.
        name: String,
        /// The part of it that is refused.
        found: &'static str,
    },
    /// Two files in the zip file have the same name.
    #[error("the zip file has two files with the same name")]
    DuplicateName,
    /// The files are larger than the limit.
    #[error("the files in the zip file have {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Size of all files together in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The run cannot be read from its storage, or written into it.
    #[error(transparent)]
    RunFolder(#[from] RunFolderError),
}

/// ` in file NAME`, or nothing.
struct InFile<'a>(&'a Option<String>);

impl std::fmt::Display for InFile<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self.0 {
            Some(file) => write!(f, " in file {file}"),
            None => Ok(()),
        }
    }
}

impl ArchiveError {
    /// The error of the library that reads zip files; `file` is the file that it was reading.
    pub(super) fn from_zip(file: Option<&str>, error: ZipError) -> Self {
        let name = file.unwrap_or("a file").to_owned();
        match error {
            ZipError::UnsupportedArchive(found) => Self::Unsupported { file: name, found: found.into() },
            ZipError::CompressionMethodNotSupported(method) => {
                Self::Unsupported { file: name, found: format!("compression method {method}") }
            }
            ZipError::InvalidArchive(reason) => Self::damaged(file, reason),
            ZipError::Io(error) => Self::damaged(file, error.to_string()),
            error => Self::damaged(file, error.to_string()),
        }
    }

    pub(super) fn damaged(file: Option<&str>, reason: impl Into<String>) -> Self {
        Self::Damaged { file: file.map(str::to_owned), reason: reason.into() }
    }

    /// Short code for machines, such as `not-a-zip`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotZip { .. } => "not-a-zip",
            Self::Damaged { .. } => "zip-damaged",
            Self::Unsupported { .. } => "zip-unsupported",
            Self::NotRun { .. } => "not-a-run",
            Self::UnsafeName { .. } => "zip-name",
            Self::DuplicateName => "zip-duplicate",
            Self::TooLarge { .. } => "zip-size",
            Self::RunFolder(error) => error.kind(),
        }
    }

    /// What to do about the error.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::NotZip { .. } => "give the zip file of a run folder".into(),
            Self::Damaged { .. } => "download or copy the file again".into(),
            Self::Unsupported { .. } => "zip the run folder again, with the default settings and no password".into(),
            Self::NotRun { .. } => "zip a run folder: it has a recipe.toml".into(),
            Self::UnsafeName { .. } | Self::DuplicateName => "zip the run folder again".into(),
            Self::TooLarge { .. } => "unpack the file on a disk, and remove checkpoints that are not needed".into(),
            Self::RunFolder(error) => return error.help(),
        })
    }
}
