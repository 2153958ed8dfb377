//! Training is exact: the optimizer's numbers, one batch in parts, runs that are stopped, killed and resumed, and a
//! loss that comes near the floor and not below it.

mod accumulation;
mod adamw;
mod adapters;
mod auxiliary_loss;
mod clip;
mod data_order;
mod ema;
mod entropy_floor;
mod golden;
mod kill;
mod muon;
mod not_finite;
mod objectives;
mod recompute;
mod resume;
mod runs;
mod stages;
mod start_from;
mod subprocess;
mod threads;
mod toy;
mod trainable;
mod two_streams;
