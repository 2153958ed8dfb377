//! The laws.

mod attention;
mod batches;
mod configs;
mod cross_entropy;
mod depth;
mod dropout;
mod fixtures;
mod gradients;
mod heads;
mod identities;
mod junctions;
mod names;
mod reading;
mod recompute;
mod rotary;
mod rounding;
