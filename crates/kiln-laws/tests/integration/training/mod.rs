//! Training: optimizers against reference values, gradient accumulation, runs that are stopped, killed and resumed,
//! losses near the entropy of the corpus.

mod accumulation;
mod adalora;
mod adamw;
mod adapters;
mod auxiliary_loss;
mod clip;
mod contrastive_runs;
mod data_order;
mod data_settings;
mod ema;
mod entropy_floor;
mod evaluation;
mod external_objectives;
mod frozen_models;
mod golden;
mod kill;
mod muon;
mod not_finite;
mod objectives;
mod packed_base;
mod precision;
mod preference;
mod recompute;
mod resume;
mod retrieval;
pub(crate) mod runs;
mod selection_bias;
mod stage_lengths;
mod stages;
mod start_from;
mod subprocess;
mod threads;
pub(crate) mod toy;
mod trainable;
mod two_streams;
