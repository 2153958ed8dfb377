//! Runs as zip files, to move them between a disk and a page in a browser.
//!
//! [`pack_run`] writes the files of a run into a zip file, below one folder with the name of the run. [`RunArchive`] reads such
//! a file, and one without that folder. Other programs can read and write the files: they are ordinary zip files with the
//! method `deflate`, or no compression.
//!
//! A zip file is untrusted: names cannot lead out of the run's folder, and sizes are checked before memory is allocated.
//!
//! ```
//! use kiln_train::{run_folder::RunPaths, storage::{MemoryStorage, RunArchive, pack_run}};
//! use std::sync::Arc;
//!
//! let page = Arc::new(MemoryStorage::from_files([("runs/tiny/recipe.toml", b"version = 1\n".to_vec())]));
//! let zip = pack_run(&RunPaths::open_in(page, "runs/tiny".as_ref())?)?;
//!
//! let elsewhere = Arc::new(MemoryStorage::new());
//! let run = RunArchive::open(&zip)?.unpack(elsewhere, None)?;
//! assert_eq!(run.root().to_str(), Some("runs/tiny"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
mod error;
mod names;
mod pack;
mod read;
#[cfg(test)]
mod tests;

pub use error::ArchiveError;
pub use pack::pack_run;
pub use read::RunArchive;
