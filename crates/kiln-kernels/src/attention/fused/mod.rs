//! Fused attention on the CPU: flash attention with tiles, memory linear in the sequence length (2205.14135, 2307.08691).
//!
//! A task computes one head of one sequence, in blocks of 64 queries. For a block it forms the scores `[64, visible keys]`
//! only, skips tiles without a visible pair, applies bias, softcap and mask in the tile, computes the weights of each row by
//! the score function ([`TileScore`]: softmax, sigmoid) and multiplies with the values. Unlike the papers it keeps a block's
//! scores of all keys at once: on a CPU they fit into the cache, and a plain softmax needs no rescaling of partial outputs.
//!
//! **Backward** (2205.14135, appendix B.2): the weights are computed again from scores and log-sum-exp. Only inputs, output
//! and L `[B, H, T]` are stored.
//!
//! **Order of sums**, a function of shapes and mask alone, so the bits don't depend on threads:
//!
//! * a softmax row: maximum and Σ exp in 16 lanes over the block's visible keys in ascending order;
//! * output: runs of adjacent visible tiles in ascending order, each one matrix product;
//! * gradients of key and value: one task works on all query heads of a group and all their blocks in ascending order, so
//!   no two tasks add to the same key;
//! * gradient of the score bias's parameters: a partial sum for each (sequence, head), then the sequences in ascending order.
//!
//! Bound against the reference: 1e-3 for values and gradients (`attention_is_its_reference`).

mod backward;
pub(super) mod forward;
mod query_block;
pub(super) mod score_terms;

use super::{
    AttentionCall, AttentionOutput, bias::TileBias, block_mask::TILE_SIZE, score::TileScore, tile_inputs::TileInputs,
};
use crate::cpu::backend_api::{
    Autodiff, Backend, Backward, BoolTensor, CheckpointStrategy, Checkpointer, Dispatch, Flex, FlexTensor, FloatTensor,
    Gradients, Ops, OpsKind, backend_extension,
};
use burn::tensor::Tensor;
use forward::AttentionInputs;
use kiln_spec::plan::TilePlan;
use std::sync::Arc;

/// Parameters of a fused attention call, besides its tensors.
#[derive(Clone, Debug)]
pub struct AttentionParams {
    /// Tile plan of each sequence; absent until it is made from the dense mask.
    tiles: Option<Arc<Vec<TilePlan>>>,
    scale: f64,
    /// Score function of a row.
    score: Arc<dyn TileScore>,
    /// Score bias in a tile.
    bias: Option<Arc<dyn TileBias>>,
    /// Whether the parameters of the bias get a gradient: slopes of ALiBi, which are constants, get none.
    needs_bias_gradient: bool,
    needs_log_sum_exp: bool,
}

/// Fused attention: a score function and a bias that work in a tile, and the log-sum-exp; no dropout, no hook.
///
/// The log-sum-exp travels as one more column of the output through autograd, so that its gradient arrives with the
/// output's.
///
/// # Panics
/// If a tensor isn't f32 on flex, the score function or the bias does not work in a tile, or there is a bias without tile
/// plans.
pub fn attend(call: AttentionCall) -> AttentionOutput {
    let width = call.value.dims()[3];
    let TileInputs { tiles, hidden, parameters, bias, score } = TileInputs::new(&call);
    let params = AttentionParams {
        tiles,
        scale: call.scale,
        score,
        needs_bias_gradient: bias.is_some(),
        bias,
        needs_log_sum_exp: call.needs_log_sum_exp,
    };
    let query = call.query.into_dispatch();
    let key = call.key.into_dispatch();
    let value = call.value.into_dispatch();
    let out = Dispatch::fused_attention(query, key, value, parameters.into_dispatch(), hidden.into_dispatch(), params);
    AttentionOutput::from_columns(Tensor::from_dispatch(out), width)
}

/// Operation of [`attend`] on Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub trait FusedAttention: Backend {
    /// `query [B, H, T, D]`, `key [B, G, S, D]`, `value [B, G, S, E]`, `parameters [N, H]`, `hidden [B, 1, T, S]` (read only if
    /// there is no tile plan) → `[B, H, T, E]`, or `[B, H, T, E + 1]` with the log-sum-exp as last column.
    fn fused_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        hidden: BoolTensor<Self>,
        params: AttentionParams,
    ) -> FloatTensor<Self>;
}

