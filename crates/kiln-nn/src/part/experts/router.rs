//! Router of a mixture of experts: scores, weights and auxiliary losses.
//!
//! Shapes: N tokens, E experts.

use super::ScoringFunction;
use crate::autograd_order::{graph_barrier, stop_gradient};
use burn::tensor::{
    Tensor,
    activation::{sigmoid, softmax},
};

/// Scores of the experts from the router's logits, `[N, E] → [N, E]`.
pub fn router_scores(logits: Tensor<2>, function: ScoringFunction) -> Tensor<2> {
    match function {
        ScoringFunction::Softmax => softmax(logits, 1),
        ScoringFunction::Sigmoid => sigmoid(logits),
    }
}

/// Scores as probabilities, which sum to 1 over the experts: those of a softmax, or s_e / Σ s of a sigmoid (2412.19437,
/// eq. 19). `[N, E] → [N, E]`.
pub fn router_probabilities(scores: Tensor<2>, function: ScoringFunction) -> Tensor<2> {
    match function {
        ScoringFunction::Softmax => scores,
        // The scores have two readers then, the weights and this barrier, which gradient checkpointing needs.
        ScoringFunction::Sigmoid => normalized(graph_barrier(scores)),
    }
}

/// Rows divided by their sums. The constant keeps a row of zeros, which a sigmoid can give, from becoming NaN (as in DeepSeek
/// V3's code).
fn normalized(weights: Tensor<2>) -> Tensor<2> {
    weights.clone() / (weights.sum_dim(1) + 1e-20)
}

/// How scores become the weights of the experts' outputs.
#[derive(Clone, Copy, Debug)]
pub struct ExpertWeights {
    /// Function that the scores come from.
    pub function: ScoringFunction,
    /// Whether the weights of the selected experts are divided by their sum.
    pub normalize: bool,
    /// Factor of the weights.
    pub scaling: f64,
}

impl ExpertWeights {
    /// Returns the weight of each expert's output, `[N, E]`: w_e = s_e for a selected expert and 0 for the others, then divided
    /// by the sum of the token's weights if `normalize`, then multiplied by `scaling`.
    pub fn apply(self, scores: Tensor<2>, selected: Tensor<2>) -> Tensor<2> {
        let weights = scores * selected;
        let weights = match (self.normalize, self.function) {
            (false, _) => weights,
            (true, ScoringFunction::Softmax) => weights.clone() / weights.sum_dim(1),
            (true, ScoringFunction::Sigmoid) => normalized(weights),
        };
        if self.scaling == 1.0 { weights } else { weights * self.scaling }
    }
}

/// Mean over the live tokens, `live [1, N]` of 0 and 1: `[N, X] → [1, X]`. 0 without live tokens.
fn live_mean(live: &Tensor<2>, values: Tensor<2>) -> Tensor<2> {
    let count = live.clone().sum_dim(1).clamp_min(1.0);
    live.clone().matmul(values) / count
}

/// Load-balancing loss E Σ_e f_e P_e (2101.03961, eq. 4–6), `[1]`.
///
/// f_e is the share of selections that go to expert e, P_e its mean probability over the live tokens. 1 if both are uniform,
/// greater otherwise. f has no gradient.
pub fn load_balancing_loss(p: Tensor<2>, selected: Tensor<2>, live: &Tensor<2>, k: usize) -> Tensor<1> {
    let e = p.dims()[1];
    let share = live_mean(live, selected);
    let probability = live_mean(live, p);
    (share * probability).sum() * (e as f64 / k as f64)
}

/// Router z-loss: the mean of (log Σ_e exp(logit_e))² over the live tokens (2202.08906, eq. 5), `[1]`. It keeps the logits small,
/// where 16-bit floats are exact enough.
pub fn z_loss(logits: Tensor<2>, live: &Tensor<2>) -> Tensor<1> {
    let max = stop_gradient(logits.clone()).max_dim(1);
    let log_sum = (logits - max.clone()).exp().sum_dim(1).log() + max;
    live_mean(live, log_sum.square()).reshape([1])
}
