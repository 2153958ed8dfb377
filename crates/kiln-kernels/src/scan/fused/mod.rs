//! Fused scan on the CPU: chunks of tokens as matrix products, memory linear in the length.
//!
//! A task computes one head of one sequence. It works on segments of 64 tokens, split into chunks where the state is reset
//! and where the log decays add up to less than −40. Within a chunk, with c the log decay after the chunk's first token and
//! S the state with the first token's decay,
//!
//! * q' = q ⊙ exp(c), k' = k ⊙ exp(−c), so that the decay of a pair is a product of two factors (2312.06635, eq. 4): no
//!   factor exceeds e^40, and a product of two that count is ≤ 1;
//! * o = tril(q' k'ᵀ) U + q' S, and S ← exp(c_last) ⊙ (S + k'ᵀ U), with U what the tokens write: β ⊙ V, or for the delta
//!   rule the solution of (I + stril(β ⊙ k'' k'ᵀ)) U = β ⊙ (V − k'' S), k'' = k ⊙ exp(c) (2412.06464, section 3.3).
//!
//! Gates that forget everything make chunks of one token, which is the recurrence.
//!
//! **Backward**: the states at the begin of segments are stored; everything else is computed again.
//!
//! **Order of sums**: one task a (sequence, head), chunks in order, each sum inside one matrix product or in 16 lanes;
//! gradients of queries and keys that heads share are added in the order of the heads, those of `skip` in the order of the
//! sequences. The split into chunks depends on the head's own decays and resets alone. The bits don't depend on threads
//! (`threads_change_no_bit`).
//!
//! Bound against the recurrence in f64: see the [module](super).

mod backward;
mod chunk;
mod chunk_backward;
mod forward;
pub(super) mod head;
mod matrices;
mod triangular;

use super::{ScanInputs, ScanOutput, UpdateRule};
use crate::cpu::backend_api::{
    Autodiff, Backend, Backward, CheckpointStrategy, Checkpointer, Dispatch, Flex, FlexTensor, FloatTensor, Gradients,
    Ops, OpsKind, backend_extension,
};
use crate::exact::Arithmetic;
use burn::tensor::{Device, Tensor};
use head::ScanTensors;
use std::sync::Arc;

/// Which inputs a fused scan has, and its rule.
#[derive(Clone, Copy, Debug)]
pub struct ScanParams {
    rule: UpdateRule,
    has_strength: bool,
    has_skip: bool,
    has_state: bool,
    /// With [`Arithmetic::Exact`] heads run token by token: [`super::exact`].
    arithmetic: Arithmetic,
}

/// Fused scan; see the [module](self). A state isn't differentiated.
///
/// # Panics
/// If a tensor isn't f32 on flex, or a call on an autodiff device has a state.
pub fn scan(inputs: ScanInputs) -> ScanOutput {
    scan_in(inputs, Arithmetic::Fast)
}

/// The scan with heads that run in chunks or token by token.
pub(super) fn scan_in(inputs: ScanInputs, arithmetic: Arithmetic) -> ScanOutput {
    let ([b, h, t, e], d) = (inputs.value.dims(), inputs.query.dims()[3]);
    let params = ScanParams {
        rule: inputs.rule,
        has_strength: inputs.strength.is_some(),
        has_skip: inputs.skip.is_some(),
        has_state: inputs.state.is_some(),
        arithmetic,
    };
    // The operation always has nine tensors; one that this call lacks is a tensor of one element.
    let absent = || Tensor::<4>::zeros([1, 1, 1, 1], &Device::flex());
    let out = Tensor::<4>::from_dispatch(Dispatch::fused_scan(
        inputs.query.into_dispatch(),
        inputs.key.into_dispatch(),
        inputs.value.into_dispatch(),
        inputs.log_decay.into_dispatch(),
        inputs.strength.unwrap_or_else(absent).into_dispatch(),
        inputs.skip.unwrap_or_else(|| absent().reshape([1])).into_dispatch(),
        inputs.resets.into_dispatch(),
        inputs.live.into_dispatch(),
        inputs.state.unwrap_or_else(absent).into_dispatch(),
        params,
    ));
    if !params.has_state {
        return ScanOutput { out, state: None };
    }
    let state = out.clone().narrow(3, b * t * h * e, b * h * d * e).reshape([b, h, d, e]);
    let out = out.narrow(3, 0, b * t * h * e).reshape([b, t, h, e]).swap_dims(1, 2);
    ScanOutput { out, state: Some(state) }
}

