//! A stream within the stream: what a depth rule runs its block in.

use super::{Context, Stateful, TokenMarks, TokenStream};
use kiln_spec::plan::CachePolicy;
use std::{any::Any, collections::HashMap};

/// Marks of the keys that an inner stream has kept, by policy. The numbers kept with them are counted by their slots.
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
    /// Runs `part` with other tokens: `now`, after those that `leaf` had in earlier calls. State, memory and probe stay;
    /// what is derived from the tokens does not.
    pub fn with_substream<R>(&mut self, leaf: &str, now: TokenMarks, part: impl FnOnce(&mut Self) -> R) -> R {
        let SubstreamKeys(past) = self.take_state(leaf).unwrap_or_default();
        let outer = std::mem::replace(&mut self.stream, TokenStream::new(now, past));
        let result = part(self);
        let inner = std::mem::replace(&mut self.stream, outer);
        if self.state.is_some() {
            self.put_state(leaf, SubstreamKeys(inner.keys_to_cache()));
        }
        result
    }
}
