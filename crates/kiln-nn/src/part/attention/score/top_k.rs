//! Top-k attention: softmax over the k keys with the greatest scores of each query and head; other weights are 0
//! (explicit sparse transformer, 1912.11637, section 3; 2106.06899, section 2).
//!
//! Of keys of equal score the earlier ones stay, so that the selection is the same with a cache and without, and on every
//! backend. No gradient flows to the keys left out. With k ≥ the number of visible keys it is the softmax, to the bit.

use super::{ScoreFunction, ScoreNeeds};
use crate::{
    autograd_order::without_graph,
    init::Initializer,
    top_k_mask::top_k_mask,
    variant::{BuildContext, Card, KernelForm, Variant, invalid},
};
use burn::{
    module::Module,
    tensor::{Tensor, activation::softmax},
};
use kiln_kernels::attention::{
    DenseMask, Score,
    reference::{MASKED_SCORE, MAX_LENGTH},
};
use kiln_spec::{ValidationError, card::REFERENCE_IS_NOT_EXACT};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Options of [`TopKScore`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct TopKConfig {
    /// Number of keys that each query attends to.
    pub k: usize,
}

impl ScoreNeeds for TopKConfig {
    fn merges_key_sets(&self) -> bool {
        false
    }

    fn max_length(&self) -> Option<usize> {
        Some(MAX_LENGTH)
    }
}

/// Softmax over the k greatest scores.
#[derive(Module, Debug)]
pub struct TopKScore {
    #[module(skip)]
    k: usize,
}

impl Variant for TopKScore {
    type Config = TopKConfig;
    const CARD: Card = Card {
        kernel: Some(KernelForm::Reference),
        exemptions: &[REFERENCE_IS_NOT_EXACT],
        time: "T² log T",
        incompatible_with: "a trained prefix (`segments`), more than 8192 tokens",
        example: "{ top_k = { k = 3 } }",
        ..Card::new("top_k", "1912.11637, 2106.06899")
    };

    fn check(config: &TopKConfig, _build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        if config.k == 0 { invalid(path, "k", "expected at least 1 key, found 0") } else { Ok(()) }
    }

    fn init(config: &TopKConfig, _build: &BuildContext, _init: &mut Initializer) -> Self {
        Self { k: config.k }
    }
}

impl ScoreFunction for TopKScore {
    fn to_kernel(&self) -> Arc<dyn Score> {
        Arc::new(TopKKernel { k: self.k })
    }

    fn describe(&self) -> String {
        format!("top {} keys", self.k)
    }
}

/// The function of a kernel call.
#[derive(Debug)]
struct TopKKernel {
    k: usize,
}

impl Score for TopKKernel {
    fn is_softmax(&self) -> bool {
        false
    }

    fn weights(&self, scores: Tensor<4>, _mask: &DenseMask) -> Tensor<4> {
        if self.k >= scores.dims()[3] {
            return softmax(scores, 3);
        }
        // The selection has no gradient. Fewer than k visible keys: they are all selected, because a hidden key has the
        // lowest score. A NaN stays, so that it reaches the output.
        let fixed = without_graph(scores.clone());
        let selected = top_k_mask(fixed.clone(), self.k).bool_or(fixed.clone().not_equal(fixed));
        softmax(scores.full_like(MASKED_SCORE).mask_where(selected, scores), 3)
    }
}
