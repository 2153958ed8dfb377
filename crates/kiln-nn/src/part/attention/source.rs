//! Where keys and values come from.

use super::{cache::Cache, projection::Entry};
use crate::cx::{Cx, Keys};
use burn::tensor::Tensor;
use kiln_spec::{Card, Refusal, card::EVERY_LAW, config::Nothing, plan::Keep};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

kiln_spec::choice! {
    /// Where keys and values come from.
    pub enum Source {
        /// From the tokens themselves.
        "self" => Own(Nothing) with Card::data("1706.03762"),
        /// From the memory, an encoder's output: every token sees the whole of its document there (1706.03762, 3.2.3).
        "cross" => Cross(Nothing) with CROSS,
        /// From the tokens themselves, and from segments beside them that every token sees (2101.00190).
        "segments" => Segments(Segments) with Card::data("2101.00190"),
    }
}

const CROSS: Card = Card {
    refuses: "a stack without an encoder, positions of its own",
    exempt: &[(EVERY_LAW, "it needs an encoder; models of two stacks are judged beside")],
    ..Card::data("1706.03762")
};

impl Default for Source {
    fn default() -> Self {
        Self::Own(Nothing {})
    }
}

/// Segments beside the tokens' own keys.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Segments {
    /// Trained keys and values that stand before every document: so many.
    pub prefix: usize,
}

impl Default for Segments {
    fn default() -> Self {
        Self { prefix: 16 }
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

    /// Refuses what can't be; `path` is that of the attention. There is no distance between tokens of two streams, so
    /// that nothing can be said by position.
    pub(super) fn check(&self, positioned: bool, path: &str) -> Result<(), Refusal> {
        match self {
            Self::Cross(_) if positioned => {
                let reason = "a cross attention has no position: its keys are tokens of another stream";
                Err(Refusal::new(format!("{path}.position"), reason).instead("leave it away"))
            }
            Self::Segments(Segments { prefix }) if *prefix == 0 || *prefix > 1 << 16 => {
                let reason = format!("a trained prefix of 1 to {} keys, found {prefix}", 1 << 16);
                Err(Refusal::new(format!("{path}.source.segments.prefix"), reason).instead("source = \"self\""))
            }
            _ => Ok(()),
        }
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
