//! What a mixture of experts may be.

use super::super::feed_forward::{
    gated::{Gated, GatedConfig},
    plain::Plain,
};
use crate::{part::Forward, variant::Around};
use kiln_spec::Refusal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// No mixture has more experts: beyond it a number is a slip.
const MOST: usize = 4096;

crate::variants! {
    /// What an expert is: a feed-forward.
    Expert, ExpertConfig: dyn Forward {
        /// With a gate (2002.05202).
        "gated" => Gated(Gated),
        /// Of two matrices (1706.03762).
        "plain" => Plain(Plain),
    }
}

impl Default for ExpertConfig {
    fn default() -> Self {
        Self::Gated(GatedConfig::default())
    }
}

/// Options of [`super::Experts`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ExpertsConfig {
    /// Number of experts among which the router chooses.
    pub experts: usize,
    /// How many of them work on a token.
    pub top_k: usize,
    /// Whether the weights of a token's experts are scaled to add up to 1; absent: if there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalize: Option<bool>,
    /// Weight of the loss that keeps the experts evenly used (2101.03961); 0: without.
    pub balance: f64,
    /// Weight of the loss that keeps the router's logits small (2202.08906); 0: without.
    pub z: f64,
    /// What each expert is.
    pub expert: ExpertConfig,
    /// An expert that works on every token (2401.06066). Several are one as wide as all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared: Option<ExpertConfig>,
}

impl Default for ExpertsConfig {
    fn default() -> Self {
        Self {
            experts: 8,
            top_k: 2,
            normalize: None,
            balance: 0.01,
            z: 0.001,
            expert: Default::default(),
            shared: None,
        }
    }
}

impl ExpertsConfig {
    /// Refuses what can't be.
    pub(super) fn check(&self, around: &Around, path: &str) -> Result<(), Refusal> {
        let refuse = |key: &str, reason: String| Refusal::new(format!("{path}.{key}"), reason);
        if self.experts == 0 || self.experts > MOST {
            return Err(refuse("experts", format!("from 1 to {MOST} experts, found {}", self.experts)));
        }
        if self.top_k == 0 || self.top_k > self.experts {
            let reason = format!("from 1 to all {} experts a token, found {}", self.experts, self.top_k);
            return Err(refuse("top_k", reason));
        }
        if self.top_k == 1 && self.normalize == Some(true) {
            let reason = "the normalised weight of one expert is always 1: the router would learn nothing";
            return Err(refuse("normalize", reason.into()).instead("normalize = false"));
        }
        for (key, weight) in [("balance", self.balance), ("z", self.z)] {
            if !(weight >= 0.0 && weight.is_finite()) {
                return Err(refuse(key, format!("a loss's weight is 0 or above, found {weight}")));
            }
        }
        self.expert.check(around, &format!("{path}.expert"))?;
        let shared = self.shared.as_ref();
        shared.map_or(Ok(()), |shared| shared.check(around, &format!("{path}.shared")))
    }
}
