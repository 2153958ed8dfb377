//! Substream: the subset of a call's tokens that a block processes under mixture of depths. It has its own cached keys, masks
//! and rotary tables.

use super::{
    Context, KeyMarks, Stateful, TokenMarks, TokenStream,
    rows::Incompatible,
    state::{self, PolicyKeys},
};
use std::any::Any;

/// Marks of a substream's cached keys, by cache policy. The keys themselves are in the slots of the block's layers.
#[derive(Default)]
struct SubstreamKeys(PolicyKeys);

impl Stateful for SubstreamKeys {
    fn bytes(&self) -> usize {
        self.0.values().map(KeyMarks::bytes).sum()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }

    fn select(&self, rows: &[usize]) -> Box<dyn Stateful> {
        Box::new(Self(state::select_keys(&self.0, rows)))
    }

    fn append(&mut self, other: Box<dyn Any>) -> Result<(), Incompatible> {
        let other = other.downcast::<Self>().map_err(|_| Incompatible::kind("keys of a substream"))?;
        state::append_keys(&mut self.0, other.0)
    }

    fn append_empty(&mut self, rows: usize) {
        state::append_empty_keys(&mut self.0, rows);
    }

    fn rewind_distance(&self, row: usize, count: usize) -> Option<usize> {
        state::keys_rewind_distance(&self.0, row, count)
    }

    fn truncate(&mut self, counts: &[usize]) {
        self.0.values_mut().for_each(|keys| keys.truncate(counts));
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
        let mut inner = std::mem::replace(&mut self.stream, outer);
        if self.state.is_some() {
            self.put_state(name, SubstreamKeys(inner.keys_to_cache()));
        }
        result
    }
}
