//! Substream: another selection of tokens inside a stream, in which a depth rule runs its block.

use super::{Context, Stateful, TokenMarks, TokenStream};
use kiln_spec::plan::CachePolicy;
use std::{any::Any, collections::HashMap};

/// Marks of a substream's cached keys, by cache policy. The keys themselves are in the slots of the block's layers.
#[derive(Default)]
struct SubstreamKeys(HashMap<CachePolicy, TokenMarks>);

impl Stateful for SubstreamKeys {
    fn bytes(&self) -> usize {
        self.0.values().map(TokenMarks::bytes).sum()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

impl Context {
    /// Runs `part` on the tokens of `marks`, after those that the substream at `leaf` had in earlier calls.
    ///
    /// State, encoder output, randomness and probe stay the same; masks and rotary tables are those of the substream.
    pub fn with_substream<R>(&mut self, leaf: &str, marks: TokenMarks, part: impl FnOnce(&mut Self) -> R) -> R {
        let SubstreamKeys(cached_keys) = self.take_state(leaf).unwrap_or_default();
        let outer = std::mem::replace(&mut self.stream, TokenStream::new(marks, cached_keys));
        let result = part(self);
        let inner = std::mem::replace(&mut self.stream, outer);
        if self.state.is_some() {
            self.put_state(leaf, SubstreamKeys(inner.keys_to_cache()));
        }
        result
    }
}
