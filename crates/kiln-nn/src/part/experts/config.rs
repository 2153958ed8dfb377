//! Options of a mixture of experts, and their check.

use super::super::feed_forward::{
    gated_mlp::{GatedMlp, GatedMlpConfig},
    mlp::Mlp,
};
use crate::{
    part::Layer,
    variant::{BuildContext, invalid},
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

/// Options of [`MixtureOfExperts`](super::MixtureOfExperts).
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct MixtureOfExpertsConfig {
    /// Number of experts.
    pub num_experts: usize,
    /// Number of experts per token.
    pub top_k: usize,
    /// Normalize the weights of the selected experts to sum to 1. Absent: true if `top_k` > 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm_topk_prob: Option<bool>,
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
}

impl Default for MixtureOfExpertsConfig {
    fn default() -> Self {
        Self {
            num_experts: 8,
            top_k: 2,
            norm_topk_prob: None,
            router_aux_loss_coef: 0.01,
            router_z_loss_coef: 0.001,
            expert: Default::default(),
            shared_expert: None,
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
        self.expert.check(build, &format!("{path}.expert"))?;
        let shared = self.shared_expert.as_ref();
        shared.map_or(Ok(()), |shared| shared.check(build, &format!("{path}.shared_expert")))
    }
}
