//! Source of keys and values: the tokens themselves, the encoder output, tokens plus a trained prefix, or another layer.

use super::{cache::MemoryCache, projection::KeyValue};
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
        /// Keys and values of an earlier layer (cross-layer attention, CLA, 2405.12981).
        "shared" => Shared(SharedSourceConfig) with SHARED_CARD,
    }
}

/// Card of cross-attention.
const CROSS_CARD: Card = Card {
    incompatible_with: "a stack without an encoder, positions of its own",
    exemptions: &[(ALL_LAWS, "it needs an encoder; encoder-decoder models have tests of their own")],
    ..Card::config_only("1706.03762")
};

/// Card of shared keys and values.
const SHARED_CARD: Card = Card {
    incompatible_with: "no earlier layer, a source with other heads, positions or fewer cached keys, a source that may be \
                        skipped, `latent`",
    ..Card::config_only("2405.12981")
};

impl Default for AttentionSource {
    fn default() -> Self {
        Self::Own(NoOptions {})
    }
}

/// Options of a trained prefix.
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

/// Options of shared keys and values.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Default)]
#[serde(default, deny_unknown_fields)]
pub struct SharedSourceConfig {
    /// Number of the block whose attention computes the keys and values, from 0, copies counted. Absent: the nearest earlier
    /// attention with keys and values of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<usize>,
}

impl AttentionSource {
    /// Whether keys and values are computed from the tokens of the layer's own stream by the layer itself.
    pub fn is_own(&self) -> bool {
        matches!(self, Self::Own(_) | Self::Segments(_))
    }

    /// Whether keys and values are those of another layer.
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Shared(_))
    }

    /// Whether keys and values come from another stream.
    pub fn is_cross(&self) -> bool {
        matches!(self, Self::Cross(_))
    }

    /// The keys that a layer with this cache policy reads.
    pub(super) fn key_source(&self, policy: CachePolicy) -> KeySource {
        if self.is_cross() { KeySource::Memory } else { KeySource::OwnStream(policy) }
    }

    /// Checks the source; `path` is that of the attention. Cross-attention can't have a position: tokens of two sequences have no
    /// distance.
    pub(super) fn check(&self, has_position: bool, path: &str) -> Result<(), ValidationError> {
        match self {
            Self::Cross(_) if has_position => {
                let reason = "cross-attention can't have a position: its keys are tokens of another stream";
                Err(ValidationError::new(format!("{path}.position"), reason).with_suggestion("leave it out"))
            }
            Self::Segments(SegmentsConfig { prefix_length }) if *prefix_length == 0 || *prefix_length > 1 << 16 => {
                let reason = format!("expected a trained prefix of 1 to {} keys, found {prefix_length}", 1 << 16);
                Err(ValidationError::new(format!("{path}.source.segments.prefix_length"), reason)
                    .with_suggestion("source = \"self\""))
            }
            _ => Ok(()),
        }
    }
}

/// Returns the keys and values of the encoder output: computed by `project` in the first call and cached, so that decoding
/// computes them once. `None` without an encoder output.
pub(super) fn memory_key_values(
    cx: &mut Context,
    project: impl FnOnce(Tensor<3>, &mut Context) -> KeyValue,
) -> Option<KeyValue> {
    let hidden = cx.memory.as_ref()?.hidden.clone();
    let cached: Option<MemoryCache> = cx.take_state("memory");
    let key_value = match cached {
        Some(MemoryCache(Some(key_value))) => key_value,
        _ => project(hidden, cx),
    };
    cx.put_state("memory", MemoryCache(Some(key_value.clone())));
    Some(key_value)
}
