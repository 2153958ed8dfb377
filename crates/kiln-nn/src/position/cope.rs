//! Contextual position encoding (CoPE): positions count the keys that gates of the query let through (2405.18719, section 4).
//!
//! With the scaled products z_ij = scale · q_i · k_j and gates g_ij = σ(z_ij), 0 for hidden keys, key j has the position p_ij
//! = Σ_{k = j … i} g_ik for query i, at most P − 1. The score is z_ij + q_i · e\[p_ij\], with e\[p\] interpolated linearly
//! between the rows ⌊p⌋ and ⌈p⌉ of a table: (p − ⌊p⌋) q_i · e\[⌈p⌉\] + (1 − p + ⌊p⌋) q_i · e\[⌊p⌋\] (eq. 5).
//!
//! Parameters: `weight [P, D]` (e), normal with standard deviation 0.02, shared by the heads, and by the layers of a stack. A
//! content bias: it reads queries and scores, so that only the reference kernel computes it, in memory T × T for each head.

use super::{PositionEncoding, head_table::HeadTable};
use crate::{
    context::Context,
    init::Initializer,
    variant::{BuildContext, Card, Causality, KernelForm, Variant, invalid},
};
use burn::{
    module::{Module, Param},
    tensor::{Tensor, activation::sigmoid},
};
use kiln_kernels::attention::{ScoreBias, bias::BiasInputs};
use kiln_spec::{ValidationError, card::REFERENCE_IS_NOT_EXACT};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Options of [`Cope`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct CopeConfig {
    /// Number P of positions in the table. Keys farther away, as the gates count, share the last one.
    pub npos_max: usize,
    /// Width of a query head, the same for every attention of the stack. Absent: that of the first attention.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<usize>,
}

impl Default for CopeConfig {
    fn default() -> Self {
        Self { npos_max: 64, head_dim: None }
    }
}

impl HeadTable for CopeConfig {
    const NAME: &str = "cope";

    fn head_dim(&self) -> Option<usize> {
        self.head_dim
    }

    fn head_dim_mut(&mut self) -> &mut Option<usize> {
        &mut self.head_dim
    }
}

/// Table of position embeddings of the queries.
#[derive(Module, Debug)]
pub struct Cope {
    /// `[P, D]`.
    weight: Param<Tensor<2>>,
}

impl Variant for Cope {
    type Config = CopeConfig;
    const CARD: Card = Card {
        causality: Causality::CausalOnly,
        time: "T²",
        kernel: Some(KernelForm::Reference),
        exemptions: &[REFERENCE_IS_NOT_EXACT],
        incompatible_with: "attentions with different head widths, `latent` projections, more than 8192 tokens",
        ..Card::new("cope", "2405.18719")
    };

    fn check(config: &CopeConfig, build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        match config {
            CopeConfig { npos_max, .. } if *npos_max < 2 || *npos_max > 1 << 16 => {
                invalid(path, "npos_max", format!("expected 2 to {} positions, found {npos_max}", 1 << 16))
            }
            _ => config.check_width(build, path),
        }
    }

    fn init(config: &CopeConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        Self { weight: init.normal("weight", [config.npos_max, config.width(build)], 0.02) }
    }
}

impl PositionEncoding for Cope {
    fn bias(&self, _heads: usize, _scale: f64, _cx: &Context) -> Option<Arc<dyn ScoreBias>> {
        Some(Arc::new(ContextualBias { table: self.weight.val() }))
    }
}

/// Bias of the scores by the position that a query gives to each key.
#[derive(Debug)]
struct ContextualBias {
    /// `[P, D]`.
    table: Tensor<2>,
}

impl ScoreBias for ContextualBias {
    fn dense(&self, inputs: BiasInputs) -> Tensor<4> {
        let [b, h, t, s] = inputs.scores.dims();
        let hidden = inputs.block_mask.dense().mask.clone().expand([b, h, t, s]);
        let gates = sigmoid(inputs.scores.clone()).mask_fill(hidden, 0.0);
        let last = self.table.dims()[0] - 1;
        // Counted from the last key down: keys are in the order of the sequence, and those after the query are hidden.
        let positions = gates.flip([3]).cumsum(3).flip([3]).clamp_max(last as f64);
        let floor = positions.clone().detach().floor();
        let ceil = positions.clone().detach().ceil();
        let share = positions - floor.clone();
        let table = self.table.clone().cast(inputs.query.dtype()).transpose().unsqueeze::<4>();
        let by_position = inputs.query.clone().matmul(table);
        let at = |index: Tensor<4>| by_position.clone().gather(3, index.int());
        at(ceil) * share.clone() + at(floor) * (share.neg() + 1.0)
    }
}
