//! What a language model is made of, without the tensors: who sees whom, random numbers, configuration.
//!
//! * [`layout`]: marks, the only truth about the geometry of a batch;
//! * [`card`]: what is known of a variant;
//! * [`formula`] and [`pattern`]: the only truth about visibility, with three readings;
//! * [`plan`]: what follows from both before anything is computed;
//! * [`config`]: configuration that is plain data, checked when it is read;
//! * [`random`]: the one generator of random numbers;
//! * [`wildcard`]: groups of things by their names.
#![forbid(unsafe_code)]

mod cache_policy;
pub mod card;
pub mod config;
pub mod formula;
pub mod layout;
pub mod pattern;
pub mod plan;
pub mod random;
mod tiles;
pub mod wildcard;

pub use card::{Card, Causality, VariantFamily};
pub use config::ValidationError;
pub use formula::{Formula, TileCoverage};
pub use layout::{Direction, DocumentSpan, Layout, TokenMark};
pub use pattern::Pattern;
pub use random::Random;
