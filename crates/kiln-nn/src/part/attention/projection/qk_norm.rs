//! Norm of queries and keys (QK-norm), before the rotary embedding: it bounds the products q · k (2010.04245, 2302.05442).
//!
//! | scope | normalized together | parameters | used by |
//! |---|---|---|---|
//! | `head` | the D values of a head | `[D]`, shared by the heads | Qwen3, Phi |
//! | `each_head` | the D values of a head | `[H D]`, each head has its own | Cohere, StableLM |
//! | `all_heads` | the H D values of a token | `[H D]` | OLMo 2, OLMoE |
//!
//! Any norm can be used. Parameters are under `q_norm` and `k_norm`.

use crate::{
    init::Initializer,
    norm::{Norm, NormConfig, by_group},
    variant::BuildContext,
};
use burn::tensor::Tensor;
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which values of queries and keys are normalized together, and which weights the norm has.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "snake_case")]
pub enum QueryKeyNormScope {
    /// Each head by itself, with weights shared by the heads (Qwen3).
    #[default]
    Head,
    /// Each head by itself, with weights of its own (Cohere, StableLM).
    EachHead,
    /// All heads together (OLMo 2).
    AllHeads,
}

/// Norm of queries and keys, applied before the rotary embedding.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Default)]
#[serde(default, deny_unknown_fields)]
pub struct QueryKeyNormConfig {
    /// The norm.
    pub norm: NormConfig,
    /// Which values are normalized together: those of each head (`head`, `each_head`) or of all heads (`all_heads`).
    pub scope: QueryKeyNormScope,
}

impl QueryKeyNormConfig {
    /// Width of the norm's parameters for `heads` heads of `head_dim`.
    fn width(&self, heads: usize, head_dim: usize) -> usize {
        match self.scope {
            QueryKeyNormScope::Head => head_dim,
            QueryKeyNormScope::EachHead | QueryKeyNormScope::AllHeads => heads * head_dim,
        }
    }

    /// Checks the norm at `path` for heads of `head_dim`.
    pub(super) fn check(&self, head_dim: usize, build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        self.norm.check(&BuildContext { hidden: head_dim, ..*build }, &format!("{path}.norm"))
    }

    /// Builds the norm of `heads` heads of `head_dim` under `name`.
    pub(super) fn init(
        &self,
        name: &str,
        [heads, head_dim]: [usize; 2],
        build: &BuildContext,
        init: &mut Initializer,
    ) -> Norm {
        let build = BuildContext { hidden: self.width(heads, head_dim), ..*build };
        init.scope(name, |init| self.norm.init(&build, init))
    }
}

impl QueryKeyNormScope {
    /// Normalizes queries or keys of `heads` heads, `[B, T, H·D] → [B, T, H·D]`. `None`: they stay as they are.
    pub(super) fn apply(self, norm: Option<&Norm>, x: Tensor<3>, heads: usize) -> Tensor<3> {
        let Some(norm) = norm else { return x };
        match self {
            Self::Head => by_group(x, heads, |x| norm.forward(x)),
            Self::EachHead => norm.forward_groups(x, heads),
            Self::AllHeads => norm.forward(x),
        }
    }
}
