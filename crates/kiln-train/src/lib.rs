//! Training: objective → step → stage → recipe → run.
//!
//! [`step`], [`objective`], [`optimiser`], [`schedule`] and [`evaluate`] know no files, threads or clocks; the feature
//! `files` adds the loop that writes run folders.
#![forbid(unsafe_code)]

pub mod average;
pub mod checkpoint;
mod error;
pub mod evaluate;
mod facts;
#[cfg(feature = "files")]
mod failure;
#[cfg(feature = "files")]
pub mod folder;
pub mod metrics;
pub mod objective;
pub mod optimiser;
#[cfg(feature = "files")]
pub mod pretrained;
pub mod recipe;
pub mod recompute;
#[cfg(feature = "files")]
pub mod run;
pub mod samples;
pub mod schedule;
pub mod stage;
pub mod step;
pub mod weights;

pub use error::{Flaw, RunError};
#[cfg(feature = "files")]
pub use failure::Failure;
pub use objective::{Models, Objective, ObjectiveConfig};
pub use recipe::Recipe;
pub use stage::StageConfig;
