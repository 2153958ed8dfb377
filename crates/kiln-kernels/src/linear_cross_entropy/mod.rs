//! Cross-entropy together with the product of the output head: the loss of a language model without its logits.
//!
//! z = c · tanh((scale · h W + b) / c) with an optional bias b and an optional softcap c (2408.00118, section 2); loss_i =
//! log Σ_v exp(z_iv) − z_i,target(i), in nats. With g_i the gradient of loss_i:
//!
//! * D_iv = g_i (softmax(z_i)_v − \[v = target(i)\]) (1 − (z_iv / c)²)
//! * ∂h = scale · D Wᵀ, ∂W = scale · hᵀ D, ∂b = Σ_i D_i
//!
//! Shapes: N positions, M hidden size, V vocabulary; h `[N, M]`, W as [`VocabularyMatrix`], b `[V]`, targets `[N]`, loss `[N]`.
//!
//! **Memory.** A matrix `[N, V]` is never formed: at N = 1024 and V = 49,152 it takes 192 MiB, and autograd keeps two of them.
//! The fused kernel holds [`CHUNK_VALUES`] logits at once, and stores h, W and one number a position for the backward pass,
//! which computes the logits again (2205.14135 does so for attention, 2411.09009 for the loss). That costs 8 instead of 6 N M V
//! operations. Up to [`CHUNK_VALUES`] logits are held as a whole instead, which is faster.
//!
//! Positions with g_i = 0 cost no work in the backward pass. A weight without gradient (frozen, packed) gets none.
//!
//! Bound against the reference: 1e-4 · max(1, scale of the logits) for values and gradients
//! (`linear_cross_entropy_is_its_reference`).

mod chunks;
pub mod fused;
pub mod reference;

pub use chunks::Chunking;

use crate::{
    cpu::is_cpu_f32,
    exact::{self, Arithmetic},
    packed::{PackedMatrix, half_linear, is_half, packed_linear},
};
use burn::tensor::{Device, Int, Tensor};

/// Logits that the fused kernel holds at once: 16 MiB.
pub const CHUNK_VALUES: usize = 4 << 20;

/// Output matrix of a head. Tensors may be of 16-bit floats, whose gradients are of 32-bit floats.
#[derive(Clone, Debug)]
pub enum VocabularyMatrix {
    /// A row a token, `[V, M]`: a head that is tied to the token table.
    Rows(Tensor<2>),
    /// A column a token, `[M, V]`: a matrix of the head.
    Columns(Tensor<2>),
    /// A packed row a token, `[V, M]`. Not trained.
    Packed(PackedMatrix),
}

/// Input of [`linear_cross_entropy`].
#[derive(Clone, Debug)]
pub struct LinearCrossEntropyCall {
    /// Hidden states h, `[N, M]`.
    pub hidden: Tensor<2>,
    /// Output matrix W.
    pub matrix: VocabularyMatrix,
    /// Bias b, `[V]`.
    pub bias: Option<Tensor<1>>,
    /// Factor of the hidden states. Absent: 1.
    pub scale: Option<f64>,
    /// Softcap c of the logits. Absent: none.
    pub softcap: Option<f64>,
}

impl VocabularyMatrix {
    /// Returns the size of the vocabulary V.
    pub fn vocab(&self) -> usize {
        match self {
            Self::Rows(table) => table.dims()[0],
            Self::Columns(map) => map.dims()[1],
            Self::Packed(matrix) => matrix.shape()[0],
        }
    }

    /// Product with hidden states, `[N, M] → [N, V]`.
    pub fn logits(&self, hidden: Tensor<2>, arithmetic: Arithmetic) -> Tensor<2> {
        match self {
            Self::Rows(table) if arithmetic.is_exact() => exact::linear(hidden, table.clone().transpose()),
            Self::Columns(map) if arithmetic.is_exact() => exact::linear(hidden, map.clone()),
            Self::Packed(matrix) if arithmetic.is_exact() => exact::packed_linear(hidden, matrix),
            Self::Rows(table) if is_half(table.dtype()) => half_linear(hidden, table.clone().transpose()),
            Self::Columns(map) if is_half(map.dtype()) => half_linear(hidden, map.clone()),
            Self::Rows(table) => hidden.matmul(table.clone().transpose()),
            Self::Columns(map) => hidden.matmul(map.clone()),
            Self::Packed(matrix) => packed_linear(hidden, matrix),
        }
    }

    /// Whether the fused kernel supports it: floats of 32 or 16 bits on the CPU, or packed.
    fn has_cpu_kernel(&self) -> bool {
        match self {
            Self::Rows(matrix) | Self::Columns(matrix) => {
                is_cpu_f32(matrix) || is_half(matrix.dtype()) && matrix.device() == Device::flex()
            }
            Self::Packed(_) => true,
        }
    }
}

impl LinearCrossEntropyCall {
    /// Logits `[N, V]`, composed of Burn's operations.
    pub fn logits(self) -> Tensor<2> {
        self.logits_in(Arithmetic::Fast)
    }

    /// [`logits`](Self::logits) with the product in the given arithmetic.
    pub fn logits_in(self, arithmetic: Arithmetic) -> Tensor<2> {
        let hidden = self.scale.map_or(self.hidden.clone(), |scale| self.hidden * scale);
        let logits = self.matrix.logits(hidden, arithmetic);
        let logits = match self.bias {
            Some(bias) => logits + bias.unsqueeze(),
            None => logits,
        };
        match self.softcap {
            // Multiplied by 1 / cap: Burn computes the gradient of a division by a number in f32, even for f64 tensors.
            Some(cap) => (logits * (1.0 / cap)).tanh() * cap,
            None => logits,
        }
    }
}

/// Cross-entropy of each target in nats, of the logits of a head: `targets [N] → [N]`.
///
/// Targets must be in 0..V; a position without a target gets any valid id and weight 0.
pub fn linear_cross_entropy(call: LinearCrossEntropyCall, targets: Tensor<1, Int>) -> Tensor<1> {
    let is_small = call.hidden.dims()[0] * call.matrix.vocab() <= CHUNK_VALUES;
    match is_cpu_f32(&call.hidden) && call.matrix.has_cpu_kernel() {
        true if is_small => crate::cross_entropy::cross_entropy(call.logits(), targets),
        true => fused::linear_cross_entropy(call, targets),
        false => reference::linear_cross_entropy(call, targets),
    }
}
