//! What the kernels that work in tiles prepare from a call alike: the fused and the batch-invariant one.

use super::{
    AttentionCall, AttentionOutput,
    bias::{TileBias, TileForm},
    score::TileScore,
};
use burn::tensor::{Bool, Device, Tensor};
use kiln_spec::plan::TilePlan;
use std::sync::Arc;

/// Inputs of a kernel that works in tiles, besides query, key and value.
///
/// Burn's operations have a fixed number of tensors. One that a call doesn't need is of one element, or of zeros.
pub struct TileInputs {
    /// Tile plan of each sequence. Absent: the kernel makes it from `hidden`.
    pub tiles: Option<Arc<Vec<TilePlan>>>,
    /// Pairs that are hidden, `[B, 1, T, S]`; with tile plans one element, which is not read.
    pub hidden: Tensor<4, Bool>,
    /// Parameters of the bias, `[N, H]`; without a bias zeros, which are not read.
    pub parameters: Tensor<2>,
    /// Score bias in a tile.
    pub bias: Option<Arc<dyn TileBias>>,
    /// Score function of a row.
    pub score: Arc<dyn TileScore>,
}

impl TileInputs {
    /// Prepares a call.
    ///
    /// # Panics
    /// If the score function or the bias does not work in a tile.
    pub fn new(call: &AttentionCall) -> Self {
        let tiles = call.block_mask.tiles();
        let device = Device::flex();
        let hidden = match &tiles {
            Some(_) => Tensor::<4, Bool>::empty([1, 1, 1, 1], &device),
            None => call.block_mask.dense().mask.clone(),
        };
        let (parameters, bias) = match &call.bias {
            Some(bias) => {
                let TileForm { parameters, bias } = bias.tile().expect("a bias that works in a tile");
                (parameters, Some(bias))
            }
            None => (Tensor::zeros([1, call.query.dims()[1]], &device), None),
        };
        let score = call.score.tile().expect("a score function that works in a tile");
        Self { tiles, hidden, parameters, bias, score }
    }
}

impl AttentionOutput {
    /// Splits the result of an operation, `[B, H, T, E]`, or `[B, H, T, E + 1]` with the log-sum-exp as last column.
    pub(super) fn from_columns(out: Tensor<4>, value_width: usize) -> Self {
        if out.dims()[3] == value_width {
            return Self { out, log_sum_exp: None };
        }
        let log_sum_exp = out.clone().narrow(3, value_width, 1).squeeze_dim::<3>(3);
        Self { out: out.narrow(3, 0, value_width), log_sum_exp: Some(log_sum_exp) }
    }
}
