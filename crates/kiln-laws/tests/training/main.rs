//! Training is exact: the optimiser's numbers, one batch in parts, runs that are stopped, killed and resumed, and a
//! loss that comes near the floor and not below it.

mod accumulation;
mod adamw;
mod adapters;
mod added;
mod child;
mod clip;
mod ema;
mod floor;
mod from;
mod golden;
mod kill;
mod muon;
mod not_finite;
mod objectives;
mod order;
mod recompute;
mod resume;
mod runs;
mod stages;
mod threads;
mod toy;
mod trains;
mod two_streams;
