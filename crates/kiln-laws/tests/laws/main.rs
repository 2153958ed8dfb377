//! The laws.

mod attention;
mod batches;
mod configs;
mod cross_entropy;
mod dropout;
mod fixtures;
mod gradients;
mod heads;
mod identities;
mod names;
mod objectives;
mod reading;
mod rotary;
mod rounding;
