//! Attention on the CPU that never forms `[B, H, T, S]`: scores live in a block of rows at a time, tiles that hold
//! nothing are skipped, bias and bend are worked out in the tile, and the backward pass makes the weights again from
//! the log-sum-exp (2205.14135, sections 3.1 and B.2; 2307.08691).

mod backward;
mod forward;
pub(crate) mod query_block;
mod score_terms;

use super::{
    AttentionCall, AttentionOutput,
    bias::{BiasKind, DistanceBias},
    block_mask::TILE_SIZE,
};
use crate::cpu::backend_api::{
    Autodiff, Backend, Backward, BoolTensor, CheckpointStrategy, Checkpointer, Dispatch, Flex, FlexTensor, FloatTensor,
    Gradients, Ops, OpsKind, backend_extension,
};
use burn::tensor::{Bool, Device, Tensor};
use forward::AttentionInputs;
use kiln_spec::plan::TilePlan;
use std::sync::Arc;

/// What a call is, besides its tensors.
#[derive(Clone, Debug)]
pub struct AttentionParams {
    tiles: Option<Arc<Vec<TilePlan>>>,
    scale: f64,
    softcap: Option<f64>,
    bias_kind: Option<BiasKind>,
    needs_log_sum_exp: bool,
}

impl AttentionParams {
    fn softcap_f32(&self) -> Option<f32> {
        self.softcap.map(|cap| cap as f32)
    }
}

/// Runs the kernel. Softmax alone, no dropout; a bias only where the host knows the positions.
pub fn attend(call: AttentionCall) -> AttentionOutput {
    let width = call.value.dims()[3];
    let tiles = call.block_mask.tiles();
    // What a kernel is not given it does not look at.
    let nothing = Device::flex();
    let hidden = match &tiles {
        Some(_) => Tensor::<4, Bool>::empty([1, 1, 1, 1], &nothing),
        None => call.block_mask.dense().mask.clone(),
    };
    let (table, by) = match call.bias {
        Some(DistanceBias { table, kind: by }) => (table, Some(by)),
        None => (Tensor::zeros([1, call.query.dims()[1]], &nothing), None),
    };
    let how = AttentionParams {
        tiles,
        scale: call.scale,
        softcap: call.score.softcap(),
        bias_kind: by,
        needs_log_sum_exp: call.needs_log_sum_exp,
    };
    let (query, key, value) = (call.query.into_dispatch(), call.key.into_dispatch(), call.value.into_dispatch());
    let out = Dispatch::fused_attention(query, key, value, table.into_dispatch(), hidden.into_dispatch(), how);
    let out = Tensor::<4>::from_dispatch(out);
    if !call.needs_log_sum_exp {
        return AttentionOutput { out, log_sum_exp: None };
    }
    let log_sum = out.clone().narrow(3, width, 1).squeeze_dim::<3>(3);
    AttentionOutput { out: out.narrow(3, 0, width), log_sum_exp: Some(log_sum) }
}

/// The operation, as every backend that can be differentiated through has it.
#[backend_extension(Flex, Autodiff)]
pub trait FusedAttention: Backend {
    /// `query [B, H, T, D]`, `key [B, G, S, D]`, `value [B, G, S, E]`, `table [N, H]`, `hidden [B, 1, T, S]` (looked at
    /// where there is no tile plan) → `[B, H, T, E]`, with the log-sum-exp behind it where it is asked for.
    fn fused_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        table: FloatTensor<Self>,
        hidden: BoolTensor<Self>,
        how: AttentionParams,
    ) -> FloatTensor<Self>;
}

/// What went in and came out, kept for the backward pass.
#[derive(Clone, Debug)]
pub struct SavedTensors<F> {
    query: F,
    key: F,
    value: F,
    table: F,
    out: F,
    /// `[B, H, T]`.
    log_sum_exp: F,
    params: AttentionParams,
}

/// The gradient, on the backends that compute.
pub trait FusedAttentionGradient: FusedAttention {
    /// The output and the log-sum-exp `[B, H, T]`; `how` with its tile plan.
    fn forward_with_log_sum_exp(
        sides: [FloatTensor<Self>; 4],
        hidden: BoolTensor<Self>,
        how: AttentionParams,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, AttentionParams);

    /// Gradients of query, key, value and table.
    fn fused_attention_gradient(
        kept: SavedTensors<FloatTensor<Self>>,
        gradient: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 4];
}

/// The tile plan of a dense mask `[B, 1, T, S]`, one a row of the batch.
fn tiles_from_mask(hidden: &FlexTensor) -> Arc<Vec<TilePlan>> {
    let hidden = hidden.to_contiguous();
    let [b, _, t, s] = forward::dims4(&hidden);
    let hidden = &hidden.bytes()[..b * t * s];
    let row = |b: usize| TilePlan::from_dense(|pair| hidden[b * t * s + pair] == 0, [t, s], TILE_SIZE);
    Arc::new((0..b).map(row).collect())
}

impl FusedAttention for Flex {
    fn fused_attention(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        table: FlexTensor,
        hidden: FlexTensor,
        how: AttentionParams,
    ) -> FlexTensor {
        Self::forward_with_log_sum_exp([query, key, value, table], hidden, how).0
    }
}

impl FusedAttentionGradient for Flex {
    fn forward_with_log_sum_exp(
        sides: [FlexTensor; 4],
        hidden: FlexTensor,
        how: AttentionParams,
    ) -> (FlexTensor, FlexTensor, AttentionParams) {
        let [query, key, value, table] = &sides;
        let tiles = how.tiles.clone().unwrap_or_else(|| tiles_from_mask(&hidden));
        let (out, log_sum) = forward::forward(&AttentionInputs { query, key, value, table }, &tiles, &how);
        (out, log_sum, AttentionParams { tiles: Some(tiles), ..how })
    }

    fn fused_attention_gradient(kept: SavedTensors<FlexTensor>, gradient: FlexTensor) -> [FlexTensor; 4] {
        let tiles = kept.params.tiles.clone().expect("the forward pass leaves its plan");
        backward::backward(&kept, &tiles, &gradient)
    }
}

#[derive(Debug)]
struct FusedAttentionBackward;

impl<B: FusedAttentionGradient> Backward<B, 4> for FusedAttentionBackward {
    type State = SavedTensors<FloatTensor<B>>;

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let found = B::fused_attention_gradient(ops.state, gradient);
        for (parent, gradient) in ops.parents.into_iter().zip(found) {
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
        table: FloatTensor<Self>,
        hidden: BoolTensor<Self>,
        how: AttentionParams,
    ) -> FloatTensor<Self> {
        let [(query, of_q), (key, of_k), (value, of_v), (table, of_t)] =
            [query, key, value, table].map(|x| x.into_parts());
        let sides = [&query, &key, &value, &table].map(Clone::clone);
        let (out, log_sum, how) = B::forward_with_log_sum_exp(sides, hidden, how);
        match FusedAttentionBackward.prepare::<C>([of_q, of_k, of_v, of_t]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let kept =
                    SavedTensors { query, key, value, table, out: out.clone(), log_sum_exp: log_sum, params: how };
                prep.finish(kept, out)
            }
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }
}
