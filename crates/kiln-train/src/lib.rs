//! Training: recipes, objectives, optimizers, schedules, and runs that can be resumed.
//!
//! The types in the order of data flow:
//!
//! 1. [`Recipe`] is the configuration of a run. It holds one [`StageConfig`] for each training stage, and lengths and
//!    intervals as [`StepsOrFraction`].
//! 2. [`Objective`] makes a batch of packed documents and computes its loss. [`ObjectiveConfig`] names the four built-in
//!    objectives: [`full`](objective::Full), [`prefix`](objective::Prefix), [`masked`](objective::Masked) and
//!    [`unified`](objective::Unified).
//! 3. [`step::compute_gradients`] computes the gradients of the loss of a batch. [`step::Gradients::apply`] clips them and
//!    passes them to the [`optimizer`], with the learning rate of the [`schedule`]. [`ema`] averages the weights.
//! 4. [`evaluate`] computes the loss of validation documents, and [`samples`] generates texts.
//! 5. [`metrics`] are the rows of `metrics.jsonl`, and [`checkpoint`] is everything that is needed to resume a run.
//! 6. With the feature `files`, `run` is the training loop that writes a `run_folder`, and resumes a run to the same bits.
//!
//! All modules of items 1 to 5 work without files, threads and clocks; [`checkpoint`] has a part that needs `files`.
//!
//! One training step of a tiny model:
//!
//! ```
//! use burn::tensor::Device;
//! use kiln_data::{Batch, Segment};
//! use kiln_models::Model;
//! use kiln_nn::context::RngKey;
//! use kiln_train::{Models, Recipe, optimizer::Optimizer, step::compute_gradients};
//!
//! let mut recipe = Recipe::default();
//! recipe.model.vocab = 11;
//! recipe.model.hidden = 16;
//! recipe.stages[0].steps = 10;
//! recipe.resolve();
//! recipe.check()?;
//!
//! let stage = &recipe.stages[0];
//! let objective = stage.objective.build();
//! let mut optimizer = Optimizer::new(&stage.optimizer);
//! let mut models = Models::new(Model::init(&recipe.model, recipe.seed, &Device::flex().autodiff()));
//!
//! let segment =
//!     Segment { inputs: vec![1, 2, 3], targets: vec![2, 3, 4], weights: vec![1.0; 3], ..Segment::default() };
//! let batch = Batch::from_rows(&[vec![segment]], 3, 0)?;
//! let rng_key = RngKey { seed: recipe.seed, step: 0, micro_batch: 0 };
//! let gradients = compute_gradients(&models, &[batch], &*objective, rng_key);
//! let loss: f32 = gradients.loss.clone().into_scalar();
//! assert!((loss - 11f32.ln()).abs() < 1.0);
//!
//! let learning_rate = stage.schedule.learning_rate(1, stage.steps);
//! models.policy = gradients.apply(models.policy, &mut optimizer, learning_rate, stage.max_grad_norm);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod after_step;
pub mod checkpoint;
pub mod early_stopping;
pub mod ema;
pub mod evaluate;
mod expert_loads;
pub mod frozen;
pub mod gradient_checkpointing;
pub mod metrics;
mod models;
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
mod shared_parameters;
pub mod stage;
pub mod state_dict;
pub mod step;
mod steps_or_fraction;
#[cfg(feature = "files")]
mod train_error;

pub use objective::{Models, Objective, ObjectiveConfig};
pub use recipe::Recipe;
pub use run_folder_error::{CheckpointError, RunFolderError};
pub use stage::StageConfig;
pub use steps_or_fraction::StepsOrFraction;
#[cfg(feature = "files")]
pub use train_error::TrainError;
