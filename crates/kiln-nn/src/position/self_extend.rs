//! Self-Extend (2401.01325): rotary positions that are grouped beyond a window, for texts longer than those of the training.
//!
//! A key j with i − j < w, of query i, has rotary positions. Farther keys have positions in groups of G tokens: ⌊j / G⌋ for the
//! key, ⌊i / G⌋ + w − ⌊w / G⌋ for the query, so that the distance continues at w (section 3.2). A model trained on L tokens
//! then sees no distance above L in texts of (L − w) G + w tokens. No parameters, no training. G = 1 is RoPE.
//!
//! Queries and keys are rotated, and cached, by their own positions. For far keys the bias of the scores is the difference
//! between the two products: both sides are rotated further, by the difference between grouped and own position. It reads
//! queries and keys, so that only the reference kernel computes it, in memory T × T for each head.

use super::{PositionEncoding, PositionNeeds, RotaryEmbedding, RotaryEmbeddingConfig, Side};
use crate::{
    context::Context,
    init::Initializer,
    variant::{BuildContext, Card, Causality, KernelForm, Variant, invalid},
};
use burn::{
    module::Module,
    tensor::{Int, Tensor},
};
use kiln_kernels::{
    attention::{ScoreBias, bias::BiasInputs, reference::MAX_LENGTH},
    rotary::apply_rotary,
};
use kiln_spec::{ValidationError, card::REFERENCE_IS_NOT_EXACT};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Greatest window and group: those of the longest sequence of the kernel.
const MAX_SIZE: usize = MAX_LENGTH;

/// Options of [`SelfExtend`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct SelfExtendConfig {
    /// Number w of keys, the query's own included, that keep their positions.
    pub neighbor_window: usize,
    /// Number G of tokens that share a position beyond the window. 1: plain rotary positions.
    pub group_size: usize,
    /// Rotary positions of the model.
    pub rotary: RotaryEmbeddingConfig,
}

impl Default for SelfExtendConfig {
    fn default() -> Self {
        Self { neighbor_window: 512, group_size: 8, rotary: RotaryEmbeddingConfig::default() }
    }
}

impl PositionNeeds for SelfExtendConfig {
    fn max_positions(&self) -> Option<usize> {
        Some(MAX_LENGTH)
    }

    fn check_heads(&self, heads: usize, width: usize) -> Result<(), String> {
        self.rotary.check_heads(heads, width)
    }

    fn reads_queries(&self) -> bool {
        true
    }

    fn transforms_keys(&self) -> bool {
        true
    }
}

/// Rotary positions, grouped beyond a window.
#[derive(Module, Debug)]
pub struct SelfExtend {
    rotary: RotaryEmbedding,
    #[module(skip)]
    config: SelfExtendConfig,
}

impl Variant for SelfExtend {
    type Config = SelfExtendConfig;
    const CARD: Card = Card {
        causality: Causality::CausalOnly,
        time: "T²",
        kernel: Some(KernelForm::Reference),
        exemptions: &[REFERENCE_IS_NOT_EXACT],
        incompatible_with: "scalings that follow the length, `latent` projections, more than 8192 tokens",
        example: "{ self_extend = { neighbor_window = 3, group_size = 2 } }",
        ..Card::new("self_extend", "2401.01325")
    };

    fn check(config: &SelfExtendConfig, build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        for (key, size) in [("neighbor_window", config.neighbor_window), ("group_size", config.group_size)] {
            if size == 0 || size > MAX_SIZE {
                return invalid(path, key, format!("expected a number of tokens from 1 to {MAX_SIZE}, found {size}"));
            }
        }
        if config.rotary.scaling.follows_length() {
            let name = config.rotary.scaling.name();
            let reason =
                format!("`{name}` has other frequencies in longer texts; grouped positions need the same ones");
            return Err(ValidationError::new(format!("{path}.rotary.scaling.{name}"), reason)
                .with_suggestion("scaling = \"none\""));
        }
        RotaryEmbedding::check(&config.rotary, build, &format!("{path}.rotary"))
    }

    fn init(config: &SelfExtendConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        Self { rotary: RotaryEmbedding::init(&config.rotary, build, init), config: config.clone() }
    }
}

impl PositionEncoding for SelfExtend {
    fn transform(&self, side: Side, x: Tensor<4>, cx: &mut Context) -> Tensor<4> {
        self.rotary.transform(side, x, cx)
    }

    fn bias(&self, _heads: usize, _scale: f64, _cx: &Context) -> Option<Arc<dyn ScoreBias>> {
        (self.config.group_size > 1).then(|| Arc::new(GroupedPositions(self.config.clone())) as Arc<dyn ScoreBias>)
    }
}

/// What grouped positions add to the scores of far keys.
#[derive(Debug)]
struct GroupedPositions(SelfExtendConfig);

impl ScoreBias for GroupedPositions {
    fn dense(&self, inputs: BiasInputs) -> Tensor<4> {
        let [query_at, key_at] = inputs.block_mask.positions.clone().expect("a position bias needs positions");
        let (group, window) = (self.0.group_size as i32, self.0.neighbor_window as i32);
        let grouped = |at: &Tensor<2, Int>| (at.clone() - at.clone().remainder_scalar(group)) / group;
        let query = self.rotate(inputs.query, grouped(&query_at) + (window - window / group) - query_at.clone());
        let key = self.rotate(inputs.key, grouped(&key_at) - key_at.clone());
        let ([b, h, t, s], [_, g, _, d]) = (inputs.scores.dims(), key.dims());
        // The heads of a group are stacked as rows, so that keys are not repeated.
        let rows = (query * inputs.scale).reshape([b, g, h / g * t, d]);
        let scores = rows.matmul(key.swap_dims(2, 3)).reshape([b, h, t, s]);
        let distances =
            query_at.unsqueeze_dim::<3>(2).expand([b, t, s]) - key_at.unsqueeze_dim::<3>(1).expand([b, t, s]);
        let near = distances.lower_elem(window).unsqueeze_dim::<4>(1).expand([b, h, t, s]);
        (scores - inputs.scores.clone()).mask_fill(near, 0.0)
    }
}

impl GroupedPositions {
    /// Rotates `x [B, H, T, D]` further, by `steps [B, T]` positions.
    fn rotate(&self, x: &Tensor<4>, steps: Tensor<2, Int>) -> Tensor<4> {
        let rotary = &self.0.rotary;
        let ([b, t], pairs) = (steps.dims(), rotary.rotary_dim(x.dims()[3]) / 2);
        let (frequencies, _) = rotary.scaling.scaled_frequencies(rotary.theta, pairs, 0);
        let frequencies = Tensor::<1>::from_floats(&frequencies[..], &steps.device()).reshape([1, 1, 1, pairs]);
        let angles = steps.float().reshape([b, 1, t, 1]) * frequencies;
        apply_rotary(x.clone(), angles.clone().cos(), angles.sin(), rotary.pairing())
    }
}
