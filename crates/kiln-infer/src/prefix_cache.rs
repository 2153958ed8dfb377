//! What a model has read, to go on from instead of reading it anew.

use kiln_models::{Model, Visibility};
use kiln_nn::State;

/// One text as far as a model has read it, with the state after it. No state can be taken back (a window forgets, a
/// recurrence has mixed), so that only a text which begins with these tokens goes on from it.
pub struct PrefixCache {
    pub(crate) tokens: Vec<u32>,
    pub(crate) state: State,
}

impl PrefixCache {
    /// The tokens that were read.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Whether a text begins with them and has more.
    pub fn extends(&self, text: &[u32]) -> bool {
        text.len() > self.tokens.len() && text.starts_with(&self.tokens)
    }

    /// Whether a model reads in such a way that what it has read doesn't change with what comes after: neither with an
    /// encoder nor with a prefix that is seen whole.
    pub(crate) fn is_supported_by(model: &Model) -> bool {
        model.encoder().is_none() && model.config().effective_visibility() == Visibility::Causal
    }
}

impl std::fmt::Debug for PrefixCache {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "Reading of {} tokens, {} bytes", self.tokens.len(), self.state.bytes())
    }
}
