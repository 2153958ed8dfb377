//! Softmax attention on the CPU that never forms `[B, H, T, S]`: scores live in a block of rows at a time, keys beyond
//! what a block can see are skipped, and the backward pass makes the weights again from the log-sum-exp
//! (2205.14135, sections 3.1 and B.2; 2307.08691).

mod backward;
pub(crate) mod block;
mod forward;

use super::{Call, Output};
use crate::cpu::op::{
    Autodiff, Backend, Backward, BoolTensor, CheckpointStrategy, Checkpointer, Dispatch, Flex, FlexTensor, FloatTensor,
    Gradients, Ops, OpsKind, backend_extension,
};
use burn::tensor::Tensor;

/// Runs the kernel. Neither softcap nor dropout; the log-sum-exp is not handed out.
pub fn attend(call: Call) -> Output {
    let (query, key, value) = (call.query.into_dispatch(), call.key.into_dispatch(), call.value.into_dispatch());
    let out = Dispatch::fused_attention(query, key, value, call.hidden.mask.into_dispatch(), call.scale);
    Output { out: Tensor::from_dispatch(out), log_sum: None }
}

/// The operation, as every backend that can be differentiated through has it.
#[backend_extension(Flex, Autodiff)]
pub trait FusedAttention: Backend {
    /// `query [B, H, T, D]`, `key [B, G, S, D]`, `value [B, G, S, E]`, `hidden [B, 1, T, S]` → `[B, H, T, E]`.
    fn fused_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        hidden: BoolTensor<Self>,
        scale: f64,
    ) -> FloatTensor<Self>;
}

/// What went in and came out, kept for the backward pass.
#[derive(Clone, Debug)]
pub struct Kept<F, M> {
    query: F,
    key: F,
    value: F,
    hidden: M,
    out: F,
    /// `[B, H, T]`.
    log_sum: F,
    scale: f64,
}

/// The gradient, on the backends that compute.
pub trait FusedAttentionGradient: FusedAttention {
    /// The output and the log-sum-exp `[B, H, T]`.
    fn with_log_sum(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        hidden: BoolTensor<Self>,
        scale: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Gradients of query, key and value.
    fn fused_attention_gradient(
        kept: Kept<FloatTensor<Self>, BoolTensor<Self>>,
        gradient: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 3];
}

impl FusedAttention for Flex {
    fn fused_attention(q: FlexTensor, k: FlexTensor, v: FlexTensor, hidden: FlexTensor, scale: f64) -> FlexTensor {
        forward::forward(&q, &k, &v, &hidden, scale).0
    }
}

impl FusedAttentionGradient for Flex {
    fn with_log_sum(
        q: FlexTensor,
        k: FlexTensor,
        v: FlexTensor,
        hidden: FlexTensor,
        scale: f64,
    ) -> (FlexTensor, FlexTensor) {
        forward::forward(&q, &k, &v, &hidden, scale)
    }

    fn fused_attention_gradient(kept: Kept<FlexTensor, FlexTensor>, gradient: FlexTensor) -> [FlexTensor; 3] {
        backward::backward(&kept, &gradient)
    }
}

#[derive(Debug)]
struct Step;

impl<B: FusedAttentionGradient> Backward<B, 3> for Step {
    type State = Kept<FloatTensor<B>, BoolTensor<B>>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
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
        hidden: BoolTensor<Self>,
        scale: f64,
    ) -> FloatTensor<Self> {
        let ((query, of_q), (key, of_k), (value, of_v)) = (query.into_parts(), key.into_parts(), value.into_parts());
        let (out, log_sum) = B::with_log_sum(query.clone(), key.clone(), value.clone(), hidden.clone(), scale);
        match Step.prepare::<C>([of_q, of_k, of_v]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let kept = Kept { query, key, value, hidden, out: out.clone(), log_sum, scale };
                prep.finish(kept, out)
            }
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }
}
