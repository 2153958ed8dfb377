//! The laws.

mod attention;
mod batches;
mod configs;
mod cross_entropy;
mod dropout;
mod experts;
mod fixtures;
mod gla;
mod gradients;
mod heads;
mod identities;
mod names;
mod reading;
mod rotary;
mod rounding;
