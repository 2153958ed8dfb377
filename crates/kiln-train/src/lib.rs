//! Training: objective → step → stage → recipe → run.
//!
//! [`step`], [`objective`], [`optimiser`], [`schedule`] and [`evaluate`] know no files, threads or clocks; the feature
//! `files` adds the loop that writes run folders.
#![forbid(unsafe_code)]

pub mod checkpoint;
pub mod ema;
pub mod evaluate;
pub mod gradient_checkpointing;
pub mod metrics;
pub mod objective;
pub mod optimizer;
#[cfg(feature = "files")]
pub mod pretrained;
pub mod recipe;
#[cfg(feature = "files")]
pub mod run;
#[cfg(feature = "files")]
pub mod run_folder;
mod run_folder_error;
pub mod samples;
pub mod schedule;
pub mod stage;
pub mod state_dict;
pub mod step;
mod steps_or_fraction;
mod story_reference;
#[cfg(feature = "files")]
mod train_error;

pub use objective::{Models, Objective, ObjectiveConfig};
pub use recipe::Recipe;
pub use run_folder_error::{CheckpointError, RunFolderError};
pub use stage::StageConfig;
pub use steps_or_fraction::StepsOrFraction;
#[cfg(feature = "files")]
pub use train_error::TrainError;
