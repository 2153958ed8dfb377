//! Relative position representations of Shaw et al. (1803.02155, section 3).
//!
//! With the clipped distance r(i, j) = clip(j − i, −k, k) of key j and query i, the score is scale · q_i · (k_j + a_K\[r\])
//! (eq. 4), and the output of a head Σ_j p_ij (v_j + a_V\[r\]) (eq. 3). Both added terms are computed from the 2k + 1 rows of
//! a table, so that no tensor `[T, S, D]` is formed (section 3.3): q · a_Kᵀ is gathered by r, and the weights p are summed by
//! r before they are multiplied by a_V.
//!
//! Parameters: `key [2k + 1, D]` (a_K), and `value [2k + 1, D]` (a_V) with `values`; normal with standard deviation 0.02. Distance
//! r has row k + r. The heads of an attention share them. The layers of a stack do too, unless each attention has the position
//! itself. A content bias: only the reference kernel computes it, in memory T × T for each head.

use super::{PositionEncoding, head_table::HeadTable};
use crate::{
    context::Context,
    init::Initializer,
    variant::{BuildContext, Card, KernelForm, Variant, invalid},
};
use burn::{
    module::{Module, Param},
    tensor::{IndexingUpdateOp, Int, Tensor},
};
use kiln_kernels::attention::{BlockMask, ScoreBias, bias::BiasInputs, reference::MAX_LENGTH};
use kiln_spec::{ValidationError, card::REFERENCE_IS_NOT_EXACT};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Options of [`Shaw`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ShawConfig {
    /// Largest distance k with a row of its own. Keys farther away share the row of distance k.
    pub max_relative_position: usize,
    /// Add representations to the values too (a_V), not to the keys alone (a_K).
    pub values: bool,
    /// Width of a head, the same for every attention of the stack. Absent: that of the first attention.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<usize>,
}

impl Default for ShawConfig {
    fn default() -> Self {
        Self { max_relative_position: 16, values: true, head_dim: None }
    }
}

impl HeadTable for ShawConfig {
    const NAME: &str = "shaw";

    fn head_dim(&self) -> Option<usize> {
        self.head_dim
    }

    fn head_dim_mut(&mut self) -> &mut Option<usize> {
        &mut self.head_dim
    }

    fn adds_to_values(&self) -> bool {
        self.values
    }
}

/// Tables of relative position representations.
#[derive(Module, Debug)]
pub struct Shaw {
    /// a_K, `[2k + 1, D]`.
    key: Param<Tensor<2>>,
    /// a_V, `[2k + 1, D]`; absent without `values`.
    value: Option<Param<Tensor<2>>>,
}

impl Variant for Shaw {
    type Config = ShawConfig;
    const CARD: Card = Card {
        time: "T²",
        kernel: Some(KernelForm::Reference),
        exemptions: &[REFERENCE_IS_NOT_EXACT],
        incompatible_with: "attentions with different head widths, `latent` projections, more than 8192 tokens",
        ..Card::new("shaw", "1803.02155")
    };

    fn check(config: &ShawConfig, build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        match config {
            ShawConfig { max_relative_position: k, .. } if *k == 0 || *k > MAX_LENGTH => {
                invalid(path, "max_relative_position", format!("expected a distance from 1 to {MAX_LENGTH}, found {k}"))
            }
            _ => config.check_width(build, path),
        }
    }

    fn init(config: &ShawConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        let shape = [2 * config.max_relative_position + 1, config.width(build)];
        Self { key: init.normal("key", shape, 0.02), value: config.values.then(|| init.normal("value", shape, 0.02)) }
    }
}

impl PositionEncoding for Shaw {
    fn bias(&self, _heads: usize, _scale: f64, _cx: &Context) -> Option<Arc<dyn ScoreBias>> {
        let value = self.value.as_ref().map(|value| value.val());
        Some(Arc::new(RelativeRepresentations { key: self.key.val(), value }))
    }
}

/// What the tables add to the scores and to the outputs of one layer.
#[derive(Debug)]
struct RelativeRepresentations {
    /// a_K, `[2k + 1, D]`.
    key: Tensor<2>,
    /// a_V, `[2k + 1, D]`.
    value: Option<Tensor<2>>,
}

impl ScoreBias for RelativeRepresentations {
    fn dense(&self, inputs: BiasInputs) -> Tensor<4> {
        let shape = inputs.scores.dims();
        let table = self.key.clone().cast(inputs.query.dtype()).transpose().unsqueeze::<4>();
        let by_row = (inputs.query.clone() * inputs.scale).matmul(table);
        by_row.gather(3, rows(inputs.block_mask, &self.key, shape))
    }

    fn value_bias(&self, weights: &Tensor<4>, block_mask: &BlockMask) -> Option<Tensor<4>> {
        let table = self.value.clone()?.cast(weights.dtype());
        let ([b, h, t, s], [count, _]) = (weights.dims(), table.dims());
        let by_row = Tensor::zeros([b, h, t, count], (&weights.device(), weights.dtype()));
        let index = rows(block_mask, &table, [b, h, t, s]);
        Some(by_row.scatter(3, index, weights.clone(), IndexingUpdateOp::Add).matmul(table.unsqueeze()))
    }
}

/// Row r + k of the table for each query and key, `[B, H, T, S]`.
fn rows(block_mask: &BlockMask, table: &Tensor<2>, [b, h, t, s]: [usize; 4]) -> Tensor<4, Int> {
    let [query, key] = block_mask.positions.clone().expect("a position bias needs positions");
    let k = (table.dims()[0] / 2) as i32;
    let distances = key.unsqueeze_dim::<3>(1).expand([b, t, s]) - query.unsqueeze_dim::<3>(2).expand([b, t, s]);
    (distances.clamp(-k, k) + k).unsqueeze_dim::<4>(1).expand([b, h, t, s])
}
