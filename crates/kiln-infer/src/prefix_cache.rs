//! Prefix cache: the state of a model after a text, so that a longer text with the same beginning continues from it.

use kiln_kernels::exact::Arithmetic;
use kiln_models::{Model, Visibility};
use kiln_nn::State;

/// Tokens of one sequence that a model has processed, with the state after them (KV cache, recurrent states).
///
/// A chat keeps it between turns: each turn only processes the new tokens. The state cannot be rewound, because windows
/// drop keys and recurrences mix all tokens. Therefore a cache is only usable for a text that begins with all its tokens.
pub struct PrefixCache {
    pub(crate) tokens: Vec<u32>,
    pub(crate) state: State,
}

impl PrefixCache {
    /// Cache of no tokens, with the initial state for `num_rows` sequences that are computed in `arithmetic`.
    pub(crate) fn empty(num_rows: usize, arithmetic: Arithmetic) -> Self {
        Self { tokens: Vec::new(), state: State::new(num_rows).with_arithmetic(arithmetic) }
    }

    /// Returns the tokens that were processed.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Returns whether `text` begins with the cached tokens and has at least one more.
    pub fn extends(&self, text: &[u32]) -> bool {
        text.len() > self.tokens.len() && text.starts_with(&self.tokens)
    }

    /// Whether the state of a model after a text is independent of what follows: not with an encoder, which reads whole
    /// prompts, nor with prefix visibility, where prompt tokens attend to later prompt tokens.
    pub(crate) fn is_supported_by(model: &Model) -> bool {
        model.encoder().is_none() && model.config().effective_visibility() == Visibility::Causal
    }
}

impl std::fmt::Debug for PrefixCache {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "PrefixCache {{ tokens: {}, bytes: {} }}", self.tokens.len(), self.state.bytes())
    }
}
