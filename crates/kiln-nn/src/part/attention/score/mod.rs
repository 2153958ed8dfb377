//! Score functions: from scores to attention weights.
//!
//! | score function | kernel | parameters | paper |
//! |---|---|---|---|
//! | softmax | in tile | | 1706.03762 |
//! | sigmoid | in tile | | 2409.04431 |
//! | top-k | reference | | 1912.11637, 2106.06899 |
//! | talking heads | reference | `logits [H, H]`, `weights [H, H]` | 2003.02436 |
//!
//! The card says by which kernels a score function is computed: in a tile of scores, or by the reference kernel alone, in
//! memory T × T for each head. To add one: a file here, which implements [`Score`], and its list line below.

mod sigmoid;
mod softmax;
mod talking_heads;
mod top_k;

pub use sigmoid::{SigmoidConfig, SigmoidScore};
pub use softmax::{SoftmaxConfig, SoftmaxScore};
pub use talking_heads::{TalkingHeads, TalkingHeadsConfig};
pub use top_k::{TopKConfig, TopKScore};

use kiln_kernels::attention::Score;
use std::sync::Arc;

/// Score function of a layer.
pub trait ScoreFunction {
    /// Returns the function for a kernel call, with the current values of its parameters.
    fn to_kernel(&self) -> Arc<dyn Score>;

    /// Returns a summary for listings: `softcap 50, sink`. Empty for the plain softmax.
    fn describe(&self) -> String;
}

/// What the options of a score function ask of its layer.
pub trait ScoreNeeds {
    /// Whether each head has a trained sink logit in the denominator of the softmax.
    fn has_sink(&self) -> bool {
        false
    }

    /// Whether outputs over two sets of keys can be merged, which a trained prefix needs: by their log-sum-exps, or as sums.
    fn merges_key_sets(&self) -> bool {
        true
    }

    /// Returns the longest sequence in tokens; `None` if there is no limit.
    fn max_length(&self) -> Option<usize> {
        None
    }
}

crate::variants! {
    /// Score function: from scores to attention weights.
    AnyScore, ScoreConfig: dyn ScoreFunction, config: dyn ScoreNeeds {
        /// Softmax (1706.03762).
        "softmax" => Softmax(SoftmaxScore),
        /// Sigmoid attention: σ(s + bias) for each key (2409.04431).
        "sigmoid" => Sigmoid(SigmoidScore),
        /// Softmax over the k keys with the greatest scores (1912.11637, 2106.06899).
        "top_k" => TopK(TopKScore),
        /// Talking heads: scores and weights are mixed over the heads by trained matrices (2003.02436).
        "talking_heads" => TalkingHeads(TalkingHeads),
    }
}

impl Default for ScoreConfig {
    fn default() -> Self {
        Self::Softmax(SoftmaxConfig::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Initializer, position::PositionConfig, variant::BuildContext};
    use burn::tensor::Device;
    use kiln_spec::{Direction, card::KernelForm};

    #[test]
    fn cards_say_which_score_functions_work_in_a_tile() {
        let position = PositionConfig::default();
        let build = BuildContext {
            hidden: 8,
            vocab: 3,
            heads: 2,
            dropout: 0.0,
            position: &position,
            direction: Direction::Causal,
        };
        for name in ["\"softmax\"", "\"sigmoid\"", "{\"top_k\":{\"k\":2}}", "\"talking_heads\""] {
            let config: ScoreConfig = serde_json::from_str(name).unwrap();
            let score = config.init(&build, &mut Initializer::new(0, &Device::flex())).to_kernel();
            assert_eq!(config.card().kernel == Some(KernelForm::InTile), score.tile().is_some(), "{name}");
        }
        assert_eq!(ScoreConfig::NAMES.len(), 4, "a name in the list above");
    }
}
