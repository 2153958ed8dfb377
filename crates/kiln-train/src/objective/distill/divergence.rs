//! Divergence of the student's distribution of a token from the teacher's, and its gradient.
//!
//! With p the teacher's and q the student's distribution over V tokens, each softmax(z / T):
//!
//! | divergence | D | ∂D/∂q = f |
//! |---|---|---|
//! | `kl` | Σ p log(p / q) | −p / q |
//! | `reverse_kl` | Σ q log(q / p) | log(q / p) + 1 |
//! | `jsd` | ½ Σ p log(p / m) + ½ Σ q log(q / m), m = ½ (p + q) | ½ log(q / m) |
//!
//! The gradient with respect to z / T is q (f − Σ q f). It is computed with the value rather than by autograd: where p and q
//! have the same bits, value and gradient are exactly 0. With `top_k`, the K tokens of the largest p are outcomes of their
//! own, and all others together are one more; within that one, the gradient is in proportion to q.

use burn::tensor::{IndexingUpdateOp, Int, Tensor, activation::log_softmax};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Divergence of the student's distribution from the teacher's.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "snake_case")]
pub enum Divergence {
    /// KL(teacher ‖ student): the student covers all that the teacher says (1503.02531).
    #[default]
    Kl,
    /// KL(student ‖ teacher): the student keeps to what the teacher says most (MiniLLM, 2306.08543).
    ReverseKl,
    /// Jensen–Shannon divergence (GKD, 2306.13649, with β = ½).
    Jsd,
}

/// Smallest mass of the tokens outside the top k whose logarithm is taken.
const MIN_REST: f64 = 1e-30;

/// Divergence of N tokens and its gradient.
pub(super) struct TokenDivergence {
    /// D, `[N, 1]`.
    pub value: Tensor<2>,
    /// Gradient with respect to the student's logits divided by the temperature, `[N, V]`.
    pub gradient: Tensor<2>,
}

impl Divergence {
    /// The divergence of log-distributions `[N, V]`, over all tokens or over the teacher's `top_k` and the rest.
    pub(super) fn of_logits(
        self,
        student: Tensor<2>,
        teacher: Tensor<2>,
        temperature: f64,
        top_k: Option<usize>,
    ) -> TokenDivergence {
        let [log_q, log_p] = [student, teacher].map(|logits| log_softmax(logits / temperature, 1));
        match top_k.filter(|top_k| *top_k < log_p.dims()[1]) {
            None => self.of_distributions(log_p, log_q),
            Some(top_k) => self.of_top_k(log_p, log_q, top_k),
        }
    }

    /// The divergence over all outcomes: `log_p`, `log_q` are `[N, K]`.
    fn of_distributions(self, log_p: Tensor<2>, log_q: Tensor<2>) -> TokenDivergence {
        let [p, q] = [&log_p, &log_q].map(|logs| logs.clone().exp());
        match self {
            Self::Kl => TokenDivergence { value: (p.clone() * (log_p - log_q)).sum_dim(1), gradient: q - p },
            Self::ReverseKl => {
                let log_ratio = log_q - log_p;
                let value = (q.clone() * log_ratio.clone()).sum_dim(1);
                TokenDivergence { value: value.clone(), gradient: q * (log_ratio - value) }
            }
            Self::Jsd => {
                // log m = max + log((1 + exp(−|difference|)) / 2): exactly log p where p and q are equal.
                let difference = (log_p.clone() - log_q.clone()).abs();
                let log_m = log_p.clone().max_pair(log_q.clone()) + ((difference.neg().exp() + 1.0) * 0.5).log();
                let teacher = (p * (log_p - log_m.clone())).sum_dim(1) * 0.5;
                let half_log_ratio = (log_q - log_m) * 0.5;
                let student = (q.clone() * half_log_ratio.clone()).sum_dim(1);
                TokenDivergence { value: teacher + student.clone(), gradient: q * (half_log_ratio - student) }
            }
        }
    }

    /// The divergence over the teacher's `top_k` tokens and the rest as one outcome.
    fn of_top_k(self, log_p: Tensor<2>, log_q: Tensor<2>, top_k: usize) -> TokenDivergence {
        let (largest, indices) = log_p.clone().topk_with_indices(top_k, 1);
        let chosen = log_q.clone().gather(1, indices.clone());
        let q = log_q.exp();
        let [rest_p, rest_q] =
            [(log_p.exp(), &largest), (q.clone(), &chosen)].map(|(all, top)| rest(all, &indices, top.clone().exp()));
        let outcomes = |top: Tensor<2>, rest: &Tensor<2>| Tensor::cat(vec![top, rest.clone().log()], 1);
        let coarse = self.of_distributions(outcomes(largest, &rest_p), outcomes(chosen.clone(), &rest_q));
        let n = q.dims()[0];
        let of_rest = coarse.gradient.clone().slice([0..n, top_k..top_k + 1]) / rest_q;
        let of_top = coarse.gradient.slice([0..n, 0..top_k]) - chosen.exp() * of_rest.clone();
        let gradient = (q * of_rest).scatter(1, indices, of_top, IndexingUpdateOp::Add);
        TokenDivergence { value: coarse.value, gradient }
    }
}

/// Mass of the tokens outside `indices`, `[N, 1]`. Their masses are added, not subtracted from 1: a small rest keeps its
/// digits.
fn rest(all: Tensor<2>, indices: &Tensor<2, Int>, top: Tensor<2>) -> Tensor<2> {
    all.scatter(1, indices.clone(), top.neg(), IndexingUpdateOp::Add).sum_dim(1).clamp_min(MIN_REST)
}
