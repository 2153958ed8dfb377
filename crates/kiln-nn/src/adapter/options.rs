//! Options of a method in a recipe.

use kiln_spec::ValidationError;
use std::{collections::BTreeMap, fmt::Debug};

/// Greatest rank. A rank of this size is no longer low for any layer: a larger number is a typing error.
pub(super) const MAX_RANK: usize = 1 << 16;

/// Options of an adapter method: what a recipe says about all sites, and the hyperparameters of each that follow.
pub trait AdapterOptions: Sized {
    /// Hyperparameters of the adapter of one site, as plain data.
    type Spec: Clone + PartialEq + Debug + Send;

    /// Checks the ranges of the options at `path`. NaN is out of every range.
    ///
    /// # Errors
    /// The first key with an invalid value.
    fn check(&self, path: &str) -> Result<(), ValidationError>;

    /// Checks the options against the number of optimizer steps of the stage.
    ///
    /// # Errors
    /// The first key with a value that does not fit.
    fn check_steps(&self, _path: &str, _steps: u64) -> Result<(), ValidationError> {
        Ok(())
    }

    /// Returns the patterns of the sites that get an adapter, empty for a method whose sites are always the same.
    fn targets(&self) -> &[String];

    /// Returns the dropout rate of the inputs.
    fn dropout(&self) -> f64 {
        0.0
    }

    /// Describes the size in a few words: `rank 8`; empty if there is none to choose.
    fn describe(&self) -> String;

    /// Returns patterns of the modules whose whole weights are trained too.
    fn modules_to_save(&self) -> &[String] {
        &[]
    }

    /// Returns groups of patterns: layers of one parent that patterns of one group match share the matrix A.
    fn shared_a(&self) -> &[Vec<String>] {
        &[]
    }

    /// Returns the options with these groups.
    #[must_use]
    fn with_shared_a(self, _groups: Vec<Vec<String>>) -> Self {
        self
    }

    /// Returns the number of virtual tokens before each document.
    fn num_virtual_tokens(&self) -> usize {
        0
    }

    /// Returns the hyperparameters at the site `path`, one of those that the patterns select.
    fn spec(&self, path: &str) -> Self::Spec;

    /// Returns the options that give these adapters, by the paths of their sites; `None` if no options do.
    fn from_specs(specs: &BTreeMap<String, Self::Spec>) -> Option<Self>;
}

/// Returns the error of the key `key` below `path`.
pub(super) fn invalid(path: &str, key: &str, expected: &str, found: impl Debug) -> ValidationError {
    ValidationError::new(format!("{path}.{key}"), format!("expected {expected}, found {found:?}"))
}

/// Checks a rank.
pub(super) fn check_rank(rank: usize, path: &str) -> Result<(), ValidationError> {
    check_rank_at(rank, path, "rank")
}

/// Checks a rank of another key.
pub(super) fn check_rank_at(rank: usize, path: &str, key: &str) -> Result<(), ValidationError> {
    match rank {
        1..=MAX_RANK => Ok(()),
        _ => Err(invalid(path, key, &format!("a rank from 1 to {MAX_RANK}"), rank)),
    }
}

/// Checks a dropout rate.
pub(super) fn check_dropout(dropout: f64, path: &str) -> Result<(), ValidationError> {
    match dropout {
        rate if (0.0..1.0).contains(&rate) => Ok(()),
        rate => Err(invalid(path, "dropout", "a number of at least 0 and below 1", rate)),
    }
}

/// Returns the value that all specs share; `None` if there are none, or they differ.
pub(super) fn common<T: Clone + PartialEq>(specs: &BTreeMap<String, T>) -> Option<T> {
    let first = specs.values().next()?;
    specs.values().all(|spec| spec == first).then(|| first.clone())
}
