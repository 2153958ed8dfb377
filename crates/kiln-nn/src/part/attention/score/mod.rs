//! Score functions: from scores to attention weights.
//!
//! | score function | kernel | parameters | paper |
//! |---|---|---|---|
//! | softmax | in tile | | 1706.03762 |
//! | sigmoid | in tile | | 2409.04431 |
//! | top-k | reference | | 1912.11637, 2106.06899 |
//! | talking heads | reference | `logits [H, H]`, `weights [H, H]` | 2003.02436 |
//! | differential | in tile | `lambda_q1`, `lambda_k1`, `lambda_q2`, `lambda_k2 [D]`, `norm [2 D]` | 2410.05258 |
//!
//! The card says by which kernels a score function is computed: in a tile of scores, or by the reference kernel alone, in
//! memory T × T for each head. To add one: a file here, which implements [`Score`], and its list line below.

mod differential;
mod sigmoid;
mod softmax;
mod talking_heads;
mod top_k;

pub use differential::{DifferentialConfig, DifferentialScore};
pub use sigmoid::{SigmoidConfig, SigmoidScore};
pub use softmax::{SoftmaxConfig, SoftmaxScore};
pub use talking_heads::{TalkingHeads, TalkingHeadsConfig};
pub use top_k::{TopKConfig, TopKScore};

use burn::tensor::Tensor;
use kiln_kernels::attention::Score;
use std::sync::Arc;

/// Score function of a layer.
pub trait ScoreFunction {
    /// Returns the function for a kernel call, with the current values of its parameters.
    fn to_kernel(&self) -> Arc<dyn Score>;

    /// Returns a summary for listings: `softcap 50, sink`. Empty for the plain softmax.
    fn describe(&self) -> String;

    /// The kernel's values from those of the projection, before they are cached: `[B, G, T, D] → [B, G, T, n·D]`, with n the
    /// [`values_per_head`](ScoreNeeds::values_per_head) of its options.
    fn join_values(&self, value: Tensor<4>) -> Tensor<4> {
        value
    }

    /// The heads' outputs from those of the kernel, `[B, H, T, n·D] → [B, H / n, T, n·D]`.
    fn combine_heads(&self, out: Tensor<4>) -> Tensor<4> {
        out
    }
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

    /// Writes defaults that depend on the heads of the attention into the options: queries of `width` if they all have one.
    fn fit_heads(&mut self, _width: Option<usize>) {}

    /// Checks that the score function works with `heads` query heads over key-value heads of this number and width; `None` if
    /// the projection has no values of single heads.
    ///
    /// # Errors
    /// The reason.
    fn check_heads(&self, _heads: usize, _key_value: Option<[usize; 2]>) -> Result<(), String> {
        Ok(())
    }

    /// Number n of key-value heads whose values a kernel's value has side by side.
    fn values_per_head(&self) -> usize {
        1
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
        /// Differential attention (2410.05258): the difference of two softmax attentions over the same values.
        "differential" => Differential(DifferentialScore),
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
        for card in AnyScore::CARDS {
            let table: toml::Table = format!("score = {}", card.example_toml()).parse().expect("an example is TOML");
            let config: ScoreConfig = table["score"].clone().try_into().expect("an example is a score function");
            let score = config.init(&build, &mut Initializer::new(0, &Device::flex())).to_kernel();
            assert_eq!(card.kernel == Some(KernelForm::InTile), score.tile().is_some(), "{}", card.name);
        }
    }
}
