//! Attention on the CPU that never forms `[B, H, T, S]`: scores live in a block of rows at a time, tiles that hold
//! nothing are skipped, bias and bend are worked out in the tile, and the backward pass makes the weights again from
//! the log-sum-exp (2205.14135, sections 3.1 and B.2; 2307.08691).

mod backward;
pub(crate) mod block;
mod forward;
mod terms;

use super::{
    Call, Output,
    bias::{Bias, Distance},
    sight::TILE,
};
use crate::cpu::op::{
    Autodiff, Backend, Backward, BoolTensor, CheckpointStrategy, Checkpointer, Dispatch, Flex, FlexTensor, FloatTensor,
    Gradients, Ops, OpsKind, backend_extension,
};
use burn::tensor::{Bool, Device, Tensor};
use forward::Sides;
use kiln_spec::plan::Tiles;
use std::sync::Arc;

/// What a call is, besides its tensors.
#[derive(Clone, Debug)]
pub struct How {
    tiles: Option<Arc<Vec<Tiles>>>,
    scale: f64,
    softcap: Option<f64>,
    by: Option<Distance>,
    log_sum: bool,
}

impl How {
    fn cap(&self) -> Option<f32> {
        self.softcap.map(|cap| cap as f32)
    }
}

/// Runs the kernel. Softmax alone, no dropout; a bias only where the host knows the positions.
pub fn attend(call: Call) -> Output {
    let width = call.value.dims()[3];
    let tiles = call.sight.tiles();
    // What a kernel is not given it does not look at.
    let nothing = Device::flex();
    let hidden = match &tiles {
        Some(_) => Tensor::<4, Bool>::empty([1, 1, 1, 1], &nothing),
        None => call.sight.dense().mask.clone(),
    };
    let (table, by) = match call.bias {
        Some(Bias { table, by }) => (table, Some(by)),
        None => (Tensor::zeros([1, call.query.dims()[1]], &nothing), None),
    };
    let how = How { tiles, scale: call.scale, softcap: call.score.softcap(), by, log_sum: call.log_sum };
    let (query, key, value) = (call.query.into_dispatch(), call.key.into_dispatch(), call.value.into_dispatch());
    let out = Dispatch::fused_attention(query, key, value, table.into_dispatch(), hidden.into_dispatch(), how);
    let out = Tensor::<4>::from_dispatch(out);
    if !call.log_sum {
        return Output { out, log_sum: None };
    }
    let log_sum = out.clone().narrow(3, width, 1).squeeze_dim::<3>(3);
    Output { out: out.narrow(3, 0, width), log_sum: Some(log_sum) }
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
        how: How,
    ) -> FloatTensor<Self>;
}

/// What went in and came out, kept for the backward pass.
#[derive(Clone, Debug)]
pub struct Kept<F> {
    query: F,
    key: F,
    value: F,
    table: F,
    out: F,
    /// `[B, H, T]`.
    log_sum: F,
    how: How,
}

/// The gradient, on the backends that compute.
pub trait FusedAttentionGradient: FusedAttention {
    /// The output and the log-sum-exp `[B, H, T]`; `how` with its tile plan.
    fn with_log_sum(
        sides: [FloatTensor<Self>; 4],
        hidden: BoolTensor<Self>,
        how: How,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, How);

    /// Gradients of query, key, value and table.
    fn fused_attention_gradient(kept: Kept<FloatTensor<Self>>, gradient: FloatTensor<Self>) -> [FloatTensor<Self>; 4];
}

/// The tile plan of a dense mask `[B, 1, T, S]`, one a row of the batch.
fn tiles_of(hidden: &FlexTensor) -> Arc<Vec<Tiles>> {
    let hidden = hidden.to_contiguous();
    let [b, _, t, s] = forward::dims(&hidden);
    let hidden = &hidden.bytes()[..b * t * s];
    let row = |b: usize| Tiles::of_table(|pair| hidden[b * t * s + pair] == 0, [t, s], TILE);
    Arc::new((0..b).map(row).collect())
}

impl FusedAttention for Flex {
    fn fused_attention(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        table: FlexTensor,
        hidden: FlexTensor,
        how: How,
    ) -> FlexTensor {
        Self::with_log_sum([query, key, value, table], hidden, how).0
    }
}

impl FusedAttentionGradient for Flex {
    fn with_log_sum(sides: [FlexTensor; 4], hidden: FlexTensor, how: How) -> (FlexTensor, FlexTensor, How) {
        let [query, key, value, table] = &sides;
        let tiles = how.tiles.clone().unwrap_or_else(|| tiles_of(&hidden));
        let (out, log_sum) = forward::forward(&Sides { query, key, value, table }, &tiles, &how);
        (out, log_sum, How { tiles: Some(tiles), ..how })
    }

    fn fused_attention_gradient(kept: Kept<FlexTensor>, gradient: FlexTensor) -> [FlexTensor; 4] {
        let tiles = kept.how.tiles.clone().expect("the forward pass leaves its plan");
        backward::backward(&kept, &tiles, &gradient)
    }
}

#[derive(Debug)]
struct Step;

impl<B: FusedAttentionGradient> Backward<B, 4> for Step {
    type State = Kept<FloatTensor<B>>;

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
        how: How,
    ) -> FloatTensor<Self> {
        let [(query, of_q), (key, of_k), (value, of_v), (table, of_t)] =
            [query, key, value, table].map(|x| x.into_parts());
        let sides = [&query, &key, &value, &table].map(Clone::clone);
        let (out, log_sum, how) = B::with_log_sum(sides, hidden, how);
        match Step.prepare::<C>([of_q, of_k, of_v, of_t]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let kept = Kept { query, key, value, table, out: out.clone(), log_sum, how };
                prep.finish(kept, out)
            }
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }
}
