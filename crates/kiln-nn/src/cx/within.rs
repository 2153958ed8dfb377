//! A stream within the stream: what a depth rule runs its block in.

use super::{Cx, Marks, Stateful, Stream};
use kiln_spec::plan::Keep;
use std::{any::Any, collections::HashMap};

/// Marks of the keys that an inner stream has kept, by policy. The numbers kept with them are counted by their slots.
#[derive(Default)]
struct Past(HashMap<Keep, Marks>);

impl Stateful for Past {
    fn bytes(&self) -> usize {
        self.0.values().map(Marks::bytes).sum()
    }

    fn any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

impl Cx {
    /// Runs `part` with other tokens: `now`, after those that `leaf` had in earlier calls. State, memory and probe stay;
    /// what is derived from the tokens does not.
    pub fn within<R>(&mut self, leaf: &str, now: Marks, part: impl FnOnce(&mut Self) -> R) -> R {
        let Past(past) = self.take(leaf).unwrap_or_default();
        let outer = std::mem::replace(&mut self.stream, Stream::new(now, past));
        let result = part(self);
        let inner = std::mem::replace(&mut self.stream, outer);
        if self.state.is_some() {
            self.put(leaf, Past(inner.kept()));
        }
        result
    }
}
