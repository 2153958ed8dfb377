//! The objectives that a recipe can name.

use super::{Full, Masked, Objective, Prefix, Unified};
use kiln_models::ModelConfig;
use kiln_spec::{Card, Causality, Refusal, config::Nothing};

kiln_spec::choice! {
    /// What is trained for.
    pub enum ObjectiveConfig {
        /// The next token, from left to right.
        "full" => Full(Nothing) with super::full::CARD,
        /// The next token, after a part of the document that is seen whole (1910.10683).
        "prefix" => Prefix(Prefix) with Card::data("1910.10683"),
        /// Tokens that are left out, seen from both sides (1810.04805).
        "masked" => Masked(Masked) with Card { causality: Causality::BidirectionalOnly, ..Card::data("1810.04805") },
        /// Both directions, blanks and prefixes in one set of weights (1905.03197).
        "unified" => Unified(Unified) with Card::data("1905.03197"),
    }
}

impl Default for ObjectiveConfig {
    fn default() -> Self {
        Self::Full(Nothing {})
    }
}

impl ObjectiveConfig {
    /// The objective.
    pub fn build(&self) -> Box<dyn Objective> {
        match self {
            Self::Full(_) => Box::new(Full),
            Self::Prefix(prefix) => Box::new(prefix.clone()),
            Self::Masked(masked) => Box::new(masked.clone()),
            Self::Unified(unified) => Box::new(unified.clone()),
        }
    }

    /// Refuses a model that can't be trained for it, and options that can't be; `path` is where the objective stands.
    ///
    /// # Errors
    /// The first thing that can't be.
    pub fn check(&self, model: &ModelConfig, path: &str) -> Result<(), Refusal> {
        let objective = self.build();
        super::check_directions(&*objective, self.name(), model, path)?;
        objective.check(model, path)
    }
}
