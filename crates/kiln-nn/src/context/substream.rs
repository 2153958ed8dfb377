//! Substream: the subset of a call's tokens that a block processes under mixture of depths. It has its own cached keys, masks
//! and rotary tables.

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
    /// Runs `part` on the subset `marks` of the call's tokens. Keys that earlier calls cached for the substream `name` come before
    /// them.
    ///
    /// Masks and rotary tables are computed for the subset. State, encoder output, random numbers and probe are those of the
    /// call.
    pub fn with_substream<R>(&mut self, name: &str, marks: TokenMarks, part: impl FnOnce(&mut Self) -> R) -> R {
        let SubstreamKeys(cached_keys) = self.take_state(name).unwrap_or_default();
        let outer = std::mem::replace(&mut self.stream, TokenStream::new(marks, cached_keys));
        let result = part(self);
        let inner = std::mem::replace(&mut self.stream, outer);
        if self.state.is_some() {
            self.put_state(name, SubstreamKeys(inner.keys_to_cache()));
        }
        result
    }
}