/// Tensors stored for the backward pass: inputs, output and log-sum-exp.
#[derive(Clone, Debug)]
pub struct SavedTensors<F> {
    query: F,
    key: F,
    value: F,
    parameters: F,
    out: F,
    /// `[B, H, T]`.
    log_sum_exp: F,
    params: AttentionParams,
}

/// Forward pass with what the gradient needs, and gradient, on backends without autodiff.
pub trait FusedAttentionGradient: FusedAttention {
    /// Returns the output, the log-sum-exp `[B, H, T]`, and `params` with its tile plans. `inputs`: query, key, value,
    /// parameters.
    fn forward_with_log_sum_exp(
        inputs: [FloatTensor<Self>; 4],
        hidden: BoolTensor<Self>,
        params: AttentionParams,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, AttentionParams);

    /// Returns the gradients of query, key, value and parameters from that of the output.
    fn fused_attention_gradient(
        saved: SavedTensors<FloatTensor<Self>>,
        gradient: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 4];
}

/// Tile plans of a dense mask `[B, 1, T, S]` (true = hidden), one for each sequence.
pub(super) fn tiles_from_mask(hidden: &FlexTensor) -> Arc<Vec<TilePlan>> {
    let hidden = hidden.to_contiguous();
    let [b, _, t, s] = forward::dims4(&hidden);
    let hidden = &hidden.bytes()[..b * t * s];
    let plan = |b: usize| TilePlan::from_dense(|pair| hidden[b * t * s + pair] == 0, [t, s], TILE_SIZE);
    Arc::new((0..b).map(plan).collect())
}

impl FusedAttention for Flex {
    fn fused_attention(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        parameters: FlexTensor,
        hidden: FlexTensor,
        params: AttentionParams,
    ) -> FlexTensor {
        Self::forward_with_log_sum_exp([query, key, value, parameters], hidden, params).0
    }
}

impl FusedAttentionGradient for Flex {
    fn forward_with_log_sum_exp(
        inputs: [FlexTensor; 4],
        hidden: FlexTensor,
        params: AttentionParams,
    ) -> (FlexTensor, FlexTensor, AttentionParams) {
        let [query, key, value, parameters] = &inputs;
        let tiles = params.tiles.clone().unwrap_or_else(|| tiles_from_mask(&hidden));
        let (out, log_sum) = forward::forward(&AttentionInputs { query, key, value, parameters }, &tiles, &params);
        (out, log_sum, AttentionParams { tiles: Some(tiles), ..params })
    }

    fn fused_attention_gradient(saved: SavedTensors<FlexTensor>, gradient: FlexTensor) -> [FlexTensor; 4] {
        let tiles = saved.params.tiles.clone().expect("the forward pass stores its tile plans");
        backward::backward(&saved, &tiles, &gradient)
    }
}

/// Backward step; stores [`SavedTensors`].
#[derive(Debug)]
struct FusedAttentionBackward;

impl<B: FusedAttentionGradient> Backward<B, 4> for FusedAttentionBackward {
    type State = SavedTensors<FloatTensor<B>>;

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let mut saved = ops.state;
        saved.params.needs_bias_gradient &= ops.parents[3].is_some();
        let gradients = B::fused_attention_gradient(saved, gradient);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(node) = parent {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: FusedAttentionGradient, C: CheckpointStrategy> FusedAttention for Autodiff<B, C> {
    fn fused_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        hidden: BoolTensor<Self>,
        params: AttentionParams,
    ) -> FloatTensor<Self> {
        let [(query, query_node), (key, key_node), (value, value_node), (parameters, parameters_node)] =
            [query, key, value, parameters].map(|x| x.into_parts());
        let inputs = [&query, &key, &value, &parameters].map(Clone::clone);
        let (out, log_sum_exp, params) = B::forward_with_log_sum_exp(inputs, hidden, params);
        let nodes = [query_node, key_node, value_node, parameters_node];
        match FusedAttentionBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let saved = SavedTensors { query, key, value, parameters, out: out.clone(), log_sum_exp, params };
                prep.finish(saved, out)
            }
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }
}
