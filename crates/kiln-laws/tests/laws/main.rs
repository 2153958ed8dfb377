//! The laws.

mod attention;
mod batches;
mod cache;
mod configs;
mod cross_entropy;
mod depth;
mod dropout;
mod experts;
mod fixtures;
mod gla;
mod gradients;
mod heads;
mod identities;
mod junctions;
mod latent;
mod names;
mod pooling;
mod positions;
mod probes;
mod reading;
mod recompute;
mod rotary;
mod rounding;
mod scores;
mod stacks;
mod transformer;
