//! Options of a mixture of experts, and their check.

use super::super::feed_forward::{
    gated_mlp::{GatedMlp, GatedMlpConfig},
    mlp::Mlp,
};
use super::{selection::ExpertGroupsConfig, selection_bias::SelectionBiasConfig};
use crate::{
    part::Layer,
    variant::{BuildContext, check_factor, invalid, is_default, is_one},
};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Maximum number of experts. A larger number in a recipe is treated as a mistake.
const MAX_EXPERTS: usize = 4096;

crate::variants! {
    /// Feed-forward network of an expert.
    Expert, ExpertConfig: dyn Layer {
        /// Gated feed-forward network (2002.05202).
        "gated_mlp" => GatedMlp(GatedMlp),
        /// Feed-forward network (MLP) of two matrices (1706.03762).
        "mlp" => Mlp(Mlp),
    }
}

impl Default for ExpertConfig {
    fn default() -> Self {
        Self::GatedMlp(GatedMlpConfig::default())
    }
}

/// Function from the router's logits to the scores of the experts.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "snake_case")]
pub enum ScoringFunction {
    /// Softmax over all experts. With `norm_topk_prob` the weights are the softmax over the selected experts (Mixtral).
    #[default]
    Softmax,
    /// Sigmoid of each logit by itself (DeepSeek V3, 2412.19437).
    Sigmoid,
}

/// Options of [`MixtureOfExperts`](super::MixtureOfExperts).
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct MixtureOfExpertsConfig {
    /// Number of experts.
    pub num_experts: usize,
    /// Number of experts per token.
    pub top_k: usize,
    /// Function from the router's logits to the scores of the experts.
    #[serde(skip_serializing_if = "is_default")]
    pub scoring_func: ScoringFunction,
    /// Use a bias in the router.
    #[serde(skip_serializing_if = "is_default")]
    pub router_bias: bool,
    /// Selection bias: a number for each expert that is added to the scores for the selection alone. It keeps the experts
    /// balanced without an auxiliary loss (2408.15664). Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selection_bias: Option<SelectionBiasConfig>,
    /// Groups of experts: a token's experts are selected from its best groups (2405.04434, section 2.2). Absent: from all
    /// experts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<ExpertGroupsConfig>,
    /// Normalize the weights of the selected experts to sum to 1. Absent: true if `top_k` > 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm_topk_prob: Option<bool>,
    /// Factor of the selected experts' weights, after normalization.
    #[serde(skip_serializing_if = "is_one")]
    pub routed_scaling_factor: f64,
    /// Coefficient of the load-balancing loss (2101.03961). 0: none.
    pub router_aux_loss_coef: f64,
    /// Coefficient of the router z-loss (2202.08906). 0: none.
    pub router_z_loss_coef: f64,
    /// Architecture of each expert.
    pub expert: ExpertConfig,
    /// Shared expert, applied to every token in addition to the selected ones (2401.06066). For n shared experts of
    /// intermediate size w, configure one with `intermediate` = n · w. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared_expert: Option<ExpertConfig>,
    /// Multiply the shared expert's output by σ(x · w) with a trained w (Qwen2-MoE).
    #[serde(skip_serializing_if = "is_default")]
    pub shared_expert_gate: bool,
}

impl Default for MixtureOfExpertsConfig {
    fn default() -> Self {
        Self {
            num_experts: 8,
            top_k: 2,
            scoring_func: ScoringFunction::Softmax,
            router_bias: false,
            selection_bias: None,
            groups: None,
            norm_topk_prob: None,
            routed_scaling_factor: 1.0,
            router_aux_loss_coef: 0.01,
            router_z_loss_coef: 0.001,
            expert: Default::default(),
            shared_expert: None,
            shared_expert_gate: false,
        }
    }
}

impl MixtureOfExpertsConfig {
    /// Checks the options at `path`.
    pub(super) fn check(&self, build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        if self.num_experts == 0 || self.num_experts > MAX_EXPERTS {
            let reason = format!("expected from 1 to {MAX_EXPERTS} experts, found {}", self.num_experts);
            return invalid(path, "num_experts", reason);
        }
        if self.top_k == 0 || self.top_k > self.num_experts {
            let reason = format!("expected from 1 to all {} experts, found {}", self.num_experts, self.top_k);
            return invalid(path, "top_k", reason);
        }
        if self.top_k == 1 && self.norm_topk_prob == Some(true) {
            let reason = "the normalized weight of a single expert is always 1, so the router would learn nothing";
            return Err(ValidationError::new(format!("{path}.norm_topk_prob"), reason)
                .with_suggestion("norm_topk_prob = false"));
        }
        for (key, weight) in
            [("router_aux_loss_coef", self.router_aux_loss_coef), ("router_z_loss_coef", self.router_z_loss_coef)]
        {
            if !(weight >= 0.0 && weight.is_finite()) {
                return invalid(path, key, format!("expected a finite number of at least 0, found {weight}"));
            }
        }
        check_factor(self.routed_scaling_factor, format!("{path}.routed_scaling_factor"))?;
        self.selection_bias.as_ref().map_or(Ok(()), |bias| bias.check(&format!("{path}.selection_bias")))?;
        let groups = self.groups.as_ref();
        groups.map_or(Ok(()), |groups| groups.check([self.num_experts, self.top_k], &format!("{path}.groups")))?;
        if self.shared_expert_gate && self.shared_expert.is_none() {
            let reason = "there is no shared expert to gate";
            return Err(ValidationError::new(format!("{path}.shared_expert_gate"), reason)
                .with_suggestion("shared_expert = \"gated_mlp\""));
        }
        self.expert.check(build, &format!("{path}.expert"))?;
        let shared = self.shared_expert.as_ref();
        shared.map_or(Ok(()), |shared| shared.check(build, &format!("{path}.shared_expert")))
    }
}
