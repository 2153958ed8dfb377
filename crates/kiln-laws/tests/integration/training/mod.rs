//! Training: optimizers against reference values, gradient accumulation, runs that are stopped, killed and resumed,
//! losses near the entropy of the corpus.

mod accumulation;
mod adamw;
mod adapters;
mod auxiliary_loss;
mod clip;
mod data_order;
mod data_settings;
mod ema;
mod entropy_floor;
mod evaluation;
mod external_objectives;
mod golden;
mod kill;
mod muon;
mod not_finite;
mod objectives;
mod recompute;
mod resume;
pub(crate) mod runs;
mod stage_lengths;
mod stages;
mod start_from;
mod subprocess;
mod threads;
mod toy;
mod trainable;
mod two_streams;
