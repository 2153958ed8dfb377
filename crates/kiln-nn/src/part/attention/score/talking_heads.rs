//! Talking-heads attention: linear maps over the heads before and after the softmax (2003.02436, section 3).
//!
//! With s_h the scores and p_h the weights of head h: s'_k = Σ_h s_h L\[h, k\], p_k = softmax(s'_k), p'_k = Σ_h p_h W\[h,
//! k\]. Scores include the bias of the position encoding. Hidden keys are excluded after the first map, so that they stay
//! hidden whatever the signs of L.
//!
//! Parameters: `logits [H, H]` (L) and `weights [H, H]` (W), the identity at first: then it is the softmax. Cost: 4 H²
//! operations per query and key.

use super::{ScoreFunction, ScoreNeeds};
use crate::{
    init::Initializer,
    variant::{BuildContext, Card, KernelForm, Variant},
};
use burn::{
    module::{Module, Param},
    tensor::{Tensor, activation::softmax},
};
use kiln_kernels::attention::{DenseMask, Score, reference::MAX_LENGTH};
use kiln_spec::card::REFERENCE_IS_NOT_EXACT;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Options of [`TalkingHeads`]: none.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Default)]
#[serde(default, deny_unknown_fields)]
pub struct TalkingHeadsConfig {}

impl ScoreNeeds for TalkingHeadsConfig {
    fn merges_key_sets(&self) -> bool {
        false
    }

    fn max_length(&self) -> Option<usize> {
        Some(MAX_LENGTH)
    }
}

/// Maps over the heads before and after the softmax.
#[derive(Module, Debug)]
pub struct TalkingHeads {
    /// L, `[H, H]`: from heads of scores (rows) to heads of the softmax.
    logits: Param<Tensor<2>>,
    /// W, `[H, H]`: from heads of the softmax (rows) to heads of values.
    weights: Param<Tensor<2>>,
}

impl Variant for TalkingHeads {
    type Config = TalkingHeadsConfig;
    const CARD: Card = Card {
        kernel: Some(KernelForm::Reference),
        exemptions: &[REFERENCE_IS_NOT_EXACT],
        time: "T² H",
        incompatible_with: "a trained prefix (`segments`), more than 8192 tokens",
        ..Card::new("talking_heads", "2003.02436")
    };

    fn init(_config: &TalkingHeadsConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        Self { logits: init.identity(build.heads), weights: init.identity(build.heads) }
    }
}

impl ScoreFunction for TalkingHeads {
    fn to_kernel(&self) -> Arc<dyn Score> {
        Arc::new(TalkingHeadsKernel { logits: self.logits.val(), weights: self.weights.val() })
    }

    fn describe(&self) -> String {
        "talking heads".into()
    }
}

/// The function of a kernel call.
#[derive(Debug)]
struct TalkingHeadsKernel {
    logits: Tensor<2>,
    weights: Tensor<2>,
}

impl Score for TalkingHeadsKernel {
    fn is_softmax(&self) -> bool {
        false
    }

    fn has_transform(&self) -> bool {
        true
    }

    fn transform(&self, scores: Tensor<4>) -> Tensor<4> {
        mix_heads(scores, &self.logits)
    }

    fn weights(&self, scores: Tensor<4>, _mask: &DenseMask) -> Tensor<4> {
        mix_heads(softmax(scores, 3), &self.weights)
    }
}

/// y_k = Σ_h x_h map\[h, k\]: `[B, H, T, S] → [B, H, T, S]`.
fn mix_heads(x: Tensor<4>, map: &Tensor<2>) -> Tensor<4> {
    let [b, h, t, s] = x.dims();
    let map = map.clone().cast(x.dtype()).transpose().unsqueeze::<3>();
    map.expand([b, h, h]).matmul(x.reshape([b, h, t * s])).reshape([b, h, t, s])
}
