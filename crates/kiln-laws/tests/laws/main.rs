//! The laws.

mod attention;
mod batches;
mod cache;
mod configs;
mod cross_entropy;
mod dropout;
mod fixtures;
mod gradients;
mod heads;
mod identities;
mod names;
mod norms;
mod reading;
mod rotary;
mod rounding;
