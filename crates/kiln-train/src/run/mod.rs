//! Training runs: `text → Tokenizer → Corpus → Batch → Model → Objective → step → Checkpoint`.
//!
//! `start` trains a recipe in a new run folder on disk. `resume` continues a run from its last checkpoint to the same bits.
//! `load` loads the trained model. They need the feature `files`.
//!
//! [`start_in`], [`resume_in`] and [`load_in`] are the same for a run in any [`Storage`](crate::storage::Storage), and need
//! no files, threads, clocks or blocking reads from the device: what they need of the program is in an [`Environment`]. A
//! page in a browser trains with them in memory. Both forms run one loop and write the same files: a run that was started in
//! one is resumed in the other.
//!
//! Kiln has its own training loop: Burn's learner counts in epochs, saves between epochs only, and does not save the
//! position in the data. Gradients and their accumulation are Burn's.

mod check_sources;
mod checkpoint_choice;
mod corpora;
mod data;
mod data_settings;
mod diagnose;
mod environment;
mod epochs;
mod frozen;
mod frozen_tokens;
mod load;
mod memory;
mod name_patterns;
#[cfg(feature = "files")]
mod native;
mod objectives;
mod precision;
mod precompute;
mod progress;
mod recipe_file;
mod setup;
mod stage_output;
mod stage_run;
mod stage_step;
mod stages;
mod start;
#[cfg(test)]
mod tests;

#[cfg(feature = "files")]
pub use checkpoint_choice::split_checkpoint;
pub use checkpoint_choice::{CheckpointChoice, RunCheckpoint};
#[cfg(feature = "files")]
pub use data::token_storage;
pub use data::{is_builtin_stories, open_data};
pub use diagnose::find_non_finite;
pub use environment::{BatchFunction, Batches, Environment, Runtime, Untimed};
pub use frozen::{FrozenModelSize, frozen_model_sizes, load_frozen_models};
pub use load::{LoadedRun, load_in, load_tokenizer};
#[cfg(feature = "files")]
pub use load::{load, load_checkpoint, load_checkpoint_as};
pub use memory::{TrainingMemory, training_memory};
#[cfg(feature = "files")]
pub use native::{NativeRuntime, resume, resume_with_objectives, start, start_with_objectives};
pub use objectives::ObjectiveFactory;
pub use progress::{ProgressEvent, ProgressListener};
pub use recipe_file::{load_metrics, load_recipe};
pub use setup::model_config;
pub use start::{resume_in, start_in};

use burn::tensor::Device;
use load::load_weights;
use std::{path::PathBuf, sync::atomic::AtomicBool};

/// Environment of a run: device, stop flag and progress listener.
pub struct RunContext<'a> {
    /// Device of the computation, without autodiff.
    pub device: Device,
    /// When it is set, the run completes its step, saves a checkpoint and returns. While data are read, it returns at once.
    pub stop_flag: &'a AtomicBool,
    /// Listener for progress events.
    pub listener: &'a mut dyn ProgressListener,
}

/// Result of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunOutcome {
    /// The run folder.
    pub folder: PathBuf,
    /// Number of completed steps, and number of all steps, of the last stage that was run.
    pub steps: (u64, u64),
    /// Whether the run was stopped by the stop flag.
    pub interrupted: bool,
}
