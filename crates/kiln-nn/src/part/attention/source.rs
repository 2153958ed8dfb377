//! Where keys and values come from.

use super::{cache::Cache, projection::Entry};
use crate::cx::{Cx, Keys};
use burn::tensor::Tensor;
use kiln_spec::{Refusal, plan::Keep};

kiln_spec::choice! {
    /// Where keys and values come from.
    pub enum Source {
        /// From the tokens themselves.
        "self" => Own(kiln_spec::config::Nothing),
        /// From the memory, an encoder's output: every token sees the whole of its document there (1706.03762, 3.2.3).
        "cross" => Cross(kiln_spec::config::Nothing),
    }
}

impl Default for Source {
    fn default() -> Self {
        Self::Own(kiln_spec::config::Nothing {})
    }
}

impl Source {
    /// Whether keys and values come from another stream.
    pub fn is_cross(&self) -> bool {
        matches!(self, Self::Cross(_))
    }

    /// The keys that a layer with this policy looks at.
    pub(super) fn keys(&self, keep: Keep) -> Keys {
        if self.is_cross() { Keys::Memory } else { Keys::Own(keep) }
    }

    /// There is no distance between tokens of two streams, so that nothing can be said by position.
    pub(super) fn check(&self, positioned: bool, path: &str) -> Result<(), Refusal> {
        if !(self.is_cross() && positioned) {
            return Ok(());
        }
        let reason = "a cross attention has no position: its keys are tokens of another stream";
        Err(Refusal::new(format!("{path}.position"), reason).instead("leave it away"))
    }
}

/// Entries of the memory: written at the first call and kept, so that decoding computes them once. `None` without a
/// memory.
pub(super) fn remembered(cx: &mut Cx, write: impl FnOnce(Tensor<3>, &mut Cx) -> Entry) -> Option<Entry> {
    let hidden = cx.memory.as_ref()?.hidden.clone();
    let kept: Option<Cache> = cx.take("memory");
    let entry = match kept {
        Some(Cache(Some(entry))) => entry,
        _ => write(hidden, cx),
    };
    cx.put("memory", Cache(Some(entry.clone())));
    Some(entry)
}
