//! Where keys and values come from.

use super::{cache::KeyValueCache, projection::KeyValue};
use crate::context::{Context, KeySource};
use burn::tensor::Tensor;
use kiln_spec::{Card, ValidationError, card::ALL_LAWS, config::NoOptions, plan::CachePolicy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

kiln_spec::choice! {
    /// Source of keys and values.
    pub enum AttentionSource {
        /// Self-attention.
        "self" => Own(NoOptions) with Card::config_only("1706.03762"),
        /// Cross-attention to the encoder output (1706.03762, section 3.2.3).
        "cross" => Cross(NoOptions) with CROSS_CARD,
        /// Self-attention with a trained key-value prefix (prefix tuning, 2101.00190).
        "segments" => Segments(SegmentsConfig) with Card::config_only("2101.00190"),
    }
}

const CROSS_CARD: Card = Card {
    incompatible_with: "a stack without an encoder, positions of its own",
    exemptions: &[(ALL_LAWS, "it needs an encoder; models of two stacks are judged beside")],
    ..Card::config_only("1706.03762")
};

impl Default for AttentionSource {
    fn default() -> Self {
        Self::Own(NoOptions {})
    }
}

/// Segments beside the tokens' own keys.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct SegmentsConfig {
    /// Number of trained key-value pairs before every document.
    pub prefix_length: usize,
}

impl Default for SegmentsConfig {
    fn default() -> Self {
        Self { prefix_length: 16 }
    }
}

impl AttentionSource {
    /// Whether keys and values come from another stream.
    pub fn is_cross(&self) -> bool {
        matches!(self, Self::Cross(_))
    }

    /// The keys that a layer with this policy looks at.
    pub(super) fn key_source(&self, keep: CachePolicy) -> KeySource {
        if self.is_cross() { KeySource::Memory } else { KeySource::OwnStream(keep) }
    }

    /// Refuses what can't be; `path` is that of the attention. There is no distance between tokens of two streams, so
    /// that nothing can be said by position.
    pub(super) fn check(&self, positioned: bool, path: &str) -> Result<(), ValidationError> {
        match self {
            Self::Cross(_) if positioned => {
                let reason = "a cross attention has no position: its keys are tokens of another stream";
                Err(ValidationError::new(format!("{path}.position"), reason).with_suggestion("leave it away"))
            }
            Self::Segments(SegmentsConfig { prefix_length: prefix }) if *prefix == 0 || *prefix > 1 << 16 => {
                let reason = format!("a trained prefix of 1 to {} keys, found {prefix}", 1 << 16);
                Err(ValidationError::new(format!("{path}.source.segments.prefix_length"), reason)
                    .with_suggestion("source = \"self\""))
            }
            _ => Ok(()),
        }
    }
}

/// Entries of the memory: written at the first call and kept, so that decoding computes them once. `None` without a
/// memory.
pub(super) fn memory_key_values(
    cx: &mut Context,
    write: impl FnOnce(Tensor<3>, &mut Context) -> KeyValue,
) -> Option<KeyValue> {
    let hidden = cx.memory.as_ref()?.hidden.clone();
    let kept: Option<KeyValueCache> = cx.take_state("memory");
    let entry = match kept {
        Some(KeyValueCache(Some(entry))) => entry,
        _ => write(hidden, cx),
    };
    cx.put_state("memory", KeyValueCache(Some(entry.clone())));
    Some(entry)
}
