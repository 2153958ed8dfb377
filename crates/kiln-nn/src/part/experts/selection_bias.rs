//! Selection bias: load balancing of experts without an auxiliary loss (2408.15664, algorithm 1; 2412.19437, section 2.1.2).
//!
//! A number b_e for each expert is added to the scores for the selection of experts, and to nothing else: weights and
//! losses use the scores without it. It has no gradient. After each optimizer step, with c_e the number of live tokens of the
//! step that selected expert e: b_e ← b_e + γ sign(mean(c) − c_e). An expert below the mean load becomes easier to select.
//!
//! Parameter: `selection_bias [E]`, starting at 0. A forward pass in training records the counts in the context
//! ([`Context::add_expert_load`]); the training step adds them up over its micro-batches and changes the bias.

use crate::{autograd_order::without_graph, context::Context};
use burn::tensor::{DType, Tensor};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Name of the parameter in a mixture of experts.
pub const SELECTION_BIAS: &str = "selection_bias";

/// Whether a parameter name is that of a selection bias, the one kind of parameter that has no gradient.
pub fn is_selection_bias(name: &str) -> bool {
    name.rsplit('.').next() == Some(SELECTION_BIAS)
}

/// Selection bias of the experts, changed after each step by the load of the experts.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct SelectionBiasConfig {
    /// Amount γ by which a bias changes after each step. 0: the biases stay as they are.
    pub update_rate: f64,
}

impl Default for SelectionBiasConfig {
    fn default() -> Self {
        Self { update_rate: 0.001 }
    }
}

impl SelectionBiasConfig {
    /// Checks the options at `path`.
    pub(super) fn check(&self, path: &str) -> Result<(), ValidationError> {
        if self.update_rate >= 0.0 && self.update_rate.is_finite() {
            return Ok(());
        }
        let reason = format!("expected a finite number of at least 0, found {}", self.update_rate);
        Err(ValidationError::new(format!("{path}.update_rate"), reason).with_suggestion("update_rate = 0.001"))
    }
}

/// Load of the experts of one layer in one forward pass.
#[derive(Clone, Debug)]
pub struct ExpertLoad {
    /// Name of the selection bias that the load changes: `blocks.3.feed_forward.selection_bias`.
    pub name: String,
    /// Number of live tokens that selected each expert, `[E]` in f32. Exact up to 2^24 tokens.
    pub counts: Tensor<1>,
    /// γ: how much a bias changes per step.
    pub update_rate: f64,
}

impl ExpertLoad {
    /// Returns the biases after a step with this load: b + γ sign(mean(c) − c), `[E] → [E]`.
    pub fn updated_bias(&self, bias: Tensor<1>) -> Tensor<1> {
        let mean = self.counts.clone().mean();
        let direction = (mean - self.counts.clone()).sign().cast(bias.dtype());
        bias + direction * self.update_rate
    }
}

/// Counts the live tokens that selected each expert: `selected [N, E]` and `live [1, N]` of 0 and 1 → `[E]`, in f32.
pub(super) fn count_selections(selected: Tensor<2>, live: Tensor<2>) -> Tensor<1> {
    let [live, selected] = [live, selected].map(|values| without_graph(values).cast(DType::F32));
    live.matmul(selected).squeeze_dim(0)
}

impl Context {
    /// Records the load of the experts at the current path. Calls in a block that is recomputed are recorded once: the second
    /// run has a context of its own.
    pub fn add_expert_load(&mut self, counts: Tensor<1>, update_rate: f64) {
        let name = self.path(SELECTION_BIAS);
        self.expert_loads.push(ExpertLoad { name, counts, update_rate });
    }

    /// Takes the loads recorded so far, in the order of execution.
    pub fn take_expert_loads(&mut self) -> Vec<ExpertLoad> {
        std::mem::take(&mut self.expert_loads)
    }
}
