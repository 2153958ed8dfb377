//! The built-in objectives, by their names in a recipe.

use super::{Answers, Full, Masked, Objective, Prefix, Unified};
use kiln_models::ModelConfig;
use kiln_spec::{Card, Causality, ValidationError, config::NoOptions};

kiln_spec::choice! {
    /// Training objective.
    pub enum ObjectiveConfig {
        /// Causal language modeling: predict the next token. Alias: `causal_lm`.
        "full" | "causal_lm" => Full(NoOptions) with super::full::CARD,
        /// Prefix language modeling: predict the next token after a prefix with bidirectional attention (1910.10683).
        /// Alias: `prefix_lm`.
        "prefix" | "prefix_lm" => Prefix(Prefix) with Card::config_only("1910.10683"),
        /// Masked language modeling: predict masked tokens from both sides (1810.04805). Alias: `masked_lm`.
        "masked" | "masked_lm" => Masked(Masked) with Card { causality: Causality::BidirectionalOnly, ..Card::config_only("1810.04805") },
        /// Unified language modeling: a mix of bidirectional, left-to-right, right-to-left and sequence-to-sequence
        /// modes in one model (1905.03197). Alias: `unified_lm`.
        "unified" | "unified_lm" => Unified(Unified) with Card::config_only("1905.03197"),
        /// Supervised fine-tuning on conversations: predict the answers of the assistant only (2203.02155).
        "chat" => Chat(NoOptions) with super::answers::CARD,
        /// Supervised fine-tuning on prompts with completions: predict the completions only (2109.01652).
        "completion" => Completion(NoOptions) with super::answers::CARD,
    }
}

impl Default for ObjectiveConfig {
    fn default() -> Self {
        Self::Full(NoOptions {})
    }
}

impl ObjectiveConfig {
    /// The objective with these options.
    pub fn build(&self) -> Box<dyn Objective> {
        match self {
            Self::Full(_) => Box::new(Full),
            Self::Prefix(prefix) => Box::new(prefix.clone()),
            Self::Masked(masked) => Box::new(masked.clone()),
            Self::Unified(unified) => Box::new(unified.clone()),
            Self::Chat(_) => Box::new(Answers::CHAT),
            Self::Completion(_) => Box::new(Answers::COMPLETION),
        }
    }

    /// Checks the options, and that the objective can train `model`; `path` is the key of the objective in the recipe.
    ///
    /// # Errors
    /// The first invalid option, or the first part of the model that the objective cannot train.
    pub fn check(&self, model: &ModelConfig, path: &str) -> Result<(), ValidationError> {
        let objective = self.build();
        super::check_directions(&*objective, self.name(), model, path)?;
        objective.check(model, path)
    }
}