/// Operation of [`scan`] on Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub trait FusedScan: Backend {
    /// The tensors of [`ScanInputs`], absent ones with one element. Returns the output `[B, H, T, E]`; with a state, memory
    /// `[1, 1, 1, B T H E + B H D E]` of the output `[B, T, H, E]` followed by the state `[B, H, D, E]`.
    #[allow(clippy::too_many_arguments)]
    fn fused_scan(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        log_decay: FloatTensor<Self>,
        strength: FloatTensor<Self>,
        skip: FloatTensor<Self>,
        resets: FloatTensor<Self>,
        live: FloatTensor<Self>,
        state: FloatTensor<Self>,
        params: ScanParams,
    ) -> FloatTensor<Self>;
}

/// Tensors stored for the backward pass: the inputs, and the states at the begin of segments.
#[derive(Clone, Debug)]
pub struct SavedTensors<F> {
    /// Query, key, value, log decay, strength, skip, resets, live and state.
    inputs: [F; 9],
    /// `[B, H, segments, D, E]`.
    segment_states: Arc<Vec<f32>>,
    params: ScanParams,
}

/// Forward pass with what the gradient needs, and gradient, on backends without autodiff.
pub trait FusedScanGradient: FusedScan {
    /// Returns the output, and the states at the begin of segments.
    fn forward_with_states(inputs: [FloatTensor<Self>; 9], params: ScanParams) -> (FloatTensor<Self>, Arc<Vec<f32>>);

    /// Returns the gradients of query, key, value, log decay, strength and skip; those of absent inputs are `None`.
    fn fused_scan_gradient(
        saved: SavedTensors<FloatTensor<Self>>,
        gradient: FloatTensor<Self>,
    ) -> [Option<FloatTensor<Self>>; 6];
}

impl FusedScan for Flex {
    fn fused_scan(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        log_decay: FlexTensor,
        strength: FlexTensor,
        skip: FlexTensor,
        resets: FlexTensor,
        live: FlexTensor,
        state: FlexTensor,
        params: ScanParams,
    ) -> FlexTensor {
        let inputs = [query, key, value, log_decay, strength, skip, resets, live, state];
        forward::forward(&ScanTensors::new(&inputs, params), false).0
    }
}

impl FusedScanGradient for Flex {
    fn forward_with_states(inputs: [FlexTensor; 9], params: ScanParams) -> (FlexTensor, Arc<Vec<f32>>) {
        let (out, states) = forward::forward(&ScanTensors::new(&inputs, params), true);
        (out, Arc::new(states))
    }

    fn fused_scan_gradient(saved: SavedTensors<FlexTensor>, gradient: FlexTensor) -> [Option<FlexTensor>; 6] {
        backward::backward(&ScanTensors::new(&saved.inputs, saved.params), &saved.segment_states, &gradient)
    }
}

/// Backward step; stores [`SavedTensors`].
#[derive(Debug)]
struct FusedScanBackward;

impl<B: FusedScanGradient> Backward<B, 6> for FusedScanBackward {
    type State = SavedTensors<FloatTensor<B>>;

    fn backward(self, ops: Ops<Self::State, 6>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let gradients = B::fused_scan_gradient(ops.state, gradient);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let (Some(node), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: FusedScanGradient, C: CheckpointStrategy> FusedScan for Autodiff<B, C> {
    fn fused_scan(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        log_decay: FloatTensor<Self>,
        strength: FloatTensor<Self>,
        skip: FloatTensor<Self>,
        resets: FloatTensor<Self>,
        live: FloatTensor<Self>,
        state: FloatTensor<Self>,
        params: ScanParams,
    ) -> FloatTensor<Self> {
        assert!(!params.has_state, "the fused scan doesn't differentiate a state");
        let [(query, n0), (key, n1), (value, n2), (log_decay, n3), (strength, n4), (skip, n5)] =
            [query, key, value, log_decay, strength, skip].map(|x| x.into_parts());
        let [resets, live, state] = [resets, live, state].map(|x| x.into_primitive());
        let inputs = [query, key, value, log_decay, strength, skip, resets, live, state];
        match FusedScanBackward.prepare::<C>([n0, n1, n2, n3, n4, n5]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (out, segment_states) = B::forward_with_states(inputs.clone(), params);
                prep.finish(SavedTensors { inputs, segment_states, params }, out)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::forward_with_states(inputs, params).0),
        }
    }
}
